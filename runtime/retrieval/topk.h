/* topk.h - exact top-K: the items with the largest dot products, for each user. One who has several vectors (several
 * interests) is served as by merging their lists: an item counts by the vector that it fits best.
 *
 * Scores are computed tile by tile (RS_GEMM_ROWS users by at most RS_TOPK_TILE items), and a tile is looked through only
 * where it beats the user's k-th best so far. Equal scores are ordered by item row. A user's answer has the same bits
 * alone, in any batch and with any number of threads. This is also what an approximate index is measured against. */
#ifndef RS_TOPK_H
#define RS_TOPK_H
#include "base/lists.h"
#include "tensor/tensor.h"

enum { RS_TOPK_TILE = 256 };

typedef struct rs_topk_request {
  const float *users; /* [queries, vectors, width] */
  const float *items; /* [n_items, width]; NULL: 'columns' */
  const int32_t *columns; /* [n_items]: an item's score is what stands in this column of the user's row (columns.h) */
  int64_t queries, n_items, width;
  int64_t vectors;          /* of each user: an item's score is the best of their products with it; 0 means 1 */
  int64_t k;                /* 1 or more; may exceed the number of items */
  rs_lists excluded;        /* per query, item rows in any order, repetitions allowed; n = 0: nothing is excluded */
  const int64_t *item_time; /* [n_items]; with 'from' and 'to': only items with from <= time < to; or NULL all three */
  const int64_t *from, *to; /* [queries] */
} rs_topk_request;

/* rows i64 [queries, k], best first, and scores f32 [queries, k]; where a query has fewer than k candidates the rest is
 * row -1 with score minus infinity. RS_EARG, RS_ESHAPE and RS_ERANGE say what is wrong with the request; RS_ENUMERIC
 * names the first query and item whose score is NaN or infinite, when that item is a candidate. On failure both are
 * empty. */
rs_status rs_topk(rs_tensor *rows, rs_tensor *scores, const rs_topk_request *request);

#endif
