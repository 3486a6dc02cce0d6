/* link.c - a service's connections, and the deadlines by which those are left that send or take too little. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "http/service_parts.h"

static void trim(rs_buffer *b) {
  if (b->capacity > RS_KEPT) rs_buffer_free(b);
}

/* As a number; of an IPv4 address that came through a socket of IPv6, that of IPv4. */
void rs_link_name(rs_link *l, const struct sockaddr *from) {
  l->address = rs_address_key(from);
  const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
  if (from->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(six))
    inet_ntop(AF_INET, six->s6_addr + 12, l->client, sizeof l->client);
  else if (from->sa_family == AF_INET6)
    inet_ntop(AF_INET6, six, l->client, sizeof l->client);
  else if (from->sa_family == AF_INET)
    inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)from)->sin_addr, l->client, sizeof l->client);
}

static const struct sockaddr *address_of(struct MHD_Connection *connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
}

static rs_link *new_link(rs_worker *w) {
  rs_link *l = w->free_links;
  if (!l) return rs_alloc_zero(sizeof *l);
  w->free_links = l->after;
  rs_buffer kept[3] = {l->target_memory, l->head_memory, l->body};
  *l = (rs_link){.target_memory = kept[0], .head_memory = kept[1], .body = kept[2]};
  return l;
}

static rs_link *open_link(rs_worker *w, struct MHD_Connection *connection) {
  int handle = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
  rs_link *l = new_link(w);
  if (!l) { /* nobody would watch over it */
    shutdown(handle, SHUT_RDWR);
    return NULL;
  }
  l->of = w;
  l->handle = handle;
  l->stage = RS_HEAD;
  l->since = rs_service_now();
  l->token = -1;
  rs_link_name(l, address_of(connection));
  l->proxied = rs_proxies_have(w->service->proxies, address_of(connection));
  l->after = w->open;
  if (w->open) w->open->before = l;
  w->open = l;
  return l;
}

static void close_link(rs_worker *w, rs_link *l) {
  if (l->before) l->before->after = l->after;
  if (l->after) l->after->before = l->before;
  if (w->open == l) w->open = l->after;
  int rest = l->lingers && l->stage != RS_LEFT ? fcntl(l->handle, F_DUPFD_CLOEXEC, 0) : -1;
  if (rest >= 0) rs_linger_add(&w->linger, w->events, rest, rs_service_now());
  trim(&l->target_memory);
  trim(&l->head_memory);
  trim(&l->body);
  l->after = w->free_links;
  w->free_links = l;
}

void rs_link_notify(void *worker, struct MHD_Connection *connection, void **link,
                    enum MHD_ConnectionNotificationCode code) {
  rs_worker *w = worker;
  w->welcomed = true;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    *link = open_link(w, connection);
    return;
  }
  if (*link) close_link(w, *link); /* and libmicrohttpd closes the socket, when this returns */
  *link = NULL;
  rs_worker_gone(w, address_of(connection));
}

void rs_link_free(rs_link *l) {
  rs_buffer_free(&l->target_memory);
  rs_buffer_free(&l->head_memory);
  rs_buffer_free(&l->body);
  rs_free(l);
}

void rs_link_say(const rs_link *l, int status, const char *reason, const char *message) {
  char text[512], body[256];
  if (l->of->service->tls.key) return;
  int size = snprintf(body, sizeof body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n",
                      status == 408 ? "slow" : "body", message);
  int n = snprintf(text, sizeof text,
                   "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
                   "Content-Length: %d\r\n\r\n%s",
                   status, reason, size, body);
  send(l->handle, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Deadlines. */

static struct tcp_info told_of(const rs_link *l) {
  struct tcp_info info = {0};
  socklen_t size = sizeof info;
  if (getsockopt(l->handle, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) info = (struct tcp_info){0};
  return info;
}

/* Bytes that have come from the client; 0 where the system does not tell. */
static int64_t received(const rs_link *l) { return (int64_t)told_of(l).tcpi_bytes_received; }

/* Bytes that the client's system has taken; likewise. */
static int64_t acknowledged(const rs_link *l) { return (int64_t)told_of(l).tcpi_bytes_acked; }

/* libmicrohttpd finds it closed and tells us so. */
static void leave(rs_link *l) {
  l->stage = RS_LEFT;
  shutdown(l->handle, SHUT_RDWR);
}

static void leave_slow(rs_link *l, bool tell) {
  rs_tally_add(&l->of->tally.refused[RS_REFUSED_SLOW], 1);
  if (tell) rs_link_say(l, 408, "Request Timeout", "the request did not come in time");
  leave(l);
}

/* A connection between two requests: that bytes have come since the last look says that a head has begun, of which
 * libmicrohttpd tells only when its first line is whole. */
static void check_idle(rs_link *l, int64_t now, bool draining) {
  const rs_service_options *o = &l->of->service->options;
  int64_t bytes = received(l), age = now - l->since;
  bool still = l->received < 0 || l->received == bytes;
  l->received = bytes;
  if (!still) {
    l->stage = RS_HEAD;
    l->since = now;
  } else if (draining ? age > RS_STILL_NS : age / 1000000 > o->idle_ms) {
    leave(l);
  }
}

/* A reply: what is taken of it in each stretch of head_ms, where the system tells. How large it is grants no time in
 * which nothing is taken, as all of it is held until then. */
static void check_reply(rs_link *l, int64_t now) {
  const rs_service_options *o = &l->of->service->options;
  int64_t ms = (now - l->looked) / 1000000, taken = acknowledged(l);
  if (l->looked && ms < o->head_ms) return;
  if (l->looked && taken > 0 && (taken - l->taken) * 1000 < ms * o->write_rate) leave_slow(l, false);
  l->looked = now;
  l->taken = taken;
}

static void check(rs_link *l, int64_t now, bool draining) {
  const rs_service_options *o = &l->of->service->options;
  int64_t age = now - l->since, ms = age / 1000000 - o->head_ms;
  switch (l->stage) {
    case RS_IDLE: check_idle(l, now, draining); break;
    case RS_HEAD:
      if (draining && age > RS_STILL_NS && received(l) == 0) leave(l);
      else if (ms > 0) leave_slow(l, received(l) > 0);
      break;
    case RS_BODY:
      if (ms > 0 && l->size * 1000 < ms * o->body_rate) leave_slow(l, true);
      break;
    case RS_REPLYING:
      if (ms > (int64_t)l->reply_size * 1000 / o->write_rate) leave_slow(l, false);
      else check_reply(l, now);
      break;
    case RS_LEFT: break;
  }
}

void rs_link_sweep(rs_worker *w, int64_t now) {
  bool draining = atomic_load(&w->service->phase) >= RS_DRAINING;
  for (rs_link *l = w->open, *after; l; l = after) {
    after = l->after;
    check(l, now, draining);
  }
}
