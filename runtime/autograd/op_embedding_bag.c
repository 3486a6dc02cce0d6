/* op_embedding_bag.c - y [n, d]: bag i is the sum or mean of the table's rows at codes[offsets[i] .. offsets[i+1]-1],
 * each times its weight where weights are given; an empty bag is 0.
 *
 * Backward: position p of bag i adds w_p g_i (divided by the bag's size for a mean) to row codes[p], kept as a piece
 * that points into g; dw_p = <table row, g_i>, divided likewise. */
#ifndef REAL
#include <string.h>

#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "autograd/table.h"
#include "base/prefetch.h"
#include "tensor/half.h"

enum { TABLE, CODES, OFFSETS, WEIGHTS };

typedef struct context {
  bool mean, narrow; /* a table of bf16 */
  int64_t d;
  const void *table, *weights, *g;
  const int32_t *codes;
  const int64_t *offsets;
  void *out;
  int32_t *row;
  void *factor;
} context;

/* A row of the table: where it lies, or, of bf16, widened into 'wide'. */
static inline const float *row_f32(const context *c, int32_t code, float *wide) {
  if (!c->narrow) return (const float *)c->table + code * c->d;
  const uint16_t *from = (const uint16_t *)c->table + code * c->d;
  for (int64_t j = 0; j < c->d; j++) wide[j] = rs_bfloat_to_f32(from[j]);
  return wide;
}
static inline const double *row_f64(const context *c, int32_t code, double *wide) {
  (void)wide;
  return (const double *)c->table + code * c->d;
}

#define KERNELS "autograd/op_embedding_bag.c"
#include "autograd/each_real.h"

static rs_status check(const rs_node *self) {
  rs_status status = rs_need_table(self);
  if (status == RS_OK) status = rs_need_ndim(self, CODES, 1);
  if (status == RS_OK) status = rs_need_bags(self, OFFSETS, rs_in(self, CODES)->size[0], "codes");
  if (status != RS_OK || self->n_inputs == 3) return status;
  if (rs_in(self, WEIGHTS)->dtype != rs_grad_dtype(rs_in(self, TABLE)))
    return rs_fail(RS_EDTYPE, "embedding_bag: the table is %s and the weights %s",
                   rs_dtype_name(rs_in(self, TABLE)->dtype), rs_dtype_name(rs_in(self, WEIGHTS)->dtype));
  return rs_need_same(self, CODES, WEIGHTS);
}

static context context_of(const rs_node *self) {
  const rs_tensor *table = rs_in(self, TABLE);
  context c = {.mean = self->attr[0].integer == RS_BAG_MEAN, .d = table->size[1], .table = rs_tensor_data(table)};
  c.narrow = table->dtype == RS_BF16;
  if (self->n_inputs == 4) c.weights = rs_tensor_data(rs_in(self, WEIGHTS));
  c.codes = rs_i32(rs_in(self, CODES));
  c.offsets = rs_i64(rs_in(self, OFFSETS));
  return c;
}

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  const rs_tensor *table = rs_in(self, TABLE);
  int64_t n = rs_in(self, OFFSETS)->size[0] - 1;
  status = rs_tensor_new(&self->value, rs_grad_dtype(table), 2, (int64_t[]){n, table->size[1]});
  if (status != RS_OK) return status;
  context c = context_of(self);
  c.out = rs_tensor_data(&self->value);
  rs_each(n, RS_BAGS, RS_BODY(self->value.dtype, forward_bags), &c);
  return RS_OK;
}

static rs_status back_table(rs_node *self) {
  const rs_tensor *codes = rs_in(self, CODES);
  rs_piece piece = {0};
  context c = context_of(self);
  bool weighted = c.mean || c.weights;
  rs_status status = rs_tensor_new(&piece.row, RS_I32, 1, codes->size);
  if (status == RS_OK && weighted) status = rs_tensor_new(&piece.weight, self->grad.dtype, 1, codes->size);
  if (status == RS_OK) {
    rs_tensor_share(&piece.codes, codes);
    rs_tensor_share(&piece.rows, &self->grad);
    c.row = rs_i32(&piece.row);
    if (weighted) c.factor = rs_tensor_data(&piece.weight);
    rs_each(self->grad.size[0], RS_BAGS, RS_BODY(self->grad.dtype, piece_bags), &c);
    status = rs_grad_give_piece(self->input[TABLE], &piece);
  }
  rs_tensor_free(&piece.codes);
  rs_tensor_free(&piece.rows);
  rs_tensor_free(&piece.row);
  rs_tensor_free(&piece.weight);
  return status;
}

