/* op_matmul.c - c = op(a) op(b) of matrices, op the transpose where a flag says so.
 *
 * With A = op(a), B = op(b): dA = dc B^T and dB = A^T dc; where a is transposed, da = dA^T = B dc^T. */
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "tensor/gemm.h"

enum { TRANSPOSE_A, TRANSPOSE_B };

static rs_status forward(rs_node *self) {
  const rs_tensor *a = rs_in(self, 0), *b = rs_in(self, 1);
  bool ta = self->attr[TRANSPOSE_A].integer, tb = self->attr[TRANSPOSE_B].integer;
  rs_status status = rs_need_reals(self, 2);
  if (status != RS_OK) return status;
  if (a->ndim != 2 || b->ndim != 2 || a->size[!ta] != b->size[tb])
    return rs_fail(RS_ESHAPE, "matmul: a is %s%s and b is %s%s, their inner sizes must agree", rs_shape(a).text,
                   ta ? " transposed" : "", rs_shape(b).text, tb ? " transposed" : "");
  status = rs_tensor_new(&self->value, a->dtype, 2, (int64_t[]){a->size[ta], b->size[!tb]});
  return status == RS_OK ? rs_gemm(&self->value, 1, a, ta, b, tb, 0) : status;
}

/* Give 'input' the product op(p) op(q). */
static rs_status give_product(rs_node *input, const rs_tensor *p, bool tp, const rs_tensor *q, bool tq) {
  if (!input->needs_grad) return RS_OK;
  rs_tensor d = {0};
  rs_status status = rs_tensor_like(&d, &input->value);
  if (status == RS_OK) status = rs_gemm(&d, 1, p, tp, q, tq, 0);
  if (status == RS_OK) return rs_grad_give(input, &d);
  rs_tensor_free(&d);
  return status;
}

static rs_status backward(rs_node *self) {
  const rs_tensor *a = rs_in(self, 0), *b = rs_in(self, 1), *g = &self->grad;
  bool ta = self->attr[TRANSPOSE_A].integer, tb = self->attr[TRANSPOSE_B].integer;
  rs_status status = ta ? give_product(self->input[0], b, tb, g, true) : give_product(self->input[0], g, false, b, !tb);
  if (status != RS_OK) return status;
  return tb ? give_product(self->input[1], g, true, a, ta) : give_product(self->input[1], a, !ta, g, false);
}

static const rs_attr_field fields[] = {{"transpose_a", RS_ATTR_BOOL, 0, 0, NULL},
                                       {"transpose_b", RS_ATTR_BOOL, 0, 0, NULL}};
const rs_op rs_op_matmul = {"matmul", 2, 2, 2, fields, forward, backward, false};

rs_status rs_ag_matmul(rs_node **out, rs_node *a, bool transpose_a, rs_node *b, bool transpose_b) {
  rs_attr attrs[] = {{.integer = transpose_a}, {.integer = transpose_b}};
  return rs_apply(out, &rs_op_matmul, 2, (rs_node *[]){a, b}, attrs);
}
