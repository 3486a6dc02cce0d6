#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing is ever written into the pipe: its end is all that can be read. A process that leads no group must not take
 * down those that it was put among. */
static void *watch(void *argument) {
  struct pollfd ready = {.fd = (int)(intptr_t)argument, .events = POLLIN};
  char byte;
  for (;;) {
    poll(&ready, 1, -1);
    ssize_t n = read(ready.fd, &byte, 1);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) break;
  }
  kill(getpgrp() == getpid() ? 0 : getpid(), SIGKILL);
  return NULL;
}

/* The watcher takes no signal: they belong to the thread that Lua runs in. */
static int begin(int fd) {
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int refused = pthread_create(&thread, NULL, watch, (void *)(intptr_t)fd);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!refused) pthread_detach(thread);
  return refused;
}

rs_status rs_process_follow(int fd) {
  struct stat about;
  if (fstat(fd, &about) != 0) return rs_fail(RS_EIO, "file %d cannot be followed: %s", fd, strerror(errno));
  if (!S_ISFIFO(about.st_mode) && !S_ISSOCK(about.st_mode))
    return rs_fail(RS_EIO, "file %d cannot be followed: it is no pipe", fd);
  int refused = begin(fd);
  if (refused) return rs_fail(RS_EIO, "file %d cannot be followed: no thread: %s", fd, strerror(refused));
  return RS_OK;
}

rs_status rs_process_limit(int64_t bytes) {
  if (bytes <= 0) return rs_fail(RS_ERANGE, "a limit of %" PRId64 " bytes is none", bytes);
  struct rlimit limit;
  if (getrlimit(RLIMIT_DATA, &limit) != 0) return rs_fail(RS_EIO, "no memory limit: %s", strerror(errno));
  limit.rlim_cur = (rlim_t)bytes;
  if (limit.rlim_max != RLIM_INFINITY && limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_DATA, &limit) != 0) return rs_fail(RS_EIO, "no memory limit: %s", strerror(errno));
  return RS_OK;
}

int64_t rs_process_reserved(void) {
  char line[256];
  long long kib = 0;
  FILE *status = fopen("/proc/self/status", "re");
  if (!status) return 0;
  while (fgets(line, sizeof line, status) && sscanf(line, "VmData: %lld", &kib) != 1) kib = 0;
  fclose(status);
  return (int64_t)kib << 10;
}

/* "/proc/PID/task/PID/children", without what a signal handler may not call. */
static void name_of_children(pid_t pid, char *path) {
  char digits[16];
  int n = 0;
  for (; pid > 0; pid /= 10) digits[n++] = (char)('0' + pid % 10);
  const char *const parts[] = {"/proc/", "/task/", "/children"};
  for (int part = 0; part < 3; part++) {
    for (const char *c = parts[part]; *c; c++) *path++ = *c;
    for (int i = n; part < 2 && i > 0; i--) *path++ = digits[i - 1];
  }
  *path = '\0';
}

enum { DEEPEST = 32, MOST = 2048 }; /* generations; bytes of the list of one's children */

/* Children first: when their parent has gone nobody knows them. */
static void signal_children_of(pid_t pid, int signal_number, int depth) {
  char list[MOST], path[80];
  name_of_children(pid, path);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t n = read(fd, list, sizeof list);
  close(fd);
  pid_t child = 0;
  for (ssize_t i = 0; i < n; i++) {
    if (list[i] >= '0' && list[i] <= '9') {
      child = child * 10 + (list[i] - '0');
      continue;
    }
    if (child > 0 && getpgid(child) == getpgrp()) {
      if (depth < DEEPEST) signal_children_of(child, signal_number, depth + 1);
      kill(child, signal_number);
    }
    child = 0;
  }
}

void rs_process_signal_children(int signal_number) { signal_children_of(getpid(), signal_number, 0); }
