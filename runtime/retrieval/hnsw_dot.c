/* hnsw_dot.c - see hnsw_dot.h. A product of 64 codes is one cache line: what it takes is the way to memory, which the
 * caller has asked for ahead. */
#include "retrieval/hnsw_dot.h"

#include <stdbool.h>

#include "base/wide.h"

static void floats_plain(const float *query, const void *base, int64_t width, const int32_t *at, int64_t n,
                         float *out) {
  for (int64_t i = 0; i < n; i++) {
    const float *row = (const float *)base + at[i] * width;
    float sum = 0;
    for (int64_t j = 0; j < width; j++) sum += query[j] * row[j];
    out[i] = sum;
  }
}

static void codes_plain(const int16_t *query, const void *base, int64_t width, const int32_t *at, int64_t n,
                        int32_t *out) {
  for (int64_t i = 0; i < n; i++) {
    const int8_t *row = (const int8_t *)base + at[i] * width;
    int32_t sum = 0;
    for (int64_t j = 0; j < width; j++) sum += query[j] * row[j];
    out[i] = sum;
  }
}

static const rs_hnsw_kernels plain = {"plain", floats_plain, codes_plain};

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#define FOR_AVX2 _Pragma("clang attribute push(__attribute__((target(\"avx2,fma\"))), apply_to = function)")
#define FOR_AVX512 \
  _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,avx512f,avx512bw,avx512vl\"))), apply_to = function)")
#define FOR_ALL _Pragma("clang attribute pop")
#else
#define FOR_AVX2 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma\")")
#define FOR_AVX512 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,avx512f,avx512bw,avx512vl\")")
#define FOR_ALL _Pragma("GCC pop_options")
#endif

FOR_AVX2
static void floats_avx2(const float *query, const void *base, int64_t width, const int32_t *at, int64_t n,
                        float *out) {
  for (int64_t i = 0; i < n; i++) {
    const float *row = (const float *)base + at[i] * width;
    __m256 a = _mm256_setzero_ps(), b = a;
    int64_t j = 0;
    for (; j + 16 <= width; j += 16) {
      a = _mm256_fmadd_ps(_mm256_loadu_ps(query + j), _mm256_loadu_ps(row + j), a);
      b = _mm256_fmadd_ps(_mm256_loadu_ps(query + j + 8), _mm256_loadu_ps(row + j + 8), b);
    }
    a = _mm256_add_ps(a, b);
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    float sum = _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
    for (; j < width; j++) sum += query[j] * row[j];
    out[i] = sum;
  }
}

static void codes_avx2(const int16_t *query, const void *base, int64_t width, const int32_t *at, int64_t n,
                       int32_t *out) {
  for (int64_t i = 0; i < n; i++) {
    const int8_t *row = (const int8_t *)base + at[i] * width;
    __m256i a = _mm256_setzero_si256();
    int64_t j = 0;
    for (; j + 16 <= width; j += 16) {
      __m256i codes = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(row + j)));
      a = _mm256_add_epi32(a, _mm256_madd_epi16(codes, _mm256_loadu_si256((const __m256i *)(query + j))));
    }
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    int32_t sum = _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1)));
    for (; j < width; j++) sum += query[j] * row[j];
    out[i] = sum;
  }
}
FOR_ALL

FOR_AVX512
static void floats_avx512(const float *query, const void *base, int64_t width, const int32_t *at, int64_t n,
                          float *out) {
  for (int64_t i = 0; i < n; i++) {
    const float *row = (const float *)base + at[i] * width;
    __m512 a = _mm512_setzero_ps(), b = a;
    int64_t j = 0;
    for (; j + 32 <= width; j += 32) {
      a = _mm512_fmadd_ps(_mm512_loadu_ps(query + j), _mm512_loadu_ps(row + j), a);
      b = _mm512_fmadd_ps(_mm512_loadu_ps(query + j + 16), _mm512_loadu_ps(row + j + 16), b);
    }
    for (; j < width; j += 16) {
      __mmask16 some = (__mmask16)(width - j < 16 ? (1u << (width - j)) - 1 : 0xFFFF);
      a = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(some, query + j), _mm512_maskz_loadu_ps(some, row + j), a);
    }
    out[i] = _mm512_reduce_add_ps(_mm512_add_ps(a, b));
  }
}

/* The sums of four registers' lanes. */
RS_INLINE __m128i sums_of(__m512i a, __m512i b, __m512i c, __m512i d) {
#define HALVES(x) _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1))
  __m256i low = _mm256_hadd_epi32(HALVES(a), HALVES(b)), high = _mm256_hadd_epi32(HALVES(c), HALVES(d));
#undef HALVES
  __m256i all = _mm256_hadd_epi32(low, high);
  return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

/* The products of 'rows' rows, 1 or 4, at once: the query is read once for all of them. */
RS_INLINE void add_codes(__m512i *sums, const int8_t *const *from, int rows, __m512i query, __mmask32 some, int64_t j) {
#pragma GCC unroll 4
  for (int r = 0; r < rows; r++) {
    __m512i codes = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(some, from[r] + j));
    sums[r] = _mm512_add_epi32(sums[r], _mm512_madd_epi16(codes, query));
  }
}

RS_INLINE void rows_of_codes(const int16_t *query, const int8_t *base, int64_t width, const int32_t *at, int rows,
                             int32_t *out) {
  const int8_t *from[4];
  __m512i sums[4];
#pragma GCC unroll 4
  for (int r = 0; r < rows; r++) {
    from[r] = base + at[r] * width;
    sums[r] = _mm512_setzero_si512();
  }
  int64_t j = 0;
  for (; j + 32 <= width; j += 32) add_codes(sums, from, rows, _mm512_loadu_si512(query + j), UINT32_MAX, j);
  if (j < width) {
    __mmask32 some = (__mmask32)((1u << (width - j)) - 1);
    add_codes(sums, from, rows, _mm512_maskz_loadu_epi16(some, query + j), some, j);
  }
  if (rows == 4)
    _mm_storeu_si128((__m128i *)out, sums_of(sums[0], sums[1], sums[2], sums[3]));
  else
    out[0] = _mm512_reduce_add_epi32(sums[0]);
}

static void codes_avx512(const int16_t *query, const void *base, int64_t width, const int32_t *at, int64_t n,
                         int32_t *out) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) rows_of_codes(query, base, width, at + i, 4, out + i);
  for (; i < n; i++) rows_of_codes(query, base, width, at + i, 1, out + i);
}
FOR_ALL

static const rs_hnsw_kernels avx2 = {"avx2", floats_avx2, codes_avx2};
static const rs_hnsw_kernels avx512 = {"avx512", floats_avx512, codes_avx512};

int rs_hnsw_kernels_list(const rs_hnsw_kernels **list, int most) {
  int n = 0;
  bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl");
  if (has_avx512 && n < most) list[n++] = &avx512;
  if (has_avx2 && n < most) list[n++] = &avx2;
  if (n < most) list[n++] = &plain;
  return n;
}

#else
int rs_hnsw_kernels_list(const rs_hnsw_kernels **list, int most) {
  if (most > 0) list[0] = &plain;
  return most > 0;
}
#endif

const rs_hnsw_kernels *rs_hnsw_kernels_best(void) {
  const rs_hnsw_kernels *best = &plain;
  rs_hnsw_kernels_list(&best, 1);
  return best;
}
