/* op_linear_batch_norm.c - y = dropout(activation(batch_norm(x w^T))) of a training tape, in two passes over the rows
 * and not in six: what op_linear.c, op_batch_norm.c, op_activation.c and op_dropout.c do one after another.
 *
 * Forward: a tile of rows of z = x w^T is made, and its columns' means and sums of squares about them while it lies in
 * the cache; all tiles' together give those of the batch (Chan, Golub & LeVeque 1983). The second pass normalises,
 * activates and drops. Backward, with h = (z - mean) r, r = 1 / sqrt(variance + epsilon), and g the gradient at the
 * normalised rows: one pass makes g and the column sums G of g and H of g h; the next
 * dz = gain r (g - G / n - h H / n), dx = dz w and, block by block, dw = dz^T x. dgain = H, dbias = G. z is kept. */
#ifndef REAL
#include <float.h>
#include <math.h>
#include <string.h>

#include "autograd/activation.h"
#include "autograd/builtin.h"
#include "autograd/dropout.h"
#include "autograd/fused.h"

enum { X, W, GAIN, BIAS, MEAN, VARIANCE };
enum { MOMENTUM, EPSILON, ACTIVATION, RATE };
enum { Z, MOMENTS, KEPT }; /* of self->saved */
enum { COLUMNS = 64 };     /* whose sums in double are kept at once */

typedef struct context {
  int64_t n, m;
  int activation;
  bool drops;
  rs_mask mask;
  rs_tiles *tiles; /* of z, or of dx (NULL: none) */
  void *z, *y, *kept;
  const void *bias, *g, *at;
  const void *moments; /* [3, m]: mean, r and gain r of each column */
  const void *shares;  /* [2, m]: G / n and r H / n */
  void *dz, *parts;    /* parts [tiles, 3, m], [blocks, 2, m] in backward */
  int64_t block;       /* rows of a block of backward */
  rs_weight_grad dw;
} context;

#define KERNELS "autograd/op_linear_batch_norm.c"
#include "autograd/each_real.h"

static rs_status check(const rs_node *self) {
  rs_status status = rs_need_reals(self, 6);
  const rs_tensor *x = rs_in(self, X), *w = rs_in(self, W);
  if (status != RS_OK) return status;
  if (!self->options->train) return rs_fail(RS_EARG, "linear_batch_norm: the tape does not train");
  if (x->ndim != 2 || w->ndim != 2 || x->size[1] != w->size[1])
    return rs_fail(RS_ESHAPE, "linear_batch_norm: x is %s and %s is %s, they must be [n, k] and [m, k]",
                   rs_shape(x).text, rs_node_label(self->input[W]), rs_shape(w).text);
  for (int i = GAIN; i <= VARIANCE && status == RS_OK; i++) status = rs_need_vector(self, i, w->size[0]);
  if (status == RS_OK && x->size[0] < 2)
    status = rs_fail(RS_ESHAPE, "batch_norm: x is %s, training wants two rows or more", rs_shape(x).text);
  for (int i = MEAN; i <= VARIANCE && status == RS_OK; i++)
    if (!self->input[i]->parameter || self->input[i]->parameter->trainable || !rs_in(self, i)->storage->writable)
      status = rs_fail(RS_EARG, "batch_norm: %s must be a parameter that is not trainable and can be written to",
                       rs_node_label(self->input[i]));
  return status;
}

/* Whether backward needs f(v) or v of the normalised v beside y. */
static bool keeps(const rs_node *self) {
  int activation = (int)self->attr[ACTIVATION].integer;
  if (rs_activation_wants_x(activation)) return true;
  return self->attr[RATE].real > 0 && activation != RS_RELU && activation != RS_IDENTITY;
}

static context context_of(const rs_node *self) {
  double rate = self->attr[RATE].real;
  context c = {.n = rs_in(self, X)->size[0], .m = rs_in(self, W)->size[0], .drops = rate > 0};
  c.activation = (int)self->attr[ACTIVATION].integer;
  c.mask = rs_mask_of(self, rate, c.m);
  c.bias = rs_tensor_data(rs_in(self, BIAS));
  return c;
}

