/* op_batch_norm.c - over the rows of x [n, d]: h = (x - mean) / sqrt(variance + epsilon), y = h gain + bias.
 * Ioffe & Szegedy 2015, arXiv:1502.03167.
 *
 * Training takes mean and variance (divided by n) of the batch and moves the buffers towards them, the variance
 * there divided by n - 1; evaluation takes the buffers. With r = 1 / sqrt(variance + epsilon), G = the column sums of
 * g and H those of g h: dbias = G, dgain = H, and dx = gain r (g - G / n - h H / n) in training, gain r g otherwise. */
#ifndef REAL
#include <float.h>
#include <math.h>
#include <string.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

enum { X, GAIN, BIAS, MEAN, VARIANCE };
enum { MOMENTUM, EPSILON };

typedef struct context {
  int64_t n, d;
  bool train;
  const void *x, *gain, *bias, *g;
  const void *moments; /* [2, d]: mean and r of each column */
  const void *sums;    /* [2, d]: G and H */
  void *out;
  void *parts; /* [chunks, ...] */
} context;

#define KERNELS "autograd/op_batch_norm.c"
#include "autograd/each_real.h"

static rs_status check(const rs_node *self) {
  rs_status status = rs_need_reals(self, 5);
  if (status == RS_OK) status = rs_need_ndim(self, X, 2);
  for (int i = GAIN; i <= VARIANCE && status == RS_OK; i++) status = rs_need_vector(self, i, rs_last(rs_in(self, X)));
  if (status != RS_OK || !self->options->train) return status;
  if (rs_in(self, X)->size[0] < 2)
    return rs_fail(RS_ESHAPE, "batch_norm: x is %s, training wants two rows or more", rs_shape(rs_in(self, X)).text);
  for (int i = MEAN; i <= VARIANCE; i++)
    if (!self->input[i]->parameter || self->input[i]->parameter->trainable || !rs_in(self, i)->storage->writable)
      return rs_fail(RS_EARG, "batch_norm: %s must be a parameter that is not trainable and can be written to",
                     rs_node_label(self->input[i]));
  return RS_OK;
}

/* The column sums of what 'body' makes of each chunk of rows, 'width' columns, into 'sums' (allocated). */
static rs_status column_sums(rs_tensor *sums, context *c, int64_t width, rs_body *body) {
  int64_t chunks = (c->n + RS_ROW_CHUNK - 1) / RS_ROW_CHUNK;
  rs_tensor parts = {0};
  rs_status status = rs_tensor_new(&parts, sums->dtype, 2, (int64_t[]){chunks, width});
  if (status != RS_OK) return status;
  c->parts = rs_tensor_data(&parts);
  rs_each(c->n, RS_ROW_CHUNK, body, c);
  status = rs_sum_middle(sums, &parts, 1, chunks, width);
  rs_tensor_free(&parts);
  return status;
}

