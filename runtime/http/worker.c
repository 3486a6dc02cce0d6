/* worker.c - the loop of a thread that answers.
 *
 * libmicrohttpd's epoll descriptor lies within one of our own, beside an eventfd by which the door and the drain wake
 * the worker: its own way to be woken is for its own threads alone. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/parallel.h"
#include "http/service_parts.h"

enum {
  POOL = 32 << 10,    /* bytes that libmicrohttpd has for a connection, all cleared after each request */
  INCREMENT = 4096,   /* by which it grows what it reads into */
  SWEEP_MS = 500,     /* between two looks at all deadlines */
  DRAINING_MS = 50    /* the same while draining */
};

static const char PRIORITIES[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE";

/* Whatever a percent-encoded path is, rs_http_target decodes it. */
static size_t leave(void *context, struct MHD_Connection *connection, char *text) {
  (void)context, (void)connection, (void)text;
  return 0;
}

static rs_status start_daemon(rs_worker *w) {
  const rs_service_options *o = &w->service->options;
  const rs_tls *tls = &w->service->tls;
  const struct MHD_OptionItem encrypted[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, tls->certificate},
                                             {MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key},
                                             {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)PRIORITIES},
                                             {MHD_OPTION_END, 0, NULL}};
  w->daemon = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | (tls->key ? MHD_USE_TLS : 0u), 0, NULL, NULL, rs_request_event, w, MHD_OPTION_URI_LOG_CALLBACK,
      rs_request_line, w, MHD_OPTION_NOTIFY_COMPLETED, rs_request_completed, w, MHD_OPTION_NOTIFY_CONNECTION,
      rs_link_notify, w, MHD_OPTION_UNESCAPE_CALLBACK, leave, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL,
      MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)INCREMENT, MHD_OPTION_CONNECTION_LIMIT,
      (unsigned)o->connections + RS_INBOX, MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_ARRAY,
      encrypted + (tls->key ? 0 : 3), MHD_OPTION_END);
  if (w->daemon) return RS_OK;
  if (tls->key) return rs_fail(RS_EFORMAT, "%s and %s: GnuTLS takes no such certificate and key", o->certificate, o->key);
  return rs_fail(RS_EIO, "the HTTP service cannot be started");
}

rs_status rs_worker_init(rs_worker *w) {
  rs_status status = start_daemon(w);
  if (status != RS_OK) return status;
  w->inner = MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  struct epoll_event ready = {.events = EPOLLIN, .data.fd = w->inner};
  w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  w->events = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event woken = {.events = EPOLLIN, .data.fd = w->wake};
  if (w->wake < 0 || w->events < 0 || epoll_ctl(w->events, EPOLL_CTL_ADD, w->inner, &ready) != 0 ||
      epoll_ctl(w->events, EPOLL_CTL_ADD, w->wake, &woken) != 0)
    return rs_fail(RS_EIO, "the system refuses what a service needs: descriptors");
  return RS_OK;
}

void rs_worker_free(rs_worker *w) {
  if (w->daemon) MHD_stop_daemon(w->daemon);
  w->daemon = NULL;
  rs_linger_sweep(&w->linger, INT64_MAX);
  if (w->events >= 0) close(w->events);
  if (w->wake >= 0) close(w->wake);
  w->events = w->wake = -1;
  while (w->free_links) {
    rs_link *l = w->free_links;
    w->free_links = l->after;
    rs_link_free(l);
  }
  while (w->free_sendings) {
    rs_sending *s = w->free_sendings;
    w->free_sendings = s->next;
    rs_buffer_free(&s->bytes);
    rs_free(s);
  }
}

void rs_worker_gone(rs_worker *w, const struct sockaddr *from) {
  if (w->service->addresses) rs_addresses_drop(w->service->addresses, rs_counted_by(w->service, from));
  atomic_fetch_sub(&w->given, 1);
  rs_tally_add(&w->tally.closed, 1);
}

/* Take what the door has left. */
static void welcome(rs_worker *w) {
  unsigned filled = atomic_load(&w->filled);
  for (unsigned at = atomic_load_explicit(&w->emptied, memory_order_relaxed); at != filled; at++) {
    rs_arrival *a = &w->inbox[at % RS_INBOX];
    w->welcomed = false;
    if (MHD_add_connection(w->daemon, a->handle, &a->from.any, a->size) == MHD_NO && !w->welcomed)
      rs_worker_gone(w, &a->from.any); /* libmicrohttpd has closed it, and told nobody */
    atomic_store(&w->emptied, at + 1);
  }
}

/* Something other than libmicrohttpd's own descriptor has become ready. */
static void attend(rs_worker *w, int handle) {
  uint64_t times;
  if (handle == w->inner) return;
  if (handle != w->wake) {
    rs_linger_read(&w->linger, handle);
    return;
  }
  if (read(w->wake, &times, sizeof times) > 0 && atomic_load(&w->service->phase) != RS_SERVING) w->next_sweep = 0;
  welcome(w);
}

/* ms until there is something to do that no descriptor tells of. */
static int patience(const rs_worker *w, int64_t now) {
  MHD_UNSIGNED_LONG_LONG wanted;
  if (MHD_get_timeout(w->daemon, &wanted) == MHD_YES && wanted == 0) return 0;
  return now >= w->next_sweep ? 0 : (int)((w->next_sweep - now + 999999) / 1000000);
}

/* Whether there is, or may be, somebody to serve. */
static bool needed(rs_worker *w) {
  rs_phase phase = (rs_phase)atomic_load(&w->service->phase);
  return phase < RS_DRAINING || (phase == RS_DRAINING && atomic_load(&w->given) > 0);
}

void *rs_worker_run(void *worker) {
  rs_worker *w = worker;
  rs_parallel_alone();
  while (needed(w)) {
    struct epoll_event ready[8];
    int n = epoll_wait(w->events, ready, 8, patience(w, rs_service_now()));
    for (int i = 0; i < n; i++) attend(w, ready[i].data.fd);
    MHD_run_wait(w->daemon, 0);
    int64_t now = rs_service_now();
    if (now < w->next_sweep) continue;
    rs_link_sweep(w, now);
    rs_linger_sweep(&w->linger, now);
    bool draining = atomic_load(&w->service->phase) >= RS_DRAINING;
    w->next_sweep = now + (draining ? DRAINING_MS : SWEEP_MS) * (int64_t)1000000;
  }
  MHD_stop_daemon(w->daemon); /* here, so that replies that are cut off give their bytes back in this thread */
  w->daemon = NULL;
  atomic_fetch_sub(&w->service->working, 1);
  return NULL;
}
