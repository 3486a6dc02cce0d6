/* bags.c - see bags.h. */
#include "autograd/bags.h"

#include "autograd/kernel.h"

rs_status rs_need_bags(const rs_node *self, int at, int64_t total, const char *things) {
  const rs_tensor *offsets = rs_in(self, at);
  if (offsets->dtype != RS_I64)
    return rs_fail(RS_EDTYPE, "%s: offsets are %s, not i64", self->op->name, rs_dtype_name(offsets->dtype));
  if (offsets->ndim != 1 || offsets->size[0] < 1)
    return rs_fail(RS_ESHAPE, "%s: offsets are %s, not [n + 1]", self->op->name, rs_shape(offsets).text);
  const int64_t *o = rs_i64(offsets);
  int64_t n = offsets->size[0] - 1;
  bool ascending = o[0] == 0 && o[n] == total && total <= INT32_MAX;
  for (int64_t i = 0; i < n; i++) ascending &= o[i] <= o[i + 1];
  if (ascending) return RS_OK;
  return rs_fail(RS_ERANGE, "%s: %s must ascend from 0 to the number of %s, %lld", self->op->name,
                 rs_node_label(self->input[at]), things, (long long)total);
}
