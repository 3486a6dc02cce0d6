/* cast.c - rs_cast: 25 conversions, each a run of the walk, and bf16 by way of f32. */
#include "tensor/clones.h"
#include "tensor/half.h"
#include "tensor/kernels.h"
#include "tensor/walk.h"

/* From a float: NaN is 0, what is too large or too small the nearest end. */
static inline int32_t i32_of_real(double x) {
  return x != x ? 0 : x >= INT32_MAX ? INT32_MAX : x <= INT32_MIN ? INT32_MIN : (int32_t)x;
}
static inline int64_t i64_of_real(double x) {
  return x != x ? 0 : x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : (int64_t)x;
}
static inline uint8_t u8_of_real(double x) { return x != x ? 0 : x >= UINT8_MAX ? UINT8_MAX : x <= 0 ? 0 : (uint8_t)x; }
static inline int32_t i32_of_integer(int64_t x) {
  return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (int32_t)x;
}
static inline int64_t i64_of_integer(int64_t x) { return x; }
static inline uint8_t u8_of_integer(int64_t x) { return x > UINT8_MAX ? UINT8_MAX : x < 0 ? 0 : (uint8_t)x; }

#define CAST(F, from, T, to, EXPRESSION)                                                                 \
  RS_CLONES static void from##_to_##to(void *context, char *const *at, const int64_t *step, int64_t n) { \
    (void)context;                                                                                       \
    if (step[0] == sizeof(T) && step[1] == sizeof(F)) {                                                  \
      T *o = (T *)at[0];                                                                                 \
      const F *p = (const F *)at[1];                                                                     \
      for (int64_t i = 0; i < n; i++) {                                                                  \
        F x = p[i];                                                                                      \
        o[i] = EXPRESSION;                                                                               \
      }                                                                                                  \
    } else {                                                                                             \
      for (int64_t i = 0; i < n; i++) {                                                                  \
        F x = *(const F *)(at[1] + i * step[1]);                                                         \
        *(T *)(at[0] + i * step[0]) = EXPRESSION;                                                        \
      }                                                                                                  \
    }                                                                                                    \
  }
#define CASTS(F, from, kind)                    \
  CAST(F, from, float, f32, (float)x)           \
  CAST(F, from, double, f64, (double)x)         \
  CAST(F, from, int32_t, i32, i32_of_##kind(x)) \
  CAST(F, from, int64_t, i64, i64_of_##kind(x)) \
  CAST(F, from, uint8_t, u8, u8_of_##kind(x))
CASTS(float, f32, real)
CASTS(double, f64, real)
CASTS(int32_t, i32, integer)
CASTS(int64_t, i64, integer)
CASTS(uint8_t, u8, integer)

#define ROW(from) \
  { from##_to_f32, from##_to_f64, from##_to_i32, from##_to_i64, from##_to_u8 }
static rs_run *const runs[5][5] = {ROW(f32), ROW(f64), ROW(i32), ROW(i64), ROW(u8)}; /* in the order of rs_dtype */

CAST(uint16_t, bf16, float, f32, rs_bfloat_to_f32(x))
CAST(float, f32, uint16_t, bf16, rs_bfloat_of(x))

static rs_status convert(rs_tensor *out, const rs_tensor *t, rs_dtype dtype, rs_run *run) {
  rs_walk walk;
  rs_status status = rs_tensor_new(out, dtype, t->ndim, t->size);
  if (status != RS_OK) return status;
  status = rs_walk_over(&walk, "cast", 2, (const rs_tensor *[]){out, t});
  if (status == RS_OK) rs_walk_run(&walk, run, NULL);
  return status;
}

/* From or to bf16. */
static rs_status cast_narrow(rs_tensor *out, const rs_tensor *t, rs_dtype dtype) {
  if (t->dtype == dtype) return rs_tensor_copy_of(out, t);
  if (t->dtype == RS_BF16 && dtype == RS_F32) return convert(out, t, dtype, bf16_to_f32);
  if (t->dtype == RS_F32) return convert(out, t, dtype, f32_to_bf16);
  rs_tensor single = {0};
  rs_status status = rs_cast(&single, t, RS_F32);
  if (status == RS_OK) status = rs_cast(out, &single, dtype);
  rs_tensor_free(&single);
  return status;
}

rs_status rs_cast(rs_tensor *out, const rs_tensor *t, rs_dtype dtype) {
  *out = (rs_tensor){0};
  if (t->dtype == RS_BF16 || dtype == RS_BF16) return cast_narrow(out, t, dtype);
  return convert(out, t, dtype, runs[t->dtype][dtype]);
}
