/* op_csr_bag.c - csr_bag, y [n, width]: bag i is the sum of a sparse matrix's rows at codes[offsets[i] .. offsets[i+1]-1], each
 * times its weight where weights are given; an empty bag is 0. Row r of the matrix holds values[starts[r] .. starts[r+1])
 * at their columns; what lies behind the last start is spare and is not looked at.
 *
 * csr_product is the same with a weight for every row of the matrix: of x [n, rows] the product [n, width], whose zeros are
 * passed over.
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

enum { STARTS, COLUMNS, VALUES, CODES, OFFSETS, WEIGHTS, X = CODES };

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

static rs_status check_matrix(const char *op, const rs_tensor *starts, const rs_tensor *columns,
                              const rs_tensor *values) {
  if (starts->dtype != RS_I64 || columns->dtype != RS_I32 || !rs_is_real(values))
    return rs_fail(RS_EDTYPE, "%s: starts are %s, columns %s, values %s; not i64, i32 and f32 or f64", op,
                   rs_dtype_name(starts->dtype), rs_dtype_name(columns->dtype), rs_dtype_name(values->dtype));
  if (starts->ndim != 1 || starts->size[0] < 1 || columns->ndim != 1 || !rs_same_shape(columns, values))
    return rs_fail(RS_ESHAPE, "%s: starts are %s, columns %s, values %s; not [rows + 1], [entries], [entries]", op,
                   rs_shape(starts).text, rs_shape(columns).text, rs_shape(values).text);
  return RS_OK;
}

/* RS_ERANGE for what is wrong with a row, if anything is. */
static rs_status check_row(const char *op, const rs_tensor *starts, const rs_tensor *columns, int64_t row,
                           int64_t width) {
  const int64_t *s = rs_i64(starts), entries = columns->size[0];
  if (!row_fits(s, row, entries))
    return rs_fail(RS_ERANGE, "%s: row %lld runs from %lld to %lld of %lld entries", op, (long long)row,
                   (long long)s[row], (long long)s[row + 1], (long long)entries);
  for (int64_t i = s[row]; i < s[row + 1]; i++)
    if (rs_i32(columns)[i] < 0 || rs_i32(columns)[i] >= width)
      return rs_fail(RS_ERANGE, "%s: row %lld has column %d of a matrix of %lld", op, (long long)row,
                     rs_i32(columns)[i], (long long)width);
  return RS_OK;
}

rs_status rs_csr_bag_check(const char *op, const rs_tensor *starts, const rs_tensor *columns, const rs_tensor *values,
                           int64_t width) {
  rs_status status = check_matrix(op, starts, columns, values);
  if (status == RS_OK && rs_i64(starts)[0] != 0)
    status = rs_fail(RS_ERANGE, "%s: the first row starts at %lld, not 0", op, (long long)rs_i64(starts)[0]);
  for (int64_t row = 0; status == RS_OK && row + 1 < starts->size[0]; row++)
    status = check_row(op, starts, columns, row, width);
  return status;
}

static rs_status refuse_gradients(const rs_node *self) {
  for (int i = VALUES; i < self->n_inputs; i++)
    if (self->input[i]->needs_grad)
      return rs_fail(RS_EARG, "%s: %s wants a gradient, and there is none of a sparse matrix: make it a parameter "
                              "that is not trainable", self->op->name, rs_node_label(self->input[i]));
  return RS_OK;
}

