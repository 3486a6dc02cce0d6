/* topk.c - see topk.h.
 *
 * A user's best so far are a heap with the worst on top. Items come in rising order of rows, so that an equal score
 * never displaces an earlier row; whether a good score belongs to a candidate is asked last, as few scores are good. */
#include "retrieval/topk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/scored.h"
#include "base/wide.h"
#include "tensor/gemm.h"

enum { TILE = RS_TOPK_TILE, BLOCK = RS_GEMM_ROWS };

/* What a thread works with. */
typedef struct scratch {
  float *users;       /* [vectors, BLOCK, width] */
  float *scores;      /* [BLOCK, TILE] */
  float *others;      /* [BLOCK, TILE] by a further vector */
  rs_scored *heaps;   /* [BLOCK, k] */
  int32_t *barred;    /* the block's excluded items, sorted per query */
  int64_t *barred_at; /* [BLOCK + 1] where each query's begin */
} scratch;

typedef struct job {
  const rs_topk_request *ask;
  const float *tail; /* [TILE, width]: the last items, padded with zeros */
  scratch *scratches;
  int threads;
  int64_t vectors; /* of each user */
  int64_t k;   /* of the heaps: no more than there are items */
  int64_t bad; /* the smallest query << 32 | item row whose score is not finite; INT64_MAX: none */
  int64_t *rows;
  float *scores;
} job;

/* How many of a tile's scores are above 'least', or are not finite. */
RS_INLINE int32_t interesting(const float *row, float least) {
  int32_t count = 0;
  for (int i = 0; i < TILE; i++) {
    uint32_t bits;
    memcpy(&bits, &row[i], sizeof bits);
    count += (row[i] > least) | ((bits & 0x7F800000u) == 0x7F800000u);
  }
  return count;
}
RS_WIDE static int32_t interesting_wide(const float *row, float least) { return interesting(row, least); }

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

