/* lists.c - see lists.h. */
#include "base/lists.h"

rs_status rs_lists_check(const rs_lists *lists, const char *what, int64_t limit) {
  for (int64_t i = 0; i < lists->n; i++) {
    int64_t start = lists->starts[i], length = lists->lengths[i];
    if (start < 0 || length < 0 || start > lists->n_values - length)
      return rs_fail(RS_ERANGE, "%s: list %lld starts at %lld with length %lld, but there are %lld values", what,
                     (long long)i, (long long)start, (long long)length, (long long)lists->n_values);
  }
  for (int64_t i = 0; i < lists->n_values; i++)
    if (lists->values[i] < 0 || lists->values[i] >= limit)
      return rs_fail(RS_ERANGE, "%s: value %d at %lld is outside 0..%lld", what, (int)lists->values[i], (long long)i,
                     (long long)limit - 1);
  return RS_OK;
}
