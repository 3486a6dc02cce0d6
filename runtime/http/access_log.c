/* access_log.c - see access_log.h. */
#include "http/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"

enum { RING = 256 << 10, EVERY_MS = 100 };

typedef struct ring {
  _Alignas(RS_ALIGN) atomic_size_t filled; /* bytes, ever: by the worker */
  atomic_int_fast64_t dropped;             /* lines */
  _Alignas(RS_ALIGN) atomic_size_t emptied; /* by the thread */
  char bytes[RING];
} ring;

struct rs_access_log {
  char *path;
  int file, wake;
  atomic_bool stop, moved;
  atomic_int_fast64_t lost; /* lines that could not be written */
  pthread_t thread;
  bool running;
  int n;
  ring *rings;
};

/* Not blocking: who does not read a pipe could keep the thread from ending. Opened anew, standard output stays as it is
 * for the others that have it. */
static int open_file(const char *path) {
  enum { HOW = O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC };
  if (strcmp(path, "-")) return open(path, HOW | O_CREAT, 0640);
  int file = open("/proc/self/fd/1", HOW);
  return file >= 0 ? file : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
}

static void reopen(rs_access_log *log) {
  int file = open_file(log->path);
  if (file < 0) {
    fprintf(stderr, "recsys-run: %s cannot be opened anew: %s; lines go on to the file of before\n", log->path,
            strerror(errno));
    return;
  }
  close(log->file);
  log->file = file;
}

static int64_t count_lines(const struct iovec *parts, int n) {
  int64_t lines = 0;
  for (int i = 0; i < n; i++)
    for (size_t j = 0; j < parts[i].iov_len; j++) lines += ((const char *)parts[i].iov_base)[j] == '\n';
  return lines;
}

static void skip(struct iovec *parts, int n, size_t bytes) {
  for (int i = 0; i < n; i++) {
    size_t take = bytes < parts[i].iov_len ? bytes : parts[i].iov_len;
    parts[i].iov_base = (char *)parts[i].iov_base + take;
    parts[i].iov_len -= take;
    bytes -= take;
  }
}

/* Write all of the parts; what the system refuses is lost. */
static void write_parts(rs_access_log *log, struct iovec *parts, int n) {
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    ssize_t written = writev(log->file, parts, n);
    if (written > 0) skip(parts, n, (size_t)written);
    else if (written < 0 && errno == EAGAIN) poll(&(struct pollfd){.fd = log->file, .events = POLLOUT}, 1, EVERY_MS);
    else if (written == 0 || errno != EINTR) break;
    if (written < 0 && errno == EAGAIN && atomic_load(&log->stop)) break;
  }
  int64_t lost = count_lines(parts, n);
  if (lost > 0) atomic_fetch_add(&log->lost, lost);
}

static void empty(rs_access_log *log, ring *r) {
  size_t from = atomic_load_explicit(&r->emptied, memory_order_relaxed), to = atomic_load(&r->filled);
  if (from == to) return;
  size_t at = from % RING, first = to - from < RING - at ? to - from : RING - at;
  struct iovec parts[2] = {{r->bytes + at, first}, {r->bytes, to - from - first}};
  write_parts(log, parts, 2);
  atomic_store(&r->emptied, to);
}

static void *write_lines(void *context) {
  rs_access_log *log = context;
  for (bool stop = false; !stop;) {
    uint64_t times;
    poll(&(struct pollfd){.fd = log->wake, .events = POLLIN}, 1, EVERY_MS);
    if (read(log->wake, &times, sizeof times) < 0 && errno != EAGAIN) usleep(EVERY_MS * 1000);
    stop = atomic_load(&log->stop);
    bool moved = atomic_exchange(&log->moved, false);
    for (int i = 0; i < log->n; i++) empty(log, &log->rings[i]);
    if (moved) reopen(log);
  }
  return NULL;
}

static rs_status start(rs_access_log *log) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  log->running = pthread_create(&log->thread, NULL, write_lines, log) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return log->running ? RS_OK : rs_fail(RS_EIO, "%s: the system refuses a thread for the log", log->path);
}

rs_status rs_access_log_open(rs_access_log **out, const char *path, int workers) {
  rs_access_log *log = rs_alloc_zero(sizeof *log);
  if (!log) return rs_nomem("an access log", sizeof *log);
  log->n = workers;
  log->file = log->wake = -1;
  log->rings = rs_alloc_zero(sizeof *log->rings * (size_t)workers);
  log->path = rs_strdup(path);
  rs_status status = log->rings && log->path ? RS_OK : rs_nomem("an access log", sizeof *log->rings * (size_t)workers);
  if (status == RS_OK && (log->file = open_file(path)) < 0) status = rs_fail(RS_EIO, "%s: %s", path, strerror(errno));
  if (status == RS_OK && (log->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
    status = rs_fail(RS_EIO, "%s: %s", path, strerror(errno));
  if (status == RS_OK) status = start(log);
  if (status == RS_OK)
    *out = log;
  else
    rs_access_log_close(log);
  return status;
}

static void wake(rs_access_log *log) {
  uint64_t one = 1;
  while (write(log->wake, &one, sizeof one) < 0 && errno == EINTR) {}
}

void rs_access_log_close(rs_access_log *log) {
  if (!log) return;
  if (log->running) {
    atomic_store(&log->stop, true);
    wake(log);
    pthread_join(log->thread, NULL);
  }
  if (log->file >= 0) close(log->file);
  if (log->wake >= 0) close(log->wake);
  rs_free(log->rings);
  rs_free(log->path);
  rs_free(log);
}

/* The thread looks ten times a second; a ring that fills up sooner wakes it, when it becomes half full. */
void rs_access_log_add(rs_access_log *log, int worker, const char *line, size_t n) {
  ring *r = &log->rings[worker];
  size_t to = atomic_load_explicit(&r->filled, memory_order_relaxed), used = to - atomic_load(&r->emptied);
  if (n > RING - used) {
    atomic_fetch_add_explicit(&r->dropped, 1, memory_order_relaxed);
    return;
  }
  size_t at = to % RING, first = n < RING - at ? n : RING - at;
  memcpy(r->bytes + at, line, first);
  memcpy(r->bytes, line + first, n - first);
  atomic_store(&r->filled, to + n);
  if (used < RING / 2 && used + n >= RING / 2) wake(log);
}

void rs_access_log_reopen(rs_access_log *log) {
  atomic_store(&log->moved, true);
  wake(log);
}

int64_t rs_access_log_dropped(const rs_access_log *log) {
  int64_t n = atomic_load(&log->lost);
  for (int i = 0; i < log->n; i++) n += atomic_load_explicit(&log->rings[i].dropped, memory_order_relaxed);
  return n;
}
