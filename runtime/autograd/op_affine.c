/* op_affine.c - y = scale x + shift with constants: scaling a loss, a temperature, 1 - x. */
#ifndef REAL
#include <float.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  void *y;
  const void *x;
  double scale, shift;
} context;

#define KERNELS "autograd/op_affine.c"
#include "autograd/each_real.h"

static void run(rs_tensor *y, const rs_tensor *x, double scale, double shift) {
  context c = {rs_tensor_data(y), rs_tensor_data(x), scale, shift};
  rs_each(rs_tensor_count(x), RS_GRAIN, RS_BODY(x->dtype, affine), &c);
}

static rs_status forward(rs_node *self) {
  rs_status status = rs_need_reals(self, 1);
  if (status == RS_OK) status = rs_tensor_like(&self->value, rs_in(self, 0));
  if (status == RS_OK) run(&self->value, rs_in(self, 0), self->attr[0].real, self->attr[1].real);
  return status;
}

static rs_status backward(rs_node *self) {
  rs_tensor dx = {0};
  rs_status status = rs_grad_reuse(&dx, self);
  if (status != RS_OK) return status;
  run(&dx, &self->grad, self->attr[0].real, 0);
  return rs_grad_give(self->input[0], &dx);
}

static const rs_attr_field fields[] = {{"scale", RS_ATTR_REAL, -DBL_MAX, DBL_MAX, NULL},
                                       {"shift", RS_ATTR_REAL, -DBL_MAX, DBL_MAX, NULL}};
const rs_op rs_op_affine = {"affine", 1, 1, 2, fields, forward, backward, false};

rs_status rs_ag_affine(rs_node **out, rs_node *x, double scale, double shift) {
  rs_attr attrs[] = {{.real = scale}, {.real = shift}};
  return rs_apply(out, &rs_op_affine, 1, &x, attrs);
}

#else
RS_SIMD static void OF(affine)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL scale = (REAL)c->scale, shift = (REAL)c->shift;
  REAL *y = c->y;
  const REAL *x = c->x;
  RS_IVDEP for (int64_t i = begin; i < end; i++) y[i] = scale * x[i] + shift;
}
#endif
