/* op_l2_normalize.c - rows of the last dimension divided by max(||row||, epsilon).
 *
 * Backward: where the norm counts, dx = (g - y <g, y>) / ||x||; below epsilon, dx = g / epsilon. */
#ifndef REAL
#include <float.h>
#include <math.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  int64_t d;
  double epsilon;
  void *out, *norm; /* norm [n]; NULL when not wanted */
  const void *x, *y, *g;
} context;

#define KERNELS "autograd/op_l2_normalize.c"
#include "autograd/each_real.h"

static rs_status forward(rs_node *self) {
  const rs_tensor *x = rs_in(self, 0);
  rs_status status = rs_need_reals(self, 1);
  if (status == RS_OK && x->ndim < 1) status = rs_fail(RS_ESHAPE, "l2_normalize: x is %s", rs_shape(x).text);
  if (status == RS_OK) status = rs_tensor_like(&self->value, x);
  int64_t n = rs_rows(x);
  if (status == RS_OK && self->needs_grad) status = rs_tensor_new(&self->saved[0], x->dtype, 1, &n);
  if (status != RS_OK) return status;
  context c = {.d = rs_last(x), .epsilon = self->attr[0].real, .x = rs_tensor_data(x)};
  c.out = rs_tensor_data(&self->value);
  if (self->saved[0].storage) c.norm = rs_tensor_data(&self->saved[0]);
  rs_each(n, rs_row_grain(c.d), RS_BODY(x->dtype, forward_rows), &c);
  return RS_OK;
}

static rs_status backward(rs_node *self) {
  rs_tensor dx = {0};
  rs_status status = rs_grad_reuse(&dx, self);
  if (status != RS_OK) return status;
  context c = {.d = rs_last(&dx), .epsilon = self->attr[0].real, .y = rs_tensor_data(&self->value)};
  c.g = rs_tensor_data(&self->grad);
  c.out = rs_tensor_data(&dx);
  c.norm = rs_tensor_data(&self->saved[0]);
  rs_each(rs_rows(&dx), rs_row_grain(c.d), RS_BODY(dx.dtype, backward_rows), &c);
  return rs_grad_give(self->input[0], &dx);
}

static const rs_attr_field fields[] = {{"epsilon", RS_ATTR_REAL, DBL_MIN, DBL_MAX, NULL}};
const rs_op rs_op_l2_normalize = {"l2_normalize", 1, 1, 1, fields, forward, backward, false};

rs_status rs_ag_l2_normalize(rs_node **out, rs_node *x, double epsilon) {
  return rs_apply(out, &rs_op_l2_normalize, 1, &x, &(rs_attr){.real = epsilon});
}

#else
#include "autograd/lanes.h"

RS_SIMD static void OF(forward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL epsilon = (REAL)c->epsilon;
  for (int64_t i = begin; i < end; i++) {
    const REAL *x = (const REAL *)c->x + i * c->d;
    REAL *restrict y = (REAL *)c->out + i * c->d;
    REAL norm = MATH(sqrt)(OF(lanes_dot)(x, x, c->d)), divisor = norm < epsilon ? epsilon : norm;
    for (int64_t j = 0; j < c->d; j++) y[j] = x[j] / divisor;
    if (c->norm) ((REAL *)c->norm)[i] = norm;
  }
}

RS_SIMD static void OF(backward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL epsilon = (REAL)c->epsilon;
  for (int64_t i = begin; i < end; i++) {
    const REAL *y = (const REAL *)c->y + i * c->d, *g = (const REAL *)c->g + i * c->d;
    REAL *dx = (REAL *)c->out + i * c->d;
    REAL norm = ((const REAL *)c->norm)[i];
    bool clamped = norm < epsilon;
    REAL along = clamped ? 0 : OF(lanes_dot)(g, y, c->d), divisor = clamped ? epsilon : norm;
    RS_IVDEP for (int64_t j = 0; j < c->d; j++) dx[j] = (g[j] - y[j] * along) / divisor;
  }
}
#endif
