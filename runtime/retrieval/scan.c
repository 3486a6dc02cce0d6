/* scan.c - see scan.h.
 *
 * A product's bits are those of topk.c's tile. Where the CPU has kernels of our own an element of a product depends on
 * its row and column alone (tensor/block.h), so one row of users is enough of a tile, and its columns may be items
 * gathered from anywhere. Elsewhere the tile is the same call of BLAS on the same items, padded to as many users as
 * topk.c gives it: whole tiles are computed, and what is wanted is taken out. */
#include "retrieval/scan.h"

#include <math.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/prefetch.h"
#include "base/scored.h"
#include "retrieval/above.h"
#include "retrieval/topk.h"
#include "tensor/block.h"
#include "tensor/gemm.h"

/* Products are computed of PENDING items at once, a multiple of what the kernels' panels hold, so that the k-th best
 * rises early. A word with up to FEW items that may be found is not worth a look at its block. A thread takes TAKEN
 * blocks at a time. */
enum { TILE = RS_TOPK_TILE, TILE_WORDS = TILE / 64, PENDING = 48, FEW = 2, TAKEN = 256, THREADED = 4 * TAKEN };

typedef struct scan {
  rs_index base;
  rs_tensor held;
  const float *items; /* [n, width] */
  rs_codes codes;     /* empty: none */
} scan;

/* A thread's part of a search. */
typedef struct part {
  float *products; /* [vectors, tile_rows, TILE] */
  float *gathered; /* [PENDING + 64, width]; where BLAS computes, [TILE, width]: the last items and zeros */
  rs_scored *heap; /* [k] */
  int64_t size;
  int32_t pending[PENDING + 64]; /* rows in rising order, whose products are to be computed */
  int64_t n_pending;
  int64_t bad; /* the first row whose score is not finite; INT64_MAX: none */
  rs_index_stats stats;
} part;

/* A search at work. */
typedef struct search {
  const scan *index;
  const rs_index_query *q;
  const rs_index_scratch *scratch;
  const float *users; /* [vectors, tile_rows, width]: what a tile's product begins from */
  int64_t tile_rows;  /* 1, or what BLAS is given */
  rs_coded *coded;    /* [vectors]; NULL: no first look */
  part *parts;
  int64_t n_parts;
  _Atomic float least; /* the k-th best score of some part, so that no more than k items of all are above it */
} search;

/* ---- Products ---- */

/* The better of each item's products; one that is not a number stays. */
static void merge_vectors(const search *s, part *p, int64_t n, int64_t step) {
  for (int64_t v = 1; v < s->q->vectors; v++)
    for (int64_t i = 0; i < n; i++) {
      float other = p->products[v * step + i];
      if (other > p->products[i] || other != other) p->products[i] = other;
    }
  p->stats.scored += n;
}

/* p->products of items first .. first + n - 1, in the tile that topk.c makes. */
static void score_tile(const search *s, part *p, int64_t first, int64_t n) {
  int64_t width = s->index->base.width, step = s->tile_rows * TILE, columns = s->tile_rows > 1 ? TILE : n;
  const float *items = s->index->items + first * width;
  if (n < columns) {
    memset(p->gathered + n * width, 0, (size_t)((columns - n) * width) * sizeof *items);
    items = memcpy(p->gathered, items, (size_t)(n * width) * sizeof *items);
  }
  for (int64_t v = 0; v < s->q->vectors; v++)
    rs_gemm_tile(RS_F32, false, true, s->tile_rows, columns, width, 1, s->users + v * s->tile_rows * width, width, items,
                 width, 0, p->products + v * step, TILE);
  merge_vectors(s, p, n, step);
}

/* p->products of the pending items. */
static void score_pending(const search *s, part *p) {
  int64_t width = s->index->base.width, n = p->n_pending;
  for (int64_t i = 0; i < n; i++)
    memcpy(p->gathered + i * width, s->index->items + p->pending[i] * width, (size_t)width * sizeof(float));
  rs_gemm_tile(RS_F32, false, true, s->q->vectors, n, width, 1, s->users, width, p->gathered, width, 0, p->products,
               TILE);
  merge_vectors(s, p, n, TILE);
}

