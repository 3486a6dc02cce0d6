/* panel_raise.h - e^x of a vector of floats, to 2 units in the last place: 2^round(x / ln 2) times a polynomial of the
 * rest (coefficients of Cephes' expf). For LANES floats; BETWEEN(low, x, high) clamps and keeps NaN, ABOVE(x, low, y)
 * is y where not x < low, else 0. Included once by each file of kernels. */
typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t integers __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline floats raise_f32(floats x) {
  floats c = BETWEEN(-87.0F, x, 88.0F);
  floats shifted = FMA(c, 1.44269504089F - (floats){0}, 12582912.0F - (floats){0}); /* 1.5 * 2^23 rounds to a whole */
  floats k = shifted - 12582912.0F;
  floats r = FMA(k, 2.12194440e-4F - (floats){0}, FMA(k, -0.693359375F - (floats){0}, c));
  floats p = 1.9875691500e-4F - (floats){0};
  p = FMA(p, r, 1.3981999507e-3F - (floats){0});
  p = FMA(p, r, 8.3334519073e-3F - (floats){0});
  p = FMA(p, r, 4.1665795894e-2F - (floats){0});
  p = FMA(p, r, 1.6666665459e-1F - (floats){0});
  p = FMA(p, r, 5.0000001201e-1F - (floats){0});
  p = FMA(p * r, r, r + 1.0F);
  integers power = ((integers)shifted - 0x4B400000 + 127) << 23;
  return ABOVE(x, -87.0F, p * (floats)power);
}
