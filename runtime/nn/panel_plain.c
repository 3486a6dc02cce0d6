/* panel_plain.c - the panel kernels in plain C, for any CPU and for double; see panel_loops.h. What the others must
 * equal, up to the rounding of fused multiply-adds. */
#include <math.h>
#include <string.h>

#include "nn/panel_kernels.h"

#define FMA(x, y, z) ((x) * (y) + (z))
#define VECTORS 2

#define LANES 4
#define BETWEEN(low, x, high) between(x, low, high)
#define ABOVE(x, low, y) above(x, low, y)

static inline __attribute__((vector_size(16))) float between(__attribute__((vector_size(16))) float x, float low,
                                                             float high) {
  for (int l = 0; l < LANES; l++) {
    x[l] = x[l] < low ? low : x[l];
    x[l] = x[l] > high ? high : x[l];
  }
  return x;
}

static inline __attribute__((vector_size(16))) float above(__attribute__((vector_size(16))) float x, float low,
                                                           __attribute__((vector_size(16))) float y) {
  for (int l = 0; l < LANES; l++) y[l] = x[l] < low ? 0 : y[l];
  return y;
}

#include "nn/panel_raise.h"

#define REAL float
#define OF(name) name##_f32
#include "nn/panel_loops.h"
const rs_panel_kernels rs_panel_plain_f32 = {"plain", LANES, VECTORS * LANES, product_f32, exponentials_f32};
#undef REAL
#undef OF
#undef LANES

#define LANES 2
#define REAL double
#define OF(name) name##_f64

static inline __attribute__((vector_size(16))) double raise_f64(__attribute__((vector_size(16))) double x) {
  for (int l = 0; l < LANES; l++) x[l] = exp(x[l]);
  return x;
}

#include "nn/panel_loops.h"
const rs_panel_kernels rs_panel_plain_f64 = {"plain", LANES, VECTORS * LANES, product_f64, exponentials_f64};
