/* scan.c - see scan.h.
 *
 * A product's bits are those of topk.c's tile. Where the CPU has kernels of our own an element of a product depends on
 * its row and column alone (tensor/block.h), so one row of users is enough of a tile, and its columns may be items
 * gathered from anywhere. Elsewhere the tile is the same call of BLAS on the same items, padded to as many users as
 * topk.c gives it: whole tiles are computed, and what is wanted is taken out.
 *
 * The first look asks of each block of 64 items what the best of them reaches at the most, and of groups of items what
 * the best reaches at the least. What k groups reach is a bar that the k best are above, known before any product is
 * computed; blocks that may hold an item above it are looked at again. */
#include "retrieval/scan.h"

#include <math.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/prefetch.h"
#include "base/scored.h"
#include "retrieval/above.h"
#include "retrieval/best.h"
#include "retrieval/topk.h"
#include "tensor/block.h"
#include "tensor/gemm.h"

/* Products are computed of PENDING items at once, a multiple of what the kernels' panels hold. A word with up to FEW
 * items that may be found is not worth a look at its block; where the codes are more than CACHED bytes, so that a block
 * comes from memory, none is as long as words have fewer than SPARSE on average, of SAMPLE words. A thread takes TAKEN
 * blocks at a time, and a catalogue of THREADED blocks or more is worth threads. Up to WIDEST_SPAN blocks, a power of
 * two, have their lows together. */
enum { TILE = RS_TOPK_TILE, TILE_WORDS = TILE / 64, LANES = RS_CODES_LANES };
enum { PENDING = 48, FEW = 2, CACHED = 4 << 20, SPARSE = 7, SAMPLE = 1024, ALL = 64 };
enum { TAKEN = 256, THREADED = 4 * TAKEN, WIDEST_SPAN = 64 };

typedef struct scan {
  rs_index base;
  rs_tensor held;
  const float *items; /* [n, width] */
  rs_codes codes;     /* empty: none */
  rs_codes next;      /* what rs_scan_reserve has made, or, once that is in use, what it was made of */
  bool ready;         /* 'next' is to be used */
} scan;

/* A search at work. */
typedef struct search {
  const scan *index;
  const rs_index_query *q;
  const rs_index_scratch *scratch;
  const float *users; /* [vectors, tile_rows, width]: what a tile's product begins from */
  int64_t tile_rows;  /* 1, or what BLAS is given */
  rs_coded *coded;    /* [vectors]; NULL: no first look */
  float *highs;       /* [blocks]: the largest bound of a block; infinite: all its items' products are wanted */
  float *lows;        /* [spans, LANES]: what some item of each lane and span reaches at the least */
  int64_t span;       /* blocks */
  int few;            /* items of a block that are not worth a look */
  float least;        /* k items reach it */
  float *products;    /* [vectors, tile_rows, TILE] */
  float *gathered;    /* [PENDING + 64, width]; where BLAS computes, [TILE, width]: the last items and zeros */
  rs_scored *heap;    /* [k] */
  int64_t size;
  int32_t pending[PENDING + 64]; /* rows in rising order, whose products are to be computed */
  int64_t n_pending;
  int64_t bad; /* the first row whose score is not finite; INT64_MAX: none */
  rs_index_stats stats;
} search;

/* ---- Products ---- */

/* The better of each item's products; one that is not a number stays. */
static void merge_vectors(search *s, int64_t n, int64_t step) {
  for (int64_t v = 1; v < s->q->vectors; v++)
    for (int64_t i = 0; i < n; i++) {
      float other = s->products[v * step + i];
      if (other > s->products[i] || other != other) s->products[i] = other;
    }
  s->stats.scored += n;
}

/* s->products of items first .. first + n - 1, in the tile that topk.c makes. */
static void score_tile(search *s, int64_t first, int64_t n) {
  int64_t width = s->index->base.width, step = s->tile_rows * TILE, columns = s->tile_rows > 1 ? TILE : n;
  const float *items = s->index->items + first * width;
  if (n < columns) {
    memset(s->gathered + n * width, 0, (size_t)((columns - n) * width) * sizeof *items);
    items = memcpy(s->gathered, items, (size_t)(n * width) * sizeof *items);
  }
  for (int64_t v = 0; v < s->q->vectors; v++)
    rs_gemm_tile(RS_F32, false, true, s->tile_rows, columns, width, 1, s->users + v * s->tile_rows * width, width, items,
                 width, 0, s->products + v * step, TILE);
  merge_vectors(s, n, step);
}

