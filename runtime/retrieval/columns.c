/* columns.c - see columns.h. */
#include "retrieval/columns.h"

#include <math.h>

#include "base/alloc.h"
#include "base/scored.h"
#include "retrieval/best.h"

typedef struct columns_index {
  rs_index base;
  rs_tensor columns; /* i32 [items] */
} columns_index;

rs_status rs_columns_check(const int32_t *columns, int64_t n, int64_t width) {
  for (int64_t i = 0; i < n; i++)
    if (columns[i] < 0 || columns[i] >= width)
      return rs_fail(RS_ERANGE, "column %ld of item row %lld is outside 0..%lld", (long)columns[i], (long long)i,
                     (long long)width - 1);
  return RS_OK;
}

/* The best so far, lists over the scratch's room, and a heap that puts them in order. */
typedef struct room {
  rs_best best;
  rs_scored *heap;
} room;

static bool make_room(rs_index_scratch *s, int64_t k, room *out) {
  size_t n = (size_t)rs_best_room(k);
  char *block = rs_index_room(s, n * (sizeof(float) + sizeof(int32_t)) + (size_t)k * sizeof(rs_scored));
  if (!block) return false;
  out->heap = (rs_scored *)block;
  float *scores = (float *)(out->heap + k);
  out->best = (rs_best){scores, (int32_t *)(scores + n), 0, -INFINITY};
  return true;
}

static void write_found(room *r, int64_t k, rs_index_found *found) {
  rs_best_keep(&r->best, k);
  found->n = r->best.n;
  for (int64_t i = 0; i < found->n; i++) r->heap[i] = (rs_scored){r->best.scores[i], r->best.rows[i]};
  rs_scored_heap(r->heap, found->n);
  for (int64_t at = found->n - 1; at >= 0; at--) {
    found->rows[at] = r->heap[0].at;
    found->scores[at] = r->heap[0].score;
    rs_scored_sink(r->heap, at, 0, r->heap[at]);
  }
}

static rs_status search(const rs_index *index, const rs_index_query *q, rs_index_scratch *s, rs_index_found *found) {
  const int32_t *columns = rs_i32(&((const columns_index *)index)->columns);
  room r;
  if (!make_room(s, q->k, &r)) return rs_nomem("top-k", (size_t)q->k * sizeof(rs_scored));
  for (int64_t w = 0; w < rs_bitmap_words(index->n); w++)
    for (uint64_t left = rs_index_word(index, q, s, w); left; left &= left - 1) {
      int64_t row = w * 64 + rs_bitmap_first(left);
      if (!rs_index_timely(q, row)) continue;
      float score = rs_columns_score(q->query, q->vectors, index->width, columns[row]);
      found->stats.looked++;
      if (!isfinite(score))
        return rs_fail(RS_ENUMERIC, "top-k: the score of item row %lld for query 0 is not a finite number",
                       (long long)row);
      if (score > r.best.least) rs_best_add(&r.best, q->k, score, (int32_t)row);
    }
  found->stats.scored = found->stats.looked;
  write_found(&r, q->k, found);
  return RS_OK;
}

static void free_index(rs_index *index) {
  rs_tensor_free(&((columns_index *)index)->columns);
  rs_free(index);
}

static rs_status reserve(rs_index *index, int64_t n) {
  (void)index, (void)n; /* it keeps nothing of its own */
  return RS_OK;
}

static void put(rs_index *index, const rs_tensor *items, int64_t row) {
  columns_index *c = (columns_index *)index;
  if (items->storage != c->columns.storage || items->size[0] != c->columns.size[0]) {
    rs_tensor_free(&c->columns);
    rs_tensor_share(&c->columns, items);
  }
  if (row >= index->n) index->n = row + 1;
}

rs_status rs_columns_new(rs_index **out, const rs_tensor *columns, int64_t width) {
  static const rs_index_engine engine = {"columns", search, free_index, reserve, put};
  if (columns->dtype != RS_I32) return rs_fail(RS_EDTYPE, "columns are %s, not i32", rs_dtype_name(columns->dtype));
  if (columns->ndim != 1 || columns->stride[0] != 1)
    return rs_fail(RS_ESHAPE, "columns are %s: one for each item, side by side", rs_shape(columns).text);
  rs_status status = rs_columns_check(rs_i32(columns), columns->size[0], width);
  if (status != RS_OK) return status;
  columns_index *c = rs_alloc_zero(sizeof *c);
  if (!c) return rs_nomem("index", sizeof *c);
  c->base = (rs_index){&engine, columns->size[0], width};
  rs_tensor_share(&c->columns, columns);
  *out = &c->base;
  return RS_OK;
}