/* The tensors of forward: y, what is kept, and the tiles' moments. */
static rs_status allocate(rs_node *self, const context *c, rs_tensor *parts) {
  rs_dtype dtype = rs_in(self, X)->dtype;
  int64_t size[] = {c->n, c->m}, tiles = (c->n + RS_GEMM_ROWS - 1) / RS_GEMM_ROWS;
  rs_status status = rs_tensor_new(&self->value, dtype, 2, size);
  if (status == RS_OK) status = rs_tensor_new(&self->saved[Z], dtype, 2, size);
  if (status == RS_OK) status = rs_tensor_new(&self->saved[MOMENTS], dtype, 2, (int64_t[]){3, c->m});
  if (status == RS_OK && keeps(self)) status = rs_tensor_new(&self->saved[KEPT], dtype, 2, size);
  return status == RS_OK ? rs_tensor_new(parts, dtype, 3, (int64_t[]){tiles, 3, c->m}) : status;
}

/* z, the batch's moments from the tiles', and the running ones, which follow. */
static void sum(rs_node *self, context *c) {
  rs_dtype dtype = self->value.dtype;
  void *moments = rs_tensor_data(&self->saved[MOMENTS]);
  rs_over_rows(c->n, rs_tile_grain(c->m, rs_in(self, X)->size[1]), RS_BODY(dtype, product_rows), c);
  RS_CALL(dtype, combine, (moments, c->parts, c->n, c->m));
  RS_CALL(dtype, follow, (rs_tensor_data(rs_in(self, MEAN)), rs_tensor_data(rs_in(self, VARIANCE)), moments,
                          self->attr[MOMENTUM].real, c->n, c->m));
  RS_CALL(dtype, scale, (moments, rs_tensor_data(rs_in(self, GAIN)), self->attr[EPSILON].real, c->m));
}

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  context c = context_of(self);
  rs_tensor parts = {0};
  status = allocate(self, &c, &parts);
  if (status == RS_OK) status = rs_tiles_new(&c.tiles, &self->saved[Z], rs_in(self, X), rs_in(self, W), true);
  if (status == RS_OK) {
    c.z = rs_tensor_data(&self->saved[Z]);
    c.y = rs_tensor_data(&self->value);
    c.parts = rs_tensor_data(&parts);
    c.moments = rs_tensor_data(&self->saved[MOMENTS]);
    if (self->saved[KEPT].storage) c.kept = rs_tensor_data(&self->saved[KEPT]);
    sum(self, &c);
    rs_over_rows(c.n, rs_tile_grain(c.m, 0), RS_BODY(self->value.dtype, finish_rows), &c);
  }
  rs_tiles_free(c.tiles);
  rs_tensor_free(&parts);
  for (int i = Z; i <= KEPT && !self->needs_grad; i++) rs_tensor_free(&self->saved[i]);
  return status;
}

/* g in place of dy, and the shares of its column sums, which are the gradients of gain and bias. */
static rs_status back_to_norm(rs_node *self, context *c, rs_tensor *shares) {
  int64_t blocks = rs_blocks(c->n);
  rs_tensor parts = {0}, sums = {0}, row = {0};
  rs_status status = rs_tensor_new(&parts, self->value.dtype, 3, (int64_t[]){blocks, 2, c->m});
  if (status == RS_OK) status = rs_tensor_new(&sums, self->value.dtype, 2, (int64_t[]){2, c->m});
  if (status == RS_OK) status = rs_tensor_like(shares, &sums);
  if (status == RS_OK) {
    c->parts = rs_tensor_data(&parts);
    rs_over_rows(c->n, c->block, RS_BODY(self->value.dtype, back_norm_rows), c);
    status = rs_sum_middle(&sums, &parts, 1, blocks, 2 * c->m);
  }
  if (status == RS_OK)
    RS_CALL(self->value.dtype, share, (rs_tensor_data(shares), rs_tensor_data(&sums), c->moments, c->n, c->m));
  for (int i = BIAS; i >= GAIN && status == RS_OK; i--) {
    status = rs_tensor_select(&row, &sums, 0, i == GAIN);
    if (status == RS_OK) status = rs_grad_give(self->input[i], &row);
  }
  rs_tensor_free(&parts);
  rs_tensor_free(&sums);
  return status;
}

/* dz in place of g, dx and dw. */
static rs_status back_to_input(rs_node *self, context *c, const rs_tensor *dz) {
  rs_tensor dx = {0};
  rs_status status = rs_weight_grad_new(&c->dw, self->input[W], rs_in(self, X));
  if (status == RS_OK) status = rs_input_grad_new(&dx, &c->tiles, self->input[X], dz, rs_in(self, W));
  if (status == RS_OK) rs_over_rows(c->n, c->block, RS_BODY(dz->dtype, back_rows), c);
  if (status == RS_OK) status = rs_weight_grad_give(&c->dw, self->input[W]);
  if (status == RS_OK && dx.storage) status = rs_grad_give(self->input[X], &dx);
  rs_tiles_free(c->tiles);
  rs_weight_grad_free(&c->dw);
  rs_tensor_free(&dx);
  return status;
}

