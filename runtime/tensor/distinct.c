/* distinct.c - see distinct.h. Open addressing in a table of two to four slots an element. */
#include "tensor/distinct.h"

#include <string.h>

#include "base/alloc.h"

static int64_t value_at(const rs_tensor *t, int64_t i) { return t->dtype == RS_I64 ? rs_i64(t)[i] : rs_i32(t)[i]; }

static void put(rs_tensor *values, int64_t at, int64_t value) {
  if (values->dtype == RS_I64)
    rs_i64(values)[at] = value;
  else
    rs_i32(values)[at] = (int32_t)value;
}

/* Fill 'values' and 'of'; how many values there are. 'slots' [n_slots, a power of 2] hold 1 + their place. */
static int64_t find(rs_tensor *values, int64_t *of, const rs_tensor *t, int64_t *slots, int64_t n_slots) {
  int64_t found = 0, n = t->size[0];
  for (int64_t i = 0; i < n; i++) {
    int64_t value = value_at(t, i), at = (int64_t)((uint64_t)value * UINT64_C(0x9E3779B97F4A7C15) >> 32);
    for (at &= n_slots - 1; slots[at] && value_at(values, slots[at] - 1) != value;) at = (at + 1) & (n_slots - 1);
    if (!slots[at]) {
      put(values, found, value);
      slots[at] = ++found;
    }
    of[i] = slots[at] - 1;
  }
  return found;
}

rs_status rs_distinct(rs_tensor *values, rs_tensor *of, const rs_tensor *t) {
  if (t->dtype != RS_I64 && t->dtype != RS_I32)
    return rs_fail(RS_EDTYPE, "distinct: wants i64 or i32, not %s", rs_dtype_name(t->dtype));
  if (t->ndim != 1) return rs_fail(RS_ESHAPE, "distinct: wants a vector, not %s", rs_shape(t).text);
  int64_t n_slots = 16;
  while (n_slots < 2 * t->size[0]) n_slots *= 2;
  rs_tensor all = {0}, places = {0}, head = {0};
  int64_t *slots = rs_alloc_zero((size_t)n_slots * sizeof *slots);
  rs_status status = slots ? RS_OK : rs_nomem("distinct", (size_t)n_slots * sizeof *slots);
  if (status == RS_OK) status = rs_tensor_new(&all, t->dtype, 1, t->size);
  if (status == RS_OK) status = rs_tensor_new(&places, RS_I64, 1, t->size);
  if (status == RS_OK)
    status = rs_tensor_narrow(&head, &all, 0, 0, find(&all, rs_i64(&places), t, slots, n_slots));
  rs_free(slots);
  rs_tensor_free(&all);
  if (status != RS_OK) {
    rs_tensor_free(&places);
    return status;
  }
  *values = head;
  *of = places;
  return RS_OK;
}
