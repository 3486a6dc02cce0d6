/* panel_avx512.c - the panel kernels for AVX-512; see panel_loops.h. Empty where the compiler was not asked for it. */
#include "nn/panel_kernels.h"

#ifdef __AVX512F__
#include <immintrin.h>
#include <string.h>

#define REAL float
#define OF(name) name##_f32
#define LANES 16
#define VECTORS 4
#define FMA(x, y, z) _mm512_fmadd_ps(x, y, z)
#define BETWEEN(low, x, high) _mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), x))
#define ABOVE(x, low, y) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(low), _CMP_NLT_UQ), y)

#include "nn/panel_raise.h"
#include "nn/panel_loops.h"

const rs_panel_kernels rs_panel_avx512 = {"avx512", LANES, VECTORS * LANES, product_f32, exponentials_f32};
#else
typedef int nothing_here; /* an empty file is no C */
#endif
