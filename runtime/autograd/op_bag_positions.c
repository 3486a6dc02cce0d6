/* op_bag_positions.c - the place of each code in its bag: 0 for the first, 1 for the next, up to limit - 1, which all
 * later ones share. As codes i32 [total] they find learned numbers by place in a table of 'limit' rows. No gradient. */
#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  const int64_t *offsets;
  int32_t *out;
  int64_t limit;
} context;

static void number_bags(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++) {
    int64_t from = c->offsets[i], to = c->offsets[i + 1];
    for (int64_t p = from; p < to; p++) c->out[p] = (int32_t)(p - from < c->limit ? p - from : c->limit - 1);
  }
}

static rs_status forward(rs_node *self) {
  const rs_tensor *codes = rs_in(self, 0), *offsets = rs_in(self, 1);
  if (codes->dtype != RS_I32)
    return rs_fail(RS_EDTYPE, "bag_positions: codes are %s, not i32", rs_dtype_name(codes->dtype));
  rs_status status = rs_need_ndim(self, 0, 1);
  if (status == RS_OK) status = rs_need_bags(self, 1, codes->size[0], "codes");
  if (status == RS_OK) status = rs_tensor_new(&self->value, RS_I32, 1, codes->size);
  if (status != RS_OK) return status;
  context c = {rs_i64(offsets), rs_i32(&self->value), self->attr[0].integer};
  rs_each(offsets->size[0] - 1, RS_BAGS * 32, number_bags, &c);
  return RS_OK;
}

static const rs_attr_field fields[] = {{"limit", RS_ATTR_INTEGER, 1, 1 << 20, NULL}};
const rs_op rs_op_bag_positions = {"bag_positions", 2, 2, 1, fields, forward, NULL, false};

rs_status rs_ag_bag_positions(rs_node **out, rs_node *codes, rs_node *offsets, int64_t limit) {
  rs_attr attr = {.integer = limit};
  return rs_apply(out, &rs_op_bag_positions, 2, (rs_node *[]){codes, offsets}, &attr);
}
