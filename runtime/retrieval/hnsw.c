/* hnsw.c - searching (hnsw.h): walk, then score what was found as the exact engine does; or look at all that may be
 * found.
 *
 * As in scan.c a product's bits are those of topk.c's tile: where our own kernels compute (tensor/block.h) they depend
 * on the two vectors alone, so that rows may be gathered; where BLAS does, the whole tile is computed that a row lies
 * in. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/scored.h"
#include "retrieval/hnsw_parts.h"
#include "retrieval/topk.h"
#include "tensor/block.h"
#include "tensor/gemm.h"

enum { TILE = RS_TOPK_TILE, FRONTIER = 1 << 16 };

/* A search at work. */
typedef struct work {
  const rs_hnsw *h;
  const rs_index_query *q;
  rs_index_scratch *scratch;
  int64_t ef, may, limit; /* may: how many rows may be found, as far as bitmaps say */
  bool filtered;
  bool together; /* rows come in rising order */
  int64_t tile_rows;
  rs_hnsw_walker walker;
  int32_t *at; /* [vectors, ef] candidates, none twice from 'unite' on */
  int64_t n;
  float *users, *items, *products; /* [vectors, tile_rows, width], [TILE, width], [vectors, tile_rows, TILE] */
  rs_scored *heap;                 /* [k] */
  int64_t size;
  int64_t bad; /* the first row whose score is not finite; INT64_MAX: none */
  rs_index_stats stats;
} work;

static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* How many rows may be found, or a few less: of excluded ones alone repetitions count, as counting bits would take half
 * as long as a walk. */
static int64_t count_allowed(const rs_hnsw *h, const rs_index_query *q, const rs_index_scratch *s) {
  if (!q->allow && !h->dead && q->n_excluded < h->index.n / 2) return h->index.n - q->n_excluded;
  int64_t count = 0;
  for (int64_t i = 0, words = rs_bitmap_words(h->index.n); i < words; i++) {
    uint64_t rows = rs_index_word(&h->index, q, s, i);
    count += __builtin_popcountll(h->dead ? rows & ~h->dead[i] : rows);
  }
  return count;
}

/* Whether looking at all that may be found costs less than a walk, which meets about three quarters of m rows for each
 * of ef / share nodes at twice the price of a row that is looked at in order. */
static bool better_scan(const work *w) {
  double share = (double)w->may / (double)w->h->index.n;
  double met = 1.5 * (double)w->ef * (double)w->h->options.m / (share > 0 ? share : 1e-9);
  return met >= (double)w->may;
}

static rs_status prepare(work *w) {
  const rs_hnsw *h = w->h;
  int64_t width = h->index.width, vectors = w->q->vectors;
  w->tile_rows = rs_block_fast() ? 1 : RS_GEMM_ROWS;
  int64_t frontier = w->filtered ? w->limit + 2 * h->options.m + 1 : 0;
  size_t walker = rs_hnsw_walker_bytes(h, w->ef, frontier);
  size_t at = round_up((size_t)(vectors * w->ef) * sizeof *w->at);
  size_t users = round_up((size_t)(vectors * w->tile_rows * width) * sizeof(float));
  size_t items = round_up((size_t)(TILE * width) * sizeof(float));
  size_t products = round_up((size_t)(vectors * w->tile_rows * TILE) * sizeof(float));
  size_t bytes = walker + at + users + items + products + round_up((size_t)w->q->k * sizeof *w->heap);
  char *room = rs_index_room(w->scratch, bytes);
  uint64_t *marks = rs_index_marks(w->scratch, (size_t)rs_bitmap_words(h->index.n) * sizeof(uint64_t));
  if (!room || !marks) return rs_nomem("top-k", bytes);
  rs_hnsw_walker_lay(&w->walker, h, room, w->ef, frontier, marks);
  w->at = (int32_t *)(room + walker);
  w->users = (float *)(room + walker + at);
  w->items = (float *)(room + walker + at + users);
  w->products = (float *)(room + walker + at + users + items);
  w->heap = (rs_scored *)(room + walker + at + users + items + products);
  return RS_OK;
}

/* ---- Candidates ---- */

