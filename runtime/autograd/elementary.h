/* elementary.h - exp, log(1 + x), tanh, the logistic function and erf in forms that compilers vectorise.
 *
 * For float: branch-free, within 4 units in the last place of 1 or of the result, whichever is larger (exp: of the
 * result); NaN gives NaN. Polynomials are Chebyshev fits made for this file. For double: libm's, as gradients are
 * checked there. elementary_test.c measures all against libm. */
#ifndef RS_ELEMENTARY_H
#define RS_ELEMENTARY_H
#include <math.h>
#include <stdint.h>
#include <string.h>

/* 2^n for -126 <= n <= 127. */
static inline float rs_power_of_two(int32_t n) {
  int32_t bits = (int32_t)((uint32_t)(n + 127) << 23);
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

/* e^x = 2^n e^r with n = round(x / ln 2); 2^n in two factors, to reach from the smallest denormal to infinity. */
static inline float rs_exp_f32(float x) {
  const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number, in the low bits */
  float c = x > 89.0f ? 89.0f : x;
  c = c < -104.0f ? -104.0f : c;
  float shifted = c * 1.44269504f + magic, k = shifted - magic;
  int32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  int32_t n = (bits & 0x7fffff) - 0x400000;
  n = n > 160 ? 160 : n; /* of NaN the bits are arbitrary */
  n = n < -160 ? -160 : n;
  int32_t half = n >> 1;
  float r = c - k * 0.693359375f + k * 2.12194440e-4f; /* ln 2 in two parts; the first times k is exact */
  float p = 1.3926926614e-3f;
  p = p * r + 8.3637738744e-3f;
  p = p * r + 4.166655011e-2f;
  p = p * r + 1.6666573382e-1f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  return p * rs_power_of_two(half) * rs_power_of_two(n - half);
}

static inline float rs_logistic_f32(float x) { return 1.0f / (1.0f + rs_exp_f32(-x)); }

/* |x| < 0.625: x + x^3 P(x^2); beyond: 1 - 2 / (e^2|x| + 1). */
static inline float rs_tanh_f32(float x) {
  float a = fabsf(x), z = x * x;
  float p = -5.9907987641e-3f;
  p = p * z + 2.0922588847e-2f;
  p = p * z - 5.3834796411e-2f;
  p = p * z + 1.33326611e-1f;
  p = p * z - 3.3333327839e-1f;
  float near = x + x * z * p, far = copysignf(1.0f - 2.0f / (rs_exp_f32(2.0f * a) + 1.0f), x);
  return a < 0.625f ? near : far;
}

/* |x| < 1: x P(x^2); beyond: 1 - e^-Q(|x|), Q fitted to -log erfc. */
static inline float rs_erf_f32(float x) {
  float a = fabsf(x), z = x * x;
  float p = 7.8758750627e-5f;
  p = p * z - 8.0168642872e-4f;
  p = p * z + 5.1890874234e-3f;
  p = p * z - 2.6854212011e-2f;
  p = p * z + 1.1283594715e-1f;
  p = p * z - 3.7612626667e-1f;
  p = p * z + 1.1283791658f;
  float t = a > 4.0f ? 4.0f : a;
  float q = -1.6426789684e-6f;
  q = q * t + 4.6164785161e-5f;
  q = q * t - 5.9767727492e-4f;
  q = q * t + 4.7635096633e-3f;
  q = q * t - 2.6431643283e-2f;
  q = q * t + 1.1009724251e-1f;
  q = q * t + 6.3180955013e-1f;
  q = q * t + 1.1302418775f;
  q = q * t - 3.2186625755e-4f;
  float near = x * p, far = copysignf(1.0f - rs_exp_f32(-q), x);
  return a < 1.0f ? near : far;
}

/* log(1 + x) for 0 <= x <= 1, as 2 artanh(x / (2 + x)). */
static inline float rs_log_1_to_2_f32(float x) {
  float t = x / (2.0f + x), z = t * t;
  float p = 1.0f / 13;
  p = p * z + 1.0f / 11;
  p = p * z + 1.0f / 9;
  p = p * z + 1.0f / 7;
  p = p * z + 0.2f;
  p = p * z + 1.0f / 3;
  return 2 * t + 2 * t * z * p;
}

static inline double rs_exp_f64(double x) { return exp(x); }
static inline double rs_log_1_to_2_f64(double x) { return log1p(x); }
static inline double rs_logistic_f64(double x) { return 1 / (1 + exp(-x)); }
static inline double rs_tanh_f64(double x) { return tanh(x); }
static inline double rs_erf_f64(double x) { return erf(x); }

#endif
