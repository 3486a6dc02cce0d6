/* op_embedding.c - rows of a table [rows, d] at codes [...]: [..., d]. The gradient is a piece (parameter.h): codes and
 * rows, without touching the table. Rows of a bf16 table are f32, and so are their gradients. */
#include <string.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "autograd/table.h"
#include "base/prefetch.h"
#include "tensor/half.h"

typedef struct context {
  const char *table;
  const int32_t *codes;
  char *out;
  size_t row; /* bytes */
} context;

/* Not the first one out of range, but whether there is one: this loop vectorises. */
static bool all_inside(const int32_t *codes, int64_t n, int64_t rows) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; i++) largest = (uint32_t)codes[i] > largest ? (uint32_t)codes[i] : largest;
  return n == 0 || (int64_t)largest < rows;
}

rs_status rs_need_codes(const rs_node *self, int table_, int codes_) {
  const rs_tensor *table = rs_in(self, table_), *codes = rs_in(self, codes_);
  if (codes->dtype != RS_I32)
    return rs_fail(RS_EDTYPE, "%s: codes are i32, not %s", self->op->name, rs_dtype_name(codes->dtype));
  if (all_inside(rs_i32(codes), rs_tensor_count(codes), table->size[0])) return RS_OK;
  int64_t i = 0;
  while (rs_i32(codes)[i] >= 0 && rs_i32(codes)[i] < table->size[0]) i++;
  return rs_fail(RS_ERANGE, "%s: code %d is outside the table %s, which has %lld rows (codes 0 to %lld)",
                 self->op->name, rs_i32(codes)[i], rs_node_label(self->input[table_]), (long long)table->size[0],
                 (long long)table->size[0] - 1);
}

rs_status rs_need_table(const rs_node *self) {
  const rs_tensor *table = rs_in(self, 0), *codes = rs_in(self, 1);
  if ((!rs_is_real(table) && table->dtype != RS_BF16) || codes->dtype != RS_I32)
    return rs_fail(RS_EDTYPE, "%s: wants a table of reals and i32 codes, not %s and %s", self->op->name,
                   rs_dtype_name(table->dtype), rs_dtype_name(codes->dtype));
  rs_status status = rs_need_ndim(self, 0, 2);
  return status == RS_OK ? rs_need_codes(self, 0, 1) : status;
}

static void gather_body(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++) {
    if (i + RS_AHEAD < end) rs_prefetch_row(c->table + (size_t)c->codes[i + RS_AHEAD] * c->row, c->row);
    memcpy(c->out + (size_t)i * c->row, c->table + (size_t)c->codes[i] * c->row, c->row);
  }
}

/* The same of a bf16 table: rows of f32. */
RS_SIMD static void widen_body(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t d = (int64_t)(c->row / sizeof(uint16_t));
  for (int64_t i = begin; i < end; i++) {
    if (i + RS_AHEAD < end) rs_prefetch_row(c->table + (size_t)c->codes[i + RS_AHEAD] * c->row, c->row);
    const uint16_t *from = (const uint16_t *)(c->table + (size_t)c->codes[i] * c->row);
    float *restrict to = (float *)c->out + i * d;
    for (int64_t j = 0; j < d; j++) to[j] = rs_bfloat_to_f32(from[j]);
  }
}

static rs_status forward(rs_node *self) {
  const rs_tensor *table = rs_in(self, 0), *codes = rs_in(self, 1);
  rs_status status = rs_need_table(self);
  if (status != RS_OK) return status;
  if (codes->ndim >= RS_MAX_DIMS)
    return rs_fail(RS_ESHAPE, "embedding: codes are %s, at most %d dimensions fit", rs_shape(codes).text,
                   RS_MAX_DIMS - 1);
  int64_t size[RS_MAX_DIMS];
  memcpy(size, codes->size, sizeof size);
  size[codes->ndim] = table->size[1];
  status = rs_tensor_new(&self->value, rs_grad_dtype(table), codes->ndim + 1, size);
  if (status != RS_OK) return status;
  context c = {rs_tensor_data(table), rs_i32(codes), rs_tensor_data(&self->value),
               (size_t)table->size[1] * rs_dtype_size(table->dtype)};
  rs_body *body = table->dtype == RS_BF16 ? widen_body : gather_body;
  if (c.row) rs_each(rs_tensor_count(codes), rs_row_grain(table->size[1]), body, &c);
  return RS_OK;
}

static rs_status backward(rs_node *self) {
  const rs_tensor *table = rs_in(self, 0), *codes = rs_in(self, 1);
  int64_t m = rs_tensor_count(codes);
  rs_piece piece = {0};
  rs_status status = rs_tensor_reshape(&piece.codes, codes, 1, &m);
  if (status == RS_OK) status = rs_tensor_reshape(&piece.rows, &self->grad, 2, (int64_t[]){m, table->size[1]});
  if (status == RS_OK) status = rs_grad_give_piece(self->input[0], &piece);
  rs_tensor_free(&piece.codes);
  rs_tensor_free(&piece.rows);
  return status;
}

const rs_op rs_op_embedding = {"embedding", 2, 2, 0, NULL, forward, backward, false};

rs_status rs_ag_embedding(rs_node **out, rs_node *table, rs_node *codes) {
  return rs_apply(out, &rs_op_embedding, 2, (rs_node *[]){table, codes}, NULL);
}
