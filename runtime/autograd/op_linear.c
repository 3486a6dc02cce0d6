/* op_linear.c - y [n, m] = activation(x [n, k] w [m, k]^T + b [m]), in one pass: a tile of rows goes through all of it
 * while it lies in the cache. linear_dropout, of training tapes, also drops elements of y there.
 *
 * Backward, block by block of rows: with z the sum before the activation, dz = dy f'(z), dx = dz w, dw = dz^T x, db =
 * the column sums of dz. dz takes the memory of dy. What dropout kept is seen in y where the activation is relu, else
 * the mask is drawn again. */
#ifndef REAL
#include <string.h>

#include "autograd/activation.h"
#include "autograd/builtin.h"
#include "autograd/dropout.h"
#include "autograd/fused.h"

enum { ACTIVATION, RATE };

typedef struct context {
  int activation;
  int64_t m;
  void *y, *kept; /* kept: what the derivative is computed from where it is not y, or NULL */
  const void *bias, *g, *at;
  bool drops;
  rs_mask mask;
  rs_tiles *tiles; /* of y, or of dx; NULL for no dx */
  int64_t block;   /* rows of a block of backward */
  void *parts;     /* [blocks, m]: column sums, or NULL */
  rs_weight_grad dw;
} context;

#define KERNELS "autograd/op_linear.c"
#include "autograd/each_real.h"

static rs_status check(const rs_node *self) {
  rs_status status = rs_need_reals(self, self->n_inputs);
  const rs_tensor *x = rs_in(self, 0), *w = rs_in(self, 1);
  if (status != RS_OK) return status;
  if (x->ndim != 2 || w->ndim != 2 || x->size[1] != w->size[1])
    return rs_fail(RS_ESHAPE, "linear: x is %s and %s is %s, they must be [n, k] and [m, k]", rs_shape(x).text,
                   rs_node_label(self->input[1]), rs_shape(w).text);
  return self->n_inputs == 3 ? rs_need_vector(self, 2, w->size[0]) : RS_OK;
}

static double rate_of(const rs_node *self) { return self->op->n_fields > RATE ? self->attr[RATE].real : 0; }

/* Whether backward needs f(z) or z beside y: z, or what dropout has not touched. */
static bool keeps(const rs_node *self) {
  int activation = (int)self->attr[ACTIVATION].integer;
  if (rs_activation_wants_x(activation)) return true;
  return rate_of(self) > 0 && activation != RS_RELU && activation != RS_IDENTITY;
}

static context context_of(const rs_node *self) {
  context c = {.activation = (int)self->attr[ACTIVATION].integer, .m = rs_in(self, 1)->size[0]};
  c.drops = rate_of(self) > 0;
  c.mask = rs_mask_of(self, rate_of(self), c.m);
  if (self->n_inputs == 3) c.bias = rs_tensor_data(rs_in(self, 2));
  return c;
}

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  const rs_tensor *x = rs_in(self, 0), *w = rs_in(self, 1);
  context c = context_of(self);
  status = rs_tensor_new(&self->value, x->dtype, 2, (int64_t[]){x->size[0], c.m});
  if (status == RS_OK && self->needs_grad && keeps(self)) status = rs_tensor_like(&self->saved[0], &self->value);
  if (status == RS_OK) status = rs_tiles_new(&c.tiles, &self->value, x, w, true);
  if (status != RS_OK) return status;
  c.y = rs_tensor_data(&self->value);
  if (self->saved[0].storage) c.kept = rs_tensor_data(&self->saved[0]);
  rs_over_rows(x->size[0], rs_tile_grain(c.m, x->size[1]), RS_BODY(x->dtype, forward_rows), &c);
  rs_tiles_free(c.tiles);
  return RS_OK;
}

/* dz in place of dy; what the parts of all gradients need. */
static rs_status prepare(context *c, rs_tensor *dz, rs_tensor *dx, rs_tensor *parts, rs_node *self) {
  int64_t n = self->value.size[0];
  rs_status status = RS_OK;
  if (c->activation == RS_IDENTITY && !c->drops)
    rs_tensor_share(dz, &self->grad);
  else
    status = rs_grad_reuse(dz, self);
  if (status == RS_OK && self->n_inputs == 3 && self->input[2]->needs_grad)
    status = rs_tensor_new(parts, dz->dtype, 2, (int64_t[]){rs_blocks(n), c->m});
  if (status == RS_OK) status = rs_weight_grad_new(&c->dw, self->input[1], rs_in(self, 0));
  if (status == RS_OK) status = rs_input_grad_new(dx, &c->tiles, self->input[0], dz, rs_in(self, 1));
  if (status != RS_OK) return status;
  c->y = rs_tensor_data(dz);
  c->g = rs_tensor_data(&self->grad);
  c->at = rs_tensor_data(self->saved[0].storage ? &self->saved[0] : &self->value);
  c->block = rs_block_rows(n);
  if (parts->storage) c->parts = rs_tensor_data(parts);
  return RS_OK;
}

static rs_status backward(rs_node *self) {
  rs_tensor dz = {0}, dx = {0}, parts = {0};
  context c = context_of(self);
  rs_status status = prepare(&c, &dz, &dx, &parts, self);
  if (status == RS_OK) rs_over_rows(self->value.size[0], c.block, RS_BODY(dz.dtype, back_rows), &c);
  if (status == RS_OK && parts.storage) status = rs_give_sum(self->input[2], &parts);
  if (status == RS_OK) status = rs_weight_grad_give(&c.dw, self->input[1]);
  if (status == RS_OK && dx.storage) status = rs_grad_give(self->input[0], &dx);
  rs_tiles_free(c.tiles);
  rs_weight_grad_free(&c.dw);
  rs_tensor_free(&parts);
  rs_tensor_free(&dx);
  rs_tensor_free(&dz);
  return status;
}

