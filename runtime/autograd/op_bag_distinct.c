/* op_bag_distinct.c - weights f32 [total] that count each code of a bag once: 1 for the first of equal ones, 0 for those
 * behind it. What somebody knows, as a set, of a history that holds things again. No gradient. */
#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

enum { FEW = 48 }; /* codes of a bag that are compared with each other; more are sorted */

typedef struct context {
  const int64_t *offsets;
  const int32_t *codes;
  float *out;
  uint64_t *keys; /* [total]: room to sort a bag's (code, place) in */
} context;

static void compare_all(const int32_t *codes, float *out, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int64_t j = 0;
    while (codes[j] != codes[i]) j++;
    out[i] = j == i;
  }
}

static void sift(uint64_t *keys, int64_t i, int64_t n) {
  uint64_t key = keys[i];
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && keys[child + 1] > keys[child]) child++;
    if (keys[child] <= key) break;
    keys[i] = keys[child];
  }
  keys[i] = key;
}

/* Heapsort: no worst case, no stack, no memory. */
static void sort(uint64_t *keys, int64_t n) {
  for (int64_t i = n / 2 - 1; i >= 0; i--) sift(keys, i, n);
  for (int64_t end = n - 1; end > 0; end--) {
    uint64_t last = keys[end];
    keys[end] = keys[0];
    keys[0] = last;
    sift(keys, 0, end);
  }
}

static void sort_all(const int32_t *codes, float *out, uint64_t *keys, int64_t n) {
  for (int64_t i = 0; i < n; i++) keys[i] = (uint64_t)(uint32_t)codes[i] << 32 | (uint32_t)i;
  sort(keys, n);
  for (int64_t i = 0; i < n; i++) out[(uint32_t)keys[i]] = i == 0 || keys[i] >> 32 != keys[i - 1] >> 32;
}

static void mark_bags(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t i = begin; i < end; i++) {
    int64_t from = c->offsets[i], n = c->offsets[i + 1] - from;
    if (n <= FEW)
      compare_all(c->codes + from, c->out + from, n);
    else
      sort_all(c->codes + from, c->out + from, c->keys + from, n);
  }
}

static rs_status forward(rs_node *self) {
  const rs_tensor *codes = rs_in(self, 0), *offsets = rs_in(self, 1);
  if (codes->dtype != RS_I32)
    return rs_fail(RS_EDTYPE, "bag_distinct: codes are %s, not i32", rs_dtype_name(codes->dtype));
  rs_tensor keys = {0};
  rs_status status = rs_need_ndim(self, 0, 1);
  if (status == RS_OK) status = rs_need_bags(self, 1, codes->size[0], "codes");
  if (status == RS_OK && codes->size[0] > UINT32_MAX)
    status = rs_fail(RS_ERANGE, "bag_distinct: %lld codes are too many", (long long)codes->size[0]);
  if (status == RS_OK) status = rs_tensor_new(&keys, RS_I64, 1, codes->size);
  if (status == RS_OK) status = rs_tensor_new(&self->value, RS_F32, 1, codes->size);
  if (status == RS_OK) {
    context c = {rs_i64(offsets), rs_i32(codes), rs_f32(&self->value), rs_tensor_data(&keys)};
    rs_each(offsets->size[0] - 1, RS_BAGS, mark_bags, &c);
  }
  rs_tensor_free(&keys);
  return status;
}

const rs_op rs_op_bag_distinct = {"bag_distinct", 2, 2, 0, NULL, forward, NULL, false};

rs_status rs_ag_bag_distinct(rs_node **out, rs_node *codes, rs_node *offsets) {
  return rs_apply(out, &rs_op_bag_distinct, 2, (rs_node *[]){codes, offsets}, NULL);
}
