/* topk.c - see topk.h.
 *
 * Items come in rising order of rows, so that an equal score never displaces an earlier row; whether a good score belongs
 * to a candidate is asked last, as few scores are good.
 *
 * Where the CPU has kernels of our own a score's bits depend on its user and item alone (tensor/block.h): a tile of items
 * is turned once for many blocks of users, and has as many columns as the kernels' panels like. Elsewhere each block and
 * tile is one call of BLAS, padded to full size. */
#include "retrieval/topk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bitmap.h"
#include "base/parallel.h"
#include "base/scored.h"
#include "base/wide.h"
#include "retrieval/above.h"
#include "retrieval/best.h"
#include "retrieval/columns.h"
#include "tensor/block.h"
#include "tensor/gemm.h"

/* PANEL columns are what the kernels compute at once; a task has up to GROUP queries. */
enum { TILE = RS_TOPK_TILE, BLOCK = RS_GEMM_ROWS, PANEL = 48, PANELS = 4, GROUP = 4 * BLOCK };

/* What a thread works with. */
typedef struct scratch {
  float *users;       /* [blocks, vectors, BLOCK, width] */
  float *panels;      /* [PANELS, width, PANEL]: a tile of items, turned; NULL where BLAS computes */
  float *scores;      /* [BLOCK, TILE] */
  float *others;      /* [BLOCK, TILE] by a further vector */
  rs_best *best;      /* [group]: each query's, over */
  float *best_scores; /* [group, room] */
  int32_t *best_rows; /* [group, room] */
  rs_scored *heap;    /* [k]: a query's at the end */
  int32_t *barred;    /* the group's excluded items, sorted per query */
  int64_t *barred_at; /* [group + 1] where each query's begin */
} scratch;

typedef struct job {
  const rs_topk_request *ask;
  const float *items_end; /* [TILE, width]: the last items, padded with zeros */
  scratch *scratches;
  int threads;
  bool own;        /* kernels of our own compute, not BLAS */
  int64_t tile;    /* items */
  int64_t group;   /* queries of a task, whole blocks */
  int64_t vectors; /* of each user */
  int64_t k;    /* to be found: no more than there are items */
  int64_t room; /* of a query's best */
  int64_t bad; /* the smallest query << 32 | item row whose score is not finite; INT64_MAX: none */
  int64_t *rows;
  float *scores;
} job;

static bool is_barred(const scratch *s, int64_t i, int32_t row) {
  int64_t low = s->barred_at[i], high = s->barred_at[i + 1];
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (s->barred[middle] < row)
      low = middle + 1;
    else
      high = middle;
  }
  return low < s->barred_at[i + 1] && s->barred[low] == row;
}

static bool is_candidate(const job *j, const scratch *s, int64_t query, int64_t i, int32_t row) {
  const rs_topk_request *ask = j->ask;
  if (ask->item_time && (ask->item_time[row] < ask->from[query] || ask->item_time[row] >= ask->to[query])) return false;
  return !is_barred(s, i, row);
}

