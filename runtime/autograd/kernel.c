/* kernel.c - checks and sums that many operations share; see kernel.h. */
#ifndef REAL
#include "autograd/kernel.h"

#include <string.h>

#include "base/alloc.h"
#include "tensor/kernels.h"

typedef struct sum_context {
  void *out; /* [outer, chunks, inner] */
  const void *in;
  int64_t r, inner, chunk, chunks;
} sum_context;

#define KERNELS "autograd/kernel.c"
#include "autograd/each_real.h"

rs_status rs_need_reals(const rs_node *self, int n) {
  for (int i = 0; i < n; i++) {
    const rs_tensor *t = rs_in(self, i);
    if (!rs_is_real(t) || t->dtype != rs_in(self, 0)->dtype)
      return rs_fail(RS_EDTYPE, "%s: wants reals of one dtype, %s is %s and %s is %s", self->op->name,
                     rs_node_label(self->input[0]), rs_dtype_name(rs_in(self, 0)->dtype), rs_node_label(self->input[i]),
                     rs_dtype_name(t->dtype));
  }
  return RS_OK;
}

rs_status rs_need_same(const rs_node *self, int i, int j) {
  const rs_tensor *a = rs_in(self, i), *b = rs_in(self, j);
  if (rs_same_shape(a, b)) return RS_OK;
  return rs_fail(RS_ESHAPE, "%s: %s is %s and %s is %s, they must be the same", self->op->name,
                 rs_node_label(self->input[i]), rs_shape(a).text, rs_node_label(self->input[j]), rs_shape(b).text);
}

rs_status rs_need_vector(const rs_node *self, int i, int64_t d) {
  const rs_tensor *t = rs_in(self, i);
  if (t->ndim == 1 && t->size[0] == d) return RS_OK;
  return rs_fail(RS_ESHAPE, "%s: x is %s and %s is %s, it must be [%lld]", self->op->name,
                 rs_shape(rs_in(self, 0)).text, rs_node_label(self->input[i]), rs_shape(t).text, (long long)d);
}

rs_status rs_need_ndim(const rs_node *self, int i, int ndim) {
  const rs_tensor *t = rs_in(self, i);
  if (t->ndim == ndim) return RS_OK;
  return rs_fail(RS_ESHAPE, "%s: %s is %s, it must have %d dimension%s", self->op->name, rs_node_label(self->input[i]),
                 rs_shape(t).text, ndim, ndim == 1 ? "" : "s");
}

rs_status rs_need_dim(const rs_node *self, int64_t attr, const rs_tensor *t, int *dim) {
  int64_t at = attr < 0 ? attr + t->ndim : attr;
  if (at < 0 || at >= t->ndim)
    return rs_fail(RS_EARG, "%s: %s has no such dimension", self->op->name, rs_shape(t).text);
  *dim = (int)at;
  return RS_OK;
}

rs_status rs_apply(rs_node **out, const rs_op *op, int n, rs_node *const *inputs, const rs_attr *attrs) {
  return rs_tape_apply(out, inputs[0]->tape, op, n, inputs, attrs);
}

rs_status rs_sum_middle(rs_tensor *out, const rs_tensor *in, int64_t outer, int64_t r, int64_t inner) {
  int64_t chunk = inner == 1 ? RS_GRAIN : RS_ROW_CHUNK, chunks = r > chunk ? (r + chunk - 1) / chunk : 1;
  sum_context context = {rs_tensor_data(out), rs_tensor_data(in), r, inner, chunk, chunks};
  rs_tensor parts = {0};
  if (chunks > 1) {
    rs_status status = rs_tensor_new(&parts, in->dtype, 3, (int64_t[]){outer, chunks, inner});
    if (status != RS_OK) return status;
    context.out = rs_tensor_data(&parts);
  }
  int64_t work = (r < chunk ? r : chunk) * inner;
  rs_each(outer * chunks, rs_row_grain(work), RS_BODY(in->dtype, sum_chunks), &context);
  if (chunks > 1) RS_CALL(in->dtype, add_chunks, (rs_tensor_data(out), context.out, outer, chunks, inner));
  rs_tensor_free(&parts);
  return RS_OK;
}

/* The product of sizes begin .. end-1. */
static int64_t volume(const rs_tensor *t, int begin, int end) {
  int64_t n = 1;
  for (int i = begin; i < end; i++) n *= t->size[i];
  return n;
}

