/* op_keep_largest.c - of each row of x [n, d] the k largest numbers above 0, all others 0: the neighbours whose votes count.
 * Of equal ones the first stay. No gradient; whoever wants one is refused. */
#include <string.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "base/alloc.h"
#include "tensor/nearest.h"

typedef struct context {
  const float *x;
  float *out;
  int64_t d, k;
  float *scores, *few; /* [threads, d] */
  int32_t *rows;       /* likewise */
  const int32_t *rank; /* [d] */
} context;

static void keep(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  int64_t at = rs_thread_index() * c->d;
  for (int64_t i = begin; i < end; i++) {
    rs_nearest best = {.scores = c->scores + at, .rows = c->rows + at, .n = c->d};
    memcpy(best.scores, c->x + i * c->d, (size_t)c->d * sizeof(float));
    memcpy(best.rows, c->rank, (size_t)c->d * sizeof(int32_t));
    rs_nearest_keep(&best, c->k, c->rank, c->few + at);
    memset(c->out + i * c->d, 0, (size_t)c->d * sizeof(float));
    for (int64_t j = 0; j < best.n; j++) c->out[i * c->d + best.rows[j]] = best.scores[j];
  }
}

static rs_status forward(rs_node *self) {
  const rs_tensor *x = rs_in(self, 0);
  if (x->dtype != RS_F32) return rs_fail(RS_EDTYPE, "keep_largest: x is %s, not f32", rs_dtype_name(x->dtype));
  rs_status status = rs_need_ndim(self, 0, 2);
  if (status == RS_OK && self->input[0]->needs_grad)
    status = rs_fail(RS_EARG, "keep_largest: %s wants a gradient, and there is none", rs_node_label(self->input[0]));
  if (status != RS_OK) return status;
  int64_t n = x->size[0], d = x->size[1], threads = rs_threads();
  for (int64_t i = 0; i < n * d; i++)
    if (rs_f32(x)[i] != rs_f32(x)[i]) return rs_fail(RS_ENUMERIC, "keep_largest: x holds a NaN");
  status = rs_tensor_new(&self->value, RS_F32, 2, x->size);
  if (status != RS_OK) return status;
  size_t bytes = (size_t)((3 * threads + 1) * d + 1) * sizeof(float);
  float *room = rs_alloc(bytes);
  if (!room) return rs_nomem("keep_largest", bytes);
  int32_t *rank = (int32_t *)(void *)(room + 3 * threads * d);
  for (int64_t j = 0; j < d; j++) rank[j] = (int32_t)j;
  context c = {.x = rs_f32(x), .out = rs_f32(&self->value), .d = d, .k = self->attr[0].integer, .scores = room};
  c.few = room + threads * d;
  c.rows = (int32_t *)(void *)(room + 2 * threads * d);
  c.rank = rank;
  rs_each(n, rs_row_grain(16 * d), keep, &c);
  rs_free(room);
  return RS_OK;
}

static const rs_attr_field fields[] = {{"k", RS_ATTR_INTEGER, 1, 1 << 30, NULL}};
const rs_op rs_op_keep_largest = {"keep_largest", 1, 1, 1, fields, forward, NULL, false};

rs_status rs_ag_keep_largest(rs_node **out, rs_node *x, int64_t k) {
  rs_attr attr = {.integer = k};
  return rs_apply(out, &rs_op_keep_largest, 1, &x, &attr);
}
