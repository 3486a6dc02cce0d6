/* op_softmax.c - softmax and log-softmax over the last dimension, shifted by the row's largest logit.
 *
 * softmax: dx = y (g - <g, y>). log-softmax: dx = g - exp(y) sum(g). */
#ifndef REAL
#include "autograd/builtin.h"
#include "autograd/elementary.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  bool log;
  int64_t d;
  void *out;
  const void *a, *b;
} context;

#define KERNELS "autograd/op_softmax.c"
#include "autograd/each_real.h"

static rs_status forward(rs_node *self, bool log) {
  rs_status status = rs_need_reals(self, 1);
  const rs_tensor *x = rs_in(self, 0);
  if (status == RS_OK && rs_last(x) == 0) status = rs_fail(RS_ESHAPE, "%s: x is %s", self->op->name, rs_shape(x).text);
  if (status == RS_OK) status = rs_tensor_like(&self->value, x);
  if (status != RS_OK) return status;
  context c = {log, rs_last(x), rs_tensor_data(&self->value), rs_tensor_data(x), NULL};
  rs_each(rs_rows(x), rs_row_grain(c.d), RS_BODY(x->dtype, forward_rows), &c);
  return RS_OK;
}

static rs_status backward(rs_node *self, bool log) {
  rs_tensor dx = {0};
  rs_status status = rs_tensor_like(&dx, &self->grad);
  if (status != RS_OK) return status;
  context c = {log, rs_last(&dx), rs_tensor_data(&dx), rs_tensor_data(&self->grad), rs_tensor_data(&self->value)};
  rs_each(rs_rows(&dx), rs_row_grain(c.d), RS_BODY(dx.dtype, backward_rows), &c);
  return rs_grad_give(self->input[0], &dx);
}

static rs_status softmax_forward(rs_node *self) { return forward(self, false); }
static rs_status softmax_backward(rs_node *self) { return backward(self, false); }
static rs_status log_softmax_forward(rs_node *self) { return forward(self, true); }
static rs_status log_softmax_backward(rs_node *self) { return backward(self, true); }

const rs_op rs_op_softmax = {"softmax", 1, 1, 0, NULL, softmax_forward, softmax_backward, false};
const rs_op rs_op_log_softmax = {"log_softmax", 1, 1, 0, NULL, log_softmax_forward, log_softmax_backward, false};

rs_status rs_ag_softmax(rs_node **out, rs_node *x) { return rs_apply(out, &rs_op_softmax, 1, &x, NULL); }
rs_status rs_ag_log_softmax(rs_node **out, rs_node *x) { return rs_apply(out, &rs_op_log_softmax, 1, &x, NULL); }

#else
#include "autograd/lanes.h"

static inline REAL OF(largest)(const REAL *x, int64_t n) {
  REAL lane[16], max = x[0];
  int64_t j = 0;
  for (int l = 0; l < 16; l++) lane[l] = max;
  for (; j + 16 <= n; j += 16)
    for (int l = 0; l < 16; l++) lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
  for (; j < n; j++) max = x[j] > max ? x[j] : max;
  for (int l = 0; l < 16; l++) max = lane[l] > max ? lane[l] : max;
  return max;
}

RS_SIMD static void OF(forward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d;
  for (int64_t i = begin; i < end; i++) {
    const REAL *x = (const REAL *)c->a + i * d;
    REAL *restrict y = (REAL *)c->out + i * d;
    REAL max = OF(largest)(x, d);
    for (int64_t j = 0; j < d; j++) y[j] = OF(rs_exp)(x[j] - max);
    REAL sum = OF(lanes_sum)(y, d), shift = max + MATH(log)(sum);
    if (c->log)
      for (int64_t j = 0; j < d; j++) y[j] = x[j] - shift;
    else
      for (int64_t j = 0; j < d; j++) y[j] /= sum;
  }
}

RS_SIMD static void OF(backward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d;
  for (int64_t i = begin; i < end; i++) {
    const REAL *g = (const REAL *)c->a + i * d, *y = (const REAL *)c->b + i * d;
    REAL *restrict dx = (REAL *)c->out + i * d;
    REAL sum = c->log ? OF(lanes_sum)(g, d) : OF(lanes_dot)(g, y, d);
    if (c->log)
      for (int64_t j = 0; j < d; j++) dx[j] = g[j] - OF(rs_exp)(y[j]) * sum;
    else
      for (int64_t j = 0; j < d; j++) dx[j] = y[j] * (g[j] - sum);
  }
}
#endif
