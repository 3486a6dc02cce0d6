/* scan.c - see scan.h.
 *
 * A product's bits are those of topk.c's tile. Where the CPU has kernels of our own an element of a product depends on
 * its row and column alone (tensor/block.h), so one row of users is enough of a tile; elsewhere the tile is the same
 * call of BLAS on the same items, padded to as many users as topk.c gives it. */
#include "retrieval/scan.h"

#include <math.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/scored.h"
#include "retrieval/topk.h"
#include "tensor/block.h"
#include "tensor/gemm.h"

enum { TILE = RS_TOPK_TILE, WORDS = TILE / 64 };

typedef struct scan {
  rs_index base;
  rs_tensor held;
  const float *items; /* [n, width] */
} scan;

/* A search at work. */
typedef struct work {
  const scan *index;
  const rs_index_query *q;
  const rs_index_scratch *scratch;
  const float *users; /* [vectors, tile_rows, width]: what a tile's product begins from */
  int64_t tile_rows;
  float *padded;   /* [TILE, width]: the last items and zeros; NULL where no tile needs padding */
  float *products; /* [vectors, tile_rows, TILE] */
  rs_scored *heap; /* [k] */
  int64_t size;
  int64_t bad; /* the first row whose score is not finite; INT64_MAX: none */
  rs_index_stats stats;
} work;

static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Lay out the scratch; the padded users, too, where BLAS wants them. */
static rs_status prepare(work *w, rs_index_scratch *scratch) {
  int64_t width = w->index->base.width, vectors = w->q->vectors;
  bool alone = rs_block_fast();
  w->tile_rows = alone ? 1 : RS_GEMM_ROWS;
  size_t users = alone ? 0 : round_up((size_t)(vectors * w->tile_rows * width) * sizeof(float));
  size_t padded = alone ? 0 : round_up((size_t)(TILE * width) * sizeof(float));
  size_t products = round_up((size_t)(vectors * w->tile_rows * TILE) * sizeof(float));
  size_t heap = round_up((size_t)w->q->k * sizeof *w->heap);
  char *room = rs_index_room(scratch, users + padded + products + heap);
  if (!room) return rs_nomem("top-k", users + padded + products + heap);
  w->scratch = scratch;
  w->products = (float *)room;
  w->heap = (rs_scored *)(room + products);
  w->users = w->q->query;
  if (alone) return RS_OK;
  float *laid = (float *)(room + products + heap);
  memset(laid, 0, users);
  for (int64_t v = 0; v < vectors; v++)
    memcpy(laid + v * w->tile_rows * width, w->q->query + v * width, (size_t)width * sizeof *laid);
  w->users = laid;
  w->padded = (float *)(room + products + heap + users);
  return RS_OK;
}

/* The items of a tile, with zeros behind the last where BLAS wants all of it. */
static const float *items_of(const work *w, int64_t first, int64_t n) {
  int64_t width = w->index->base.width;
  const float *items = w->index->items + first * width;
  if (!w->padded || n == TILE) return items;
  memset(w->padded + n * width, 0, (size_t)((TILE - n) * width) * sizeof *w->padded);
  return memcpy(w->padded, items, (size_t)(n * width) * sizeof *items);
}

/* The scores of items first .. first + n - 1: the best of the products; one that is not a number stays. */
static const float *score_tile(work *w, int64_t first, int64_t n) {
  int64_t width = w->index->base.width, step = w->tile_rows * TILE, columns = w->padded ? TILE : n;
  const float *items = items_of(w, first, n);
  for (int64_t v = 0; v < w->q->vectors; v++)
    rs_gemm_tile(RS_F32, false, true, w->tile_rows, columns, width, 1, w->users + v * w->tile_rows * width, width, items,
                 width, 0, w->products + v * step, TILE);
  for (int64_t v = 1; v < w->q->vectors; v++)
    for (int64_t i = 0; i < n; i++) {
      float other = w->products[v * step + i];
      if (other > w->products[i] || other != other) w->products[i] = other;
    }
  w->stats.scored += n;
  return w->products;
}