/* s->products of the pending items. */
static void score_pending(search *s) {
  int64_t width = s->index->base.width, n = s->n_pending;
  for (int64_t i = 0; i < n; i++)
    memcpy(s->gathered + i * width, s->index->items + s->pending[i] * width, (size_t)width * sizeof(float));
  rs_gemm_tile(RS_F32, false, true, s->q->vectors, n, width, 1, s->users, width, s->gathered, width, 0, s->products,
               TILE);
  merge_vectors(s, n, TILE);
}

/* ---- The best so far ---- */

/* An item with its score: rows come in rising order, so that an equal score never displaces an earlier row. */
static void take(search *s, int64_t row, float score) {
  rs_scored entry = {score, (int32_t)row};
  if (!isfinite(score)) {
    if (row < s->bad) s->bad = row;
  } else if (s->size == s->q->k) {
    if (score > s->heap[0].score) rs_scored_sink(s->heap, s->size, 0, entry);
  } else if ((s->heap[s->size++] = entry, s->size == s->q->k)) {
    rs_scored_heap(s->heap, s->size);
  }
}

/* Compute and take what is pending; where BLAS computes, it lies in one tile. */
static void flush(search *s) {
  int64_t first = s->n_pending > 0 ? s->pending[0] / TILE * TILE : 0, left = s->index->base.n - first;
  if (s->n_pending == 0) return;
  if (s->tile_rows == 1)
    score_pending(s);
  else
    score_tile(s, first, left < TILE ? left : TILE);
  for (int64_t i = 0; i < s->n_pending; i++)
    take(s, s->pending[i], s->products[s->tile_rows == 1 ? i : s->pending[i] - first]);
  s->n_pending = 0;
}

/* ---- The first look: what blocks and spans reach ---- */

/* The items of a block that may be found. */
static uint64_t rows_of(const search *s, int64_t block) {
  uint64_t rows = rs_index_word(&s->index->base, s->q, s->scratch, block), timely = rows;
  if (!s->q->item_time) return rows;
  for (uint64_t left = rows; left; left &= left - 1)
    if (!rs_index_timely(s->q, block * 64 + rs_bitmap_first(left))) timely &= ~(left & -left);
  return timely;
}

static void look(void *context, int64_t begin, int64_t end) {
  search *s = context;
  int64_t looked = 0;
  for (int64_t block = begin; block < end; block++) {
    uint64_t rows = rows_of(s, block);
    int count = __builtin_popcountll(rows);
    float *lows = s->lows + block / s->span * LANES;
    if (block % s->span == 0)
      for (int i = 0; i < LANES; i++) lows[i] = -INFINITY;
    looked += count;
    if (count <= s->few)
      s->highs[block] = count > 0 ? INFINITY : -INFINITY;
    else
      s->highs[block] = rs_codes_reach(&s->index->codes, block, s->coded, s->q->vectors, rows, lows);
  }
  __atomic_fetch_add(&s->stats.looked, looked, __ATOMIC_RELAXED);
}

/* ---- The second: products of the items that the first does not rule out ---- */

static void pick_block(search *s, int64_t block) {
  float bar = s->size == s->q->k && s->heap[0].score > s->least ? s->heap[0].score : s->least;
  if (s->tile_rows > 1 && block % TILE_WORDS == 0) flush(s);
  if (!(s->highs[block] > bar)) return;
  uint64_t rows = rows_of(s, block);
  if (__builtin_popcountll(rows) > s->few && bar > -INFINITY)
    rows &= rs_codes_above(&s->index->codes, block, s->coded, s->q->vectors, bar);
  for (; rows; rows &= rows - 1) {
    int64_t row = block * 64 + rs_bitmap_first(rows);
    rs_prefetch_row(s->index->items + row * s->index->base.width, (size_t)s->index->base.width * sizeof(float));
    s->pending[s->n_pending++] = (int32_t)row;
  }
  if (s->n_pending >= PENDING) flush(s);
}

