/* half.h - 16-bit floats, made f32, which contains both kinds exactly; and bf16 of f32, rounded. */
#ifndef RS_HALF_H
#define RS_HALF_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* IEEE 754 binary16. */
static inline float rs_half_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 0x1F, fraction = half & 0x3FF, bits;
  if (exponent == 0) { /* zero, or fraction x 2^-24 */
    float value = (float)fraction * 0x1p-24F;
    return sign ? -value : value;
  }
  bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* The upper half of an f32. */
static inline float rs_bfloat_to_f32(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* The bf16 below or above 'value' once 'offset', 0 to 65535, is added to the lower half: a uniform offset rounds without
 * bias. Infinities stay, and a NaN stays one. */
static inline uint16_t rs_bfloat_with(float value, uint32_t offset) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bool finite = (bits & 0x7F800000) != 0x7F800000, nan = !finite && (bits & 0x007FFFFF);
  return (uint16_t)((bits + (finite ? offset : 0)) >> 16 | (nan ? 0x40 : 0));
}

/* The nearest bf16, ties to even. */
static inline uint16_t rs_bfloat_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return rs_bfloat_with(value, 0x7FFF + (bits >> 16 & 1));
}

#endif
