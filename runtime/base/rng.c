/* rng.c - see rng.h. Position p of a stream is word p%4 (32-bit draws) or pair p%2 (64-bit draws) of a block. */
#include "base/rng.h"

#include <math.h>

void rs_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
  uint32_t k0 = key[0], k1 = key[1];
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* SplitMix64's finaliser: spreads seed and purpose over the whole key. */
static uint64_t mix(uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

rs_stream rs_stream_at(uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t step) {
  uint64_t key = mix(mix(seed) + purpose);
  return (rs_stream){{(uint32_t)key, (uint32_t)(key >> 32)}, {epoch, step}};
}

static void block(const rs_stream *s, uint64_t index, uint32_t out[4]) {
  uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), s->tail[0], s->tail[1]};
  rs_philox(s->key, counter, out);
}

static uint64_t word64(const rs_stream *s, uint64_t position) {
  uint32_t out[4];
  block(s, position / 2, out);
  int at = (int)(position % 2) * 2;
  return (uint64_t)out[at + 1] << 32 | out[at];
}

uint32_t rs_stream_u32(const rs_stream *s, uint64_t position) {
  uint32_t out[4];
  block(s, position / 4, out);
  return out[position % 4];
}

float rs_stream_f32(const rs_stream *s, uint64_t position) {
  return (float)(rs_stream_u32(s, position) >> 8) * 0x1p-24f;
}

double rs_stream_f64(const rs_stream *s, uint64_t position) { return (double)(word64(s, position) >> 11) * 0x1p-53; }

uint64_t rs_stream_below(const rs_stream *s, uint64_t position, uint64_t n) {
  return (uint64_t)((unsigned __int128)word64(s, position) * n >> 64);
}

double rs_stream_normal(const rs_stream *s, uint64_t position) {
  uint32_t out[4];
  block(s, position, out);
  double u = ((double)(((uint64_t)out[1] << 32 | out[0]) >> 11) + 1) * 0x1p-53; /* in (0, 1] */
  double v = (double)(((uint64_t)out[3] << 32 | out[2]) >> 11) * 0x1p-53;
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

void rs_stream_permutation(const rs_stream *s, int64_t *order, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int64_t j = (int64_t)rs_stream_below(s, (uint64_t)i, (uint64_t)i + 1);
    order[i] = order[j];
    order[j] = i;
  }
}
