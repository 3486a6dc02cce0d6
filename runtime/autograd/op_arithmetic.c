/* op_arithmetic.c - a + b, a - b, a b, a / b with broadcasting as in NumPy: sizes are aligned at the last dimension, 1
 * stretches. Backward sums over what was stretched. */
#ifndef REAL
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef enum kind { ADD, SUB, MUL, DIV } kind;

/* How two contiguous operands are walked in the order of the result. Dimensions that both walk evenly are one. */
typedef struct walk {
  kind what;
  int ndim;
  int64_t size[RS_MAX_DIMS + 1], stride_a[RS_MAX_DIMS + 1], stride_b[RS_MAX_DIMS + 1];
  void *out;
  const void *a, *b;
} walk;

#define KERNELS "autograd/op_arithmetic.c"
#include "autograd/each_real.h"

/* The broadcast shape; false when sizes disagree. */
static bool broadcast_shape(const rs_tensor *a, const rs_tensor *b, int *ndim, int64_t *size) {
  *ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
  for (int i = 1; i <= *ndim; i++) {
    int64_t p = i <= a->ndim ? a->size[a->ndim - i] : 1, q = i <= b->ndim ? b->size[b->ndim - i] : 1;
    if (p != q && p != 1 && q != 1) return false;
    size[*ndim - i] = p == 1 ? q : p;
  }
  return true;
}

/* The stride of dimension 'i' from the last: 0 where 't' is stretched. */
static int64_t stride_of(const rs_tensor *t, int i) {
  if (i > t->ndim || t->size[t->ndim - i] == 1) return 0;
  int64_t stride = 1;
  for (int j = 1; j < i; j++) stride *= t->size[t->ndim - j];
  return stride;
}

/* Dimensions from the last to the first, merged where both strides continue; entry 0 is the innermost. */
static walk walk_of(const rs_tensor *out, const rs_tensor *a, const rs_tensor *b) {
  walk w = {.out = rs_tensor_data(out), .a = rs_tensor_data(a), .b = rs_tensor_data(b)};
  for (int i = 1; i <= out->ndim; i++) {
    int64_t size = out->size[out->ndim - i], sa = stride_of(a, i), sb = stride_of(b, i);
    if (size == 1) continue;
    int last = w.ndim - 1;
    if (last >= 0 && sa == w.stride_a[last] * w.size[last] && sb == w.stride_b[last] * w.size[last]) {
      w.size[last] *= size;
      continue;
    }
    w.size[w.ndim] = size;
    w.stride_a[w.ndim] = sa;
    w.stride_b[w.ndim++] = sb;
  }
  if (w.ndim == 0) w.size[w.ndim++] = 1;
  return w;
}

/* out = a 'what' b; 'out' is made. */
static rs_status combine(rs_tensor *out, kind what, const rs_tensor *a, const rs_tensor *b) {
  int ndim;
  int64_t size[RS_MAX_DIMS];
  broadcast_shape(a, b, &ndim, size);
  rs_status status = rs_tensor_new(out, a->dtype, ndim, size);
  int64_t count = status == RS_OK ? rs_tensor_count(out) : 0;
  if (count == 0) return status;
  walk w = walk_of(out, a, b);
  w.what = what;
  if (w.ndim == 1)
    rs_each(count, RS_GRAIN, RS_BODY(a->dtype, walk_flat), &w);
  else
    rs_each(count / w.size[0], rs_row_grain(w.size[0]), RS_BODY(a->dtype, walk_rows), &w);
  return RS_OK;
}

static rs_status forward(rs_node *self, kind what) {
  rs_status status = rs_need_reals(self, 2);
  if (status != RS_OK) return status;
  const rs_tensor *a = rs_in(self, 0), *b = rs_in(self, 1);
  int ndim;
  int64_t size[RS_MAX_DIMS];
  if (!broadcast_shape(a, b, &ndim, size))
    return rs_fail(RS_ESHAPE, "%s: %s and %s do not broadcast", self->op->name, rs_shape(a).text, rs_shape(b).text);
  return combine(&self->value, what, a, b);
}

/* Give input i the sum of 'g' (taken over) to its shape, times 'sign'. */
static rs_status give_sum(rs_node *self, int i, rs_tensor *g, double sign) {
  rs_tensor sum = {0}, factor = {0}, signed_sum = {0};
  rs_status status = rs_sum_to(&sum, g, rs_in(self, i));
  if (status == RS_OK && sign != 1) {
    status = rs_scalar(&factor, g->dtype, sign);
    if (status == RS_OK) status = combine(&signed_sum, MUL, &sum, &factor);
    rs_tensor_free(&sum);
    sum = signed_sum;
  }
  rs_tensor_free(&factor);
  rs_tensor_free(g);
  if (status == RS_OK) return rs_grad_give(self->input[i], &sum);
  rs_tensor_free(&sum);
  return status;
}

