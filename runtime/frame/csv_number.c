/* csv_number.c - see csv_number.h.
 *
 * Up to 16 characters are loaded so that the last one is in the last lane, the point is shuffled out, and three
 * multiply-adds make the digits one integer below 10^15, an exact double, as its power of ten is: their quotient is
 * correctly rounded (Clinger 1990, doi:10.1145/93542.93557). Signs are taken off first; exponents and longer numbers
 * are left to the caller. */
#include "frame/csv_number.h"

#include <math.h>

#include "base/wide.h"
#include "frame/text.h"

int rs_csv_numbers_plain(const rs_csv_batch *b, int field, int from, double *out) {
  for (int row = from; row < b->n; row++) {
    size_t length;
    const char *text = rs_csv_batch_cell(b, row, field, &length);
    if (length == 0)
      out[row] = NAN;
    else if (!rs_parse_number(text, length, &out[row]) || !rs_number_is_faithful(text, length))
      return row;
  }
  return b->n;
}

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,bmi")))

static const double powers_of_ten[16] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                         1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* Lane i of a number without the point in lane p: what was in lane i - 1 up to p, in lane i behind; p = 16: no point.
 */
#define Z (char)0x80
static const char without_point[17][16] __attribute__((aligned(16))) = {
    {Z, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {Z, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {Z, 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {Z, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {Z, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {Z, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {Z, 0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {Z, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15},
    {Z, 0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15}, {Z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15},
    {Z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15},  {Z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15},
    {Z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15},  {Z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15},
    {Z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15},  {Z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

/* A window of 16 from 16 - n on keeps the last n lanes. */
static const char keep_last[32] = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                   -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

/* A number of at most 15 digits; false for anything else, or what is not faithful. 16 bytes before 'text' are readable.
 */
AVX2 RS_INLINE bool short_number(const char *text, size_t length, double *value) {
  bool negative = *text == '-';
  text += negative;
  length -= negative;
  if (length - 1 >= 16) return false;
  __m128i lanes = _mm_loadu_si128((const __m128i *)(const void *)(text + length - 16));
  lanes = _mm_and_si128(_mm_sub_epi8(lanes, _mm_set1_epi8('0')),
                        _mm_loadu_si128((const __m128i *)(const void *)(keep_last + length)));
  unsigned points = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(lanes, _mm_set1_epi8('.' - '0')));
  unsigned digits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(lanes, _mm_set1_epi8(9)), lanes));
  unsigned place = (unsigned)__builtin_ctz(points | 0x10000);
  bool zero_first = *text == '0' && length > 1 && text[1] != '.';
  if ((points | digits) != 0xFFFF || (points & (points - 1)) || length - (points != 0) - 1 >= 15 || zero_first)
    return false;
  lanes = _mm_shuffle_epi8(lanes, _mm_load_si128((const __m128i *)(const void *)without_point[place]));
  lanes = _mm_maddubs_epi16(lanes, _mm_set1_epi16(10 | 1 << 8));
  lanes = _mm_madd_epi16(lanes, _mm_set1_epi32(100 | 1 << 16));
  lanes = _mm_madd_epi16(_mm_packus_epi32(lanes, lanes), _mm_set1_epi32(10000 | 1 << 16));
  uint64_t halves = (uint64_t)_mm_cvtsi128_si64(lanes);
  double whole = (double)(int64_t)((halves & 0xFFFFFFFF) * 100000000 + (halves >> 32));
  double size = whole / powers_of_ten[points ? 15 - place : 0];
  *value = negative ? -size : size;
  return true;
}

AVX2 static int numbers_avx2(const rs_csv_batch *b, int field, int from, double *out) {
  for (int row = from; row < b->n; row++) {
    size_t length;
    const char *text = rs_csv_batch_cell(b, row, field, &length);
    if (length == 0)
      out[row] = NAN;
    else if (!short_number(text, length, &out[row]) &&
             !(rs_parse_number(text, length, &out[row]) && rs_number_is_faithful(text, length)))
      return row;
  }
  return b->n;
}

int rs_csv_numbers(const rs_csv_batch *b, int field, int from, double *out) {
  return __builtin_cpu_supports("avx2") ? numbers_avx2(b, field, from, out) : rs_csv_numbers_plain(b, field, from, out);
}
#else
int rs_csv_numbers(const rs_csv_batch *b, int field, int from, double *out) {
  return rs_csv_numbers_plain(b, field, from, out);
}
#endif
