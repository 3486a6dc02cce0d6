/* op_bag_first.c - the first row of each bag of x [total, d], which of a history is its newest event: [n, d]; an empty
 * bag is 0. Its gradient goes to those rows alone. */
#include <string.h>

#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  const int64_t *offsets;
  size_t bytes; /* of a row */
  const char *in;
  char *out;
} context;

static void first_rows(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++) {
    char *y = c->out + (size_t)i * c->bytes;
    if (c->offsets[i] < c->offsets[i + 1])
      memcpy(y, c->in + (size_t)c->offsets[i] * c->bytes, c->bytes);
    else
      memset(y, 0, c->bytes);
  }
}

static void spread_rows(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++) {
    int64_t from = c->offsets[i], members = c->offsets[i + 1] - from;
    char *dx = c->out + (size_t)from * c->bytes;
    if (members == 0) continue;
    memcpy(dx, c->in + (size_t)i * c->bytes, c->bytes);
    memset(dx + c->bytes, 0, (size_t)(members - 1) * c->bytes);
  }
}

static void each_bag(const rs_node *self, rs_tensor *out, const rs_tensor *in, rs_body *body) {
  const rs_tensor *offsets = rs_in(self, 1);
  context c = {rs_i64(offsets), (size_t)in->size[1] * rs_dtype_size(in->dtype), rs_tensor_data(in), rs_tensor_data(out)};
  rs_each(offsets->size[0] - 1, RS_BAGS * 32, body, &c);
}

static rs_status forward(rs_node *self) {
  const rs_tensor *x = rs_in(self, 0);
  rs_status status = rs_need_reals(self, 1);
  if (status == RS_OK) status = rs_need_ndim(self, 0, 2);
  if (status == RS_OK) status = rs_need_bags(self, 1, x->size[0], "rows");
  if (status == RS_OK)
    status = rs_tensor_new(&self->value, x->dtype, 2, (int64_t[]){rs_in(self, 1)->size[0] - 1, x->size[1]});
  if (status == RS_OK) each_bag(self, &self->value, x, first_rows);
  return status;
}

static rs_status backward(rs_node *self) {
  rs_tensor dx = {0};
  rs_status status = rs_tensor_like(&dx, rs_in(self, 0));
  if (status != RS_OK) return status;
  each_bag(self, &dx, &self->grad, spread_rows);
  return rs_grad_give(self->input[0], &dx);
}

const rs_op rs_op_bag_first = {"bag_first", 2, 2, 0, NULL, forward, backward, false};

rs_status rs_ag_bag_first(rs_node **out, rs_node *x, rs_node *offsets) {
  return rs_apply(out, &rs_op_bag_first, 2, (rs_node *[]){x, offsets}, NULL);
}
