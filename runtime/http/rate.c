/* rate.c - see rate.h. */
#include "http/rate.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"

enum { PLACES = 4096, SHARING = 4 };

typedef struct bucket {
  atomic_uint_fast64_t key; /* hashed; 0: none */
  atomic_int_fast64_t full; /* when it is full again */
} bucket;

struct rs_rate {
  int64_t each, depth; /* ns that a request costs; ns that a full bucket holds */
  uint64_t seed[2];
  bucket of[PLACES][SHARING];
};

rs_status rs_rate_new(rs_rate **out, double rate, double burst) {
  if (!(rate > 0 && rate <= 1e9) || !(burst >= 1 && burst <= 1e9))
    return rs_fail(RS_EARG, "a rate must be more than 0 requests a second, with bursts of 1 or more, at most 1e9: "
                   "not %g and %g", rate, burst);
  rs_rate *r = rs_alloc_zero(sizeof *r);
  if (!r) return rs_nomem("rates", sizeof *r);
  r->each = (int64_t)fmax(1, 1e9 / rate);
  r->depth = (int64_t)fmin(1e18, (double)r->each * (burst - 1));
  if (getrandom(r->seed, sizeof r->seed, 0) != (ssize_t)sizeof r->seed) r->seed[0] = (uint64_t)(uintptr_t)r;
  *out = r;
  return RS_OK;
}

void rs_rate_free(rs_rate *r) { rs_free(r); }

static uint64_t folded(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hashed(const rs_rate *r, const char *key, size_t n) {
  uint64_t h = r->seed[0] ^ n;
  for (size_t at = 0; at < n; at += 8) {
    uint64_t word = 0;
    memcpy(&word, key + at, n - at < 8 ? n - at : 8);
    h = folded(h ^ word ^ 0x9e3779b97f4a7c15u, r->seed[1] | 1);
  }
  h = folded(h ^ 0xd6e8feb86659fd93u, r->seed[0] | 1);
  return h ? h : 1;
}

/* The key's bucket; where it has none yet, the fullest of its place becomes its own. */
static bucket *bucket_of(rs_rate *r, uint64_t key, int64_t now) {
  bucket *place = r->of[key % PLACES], *fullest = place;
  for (bucket *b = place; b < place + SHARING; b++) {
    if (atomic_load_explicit(&b->key, memory_order_relaxed) == key) return b;
    if (atomic_load(&b->full) < atomic_load(&fullest->full)) fullest = b;
  }
  atomic_store(&fullest->key, key);
  atomic_store(&fullest->full, now);
  return fullest;
}

int64_t rs_rate_take(rs_rate *r, const void *key, size_t n, int64_t now) {
  bucket *b = bucket_of(r, hashed(r, key, n), now);
  for (int_fast64_t full = atomic_load(&b->full);;) {
    int64_t from = full > now ? full : now;
    if (from - now > r->depth) return from - now - r->depth;
    if (atomic_compare_exchange_weak(&b->full, &full, from + r->each)) return 0;
  }
}
