/* op_linear.c - y [n, m] = activation(x [n, k] w [m, k]^T + b [m]), in one pass behind the product.
 *
 * Backward: with z the sum before the activation, dz = dy f'(z), dx = dz w, dw = dz^T x, db = the column sums of dz.
 * dz takes the memory of dy, and the column sums are made in the same pass. */
#ifndef REAL
#include <string.h>

#include "autograd/activation.h"
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "tensor/gemm.h"

typedef struct context {
  int activation;
  int64_t m;
  void *y, *z; /* z: where the sum before the activation is kept, or NULL */
  const void *bias, *g, *at;
  void *parts; /* [chunks of rows, m]: column sums, or NULL */
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

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  const rs_tensor *x = rs_in(self, 0), *w = rs_in(self, 1);
  int activation = (int)self->attr[0].integer;
  status = rs_tensor_new(&self->value, x->dtype, 2, (int64_t[]){x->size[0], w->size[0]});
  if (status == RS_OK) status = rs_gemm(&self->value, 1, x, false, w, true, 0);
  if (status == RS_OK && self->needs_grad && rs_activation_wants_x(activation))
    status = rs_tensor_like(&self->saved[0], &self->value);
  if (status != RS_OK || (self->n_inputs == 2 && activation == RS_IDENTITY)) return status;
  context c = {.activation = activation, .m = w->size[0], .y = rs_tensor_data(&self->value)};
  if (self->n_inputs == 3) c.bias = rs_tensor_data(rs_in(self, 2));
  if (self->saved[0].storage) c.z = rs_tensor_data(&self->saved[0]);
  rs_each(x->size[0], rs_row_grain(c.m), RS_BODY(x->dtype, bias_activation), &c);
  return RS_OK;
}

/* dz in place of dy, and db when the bias wants it. */
static rs_status back_to_sum(rs_tensor *dz, rs_node *self) {
  int activation = (int)self->attr[0].integer;
  bool wants_db = self->n_inputs == 3 && self->input[2]->needs_grad;
  int64_t n = self->value.size[0], m = self->value.size[1], chunks = (n + RS_ROW_CHUNK - 1) / RS_ROW_CHUNK;
  rs_tensor parts = {0}, db = {0};
  rs_status status = RS_OK;
  if (activation == RS_IDENTITY)
    rs_tensor_share(dz, &self->grad);
  else
    status = rs_grad_reuse(dz, self);
  if (status == RS_OK && wants_db) status = rs_tensor_new(&parts, dz->dtype, 2, (int64_t[]){chunks, m});
  if (status == RS_OK && wants_db) status = rs_tensor_new(&db, dz->dtype, 1, &m);
  if (status == RS_OK) {
    const rs_tensor *at = rs_activation_wants_x(activation) ? &self->saved[0] : &self->value;
    context c = {.activation = activation, .m = m, .y = rs_tensor_data(dz), .g = rs_tensor_data(&self->grad)};
    c.at = rs_tensor_data(at);
    if (wants_db) c.parts = rs_tensor_data(&parts);
    if (wants_db || activation != RS_IDENTITY) rs_each(n, RS_ROW_CHUNK, RS_BODY(dz->dtype, back_rows), &c);
    if (wants_db) status = rs_sum_middle(&db, &parts, 1, chunks, m);
    if (wants_db && status == RS_OK) status = rs_grad_give(self->input[2], &db);
  }
  rs_tensor_free(&db);
  rs_tensor_free(&parts);
  return status;
}

static rs_status give_product(rs_node *input, const rs_tensor *a, bool ta, const rs_tensor *b) {
  if (!input->needs_grad) return RS_OK;
  rs_tensor d = {0};
  rs_status status = rs_tensor_like(&d, &input->value);
  if (status == RS_OK) status = rs_gemm(&d, 1, a, ta, b, false, 0);
  if (status == RS_OK) return rs_grad_give(input, &d);
  rs_tensor_free(&d);
  return status;
}

static rs_status backward(rs_node *self) {
  rs_tensor dz = {0};
  rs_status status = back_to_sum(&dz, self);
  if (status == RS_OK) status = give_product(self->input[1], &dz, true, rs_in(self, 0));
  if (status == RS_OK) status = give_product(self->input[0], &dz, false, rs_in(self, 1));
  rs_tensor_free(&dz);
  return status;
}

static const rs_attr_field fields[] = {{"activation", RS_ATTR_CHOICE, 0, 0, rs_activation_names}};
const rs_op rs_op_linear = {"linear", 2, 3, 1, fields, forward, backward, false};

rs_status rs_ag_linear(rs_node **out, rs_node *x, rs_node *w, rs_node *b, rs_activation activation) {
  rs_attr attr = {.integer = activation};
  return rs_apply(out, &rs_op_linear, b ? 3 : 2, (rs_node *[]){x, w, b}, &attr);
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

static void OF(bias_activation)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL *y = (REAL *)c->y + begin * c->m;
  int64_t rows = end - begin, count = rows * c->m;
  if (c->bias && c->activation == RS_RELU) {
    OF(add_bias_relu)(y, c->bias, rows, c->m);
    return;
  }
  if (c->bias) OF(add_bias)(y, c->bias, rows, c->m);
  if (c->z) memcpy((REAL *)c->z + begin * c->m, y, (size_t)count * sizeof *y);
  if (c->activation != RS_IDENTITY) OF(rs_activate)(c->activation, y, y, count);
}

RS_SIMD static void OF(add_rows)(REAL *restrict sum, const REAL *restrict x, int64_t rows, int64_t m) {
  for (; rows > 0; rows--, x += m)
    for (int64_t j = 0; j < m; j++) sum[j] += x[j];
}

/* One chunk of RS_ROW_CHUNK rows, in blocks that are still in the cache when their rows are added up. */
static void OF(back_rows)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL *sums = c->parts ? (REAL *)c->parts + begin / RS_ROW_CHUNK * c->m : NULL;
  if (sums) memset(sums, 0, (size_t)c->m * sizeof *sums);
  int64_t block = rs_row_grain(c->m);
  for (int64_t row = begin; row < end; row += block) {
    int64_t rows = end - row < block ? end - row : block, at = row * c->m;
    REAL *dz = (REAL *)c->y + at;
    if (c->activation != RS_IDENTITY)
      OF(rs_activate_back)(c->activation, dz, (const REAL *)c->g + at, (const REAL *)c->at + at, rows * c->m);
    if (sums) OF(add_rows)(sums, dz, rows, c->m);
  }
}
#endif