/* ---- The best so far ---- */

/* An item with its score: a part's rows come in rising order, so that an equal score never displaces an earlier row. */
static void take(const search *s, part *p, int64_t row, float score) {
  rs_scored entry = {score, (int32_t)row};
  if (!isfinite(score)) {
    if (row < p->bad) p->bad = row;
  } else if (p->size == s->q->k) {
    if (score > p->heap[0].score) rs_scored_sink(p->heap, p->size, 0, entry);
  } else if ((p->heap[p->size++] = entry, p->size == s->q->k)) {
    rs_scored_heap(p->heap, p->size);
  }
}

/* Compute and take what is pending; where BLAS computes, it lies in one tile. */
static void flush(search *s, part *p) {
  int64_t first = p->n_pending > 0 ? p->pending[0] / TILE * TILE : 0, left = s->index->base.n - first;
  if (p->n_pending == 0) return;
  if (s->tile_rows == 1)
    score_pending(s, p);
  else
    score_tile(s, p, first, left < TILE ? left : TILE);
  for (int64_t i = 0; i < p->n_pending; i++)
    take(s, p, p->pending[i], p->products[s->tile_rows == 1 ? i : p->pending[i] - first]);
  p->n_pending = 0;
  if (p->size < s->q->k) return;
  float mine = p->heap[0].score, seen = atomic_load_explicit(&s->least, memory_order_relaxed);
  while (mine > seen && !atomic_compare_exchange_weak_explicit(&s->least, &seen, mine, memory_order_relaxed,
                                                               memory_order_relaxed)) {
  }
}

/* What an item's bound must be above: as it is above the item's score, an item with a score equal to the k-th best
 * passes, which may be an earlier row than another part's. */
static float bar_of(search *s, const part *p) {
  float others = atomic_load_explicit(&s->least, memory_order_relaxed);
  return p->size == s->q->k && p->heap[0].score > others ? p->heap[0].score : others;
}

/* ---- Looking ---- */

static void look_at_block(search *s, part *p, int64_t block) {
  if (s->tile_rows > 1 && block % TILE_WORDS == 0) flush(s, p);
  uint64_t rows = rs_index_word(&s->index->base, s->q, s->scratch, block);
  int count = __builtin_popcountll(rows);
  if (count == 0) return;
  float bar = bar_of(s, p);
  p->stats.looked += count;
  if (count > FEW && bar > -INFINITY) rows &= rs_codes_above(&s->index->codes, block, s->coded, s->q->vectors, bar);
  for (; rows; rows &= rows - 1) {
    int64_t row = block * 64 + rs_bitmap_first(rows);
    if (!rs_index_timely(s->q, row)) continue;
    rs_prefetch_row(s->index->items + row * s->index->base.width, (size_t)s->index->base.width * sizeof(float));
    p->pending[p->n_pending++] = (int32_t)row;
  }
  if (p->n_pending >= PENDING) flush(s, p);
}

/* All items of a tile: what is not looked at first. */
static void look_at_tile(search *s, part *p, int64_t block) {
  int64_t first = block * 64, left = s->index->base.n - first;
  uint64_t words[TILE_WORDS], good[TILE_WORDS], any = 0;
  for (int64_t i = 0; i < TILE_WORDS; i++) {
    any |= words[i] = rs_index_word(&s->index->base, s->q, s->scratch, block + i);
    p->stats.looked += __builtin_popcountll(words[i]);
  }
  if (any == 0) return;
  score_tile(s, p, first, left < TILE ? left : TILE);
  if (!rs_above(p->products, TILE_WORDS, p->size == s->q->k ? p->heap[0].score : -INFINITY, good)) return;
  for (int64_t i = 0; i < TILE_WORDS; i++)
    for (uint64_t rows = words[i] & good[i]; rows; rows &= rows - 1) {
      int64_t at = i * 64 + rs_bitmap_first(rows);
      if (rs_index_timely(s->q, first + at)) take(s, p, first + at, p->products[at]);
    }
}

