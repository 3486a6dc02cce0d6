/* dot.h - products of a few vectors, for likeness, reasons and diversity; scores are the index's. Within the serve
 * folder. Items are compared by the dimensions that say what they are (rs_server_model's 'likeness'): those behind, such
 * as the age and a bias, are terms of a score, and would have items of one hour be alike.
 *
 * Eight sums side by side, added up in one order: the bits are the same with and without AVX2. */
#ifndef RS_DOT_H
#define RS_DOT_H
#include <math.h>
#include <stdint.h>

#include "base/wide.h"

RS_INLINE float rs_dot(const float *a, const float *b, int64_t n) {
  float sums[8] = {0};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int lane = 0; lane < 8; lane++) sums[lane] += a[i + lane] * b[i + lane];
  for (int lane = 0; i < n; i++, lane++) sums[lane] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

/* 1 over the length of a vector; 0 for one without length. */
RS_INLINE float rs_inverse_length(const float *a, int64_t n) {
  float square = rs_dot(a, a, n);
  return square > 0 && square <= 3e38F ? 1 / sqrtf(square) : 0;
}

#endif
