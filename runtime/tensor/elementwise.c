/* elementwise.c - see kernels.h. elementwise_type.h holds the loops, walk.h the broadcasting. */
#include <math.h>
#include <string.h>

#include "tensor/clones.h"
#include "tensor/kernels.h"
#include "tensor/walk.h"

#define fabs_f32 fabsf
#define exp_f32 expf
#define log_f32 logf
#define sqrt_f32 sqrtf
#define floor_f32 floorf
#define fabs_f64 fabs
#define fabs_i32(x) ((x) < 0 ? 0U - (uint32_t)(x) : (uint32_t)(x))
#define fabs_i64(x) ((x) < 0 ? 0U - (uint64_t)(x) : (uint64_t)(x))
#define fabs_u8(x) (x)
#define exp_f64 exp
#define log_f64 log
#define sqrt_f64 sqrt
#define floor_f64 floor

/* Floor division and remainder as Lua defines them. Divisors of 0 were refused before; a divisor of -1 is taken apart
 * because the least integer divided by it traps. */
#define INTEGER_DIVISION(T, U, suffix)                        \
  static inline T floor_div_##suffix(T x, T y) {              \
    if (y == (T)-1 && (T)-1 < 0) return (T)((U)0 - (U)x);     \
    T q = (T)(x / y);                                         \
    return (T)(x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q); \
  }                                                           \
  static inline T floor_mod_##suffix(T x, T y) {              \
    if (y == (T)-1 && (T)-1 < 0) return 0;                    \
    T r = (T)(x % y);                                         \
    return (T)(r != 0 && (x < 0) != (y < 0) ? r + y : r);     \
  }
INTEGER_DIVISION(int32_t, uint32_t, i32)
INTEGER_DIVISION(int64_t, uint64_t, i64)

static inline float floor_mod_f32(float x, float y) {
  float r = fmodf(x, y);
  return r * y < 0 ? r + y : r;
}
static inline double floor_mod_f64(double x, double y) {
  double r = fmod(x, y);
  return r * y < 0 ? r + y : r;
}

#define TYPE float
#define NAME(x) x##_f32
#define IS_FLOAT 1
#define WRAP float
#define FLOOR_DIV(x, y) floorf((x) / (y))
#define FLOOR_MOD floor_mod_f32
#include "tensor/elementwise_type.h"

#define TYPE double
#define NAME(x) x##_f64
#define IS_FLOAT 1
#define WRAP double
#define FLOOR_DIV(x, y) floor((x) / (y))
#define FLOOR_MOD floor_mod_f64
#include "tensor/elementwise_type.h"

#define TYPE int32_t
#define NAME(x) x##_i32
#define IS_FLOAT 0
#define WRAP uint32_t
#define FLOOR_DIV floor_div_i32
#define FLOOR_MOD floor_mod_i32
#include "tensor/elementwise_type.h"

#define TYPE int64_t
#define NAME(x) x##_i64
#define IS_FLOAT 0
#define WRAP uint64_t
#define FLOOR_DIV floor_div_i64
#define FLOOR_MOD floor_mod_i64
#include "tensor/elementwise_type.h"

#define TYPE uint8_t
#define NAME(x) x##_u8
#define IS_FLOAT 0
#define WRAP uint32_t
#define FLOOR_DIV(x, y) ((x) / (y))
#define FLOOR_MOD(x, y) ((x) % (y))
#include "tensor/elementwise_type.h"