/* Blocks of 64 items; a thread is given them in rising order. */
static void look(void *context, int64_t begin, int64_t end) {
  search *s = context;
  part *p = &s->parts[s->n_parts > 1 ? rs_thread_index() : 0];
  if (s->coded)
    for (int64_t block = begin; block < end; block++) look_at_block(s, p, block);
  else
    for (int64_t block = begin; block < end; block += TILE_WORDS) look_at_tile(s, p, block);
  flush(s, p);
}

/* ---- A search ---- */

static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* What a search lays into its room, one behind the other. */
typedef struct layout {
  size_t users, coded, p, parts, products, gathered, heap;
} layout;

static layout layout_of(const search *s) {
  int64_t width = s->index->base.width, vectors = s->q->vectors, gathered = s->tile_rows > 1 ? TILE : PENDING + 64;
  layout l = {.products = aligned((size_t)(vectors * s->tile_rows * TILE) * sizeof(float)),
              .gathered = aligned((size_t)(gathered * width) * sizeof(float)),
              .heap = aligned((size_t)s->q->k * sizeof(rs_scored)),
              .parts = aligned((size_t)s->n_parts * sizeof(part)),
              .coded = aligned((size_t)vectors * sizeof(rs_coded)),
              .p = aligned((size_t)vectors * rs_coded_bytes(&s->index->codes))};
  if (s->tile_rows > 1) l.users = aligned((size_t)(vectors * s->tile_rows * width) * sizeof(float));
  return l;
}

/* The first of each 'tile_rows' users is a vector of the query. */
static void lay_users(search *s, float *users, size_t bytes) {
  int64_t width = s->index->base.width;
  s->users = s->q->query;
  if (bytes == 0) return;
  memset(users, 0, bytes);
  for (int64_t v = 0; v < s->q->vectors; v++)
    memcpy(users + v * s->tile_rows * width, s->q->query + v * width, (size_t)width * sizeof *users);
  s->users = users;
}

/* The query as the codes are asked; s->coded stays NULL where there are none, where most items would be computed after
 * all, or where their sums could overflow. */
static void lay_coded(search *s, rs_coded *coded, int8_t *p) {
  const rs_codes *codes = &s->index->codes;
  if (!codes->values.storage || s->q->k > s->index->base.n / 8) return;
  for (int64_t v = 0; v < s->q->vectors; v++)
    if (!rs_codes_query(codes, s->q->query + v * codes->width, p + (size_t)v * rs_coded_bytes(codes), &coded[v])) return;
  s->coded = coded;
}

static rs_status prepare(search *s, rs_index_scratch *scratch) {
  s->tile_rows = rs_block_fast() ? 1 : RS_GEMM_ROWS;
  layout l = layout_of(s);
  size_t each = l.products + l.gathered + l.heap;
  size_t bytes = l.users + l.coded + l.p + l.parts + (size_t)s->n_parts * each;
  char *room = rs_index_room(scratch, bytes);
  if (!room) return rs_nomem("top-k", bytes);
  s->scratch = scratch;
  s->parts = (part *)room;
  lay_users(s, (float *)(room + l.parts), l.users);
  lay_coded(s, (rs_coded *)(room + l.parts + l.users), (int8_t *)(room + l.parts + l.users + l.coded));
  char *own = room + l.parts + l.users + l.coded + l.p;
  for (int64_t i = 0; i < s->n_parts; i++, own += each) {
    part *p = &s->parts[i];
    p->products = (float *)own;
    p->gathered = (float *)(own + l.products);
    p->heap = (rs_scored *)(own + l.products + l.gathered);
    p->size = p->n_pending = 0;
    p->bad = INT64_MAX;
    p->stats = (rs_index_stats){0};
  }
  return RS_OK;
}

