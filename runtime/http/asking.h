/* asking.h - what C tests of a service share: clients of it on bare sockets. */
#ifndef RS_HTTP_ASKING_H
#define RS_HTTP_ASKING_H
#include "base/testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/service.h"

/* A connection to the service; -1: it was refused. */
static inline int connected(const rs_service *s) {
  int handle = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)rs_service_port(s))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(handle, (struct sockaddr *)&to, sizeof to) != 0) {
    close(handle);
    return -1;
  }
  struct timeval patience = {.tv_sec = 10};
  setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return handle;
}

static inline void sends(int handle, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t sent = send(handle, bytes, n, MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes += sent;
    n -= (size_t)sent;
  }
}

static inline void says(int handle, const char *text) { sends(handle, text, strlen(text)); }

/* What comes until 'last' is there, or the service closes; whether it did. */
static inline bool hears(int handle, char *answer, size_t room, const char *last) {
  size_t got = 0;
  *answer = 0;
  while (got < room - 1 && !(last && strstr(answer, last))) {
    ssize_t n = recv(handle, answer + got, room - 1 - got, 0);
    if (n < 0 && errno != ECONNRESET) fail_msg("no answer within 10 s; so far: %s", answer);
    if (n <= 0) return true;
    got += (size_t)n;
    answer[got] = 0;
  }
  return false;
}

static inline bool closes(int handle) {
  char answer[4096];
  return hears(handle, answer, sizeof answer, NULL);
}

static inline void answers(const rs_service *s, const char *request, const char *expected) {
  char answer[8192];
  int handle = connected(s);
  says(handle, request);
  hears(handle, answer, sizeof answer, expected);
  close(handle);
  if (!strstr(answer, expected)) fail_msg("to:\n%.300s\nno '%s' in:\n%s", request, expected, answer);
}

/* The same, after which the service closes. */
static inline void answers_and_closes(const rs_service *s, const char *request, const char *expected) {
  char answer[8192];
  int handle = connected(s);
  says(handle, request);
  assert_true(hears(handle, answer, sizeof answer, NULL));
  close(handle);
  if (!strstr(answer, expected)) fail_msg("to:\n%.300s\nno '%s' in:\n%s", request, expected, answer);
}

static inline double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