/* All items of a tile: what is not looked at first. */
static void look_at_tile(search *s, int64_t block) {
  int64_t first = block * 64, left = s->index->base.n - first;
  uint64_t words[TILE_WORDS], good[TILE_WORDS], any = 0;
  for (int64_t i = 0; i < TILE_WORDS; i++) {
    any |= words[i] = rs_index_word(&s->index->base, s->q, s->scratch, block + i);
    s->stats.looked += __builtin_popcountll(words[i]);
  }
  if (any == 0) return;
  score_tile(s, first, left < TILE ? left : TILE);
  if (!rs_above(s->products, TILE_WORDS, s->size == s->q->k ? s->heap[0].score : -INFINITY, good)) return;
  for (int64_t i = 0; i < TILE_WORDS; i++)
    for (uint64_t rows = words[i] & good[i]; rows; rows &= rows - 1) {
      int64_t at = i * 64 + rs_bitmap_first(rows);
      if (rs_index_timely(s->q, first + at)) take(s, first + at, s->products[at]);
    }
}

/* In a body of rs_parallel_for BLAS has one thread, and so the bits that topk.c gets of it. */
static void pick(void *context, int64_t begin, int64_t end) {
  search *s = context;
  int64_t blocks = rs_bitmap_words(s->index->base.n);
  (void)begin, (void)end;
  if (s->coded)
    for (int64_t block = 0; block < blocks; block++) pick_block(s, block);
  else
    for (int64_t block = 0; block < blocks; block += TILE_WORDS) look_at_tile(s, block);
  flush(s);
}

/* ---- A search ---- */

static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* What a search lays into its room, one behind the other. */
typedef struct layout {
  size_t users, coded, p, highs, lows, products, gathered, heap;
} layout;

