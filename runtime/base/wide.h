/* wide.h - one function in plain C, compiled for AVX2 too and chosen when it runs:
 *
 *     RS_INLINE int64_t count(const float *row, int64_t n) { ... }
 *     RS_WIDE static int64_t count_wide(const float *row, int64_t n) { return count(row, n); }
 *     ... rs_wide() ? count_wide(row, n) : count(row, n) */
#ifndef RS_WIDE_H
#define RS_WIDE_H
#include <stdbool.h>

#define RS_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define RS_WIDE __attribute__((target("avx2")))
static inline bool rs_wide(void) { return __builtin_cpu_supports("avx2"); }
#else
#define RS_WIDE
static inline bool rs_wide(void) { return false; }
#endif

#endif