/* Give input i the sum of g 'what' t, times 'sign'. */
static rs_status give_combined(rs_node *self, int i, kind what, const rs_tensor *t, double sign) {
  rs_tensor d = {0};
  if (!self->input[i]->needs_grad) return RS_OK;
  rs_status status = t ? combine(&d, what, &self->grad, t) : (rs_tensor_share(&d, &self->grad), RS_OK);
  return status == RS_OK ? give_sum(self, i, &d, sign) : status;
}

static rs_status add_forward(rs_node *self) { return forward(self, ADD); }
static rs_status sub_forward(rs_node *self) { return forward(self, SUB); }
static rs_status mul_forward(rs_node *self) { return forward(self, MUL); }
static rs_status div_forward(rs_node *self) { return forward(self, DIV); }

static rs_status add_backward(rs_node *self) {
  rs_status status = give_combined(self, 0, ADD, NULL, 1);
  return status == RS_OK ? give_combined(self, 1, ADD, NULL, 1) : status;
}

static rs_status sub_backward(rs_node *self) {
  rs_status status = give_combined(self, 0, ADD, NULL, 1);
  return status == RS_OK ? give_combined(self, 1, ADD, NULL, -1) : status;
}

static rs_status mul_backward(rs_node *self) {
  rs_status status = give_combined(self, 0, MUL, rs_in(self, 1), 1);
  return status == RS_OK ? give_combined(self, 1, MUL, rs_in(self, 0), 1) : status;
}

/* y = a / b: da = g / b, db = -g y / b. */
static rs_status div_backward(rs_node *self) {
  rs_status status = give_combined(self, 0, DIV, rs_in(self, 1), 1);
  if (status != RS_OK || !self->input[1]->needs_grad) return status;
  rs_tensor slope = {0};
  status = combine(&slope, DIV, &self->value, rs_in(self, 1));
  if (status == RS_OK) status = give_combined(self, 1, MUL, &slope, -1);
  rs_tensor_free(&slope);
  return status;
}

#define BINARY(name_)                                                                                                \
  const rs_op rs_op_##name_ = {                                                                                      \
      .name = #name_, .min_inputs = 2, .max_inputs = 2, .forward = name_##_forward, .backward = name_##_backward};   \
  rs_status rs_ag_##name_(rs_node **out, rs_node *a, rs_node *b) {                                                   \
    return rs_apply(out, &rs_op_##name_, 2, (rs_node *[]){a, b}, NULL);                                              \
  }

BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)

#else
#define EACH(operator)                                                                               \
  if (sa && sb)                                                                                      \
    for (int64_t i = 0; i < n; i++) out[i] = a[i] operator b[i];                                     \
  else if (sa)                                                                                       \
    for (int64_t i = 0; i < n; i++) out[i] = a[i] operator b[0];                                     \
  else                                                                                               \
    for (int64_t i = 0; i < n; i++) out[i] = a[0] operator b[sb ? i : 0];

/* n elements of a line; strides are 0 or 1. */
RS_SIMD static void OF(line)(kind what, REAL *restrict out, const REAL *a, int64_t sa, const REAL *b, int64_t sb,
                             int64_t n) {
  switch (what) {
    case ADD: EACH(+) break;
    case SUB: EACH(-) break;
    case MUL: EACH(*) break;
    case DIV: EACH(/) break;
  }
}
#undef EACH

static void OF(walk_flat)(void *context, int64_t begin, int64_t end) {
  const walk *w = context;
  int64_t sa = w->stride_a[0], sb = w->stride_b[0];
  OF(line)(w->what, (REAL *)w->out + begin, (const REAL *)w->a + begin * sa, sa, (const REAL *)w->b + begin * sb, sb,
           end - begin);
}

static void OF(walk_rows)(void *context, int64_t begin, int64_t end) {
  const walk *w = context;
  for (int64_t row = begin; row < end; row++) {
    int64_t rest = row, at_a = 0, at_b = 0;
    for (int i = 1; i < w->ndim; i++, rest /= w->size[i - 1]) {
      at_a += rest % w->size[i] * w->stride_a[i];
      at_b += rest % w->size[i] * w->stride_b[i];
    }
    OF(line)(w->what, (REAL *)w->out + row * w->size[0], (const REAL *)w->a + at_a, w->stride_a[0],
             (const REAL *)w->b + at_b, w->stride_b[0], w->size[0]);
  }
}
#endif