rs_status rs_sum_to(rs_tensor *out, const rs_tensor *g, const rs_tensor *like) {
  rs_tensor now = {0};
  rs_tensor_share(&now, g);
  int64_t size[RS_MAX_DIMS];
  memcpy(size, g->size, sizeof size);
  int lead = g->ndim - like->ndim;
  for (int dim = 0; dim < g->ndim; dim++) {
    int64_t want = dim < lead ? 1 : like->size[dim - lead];
    if (size[dim] == want) continue;
    rs_tensor less = {0};
    int64_t outer = volume(&now, 0, dim), r = size[dim], inner = volume(&now, dim + 1, g->ndim);
    size[dim] = 1;
    rs_status status = rs_tensor_new(&less, g->dtype, g->ndim, size);
    if (status == RS_OK) status = rs_sum_middle(&less, &now, outer, r, inner);
    rs_tensor_free(&now);
    now = less;
    if (status != RS_OK) {
      rs_tensor_free(&now);
      return status;
    }
  }
  rs_status status = rs_tensor_reshape(out, &now, like->ndim, like->size);
  rs_tensor_free(&now);
  return status;
}

typedef struct terms_context {
  rs_term *term;
  const void *context;
  double *parts;
} terms_context;

static void terms_body(void *context, int64_t begin, int64_t end) {
  terms_context *c = context;
  c->parts[begin / RS_GRAIN] = c->term(c->context, begin, end);
}

rs_status rs_sum_terms(double *sum, int64_t n, rs_term *term, const void *context) {
  int64_t chunks = (n + RS_GRAIN - 1) / RS_GRAIN;
  double *parts = rs_alloc((size_t)chunks * sizeof *parts);
  if (!parts) return rs_nomem("loss", (size_t)chunks * sizeof *parts);
  rs_each(n, RS_GRAIN, terms_body, &(terms_context){term, context, parts});
  double total = 0;
  for (int64_t c = 0; c < chunks; c++) total += parts[c];
  rs_free(parts);
  *sum = total;
  return RS_OK;
}

rs_status rs_scalar(rs_tensor *out, rs_dtype dtype, double value) {
  rs_status status = rs_tensor_new(out, dtype, 0, NULL);
  if (status != RS_OK) return status;
  if (dtype == RS_F32)
    *rs_f32(out) = (float)value;
  else
    *rs_f64(out) = value;
  return RS_OK;
}

double rs_scalar_value(const rs_tensor *t) { return t->dtype == RS_F32 ? *rs_f32(t) : *rs_f64(t); }

rs_status rs_accumulate(rs_tensor *into, const rs_tensor *g) {
  if (atomic_load(&into->storage->references) == 1) return rs_binary_into(into, RS_ADD, g);
  rs_tensor sum = {0};
  rs_status status = rs_binary(&sum, RS_ADD, into, g);
  if (status != RS_OK) return status;
  rs_tensor_free(into);
  *into = sum;
  return RS_OK;
}

#else
#include "autograd/lanes.h"

RS_SIMD static REAL OF(sum_vector)(const REAL *x, int64_t n) { return OF(lanes_sum)(x, n); }

RS_SIMD static void OF(sum_rows)(REAL *restrict out, const REAL *restrict x, int64_t r, int64_t d) {
  memset(out, 0, (size_t)d * sizeof *out);
  for (int64_t i = 0; i < r; i++, x += d)
    for (int64_t j = 0; j < d; j++) out[j] += x[j];
}

/* Chunks begin .. end-1 of the [outer, chunks] ones. */
static void OF(sum_chunks)(void *context, int64_t begin, int64_t end) {
  const sum_context *c = context;
  for (int64_t at = begin; at < end; at++) {
    int64_t first = at % c->chunks * c->chunk, rows = c->r - first < c->chunk ? c->r - first : c->chunk;
    const REAL *x = (const REAL *)c->in + (at / c->chunks * c->r + first) * c->inner;
    REAL *out = (REAL *)c->out + at * c->inner;
    if (c->inner == 1)
      *out = OF(sum_vector)(x, rows);
    else
      OF(sum_rows)(out, x, rows, c->inner);
  }
}

static void OF(add_chunks)(REAL *out, const REAL *parts, int64_t outer, int64_t chunks, int64_t inner) {
  for (int64_t o = 0; o < outer; o++) OF(sum_rows)(out + o * inner, parts + o * chunks * inner, chunks, inner);
}
#endif
