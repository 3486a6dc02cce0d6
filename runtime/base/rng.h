/* rng.h - counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405).
 *
 * A stream is named by (seed, purpose, epoch, step); the number at a position of it is a function of
 * name and position alone. So any number of threads or ranks, in any order, draw the same numbers. */
#ifndef RS_RNG_H
#define RS_RNG_H
#include <stdint.h>

typedef struct rs_stream {
  uint32_t key[2];  /* from seed and purpose */
  uint32_t tail[2]; /* epoch and step: the upper half of the counter */
} rs_stream;

/* What a stream is for: two purposes never share numbers. Values are part of saved goldens: append only. */
typedef enum rs_purpose {
  RS_RNG_USER = 0, /* free for recipes */
  RS_RNG_INIT,
  RS_RNG_DROPOUT,
  RS_RNG_SHUFFLE,
  RS_RNG_NEGATIVES,
  RS_RNG_SPLIT,
  RS_RNG_BOOTSTRAP,
  RS_RNG_BASELINE,
  RS_RNG_SKETCH,
  RS_RNG_WARP,
  RS_RNG_ROUNDING,
  RS_RNG_HNSW
} rs_purpose;

/* The raw generator: 10 rounds of Philox4x32 on 'counter' with 'key'. */
void rs_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

rs_stream rs_stream_at(uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t step);

uint32_t rs_stream_u32(const rs_stream *s, uint64_t position);
/* Uniform in [0, 1) with 24 bits. */
float rs_stream_f32(const rs_stream *s, uint64_t position);
/* Uniform in [0, 1) with 53 bits. */
double rs_stream_f64(const rs_stream *s, uint64_t position);
/* Uniform in 0 .. n-1, n >= 1, without bias that could be seen (64-bit multiply-shift). */
uint64_t rs_stream_below(const rs_stream *s, uint64_t position, uint64_t n);
/* Standard normal by Box-Muller. */
double rs_stream_normal(const rs_stream *s, uint64_t position);

/* Fill 'order' with a uniformly drawn permutation of 0 .. n-1 (Fisher-Yates). */
void rs_stream_permutation(const rs_stream *s, int64_t *order, int64_t n);

#endif
