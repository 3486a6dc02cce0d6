/* service_test.c - a service of threads, asked over real sockets by clients that are well, many, slow, or gone. */
#include "base/testing.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "http/service.h"

static atomic_int pause_ms; /* that the handler takes */

/* "METHOD path size worker"; /big: so many bytes of x; /fail: an error. */
static void echo(void *context, const rs_call *call, rs_reply *reply) {
  (void)context;
  if (atomic_load(&pause_ms) > 0) usleep((unsigned)atomic_load(&pause_ms) * 1000);
  for (size_t i = 0; i < call->size; i++) assert_int_equal(call->body[i], 'x');
  if (!strcmp(call->target->path, "/fail")) {
    rs_reply_error(reply, 422, "odd", "a \"quoted\"\nmessage");
    return;
  }
  reply->type = "text/plain";
  if (!strncmp(call->target->path, "/users/", 7)) reply->log_path = "/users/{id}";
  if (!strcmp(call->target->path, "/big")) {
    size_t n = (size_t)atol(call->target->query[0].value);
    assert_int_equal(rs_buffer_reserve(reply->body, n), RS_OK);
    memset(reply->body->data, 'x', n);
    reply->body->size = n;
    return;
  }
  reply->headers[reply->n_headers++] = (rs_http_pair){"X-Of", "the service"};
  rs_buffer_printf(reply->body, "%s %s %zu %d\n", call->method, call->target->path, call->size, call->worker);
}

static rs_service *serving_with(rs_service_options options) {
  rs_service *s = NULL;
  if (options.workers == 0) options.workers = 2;
  if (rs_service_start(&s, &options, echo, NULL) != RS_OK) fail_msg("%s", rs_message());
  atomic_store(&pause_ms, 0);
  return s;
}

static rs_service *serving(void) { return serving_with((rs_service_options){0}); }

