/* op_dot.c - y [n], the dot product of row i of a [n, d] and row i of b [n, d]. da = g b, db = g a, row by row. */
#ifndef REAL
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  int64_t d;
  void *out;
  const void *a, *b;
} context;

#define KERNELS "autograd/op_dot.c"
#include "autograd/each_real.h"

static rs_status forward(rs_node *self) {
  rs_status status = rs_need_reals(self, 2);
  if (status == RS_OK) status = rs_need_ndim(self, 0, 2);
  if (status == RS_OK) status = rs_need_same(self, 0, 1);
  const rs_tensor *a = rs_in(self, 0);
  if (status == RS_OK) status = rs_tensor_new(&self->value, a->dtype, 1, a->size);
  if (status != RS_OK) return status;
  context c = {a->size[1], rs_tensor_data(&self->value), rs_tensor_data(a), rs_tensor_data(rs_in(self, 1))};
  rs_each(a->size[0], rs_row_grain(c.d), RS_BODY(a->dtype, forward_rows), &c);
  return RS_OK;
}

static rs_status backward(rs_node *self) {
  rs_status status = rs_grad_give_scaled(self->input[0], rs_in(self, 1), &self->grad);
  return status == RS_OK ? rs_grad_give_scaled(self->input[1], rs_in(self, 0), &self->grad) : status;
}

const rs_op rs_op_dot = {"dot", 2, 2, 0, NULL, forward, backward, false};

rs_status rs_ag_dot(rs_node **out, rs_node *a, rs_node *b) {
  return rs_apply(out, &rs_op_dot, 2, (rs_node *[]){a, b}, NULL);
}

#else
#include "autograd/lanes.h"

RS_SIMD static void OF(forward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++)
    ((REAL *)c->out)[i] = OF(lanes_dot)((const REAL *)c->a + i * c->d, (const REAL *)c->b + i * c->d, c->d);
}
#endif
