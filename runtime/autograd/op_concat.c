/* op_concat.c - side by side along the last dimension; backward hands each input its columns. */
#include <string.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  char *wide, *narrow; /* rows of 'wide' bytes apart; the part begins 'skip' bytes in and has 'part' bytes */
  size_t row, skip, part;
} context;

static void join_body(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++)
    memcpy(c->wide + (size_t)i * c->row + c->skip, c->narrow + (size_t)i * c->part, c->part);
}

static void split_body(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++)
    memcpy(c->narrow + (size_t)i * c->part, c->wide + (size_t)i * c->row + c->skip, c->part);
}

/* Copy between the columns of 'wide' from column 'at' on and all of 'narrow'. */
static void copy_columns(rs_body *body, const rs_tensor *wide, const rs_tensor *narrow, int64_t at) {
  size_t size = rs_dtype_size(wide->dtype);
  context c = {rs_tensor_data(wide), rs_tensor_data(narrow), (size_t)rs_last(wide) * size, (size_t)at * size,
               (size_t)rs_last(narrow) * size};
  rs_each(rs_rows(wide), rs_row_grain(rs_last(narrow)), body, &c);
}

static rs_status check(const rs_node *self) {
  rs_status status = rs_need_reals(self, self->n_inputs);
  const rs_tensor *first = rs_in(self, 0);
  for (int i = 0; i < self->n_inputs && status == RS_OK; i++) {
    const rs_tensor *t = rs_in(self, i);
    bool fits = t->ndim == first->ndim && t->ndim > 0;
    for (int j = 0; fits && j + 1 < t->ndim; j++) fits = t->size[j] == first->size[j];
    if (!fits)
      status = rs_fail(RS_ESHAPE, "concat: %s and %s may differ in the last dimension alone", rs_shape(first).text,
                       rs_shape(t).text);
  }
  return status;
}

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  const rs_tensor *first = rs_in(self, 0);
  int64_t size[RS_MAX_DIMS], *width = &size[first->ndim - 1];
  memcpy(size, first->size, sizeof size);
  *width = 0;
  for (int i = 0; i < self->n_inputs; i++) *width += rs_last(rs_in(self, i));
  status = rs_tensor_new(&self->value, first->dtype, first->ndim, size);
  if (status != RS_OK) return status;
  int64_t at = 0;
  for (int i = 0; i < self->n_inputs; at += rs_last(rs_in(self, i++)))
    copy_columns(join_body, &self->value, rs_in(self, i), at);
  return RS_OK;
}

static rs_status backward(rs_node *self) {
  int64_t at = 0;
  rs_status status = RS_OK;
  for (int i = 0; i < self->n_inputs && status == RS_OK; at += rs_last(rs_in(self, i++))) {
    if (!self->input[i]->needs_grad) continue;
    rs_tensor d = {0};
    status = rs_tensor_like(&d, rs_in(self, i));
    if (status != RS_OK) break;
    copy_columns(split_body, &self->grad, &d, at);
    status = rs_grad_give(self->input[i], &d);
  }
  return status;
}

const rs_op rs_op_concat = {"concat", 1, -1, 0, NULL, forward, backward, false};

rs_status rs_ag_concat(rs_node **out, int n, rs_node *const *inputs) {
  if (n < 1) return rs_fail(RS_EARG, "concat: wants one input or more");
  return rs_apply(out, &rs_op_concat, n, inputs, NULL);
}