static rs_status back_weights(rs_node *self) {
  rs_tensor dw = {0};
  rs_status status = rs_tensor_like(&dw, rs_in(self, WEIGHTS));
  if (status != RS_OK) return status;
  context c = context_of(self);
  c.g = rs_tensor_data(&self->grad);
  c.out = rs_tensor_data(&dw);
  rs_each(self->grad.size[0], RS_BAGS, RS_BODY(dw.dtype, weight_bags), &c);
  return rs_grad_give(self->input[WEIGHTS], &dw);
}

static rs_status backward(rs_node *self) {
  rs_status status = self->input[TABLE]->needs_grad ? back_table(self) : RS_OK;
  if (status == RS_OK && self->n_inputs == 4 && self->input[WEIGHTS]->needs_grad) status = back_weights(self);
  return status;
}

static const char *const modes[] = {"sum", "mean", NULL};
static const rs_attr_field fields[] = {{"mode", RS_ATTR_CHOICE, 0, 0, modes}};
const rs_op rs_op_embedding_bag = {"embedding_bag", 3, 4, 1, fields, forward, backward, false};

rs_status rs_ag_embedding_bag(rs_node **out, rs_node *table, rs_node *codes, rs_node *offsets, rs_node *weights,
                              rs_bag_mode mode) {
  rs_attr attr = {.integer = mode};
  return rs_apply(out, &rs_op_embedding_bag, weights ? 4 : 3, (rs_node *[]){table, codes, offsets, weights}, &attr);
}

#else
#include "autograd/lanes.h"

/* The factor of position p in a bag of 'size' codes. */
static inline REAL OF(factor_of)(const context *c, int64_t p, int64_t size) {
  REAL weight = c->weights ? ((const REAL *)c->weights)[p] : 1;
  return c->mean ? weight / (REAL)size : weight;
}

RS_SIMD static void OF(forward_bags)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = c->d, last = c->offsets[end];
  REAL wide[RS_BF16_WIDTH];
  for (int64_t i = begin; i < end; i++) {
    REAL *restrict y = (REAL *)c->out + i * d;
    int64_t from = c->offsets[i], to = c->offsets[i + 1];
    memset(y, 0, (size_t)d * sizeof *y);
    for (int64_t p = from; p < to; p++) {
      const REAL *restrict row = OF(row)(c, c->codes[p], wide);
      REAL factor = OF(factor_of)(c, p, to - from);
      if (p + RS_AHEAD < last) {
        size_t bytes = (size_t)d * (c->narrow ? sizeof(uint16_t) : sizeof(REAL));
        rs_prefetch_row((const char *)c->table + (size_t)c->codes[p + RS_AHEAD] * bytes, bytes);
      }
      for (int64_t j = 0; j < d; j++) y[j] += factor * row[j];
    }
  }
}

static void OF(piece_bags)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++)
    for (int64_t p = c->offsets[i]; p < c->offsets[i + 1]; p++) {
      c->row[p] = (int32_t)i;
      if (c->factor) ((REAL *)c->factor)[p] = OF(factor_of)(c, p, c->offsets[i + 1] - c->offsets[i]);
    }
}

RS_SIMD static void OF(weight_bags)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL wide[RS_BF16_WIDTH];
  for (int64_t i = begin; i < end; i++) {
    const REAL *g = (const REAL *)c->g + i * c->d;
    REAL divisor = c->mean ? (REAL)(c->offsets[i + 1] - c->offsets[i]) : 1;
    for (int64_t p = c->offsets[i]; p < c->offsets[i + 1]; p++)
      ((REAL *)c->out)[p] = OF(lanes_dot)(OF(row)(c, c->codes[p], wide), g, c->d) / divisor;
  }
}
#endif