static void note_bad(job *j, int64_t query, int64_t item) {
  int64_t mine = query << 32 | item, seen = __atomic_load_n(&j->bad, __ATOMIC_RELAXED);
  while (mine < seen && !__atomic_compare_exchange_n(&j->bad, &seen, mine, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

/* Take those of one query's scores that 'good' marks, of items first .. first + n - 1. */
static void take(job *j, const scratch *s, int64_t query, int64_t i, int64_t first, int64_t n, const float *row,
                 const uint64_t *good) {
  rs_best *best = &s->best[i];
  for (int64_t w = 0; w * 64 < n; w++)
    for (uint64_t left = good[w] & rs_bitmap_word_of(n, w); left; left &= left - 1) {
      int64_t t = w * 64 + rs_bitmap_first(left);
      bool finite = isfinite(row[t]);
      if (finite && !(row[t] > best->least)) continue;
      if (!is_candidate(j, s, query, i, (int32_t)(first + t))) continue;
      if (finite)
        rs_best_add(best, j->k, row[t], (int32_t)(first + t));
      else
        note_bad(j, query, first + t);
    }
}

static int rising(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static void sort_barred(const job *j, scratch *s, int64_t first, int64_t n) {
  s->barred_at[0] = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t length = 0;
    const int32_t *items = j->ask->excluded.n > 0 ? rs_lists_at(&j->ask->excluded, first + i, &length) : NULL;
    if (length > 0) memcpy(s->barred + s->barred_at[i], items, (size_t)length * sizeof *items);
    if (length > 1) qsort(s->barred + s->barred_at[i], (size_t)length, sizeof *items, rising);
    s->barred_at[i + 1] = s->barred_at[i] + length;
  }
}

/* A query's best into the answer, through a heap, worst first. */
static void write_answer(job *j, const scratch *s, int64_t i, int64_t query) {
  int64_t *rows = j->rows + query * j->ask->k;
  float *scores = j->scores + query * j->ask->k;
  rs_best *best = &s->best[i];
  rs_best_keep(best, j->k);
  for (int64_t at = 0; at < best->n; at++) s->heap[at] = (rs_scored){best->scores[at], best->rows[at]};
  rs_scored_heap(s->heap, best->n);
  for (int64_t at = best->n; at < j->ask->k; at++) rows[at] = -1, scores[at] = -INFINITY;
  for (int64_t at = best->n - 1; at >= 0; at--) {
    rows[at] = s->heap[0].at;
    scores[at] = s->heap[0].score;
    rs_scored_sink(s->heap, at, 0, s->heap[at]);
  }
}

/* s->scores [BLOCK, TILE] of queries begin .. begin + n - 1 and items first .. first + tile - 1 that have columns. */
static void pick_tile(const job *j, scratch *s, int64_t begin, int64_t n, int64_t first, int64_t tile) {
  int64_t width = j->ask->width;
  for (int64_t i = 0; i < n; i++) {
    const float *rows = j->ask->users + (begin + i) * j->vectors * width;
    for (int64_t t = 0; t < tile; t++)
      s->scores[i * TILE + t] = rs_columns_score(rows, j->vectors, width, j->ask->columns[first + t]);
  }
}

/* The vectors of queries begin .. begin + n - 1 by blocks: the first ones of a block's all together, then the second
 * ones; zeros behind. */
static void lay_users(const job *j, scratch *s, int64_t begin, int64_t n) {
  int64_t width = j->ask->width, blocks = (n + BLOCK - 1) / BLOCK;
  memset(s->users, 0, (size_t)(blocks * j->vectors * BLOCK * width) * sizeof *s->users);
  for (int64_t i = 0; i < n; i++)
    for (int64_t v = 0; v < j->vectors; v++)
      memcpy(s->users + ((i / BLOCK * j->vectors + v) * BLOCK + i % BLOCK) * width,
             j->ask->users + ((begin + i) * j->vectors + v) * width, (size_t)width * sizeof *s->users);
}

/* The better of two scores; one that is not a number stays, so that it is named. */
RS_INLINE void better(float *scores, const float *others) {
  for (int i = 0; i < BLOCK * TILE; i++)
    scores[i] = others[i] > scores[i] || others[i] != others[i] ? others[i] : scores[i];
}
RS_WIDE static void better_wide(float *scores, const float *others) { better(scores, others); }

/* The products of a block's 'n' users with the panels. */
static void multiply_panels(const job *j, const scratch *s, const float *users, int64_t n, float *to) {
  int64_t width = j->ask->width;
  for (int64_t p = 0; p < PANELS; p++)
    rs_block_product(&(rs_block){.m = n,
                                 .n = PANEL,
                                 .k = width,
                                 .alpha = 1,
                                 .a = users,
                                 .a_row = width,
                                 .a_column = 1,
                                 .b = s->panels + p * width * PANEL,
                                 .ldb = PANEL,
                                 .c = to + p * PANEL,
                                 .ldc = TILE});
}

/* s->scores [BLOCK, TILE] of a block of users and a tile of items: by the best of each user's vectors. */
static void score_tile(const job *j, scratch *s, int64_t block, int64_t n, const float *items) {
  int64_t width = j->ask->width;
  for (int64_t v = 0; v < j->vectors; v++) {
    float *to = v == 0 ? s->scores : s->others;
    const float *users = s->users + (block * j->vectors + v) * BLOCK * width;
    if (j->own)
      multiply_panels(j, s, users, n, to);
    else
      rs_gemm_tile(RS_F32, false, true, BLOCK, TILE, width, 1, users, width, items, width, 0, to, TILE);
    if (v > 0) (rs_wide() ? better_wide : better)(s->scores, s->others);
  }
}

/* Items first .. of a whole tile, the last of which ends in zeros. */
static const float *tile_of(const job *j, scratch *s, int64_t first) {
  int64_t width = j->ask->width;
  bool last = first + j->tile > j->ask->n_items;
  const float *items = last ? j->items_end : j->ask->items + first * width;
  for (int64_t p = 0; j->own && p < PANELS; p++)
    rs_block_turn(s->panels + p * width * PANEL, PANEL, items + p * PANEL * width, width, PANEL, width);
  return items;
}

static void search_group(void *context, int64_t begin, int64_t end) {
  job *j = context;
  scratch *s = &j->scratches[rs_thread_index()];
  int64_t n = end - begin;
  uint64_t good[TILE / 64];
  if (!j->ask->columns) lay_users(j, s, begin, n);
  sort_barred(j, s, begin, n);
  for (int64_t i = 0; i < n; i++)
    s->best[i] = (rs_best){s->best_scores + i * j->room, s->best_rows + i * j->room, 0, -INFINITY};
  for (int64_t first = 0; first < j->ask->n_items; first += j->tile) {
    const float *items = j->ask->columns ? NULL : tile_of(j, s, first);
    int64_t tile = j->ask->n_items - first < j->tile ? j->ask->n_items - first : j->tile;
    for (int64_t block = 0; block * BLOCK < n; block++) {
      int64_t at = block * BLOCK, users = n - at < BLOCK ? n - at : BLOCK;
      if (items)
        score_tile(j, s, block, users, items);
      else
        pick_tile(j, s, begin + at, users, first, tile);
      for (int64_t i = at; i < at + users; i++) {
        const float *row = s->scores + (i - at) * TILE;
        if (rs_above(row, j->tile / 64, s->best[i].least, good)) take(j, s, begin + i, i, first, tile, row, good);
      }
    }
  }
  for (int64_t i = 0; i < n; i++) write_answer(j, s, i, begin + i);
}

static rs_status check_request(const rs_topk_request *ask) {
  int timed = (ask->item_time != NULL) + (ask->from != NULL) + (ask->to != NULL);
  if (ask->k < 1) return rs_fail(RS_EARG, "top-k: k is %lld; 1 or more items can be asked for", (long long)ask->k);
  if (ask->vectors < 0)
    return rs_fail(RS_EARG, "top-k: %lld vectors a user; 1 or more are expected", (long long)ask->vectors);
  if (ask->width < 1) return rs_fail(RS_ESHAPE, "top-k: users and items have no dimensions");
  if (ask->n_items > INT32_MAX || ask->queries > INT32_MAX)
    return rs_fail(RS_EARG, "top-k: %lld queries and %lld items; at most 2147483647 of each", (long long)ask->queries,
                   (long long)ask->n_items);
  if (timed != 0 && timed != 3) return rs_fail(RS_EARG, "top-k: item_time, from and to go together");
  if (ask->excluded.n != 0 && ask->excluded.n != ask->queries)
    return rs_fail(RS_ESHAPE, "top-k: %lld lists of excluded items for %lld queries", (long long)ask->excluded.n,
                   (long long)ask->queries);
  rs_status status = ask->columns ? rs_columns_check(ask->columns, ask->n_items, ask->width) : RS_OK;
  return status == RS_OK ? rs_lists_check(&ask->excluded, "excluded items", ask->n_items) : status;
}

/* The most excluded items that a group has together. */
static int64_t most_barred(const rs_topk_request *ask, int64_t group) {
  int64_t most = 0;
  for (int64_t begin = 0; begin < ask->excluded.n; begin += group) {
    int64_t sum = 0;
    for (int64_t i = begin; i < begin + group && i < ask->excluded.n; i++) sum += ask->excluded.lengths[i];
    if (sum > most) most = sum;
  }
  return most;
}

static rs_status fill_scratch(scratch *s, const job *j, int64_t barred) {
  size_t users = j->ask->columns ? 1 : (size_t)(j->group * j->vectors * j->ask->width) * sizeof *s->users;
  size_t panels = (size_t)(PANELS * PANEL * j->ask->width) * sizeof *s->panels;
  size_t best = (size_t)(j->group * j->room) * sizeof(float), tile = BLOCK * TILE * sizeof *s->scores;
  s->users = rs_alloc(users);
  s->panels = j->own ? rs_alloc(panels) : NULL;
  s->scores = rs_alloc_zero(tile); /* 'better' looks at all of it */
  s->others = j->vectors > 1 ? rs_alloc_zero(tile) : NULL;
  s->best = rs_alloc((size_t)j->group * sizeof *s->best);
  s->best_scores = rs_alloc(best);
  s->best_rows = rs_alloc(best);
  s->heap = rs_alloc((size_t)j->k * sizeof *s->heap);
  s->barred = rs_alloc((size_t)barred * sizeof *s->barred);
  s->barred_at = rs_alloc((size_t)(j->group + 1) * sizeof *s->barred_at);
  bool fits = s->users && s->scores && (s->panels || !j->own) && (s->others || j->vectors == 1) && s->best &&
              s->best_scores && s->best_rows && s->heap && s->barred && s->barred_at;
  return fits ? RS_OK : rs_nomem("top-k", users + panels + 2 * best);
}

static void free_scratches(job *j) {
  for (int t = 0; j->scratches && t < j->threads; t++) {
    scratch *s = &j->scratches[t];
    void *blocks[] = {s->users,       s->panels,    s->scores, s->others, s->best,
                      s->best_scores, s->best_rows, s->heap,   s->barred, s->barred_at};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) rs_free(blocks[i]);
  }
  rs_free(j->scratches);
}

/* The items of the last, incomplete tile and zeros; nothing to speak of where items have columns. */
static float *copy_end(const job *j) {
  const rs_topk_request *ask = j->ask;
  if (ask->columns) return rs_alloc(sizeof(float));
  int64_t whole = ask->n_items / j->tile * j->tile;
  float *end = rs_alloc_zero((size_t)(TILE * ask->width) * sizeof *end);
  if (end && whole < ask->n_items)
    memcpy(end, ask->items + whole * ask->width, (size_t)((ask->n_items - whole) * ask->width) * sizeof *end);
  return end;
}

/* Groups of queries: large ones share turned items among more users, but each thread shall have some. */
static int64_t group_of(const job *j) {
  int64_t share = j->ask->queries / (4 * (int64_t)j->threads), whole = (share + BLOCK - 1) / BLOCK * BLOCK;
  return !j->own || whole < BLOCK ? BLOCK : whole > GROUP ? GROUP : whole;
}

static rs_status run(job *j, float *end) {
  if (!end) return rs_nomem("top-k", (size_t)(TILE * j->ask->width) * sizeof *end);
  j->items_end = end;
  j->scratches = rs_alloc_zero((size_t)j->threads * sizeof *j->scratches);
  rs_status status = j->scratches ? RS_OK : rs_nomem("top-k", (size_t)j->threads * sizeof *j->scratches);
  int64_t barred = most_barred(j->ask, j->group);
  for (int t = 0; status == RS_OK && t < j->threads; t++) status = fill_scratch(&j->scratches[t], j, barred);
  if (status == RS_OK) rs_parallel_for(j->ask->queries, j->group, search_group, j);
  free_scratches(j);
  if (status == RS_OK && j->bad != INT64_MAX)
    status = rs_fail(RS_ENUMERIC, "top-k: the score of item row %lld for query %lld is not a finite number",
                     (long long)(j->bad & 0x7FFFFFFF), (long long)(j->bad >> 32));
  return status;
}

rs_status rs_topk(rs_tensor *rows, rs_tensor *scores, const rs_topk_request *request) {
  *rows = *scores = (rs_tensor){0};
  rs_status status = check_request(request);
  if (status == RS_OK) status = rs_tensor_new(rows, RS_I64, 2, (int64_t[]){request->queries, request->k});
  if (status == RS_OK) status = rs_tensor_new(scores, RS_F32, 2, (int64_t[]){request->queries, request->k});
  if (status == RS_OK) {
    job j = {.ask = request, .bad = INT64_MAX, .rows = rs_i64(rows), .scores = rs_f32(scores)};
    j.vectors = request->vectors > 1 ? request->vectors : 1;
    j.k = request->k < request->n_items ? request->k : request->n_items;
    j.room = rs_best_room(j.k);
    j.threads = rs_threads();
    j.own = rs_block_fast() && !request->columns;
    j.tile = j.own ? PANELS * PANEL : TILE;
    j.group = group_of(&j);
    float *end = copy_end(&j);
    status = run(&j, end);
    rs_free(end);
  }
  if (status != RS_OK) {
    rs_tensor_free(rows);
    rs_tensor_free(scores);
  }
  return status;
}
