/* lists.h - many short lists of row numbers in one array: the items that a user engaged with, a query's answers.
 *
 * List i is values[starts[i]] .. values[starts[i] + lengths[i] - 1]. Lists may overlap: everything that a user did
 * before each of his events is a growing slice of one sequence. */
#ifndef RS_LISTS_H
#define RS_LISTS_H
#include <stdint.h>

#include "base/status.h"

/* A view; all-zero is "no lists at all". */
typedef struct rs_lists {
  int64_t n;              /* lists */
  const int64_t *starts;  /* [n] */
  const int32_t *lengths; /* [n] */
  const int32_t *values;  /* [n_values] */
  int64_t n_values;
} rs_lists;

/* RS_ERANGE unless every list lies inside the values and every value is in 0 .. limit-1; the message begins with
 * 'what' and names the first list or value that does not. */
rs_status rs_lists_check(const rs_lists *lists, const char *what, int64_t limit);

/* The first value of list i, and its length. */
static inline const int32_t *rs_lists_at(const rs_lists *lists, int64_t i, int64_t *length) {
  *length = lists->lengths[i];
  return lists->values + lists->starts[i];
}

#endif
