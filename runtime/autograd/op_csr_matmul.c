/* op_csr_matmul.c - y = A x for a sparse matrix A that is data: averages over the neighbours in a graph, say.
 *
 * Inputs: x [width, d], then starts, columns and values of A and of its transpose, with which dx = A' dy. One that is
 * its own transpose is given once. */
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "tensor/csr.h"

/* The matrix whose three tensors begin at input 'first'. */
static rs_status matrix_at(rs_csr *out, const rs_node *self, int first, int64_t width) {
  return rs_csr_from(out, rs_in(self, first), rs_in(self, first + 1), rs_in(self, first + 2), width);
}

static rs_status forward(rs_node *self) {
  rs_status status = rs_need_reals(self, 1);
  if (status == RS_OK) status = rs_need_ndim(self, 0, 2);
  if (status != RS_OK) return status;
  rs_csr m = {0};
  status = matrix_at(&m, self, 1, rs_in(self, 0)->size[0]);
  if (status == RS_OK) status = rs_csr_matmul(&self->value, &m, rs_in(self, 0));
  rs_csr_free(&m);
  return status;
}

static rs_status backward(rs_node *self) {
  rs_csr turned = {0};
  rs_tensor d = {0};
  rs_status status = matrix_at(&turned, self, self->n_inputs - 3, self->grad.size[0]);
  if (status == RS_OK) status = rs_csr_matmul(&d, &turned, &self->grad);
  rs_csr_free(&turned);
  return status == RS_OK ? rs_grad_give(self->input[0], &d) : status;
}

const rs_op rs_op_csr_matmul = {"csr_matmul", 4, 7, 0, NULL, forward, backward, true};

static rs_status add_leaves(rs_node **inputs, rs_tape *tape, const rs_csr *m) {
  const rs_tensor *parts[] = {&m->starts, &m->columns, &m->values};
  rs_status status = RS_OK;
  for (int i = 0; i < 3 && status == RS_OK; i++) status = rs_tape_input(&inputs[i], tape, NULL, parts[i], false);
  return status;
}

rs_status rs_ag_csr_matmul(rs_node **out, const rs_csr *m, const rs_csr *transposed, rs_node *x) {
  rs_node *inputs[7] = {x};
  bool same = m == transposed;
  if (transposed->rows != m->width || transposed->width != m->rows || rs_csr_entries(transposed) != rs_csr_entries(m))
    return rs_fail(RS_ESHAPE, "csr_matmul: [%lld, %lld] with %lld entries is not the transpose of [%lld, %lld] with %lld",
                   (long long)transposed->rows, (long long)transposed->width, (long long)rs_csr_entries(transposed),
                   (long long)m->rows, (long long)m->width, (long long)rs_csr_entries(m));
  if (x->value.ndim == 2 && x->value.size[0] != m->width)
    return rs_fail(RS_ESHAPE, "csr_matmul: [%lld, %lld] times %s", (long long)m->rows, (long long)m->width,
                   rs_shape(&x->value).text);
  rs_status status = add_leaves(inputs + 1, x->tape, m);
  if (status == RS_OK && !same) status = add_leaves(inputs + 4, x->tape, transposed);
  return status == RS_OK ? rs_apply(out, &rs_op_csr_matmul, same ? 4 : 7, inputs, NULL) : status;
}