static rs_status backward(rs_node *self) {
  context c = context_of(self);
  rs_tensor dz = {0}, shares = {0};
  rs_status status = rs_grad_reuse(&dz, self);
  if (status == RS_OK) {
    c.block = rs_block_rows(c.n);
    c.g = rs_tensor_data(&self->grad);
    c.dz = rs_tensor_data(&dz);
    c.z = rs_tensor_data(&self->saved[Z]);
    c.moments = rs_tensor_data(&self->saved[MOMENTS]);
    c.at = rs_tensor_data(self->saved[KEPT].storage ? &self->saved[KEPT] : &self->value);
    status = back_to_norm(self, &c, &shares);
  }
  if (status == RS_OK) {
    c.shares = rs_tensor_data(&shares);
    status = back_to_input(self, &c, &dz);
  }
  rs_tensor_free(&shares);
  rs_tensor_free(&dz);
  return status;
}

static const rs_attr_field fields[] = {{"momentum", RS_ATTR_REAL, 0, 1, NULL},
                                       {"epsilon", RS_ATTR_REAL, 0, DBL_MAX, NULL},
                                       {"activation", RS_ATTR_CHOICE, 0, 0, rs_activation_names},
                                       {"rate", RS_ATTR_REAL, 0, 0.999999, NULL}};
const rs_op rs_op_linear_batch_norm = {"linear_batch_norm", 6, 6, 4, fields, forward, backward, true};

static rs_status one_by_one(rs_node **out, rs_node *const *inputs, const rs_norm_attrs *a) {
  rs_node *node = NULL;
  rs_status status = rs_ag_linear(&node, inputs[X], inputs[W], NULL, RS_IDENTITY);
  if (status == RS_OK)
    status = rs_ag_batch_norm(&node, node, inputs[GAIN], inputs[BIAS], inputs[MEAN], inputs[VARIANCE], a->momentum,
                              a->epsilon);
  return status == RS_OK ? rs_ag_activate(out, node, a->activation) : status;
}

rs_status rs_ag_linear_batch_norm(rs_node **out, rs_node *x, rs_node *w, rs_node *gain, rs_node *bias, rs_node *mean,
                                  rs_node *variance, const rs_norm_attrs *attrs) {
  rs_node *inputs[] = {x, w, gain, bias, mean, variance};
  if (!x->options->train) return one_by_one(out, inputs, attrs);
  rs_attr values[] = {
      {.real = attrs->momentum}, {.real = attrs->epsilon}, {.integer = attrs->activation}, {.real = attrs->rate}};
  return rs_apply(out, &rs_op_linear_batch_norm, 6, inputs, values);
}

#else
/* Of a tile's columns: about what their mean is, the sum of what is left over it, and of its squares. Means are rounded
 * where they are large beside the spread; what is left makes up for it. */
RS_SIMD static void OF(tile_moments)(REAL *restrict centre, const REAL *restrict z, int64_t rows, int64_t m) {
  REAL *restrict rest = centre + m, *restrict spread = centre + 2 * m, share = 1 / (REAL)rows;
  memset(centre, 0, (size_t)(3 * m) * sizeof *centre);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < m; j++) centre[j] += z[i * m + j];
  for (int64_t j = 0; j < m; j++) centre[j] *= share;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < m; j++) {
      REAL off = z[i * m + j] - centre[j];
      rest[j] += off;
      spread[j] += off * off;
    }
}

static void OF(product_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t row = begin; row < end; row += RS_GEMM_ROWS) {
    int64_t stop = end - row < RS_GEMM_ROWS ? end : row + RS_GEMM_ROWS;
    rs_tiles_run(c->tiles, row, stop);
    OF(tile_moments)
    ((REAL *)c->parts + row / RS_GEMM_ROWS * 3 * c->m, (const REAL *)c->z + row * c->m, stop - row, c->m);
  }
}

