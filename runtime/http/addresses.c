/* addresses.c - see addresses.h. Open addressing; an entry that goes is filled by those that were pushed on by it. */
#include "http/addresses.h"

#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

typedef struct entry {
  uint64_t key; /* 0: empty */
  int n;
} entry;

struct rs_addresses {
  pthread_mutex_t lock;
  int each;
  size_t mask;
  entry of[];
};

rs_status rs_addresses_new(rs_addresses **out, int connections, int each) {
  size_t size = 16;
  while (size < 2 * (size_t)connections) size *= 2;
  rs_addresses *a = rs_alloc_zero(sizeof *a + size * sizeof *a->of);
  if (!a) return rs_nomem("addresses", size * sizeof *a->of);
  pthread_mutex_init(&a->lock, NULL);
  a->each = each;
  a->mask = size - 1;
  *out = a;
  return RS_OK;
}

void rs_addresses_free(rs_addresses *a) {
  if (a) pthread_mutex_destroy(&a->lock);
  rs_free(a);
}

uint64_t rs_address_key(const struct sockaddr *address) {
  uint64_t key = 0;
  uint32_t four = 0;
  if (address->sa_family == AF_INET6) {
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    memcpy(&key, six, sizeof key);
    if (IN6_IS_ADDR_V4MAPPED(six)) memcpy(&four, six->s6_addr + 12, sizeof four);
    if (IN6_IS_ADDR_LOOPBACK(six)) key = 1;
  } else if (address->sa_family == AF_INET) {
    four = ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr;
  }
  return four ? (uint64_t)1 << 32 | four : key;
}

/* Addresses are a client's choice: what they cluster to is bounded by the connections that it has. */
static size_t home(const rs_addresses *a, uint64_t key) {
  return (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & a->mask;
}

static entry *find(rs_addresses *a, uint64_t key) {
  size_t at = home(a, key);
  while (a->of[at].key && a->of[at].key != key) at = (at + 1) & a->mask;
  return &a->of[at];
}

bool rs_addresses_take(rs_addresses *a, uint64_t key) {
  if (!key) return true;
  pthread_mutex_lock(&a->lock);
  entry *e = find(a, key);
  bool taken = e->n < a->each;
  if (taken) {
    e->key = key;
    e->n++;
  }
  pthread_mutex_unlock(&a->lock);
  return taken;
}

static void take_out(rs_addresses *a, size_t at) {
  for (size_t next = (at + 1) & a->mask; a->of[next].key; next = (next + 1) & a->mask) {
    size_t from_home = (next - home(a, a->of[next].key)) & a->mask, from_hole = (next - at) & a->mask;
    if (from_home < from_hole) continue;
    a->of[at] = a->of[next];
    at = next;
  }
  a->of[at] = (entry){0};
}

void rs_addresses_drop(rs_addresses *a, uint64_t key) {
  if (!key) return;
  pthread_mutex_lock(&a->lock);
  entry *e = find(a, key);
  if (e->n > 0 && --e->n == 0) take_out(a, (size_t)(e - a->of));
  pthread_mutex_unlock(&a->lock);
}
