/* op_dot.c - y [n], the dot product of row i of a [n, d] and row i of b [n, d]. da = g b, db = g a, row by row. */
#ifndef REAL
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  int64_t d;
  void *out;
  const void *a, *b, *g;
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
  context c = {a->size[1], rs_tensor_data(&self->value), rs_tensor_data(a), rs_tensor_data(rs_in(self, 1)), NULL};
  rs_each(a->size[0], rs_row_grain(c.d), RS_BODY(a->dtype, forward_rows), &c);
  return RS_OK;
}

static rs_status backward(rs_node *self) {
  rs_status status = RS_OK;
  for (int i = 0; i < 2 && status == RS_OK; i++) {
    if (!self->input[i]->needs_grad) continue;
    rs_tensor d = {0};
    status = rs_tensor_like(&d, rs_in(self, i));
    if (status != RS_OK) break;
    context c = {d.size[1], rs_tensor_data(&d), rs_tensor_data(rs_in(self, 1 - i)), NULL, rs_tensor_data(&self->grad)};
    rs_each(d.size[0], rs_row_grain(c.d), RS_BODY(d.dtype, backward_rows), &c);
    status = rs_grad_give(self->input[i], &d);
  }
  return status;
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

RS_SIMD static void OF(backward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++) {
    REAL g = ((const REAL *)c->g)[i];
    const REAL *restrict a = (const REAL *)c->a + i * c->d;
    REAL *restrict d = (REAL *)c->out + i * c->d;
    for (int64_t j = 0; j < c->d; j++) d[j] = g * a[j];
  }
}
#endif