static int connected(const rs_service *s) {
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

static void sends(int handle, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t sent = send(handle, bytes, n, MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes += sent;
    n -= (size_t)sent;
  }
}

static void says(int handle, const char *text) { sends(handle, text, strlen(text)); }

/* What comes until 'last' is there, or the service closes; whether it did. */
static bool hears(int handle, char *answer, size_t room, const char *last) {
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

static bool closes(int handle) {
  char answer[4096];
  return hears(handle, answer, sizeof answer, NULL);
}

static void answers(const rs_service *s, const char *request, const char *expected) {
  char answer[8192];
  int handle = connected(s);
  says(handle, request);
  hears(handle, answer, sizeof answer, expected);
  close(handle);
  if (!strstr(answer, expected)) fail_msg("to:\n%.300s\nno '%s' in:\n%s", request, expected, answer);
}

/* The same, after which the service closes. */
static void answers_and_closes(const rs_service *s, const char *request, const char *expected) {
  char answer[8192];
  int handle = connected(s);
  says(handle, request);
  assert_true(hears(handle, answer, sizeof answer, NULL));
  close(handle);
  if (!strstr(answer, expected)) fail_msg("to:\n%.300s\nno '%s' in:\n%s", request, expected, answer);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void requests_are_answered(void **state) {
  (void)state;
  rs_service *s = serving();
  answers(s, "GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\nGET /a b 0");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "\r\nX-Of: the service\r\n");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nx-REQUEST-id: mine.1\r\n\r\n", "\r\nX-Request-Id: mine.1\r\n");
  answers(s, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxxx", "POST /p 3");
  answers(s, "PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n2\r\nxx\r\n0\r\n\r\n", "PUT /p 5");
  answers(s, "GET /fail HTTP/1.1\r\nHost: h\r\n\r\n",
          "{\"error\":{\"code\":\"odd\",\"message\":\"a \\u0022quoted\\u0022\\u000amessage\"}}\n");
  answers_and_closes(s, "GET /1 HTTP/1.0\r\n\r\n", "GET /1 0");
  answers_and_closes(s, "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET /1 0");
  answers(s, "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /2 0");
  rs_service_free(s);
}

static void a_head_is_answered_without_a_body(void **state) {
  (void)state;
  rs_service *s = serving();
  char answer[4096];
  int handle = connected(s);
  says(handle, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /then HTTP/1.1\r\nHost: h\r\n\r\n");
  hears(handle, answer, sizeof answer, "GET /then");
  assert_non_null(strstr(answer, "Content-Length: 11\r\n"));
  assert_null(strstr(answer, "GET /a"));
  close(handle);
  rs_service_free(s);
}

static void pipelined_requests_are_answered_in_order(void **state) {
  (void)state;
  rs_service *s = serving();
  enum { N = 500 };
  char *requests = malloc(N * 64), *answer = malloc(N * 256), *at = requests;
  for (int i = 0; i < N; i++)
    at += sprintf(at, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%.*s", i, i % 4, i % 4, "xxxx");
  int handle = connected(s);
  says(handle, requests);
  hears(handle, answer, N * 256, "POST /499 ");
  const char *from = answer;
  for (int i = 0; i < N; i++) {
    char expected[32];
    sprintf(expected, "\r\n\r\nPOST /%d %d ", i, i % 4);
    from = strstr(from, expected);
    if (!from) fail_msg("request %d is not answered in its turn", i);
  }
  close(handle);
  free(requests);
  free(answer);
  rs_service_free(s);
}

static void a_client_that_waits_is_told_to_continue(void **state) {
  (void)state;
  rs_service *s = serving();
  char answer[4096];
  int handle = connected(s);
  says(handle, "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  hears(handle, answer, sizeof answer, "\r\n\r\n");
  assert_string_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n");
  says(handle, "xxxx");
  hears(handle, answer, sizeof answer, "POST /e 4");
  close(handle);
  answers_and_closes(s, "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n", "HTTP/1.1 413");
  rs_service_free(s);
}

static void bodies_have_an_end(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.max_body = 200000});
  char *bytes = malloc(700000), answer[8192];
  for (int i = 0; i < 2; i++) {
    size_t n = 200000 + (size_t)i, head = (size_t)sprintf(bytes, "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
    memset(bytes + head, 'x', n);
    int handle = connected(s);
    sends(handle, bytes, head + (i == 0 ? n : 0));
    hears(handle, answer, sizeof answer, "\n\r\n");
    assert_non_null(strstr(answer, i == 0 ? "HTTP/1.1 200" : "HTTP/1.1 413"));
    if (i == 1) assert_true(closes(handle));
    close(handle);
  }
  size_t n = (size_t)sprintf(bytes, "PUT /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n30d41\r\n");
  memset(bytes + n, 'x', 200001);
  int handle = connected(s);
  sends(handle, bytes, n + 200001);
  assert_true(hears(handle, answer, sizeof answer, NULL));
  assert_non_null(strstr(answer, "HTTP/1.1 413"));
  close(handle);
  free(bytes);
  assert_int_equal(rs_service_counts_of(s).refused[RS_REFUSED_LARGE], 2);
  rs_service_free(s);
}

static void ill_requests_are_refused(void **state) {
  (void)state;
  rs_service *s = serving();
  answers_and_closes(s, "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  answers_and_closes(s, "GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  answers_and_closes(s, "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 501");
  answers_and_closes(s, "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "HTTP/1.1 505");
  answers(s, "GET /still HTTP/1.1\r\nHost: h\r\n\r\n", "GET /still 0");
  rs_service_free(s);
}

static void connections_are_shared_out_evenly(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.workers = 3});
  int handles[12], of[3] = {0};
  char answer[4096];
  for (int i = 0; i < 12; i++) handles[i] = connected(s);
  for (int i = 0; i < 12; i++) {
    says(handles[i], "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    hears(handles[i], answer, sizeof answer, "GET /w 0 ");
    of[strstr(answer, "GET /w 0 ")[9] - '0']++;
    close(handles[i]);
  }
  for (int i = 0; i < 3; i++) assert_int_equal(of[i], 4);
  rs_service_free(s);
}

static void a_crowd_that_comes_at_once_waits_for_its_turn(void **state) {
  (void)state;
  enum { CROWD = 600 };
  rs_service *s = serving_with((rs_service_options){.workers = 1});
  int *handles = malloc(CROWD * sizeof *handles);
  char answer[4096];
  atomic_store(&pause_ms, 300); /* of the first one */
  for (int i = 0; i < CROWD; i++) {
    handles[i] = connected(s);
    says(handles[i], "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    if (i == 0) usleep(100000);
    if (i == 0) atomic_store(&pause_ms, 0);
  }
  for (int i = 0; i < CROWD; i++) {
    hears(handles[i], answer, sizeof answer, "\n\r\n");
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    close(handles[i]);
  }
  free(handles);
  rs_service_free(s);
}

static void one_connection_too_many_is_told_so(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.connections = 3});
  int handles[3];
  for (int i = 0; i < 3; i++) {
    handles[i] = connected(s);
    char answer[4096];
    says(handles[i], "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    hears(handles[i], answer, sizeof answer, "GET /w 0");
  }
  answers_and_closes(s, "", "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n");
  assert_int_equal(rs_service_counts_of(s).open, 3);
  close(handles[0]);
  while (rs_service_counts_of(s).open == 3) usleep(1000);
  answers(s, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n", "GET /again 0");
  close(handles[1]);
  close(handles[2]);
  rs_service_counts c = rs_service_counts_of(s);
  assert_int_equal(c.refused[RS_REFUSED_FULL], 1);
  assert_int_equal(c.connections, 5);
  assert_int_equal(c.requests, 4);
  rs_service_free(s);
}

/* A client that says little or nothing, at a service with short deadlines. */
static void slow(const char *says_first, const char *drips, int expected_ms, const char *expected) {
  rs_service *s = serving_with((rs_service_options){.head_ms = 300, .idle_ms = 1200, .body_rate = 100000});
  char answer[4096];
  int handle = connected(s);
  says(handle, says_first);
  double began = seconds();
  struct pollfd heard = {.fd = handle, .events = POLLIN};
  if (!drips) assert_true(hears(handle, answer, sizeof answer, NULL));
  while (drips && poll(&heard, 1, 50) == 0) says(handle, drips);
  if (drips) assert_true(hears(handle, answer, sizeof answer, NULL));
  double ms = 1000 * (seconds() - began);
  if (ms < expected_ms || ms > expected_ms + 1500) fail_msg("left after %.0f ms, not some %d", ms, expected_ms);
  if (!strstr(answer, expected)) fail_msg("no '%s' in: %s", expected, answer);
  close(handle);
  rs_service_free(s);
}

static void slow_clients_are_left(void **state) {
  (void)state;
  slow("", NULL, 300, "");
  slow("GET / HT", NULL, 300, "HTTP/1.1 408");
  slow("GET / HTTP/1.1\r\nHost: h\r\n", "X: y\r\n", 300, "HTTP/1.1 408");
  slow("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n", "xxxx", 300, "HTTP/1.1 408");
  slow("GET / HTTP/1.1\r\nHost: h\r\n\r\n", NULL, 1200, "GET / 0"); /* idle */
}

static void a_slow_head_after_a_reply_is_left_too(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.head_ms = 300, .idle_ms = 60000});
  char answer[4096];
  int handle = connected(s);
  says(handle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  hears(handle, answer, sizeof answer, "GET / 0");
  struct pollfd heard = {.fd = handle, .events = POLLIN};
  double began = seconds();
  recv(handle, answer, sizeof answer, MSG_DONTWAIT);
  while (poll(&heard, 1, 50) == 0 && seconds() < began + 8) says(handle, "G");
  hears(handle, answer, sizeof answer, NULL);
  assert_non_null(strstr(answer, "HTTP/1.1 408"));
  close(handle);
  rs_service_free(s);
}

static void who_does_not_read_keeps_nobody_waiting_and_is_left(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.workers = 1, .head_ms = 300, .write_rate = 100000000});
  int handle = connected(s);
  says(handle, "GET /big?n=30000000 HTTP/1.1\r\nHost: h\r\n\r\n");
  double began = seconds();
  answers(s, "GET /fast HTTP/1.1\r\nHost: h\r\n\r\n", "GET /fast 0");
  assert_true(seconds() - began < 1.0);
  while (rs_service_counts_of(s).open > 1 || rs_service_counts_of(s).refused[RS_REFUSED_SLOW] == 0) {
    usleep(1000);
    if (seconds() > began + 10) fail_msg("still there after 10 s");
  }
  close(handle);
  rs_service_free(s);
}

static void a_large_reply_arrives_whole(void **state) {
  (void)state;
  rs_service *s = serving();
  int handle = connected(s);
  says(handle, "GET /big?n=30000000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  size_t got = 0;
  char *chunk = malloc(1 << 16);
  for (ssize_t n; (n = recv(handle, chunk, 1 << 16, 0)) > 0;) got += (size_t)n;
  assert_true(got > 30000000 && got < 30001000);
  free(chunk);
  close(handle);
  rs_service_free(s);
}

static void *asks_many_times(void *service) {
  char answer[4096], request[128], expected[64];
  for (int round = 0; round < 20; round++) {
    int handle = connected(service);
    for (int i = 0; i < 50; i++) {
      sprintf(request, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%.*s", i, i % 4, i % 4, "xxxx");
      sprintf(expected, "POST /%d %d ", i, i % 4);
      says(handle, request);
      hears(handle, answer, sizeof answer, expected);
    }
    close(handle);
  }
  return NULL;
}

static void many_clients_are_answered_at_once(void **state) {
  (void)state;
  rs_service *s = serving();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, asks_many_times, s);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  while (rs_service_counts_of(s).open > 0) usleep(1000);
  rs_service_counts c = rs_service_counts_of(s);
  assert_int_equal(c.requests, 4000);
  assert_int_equal(c.in_flight, 0);
  assert_int_equal(c.connections, 80);
  rs_service_free(s);
}

static void *drains(void *service) {
  rs_service_drain(service, 5000);
  return NULL;
}

static void a_drain_answers_what_has_come(void **state) {
  (void)state;
  rs_service *s = serving();
  char answer[4096];
  int busy = connected(s), idle = connected(s), unused = connected(s);
  says(idle, "GET /idle HTTP/1.1\r\nHost: h\r\n\r\n");
  hears(idle, answer, sizeof answer, "GET /idle 0");
  recv(idle, answer, sizeof answer, MSG_DONTWAIT);
  atomic_store(&pause_ms, 400);
  says(busy, "GET /busy HTTP/1.1\r\nHost: h\r\n\r\n");
  usleep(100000);
  pthread_t thread;
  double began = seconds();
  pthread_create(&thread, NULL, drains, s);
  usleep(50000);
  assert_int_equal(connected(s), -1);
  says(idle, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n"); /* crosses the drain on its way */
  assert_true(hears(busy, answer, sizeof answer, NULL));
  assert_non_null(strstr(answer, "GET /busy 0"));
  assert_non_null(strstr(answer, "Connection: close\r\n"));
  assert_true(hears(idle, answer, sizeof answer, NULL));
  assert_non_null(strstr(answer, "GET /late 0"));
  assert_true(closes(unused));
  pthread_join(thread, NULL);
  assert_true(seconds() - began < 4);
  assert_int_equal(rs_service_counts_of(s).open, 0);
  close(busy);
  close(idle);
  close(unused);
  rs_service_free(s);
}

static void a_drain_cuts_off_who_stays(void **state) {
  (void)state;
  rs_service *s = serving();
  int handle = connected(s);
  says(handle, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nxx");
  usleep(50000);
  double began = seconds();
  rs_service_drain(s, 200);
  assert_true(seconds() - began < 2);
  assert_true(closes(handle));
  close(handle);
  rs_service_free(s);
}

static void what_cannot_be_is_refused_by_name(void **state) {
  (void)state;
  rs_service *s = serving(), *other = NULL;
  rs_service_options options = {.port = rs_service_port(s)};
  assert_int_equal(rs_service_start(&other, &options, echo, NULL), RS_EIO);
  assert_non_null(strstr(rs_message(), "Address already in use"));
  options = (rs_service_options){.workers = -1};
  assert_int_equal(rs_service_start(&other, &options, echo, NULL), RS_EARG);
  assert_null(other);
  rs_service_free(s);
  for (int n = 0; n < 3; n++) {
    options = (rs_service_options){.workers = 2};
    rs_alloc_fault(n);
    rs_status status = rs_service_start(&other, &options, echo, NULL);
    rs_alloc_fault(-1);
    assert_int_equal(status, n < 2 ? RS_ENOMEM : RS_OK);
    if (status == RS_OK) rs_service_free(other);
  }
}

static unsigned needs(void *context, const char *method, const char *path) {
  (void)context;
  if (!strcmp(path, "/ping")) return 0;
  return strcmp(method, "DELETE") ? RS_SCOPE_USE : RS_SCOPE_ADMIN;
}

static void tokens_open_what_they_are_for(void **state) {
  (void)state;
  static const char text[] = "shop use 0123456789abcdef\nops admin,use fedcba9876543210";
  rs_tokens *tokens = NULL;
  assert_int_equal(rs_tokens_parse(&tokens, text, sizeof text - 1, "tokens"), RS_OK);
  rs_service *s = serving_with((rs_service_options){.tokens = tokens, .needs = needs});
  answers(s, "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n", "GET /ping 0");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 401");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "\r\nWWW-Authenticate: Bearer\r\n");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdeF\r\n\r\n", "HTTP/1.1 401");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", "GET /a 0");
  answers(s, "DELETE /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", "HTTP/1.1 403");
  answers(s, "DELETE /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fedcba9876543210\r\n\r\n", "DELETE /a 0");
  /* the connection is kept where the body is small, and its bytes are no request */
  answers(s, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nGET GET /ping HTTP/1.1\r\nHost: h\r\n\r\n", "GET /ping 0");
  answers_and_closes(s, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n", "HTTP/1.1 401");
  assert_int_equal(rs_service_counts_of(s).refused[RS_REFUSED_ACCESS], 6);
  rs_service_free(s);
  rs_tokens_free(tokens);
}

static void rates_are_of_tokens_and_of_addresses(void **state) {
  (void)state;
  static const char text[] = "shop use 0123456789abcdef\nops admin,use fedcba9876543210";
  rs_tokens *tokens = NULL;
  assert_int_equal(rs_tokens_parse(&tokens, text, sizeof text - 1, "tokens"), RS_OK);
  rs_service *s = serving_with((rs_service_options){.tokens = tokens, .needs = needs, .rate = 0.01, .burst = 3});
  const char *shop = "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n";
  for (int i = 0; i < 3; i++) answers(s, shop, "GET /a 0"); /* of whatever worker */
  answers(s, shop, "HTTP/1.1 429");
  answers(s, shop, "\r\nRetry-After: 1");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fedcba9876543210\r\n\r\n", "GET /a 0");
  for (int i = 0; i < 3; i++) answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 401");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer guessed\r\n\r\n", "HTTP/1.1 429");
  for (int i = 0; i < 9; i++) answers(s, "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n", "GET /ping 0");
  assert_int_equal(rs_service_counts_of(s).refused[RS_REFUSED_RATE], 3);
  rs_service_free(s);
  rs_tokens_free(tokens);
}

static void an_address_has_so_many_connections(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.per_address = 2});
  int handles[2];
  char answer[4096];
  for (int i = 0; i < 2; i++) {
    handles[i] = connected(s);
    says(handles[i], "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    hears(handles[i], answer, sizeof answer, "GET /w 0");
  }
  answers_and_closes(s, "GET /w HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 503");
  close(handles[0]);
  while (rs_service_counts_of(s).open == 2) usleep(1000);
  answers(s, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n", "GET /again 0");
  close(handles[1]);
  rs_service_free(s);
}

/* A certificate for localhost and its key, of a minute ago, in files. */
static void make_certificate(char *certificate, char *key, EVP_PKEY **out) {
  EVP_PKEY *pair = EVP_EC_gen("P-256");
  X509 *x = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -60);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  X509_set_pubkey(x, pair);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(x));
  assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
  FILE *f = fdopen(mkstemp(certificate), "w");
  PEM_write_X509(f, x);
  fclose(f);
  f = fdopen(mkstemp(key), "w");
  PEM_write_PrivateKey(f, pair, NULL, NULL, 0, NULL, NULL);
  fclose(f);
  X509_free(x);
  if (out) *out = pair;
  else EVP_PKEY_free(pair);
}

static size_t gather(char *bytes, size_t size, size_t n, void *answer) {
  strncat(answer, bytes, size * n);
  return size * n;
}

/* What libcurl gets of a service with the certificate; its code. */
static CURLcode fetch(const rs_service *s, const char *scheme, const char *path, const char *authority, const char *body,
                      char *answer) {
  char url[128];
  snprintf(url, sizeof url, "%s://localhost:%d%s", scheme, rs_service_port(s), path);
  CURL *c = curl_easy_init();
  *answer = 0;
  curl_easy_setopt(c, CURLOPT_URL, url);
  curl_easy_setopt(c, CURLOPT_CAINFO, authority);
  curl_easy_setopt(c, CURLOPT_IPRESOLVE, CURL_IPRESOLVE_V4);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, gather);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
  curl_easy_setopt(c, CURLOPT_TIMEOUT, 10L);
  if (body) curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
  CURLcode code = curl_easy_perform(c);
  curl_easy_cleanup(c);
  return code;
}

static void tls_is_spoken_with_a_certificate(void **state) {
  (void)state;
  char certificate[] = "/tmp/recsys-cert-XXXXXX", key[] = "/tmp/recsys-key-XXXXXX", answer[4096];
  make_certificate(certificate, key, NULL);
  rs_service *s = serving_with((rs_service_options){.certificate = certificate, .key = key, .head_ms = 300});
  for (int i = 0; i < 4; i++) {
    assert_int_equal(fetch(s, "https", "/a", certificate, "xxxx", answer), CURLE_OK);
    assert_non_null(strstr(answer, "POST /a 4"));
  }
  assert_int_equal(fetch(s, "https", "/%2e%2e/a%00", certificate, NULL, answer), CURLE_OK);
  assert_non_null(strstr(answer, "\"code\":\"target\""));
  assert_int_not_equal(fetch(s, "http", "/a", certificate, NULL, answer), CURLE_OK);
  assert_null(strstr(answer, "GET /a"));
  int silent = connected(s); /* begins no handshake */
  assert_true(closes(silent));
  close(silent);
  rs_service_free(s);
  unlink(certificate);
  unlink(key);
}

static void a_certificate_that_is_none_is_refused_by_name(void **state) {
  (void)state;
  char certificate[] = "/tmp/recsys-cert-XXXXXX", key[] = "/tmp/recsys-key-XXXXXX";
  char other[] = "/tmp/recsys-cert-XXXXXX", other_key[] = "/tmp/recsys-key-XXXXXX", secret[] = "/tmp/recsys-key-XXXXXX";
  EVP_PKEY *pair;
  make_certificate(certificate, key, &pair);
  make_certificate(other, other_key, NULL);
  FILE *f = fdopen(mkstemp(secret), "w");
  PEM_write_PrivateKey(f, pair, EVP_aes_256_cbc(), (const unsigned char *)"word", 4, NULL, NULL);
  fclose(f);
  EVP_PKEY_free(pair);
  const struct {
    const char *certificate, *key, *message, *named;
  } wrong[] = {{certificate, "/gone/key", "No such file", "/gone/key"},
               {"/gone/cert", key, "No such file", "/gone/cert"},
               {key, key, "no certificate", key},
               {certificate, certificate, "no private key", certificate},
               {certificate, secret, "without a passphrase", secret},
               {certificate, other_key, "not the key of the certificate", other_key},
               {certificate, NULL, "needs its key", "certificate"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    rs_service *s = NULL;
    rs_service_options options = {.workers = 1, .certificate = wrong[i].certificate, .key = wrong[i].key};
    assert_int_not_equal(rs_service_start(&s, &options, echo, NULL), RS_OK);
    if (!strstr(rs_message(), wrong[i].message) || !strstr(rs_message(), wrong[i].named)) fail_msg("%s", rs_message());
  }
  const char *paths[] = {certificate, key, other, other_key, secret};
  for (int i = 0; i < 5; i++) unlink(paths[i]);
}

static bool has_ipv6(void) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6};
  int handle = socket(AF_INET6, SOCK_STREAM, 0);
  bool has = handle >= 0 && bind(handle, (struct sockaddr *)&any, sizeof any) == 0;
  if (handle >= 0) close(handle);
  return has;
}

/* The log's lines, once there are so many. */
static void logged(const char *path, int lines, char *text, size_t room) {
  for (double end = seconds() + 5; seconds() < end; usleep(10000)) {
    FILE *f = fopen(path, "r");
    if (!f) continue;
    size_t n = fread(text, 1, room - 1, f);
    fclose(f);
    text[n] = 0;
    int found = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++) found++;
    if (found == lines) return;
  }
  fail_msg("%s has not %d lines after 5 s: %s", path, lines, text);
}

static void requests_stand_in_the_log_without_whose_they_are(void **state) {
  (void)state;
  char path[] = "/tmp/recsys-log-XXXXXX", moved[64], text[8192];
  close(mkstemp(path));
  snprintf(moved, sizeof moved, "%s.1", path);
  rs_service *s = serving_with((rs_service_options){.access_log = path});
  answers(s, "POST /a%20b?user=alice HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine\r\nContent-Length: 3\r\n\r\nxxx", "POST /a b 3");
  answers(s, "GET /a\"\\b HTTP/1.1\r\nHost: h\r\nX-Request-Id: a\"b\r\n\r\n", "HTTP/1.1 400");
  answers(s, "B\"EW /a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  logged(path, 3, text, sizeof text);
  assert_non_null(strstr(text, "\"method\":\"POST\",\"path\":\"/a%20b\",\"status\":200,\"bytes\":"));
  assert_non_null(strstr(text, "\"request_id\":\"mine\",\"worker\":"));
  assert_null(strstr(text, "alice"));
  assert_null(strstr(text, "127.0.0.1"));
  assert_null(strstr(text, "a\"b"));
  const char *at = text;
  for (int i = 0; i < 3; i++) { /* each line is JSON */
    json_t *line = NULL;
    assert_int_equal(rs_json_object(&line, at, (size_t)(strchr(at, '\n') - at), "line"), RS_OK);
    assert_int_equal(strlen(json_string_value(json_object_get(line, "time"))), 24);
    assert_true(json_is_number(json_object_get(line, "ms")));
    json_decref(line);
    at = strchr(at, '\n') + 1;
  }
  assert_int_equal(rename(path, moved), 0); /* as logrotate does */
  rs_service_reopen_log(s);
  for (double end = seconds() + 5; access(path, F_OK) != 0 && seconds() < end;) usleep(10000);
  answers(s, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", "GET /later 0");
  answers(s, "GET /users/alice HTTP/1.1\r\nHost: h\r\n\r\n", "GET /users/alice 0");
  answers(s, "POST /users/alice HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 400");
  answers(s, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", "GET /later 0");
  rs_service_free(s);
  logged(path, 4, text, sizeof text);
  assert_non_null(strstr(text, "/later"));
  assert_non_null(strstr(text, "\"path\":\"/users/{id}\",\"status\":200"));
  assert_non_null(strstr(text, "\"path\":\"/users\",\"status\":400"));
  assert_null(strstr(text, "alice"));
  logged(moved, 3, text, sizeof text);
  s = serving_with((rs_service_options){.access_log = path, .log_addresses = true, .address = has_ipv6() ? "::" : NULL});
  answers(s, "GET /who HTTP/1.1\r\nHost: h\r\n\r\n", "GET /who 0");
  rs_service_free(s);
  logged(path, 5, text, sizeof text);
  assert_non_null(strstr(text, ",\"client\":\"127.0.0.1\"}\n"));
  unlink(path);
  unlink(moved);
}

static void a_log_that_cannot_be_written_keeps_nobody_waiting(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.access_log = "/dev/full"});
  for (int i = 0; i < 5; i++) answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a 0");
  for (double end = seconds() + 5; rs_service_counts_of(s).log_dropped < 5 && seconds() < end;) usleep(10000);
  assert_int_equal(rs_service_counts_of(s).log_dropped, 5);
  rs_service_free(s);
  rs_service_options options = {.access_log = "/gone/access.log"};
  assert_int_equal(rs_service_start(&s, &options, echo, NULL), RS_EIO);
  assert_non_null(strstr(rs_message(), "/gone/access.log: No such file"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_are_answered),
      cmocka_unit_test(a_head_is_answered_without_a_body),
      cmocka_unit_test(pipelined_requests_are_answered_in_order),
      cmocka_unit_test(a_client_that_waits_is_told_to_continue),
      cmocka_unit_test(bodies_have_an_end),
      cmocka_unit_test(ill_requests_are_refused),
      cmocka_unit_test(connections_are_shared_out_evenly),
      cmocka_unit_test(a_crowd_that_comes_at_once_waits_for_its_turn),
      cmocka_unit_test(one_connection_too_many_is_told_so),
      cmocka_unit_test(slow_clients_are_left),
      cmocka_unit_test(a_slow_head_after_a_reply_is_left_too),
      cmocka_unit_test(who_does_not_read_keeps_nobody_waiting_and_is_left),
      cmocka_unit_test(a_large_reply_arrives_whole),
      cmocka_unit_test(many_clients_are_answered_at_once),
      cmocka_unit_test(a_drain_answers_what_has_come),
      cmocka_unit_test(a_drain_cuts_off_who_stays),
      cmocka_unit_test(tokens_open_what_they_are_for),
      cmocka_unit_test(rates_are_of_tokens_and_of_addresses),
      cmocka_unit_test(an_address_has_so_many_connections),
      cmocka_unit_test(tls_is_spoken_with_a_certificate),
      cmocka_unit_test(a_certificate_that_is_none_is_refused_by_name),
      cmocka_unit_test(requests_stand_in_the_log_without_whose_they_are),
      cmocka_unit_test(a_log_that_cannot_be_written_keeps_nobody_waiting),
      cmocka_unit_test(what_cannot_be_is_refused_by_name),
  };
  return cmocka_run_group_tests_name("service", tests, NULL, no_blocks_remain);
}
