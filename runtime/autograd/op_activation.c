/* op_activation.c - relu, gelu, tanh, sigmoid, exp, log: y has the shape of x. */
#ifndef REAL
#include "autograd/activation.h"
#include "autograd/builtin.h"
#include "autograd/elementary.h"
#include "autograd/kernel.h"

const char *const rs_activation_names[] = {"none", "relu", "gelu", "tanh", "sigmoid", NULL};

typedef struct context {
  int kind;
  void *out;
  const void *a, *b;
} context;

#define KERNELS "autograd/op_activation.c"
#include "autograd/each_real.h"

static rs_status forward(rs_node *self, int kind) {
  rs_status status = rs_need_reals(self, 1);
  const rs_tensor *x = rs_in(self, 0);
  if (status == RS_OK) status = rs_tensor_like(&self->value, x);
  if (status != RS_OK) return status;
  context c = {kind, rs_tensor_data(&self->value), rs_tensor_data(x), NULL};
  rs_each(rs_tensor_count(x), RS_GRAIN, RS_BODY(x->dtype, forward_body), &c);
  return RS_OK;
}

static rs_status backward(rs_node *self, int kind) {
  rs_tensor dx = {0};
  rs_status status = rs_grad_reuse(&dx, self);
  if (status != RS_OK) return status;
  const rs_tensor *at = rs_activation_wants_x(kind) ? rs_in(self, 0) : &self->value;
  context c = {kind, rs_tensor_data(&dx), rs_tensor_data(&self->grad), rs_tensor_data(at)};
  rs_each(rs_tensor_count(at), RS_GRAIN, RS_BODY(dx.dtype, backward_body), &c);
  return rs_grad_give(self->input[0], &dx);
}

#define UNARY(name_, kind)                                                                                         \
  static rs_status name_##_forward(rs_node *self) { return forward(self, kind); }                                  \
  static rs_status name_##_backward(rs_node *self) { return backward(self, kind); }                                \
  const rs_op rs_op_##name_ = {                                                                                    \
      .name = #name_, .min_inputs = 1, .max_inputs = 1, .forward = name_##_forward, .backward = name_##_backward}; \
  rs_status rs_ag_##name_(rs_node **out, rs_node *x) { return rs_apply(out, &rs_op_##name_, 1, &x, NULL); }

UNARY(relu, RS_RELU)
UNARY(gelu, RS_GELU)
UNARY(tanh, RS_TANH)
UNARY(sigmoid, RS_SIGMOID)
UNARY(exp, RS_ACTIVATE_EXP)
UNARY(log, RS_ACTIVATE_LOG)

rs_status rs_ag_activate(rs_node **out, rs_node *x, rs_activation activation) {
  switch (activation) {
    case RS_RELU: return rs_ag_relu(out, x);
    case RS_GELU: return rs_ag_gelu(out, x);
    case RS_TANH: return rs_ag_tanh(out, x);
    case RS_SIGMOID: return rs_ag_sigmoid(out, x);
    case RS_IDENTITY: break;
  }
  *out = x;
  return RS_OK;
}

#else
#define EACH(expression) RS_IVDEP for (int64_t i = 0; i < n; i++) y[i] = expression

RS_SIMD void OF(rs_activate)(int kind, REAL *y, const REAL *x, int64_t n) {
  switch (kind) {
    case RS_RELU: EACH(x[i] < 0 ? 0 : x[i]); break; /* NaN stays NaN */
    case RS_GELU: EACH(x[i] * (REAL)0.5 * (1 + OF(rs_erf)(x[i] * (REAL)M_SQRT1_2))); break;
    case RS_TANH: EACH(OF(rs_tanh)(x[i])); break;
    case RS_SIGMOID: EACH(OF(rs_logistic)(x[i])); break;
    case RS_ACTIVATE_EXP: EACH(OF(rs_exp)(x[i])); break;
    case RS_ACTIVATE_LOG: EACH(MATH(log)(x[i])); break;
    default: EACH(x[i]);
  }
}
#undef EACH

/* The derivative of x Phi(x). */
static inline REAL OF(gelu_slope)(REAL x) {
  REAL density = (REAL)0.39894228040143267794 * OF(rs_exp)(x * x * (REAL)-0.5);
  return (REAL)0.5 * (1 + OF(rs_erf)(x * (REAL)M_SQRT1_2)) + x * density;
}

#define EACH(expression) RS_IVDEP for (int64_t i = 0; i < n; i++) dx[i] = expression

RS_SIMD void OF(rs_activate_back)(int kind, REAL *dx, const REAL *g, const REAL *at, int64_t n) {
  switch (kind) {
    case RS_RELU: EACH(at[i] > 0 ? g[i] : 0); break;
    case RS_GELU: EACH(g[i] * OF(gelu_slope)(at[i])); break;
    case RS_TANH: EACH(g[i] * (1 - at[i] * at[i])); break;
    case RS_SIGMOID: EACH(g[i] * (at[i] * (1 - at[i]))); break;
    case RS_ACTIVATE_EXP: EACH(g[i] * at[i]); break;
    case RS_ACTIVATE_LOG: EACH(g[i] / at[i]); break;
    default: EACH(g[i]);
  }
}
#undef EACH

static void OF(forward_body)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  OF(rs_activate)(c->kind, (REAL *)c->out + begin, (const REAL *)c->a + begin, end - begin);
}

static void OF(backward_body)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  OF(rs_activate_back)
  (c->kind, (REAL *)c->out + begin, (const REAL *)c->a + begin, (const REAL *)c->b + begin, end - begin);
}
#endif