static const rs_attr_field fields[] = {{"activation", RS_ATTR_CHOICE, 0, 0, rs_activation_names},
                                       {"rate", RS_ATTR_REAL, 0, 0.999999, NULL}};
const rs_op rs_op_linear = {"linear", 2, 3, 1, fields, forward, backward, false};
const rs_op rs_op_linear_dropout = {"linear_dropout", 2, 3, 2, fields, forward, backward, true};

rs_status rs_ag_linear(rs_node **out, rs_node *x, rs_node *w, rs_node *b, rs_activation activation) {
  rs_attr attr = {.integer = activation};
  return rs_apply(out, &rs_op_linear, b ? 3 : 2, (rs_node *[]){x, w, b}, &attr);
}

rs_status rs_ag_linear_dropout(rs_node **out, rs_node *x, rs_node *w, rs_node *b, rs_activation activation,
                               double rate) {
  if (!x->options->train || rate == 0) return rs_ag_linear(out, x, w, b, activation);
  rs_attr attrs[] = {{.integer = activation}, {.real = rate}};
  return rs_apply(out, &rs_op_linear_dropout, b ? 3 : 2, (rs_node *[]){x, w, b}, attrs);
}

#else
RS_SIMD static void OF(add_bias)(REAL *y, const REAL *bias, int64_t rows, int64_t m) {
  for (; rows > 0; rows--, y += m)
    for (int64_t j = 0; j < m; j++) y[j] += bias[j];
}

RS_SIMD static void OF(add_bias_relu)(REAL *y, const REAL *bias, int64_t rows, int64_t m) {
  for (; rows > 0; rows--, y += m)
    for (int64_t j = 0; j < m; j++) {
      REAL z = y[j] + bias[j];
      y[j] = z < 0 ? 0 : z;
    }
}

/* From the product to y, rows begin .. end-1. */
static void OF(finish)(const context *c, int64_t begin, int64_t end) {
  REAL *y = (REAL *)c->y + begin * c->m, *kept = c->kept ? (REAL *)c->kept + begin * c->m : NULL;
  int64_t rows = end - begin, count = rows * c->m;
  size_t bytes = (size_t)count * sizeof *y;
  if (c->bias && c->activation == RS_RELU) {
    OF(add_bias_relu)(y, c->bias, rows, c->m);
  } else {
    if (c->bias) OF(add_bias)(y, c->bias, rows, c->m);
    if (kept && rs_activation_wants_x(c->activation)) memcpy(kept, y, bytes);
    if (c->activation != RS_IDENTITY) OF(rs_activate)(c->activation, y, y, count);
    if (kept && !rs_activation_wants_x(c->activation)) memcpy(kept, y, bytes);
  }
  if (c->drops) OF(rs_mask_apply)(&c->mask, c->y, c->y, begin * c->m, end * c->m);
}

static void OF(forward_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t row = begin; row < end; row += RS_GEMM_ROWS) {
    int64_t stop = end - row < RS_GEMM_ROWS ? end : row + RS_GEMM_ROWS;
    rs_tiles_run(c->tiles, row, stop);
    OF(finish)(c, row, stop);
  }
}

RS_SIMD static void OF(add_rows)(REAL *restrict sum, const REAL *restrict x, int64_t rows, int64_t m) {
  for (; rows > 0; rows--, x += m)
    for (int64_t j = 0; j < m; j++) sum[j] += x[j];
}

/* dz = g / (1 - rate) where relu and dropout let the element pass. */
RS_SIMD static void OF(back_kept)(REAL *dz, const REAL *g, const REAL *y, REAL keep, int64_t n) {
  RS_IVDEP for (int64_t i = 0; i < n; i++) dz[i] = y[i] > 0 ? g[i] * keep : 0;
}

/* dz of rows begin .. end-1. */
static void OF(back_to_sum)(const context *c, int64_t begin, int64_t end) {
  int64_t at = begin * c->m, count = (end - begin) * c->m;
  REAL *dz = (REAL *)c->y + at;
  const REAL *g = (const REAL *)c->g + at, *y = (const REAL *)c->at + at;
  if (c->activation == RS_RELU && c->drops) {
    OF(back_kept)(dz, g, y, (REAL)c->mask.keep, count);
    return;
  }
  if (c->drops) {
    OF(rs_mask_apply)(&c->mask, c->y, c->g, at, end * c->m);
    g = dz;
  }
  if (c->activation != RS_IDENTITY) OF(rs_activate_back)(c->activation, dz, g, y, count);
}

/* One block of rows, tile by tile, and its part of the weight's gradient. */
static void OF(back_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL *sums = c->parts ? (REAL *)c->parts + begin / c->block * c->m : NULL;
  if (sums) memset(sums, 0, (size_t)c->m * sizeof *sums);
  for (int64_t row = begin; row < end; row += RS_GEMM_ROWS) {
    int64_t stop = end - row < RS_GEMM_ROWS ? end : row + RS_GEMM_ROWS;
    OF(back_to_sum)(c, row, stop);
    if (sums) OF(add_rows)(sums, (const REAL *)c->y + row * c->m, stop - row, c->m);
    if (c->tiles) rs_tiles_run(c->tiles, row, stop);
  }
  rs_weight_grad_block(&c->dw, c->y, begin, end);
}
#endif
