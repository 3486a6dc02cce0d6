/* op_loss.c - losses that are a mean of one term for each element: squared error, binary cross-entropy on logits, BPR.
 *
 * Input 0 is x; input 1 is the target (mse, bce) or the negatives' scores (bpr); input 2, where given, a weight for
 * each term. Targets and weights are data: one that wants a gradient is refused rather than left without. With
 * s = sigmoid(x), the derivatives are 2 (x - t), s - t, and -sigmoid(negative - positive). */
#ifndef REAL
#include <math.h>

#include "autograd/builtin.h"
#include "autograd/elementary.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef enum kind { MSE, BCE, BPR } kind;

typedef struct context {
  kind what;
  const void *x, *t, *w; /* w may be NULL */
  void *out;
  double scale;
} context;

#define KERNELS "autograd/op_loss.c"
#include "autograd/each_real.h"

static rs_status check(const rs_node *self, kind what) {
  rs_status status = rs_need_reals(self, self->n_inputs);
  for (int i = 1; i < self->n_inputs && status == RS_OK; i++) {
    status = rs_need_same(self, 0, i);
    if (status == RS_OK && what != BPR && self->input[i]->needs_grad)
      status = rs_fail(RS_EARG, "%s: %s is data here and cannot have a gradient", self->op->name,
                       rs_node_label(self->input[i]));
  }
  if (status == RS_OK && rs_tensor_count(rs_in(self, 0)) == 0)
    status =
        rs_fail(RS_ESHAPE, "%s: x is %s, there is no mean of nothing", self->op->name, rs_shape(rs_in(self, 0)).text);
  return status;
}

static context context_of(const rs_node *self, kind what) {
  context c = {.what = what, .x = rs_tensor_data(rs_in(self, 0)), .t = rs_tensor_data(rs_in(self, 1))};
  if (self->n_inputs == 3) c.w = rs_tensor_data(rs_in(self, 2));
  return c;
}

static rs_status forward(rs_node *self, kind what) {
  rs_status status = check(self, what);
  if (status != RS_OK) return status;
  const rs_tensor *x = rs_in(self, 0);
  context c = context_of(self, what);
  double sum = 0;
  int64_t n = rs_tensor_count(x);
  status = rs_sum_terms(&sum, n, RS_BODY(x->dtype, terms), &c);
  return status == RS_OK ? rs_scalar(&self->value, x->dtype, sum / (double)n) : status;
}

/* Give input i the derivatives times 'sign'. */
static rs_status give(rs_node *self, kind what, int i, double sign) {
  const rs_tensor *x = rs_in(self, 0);
  if (!self->input[i]->needs_grad) return RS_OK;
  rs_tensor d = {0};
  rs_status status = rs_tensor_like(&d, x);
  if (status != RS_OK) return status;
  context c = context_of(self, what);
  int64_t n = rs_tensor_count(x);
  c.out = rs_tensor_data(&d);
  c.scale = sign * rs_scalar_value(&self->grad) / (double)n;
  rs_each(n, RS_GRAIN, RS_BODY(x->dtype, slopes), &c);
  return rs_grad_give(self->input[i], &d);
}

static rs_status mse_forward(rs_node *self) { return forward(self, MSE); }
static rs_status mse_backward(rs_node *self) { return give(self, MSE, 0, 1); }
static rs_status bce_forward(rs_node *self) { return forward(self, BCE); }
static rs_status bce_backward(rs_node *self) { return give(self, BCE, 0, 1); }
static rs_status bpr_forward(rs_node *self) { return forward(self, BPR); }
static rs_status bpr_backward(rs_node *self) {
  rs_status status = give(self, BPR, 0, 1);
  return status == RS_OK ? give(self, BPR, 1, -1) : status;
}

const rs_op rs_op_mse = {"mse", 2, 3, 0, NULL, mse_forward, mse_backward, true};
const rs_op rs_op_bce = {"bce", 2, 3, 0, NULL, bce_forward, bce_backward, true};
const rs_op rs_op_bpr = {"bpr", 2, 2, 0, NULL, bpr_forward, bpr_backward, true};

rs_status rs_ag_mse(rs_node **out, rs_node *x, rs_node *target, rs_node *weights) {
  return rs_apply(out, &rs_op_mse, weights ? 3 : 2, (rs_node *[]){x, target, weights}, NULL);
}

rs_status rs_ag_bce(rs_node **out, rs_node *logits, rs_node *target, rs_node *weights) {
  return rs_apply(out, &rs_op_bce, weights ? 3 : 2, (rs_node *[]){logits, target, weights}, NULL);
}

rs_status rs_ag_bpr(rs_node **out, rs_node *positive, rs_node *negative) {
  return rs_apply(out, &rs_op_bpr, 2, (rs_node *[]){positive, negative}, NULL);
}

#else
/* log(1 + exp(x)) without overflow. */
static inline REAL OF(softplus)(REAL x) { return (x > 0 ? x : 0) + MATH(log1p)(OF(rs_exp)(x > 0 ? -x : x)); }

static double OF(terms)(const void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  const REAL *x = c->x, *t = c->t, *w = c->w;
  double sum = 0;
  for (int64_t i = begin; i < end; i++) {
    REAL term = c->what == MSE   ? (x[i] - t[i]) * (x[i] - t[i])
                : c->what == BCE ? OF(softplus)(x[i]) - x[i] * t[i]
                                 : OF(softplus)(t[i] - x[i]);
    sum += (double)(w ? w[i] * term : term);
  }
  return sum;
}

static void OF(slopes)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  const REAL *x = c->x, *t = c->t, *w = c->w;
  REAL *d = c->out, scale = (REAL)c->scale;
  for (int64_t i = begin; i < end; i++) {
    REAL slope = c->what == MSE   ? 2 * (x[i] - t[i])
                 : c->what == BCE ? OF(rs_logistic)(x[i]) - t[i]
                                  : -OF(rs_logistic)(t[i] - x[i]);
    d[i] = scale * (w ? w[i] * slope : slope);
  }
}
#endif
