/* op_bag_softmax.c - softmax down each column of each bag: of x [total, h], rows offsets[i] .. offsets[i+1]-1 of a
 * column sum to 1. What weighs the members of a bag against each other, in h ways at once.
 *
 * dx = y (g - the bag's sum of g y). */
#ifndef REAL
#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/elementary.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

enum { MOST = 64 }; /* columns */

typedef struct context {
  int64_t h;
  const int64_t *offsets;
  void *out;
  const void *a, *b;
} context;

#define KERNELS "autograd/op_bag_softmax.c"
#include "autograd/each_real.h"

static rs_status forward(rs_node *self) {
  rs_status status = rs_need_reals(self, 1);
  const rs_tensor *x = rs_in(self, 0), *offsets = rs_in(self, 1);
  if (status == RS_OK && (x->ndim != 2 || x->size[1] > MOST))
    status = rs_fail(RS_ESHAPE, "bag_softmax: x is %s, not [total, h] with h up to %d", rs_shape(x).text, MOST);
  if (status == RS_OK) status = rs_need_bags(self, 1, x->size[0], "rows");
  if (status == RS_OK) status = rs_tensor_like(&self->value, x);
  if (status != RS_OK) return status;
  context c = {x->size[1], rs_i64(offsets), rs_tensor_data(&self->value), rs_tensor_data(x), NULL};
  rs_each(offsets->size[0] - 1, RS_BAGS, RS_BODY(x->dtype, forward_bags), &c);
  return RS_OK;
}

static rs_status backward(rs_node *self) {
  rs_tensor dx = {0};
  rs_status status = rs_tensor_like(&dx, &self->grad);
  if (status != RS_OK) return status;
  const rs_tensor *offsets = rs_in(self, 1);
  context c = {self->value.size[1], rs_i64(offsets), rs_tensor_data(&dx), rs_tensor_data(&self->grad),
               rs_tensor_data(&self->value)};
  rs_each(offsets->size[0] - 1, RS_BAGS, RS_BODY(dx.dtype, backward_bags), &c);
  return rs_grad_give(self->input[0], &dx);
}

const rs_op rs_op_bag_softmax = {"bag_softmax", 2, 2, 0, NULL, forward, backward, false};

rs_status rs_ag_bag_softmax(rs_node **out, rs_node *x, rs_node *offsets) {
  return rs_apply(out, &rs_op_bag_softmax, 2, (rs_node *[]){x, offsets}, NULL);
}

#else
RS_SIMD static void OF(forward_bags)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t h = c->h;
  for (int64_t i = begin; i < end; i++) {
    int64_t members = c->offsets[i + 1] - c->offsets[i];
    const REAL *x = (const REAL *)c->a + c->offsets[i] * h;
    REAL *restrict y = (REAL *)c->out + c->offsets[i] * h;
    REAL most[MOST], sum[MOST] = {0};
    for (int64_t k = 0; k < h && members; k++) most[k] = x[k];
    for (int64_t p = 1; p < members; p++)
      for (int64_t k = 0; k < h; k++) most[k] = x[p * h + k] > most[k] ? x[p * h + k] : most[k];
    for (int64_t p = 0; p < members; p++)
      for (int64_t k = 0; k < h; k++) y[p * h + k] = x[p * h + k] - most[k];
    for (int64_t j = 0; j < members * h; j++) y[j] = OF(rs_exp)(y[j]);
    for (int64_t p = 0; p < members; p++)
      for (int64_t k = 0; k < h; k++) sum[k] += y[p * h + k];
    for (int64_t p = 0; p < members; p++)
      for (int64_t k = 0; k < h; k++) y[p * h + k] /= sum[k];
  }
}

RS_SIMD static void OF(backward_bags)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t h = c->h;
  for (int64_t i = begin; i < end; i++) {
    int64_t members = c->offsets[i + 1] - c->offsets[i], at = c->offsets[i] * h;
    const REAL *g = (const REAL *)c->a + at, *y = (const REAL *)c->b + at;
    REAL *restrict dx = (REAL *)c->out + at;
    REAL sum[MOST] = {0};
    for (int64_t p = 0; p < members; p++)
      for (int64_t k = 0; k < h; k++) sum[k] += g[p * h + k] * y[p * h + k];
    for (int64_t p = 0; p < members; p++)
      for (int64_t k = 0; k < h; k++) dx[p * h + k] = y[p * h + k] * (g[p * h + k] - sum[k]);
  }
}
#endif