/* Those of one vector; false: the walk gave up. */
static bool walk(work *w, const float *query) {
  rs_hnsw_walker *walker = &w->walker;
  rs_hnsw_aim(walker, query);
  int32_t from = rs_hnsw_descend(walker, w->h->entry, w->h->levels, 0);
  bool found = true;
  if (w->filtered)
    found = rs_hnsw_walk_filtered(walker, from, w->ef, w->q, w->scratch, w->limit);
  else
    rs_hnsw_walk(walker, from, 0, w->ef);
  w->stats.looked += walker->looked;
  for (int64_t i = 0; i < walker->size; i++) w->at[w->n++] = rs_hnsw_key_id(walker->pool[i]);
  return found;
}

static int rising(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

/* Rows in rising order, as BLAS' tiles want them, and those that several vectors found once. */
static void unite(work *w) {
  if (w->q->vectors == 1 && w->tile_rows == 1) return;
  qsort(w->at, (size_t)w->n, sizeof *w->at, rising);
  int64_t n = 0;
  for (int64_t i = 0; i < w->n; i++)
    if (n == 0 || w->at[i] != w->at[n - 1]) w->at[n++] = w->at[i];
  w->n = n;
}

/* ---- Scores ---- */

static void take(work *w, int32_t row, float score) {
  rs_scored entry = {score, row};
  if (!isfinite(score)) {
    if (row < w->bad) w->bad = row;
  } else if (w->size == w->q->k) {
    if (rs_scored_worse(w->heap[0], entry)) rs_scored_sink(w->heap, w->size, 0, entry);
  } else if ((w->heap[w->size++] = entry, w->size == w->q->k)) {
    rs_scored_heap(w->heap, w->size);
  }
}

/* w->products of n items that lie together, or are gathered. */
static void score(work *w, const float *items, int64_t n) {
  int64_t width = w->h->index.width, columns = w->tile_rows == 1 ? n : TILE, step = w->tile_rows * TILE;
  if (columns > n) {
    memset(w->items + n * width, 0, (size_t)((columns - n) * width) * sizeof *items);
    items = memcpy(w->items, items, (size_t)(n * width) * sizeof *items);
  }
  for (int64_t v = 0; v < w->q->vectors; v++)
    rs_gemm_tile(RS_F32, false, true, w->tile_rows, columns, width, 1, w->users + v * w->tile_rows * width, width,
                 items, width, 0, w->products + v * step, TILE);
  for (int64_t v = 1; v < w->q->vectors; v++)
    for (int64_t i = 0; i < n; i++) {
      float other = w->products[v * step + i];
      if (other > w->products[i] || other != other) w->products[i] = other;
    }
}

/* Score and take rows at[0 .. n - 1]; where BLAS computes, of one tile and rising. */
static void take_rows(work *w, const int32_t *at, int64_t n) {
  int64_t width = w->h->index.width, first = at[0] / TILE * TILE, left = w->h->index.n - first;
  const float *vectors = rs_f32(&w->h->vectors);
  bool together = w->together && at[n - 1] - at[0] == n - 1;
  w->stats.scored += n;
  if (w->tile_rows > 1) {
    score(w, vectors + first * width, left < TILE ? left : TILE);
    for (int64_t i = 0; i < n; i++) take(w, at[i], w->products[at[i] - first]);
    return;
  }
  for (int64_t i = 0; !together && i < n; i++)
    memcpy(w->items + i * width, vectors + at[i] * width, (size_t)width * sizeof *vectors);
  score(w, together ? vectors + at[0] * width : w->items, n);
  for (int64_t i = 0; i < n; i++) take(w, at[i], w->products[i]);
}

static void lay_users(work *w) {
  int64_t width = w->h->index.width;
  if (w->tile_rows > 1) memset(w->users, 0, (size_t)(w->q->vectors * w->tile_rows * width) * sizeof *w->users);
  for (int64_t v = 0; v < w->q->vectors; v++)
    memcpy(w->users + v * w->tile_rows * width, w->q->query + v * width, (size_t)width * sizeof *w->users);
}

/* The candidates. In a body of rs_parallel_for, where BLAS is single-threaded and so has the bits that topk.c gets. */
static void score_candidates(void *context, int64_t begin, int64_t end) {
  work *w = context;
  (void)begin, (void)end;
  lay_users(w);
  for (int64_t at = 0, n; at < w->n; at += n) {
    int64_t tile = w->at[at] / TILE;
    for (n = 1; n < TILE && at + n < w->n && (w->tile_rows == 1 || w->at[at + n] / TILE == tile); n++) {
    }
    take_rows(w, w->at + at, n);
  }
}

/* All rows that may be found, tile by tile. */
static void score_allowed(void *context, int64_t begin, int64_t end) {
  work *w = context;
  const rs_hnsw *h = w->h;
  int32_t rows[TILE];
  int64_t n = 0, words = rs_bitmap_words(h->index.n);
  (void)begin, (void)end;
  lay_users(w);
  for (int64_t word = 0; word < words; word++) {
    uint64_t left = rs_index_word(&h->index, w->q, w->scratch, word);
    if (h->dead) left &= ~h->dead[word];
    if (n > 0 && (n > TILE - 64 || (w->tile_rows > 1 && word % (TILE / 64) == 0))) take_rows(w, rows, n), n = 0;
    for (; left; left &= left - 1) {
      int64_t row = word * 64 + rs_bitmap_first(left);
      w->stats.looked++;
      if (rs_index_timely(w->q, row)) rows[n++] = (int32_t)row;
    }
  }
  if (n > 0) take_rows(w, rows, n);
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

/* ---- A search ---- */

static bool finite_query(const rs_index_query *q, int64_t width) {
  bool finite = true;
  for (int64_t i = 0; i < q->vectors * width; i++) finite &= isfinite(q->query[i]);
  return finite;
}

/* The walks and the scores of what they found; false: nothing to rely on. */
static bool approximate(work *w) {
  const rs_index_query *q = w->q;
  if (better_scan(w) || !finite_query(q, w->h->index.width)) return false;
  for (int64_t v = 0; v < q->vectors; v++)
    if (!walk(w, q->query + v * w->h->index.width)) return false;
  unite(w);
  rs_parallel_for(1, 1, score_candidates, w);
  int64_t wanted = q->k < w->may || q->item_time ? q->k : w->may;
  return w->bad == INT64_MAX && w->size >= wanted;
}

static rs_status search(const rs_index *index, const rs_index_query *q, rs_index_scratch *scratch,
                        rs_index_found *found) {
  const rs_hnsw *h = (const rs_hnsw *)index;
  work w = {.h = h, .q = q, .scratch = scratch, .bad = INT64_MAX};
  w.ef = q->ef > 0 ? q->ef : 2 * q->k > RS_HNSW_EF ? 2 * q->k : RS_HNSW_EF;
  if (w.ef < q->k) w.ef = q->k;
  if (w.ef > h->index.n) w.ef = h->index.n;
  w.may = count_allowed(h, q, scratch);
  w.filtered = w.may < h->index.n || q->item_time;
  w.limit = w.may / 2 + 1 < FRONTIER ? w.may / 2 + 1 : FRONTIER;
  rs_status status = prepare(&w);
  if (status != RS_OK) return status;
  if (!approximate(&w)) {
    w.size = 0;
    w.bad = INT64_MAX;
    w.together = true;
    rs_parallel_for(1, 1, score_allowed, &w);
  }
  found->stats = w.stats;
  if (w.bad != INT64_MAX)
    return rs_fail(RS_ENUMERIC, "top-k: the score of item row %lld for query 0 is not a finite number",
                   (long long)w.bad);
  write_found(&w, found);
  return RS_OK;
}

static void engine_free(rs_index *index) { rs_hnsw_free((rs_hnsw *)index); }

static rs_status engine_reserve(rs_index *index, int64_t n) { return rs_hnsw_reserve((rs_hnsw *)index, n); }

static void engine_put(rs_index *index, const rs_tensor *items, int64_t row) {
  rs_hnsw_put((rs_hnsw *)index, items, row);
}

const rs_index_engine rs_hnsw_engine = {"hnsw", search, engine_free, engine_reserve, engine_put};

rs_hnsw *rs_hnsw_of(rs_index *index) { return index->engine == &rs_hnsw_engine ? (rs_hnsw *)index : NULL; }

rs_index *rs_hnsw_index(rs_hnsw *h) { return &h->index; }

rs_hnsw_facts rs_hnsw_facts_of(const rs_hnsw *h) {
  rs_hnsw_facts facts = {.options = h->options, .n = h->index.n, .width = h->index.width, .dead = h->n_dead,
                         .levels = h->levels};
  for (int i = 0; i < RS_HNSW_PARTS; i++)
    if (h->parts[i].storage) facts.bytes += (int64_t)rs_tensor_bytes(&h->parts[i]);
  return facts;
}
