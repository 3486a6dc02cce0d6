/* block.c - see block.h. A tile of c stays in registers while k runs; k runs in parts of RS_BLOCK_DEPTH, so that the
 * panel of b that all rows read again lies in L1. */
#include "tensor/block.h"

#include <string.h>

#include "base/wide.h"

/* A panel of b whose rows are FAR apart is first laid together, for MANY rows of a: lines a power of two apart share
 * the few places of a cache (a third of the speed at 4,096 columns). */
enum { FAR = 512, MANY = 32 };

static void plain_turn(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t rows,
                       int64_t columns) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) to[c * to_step + r] = from[r * from_step + c];
}

static void plain_product(const rs_block *p) {
  for (int64_t i = 0; i < p->m; i++) {
    float *c = p->c + i * p->ldc;
    if (!p->add) memset(c, 0, (size_t)p->n * sizeof *c);
    for (int64_t q = 0; q < p->k; q++) {
      float x = p->alpha * p->a[i * p->a_row + q * p->a_column];
      const float *b = p->turned ? p->b + q : p->b + q * p->ldb;
      int64_t step = p->turned ? p->ldb : 1;
      for (int64_t j = 0; j < p->n; j++) c[j] += x * b[j * step];
    }
  }
}

#if defined(__x86_64__)
#include <immintrin.h>

/* What stands between them is compiled for these instructions. */
#if defined(__clang__)
#define FOR_AVX2 _Pragma("clang attribute push(__attribute__((target(\"avx2,fma\"))), apply_to = function)")
#define FOR_AVX512 _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,avx512f\"))), apply_to = function)")
#define FOR_ALL _Pragma("clang attribute pop")
#else
#define FOR_AVX2 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma\")")
#define FOR_AVX512 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,avx512f\")")
#define FOR_ALL _Pragma("GCC pop_options")
#endif

FOR_AVX2

/* Eight rows of eight floats, turned: pairs, then fours, then halves change places. */
RS_INLINE void turn_square(float *to, int64_t to_step, const float *from, int64_t from_step) {
  __m256 x[8], y[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) x[i] = _mm256_loadu_ps(from + i * from_step);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    x[i] = _mm256_shuffle_ps(y[i], y[i + 2], 0x44);
    x[i + 1] = _mm256_shuffle_ps(y[i], y[i + 2], 0xEE);
    x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
    x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps(to + i * to_step, _mm256_permute2f128_ps(x[i], x[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * to_step, _mm256_permute2f128_ps(x[i], x[i + 4], 0x31));
  }
}

static void turn(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t rows, int64_t columns) {
  int64_t r = 0, even = columns / 8 * 8;
  for (; r + 8 <= rows; r += 8)
    for (int64_t c = 0; c < even; c += 8)
      turn_square(to + c * to_step + r, to_step, from + r * from_step + c, from_step);
  plain_turn(to + even * to_step, to_step, from + even, from_step, r, columns - even);
  plain_turn(to + r, to_step, from + r * from_step, from_step, rows - r, columns);
}

/* The first n of eight lanes. */
RS_INLINE __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#define OF(name) name##_avx2
#define VECTOR __m256
#define LANES 8
#define ROWS 4
#define MASK __m256i
#define MASK_OF(n) first_lanes(n)
#define ZERO _mm256_setzero_ps()
#define SPREAD(x) _mm256_set1_ps(x)
#define LOAD(p) _mm256_loadu_ps(p)
#define LOAD_SOME(mask, p) _mm256_maskload_ps(p, mask)
#define STORE_SOME(p, mask, x) _mm256_maskstore_ps(p, mask, x)
#define TIMES(x, y) _mm256_mul_ps(x, y)
#define FUSED(x, y, z) _mm256_fmadd_ps(x, y, z)
#include "tensor/block_lanes.h"
FOR_ALL

FOR_AVX512
#define OF(name) name##_avx512
#define VECTOR __m512
#define LANES 16
#define ROWS 8
#define MASK __mmask16
#define MASK_OF(n) ((__mmask16)((1u << (n)) - 1))
#define ZERO _mm512_setzero_ps()
#define SPREAD(x) _mm512_set1_ps(x)
#define LOAD(p) _mm512_loadu_ps(p)
#define LOAD_SOME(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define STORE_SOME(p, mask, x) _mm512_mask_storeu_ps(p, mask, x)
#define TIMES(x, y) _mm512_mul_ps(x, y)
#define FUSED(x, y, z) _mm512_fmadd_ps(x, y, z)
#include "tensor/block_lanes.h"
FOR_ALL

static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static bool has_avx512(void) { return has_avx2() && __builtin_cpu_supports("avx512f"); }

rs_block_kernel *rs_block_kernel_named(const char *name) {
  if (strcmp(name, "avx2") == 0 && has_avx2()) return product_avx2;
  if (strcmp(name, "avx512") == 0 && has_avx512()) return product_avx512;
  return strcmp(name, "plain") == 0 ? plain_product : NULL;
}

static rs_block_kernel *best(void) { return has_avx512() ? product_avx512 : has_avx2() ? product_avx2 : plain_product; }

void rs_block_turn(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t rows, int64_t columns) {
  (has_avx2() ? turn : plain_turn)(to, to_step, from, from_step, rows, columns);
}

#else
rs_block_kernel *rs_block_kernel_named(const char *name) { return strcmp(name, "plain") == 0 ? plain_product : NULL; }

static rs_block_kernel *best(void) { return plain_product; }

void rs_block_turn(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t rows, int64_t columns) {
  plain_turn(to, to_step, from, from_step, rows, columns);
}
#endif

static rs_block_kernel *chosen; /* by rs_block_use; NULL: the best */

void rs_block_use(rs_block_kernel *kernel) { chosen = kernel; }

bool rs_block_fast(void) { return (chosen ? chosen : best()) != plain_product; }

void rs_block_product(const rs_block *p) { (chosen ? chosen : best())(p); }
