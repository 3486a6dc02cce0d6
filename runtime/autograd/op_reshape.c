/* op_reshape.c - the same elements in the same order under other sizes; one may be -1. Shares its input's memory. */
#include <string.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

static rs_status forward(rs_node *self) {
  return rs_tensor_reshape(&self->value, rs_in(self, 0), self->attr[0].shape.ndim, self->attr[0].shape.size);
}

static rs_status backward(rs_node *self) {
  rs_tensor dx = {0};
  const rs_tensor *x = rs_in(self, 0);
  rs_status status = rs_tensor_reshape(&dx, &self->grad, x->ndim, x->size);
  return status == RS_OK ? rs_grad_give(self->input[0], &dx) : status;
}

static const rs_attr_field fields[] = {{"shape", RS_ATTR_SHAPE, 0, 0, NULL}};
const rs_op rs_op_reshape = {"reshape", 1, 1, 1, fields, forward, backward, false};

rs_status rs_ag_reshape(rs_node **out, rs_node *x, int ndim, const int64_t *size) {
  rs_attr attr = {.shape = {.ndim = ndim}};
  if (ndim < 0 || ndim > RS_MAX_DIMS) return rs_fail(RS_ESHAPE, "reshape: %d dimensions", ndim);
  if (ndim) memcpy(attr.shape.size, size, (size_t)ndim * sizeof *size);
  return rs_apply(out, &rs_op_reshape, 1, &x, &attr);
}