#define BY_DTYPE(name) \
  { [RS_F32] = name##_f32, [RS_F64] = name##_f64, [RS_I32] = name##_i32, [RS_I64] = name##_i64, [RS_U8] = name##_u8 }

static rs_run *const *const binary_runs[] = BY_DTYPE(binary_runs);
static rs_run *const *const unary_runs[] = BY_DTYPE(unary_runs);
static void copy_bf16(void *context, char *const *at, const int64_t *step, int64_t n) {
  (void)context;
  for (int64_t i = 0; i < n; i++) memcpy(at[0] + i * step[0], at[1] + i * step[1], sizeof(uint16_t));
}

static rs_run *copy_run(rs_dtype dtype) {
  static rs_run *const runs[] = BY_DTYPE(copy);
  return dtype == RS_BF16 ? copy_bf16 : runs[dtype];
}

static rs_status refuse_bf16(const char *what) {
  return rs_fail(RS_EDTYPE, "%s: bf16 is for storing, not computed with; cast it to f32", what);
}

static rs_run *const choose_runs[] = BY_DTYPE(choose);

static const char *const binary_names[] = {"add",     "sub", "mul", "div", "idiv", "mod", "maximum",
                                           "minimum", "gt",  "ge",  "lt",  "le",   "eq",  "ne"};
static const char *const unary_names[] = {"neg", "abs", "exp", "log", "sqrt", "floor"};

/* Binary operations. */

static void find_zero(void *context, char *const *at, const int64_t *step, int64_t n) {
  bool *found = context;
  for (int64_t i = 0; i < n; i++) {
    const char *p = at[1] + i * step[1];
    int64_t value = step[2] == 4 ? *(const int32_t *)p : step[2] == 8 ? *(const int64_t *)p : *(const uint8_t *)p;
    if (value == 0) *found = true;
  }
}

/* RS_ERANGE when an integer divisor holds a 0. */
static rs_status check_divisor(const char *what, const rs_tensor *b) {
  bool found = false;
  rs_tensor whole = {0};
  rs_status status = rs_tensor_contiguous(&whole, b);
  if (status != RS_OK) return status;
  int64_t width = (int64_t)rs_dtype_size(b->dtype);
  char *const at[] = {NULL, rs_tensor_data(&whole)};
  find_zero(&found, at, (int64_t[]){0, width, width}, rs_tensor_count(&whole));
  rs_tensor_free(&whole);
  return found ? rs_fail(RS_ERANGE, "%s: integer division by 0", what) : RS_OK;
}

static rs_status check_binary(rs_binary_op op, const rs_tensor *a, const rs_tensor *b) {
  const char *name = binary_names[op];
  if (a->dtype == RS_BF16) return refuse_bf16(name);
  if (a->dtype != b->dtype)
    return rs_fail(RS_EDTYPE, "%s: %s and %s differ", name, rs_dtype_name(a->dtype), rs_dtype_name(b->dtype));
  bool is_float = a->dtype == RS_F32 || a->dtype == RS_F64;
  if (op == RS_DIV && !is_float) return rs_fail(RS_EDTYPE, "div: %s is not divided", rs_dtype_name(a->dtype));
  return (op == RS_IDIV || op == RS_MOD) && !is_float ? check_divisor(name, b) : RS_OK;
}

static rs_status walk_binary(const rs_tensor *out, rs_binary_op op, const rs_tensor *a, const rs_tensor *b) {
  rs_walk walk;
  rs_status status = rs_walk_over(&walk, binary_names[op], 3, (const rs_tensor *[]){out, a, b});
  if (status == RS_OK) rs_walk_run(&walk, binary_runs[a->dtype][op], NULL);
  return status;
}

rs_status rs_binary(rs_tensor *out, rs_binary_op op, const rs_tensor *a, const rs_tensor *b) {
  int ndim;
  int64_t size[RS_MAX_DIMS];
  *out = (rs_tensor){0};
  rs_status status = check_binary(op, a, b);
  if (status == RS_OK) status = rs_broadcast(binary_names[op], 2, (const rs_tensor *[]){a, b}, &ndim, size);
  if (status == RS_OK) status = rs_tensor_new(out, op >= RS_GT ? RS_U8 : a->dtype, ndim, size);
  if (status == RS_OK) status = walk_binary(out, op, a, b);
  if (status != RS_OK) rs_tensor_free(out);
  return status;
}

/* Whether writing t in order could change what is still to be read of b. */
static bool overlaps(const rs_tensor *t, const rs_tensor *b) {
  if (t->storage != b->storage) return false;
  return t->offset != b->offset || t->ndim != b->ndim || memcmp(t->size, b->size, sizeof(int64_t) * (size_t)t->ndim) ||
         memcmp(t->stride, b->stride, sizeof(int64_t) * (size_t)t->ndim);
}

/* 'b', copied when it overlaps with t. */
static rs_status apart(rs_tensor *out, const rs_tensor *t, const rs_tensor *b) {
  if (overlaps(t, b)) return rs_tensor_copy_of(out, b);
  rs_tensor_share(out, b);
  return RS_OK;
}

rs_status rs_binary_into(rs_tensor *t, rs_binary_op op, const rs_tensor *b) {
  rs_tensor safe = {0};
  rs_status status =
      op >= RS_GT ? rs_fail(RS_EARG, "%s is not done in place", binary_names[op]) : check_binary(op, t, b);
  if (status == RS_OK) status = apart(&safe, t, b);
  if (status == RS_OK) status = walk_binary(t, op, t, &safe);
  rs_tensor_free(&safe);
  return status;
}

/* One operand. */

rs_status rs_unary(rs_tensor *out, rs_unary_op op, const rs_tensor *t) {
  *out = (rs_tensor){0};
  if (t->dtype == RS_BF16) {
    rs_tensor single = {0};
    rs_status cast = rs_cast(&single, t, RS_F32);
    if (cast == RS_OK) cast = rs_unary(out, op, &single);
    rs_tensor_free(&single);
    return cast;
  }
  rs_run *run = unary_runs[t->dtype][op];
  if (!run || (op == RS_NEG && t->dtype == RS_U8))
    return rs_fail(RS_EDTYPE, "%s: %s is not served", unary_names[op], rs_dtype_name(t->dtype));
  rs_status status = rs_tensor_new(out, t->dtype, t->ndim, t->size);
  if (status != RS_OK) return status;
  rs_walk walk;
  status = rs_walk_over(&walk, unary_names[op], 2, (const rs_tensor *[]){out, t});
  if (status == RS_OK) rs_walk_run(&walk, run, NULL);
  return status;
}

rs_status rs_copy_into(rs_tensor *t, const rs_tensor *src) {
  rs_tensor safe = {0};
  rs_walk walk;
  if (t->dtype != src->dtype)
    return rs_fail(RS_EDTYPE, "copy: %s into %s", rs_dtype_name(src->dtype), rs_dtype_name(t->dtype));
  rs_status status = apart(&safe, t, src);
  if (status == RS_OK) status = rs_walk_over(&walk, "copy", 2, (const rs_tensor *[]){t, &safe});
  if (status == RS_OK) rs_walk_run(&walk, copy_run(t->dtype), NULL);
  rs_tensor_free(&safe);
  return status;
}

rs_status rs_fill(rs_tensor *t, double value) {
  rs_tensor scalar;
  rs_status status = rs_tensor_new(&scalar, t->dtype, 0, NULL);
  if (status != RS_OK) return status;
  rs_tensor_set(&scalar, NULL, value);
  status = rs_copy_into(t, &scalar);
  rs_tensor_free(&scalar);
  return status;
}

rs_status rs_where(rs_tensor *out, const rs_tensor *mask, const rs_tensor *a, const rs_tensor *b) {
  int ndim;
  int64_t size[RS_MAX_DIMS];
  rs_walk walk;
  *out = (rs_tensor){0};
  if (mask->dtype != RS_U8 || a->dtype != b->dtype)
    return rs_fail(RS_EDTYPE, "where: a mask of u8 and two of one dtype expected, not %s, %s, %s",
                   rs_dtype_name(mask->dtype), rs_dtype_name(a->dtype), rs_dtype_name(b->dtype));
  if (a->dtype == RS_BF16) return refuse_bf16("where");
  rs_status status = rs_broadcast("where", 3, (const rs_tensor *[]){mask, a, b}, &ndim, size);
  if (status == RS_OK) status = rs_tensor_new(out, a->dtype, ndim, size);
  if (status == RS_OK) status = rs_walk_over(&walk, "where", 4, (const rs_tensor *[]){out, mask, a, b});
  if (status == RS_OK) rs_walk_run(&walk, choose_runs[a->dtype], NULL);
  if (status != RS_OK) rs_tensor_free(out);
  return status;
}
