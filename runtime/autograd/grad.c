/* grad.c - see grad.h. */
#ifndef REAL
#include "autograd/grad.h"

#include "autograd/builtin.h"
#include "autograd/kernel.h"

typedef struct scaling {
  int64_t d;
  void *out;
  const void *rows, *weight;
} scaling;

typedef struct multiplying {
  void *x;
  double factor;
} multiplying;

#define KERNELS "autograd/grad.c"
#include "autograd/each_real.h"

static rs_status give(rs_node *input, const rs_tensor *g) {
  if (!input->needs_grad) return RS_OK;
  if (!rs_same_shape(&input->value, g))
    return rs_fail(RS_ESHAPE, "backward: %s is %s and its gradient %s", rs_node_label(input),
                   rs_shape(&input->value).text, rs_shape(g).text);
  if (input->parameter) return rs_parameter_add_grad(input->parameter, g);
  if (input->grad.storage) return rs_accumulate(&input->grad, g);
  rs_tensor_share(&input->grad, g);
  return RS_OK;
}

rs_status rs_grad_give(rs_node *input, rs_tensor *g) {
  rs_status status = give(input, g);
  rs_tensor_free(g);
  return status;
}

rs_status rs_grad_give_piece(rs_node *table, const rs_piece *piece) {
  if (!table->needs_grad) return RS_OK;
  if (table->parameter) return rs_parameter_add_piece(table->parameter, piece);
  rs_tensor dense = {0};
  rs_status status = rs_piece_dense(&dense, piece, &table->value);
  return status == RS_OK ? rs_grad_give(table, &dense) : status;
}

/* Whether the node is rows of a table that takes pieces, one for each of its codes. */
static bool is_lookup(const rs_node *node) {
  if (node->op != &rs_op_embedding || !node->input[0]->needs_grad) return false;
  const rs_parameter *p = node->input[0]->parameter;
  return p && p->sparse && rs_in(node, 1)->ndim == 1;
}

rs_status rs_grad_give_scaled(rs_node *input, const rs_tensor *rows, const rs_tensor *weight) {
  if (!input->needs_grad) return RS_OK;
  if (is_lookup(input))
    return rs_grad_give_piece(input->input[0],
                              &(rs_piece){.codes = *rs_in(input, 1), .rows = *rows, .weight = *weight});
  rs_tensor g = {0};
  rs_status status = rs_tensor_like(&g, rows);
  if (status != RS_OK) return status;
  scaling c = {g.size[1], rs_tensor_data(&g), rs_tensor_data(rows), rs_tensor_data(weight)};
  rs_each(g.size[0], rs_row_grain(c.d), RS_BODY(g.dtype, scale_rows), &c);
  return rs_grad_give(input, &g);
}

void rs_grad_scale(rs_tensor *g, double factor) {
  multiplying m = {rs_tensor_data(g), factor};
  if (factor != 1) rs_each(rs_tensor_count(g), RS_GRAIN, RS_BODY(g->dtype, multiply), &m);
}

rs_status rs_grad_give_saved(rs_node *self, int slot, rs_node *input) {
  rs_tensor g = self->saved[slot];
  self->saved[slot] = (rs_tensor){0};
  rs_grad_scale(&g, rs_scalar_value(&self->grad));
  return rs_grad_give(input, &g);
}

rs_status rs_grad_reuse(rs_tensor *out, rs_node *self) {
  if (atomic_load(&self->grad.storage->references) > 1) return rs_tensor_like(out, &self->grad);
  rs_tensor_share(out, &self->grad);
  return RS_OK;
}

#else
RS_SIMD static void OF(scale_rows)(void *context, int64_t begin, int64_t end) {
  const scaling *c = context;
  for (int64_t i = begin; i < end; i++) {
    REAL weight = ((const REAL *)c->weight)[i];
    const REAL *restrict x = (const REAL *)c->rows + i * c->d;
    REAL *restrict out = (REAL *)c->out + i * c->d;
    for (int64_t j = 0; j < c->d; j++) out[j] = weight * x[j];
  }
}

RS_SIMD static void OF(multiply)(void *context, int64_t begin, int64_t end) {
  const multiplying *m = context;
  REAL *x = m->x, factor = (REAL)m->factor;
  for (int64_t k = begin; k < end; k++) x[k] *= factor;
}
#endif