/* Mean and variance (divided by n) of columns 'at' .. 'at' + 'count' from those of the tiles. */
RS_SIMD static void OF(combine_some)(REAL *moments, const REAL *parts, int64_t n, int64_t m, int64_t at,
                                     int64_t count) {
  double mean[COLUMNS] = {0}, spread[COLUMNS] = {0};
  for (int64_t row = 0; row < n; row += RS_GEMM_ROWS) {
    double rows = (double)(n - row < RS_GEMM_ROWS ? n - row : RS_GEMM_ROWS);
    const REAL *centre = parts + row / RS_GEMM_ROWS * 3 * m + at, *rest = centre + m;
    for (int64_t j = 0; j < count; j++) mean[j] += (double)centre[j] * rows + (double)rest[j];
  }
  for (int64_t j = 0; j < count; j++) mean[j] /= (double)n;
  for (int64_t row = 0; row < n; row += RS_GEMM_ROWS) {
    double rows = (double)(n - row < RS_GEMM_ROWS ? n - row : RS_GEMM_ROWS);
    const REAL *centre = parts + row / RS_GEMM_ROWS * 3 * m + at, *rest = centre + m, *squares = rest + m;
    for (int64_t j = 0; j < count; j++) { /* about the batch's mean: squares + 2 off rest + rows off^2 */
      double off = (double)centre[j] - mean[j];
      spread[j] += (double)squares[j] + off * (2 * (double)rest[j] + rows * off);
    }
  }
  for (int64_t j = 0; j < count; j++) {
    moments[at + j] = (REAL)mean[j];
    moments[m + at + j] = (REAL)(spread[j] / (double)n);
  }
}

static void OF(combine)(REAL *moments, const REAL *parts, int64_t n, int64_t m) {
  for (int64_t at = 0; at < m; at += COLUMNS)
    OF(combine_some)(moments, parts, n, m, at, m - at < COLUMNS ? m - at : COLUMNS);
}

/* running += momentum (batch - running), the batch's variance being that divided by n - 1. */
static void OF(follow)(REAL *mean, REAL *variance, const REAL *moments, double momentum, int64_t n, int64_t m) {
  REAL unbiased = (REAL)((double)n / (double)(n - 1));
  for (int64_t j = 0; j < m; j++) {
    mean[j] += (REAL)momentum * (moments[j] - mean[j]);
    variance[j] += (REAL)momentum * (unbiased * moments[m + j] - variance[j]);
  }
}

/* The second row from variances to r, the third gain r. */
static void OF(scale)(REAL *moments, const REAL *gain, double epsilon, int64_t m) {
  for (int64_t j = 0; j < m; j++) {
    REAL r = 1 / MATH(sqrt)(moments[m + j] + (REAL)epsilon);
    moments[m + j] = r;
    moments[2 * m + j] = gain[j] * r;
  }
}

RS_SIMD static void OF(normalise)(const context *c, REAL *restrict y, const REAL *restrict z, int64_t rows) {
  int64_t m = c->m;
  const REAL *restrict mean = c->moments, *restrict scaled = mean + 2 * m, *restrict bias = c->bias;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < m; j++) y[i * m + j] = (z[i * m + j] - mean[j]) * scaled[j] + bias[j];
}

RS_SIMD static void OF(normalise_relu)(const context *c, REAL *restrict y, const REAL *restrict z, int64_t rows) {
  int64_t m = c->m;
  const REAL *restrict mean = c->moments, *restrict scaled = mean + 2 * m, *restrict bias = c->bias;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < m; j++) {
      REAL v = (z[i * m + j] - mean[j]) * scaled[j] + bias[j];
      y[i * m + j] = v < 0 ? 0 : v; /* NaN stays NaN */
    }
}

static void OF(finish)(const context *c, int64_t begin, int64_t end) {
  int64_t at = begin * c->m, rows = end - begin, count = rows * c->m;
  REAL *y = (REAL *)c->y + at, *kept = c->kept ? (REAL *)c->kept + at : NULL;
  const REAL *z = (const REAL *)c->z + at;
  size_t bytes = (size_t)count * sizeof *y;
  if (c->activation == RS_RELU) {
    OF(normalise_relu)(c, y, z, rows);
  } else {
    OF(normalise)(c, y, z, rows);
    if (kept && rs_activation_wants_x(c->activation)) memcpy(kept, y, bytes);
    if (c->activation != RS_IDENTITY) OF(rs_activate)(c->activation, y, y, count);
    if (kept && !rs_activation_wants_x(c->activation)) memcpy(kept, y, bytes);
  }
  if (c->drops) OF(rs_mask_apply)(&c->mask, c->y, c->y, at, at + count);
}