/* Mean and variance of the batch into 'moments' [2, d]; the running ones follow. */
static rs_status batch_moments(rs_node *self, rs_tensor *moments, context *c) {
  rs_tensor row = {0};
  rs_status status = rs_tensor_select(&row, moments, 0, 0);
  if (status == RS_OK) status = column_sums(&row, c, c->d, RS_BODY(row.dtype, sum_x));
  if (status == RS_OK) RS_CALL(row.dtype, divide, (rs_tensor_data(&row), c->n, c->d));
  rs_tensor_free(&row);
  if (status == RS_OK) status = rs_tensor_select(&row, moments, 0, 1);
  if (status == RS_OK) status = column_sums(&row, c, c->d, RS_BODY(row.dtype, sum_spread));
  if (status == RS_OK) RS_CALL(row.dtype, divide, (rs_tensor_data(&row), c->n, c->d));
  rs_tensor_free(&row);
  if (status != RS_OK) return status;
  double momentum = self->attr[MOMENTUM].real, unbiased = (double)c->n / (double)(c->n - 1);
  const void *mean = c->moments;
  RS_CALL(moments->dtype, follow, (rs_tensor_data(rs_in(self, MEAN)), mean, 0, momentum, 1, c->d));
  RS_CALL(moments->dtype, follow, (rs_tensor_data(rs_in(self, VARIANCE)), mean, c->d, momentum, unbiased, c->d));
  return RS_OK;
}

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  const rs_tensor *x = rs_in(self, X);
  rs_tensor moments = {0};
  context c = {.n = x->size[0], .d = x->size[1], .train = self->options->train, .x = rs_tensor_data(x)};
  status = rs_tensor_like(&self->value, x);
  if (status == RS_OK) status = rs_tensor_new(&moments, x->dtype, 2, (int64_t[]){2, c.d});
  if (status == RS_OK) {
    c.moments = rs_tensor_data(&moments);
    const void *mean = rs_tensor_data(rs_in(self, MEAN)), *variance = rs_tensor_data(rs_in(self, VARIANCE));
    if (c.train)
      status = batch_moments(self, &moments, &c);
    else
      RS_CALL(x->dtype, copy_moments, (rs_tensor_data(&moments), mean, variance, c.d));
  }
  if (status == RS_OK) {
    RS_CALL(x->dtype, invert, (rs_tensor_data(&moments), self->attr[EPSILON].real, c.d));
    c.gain = rs_tensor_data(rs_in(self, GAIN));
    c.bias = rs_tensor_data(rs_in(self, BIAS));
    c.out = rs_tensor_data(&self->value);
    rs_each(c.n, rs_row_grain(c.d), RS_BODY(x->dtype, forward_rows), &c);
  }
  if (status == RS_OK && self->needs_grad) rs_tensor_share(&self->saved[0], &moments);
  rs_tensor_free(&moments);
  return status;
}

static rs_status give_row(rs_node *input, const rs_tensor *sums, int64_t i) {
  rs_tensor row = {0};
  rs_status status = rs_tensor_select(&row, sums, 0, i);
  return status == RS_OK ? rs_grad_give(input, &row) : status;
}

static rs_status backward(rs_node *self) {
  const rs_tensor *x = rs_in(self, X);
  rs_tensor dx = {0}, sums = {0};
  context c = {.n = x->size[0], .d = x->size[1], .train = self->options->train, .x = rs_tensor_data(x)};
  c.g = rs_tensor_data(&self->grad);
  c.gain = rs_tensor_data(rs_in(self, GAIN));
  c.moments = rs_tensor_data(&self->saved[0]);
  rs_status status = rs_tensor_new(&sums, x->dtype, 2, (int64_t[]){2, c.d});
  if (status == RS_OK) status = column_sums(&sums, &c, 2 * c.d, RS_BODY(x->dtype, sum_grads));
  if (status == RS_OK) status = rs_grad_reuse(&dx, self);
  if (status == RS_OK) {
    c.sums = rs_tensor_data(&sums);
    c.out = rs_tensor_data(&dx);
    rs_each(c.n, rs_row_grain(c.d), RS_BODY(x->dtype, backward_rows), &c);
    status = rs_grad_give(self->input[X], &dx);
  }
  if (status == RS_OK) status = give_row(self->input[BIAS], &sums, 0);
  if (status == RS_OK) status = give_row(self->input[GAIN], &sums, 1);
  rs_tensor_free(&sums);
  return status;
}

static const rs_attr_field fields[] = {{"momentum", RS_ATTR_REAL, 0, 1, NULL},
                                       {"epsilon", RS_ATTR_REAL, 0, DBL_MAX, NULL}};
const rs_op rs_op_batch_norm = {"batch_norm", 5, 5, 2, fields, forward, backward, false};

rs_status rs_ag_batch_norm(rs_node **out, rs_node *x, rs_node *gain, rs_node *bias, rs_node *mean, rs_node *variance,
                           double momentum, double epsilon) {
  rs_attr attrs[] = {{.real = momentum}, {.real = epsilon}};
  return rs_apply(out, &rs_op_batch_norm, 5, (rs_node *[]){x, gain, bias, mean, variance}, attrs);
}