/* All parts' best into the first one's heap. */
static void join(search *s) {
  part *first = &s->parts[0];
  if (s->n_parts > 1 && first->size < s->q->k) rs_scored_heap(first->heap, first->size);
  for (int64_t i = 1; i < s->n_parts; i++) {
    const part *p = &s->parts[i];
    if (p->bad < first->bad) first->bad = p->bad;
    first->stats.looked += p->stats.looked;
    first->stats.scored += p->stats.scored;
    for (int64_t e = 0; e < p->size; e++)
      if (first->size < s->q->k) {
        first->heap[first->size++] = p->heap[e];
        rs_scored_heap(first->heap, first->size);
      } else if (rs_scored_worse(first->heap[0], p->heap[e])) {
        rs_scored_sink(first->heap, first->size, 0, p->heap[e]);
      }
  }
}

/* Empty the heap into the answer, worst first. */
static void write_found(const search *s, rs_index_found *found) {
  part *p = &s->parts[0];
  if (p->size < s->q->k) rs_scored_heap(p->heap, p->size);
  found->n = p->size;
  for (int64_t at = p->size - 1; at >= 0; at--) {
    found->rows[at] = p->heap[0].at;
    found->scores[at] = p->heap[0].score;
    rs_scored_sink(p->heap, at, 0, p->heap[at]);
  }
}

static rs_status run(const rs_index *index, const rs_index_query *q, rs_index_scratch *scratch,
                     rs_index_found *found) {
  int64_t blocks = rs_bitmap_words(index->n);
  bool threaded = blocks >= THREADED;
  search s = {.index = (const scan *)index, .q = q, .n_parts = threaded ? rs_threads() : 1};
  atomic_init(&s.least, -INFINITY);
  rs_status status = prepare(&s, scratch);
  if (status != RS_OK) return status;
  rs_parallel_for(blocks, threaded ? TAKEN : blocks, look, &s); /* also alone: BLAS has one thread in its bodies */
  join(&s);
  found->stats = s.parts[0].stats;
  if (s.parts[0].bad != INT64_MAX)
    return rs_fail(RS_ENUMERIC, "top-k: the score of item row %lld for query 0 is not a finite number",
                   (long long)s.parts[0].bad);
  write_found(&s, found);
  return RS_OK;
}

static void scan_free(rs_index *index) {
  scan *s = (scan *)index;
  rs_tensor_free(&s->held);
  rs_codes_free(&s->codes);
  rs_free(s);
}

static const rs_index_engine engine = {"exact", run, scan_free};

static rs_status new_scan(scan **out, const rs_tensor *items) {
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
  *out = s;
  return RS_OK;
}

rs_status rs_scan_new(rs_index **out, const rs_tensor *items) {
  scan *s;
  rs_status status = new_scan(&s, items);
  bool worth = s && s->base.n >= RS_SCAN_CODED && s->base.width <= RS_CODES_WIDEST;
  if (worth) status = rs_codes_new(&s->codes, s->items, s->base.n, s->base.width);
  *out = s ? &s->base : NULL;
  if (status != RS_OK) {
    rs_index_free(*out);
    *out = NULL;
  }
  return status;
}

rs_status rs_scan_with(rs_index **out, const rs_tensor *items, const rs_codes *codes) {
  scan *s;
  rs_status status = new_scan(&s, items);
  *out = s ? &s->base : NULL;
  if (status != RS_OK || !codes->values.storage) return status;
  status = rs_codes_over(&s->codes, s->base.n, s->base.width, &codes->values, &codes->scales, &codes->bounds);
  if (status != RS_OK) {
    rs_index_free(*out);
    *out = NULL;
  }
  return status;
}

const rs_codes *rs_scan_codes(const rs_index *index) {
  return index->engine == &engine ? &((const scan *)index)->codes : NULL;
}

rs_status rs_scan_reserve(rs_index *index, int64_t n) {
  scan *s = (scan *)index;
  return s->codes.values.storage ? rs_codes_reserve(&s->codes, n) : RS_OK;
}

void rs_scan_put(rs_index *index, const rs_tensor *items, int64_t row) {
  scan *s = (scan *)index;
  rs_tensor before = s->held;
  rs_tensor_share(&s->held, items);
  rs_tensor_free(&before);
  s->items = rs_f32(&s->held);
  s->base.n = items->size[0];
  if (s->codes.values.storage) rs_codes_put(&s->codes, row, s->items + row * s->base.width);
}
