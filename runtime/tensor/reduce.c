/* reduce.c - rs_reduce. A tensor is taken as [outer, n, inner], n the size that is reduced; over all elements it is
 * cut into chunks of GRAIN whose results are combined in order. */
#include <string.h>

#include "base/parallel.h"
#include "tensor/clones.h"
#include "tensor/kernels.h"

enum { GRAIN = 16384 };

typedef struct slices {
  const void *x; /* [outer, n, inner] */
  int64_t outer, n, inner;
  bool greatest;
  void *out; /* [outer, inner]: sums, or positions of extremes */
} slices;

#define TYPE float
#define SUM double
#define NAME(x) x##_f32
#define IS_NAN(x) ((x) != (x))
#include "tensor/reduce_type.h"
#define TYPE double
#define SUM double
#define NAME(x) x##_f64
#define IS_NAN(x) ((x) != (x))
#include "tensor/reduce_type.h"
#define TYPE int32_t
#define SUM int64_t
#define NAME(x) x##_i32
#define IS_NAN(x) false
#include "tensor/reduce_type.h"
#define TYPE int64_t
#define SUM int64_t
#define NAME(x) x##_i64
#define IS_NAN(x) false
#include "tensor/reduce_type.h"
#define TYPE uint8_t
#define SUM int64_t
#define NAME(x) x##_u8
#define IS_NAN(x) false
#include "tensor/reduce_type.h"

