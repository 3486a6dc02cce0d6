/* panel_avx2.c - the panel kernels for AVX2 with FMA; see panel_loops.h. Empty where the compiler was not asked for it. */
#include "nn/panel_kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <string.h>

#define REAL float
#define OF(name) name##_f32
#define LANES 8
#define VECTORS 2
#define FMA(x, y, z) _mm256_fmadd_ps(x, y, z)
#define BETWEEN(low, x, high) _mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), x))
#define ABOVE(x, low, y) _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(low), _CMP_NLT_UQ), y)

#include "nn/panel_raise.h"
#include "nn/panel_loops.h"

const rs_panel_kernels rs_panel_avx2 = {"avx2", LANES, VECTORS * LANES, product_f32, exponentials_f32};
#else
typedef int nothing_here; /* an empty file is no C */
#endif
