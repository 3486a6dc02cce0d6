/* half.h - 16-bit floats as others store them, made f32: both kinds are contained in it exactly. */
#ifndef RS_HALF_H
#define RS_HALF_H
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

#endif