#define BY_DTYPE(name) \
  { [RS_F32] = name##_f32, [RS_F64] = name##_f64, [RS_I32] = name##_i32, [RS_I64] = name##_i64, [RS_U8] = name##_u8 }
static rs_body *const sum_bodies[] = BY_DTYPE(sum_slices);
static rs_body *const extreme_bodies[] = BY_DTYPE(extreme_slices);

static bool is_float(rs_dtype dtype) { return dtype == RS_F32 || dtype == RS_F64; }

static void run(slices *s, rs_body *body) {
  int64_t work = s->n * s->inner, grain = work > 0 ? (GRAIN + work - 1) / work : s->outer + 1;
  if (s->outer <= grain)
    body(s, 0, s->outer);
  else
    rs_parallel_for(s->outer, grain, body, s);
}

/* 't' as slices over 'dim'; over all elements 'outer' counts chunks of GRAIN, the last one apart (see tail). */
static slices slice(const rs_tensor *t, int dim) {
  slices s = {.x = rs_tensor_data(t), .outer = 1, .n = t->size[dim], .inner = 1};
  for (int d = 0; d < dim; d++) s.outer *= t->size[d];
  for (int d = dim + 1; d < t->ndim; d++) s.inner *= t->size[d];
  return s;
}

/* One dimension of a contiguous tensor, into 'out' of the accumulating dtype or of positions. */
static rs_status reduce_dim(rs_tensor *out, const rs_tensor *t, int dim, rs_body *const *bodies, rs_dtype kept,
                            bool greatest) {
  int64_t size[RS_MAX_DIMS];
  int n = 0;
  for (int d = 0; d < t->ndim; d++)
    if (d != dim) size[n++] = t->size[d];
  rs_status status = rs_tensor_new(out, kept, n, size);
  if (status != RS_OK) return status;
  slices s = slice(t, dim);
  s.greatest = greatest;
  s.out = rs_tensor_data(out);
  run(&s, bodies[t->dtype]);
  return RS_OK;
}

/* All elements of a contiguous tensor: a matrix [chunks, GRAIN] and a tail, reduced to a vector 'parts'. */
static rs_status reduce_chunks(rs_tensor *parts, const rs_tensor *t, rs_body *const *bodies, rs_dtype kept,
                               bool greatest) {
  int64_t count = rs_tensor_count(t), chunks = count / GRAIN, tail = count % GRAIN;
  rs_status status = rs_tensor_new(parts, kept, 1, (int64_t[]){chunks + (tail > 0)});
  if (status != RS_OK) return status;
  slices s = {rs_tensor_data(t), chunks, GRAIN, 1, greatest, rs_tensor_data(parts)};
  run(&s, bodies[t->dtype]);
  if (tail > 0) {
    slices last = {(char *)rs_tensor_data(t) + (size_t)(chunks * GRAIN) * rs_dtype_size(t->dtype),
                   1,
                   tail,
                   1,
                   greatest,
                   (char *)rs_tensor_data(parts) + (size_t)chunks * rs_dtype_size(kept)};
    run(&last, bodies[t->dtype]);
  }
  return RS_OK;
}

static rs_status sum_all(rs_tensor *out, const rs_tensor *t, rs_dtype kept) {
  rs_tensor parts = {0};
  rs_status status = reduce_chunks(&parts, t, sum_bodies, kept, false);
  if (status == RS_OK) status = rs_tensor_zeros(out, kept, 0, NULL);
  for (int64_t i = 0; status == RS_OK && i < parts.size[0]; i++) {
    if (kept == RS_F64)
      *rs_f64(out) += rs_f64(&parts)[i];
    else
      *rs_i64(out) += rs_i64(&parts)[i];
  }
  rs_tensor_free(&parts);
  return status;
}

static bool nan_at(const rs_tensor *t, int64_t at) {
  double value = rs_tensor_get(t, &at);
  return value != value;
}

/* Whether flat[a] comes before flat[b] as an extreme. */
static bool beats(const rs_tensor *flat, int64_t a, int64_t b, bool greatest) {
  if (nan_at(flat, b)) return false;
  if (nan_at(flat, a)) return true;
  if (flat->dtype == RS_I64) {
    int64_t x = rs_i64(flat)[a], y = rs_i64(flat)[b];
    return greatest ? x > y : x < y;
  }
  double x = rs_tensor_get(flat, &a), y = rs_tensor_get(flat, &b);
  return greatest ? x > y : x < y;
}

static rs_status extreme_all(rs_tensor *out, const rs_tensor *t, bool greatest) {
  rs_tensor parts = {0}, flat = {0};
  int64_t best = 0;
  rs_status status = rs_tensor_reshape(&flat, t, 1, (int64_t[]){-1});
  if (status == RS_OK) status = reduce_chunks(&parts, t, extreme_bodies, RS_I64, greatest);
  if (status == RS_OK) status = rs_tensor_zeros(out, RS_I64, 0, NULL);
  for (int64_t i = 0; status == RS_OK && i < parts.size[0]; i++) {
    int64_t at = i * GRAIN + rs_i64(&parts)[i];
    if (i == 0 || beats(&flat, at, best, greatest)) best = at;
  }
  if (status == RS_OK) *rs_i64(out) = best;
  rs_tensor_free(&parts);
  rs_tensor_free(&flat);
  return status;
}

/* The values at the positions of the extremes. */
static rs_status take(rs_tensor *out, const rs_tensor *t, int dim, const rs_tensor *positions) {
  rs_status status = rs_tensor_new(out, t->dtype, positions->ndim, positions->size);
  if (status != RS_OK) return status;
  size_t width = rs_dtype_size(t->dtype);
  slices s = {.x = rs_tensor_data(t), .n = rs_tensor_count(t), .inner = 1};
  if (dim != RS_ALL) s = slice(t, dim);
  const int64_t *at = rs_i64(positions);
  char *to = rs_tensor_data(out);
  for (int64_t i = 0; i < rs_tensor_count(positions); i++) {
    int64_t from = (i / s.inner * s.n + at[i]) * s.inner + i % s.inner;
    memcpy(to + (size_t)i * width, (const char *)s.x + (size_t)from * width, width);
  }
  return RS_OK;
}

static rs_status sum_or_mean(rs_tensor *out, rs_reduce_op op, const rs_tensor *t, int dim) {
  rs_tensor sums = {0};
  rs_dtype kept = is_float(t->dtype) ? RS_F64 : RS_I64;
  int64_t n = dim == RS_ALL ? rs_tensor_count(t) : t->size[dim];
  rs_status status = dim == RS_ALL ? sum_all(&sums, t, kept) : reduce_dim(&sums, t, dim, sum_bodies, kept, false);
  if (status == RS_OK && op == RS_MEAN && kept == RS_I64) {
    rs_tensor whole = sums;
    status = rs_cast(&sums, &whole, RS_F64);
    rs_tensor_free(&whole);
  }
  if (status == RS_OK && op == RS_MEAN)
    for (int64_t i = 0; i < rs_tensor_count(&sums); i++) rs_f64(&sums)[i] /= (double)n;
  if (status == RS_OK && t->dtype == RS_F32)
    status = rs_cast(out, &sums, RS_F32);
  else if (status == RS_OK)
    rs_tensor_share(out, &sums);
  rs_tensor_free(&sums);
  return status;
}

static rs_status extreme(rs_tensor *out, rs_reduce_op op, const rs_tensor *t, int dim) {
  rs_tensor positions = {0};
  bool greatest = op == RS_MAX || op == RS_ARGMAX;
  rs_status status = dim == RS_ALL ? extreme_all(&positions, t, greatest)
                                   : reduce_dim(&positions, t, dim, extreme_bodies, RS_I64, greatest);
  if (status == RS_OK && (op == RS_ARGMAX || op == RS_ARGMIN))
    rs_tensor_share(out, &positions);
  else if (status == RS_OK)
    status = take(out, t, dim, &positions);
  rs_tensor_free(&positions);
  return status;
}

rs_status rs_reduce(rs_tensor *out, rs_reduce_op op, const rs_tensor *t, int dim) {
  static const char *const names[] = {"sum", "mean", "max", "min", "argmax", "argmin"};
  rs_tensor whole = {0};
  *out = (rs_tensor){0};
  if (dim != RS_ALL && (dim < 0 || dim >= t->ndim))
    return rs_fail(RS_ESHAPE, "%s: %s has no such dimension", names[op], rs_shape(t).text);
  int64_t n = dim == RS_ALL ? rs_tensor_count(t) : t->size[dim];
  if (n == 0 && op != RS_SUM) return rs_fail(RS_ERANGE, "%s: nothing to take it of in %s", names[op], rs_shape(t).text);
  rs_status status = t->dtype == RS_BF16 ? rs_cast(&whole, t, RS_F32) : rs_tensor_contiguous(&whole, t);
  if (status == RS_OK) status = op <= RS_MEAN ? sum_or_mean(out, op, &whole, dim) : extreme(out, op, &whole, dim);
  rs_tensor_free(&whole);
  return status;
}
