/* columns.h - the engine of a model that has no item vectors: a query is a row of scores, and an item's score is the number
 * that stands in the item's column. As exact as scan.h, where items' vectors would be one-hot. */
#ifndef RS_COLUMNS_H
#define RS_COLUMNS_H
#include "retrieval/index.h"

/* An index over columns i32 [items], contiguous, each in 0 .. width - 1; holds a handle on the tensor, no copy. RS_EDTYPE,
 * RS_ESHAPE, RS_ERANGE, RS_ENOMEM. */
rs_status rs_columns_new(rs_index **out, const rs_tensor *columns, int64_t width);

/* RS_ERANGE, naming the first item row, unless all of n columns are in 0 .. width - 1. */
rs_status rs_columns_check(const int32_t *columns, int64_t n, int64_t width);

/* An item's score: the best of what the query's rows [vectors, width] hold in its column; one that is not a number stays. */
static inline float rs_columns_score(const float *query, int64_t vectors, int64_t width, int32_t column) {
  float best = query[column];
  for (int64_t v = 1; v < vectors; v++) {
    float score = query[v * width + column];
    best = score > best || score != score ? score : best;
  }
  return best;
}

#endif
