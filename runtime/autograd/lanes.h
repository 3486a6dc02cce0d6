/* lanes.h - sums along a row for the lower halves (kernel.h). Sixteen running sums, added in a fixed tree, so that the
 * order of additions is the same at any vector width. No guard: included once for each REAL. */
static inline REAL OF(lanes_total)(REAL *lane) {
  for (int half = 8; half; half /= 2)
    for (int l = 0; l < half; l++) lane[l] += lane[l + half];
  return lane[0];
}

#define LANES(term)                                \
  REAL lane[16] = {0};                             \
  int64_t i = 0;                                   \
  for (; i + 16 <= n; i += 16)                     \
    for (int l = 0; l < 16; l++) lane[l] += term;  \
  for (int l = 0; i + l < n; l++) lane[l] += term; \
  return OF(lanes_total)(lane);

static inline REAL OF(lanes_sum)(const REAL *x, int64_t n) { LANES(x[i + l]) }
static inline REAL OF(lanes_dot)(const REAL *x, const REAL *y, int64_t n) { LANES(x[i + l] * y[i + l]) }
/* The sum of (x - c)^2. */
static inline REAL OF(lanes_spread)(const REAL *x, REAL c, int64_t n) { LANES((x[i + l] - c) * (x[i + l] - c)) }
#undef LANES