#else
RS_SIMD static void OF(sum_x)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d;
  REAL *restrict sum = (REAL *)c->parts + begin / RS_ROW_CHUNK * d;
  memset(sum, 0, (size_t)d * sizeof *sum);
  for (int64_t i = begin; i < end; i++) {
    const REAL *restrict x = (const REAL *)c->x + i * d;
    for (int64_t j = 0; j < d; j++) sum[j] += x[j];
  }
}

RS_SIMD static void OF(sum_spread)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d;
  const REAL *restrict mean = c->moments;
  REAL *restrict sum = (REAL *)c->parts + begin / RS_ROW_CHUNK * d;
  memset(sum, 0, (size_t)d * sizeof *sum);
  for (int64_t i = begin; i < end; i++) {
    const REAL *restrict x = (const REAL *)c->x + i * d;
    for (int64_t j = 0; j < d; j++) sum[j] += (x[j] - mean[j]) * (x[j] - mean[j]);
  }
}

static void OF(divide)(REAL *x, int64_t n, int64_t d) {
  for (int64_t j = 0; j < d; j++) x[j] /= (REAL)n;
}

/* running += momentum (scale batch - running) */
static void OF(follow)(REAL *running, const REAL *moments, int64_t from, double momentum, double scale, int64_t d) {
  for (int64_t j = 0; j < d; j++) running[j] += (REAL)momentum * ((REAL)scale * moments[from + j] - running[j]);
}

static void OF(copy_moments)(REAL *moments, const REAL *mean, const REAL *variance, int64_t d) {
  memcpy(moments, mean, (size_t)d * sizeof *mean);
  memcpy(moments + d, variance, (size_t)d * sizeof *mean);
}

/* The second row from variances to 1 / sqrt(variance + epsilon). */
static void OF(invert)(REAL *moments, double epsilon, int64_t d) {
  for (int64_t j = d; j < 2 * d; j++) moments[j] = 1 / MATH(sqrt)(moments[j] + (REAL)epsilon);
}

RS_SIMD static void OF(forward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d;
  const REAL *mean = c->moments, *r = mean + d, *gain = c->gain, *bias = c->bias;
  for (int64_t i = begin; i < end; i++) {
    const REAL *x = (const REAL *)c->x + i * d;
    REAL *restrict y = (REAL *)c->out + i * d;
    for (int64_t j = 0; j < d; j++) y[j] = (x[j] - mean[j]) * r[j] * gain[j] + bias[j];
  }
}

RS_SIMD static void OF(sum_grads)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d;
  const REAL *mean = c->moments, *r = mean + d;
  REAL *restrict sum_g = (REAL *)c->parts + begin / RS_ROW_CHUNK * 2 * d, *restrict sum_gh = sum_g + d;
  memset(sum_g, 0, (size_t)(2 * d) * sizeof *sum_g);
  for (int64_t i = begin; i < end; i++) {
    const REAL *x = (const REAL *)c->x + i * d, *g = (const REAL *)c->g + i * d;
    for (int64_t j = 0; j < d; j++) {
      sum_g[j] += g[j];
      sum_gh[j] += g[j] * ((x[j] - mean[j]) * r[j]);
    }
  }
}

RS_SIMD static void OF(backward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d;
  const REAL *mean = c->moments, *r = mean + d, *gain = c->gain, *sum_g = c->sums, *sum_gh = sum_g + d;
  REAL share = c->train ? 1 / (REAL)c->n : 0;
  for (int64_t i = begin; i < end; i++) {
    const REAL *x = (const REAL *)c->x + i * d, *g = (const REAL *)c->g + i * d;
    REAL *dx = (REAL *)c->out + i * d;
    RS_IVDEP for (int64_t j = 0; j < d; j++) {
      REAL h = (x[j] - mean[j]) * r[j];
      dx[j] = gain[j] * r[j] * (g[j] - share * (sum_g[j] + h * sum_gh[j]));
    }
  }
}
#endif