/* An item with its score: rows come in rising order, so that an equal score never displaces an earlier row. */
static void take(work *w, int64_t row, float score) {
  bool full = w->size == w->q->k, finite = isfinite(score);
  if (full && finite && !(score > w->heap[0].score)) return;
  if (!rs_index_timely(w->q, row)) return;
  if (!finite) {
    if (row < w->bad) w->bad = row;
    return;
  }
  rs_scored entry = {score, (int32_t)row};
  if (full)
    rs_scored_sink(w->heap, w->size, 0, entry);
  else if ((w->heap[w->size++] = entry, w->size == w->q->k))
    rs_scored_heap(w->heap, w->size);
}

static void scan_tile(work *w, int64_t first) {
  int64_t n = w->index->base.n - first < TILE ? w->index->base.n - first : TILE;
  uint64_t words[WORDS], any = 0;
  for (int64_t i = 0; i < WORDS; i++) any |= words[i] = rs_index_word(&w->index->base, w->q, w->scratch, first / 64 + i);
  if (any == 0) return;
  const float *scores = score_tile(w, first, n);
  w->stats.looked += n;
  for (int64_t i = 0; i < WORDS; i++)
    for (uint64_t left = words[i]; left; left &= left - 1) {
      int64_t at = i * 64 + rs_bitmap_first(left);
      take(w, first + at, scores[at]);
    }
}

/* In a body of rs_parallel_for, where BLAS is single-threaded and so has the bits that topk.c gets of it. */
static void scan_all(void *context, int64_t begin, int64_t end) {
  work *w = context;
  (void)begin, (void)end;
  for (int64_t first = 0; first < w->index->base.n; first += TILE) scan_tile(w, first);
}

/* Empty the heap into the answer, worst first. */
static void write_found(work *w, rs_index_found *found) {
  if (w->size < w->q->k) rs_scored_heap(w->heap, w->size);
  found->n = w->size;
  for (int64_t at = w->size - 1; at >= 0; at--) {
    found->rows[at] = w->heap[0].at;
    found->scores[at] = w->heap[0].score;
    rs_scored_sink(w->heap, at, 0, w->heap[at]);
  }
}

static rs_status search(const rs_index *index, const rs_index_query *q, rs_index_scratch *scratch,
                        rs_index_found *found) {
  work w = {.index = (const scan *)index, .q = q, .bad = INT64_MAX};
  rs_status status = prepare(&w, scratch);
  if (status != RS_OK) return status;
  rs_parallel_for(1, 1, scan_all, &w);
  found->stats = w.stats;
  if (w.bad != INT64_MAX)
    return rs_fail(RS_ENUMERIC, "top-k: the score of item row %lld for query 0 is not a finite number",
                   (long long)w.bad);
  write_found(&w, found);
  return RS_OK;
}

static void scan_free(rs_index *index) {
  scan *s = (scan *)index;
  rs_tensor_free(&s->held);
  rs_free(s);
}

rs_status rs_scan_new(rs_index **out, const rs_tensor *items) {
  static const rs_index_engine engine = {"exact", search, scan_free};
  *out = NULL;
  if (items->dtype != RS_F32) return rs_fail(RS_EDTYPE, "index: items are %s; f32 expected", rs_dtype_name(items->dtype));
  if (items->ndim != 2 || items->size[1] < 1 || items->size[0] > INT32_MAX || !rs_tensor_is_contiguous(items))
    return rs_fail(RS_ESHAPE, "index: items are %s; contiguous [items, width] of at most 2147483647 items expected",
                   rs_shape(items).text);
  scan *s = rs_alloc_zero(sizeof *s);
  if (!s) return rs_nomem("index", sizeof *s);
  s->base = (rs_index){&engine, items->size[0], items->size[1]};
  rs_tensor_share(&s->held, items);
  s->items = items->size[0] > 0 ? rs_f32(&s->held) : NULL;
  *out = &s->base;
  return RS_OK;
}
