/* op_reduce.c - sum and mean over all elements or one dimension; backward spreads the gradient back.
 *
 * Any of them is [outer, r, inner] summed over its middle. */
#ifndef REAL
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  int64_t r, inner;
  double scale;
  void *out;
  const void *in;
} context;

#define KERNELS "autograd/op_reduce.c"
#include "autograd/each_real.h"

typedef struct geometry {
  int64_t outer, r, inner;
  int ndim;
  int64_t size[RS_MAX_DIMS]; /* of the result */
} geometry;

static rs_status geometry_of(const rs_node *self, geometry *s) {
  const rs_tensor *x = rs_in(self, 0);
  *s = (geometry){1, rs_tensor_count(x), 1, 0, {0}};
  if (self->op->n_fields == 0) return RS_OK;
  int dim;
  rs_status status = rs_need_dim(self, self->attr[0].integer, x, &dim);
  if (status != RS_OK) return status;
  s->r = x->size[dim];
  for (int i = 0; i < x->ndim; i++) {
    if (i < dim) s->outer *= x->size[i];
    if (i > dim) s->inner *= x->size[i];
    if (i != dim) s->size[s->ndim++] = x->size[i];
  }
  return RS_OK;
}

static rs_status forward(rs_node *self, bool mean) {
  const rs_tensor *x = rs_in(self, 0);
  geometry s;
  rs_status status = rs_need_reals(self, 1);
  if (status == RS_OK) status = geometry_of(self, &s);
  if (status == RS_OK && mean && s.r == 0)
    status = rs_fail(RS_ESHAPE, "%s: x is %s, there is no mean of nothing", self->op->name, rs_shape(x).text);
  if (status == RS_OK) status = rs_tensor_new(&self->value, x->dtype, s.ndim, s.size);
  if (status == RS_OK) status = rs_sum_middle(&self->value, x, s.outer, s.r, s.inner);
  if (status == RS_OK && mean)
    RS_CALL(x->dtype, divide, (rs_tensor_data(&self->value), s.r, rs_tensor_count(&self->value)));
  return status;
}

static rs_status backward(rs_node *self, bool mean) {
  geometry s;
  rs_tensor dx = {0};
  rs_status status = geometry_of(self, &s);
  if (status == RS_OK) status = rs_tensor_like(&dx, rs_in(self, 0));
  if (status != RS_OK) return status;
  context c = {s.r, s.inner, mean ? 1 / (double)s.r : 1, rs_tensor_data(&dx), rs_tensor_data(&self->grad)};
  rs_each(rs_tensor_count(&dx), RS_GRAIN, RS_BODY(dx.dtype, spread), &c);
  return rs_grad_give(self->input[0], &dx);
}

static rs_status sum_forward(rs_node *self) { return forward(self, false); }
static rs_status sum_backward(rs_node *self) { return backward(self, false); }
static rs_status mean_forward(rs_node *self) { return forward(self, true); }
static rs_status mean_backward(rs_node *self) { return backward(self, true); }

static const rs_attr_field fields[] = {{"dim", RS_ATTR_DIM, 0, 0, NULL}};
const rs_op rs_op_sum = {"sum", 1, 1, 0, NULL, sum_forward, sum_backward, false};
const rs_op rs_op_mean = {"mean", 1, 1, 0, NULL, mean_forward, mean_backward, false};
const rs_op rs_op_sum_dim = {"sum_dim", 1, 1, 1, fields, sum_forward, sum_backward, false};
const rs_op rs_op_mean_dim = {"mean_dim", 1, 1, 1, fields, mean_forward, mean_backward, false};

rs_status rs_ag_sum(rs_node **out, rs_node *x) { return rs_apply(out, &rs_op_sum, 1, &x, NULL); }
rs_status rs_ag_mean(rs_node **out, rs_node *x) { return rs_apply(out, &rs_op_mean, 1, &x, NULL); }

rs_status rs_ag_sum_dim(rs_node **out, rs_node *x, int dim) {
  return rs_apply(out, &rs_op_sum_dim, 1, &x, &(rs_attr){.integer = dim});
}

rs_status rs_ag_mean_dim(rs_node **out, rs_node *x, int dim) {
  return rs_apply(out, &rs_op_mean_dim, 1, &x, &(rs_attr){.integer = dim});
}

#else
static void OF(divide)(REAL *x, int64_t r, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] /= (REAL)r;
}

/* Elements begin .. end-1 of dx, seen as [outer, r, inner]: a run of them lies in one row. */
RS_SIMD static void OF(spread)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  REAL scale = (REAL)c->scale;
  int64_t width = c->inner == 1 ? c->r : c->inner; /* of a row whose gradients are one number, or a run of them */
  for (int64_t i = begin, n; i < end; i += n) {
    int64_t row = i / width, at = i % width;
    n = width - at < end - i ? width - at : end - i;
    REAL *restrict dx = (REAL *)c->out + i;
    const REAL *restrict g = (const REAL *)c->in + (c->inner == 1 ? row : row / c->r * c->inner + at);
    if (c->inner == 1)
      for (int64_t j = 0; j < n; j++) dx[j] = g[0] * scale;
    else
      for (int64_t j = 0; j < n; j++) dx[j] = g[j] * scale;
  }
}
#endif
