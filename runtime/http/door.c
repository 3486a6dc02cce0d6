/* door.c - the thread that accepts a service's connections and gives each to the worker that has fewest.
 *
 * Workers that share a listening socket, or have one each (SO_REUSEPORT), get unequal shares where connections are few
 * and kept for long, as a load balancer's are: who wakes first accepts all that wait, and a hash of 16 ports is seldom
 * 8 and 8. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/service_parts.h"

enum {
  PAUSE_MS = 2,  /* when no worker has room, or the system no descriptor */
  LOOK_MS = 500, /* between two looks at those who were turned away */
  LAST_TRIES = 250 /* at the end, until the workers have room for all that wait */
};

rs_status rs_door_open(rs_service *s) {
  s->door_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  s->door_events = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event come = {.events = EPOLLIN, .data.fd = s->at.handle}, woken = {.events = EPOLLIN, .data.fd = -1};
  if (s->door_wake < 0 || s->door_events < 0 || epoll_ctl(s->door_events, EPOLL_CTL_ADD, s->at.handle, &come) != 0 ||
      epoll_ctl(s->door_events, EPOLL_CTL_ADD, s->door_wake, &woken) != 0)
    return rs_fail(RS_EIO, "the system refuses what a service needs: descriptors");
  return RS_OK;
}

void rs_door_free(rs_service *s) {
  rs_linger_sweep(&s->door_linger, INT64_MAX);
  if (s->door_events >= 0) close(s->door_events);
  if (s->door_wake >= 0) close(s->door_wake);
  if (s->at.handle >= 0) close(s->at.handle);
  s->door_events = s->door_wake = s->at.handle = -1;
}

static bool has_room(rs_worker *w) {
  return atomic_load_explicit(&w->filled, memory_order_relaxed) - atomic_load(&w->emptied) < RS_INBOX;
}

/* The worker with the fewest connections and room in its inbox; NULL: none has room. */
static rs_worker *least_busy(rs_service *s) {
  rs_worker *best = NULL;
  int fewest = 0;
  for (rs_worker *w = s->workers; w < s->workers + s->n; w++) {
    int given = atomic_load(&w->given);
    if (!has_room(w) || (best && given >= fewest)) continue;
    best = w;
    fewest = given;
  }
  return best;
}

static bool is_full(const rs_service *s) {
  int all = 0;
  for (const rs_worker *w = s->workers; w < s->workers + s->n; w++) all += atomic_load(&w->given);
  return all >= s->options.connections;
}

static void turn_away(rs_service *s, int handle) {
  static const char full[] =
      "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
      "Content-Length: 67\r\n\r\n{\"error\":{\"code\":\"full\",\"message\":\"too many connections at once\"}}\n";
  rs_tally_add(&s->turned_away, 1);
  if (!s->tls.key) send(handle, full, sizeof full - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  rs_linger_add(&s->door_linger, s->door_events, handle, rs_service_now());
}

static void give(rs_worker *w, const rs_arrival *arrival) {
  unsigned at = atomic_load_explicit(&w->filled, memory_order_relaxed);
  w->inbox[at % RS_INBOX] = *arrival;
  atomic_fetch_add(&w->given, 1);
  atomic_store(&w->filled, at + 1);
  rs_service_wake(w->wake);
}

static bool may_come(rs_service *s, const rs_arrival *a) {
  return !is_full(s) && (!s->addresses || rs_addresses_take(s->addresses, rs_counted_by(s, &a->from.any)));
}

/* Accept all that wait, as long as a worker has room for them: the others wait where they are. False when there is
 * nothing to do but to try again a little later. */
static bool accept_all(rs_service *s) {
  for (rs_worker *w; (w = least_busy(s));) {
    rs_arrival a = {.size = sizeof a.from};
    a.handle = accept4(s->at.handle, &a.from.any, &a.size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (a.handle < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK; /* else the system has no descriptor left */
    }
    rs_tally_add(&s->accepted, 1);
    if (may_come(s, &a)) give(w, &a);
    else turn_away(s, a.handle);
  }
  return false;
}

/* Those who were let in by the system and wait: that the listening socket is closed cuts off who comes behind them. */
static void accept_rest(rs_service *s) {
  for (int tries = 0; tries < LAST_TRIES && !accept_all(s); tries++) usleep(PAUSE_MS * 1000);
  close(s->at.handle);
  s->at.handle = -1;
}

void *rs_door_run(void *service) {
  rs_service *s = service;
  while (atomic_load(&s->phase) == RS_SERVING) {
    struct epoll_event event;
    int n = epoll_wait(s->door_events, &event, 1, s->door_linger.n > 0 ? LOOK_MS : -1);
    if (n == 1 && event.data.fd == s->at.handle) {
      if (!accept_all(s)) usleep(PAUSE_MS * 1000);
    } else if (n == 1 && event.data.fd >= 0) {
      rs_linger_read(&s->door_linger, event.data.fd);
    }
    rs_linger_sweep(&s->door_linger, rs_service_now());
  }
  accept_rest(s);
  return NULL;
}
