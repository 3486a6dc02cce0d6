/* op_arithmetic.c - a + b, a - b, a b, a / b with broadcasting as in NumPy: sizes are aligned at the last dimension, 1
 * stretches. Backward sums over what was stretched. */
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "tensor/kernels.h"

static rs_status forward(rs_node *self, rs_binary_op what) {
  rs_status status = rs_need_reals(self, 2);
  return status == RS_OK ? rs_binary(&self->value, what, rs_in(self, 0), rs_in(self, 1)) : status;
}

/* Give input i the sum of 'g' (taken over) to its shape, or its negative. */
static rs_status give_sum(rs_node *self, int i, rs_tensor *g, bool negative) {
  rs_tensor sum = {0}, turned = {0};
  rs_status status = rs_sum_to(&sum, g, rs_in(self, i));
  rs_tensor_free(g);
  if (status == RS_OK && negative) {
    status = rs_unary(&turned, RS_NEG, &sum);
    rs_tensor_free(&sum);
    sum = turned;
  }
  return status == RS_OK ? rs_grad_give(self->input[i], &sum) : status;
}

/* Give input i the sum of g 'what' t (of g alone when t is NULL), or its negative. */
static rs_status give_combined(rs_node *self, int i, rs_binary_op what, const rs_tensor *t, bool negative) {
  rs_tensor d = {0};
  if (!self->input[i]->needs_grad) return RS_OK;
  rs_status status = t ? rs_binary(&d, what, &self->grad, t) : (rs_tensor_share(&d, &self->grad), RS_OK);
  return status == RS_OK ? give_sum(self, i, &d, negative) : status;
}

static rs_status add_forward(rs_node *self) { return forward(self, RS_ADD); }
static rs_status sub_forward(rs_node *self) { return forward(self, RS_SUB); }
static rs_status mul_forward(rs_node *self) { return forward(self, RS_MUL); }
static rs_status div_forward(rs_node *self) { return forward(self, RS_DIV); }

static rs_status add_backward(rs_node *self) {
  rs_status status = give_combined(self, 0, RS_ADD, NULL, false);
  return status == RS_OK ? give_combined(self, 1, RS_ADD, NULL, false) : status;
}

static rs_status sub_backward(rs_node *self) {
  rs_status status = give_combined(self, 0, RS_ADD, NULL, false);
  return status == RS_OK ? give_combined(self, 1, RS_ADD, NULL, true) : status;
}

static rs_status mul_backward(rs_node *self) {
  rs_status status = give_combined(self, 0, RS_MUL, rs_in(self, 1), false);
  return status == RS_OK ? give_combined(self, 1, RS_MUL, rs_in(self, 0), false) : status;
}

/* y = a / b: da = g / b, db = -g y / b. */
static rs_status div_backward(rs_node *self) {
  rs_status status = give_combined(self, 0, RS_DIV, rs_in(self, 1), false);
  if (status != RS_OK || !self->input[1]->needs_grad) return status;
  rs_tensor slope = {0};
  status = rs_binary(&slope, RS_DIV, &self->value, rs_in(self, 1));
  if (status == RS_OK) status = give_combined(self, 1, RS_MUL, &slope, true);
  rs_tensor_free(&slope);
  return status;
}

#define BINARY(name_)                                                                                              \
  const rs_op rs_op_##name_ = {                                                                                    \
      .name = #name_, .min_inputs = 2, .max_inputs = 2, .forward = name_##_forward, .backward = name_##_backward}; \
  rs_status rs_ag_##name_(rs_node **out, rs_node *a, rs_node *b) {                                                 \
    return rs_apply(out, &rs_op_##name_, 2, (rs_node *[]){a, b}, NULL);                                            \
  }

BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)
