/* op_layer_norm.c - over the last dimension: h = (x - mean) / sqrt(variance + epsilon), y = h gain + bias.
 * Ba, Kiros & Hinton 2016, arXiv:1607.06450.
 *
 * Backward, with q = g gain and r = 1 / sqrt(variance + epsilon), all means over the row:
 * dx = r (q - mean(q) - h mean(q h)); dgain = the column sums of g h, dbias those of g. */
#ifndef REAL
#include <float.h>
#include <math.h>
#include <string.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  int64_t d;
  double epsilon;
  const void *x, *gain, *bias, *g;
  void *out;
  void *moments; /* [n, 2]: mean and r of each row; may be NULL in forward */
  void *parts;   /* [chunks, 2, d]: sums of g h and of g */
} context;

#define KERNELS "autograd/op_layer_norm.c"
#include "autograd/each_real.h"

static rs_status forward(rs_node *self) {
  const rs_tensor *x = rs_in(self, 0);
  rs_status status = rs_need_reals(self, 3);
  if (status == RS_OK && (x->ndim < 1 || rs_last(x) < 1))
    status = rs_fail(RS_ESHAPE, "layer_norm: x is %s", rs_shape(x).text);
  for (int i = 1; i < 3 && status == RS_OK; i++) status = rs_need_vector(self, i, rs_last(x));
  if (status == RS_OK) status = rs_tensor_like(&self->value, x);
  if (status == RS_OK && self->needs_grad)
    status = rs_tensor_new(&self->saved[0], x->dtype, 2, (int64_t[]){rs_rows(x), 2});
  if (status != RS_OK) return status;
  context c = {.d = rs_last(x), .epsilon = self->attr[0].real, .x = rs_tensor_data(x)};
  c.gain = rs_tensor_data(rs_in(self, 1));
  c.bias = rs_tensor_data(rs_in(self, 2));
  c.out = rs_tensor_data(&self->value);
  if (self->saved[0].storage) c.moments = rs_tensor_data(&self->saved[0]);
  rs_each(rs_rows(x), rs_row_grain(c.d), RS_BODY(x->dtype, forward_rows), &c);
  return RS_OK;
}

/* The sums [2, d] of the parts to gain and bias. */
static rs_status give_sums(rs_node *self, const rs_tensor *parts) {
  rs_tensor sums = {0};
  int64_t d = parts->size[2];
  rs_status status = rs_tensor_new(&sums, parts->dtype, 2, (int64_t[]){2, d});
  if (status == RS_OK) status = rs_sum_middle(&sums, parts, 1, parts->size[0], 2 * d);
  for (int i = 0; i < 2 && status == RS_OK; i++) {
    rs_tensor row = {0};
    status = rs_tensor_select(&row, &sums, 0, i);
    if (status == RS_OK) status = rs_grad_give(self->input[1 + i], &row);
  }
  rs_tensor_free(&sums);
  return status;
}

static rs_status backward(rs_node *self) {
  const rs_tensor *x = rs_in(self, 0);
  int64_t n = rs_rows(x), d = rs_last(x), chunks = (n + RS_ROW_CHUNK - 1) / RS_ROW_CHUNK;
  rs_tensor dx = {0}, parts = {0};
  rs_status status = rs_grad_reuse(&dx, self);
  if (status == RS_OK) status = rs_tensor_new(&parts, x->dtype, 3, (int64_t[]){chunks, 2, d});
  if (status == RS_OK) {
    context c = {.d = d, .x = rs_tensor_data(x), .gain = rs_tensor_data(rs_in(self, 1))};
    c.g = rs_tensor_data(&self->grad);
    c.out = rs_tensor_data(&dx);
    c.moments = rs_tensor_data(&self->saved[0]);
    c.parts = rs_tensor_data(&parts);
    rs_each(n, RS_ROW_CHUNK, RS_BODY(x->dtype, backward_rows), &c);
    status = give_sums(self, &parts);
  }
  rs_tensor_free(&parts);
  if (status == RS_OK) return rs_grad_give(self->input[0], &dx);
  rs_tensor_free(&dx);
  return status;
}

static const rs_attr_field fields[] = {{"epsilon", RS_ATTR_REAL, 0, DBL_MAX, NULL}};
const rs_op rs_op_layer_norm = {"layer_norm", 3, 3, 1, fields, forward, backward, false};

rs_status rs_ag_layer_norm(rs_node **out, rs_node *x, rs_node *gain, rs_node *bias, double epsilon) {
  return rs_apply(out, &rs_op_layer_norm, 3, (rs_node *[]){x, gain, bias}, &(rs_attr){.real = epsilon});
}

#else
#include "autograd/lanes.h"

RS_SIMD static void OF(forward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  const REAL *gain = c->gain, *bias = c->bias;
  int64_t d = c->d;
  for (int64_t i = begin; i < end; i++) {
    const REAL *x = (const REAL *)c->x + i * d;
    REAL *restrict y = (REAL *)c->out + i * d;
    REAL mean = OF(lanes_sum)(x, d) / (REAL)d;
    REAL r = 1 / MATH(sqrt)(OF(lanes_spread)(x, mean, d) / (REAL)d + (REAL)c->epsilon);
    for (int64_t j = 0; j < d; j++) y[j] = (x[j] - mean) * r * gain[j] + bias[j];
    if (c->moments) {
      ((REAL *)c->moments)[2 * i] = mean;
      ((REAL *)c->moments)[2 * i + 1] = r;
    }
  }
}

/* One row of dx from g (which may be dx); adds to the sums for gain and bias. */
static inline void OF(back_row)(REAL *dx, const REAL *g, const REAL *x, const REAL *gain, REAL mean, REAL r,
                                REAL *restrict sum_gh, REAL *restrict sum_g, int64_t d) {
  REAL q = OF(lanes_dot)(g, gain, d) / (REAL)d, qh = 0;
  for (int64_t j = 0; j < d; j++) {
    REAL h = (x[j] - mean) * r;
    qh += g[j] * gain[j] * h;
    sum_gh[j] += g[j] * h;
    sum_g[j] += g[j];
  }
  qh /= (REAL)d;
  RS_IVDEP for (int64_t j = 0; j < d; j++) dx[j] = r * (g[j] * gain[j] - q - (x[j] - mean) * r * qh);
}

RS_SIMD static void OF(backward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d;
  REAL *sums = (REAL *)c->parts + begin / RS_ROW_CHUNK * 2 * d;
  memset(sums, 0, (size_t)(2 * d) * sizeof *sums);
  for (int64_t i = begin; i < end; i++) {
    const REAL *moments = (const REAL *)c->moments + 2 * i;
    OF(back_row)
    ((REAL *)c->out + i * d, (const REAL *)c->g + i * d, (const REAL *)c->x + i * d, c->gain, moments[0], moments[1],
     sums, sums + d, d);
  }
}
#endif
