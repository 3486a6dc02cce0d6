/* above.c - see above.h: with AVX-512, AVX2, or in plain C. */
#include "retrieval/above.h"

#include <math.h>
#include <string.h>

static bool plain_above(const float *scores, int64_t n, float least, uint64_t *words) {
  uint64_t any = 0;
  for (int64_t i = 0; i < n; i++, scores += 64) {
    uint64_t word = 0;
    for (int at = 0; at < 64; at++) {
      uint32_t bits;
      memcpy(&bits, &scores[at], sizeof bits);
      word |= (uint64_t)((scores[at] > least) | ((bits & 0x7F800000u) == 0x7F800000u)) << at;
    }
    any |= words[i] = word;
  }
  return any != 0;
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static bool avx2_above(const float *scores, int64_t n, float least, uint64_t *words) {
  const __m256 bar = _mm256_set1_ps(least), infinity = _mm256_set1_ps(INFINITY), sign = _mm256_set1_ps(-0.0F);
  uint64_t any = 0;
  for (int64_t i = 0; i < n; i++, scores += 64) {
    uint64_t word = 0;
    for (int v = 0; v < 8; v++) {
      __m256 x = _mm256_loadu_ps(scores + 8 * v);
      __m256 is_above = _mm256_cmp_ps(x, bar, _CMP_GT_OQ);
      __m256 is_wild = _mm256_cmp_ps(_mm256_andnot_ps(sign, x), infinity, _CMP_NLT_UQ);
      word |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_or_ps(is_above, is_wild)) << (8 * v);
    }
    any |= words[i] = word;
  }
  return any != 0;
}

__attribute__((target("avx512f"))) static bool avx512_above(const float *scores, int64_t n, float least,
                                                           uint64_t *words) {
  const __m512 bar = _mm512_set1_ps(least), infinity = _mm512_set1_ps(INFINITY);
  uint64_t any = 0;
  for (int64_t i = 0; i < n; i++, scores += 64) {
    uint64_t word = 0;
    for (int v = 0; v < 4; v++) {
      __m512 x = _mm512_loadu_ps(scores + 16 * v);
      uint64_t is_above = _mm512_cmp_ps_mask(x, bar, _CMP_GT_OQ);
      uint64_t is_wild = _mm512_cmp_ps_mask(_mm512_abs_ps(x), infinity, _CMP_NLT_UQ);
      word |= (is_above | is_wild) << (16 * v);
    }
    any |= words[i] = word;
  }
  return any != 0;
}

bool rs_above(const float *scores, int64_t n, float least, uint64_t *words) {
  if (__builtin_cpu_supports("avx512f")) return avx512_above(scores, n, least, words);
  if (__builtin_cpu_supports("avx2")) return avx2_above(scores, n, least, words);
  return plain_above(scores, n, least, words);
}
#else
bool rs_above(const float *scores, int64_t n, float least, uint64_t *words) {
  return plain_above(scores, n, least, words);
}
#endif