static void OF(finish_rows)(void *context_, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row += RS_GEMM_ROWS)
    OF(finish)(context_, row, end - row < RS_GEMM_ROWS ? end : row + RS_GEMM_ROWS);
}

/* g of rows whose activation is relu, and its column sums: an element passes where y is positive. */
RS_SIMD static void OF(back_relu)(const context *c, REAL *sums, int64_t begin, int64_t end) {
  int64_t m = c->m;
  REAL keep = c->drops ? (REAL)c->mask.keep : 1;
  const REAL *mean = c->moments, *r = mean + m;
  for (int64_t i = begin; i < end; i++) {
    const REAL *g = (const REAL *)c->g + i * m, *y = (const REAL *)c->at + i * m, *z = (const REAL *)c->z + i * m;
    REAL *dz = (REAL *)c->dz + i * m;
    RS_IVDEP for (int64_t j = 0; j < m; j++) {
      REAL v = y[j] > 0 ? g[j] * keep : 0;
      dz[j] = v;
      sums[j] += v;
      sums[m + j] += v * ((z[j] - mean[j]) * r[j]);
    }
  }
}

RS_SIMD static void OF(add_sums)(const context *c, REAL *sums, int64_t begin, int64_t end) {
  int64_t m = c->m;
  const REAL *mean = c->moments, *r = mean + m;
  for (int64_t i = begin; i < end; i++) {
    const REAL *g = (const REAL *)c->dz + i * m, *z = (const REAL *)c->z + i * m;
    RS_IVDEP for (int64_t j = 0; j < m; j++) {
      sums[j] += g[j];
      sums[m + j] += g[j] * ((z[j] - mean[j]) * r[j]);
    }
  }
}

/* g of other rows: through the mask, drawn again, and the activation's derivative. */
static void OF(back_activation)(const context *c, int64_t begin, int64_t end) {
  int64_t at = begin * c->m, count = (end - begin) * c->m;
  REAL *dz = (REAL *)c->dz + at;
  const REAL *g = (const REAL *)c->g + at;
  if (c->drops) {
    OF(rs_mask_apply)(&c->mask, c->dz, c->g, at, at + count);
    g = dz;
  }
  OF(rs_activate_back)(c->activation, dz, g, (const REAL *)c->at + at, count);
}

static void OF(back_norm_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL *sums = (REAL *)c->parts + begin / c->block * 2 * c->m;
  memset(sums, 0, (size_t)(2 * c->m) * sizeof *sums);
  for (int64_t row = begin; row < end; row += RS_GEMM_ROWS) {
    int64_t stop = end - row < RS_GEMM_ROWS ? end : row + RS_GEMM_ROWS;
    if (c->activation == RS_RELU) {
      OF(back_relu)(c, sums, row, stop);
    } else {
      OF(back_activation)(c, row, stop);
      OF(add_sums)(c, sums, row, stop);
    }
  }
}

static void OF(share)(REAL *shares, const REAL *sums, const REAL *moments, int64_t n, int64_t m) {
  for (int64_t j = 0; j < m; j++) {
    shares[j] = sums[j] / (REAL)n;
    shares[m + j] = moments[m + j] * sums[m + j] / (REAL)n;
  }
}

RS_SIMD static void OF(back_norm)(const context *c, int64_t begin, int64_t end) {
  int64_t m = c->m;
  const REAL *mean = c->moments, *scaled = mean + 2 * m, *share_g = c->shares, *share_h = share_g + m;
  for (int64_t i = begin; i < end; i++) {
    const REAL *z = (const REAL *)c->z + i * m;
    REAL *dz = (REAL *)c->dz + i * m;
    RS_IVDEP for (int64_t j = 0; j < m; j++)
      dz[j] = scaled[j] * (dz[j] - share_g[j] - (z[j] - mean[j]) * share_h[j]);
  }
}

/* One block of rows, tile by tile, and its part of the weight's gradient. */
static void OF(back_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t row = begin; row < end; row += RS_GEMM_ROWS) {
    int64_t stop = end - row < RS_GEMM_ROWS ? end : row + RS_GEMM_ROWS;
    OF(back_norm)(c, row, stop);
    if (c->tiles) rs_tiles_run(c->tiles, row, stop);
  }
  rs_weight_grad_block(&c->dw, c->dz, begin, end);
}
#endif