static layout layout_of(const search *s) {
  int64_t width = s->index->base.width, vectors = s->q->vectors, blocks = rs_bitmap_words(s->index->base.n);
  int64_t gathered = s->tile_rows > 1 ? TILE : PENDING + 64, spans = (blocks + s->span - 1) / s->span;
  layout l = {.products = aligned((size_t)(vectors * s->tile_rows * TILE) * sizeof(float)),
              .gathered = aligned((size_t)(gathered * width) * sizeof(float)),
              .heap = aligned((size_t)s->q->k * sizeof(rs_scored))};
  if (s->tile_rows > 1) l.users = aligned((size_t)(vectors * s->tile_rows * width) * sizeof(float));
  if (!s->index->codes.values.storage) return l;
  l.coded = aligned((size_t)vectors * sizeof(rs_coded));
  l.p = aligned((size_t)vectors * rs_coded_bytes(&s->index->codes));
  l.highs = aligned((size_t)blocks * sizeof(float));
  l.lows = aligned((size_t)(spans * LANES) * sizeof(float));
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

/* Whether a filter leaves so few of each word that has any. */
static bool is_sparse(const scan *index, const rs_index_query *q) {
  int64_t words = rs_bitmap_words(index->base.n), step = words / SAMPLE + 1, rows = 0, some = 0;
  for (int64_t word = 0; q->allow && word < words; word += step) {
    rows += __builtin_popcountll(q->allow[word]);
    some += q->allow[word] != 0;
  }
  return rows < SPARSE * some;
}

/* The query as the codes are asked; s->coded stays NULL where there are none, where most items would be computed after
 * all, or where their sums could overflow. */
static void lay_coded(search *s, rs_coded *coded, int8_t *p) {
  const rs_codes *codes = &s->index->codes;
  if (!codes->values.storage || s->q->k > s->index->base.n / 8) return;
  for (int64_t v = 0; v < s->q->vectors; v++)
    if (!rs_codes_query(codes, s->q->query + v * codes->width, p + (size_t)v * rs_coded_bytes(codes), &coded[v])) return;
  s->coded = coded;
  s->few = rs_tensor_bytes(&codes->values) > CACHED && is_sparse(s->index, s->q) ? ALL : FEW;
}

/* Eight lows or more for each of the k, so that hardly two of the k best share one. */
static int64_t span_of(int64_t blocks, int64_t k) {
  int64_t span = 1;
  while (span < WIDEST_SPAN && blocks * LANES / (2 * span) >= 8 * k) span *= 2;
  return span;
}

static rs_status prepare(search *s, rs_index_scratch *scratch) {
  s->tile_rows = rs_block_fast() ? 1 : RS_GEMM_ROWS;
  s->span = span_of(rs_bitmap_words(s->index->base.n), s->q->k);
  layout l = layout_of(s);
  size_t bytes = l.users + l.coded + l.p + l.highs + l.lows + l.products + l.gathered + l.heap;
  char *room = rs_index_room(scratch, bytes);
  if (!room) return rs_nomem("top-k", bytes);
  s->scratch = scratch;
  s->products = (float *)room, room += l.products;
  s->gathered = (float *)room, room += l.gathered;
  s->heap = (rs_scored *)room, room += l.heap;
  s->highs = (float *)room, room += l.highs;
  s->lows = (float *)room, room += l.lows;
  lay_users(s, (float *)room, l.users);
  lay_coded(s, (rs_coded *)(room + l.users), (int8_t *)(room + l.users + l.coded));
  return RS_OK;
}

/* Empty the heap into the answer, worst first. */
static void write_found(search *s, rs_index_found *found) {
  if (s->size < s->q->k) rs_scored_heap(s->heap, s->size);
  found->n = s->size;
  for (int64_t at = s->size - 1; at >= 0; at--) {
    found->rows[at] = s->heap[0].at;
    found->scores[at] = s->heap[0].score;
    rs_scored_sink(s->heap, at, 0, s->heap[at]);
  }
}

static rs_status run(const rs_index *index, const rs_index_query *q, rs_index_scratch *scratch,
                     rs_index_found *found) {
  int64_t blocks = rs_bitmap_words(index->n);
  search s = {.index = (const scan *)index, .q = q, .least = -INFINITY, .bad = INT64_MAX};
  rs_status status = prepare(&s, scratch);
  if (status != RS_OK) return status;
  if (s.coded) {
    rs_parallel_for(blocks, blocks >= THREADED ? TAKEN : blocks, look, &s);
    s.least = rs_reached_by(s.lows, (blocks + s.span - 1) / s.span * LANES, q->k, q->k + q->k / 16);
  }
  rs_parallel_for(1, 1, pick, &s);
  found->stats = s.stats;
  if (s.bad != INT64_MAX)
    return rs_fail(RS_ENUMERIC, "top-k: the score of item row %lld for query 0 is not a finite number",
                   (long long)s.bad);
  write_found(&s, found);
  return RS_OK;
}

static void scan_free(rs_index *index) {
  scan *s = (scan *)index;
  rs_tensor_free(&s->held);
  rs_codes_free(&s->codes);
  rs_codes_free(&s->next);
  rs_free(s);
}

static const rs_index_engine engine = {"exact", run, scan_free, rs_scan_reserve, rs_scan_put};

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
  if (!s->codes.values.storage) return RS_OK;
  if (s->ready && rs_codes_has_room(&s->next, n)) return RS_OK;
  rs_codes_free(&s->next);
  if (!s->ready && rs_codes_has_room(&s->codes, n)) return RS_OK;
  rs_status status = rs_codes_longer(&s->next, &s->codes, n);
  s->ready = status == RS_OK;
  return status;
}

/* Use what was reserved; what was in use is freed by the next reservation, not now. */
static void use_next(scan *s) {
  rs_codes before = s->codes;
  if (!s->ready) return;
  s->codes = s->next, s->next = before;
  s->ready = false;
}

void rs_scan_put(rs_index *index, const rs_tensor *items, int64_t row) {
  scan *s = (scan *)index;
  rs_tensor before = s->held;
  use_next(s);
  rs_tensor_share(&s->held, items);
  rs_tensor_free(&before);
  s->items = rs_f32(&s->held);
  s->base.n = items->size[0];
  if (s->codes.values.storage) rs_codes_put(&s->codes, row, s->items + row * s->base.width);
}