/* Take one query's scores of items first .. first + n - 1 into its heap; gives the heap's size. */
static int64_t take(job *j, const scratch *s, int64_t query, int64_t i, int64_t size, int64_t first, int64_t n) {
  const float *row = s->scores + i * TILE;
  rs_scored *heap = s->heaps + i * j->k;
  for (int64_t t = 0; t < n; t++) {
    bool finite = isfinite(row[t]);
    if (finite && size == j->k && !(row[t] > heap[0].score)) continue;
    if (!is_candidate(j, s, query, i, (int32_t)(first + t))) continue;
    rs_scored entry = {row[t], (int32_t)(first + t)};
    if (!finite)
      note_bad(j, query, first + t);
    else if (size == j->k)
      rs_scored_sink(heap, size, 0, entry);
    else if ((heap[size++] = entry, size == j->k))
      rs_scored_heap(heap, size);
  }
  return size;
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

/* Empty the heap into the answer, worst first. */
static void write_answer(job *j, rs_scored *heap, int64_t size, int64_t query) {
  int64_t *rows = j->rows + query * j->ask->k;
  float *scores = j->scores + query * j->ask->k;
  if (size < j->k) rs_scored_heap(heap, size);
  for (int64_t at = size; at < j->ask->k; at++) rows[at] = -1, scores[at] = -INFINITY;
  for (int64_t at = size - 1; at >= 0; at--) {
    rows[at] = heap[0].at;
    scores[at] = heap[0].score;
    rs_scored_sink(heap, at, 0, heap[at]);
  }
}

/* The vectors of queries begin .. begin + n - 1, the first ones of all together, then the second ones; zeros behind. */
static void lay_users(const job *j, scratch *s, int64_t begin, int64_t n) {
  int64_t width = j->ask->width;
  memset(s->users, 0, (size_t)(j->vectors * BLOCK * width) * sizeof *s->users);
  for (int64_t v = 0; v < j->vectors; v++)
    for (int64_t i = 0; i < n; i++)
      memcpy(s->users + (v * BLOCK + i) * width, j->ask->users + ((begin + i) * j->vectors + v) * width,
             (size_t)width * sizeof *s->users);
}

/* The better of two scores; one that is not a number stays, so that it is named. */
RS_INLINE void better(float *scores, const float *others) {
  for (int i = 0; i < BLOCK * TILE; i++)
    scores[i] = others[i] > scores[i] || others[i] != others[i] ? others[i] : scores[i];
}
RS_WIDE static void better_wide(float *scores, const float *others) { better(scores, others); }

/* s->scores [BLOCK, TILE] of a tile of items: by the best of each user's vectors. */
static void score_tile(const job *j, scratch *s, const float *items) {
  int64_t width = j->ask->width;
  for (int64_t v = 0; v < j->vectors; v++) {
    float *to = v == 0 ? s->scores : s->others;
    rs_gemm_tile(RS_F32, false, true, BLOCK, TILE, width, 1, s->users + v * BLOCK * width, width, items, width, 0, to,
                 TILE);
    if (v > 0) (rs_wide() ? better_wide : better)(s->scores, s->others);
  }
}

static void search_block(void *context, int64_t begin, int64_t end) {
  job *j = context;
  const rs_topk_request *ask = j->ask;
  scratch *s = &j->scratches[rs_thread_index()];
  int64_t n = end - begin, sizes[BLOCK] = {0}, whole = ask->n_items / TILE * TILE;
  bool fast = rs_wide();
  lay_users(j, s, begin, n);
  sort_barred(j, s, begin, n);
  for (int64_t first = 0; first < ask->n_items; first += TILE) {
    const float *items = first < whole ? ask->items + first * ask->width : j->tail;
    int64_t tile = ask->n_items - first < TILE ? ask->n_items - first : TILE;
    score_tile(j, s, items);
    for (int64_t i = 0; i < n; i++) {
      float least = sizes[i] == j->k ? s->heaps[i * j->k].score : -INFINITY;
      if ((fast ? interesting_wide : interesting)(s->scores + i * TILE, least) == 0) continue;
      sizes[i] = take(j, s, begin + i, i, sizes[i], first, tile);
    }
  }
  for (int64_t i = 0; i < n; i++) write_answer(j, s->heaps + i * j->k, sizes[i], begin + i);
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
  return rs_lists_check(&ask->excluded, "excluded items", ask->n_items);
}

/* The most excluded items that a block has together. */
static int64_t most_barred(const rs_topk_request *ask) {
  int64_t most = 0;
  for (int64_t begin = 0; begin < ask->excluded.n; begin += BLOCK) {
    int64_t sum = 0;
    for (int64_t i = begin; i < begin + BLOCK && i < ask->excluded.n; i++) sum += ask->excluded.lengths[i];
    if (sum > most) most = sum;
  }
  return most;
}

static rs_status fill_scratch(scratch *s, const job *j, int64_t barred) {
  size_t users = (size_t)(j->vectors * BLOCK * j->ask->width) * sizeof *s->users;
  size_t heaps = (size_t)(BLOCK * j->k) * sizeof *s->heaps, tile = BLOCK * TILE * sizeof *s->scores;
  s->users = rs_alloc(users);
  s->scores = rs_alloc(tile);
  s->others = j->vectors > 1 ? rs_alloc(tile) : NULL;
  s->heaps = rs_alloc(heaps);
  s->barred = rs_alloc((size_t)barred * sizeof *s->barred);
  s->barred_at = rs_alloc((BLOCK + 1) * sizeof *s->barred_at);
  bool fits = s->users && s->scores && (s->others || j->vectors == 1) && s->heaps && s->barred && s->barred_at;
  return fits ? RS_OK : rs_nomem("top-k", users + heaps);
}

static void free_scratches(job *j) {
  for (int t = 0; j->scratches && t < j->threads; t++) {
    scratch *s = &j->scratches[t];
    void *blocks[] = {s->users, s->scores, s->others, s->heaps, s->barred, s->barred_at};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) rs_free(blocks[i]);
  }
  rs_free(j->scratches);
}

/* The items of the last, incomplete tile and zeros. */
static float *copy_tail(const rs_topk_request *ask) {
  int64_t whole = ask->n_items / TILE * TILE;
  float *tail = rs_alloc_zero((size_t)(TILE * ask->width) * sizeof *tail);
  if (tail) memcpy(tail, ask->items + whole * ask->width, (size_t)((ask->n_items - whole) * ask->width) * sizeof *tail);
  return tail;
}

static rs_status run(job *j, float *tail) {
  if (!tail) return rs_nomem("top-k", (size_t)(TILE * j->ask->width) * sizeof *tail);
  j->tail = tail;
  j->threads = rs_threads();
  j->scratches = rs_alloc_zero((size_t)j->threads * sizeof *j->scratches);
  rs_status status = j->scratches ? RS_OK : rs_nomem("top-k", (size_t)j->threads * sizeof *j->scratches);
  int64_t barred = most_barred(j->ask);
  for (int t = 0; status == RS_OK && t < j->threads; t++) status = fill_scratch(&j->scratches[t], j, barred);
  if (status == RS_OK) rs_parallel_for(j->ask->queries, BLOCK, search_block, j);
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
    float *tail = copy_tail(request);
    status = run(&j, tail);
    rs_free(tail);
  }
  if (status != RS_OK) {
    rs_tensor_free(rows);
    rs_tensor_free(scores);
  }
  return status;
}
