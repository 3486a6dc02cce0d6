/* listen.c - see listen.h. */
#include "http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_socket(const struct addrinfo *a) {
  int handle = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, no = 0;
  if (handle < 0) return -1;
  setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (a->ai_family == AF_INET6) setsockopt(handle, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no); /* IPv4 as well */
  if (bind(handle, a->ai_addr, a->ai_addrlen) == 0 && listen(handle, SOMAXCONN) == 0) return handle;
  int reason = errno;
  close(handle);
  errno = reason;
  return -1;
}

/* At the first of them that can be had; of one family alone unless that is 0. */
static void open_first(rs_listening *out, const struct addrinfo *found, int family) {
  for (const struct addrinfo *a = found; a && out->handle < 0; a = a->ai_next) {
    if (family && a->ai_family != family) continue;
    out->handle = open_socket(a);
    out->family = a->ai_family;
  }
}

static bool is_loopback(const struct sockaddr_storage *a) {
  if (a->ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
  return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

rs_status rs_listen(rs_listening *out, const char *address, int port) {
  const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
  struct addrinfo *found = NULL;
  char service[16];
  snprintf(service, sizeof service, "%d", port);
  bool all = !*address || strcmp(address, "*") == 0;
  int code = getaddrinfo(all ? NULL : address, service, &wanted, &found);
  if (code != 0) return rs_fail(RS_EIO, "cannot listen on %s: %s", address, gai_strerror(code));
  out->handle = -1;
  if (all) open_first(out, found, AF_INET6); /* takes both; a machine without it has the other */
  if (out->handle < 0) open_first(out, found, 0);
  int reason = errno;
  freeaddrinfo(found);
  if (out->handle < 0)
    return rs_fail(RS_EIO, "cannot listen on %s, port %d: %s", all ? "any address" : address, port, strerror(reason));
  struct sockaddr_storage own;
  socklen_t size = sizeof own;
  getsockname(out->handle, (struct sockaddr *)&own, &size);
  out->port = ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&own)->sin6_port
                                              : ((struct sockaddr_in *)(void *)&own)->sin_port);
  out->loopback = is_loopback(&own);
  return RS_OK;
}