static rs_status check(const rs_node *self) {
  const rs_tensor *starts = rs_in(self, STARTS), *codes = rs_in(self, CODES);
  rs_status status = check_matrix(self->op->name, starts, rs_in(self, COLUMNS), rs_in(self, VALUES));
  if (status == RS_OK && codes->dtype != RS_I32)
    status = rs_fail(RS_EDTYPE, "csr_bag: codes are %s, not i32", rs_dtype_name(codes->dtype));
  if (status == RS_OK) status = rs_need_ndim(self, CODES, 1);
  if (status == RS_OK) status = rs_need_bags(self, OFFSETS, codes->size[0], "codes");
  if (status != RS_OK) return status;
  for (int64_t i = 0, rows = starts->size[0] - 1; i < codes->size[0]; i++)
    if (rs_i32(codes)[i] < 0 || rs_i32(codes)[i] >= rows)
      return rs_fail(RS_ERANGE, "csr_bag: code %d is outside the matrix %s, which has %lld rows", rs_i32(codes)[i],
                     rs_node_label(self->input[STARTS]), (long long)rows);
  status = refuse_gradients(self);
  if (status != RS_OK || self->n_inputs == WEIGHTS) return status;
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
    status = check_row(self->op->name, rs_in(self, STARTS), rs_in(self, COLUMNS), rs_i32(codes)[i],
                       self->attr[0].integer);
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

static rs_status check_product(const rs_node *self) {
  const rs_tensor *starts = rs_in(self, STARTS), *values = rs_in(self, VALUES), *x = rs_in(self, X);
  rs_status status = check_matrix(self->op->name, starts, rs_in(self, COLUMNS), values);
  if (status == RS_OK && x->dtype != values->dtype)
    status = rs_fail(RS_EDTYPE, "csr_product: the values are %s and x %s", rs_dtype_name(values->dtype),
                     rs_dtype_name(x->dtype));
  if (status == RS_OK) status = rs_need_ndim(self, X, 2);
  if (status == RS_OK && x->size[1] != starts->size[0] - 1)
    status = rs_fail(RS_ESHAPE, "csr_product: x is %s and the matrix %s has %lld rows", rs_shape(x).text,
                     rs_node_label(self->input[STARTS]), (long long)starts->size[0] - 1);
  return status == RS_OK ? refuse_gradients(self) : status;
}

static rs_status forward_product(rs_node *self) {
  rs_status status = check_product(self);
  if (status != RS_OK) return status;
  const rs_tensor *values = rs_in(self, VALUES), *x = rs_in(self, X);
  int64_t n = x->size[0], width = self->attr[0].integer;
  status = rs_tensor_new(&self->value, values->dtype, 2, (int64_t[]){n, width});
  if (status != RS_OK) return status;
  context c = {.rows = x->size[1], .width = width, .entries = values->size[0]};
  c.starts = rs_i64(rs_in(self, STARTS));
  c.columns = rs_i32(rs_in(self, COLUMNS));
  c.values = rs_tensor_data(values);
  c.weights = rs_tensor_data(x);
  c.out = rs_tensor_data(&self->value);
  atomic_init(&c.outside, false);
  int64_t grain = rs_row_grain(width + c.rows);
  rs_each(n, grain < RS_BAGS ? grain : RS_BAGS, RS_BODY(values->dtype, multiply_rows), &c);
  if (!atomic_load(&c.outside)) return RS_OK;
  for (int64_t row = 0; row < c.rows && status == RS_OK; row++)
    status = check_row(self->op->name, rs_in(self, STARTS), rs_in(self, COLUMNS), row, width);
  return status;
}

static const rs_attr_field fields[] = {{"width", RS_ATTR_INTEGER, 1, INT32_MAX, NULL}};
const rs_op rs_op_csr_bag = {"csr_bag", 5, 6, 1, fields, forward, NULL, false};

const rs_op rs_op_csr_product = {"csr_product", 4, 4, 1, fields, forward_product, NULL, false};

rs_status rs_ag_csr_product(rs_node **out, rs_node *x, rs_node *starts, rs_node *columns, rs_node *values,
                            int64_t width) {
  rs_attr attr = {.integer = width};
  return rs_apply(out, &rs_op_csr_product, 4, (rs_node *[]){starts, columns, values, x}, &attr);
}

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

static void OF(multiply_rows)(void *context_, int64_t begin, int64_t end) {
  context *c = context_;
  bool inside = true;
  for (int64_t i = begin; i < end; i++) {
    REAL *y = (REAL *)c->out + i * c->width;
    const REAL *x = (const REAL *)c->weights + i * c->rows;
    memset(y, 0, (size_t)c->width * sizeof *y);
    for (int64_t row = 0; row < c->rows; row++)
      if (x[row] != 0) inside &= row_fits(c->starts, row, c->entries) && OF(add_row)(y, c, row, x[row]);
  }
  if (!inside) atomic_store(&c->outside, true);
}
#endif
