/* linger.c - see linger.h. */
#include "http/linger.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 2000, READS = 64, BYTES = 16 << 10 };

void rs_linger_add(rs_linger *l, int epoll, int handle, int64_t now) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = handle};
  shutdown(handle, SHUT_WR);
  if (l->n == RS_LINGERING || epoll_ctl(epoll, EPOLL_CTL_ADD, handle, &event) != 0) {
    close(handle);
    return;
  }
  l->of[l->n].handle = handle;
  l->of[l->n++].until = now + PATIENCE_MS * (int64_t)1000000;
}

static void drop(rs_linger *l, int at) {
  close(l->of[at].handle);
  l->of[at] = l->of[--l->n];
}

void rs_linger_read(rs_linger *l, int handle) {
  char bytes[BYTES];
  ssize_t n = 1;
  for (int i = 0; i < READS && n > 0; i++) n = recv(handle, bytes, sizeof bytes, MSG_DONTWAIT);
  if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
  for (int i = l->n - 1; i >= 0; i--)
    if (l->of[i].handle == handle) drop(l, i);
}

void rs_linger_sweep(rs_linger *l, int64_t now) {
  for (int i = l->n - 1; i >= 0; i--)
    if (l->of[i].until < now) drop(l, i);
}
