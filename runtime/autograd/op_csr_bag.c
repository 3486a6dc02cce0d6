/* op_csr_bag.c - y [n, width]: bag i is the sum of a sparse matrix's rows at codes[offsets[i] .. offsets[i+1]-1], each
 * times its weight where weights are given; an empty bag is 0. Row r of the matrix holds values[starts[r] .. starts[r+1])
 * at their columns; what lies behind the last start is spare and is not looked at.
 *
 * The matrix is what a closed form has found (similarities, say), so there is no gradient, and whoever wants one is
 * refused. A whole matrix is checked where a plan is settled; a run checks the rows that it reads, as it reads them. */
#ifndef REAL
#include <stdatomic.h>
#include <string.h>

#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

enum { STARTS, COLUMNS, VALUES, CODES, OFFSETS, WEIGHTS };

typedef struct context {
  int64_t rows, width, entries;
  const int64_t *starts, *offsets;
  const int32_t *columns, *codes;
  const void *values, *weights;
  void *out;
  atomic_bool outside; /* a row or a column was, and is left out */
} context;

static bool row_fits(const int64_t *starts, int64_t row, int64_t entries) {
  return 0 <= starts[row] && starts[row] <= starts[row + 1] && starts[row + 1] <= entries;
}

#define KERNELS "autograd/op_csr_bag.c"
#include "autograd/each_real.h"

static rs_status check_matrix(const rs_tensor *starts, const rs_tensor *columns, const rs_tensor *values) {
  if (starts->dtype != RS_I64 || columns->dtype != RS_I32 || !rs_is_real(values))
    return rs_fail(RS_EDTYPE, "csr_bag: starts are %s, columns %s, values %s; not i64, i32 and f32 or f64",
                   rs_dtype_name(starts->dtype), rs_dtype_name(columns->dtype), rs_dtype_name(values->dtype));
  if (starts->ndim != 1 || starts->size[0] < 1 || columns->ndim != 1 || !rs_same_shape(columns, values))
    return rs_fail(RS_ESHAPE, "csr_bag: starts are %s, columns %s, values %s; not [rows + 1], [entries], [entries]",
                   rs_shape(starts).text, rs_shape(columns).text, rs_shape(values).text);
  return RS_OK;
}

/* RS_ERANGE for what is wrong with a row, if anything is. */
static rs_status check_row(const rs_tensor *starts, const rs_tensor *columns, int64_t row, int64_t width) {
  const int64_t *s = rs_i64(starts), entries = columns->size[0];
  if (!row_fits(s, row, entries))
    return rs_fail(RS_ERANGE, "csr_bag: row %lld runs from %lld to %lld of %lld entries", (long long)row,
                   (long long)s[row], (long long)s[row + 1], (long long)entries);
  for (int64_t i = s[row]; i < s[row + 1]; i++)
    if (rs_i32(columns)[i] < 0 || rs_i32(columns)[i] >= width)
      return rs_fail(RS_ERANGE, "csr_bag: row %lld has column %d of a matrix of %lld", (long long)row,
                     rs_i32(columns)[i], (long long)width);
  return RS_OK;
}

rs_status rs_csr_bag_check(const rs_tensor *starts, const rs_tensor *columns, const rs_tensor *values, int64_t width) {
  rs_status status = check_matrix(starts, columns, values);
  if (status == RS_OK && rs_i64(starts)[0] != 0)
    status = rs_fail(RS_ERANGE, "csr_bag: the first row starts at %lld, not 0", (long long)rs_i64(starts)[0]);
  for (int64_t row = 0; status == RS_OK && row + 1 < starts->size[0]; row++)
    status = check_row(starts, columns, row, width);
  return status;
}

