/* grad.c - see grad.h. */
#include "autograd/grad.h"

#include "autograd/kernel.h"

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

rs_status rs_grad_reuse(rs_tensor *out, rs_node *self) {
  if (atomic_load(&self->grad.storage->references) > 1) return rs_tensor_like(out, &self->grad);
  rs_tensor_share(out, &self->grad);
  return RS_OK;
}
