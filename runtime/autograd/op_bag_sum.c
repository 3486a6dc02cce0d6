/* op_bag_sum.c - weighted sums of the rows of bags, in h ways at once: of x [total, d] with weights [total, h], row i of
 * the result [n, h d] is h sums side by side, sum over p of weights[p, k] x[p, :], p from offsets[i] to
 * offsets[i+1]-1. An empty bag is 0. A row of x is read once for all h.
 *
 * With g_k the gradient of sum k: dx[p] = sum over k of weights[p, k] g_k, dweights[p, k] = <x[p], g_k>. */
#ifndef REAL
#include <string.h>

#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

enum { X, OFFSETS, WEIGHTS };

typedef struct context {
  int64_t d, h;
  const int64_t *offsets;
  const void *x, *weights, *g;
  void *out;
} context;

#define KERNELS "autograd/op_bag_sum.c"
#include "autograd/each_real.h"

static rs_status check(const rs_node *self) {
  const rs_tensor *x = rs_in(self, X), *weights = rs_in(self, WEIGHTS);
  if (!rs_is_real(x) || weights->dtype != x->dtype)
    return rs_fail(RS_EDTYPE, "bag_sum: wants reals of one dtype, not %s and weights %s", rs_dtype_name(x->dtype),
                   rs_dtype_name(weights->dtype));
  if (x->ndim != 2 || weights->ndim != 2 || weights->size[0] != x->size[0])
    return rs_fail(RS_ESHAPE, "bag_sum: x is %s and the weights are %s, not [total, d] and [total, h]",
                   rs_shape(x).text, rs_shape(weights).text);
  return rs_need_bags(self, OFFSETS, x->size[0], "rows");
}

static context context_of(const rs_node *self) {
  return (context){.d = rs_in(self, X)->size[1],
                   .h = rs_in(self, WEIGHTS)->size[1],
                   .offsets = rs_i64(rs_in(self, OFFSETS)),
                   .x = rs_tensor_data(rs_in(self, X)),
                   .weights = rs_tensor_data(rs_in(self, WEIGHTS))};
}

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  context c = context_of(self);
  int64_t n = rs_in(self, OFFSETS)->size[0] - 1;
  status = rs_tensor_new(&self->value, rs_in(self, X)->dtype, 2, (int64_t[]){n, c.h * c.d});
  if (status != RS_OK) return status;
  c.out = rs_tensor_data(&self->value);
  rs_each(n, RS_BAGS, RS_BODY(self->value.dtype, forward_bags), &c);
  return RS_OK;
}

/* The gradient of input 'at', by the loop that makes it. */
static rs_status give(rs_node *self, int at, rs_body *body) {
  rs_tensor d = {0};
  if (!self->input[at]->needs_grad) return RS_OK;
  rs_status status = rs_tensor_like(&d, rs_in(self, at));
  if (status != RS_OK) return status;
  context c = context_of(self);
  c.g = rs_tensor_data(&self->grad);
  c.out = rs_tensor_data(&d);
  rs_each(self->grad.size[0], RS_BAGS, body, &c);
  return rs_grad_give(self->input[at], &d);
}

static rs_status backward(rs_node *self) {
  rs_dtype dtype = self->value.dtype;
  rs_status status = give(self, X, RS_BODY(dtype, back_rows));
  return status == RS_OK ? give(self, WEIGHTS, RS_BODY(dtype, back_weights)) : status;
}

const rs_op rs_op_bag_sum = {"bag_sum", 3, 3, 0, NULL, forward, backward, false};

rs_status rs_ag_bag_sum(rs_node **out, rs_node *x, rs_node *offsets, rs_node *weights) {
  return rs_apply(out, &rs_op_bag_sum, 3, (rs_node *[]){x, offsets, weights}, NULL);
}

#else
#include "autograd/lanes.h"

static inline void OF(add_scaled)(REAL *restrict y, const REAL *restrict x, REAL factor, int64_t d) {
  for (int64_t j = 0; j < d; j++) y[j] += factor * x[j];
}

RS_SIMD static void OF(forward_bags)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d, h = c->h;
  for (int64_t i = begin; i < end; i++) {
    REAL *y = (REAL *)c->out + i * h * d;
    memset(y, 0, (size_t)(h * d) * sizeof *y);
    for (int64_t p = c->offsets[i]; p < c->offsets[i + 1]; p++)
      for (int64_t k = 0; k < h; k++)
        OF(add_scaled)(y + k * d, (const REAL *)c->x + p * d, ((const REAL *)c->weights)[p * h + k], d);
  }
}

RS_SIMD static void OF(back_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d, h = c->h;
  for (int64_t i = begin; i < end; i++) {
    const REAL *g = (const REAL *)c->g + i * h * d;
    for (int64_t p = c->offsets[i]; p < c->offsets[i + 1]; p++) {
      REAL *dx = (REAL *)c->out + p * d;
      memset(dx, 0, (size_t)d * sizeof *dx);
      for (int64_t k = 0; k < h; k++) OF(add_scaled)(dx, g + k * d, ((const REAL *)c->weights)[p * h + k], d);
    }
  }
}

RS_SIMD static void OF(back_weights)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d, h = c->h;
  for (int64_t i = begin; i < end; i++) {
    const REAL *g = (const REAL *)c->g + i * h * d;
    for (int64_t p = c->offsets[i]; p < c->offsets[i + 1]; p++)
      for (int64_t k = 0; k < h; k++)
        ((REAL *)c->out)[p * h + k] = OF(lanes_dot)((const REAL *)c->x + p * d, g + k * d, d);
  }
}
#endif