static rs_status check(const rs_node *self) {
  const rs_tensor *starts = rs_in(self, STARTS), *codes = rs_in(self, CODES);
  rs_status status = check_matrix(starts, rs_in(self, COLUMNS), rs_in(self, VALUES));
  if (status == RS_OK && codes->dtype != RS_I32)
    status = rs_fail(RS_EDTYPE, "csr_bag: codes are %s, not i32", rs_dtype_name(codes->dtype));
  if (status == RS_OK) status = rs_need_ndim(self, CODES, 1);
  if (status == RS_OK) status = rs_need_bags(self, OFFSETS, codes->size[0], "codes");
  if (status != RS_OK) return status;
  for (int64_t i = 0, rows = starts->size[0] - 1; i < codes->size[0]; i++)
    if (rs_i32(codes)[i] < 0 || rs_i32(codes)[i] >= rows)
      return rs_fail(RS_ERANGE, "csr_bag: code %d is outside the matrix %s, which has %lld rows", rs_i32(codes)[i],
                     rs_node_label(self->input[STARTS]), (long long)rows);
  for (int i = VALUES; i < self->n_inputs; i++)
    if (self->input[i]->needs_grad)
      return rs_fail(RS_EARG, "csr_bag: %s wants a gradient, and there is none of a sparse matrix: make it a parameter "
                              "that is not trainable", rs_node_label(self->input[i]));
  if (self->n_inputs == WEIGHTS) return RS_OK;
  if (rs_in(self, WEIGHTS)->dtype != rs_in(self, VALUES)->dtype)
    return rs_fail(RS_EDTYPE, "csr_bag: the values are %s and the weights %s",
                   rs_dtype_name(rs_in(self, VALUES)->dtype), rs_dtype_name(rs_in(self, WEIGHTS)->dtype));
  return rs_need_same(self, CODES, WEIGHTS);
}

/* What the loop has found to be outside. */
static rs_status tell_outside(const rs_node *self) {
  const rs_tensor *codes = rs_in(self, CODES);
  rs_status status = RS_OK;
  for (int64_t i = 0; i < codes->size[0] && status == RS_OK; i++)
    status = check_row(rs_in(self, STARTS), rs_in(self, COLUMNS), rs_i32(codes)[i], self->attr[0].integer);
  return status;
}

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  const rs_tensor *values = rs_in(self, VALUES);
  int64_t n = rs_in(self, OFFSETS)->size[0] - 1, width = self->attr[0].integer;
  status = rs_tensor_new(&self->value, values->dtype, 2, (int64_t[]){n, width});
  if (status != RS_OK) return status;
  context c = {.rows = rs_in(self, STARTS)->size[0] - 1, .width = width, .entries = values->size[0]};
  c.starts = rs_i64(rs_in(self, STARTS));
  c.columns = rs_i32(rs_in(self, COLUMNS));
  c.values = rs_tensor_data(values);
  c.codes = rs_i32(rs_in(self, CODES));
  c.offsets = rs_i64(rs_in(self, OFFSETS));
  if (self->n_inputs > WEIGHTS) c.weights = rs_tensor_data(rs_in(self, WEIGHTS));
  c.out = rs_tensor_data(&self->value);
  atomic_init(&c.outside, false);
  int64_t grain = rs_row_grain(width);
  rs_each(n, grain < RS_BAGS ? grain : RS_BAGS, RS_BODY(values->dtype, sum_bags), &c);
  return atomic_load(&c.outside) ? tell_outside(self) : RS_OK;
}

static const rs_attr_field fields[] = {{"width", RS_ATTR_INTEGER, 1, INT32_MAX, NULL}};
const rs_op rs_op_csr_bag = {"csr_bag", 5, 6, 1, fields, forward, NULL, false};

rs_status rs_ag_csr_bag(rs_node **out, rs_node *starts, rs_node *columns, rs_node *values, int64_t width,
                        rs_node *codes, rs_node *offsets, rs_node *weights) {
  rs_attr attr = {.integer = width};
  rs_node *inputs[] = {starts, columns, values, codes, offsets, weights};
  return rs_apply(out, &rs_op_csr_bag, weights ? 6 : 5, inputs, &attr);
}

#else
/* Add a row of the matrix to y. False when a column is outside, which is left out. */
static bool OF(add_row)(REAL *restrict y, const context *c, int64_t row, REAL weight) {
  const REAL *values = c->values;
  bool inside = true;
  for (int64_t i = c->starts[row]; i < c->starts[row + 1]; i++) {
    uint32_t column = (uint32_t)c->columns[i];
    if (column < (uint64_t)c->width)
      y[column] += weight * values[i];
    else
      inside = false;
  }
  return inside;
}

static void OF(sum_bags)(void *context_, int64_t begin, int64_t end) {
  context *c = context_;
  bool inside = true;
  for (int64_t i = begin; i < end; i++) {
    REAL *y = (REAL *)c->out + i * c->width;
    memset(y, 0, (size_t)c->width * sizeof *y);
    for (int64_t p = c->offsets[i]; p < c->offsets[i + 1]; p++) {
      int64_t row = c->codes[p];
      REAL weight = c->weights ? ((const REAL *)c->weights)[p] : 1;
      inside &= row_fits(c->starts, row, c->entries) && OF(add_row)(y, c, row, weight);
    }
  }
  if (!inside) atomic_store(&c->outside, true);
}
#endif
