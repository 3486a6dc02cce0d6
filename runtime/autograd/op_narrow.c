/* op_narrow.c - positions start .. start + length - 1 of one dimension; backward is zero elsewhere. */
#include <string.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

enum { DIM, START, LENGTH };

static rs_status forward(rs_node *self) {
  const rs_tensor *x = rs_in(self, 0);
  int dim;
  rs_status status = rs_need_dim(self, self->attr[DIM].integer, x, &dim);
  if (status != RS_OK) return status;
  int64_t start = self->attr[START].integer, length = self->attr[LENGTH].integer;
  if (start > x->size[dim] || length > x->size[dim] - start)
    return rs_fail(RS_ERANGE, "narrow: %lld from %lld on leave %s", (long long)length, (long long)start,
                   rs_shape(x).text);
  rs_tensor view = {0};
  status = rs_tensor_narrow(&view, x, dim, start, length);
  if (status == RS_OK) status = rs_tensor_contiguous(&self->value, &view);
  rs_tensor_free(&view);
  return status;
}

static rs_status backward(rs_node *self) {
  const rs_tensor *x = rs_in(self, 0), *g = &self->grad;
  int dim;
  rs_tensor dx = {0};
  rs_status status = rs_need_dim(self, self->attr[DIM].integer, x, &dim);
  if (status == RS_OK) status = rs_tensor_zeros(&dx, x->dtype, x->ndim, x->size);
  if (status != RS_OK) return status;
  size_t inner = rs_dtype_size(x->dtype);
  int64_t outer = 1;
  for (int i = 0; i < dim; i++) outer *= x->size[i];
  for (int i = dim + 1; i < x->ndim; i++) inner *= (size_t)x->size[i];
  size_t wide = (size_t)x->size[dim] * inner, part = (size_t)g->size[dim] * inner;
  char *to = (char *)rs_tensor_data(&dx) + (size_t)self->attr[START].integer * inner;
  const char *from = rs_tensor_data(g);
  for (int64_t i = 0; i < outer && part; i++) memcpy(to + (size_t)i * wide, from + (size_t)i * part, part);
  return rs_grad_give(self->input[0], &dx);
}

static const rs_attr_field fields[] = {{"dim", RS_ATTR_DIM, 0, 0, NULL},
                                       {"start", RS_ATTR_INTEGER, 0, 0x1p53, NULL},
                                       {"length", RS_ATTR_INTEGER, 0, 0x1p53, NULL}};
const rs_op rs_op_narrow = {"narrow", 1, 1, 3, fields, forward, backward, false};

rs_status rs_ag_narrow(rs_node **out, rs_node *x, int dim, int64_t start, int64_t length) {
  rs_attr attrs[] = {{.integer = dim}, {.integer = start}, {.integer = length}};
  return rs_apply(out, &rs_op_narrow, 1, &x, attrs);
}
