/* ranking_run.c - the answers: scores in, per query the tie groups of its relevant items, from these all metrics.
 * See ranking.h.
 *
 * Each thread has its scratch, allocated before the loop; a body writes only its own queries' cells, and coverage's
 * sums of whole numbers. A score that is not finite is noted by the smallest (query, item) seen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "metrics/ranking_parts.h"
#include "metrics/scan.h"
#include "metrics/tied.h"
#include "tensor/gemm.h"

/* A relevant item that is a candidate. */
typedef struct answer {
  float score, gain;
  int64_t slot; /* in rs_ranked's greater and equal */
} answer;

typedef struct scratch {
  float *row;     /* [items] the scores of one query's window, by position */
  int32_t *stamp; /* [items] query + 1 where the query excludes the item, or where its list lacks it */
  int32_t *named; /* [items] query + 1 where the query's list of candidates has the item; NULL without such lists */
  answer *answers;
  rs_tie_group *groups;
  float *thresholds, *gains;
  int64_t *greater, *equal;
  rs_scored *best;
} scratch;

typedef struct job {
  const rs_ranking *r;
  rs_ranked *out;
  scratch *scratches; /* [threads] */
  int threads;
  int64_t bad; /* the smallest query << 32 | item row whose score is not finite; INT64_MAX: none */
  /* of rs_ranking_rows */
  int64_t first, stride;
  const float *scores;
  const int32_t *column_of; /* [items]; NULL: an item's scores stand by its row */
  /* of rs_ranking_factors */
  const float *users, *items;
  int64_t vectors, width, block;
  const int32_t *order; /* [queries] */
  float *panels;        /* [threads, block, width + columns + TILE] */
  int64_t columns;
} job;

static void free_scratches(job *j) {
  for (int t = 0; j->scratches && t < j->threads; t++) {
    scratch *s = &j->scratches[t];
    void *blocks[] = {s->row, s->stamp, s->named, s->answers, s->groups, s->thresholds, s->gains, s->greater, s->equal, s->best};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) rs_free(blocks[i]);
  }
  rs_free(j->scratches);
}

static rs_status fill_scratch(scratch *s, const rs_ranking *r) {
  size_t items = (size_t)r->ask.items, longest = (size_t)r->longest;
  size_t best = r->most_k < r->ask.items ? (size_t)r->most_k + 1 : items;
  s->row = rs_alloc(items * sizeof *s->row);
  s->stamp = rs_alloc_zero(items * sizeof *s->stamp);
  s->named = r->ask.candidates.n > 0 ? rs_alloc_zero(items * sizeof *s->named) : NULL;
  s->answers = rs_alloc(longest * sizeof *s->answers);
  s->groups = rs_alloc(longest * sizeof *s->groups);
  s->thresholds = rs_alloc(longest * sizeof *s->thresholds);
  s->gains = rs_alloc(longest * sizeof *s->gains);
  s->greater = rs_alloc(longest * sizeof *s->greater);
  s->equal = rs_alloc(longest * sizeof *s->equal);
  s->best = rs_alloc(best * sizeof *s->best);
  bool fits = s->row && s->stamp && s->answers && s->groups && s->thresholds && s->gains && s->greater && s->equal &&
              s->best && (s->named || r->ask.candidates.n == 0);
  return fits ? RS_OK : rs_nomem("ranking", items * (sizeof *s->row + sizeof *s->stamp));
}

static rs_status start(job *j) {
  j->bad = INT64_MAX;
  j->threads = rs_threads();
  j->scratches = rs_alloc_zero((size_t)j->threads * sizeof *j->scratches);
  if (!j->scratches) return rs_nomem("ranking", (size_t)j->threads * sizeof *j->scratches);
  rs_status status = RS_OK;
  for (int t = 0; status == RS_OK && t < j->threads; t++) status = fill_scratch(&j->scratches[t], j->r);
  return status;
}

static void note_bad(job *j, int64_t query, int64_t item) {
  int64_t mine = query << 32 | item, seen = __atomic_load_n(&j->bad, __ATOMIC_RELAXED);
  while (mine < seen && !__atomic_compare_exchange_n(&j->bad, &seen, mine, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

static rs_status finish(const job *j) {
  if (j->bad == INT64_MAX) return RS_OK;
  return rs_fail(RS_ENUMERIC, "ranking: the score of item row %lld for query %lld is not a finite number",
                 (long long)(j->bad & 0x7FFFFFFF), (long long)(j->bad >> 32));
}

/* Take the items that the query's list of candidates lacks out of the row; gives how many of them were in the window. */
static int64_t mask_unlisted(const rs_ranking *r, scratch *s, int64_t query, float *row, int64_t low, int64_t high) {
  if (r->ask.candidates.n == 0) return 0;
  int64_t n, masked = 0;
  const int32_t *items = rs_lists_at(&r->ask.candidates, query, &n);
  for (int64_t i = 0; i < n; i++) s->named[items[i]] = (int32_t)query + 1;
  for (int64_t p = low; p < high; p++) {
    int32_t item = item_at(r, p);
    if (s->named[item] == query + 1) continue;
    s->stamp[item] = (int32_t)query + 1;
    row[p - low] = -INFINITY;
    masked++;
  }
  return masked;
}

/* Take the excluded items out of the row; gives how many of them were in the window and not taken out yet. */
static int64_t mask_excluded(const rs_ranking *r, scratch *s, int64_t query, float *row, int64_t low, int64_t high) {
  if (r->ask.excluded.n == 0) return 0;
  int64_t n, masked = 0;
  const int32_t *items = rs_lists_at(&r->ask.excluded, query, &n);
  for (int64_t i = 0; i < n; i++) {
    int64_t p = position_of(r, items[i]);
    if (p < low || p >= high || s->stamp[items[i]] == query + 1) continue;
    s->stamp[items[i]] = (int32_t)query + 1;
    row[p - low] = -INFINITY;
    masked++;
  }
  return masked;
}

/* More scores than the masked ones are not finite: note the first of them. */
static void note_infinite(job *j, const scratch *s, int64_t query, const float *row, int64_t low, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int32_t item = item_at(j->r, low + i);
    if (isfinite(row[i]) || s->stamp[item] == query + 1) continue;
    note_bad(j, query, item);
  }
}

static int best_first(const void *a, const void *b) {
  float x = ((const answer *)a)->score, y = ((const answer *)b)->score;
  return (x < y) - (x > y);
}

/* The query's relevant candidates, best first; the others get -1 in greater and equal. */
static int64_t find_answers(const job *j, scratch *s, int64_t query, const float *row, int64_t low, int64_t high) {
  const rs_ranking *r = j->r;
  int64_t n, found = 0, *greater = rs_i64(&j->out->greater), *equal = rs_i64(&j->out->equal);
  const int32_t *items = rs_lists_at(&r->ask.relevant, query, &n);
  const float *gains = r->ask.gains ? r->ask.gains + r->ask.relevant.starts[query] : NULL;
  for (int64_t i = 0; i < n; i++) {
    int64_t p = position_of(r, items[i]), slot = r->answer_at[query] + i;
    greater[slot] = equal[slot] = -1;
    if (p >= low && p < high && s->stamp[items[i]] != query + 1)
      s->answers[found++] = (answer){row[p - low], gains ? gains[i] : 1, slot};
  }
  qsort(s->answers, (size_t)found, sizeof *s->answers, best_first);
  return found;
}

/* Count the answers' ranks; gives the number of tie groups and the share of answers that tie with another item. */
static int64_t group_answers(const job *j, scratch *s, int64_t found, const float *row, int64_t n, double *tie_share) {
  int64_t groups = 0, tied = 0;
  for (int64_t i = 0; i < found; i++) {
    const answer *a = &s->answers[i];
    if (i == 0 || a->score != s->thresholds[groups - 1]) {
      s->thresholds[groups] = a->score;
      s->groups[groups++] = (rs_tie_group){0};
    }
    s->groups[groups - 1].relevant++;
    s->groups[groups - 1].gain += (double)a->gain;
  }
  rs_scan_count(row, n, s->thresholds, groups, s->greater, s->equal);
  for (int64_t g = 0, i = 0; g < groups; g++) {
    s->groups[g].greater = s->greater[g];
    s->groups[g].size = s->equal[g];
    if (s->equal[g] > 1) tied += s->groups[g].relevant;
    for (int64_t end = i + s->groups[g].relevant; i < end; i++) {
      rs_i64(&j->out->greater)[s->answers[i].slot] = s->greater[g];
      rs_i64(&j->out->equal)[s->answers[i].slot] = s->equal[g];
    }
  }
  *tie_share = found > 0 ? (double)tied / (double)found : 0;
  return groups;
}

static int falling(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x < y) - (x > y);
}

/* The graded DCG of the best order of the relevant items. */
static double ideal_graded(const rs_ranking *r, scratch *s, int64_t query, int64_t k) {
  int64_t n;
  double sum = 0;
  rs_lists_at(&r->ask.relevant, query, &n);
  memcpy(s->gains, r->ask.gains + r->ask.relevant.starts[query], (size_t)n * sizeof *s->gains);
  qsort(s->gains, (size_t)n, sizeof *s->gains, falling);
  for (int64_t i = 0; i < n && i < k; i++) sum += (double)s->gains[i] * (r->discounts[i + 1] - r->discounts[i]);
  return sum;
}

/* All metrics of one query into its cells; the order of columns is rs_ranking_column_name's. */
static void measure(const job *j, scratch *s, int64_t query, const rs_outcome *o, double tie_share) {
  const rs_ranking *r = j->r;
  int64_t queries = r->ask.queries;
  double *cell = rs_f64(&j->out->metrics) + query;
  for (int64_t i = 0; i < r->ask.n_k; i++) {
    int64_t k = r->ask.k[i], ideal = k < o->relevant ? k : o->relevant;
    double found = rs_tied_found(o, k);
    double values[] = {rs_tied_hit(o, k), found / (double)o->relevant, found / (double)k,
                       rs_tied_dcg(o, k, r->discounts) / r->discounts[ideal], rs_tied_average_precision(o, k)};
    for (size_t m = 0; m < 5; m++, cell += queries) *cell = values[m];
    if (!r->ask.gains) continue;
    *cell = rs_tied_graded_dcg(o, k, r->discounts) / ideal_graded(r, s, query, k);
    cell += queries;
  }
  double whole[] = {rs_tied_reciprocal_rank(o), rs_tied_auc(o), tie_share};
  for (size_t m = 0; m < 3; m++, cell += queries) *cell = whole[m];
}

static void measure_nothing(const job *j, int64_t query) {
  double *cell = rs_f64(&j->out->metrics) + query;
  for (int64_t c = 0; c < rs_ranking_columns(j->r); c++, cell += j->r->ask.queries) *cell = NAN;
}

/* Rank one query by its window's scores, row[0] being position 'low'; the row is scratch and gets masked. */
static void rank_query(job *j, scratch *s, int64_t query, float *row, int64_t low, int64_t high) {
  const rs_ranking *r = j->r;
  int64_t n = high - low, masked = mask_unlisted(r, s, query, row, low, high);
  masked += mask_excluded(r, s, query, row, low, high);
  j->out->scored[query] = 1;
  rs_i64(&j->out->candidates)[query] = n - masked;
  if (rs_scan_infinite(row, n) != masked) {
    note_infinite(j, s, query, row, low, n);
    return;
  }
  int64_t found = find_answers(j, s, query, row, low, high);
  double tie_share;
  int64_t groups = group_answers(j, s, found, row, n, &tie_share);
  rs_outcome outcome = {n - masked, r->ask.relevant.lengths[query], s->groups, groups};
  if (outcome.relevant > 0)
    measure(j, s, query, &outcome, tie_share);
  else
    measure_nothing(j, query);
  if (r->ask.coverage) {
    int64_t best = rs_scan_best(row, n, r->most_k + 1 < n ? r->most_k + 1 : n, s->best);
    rs_coverage_add(&j->out->coverage, row, n, s->best, best, low);
  }
}

static void rank_rows(void *context, int64_t begin, int64_t end) {
  job *j = context;
  scratch *s = &j->scratches[rs_thread_index()];
  for (int64_t i = begin; i < end; i++) {
    int64_t query = j->first + i, low = window_low(j->r, query), high = window_high(j->r, query);
    const float *scores = j->scores + i * j->stride;
    if (j->column_of)
      for (int64_t p = low; p < high; p++) s->row[p - low] = scores[j->column_of[item_at(j->r, p)]];
    else if (j->r->item_at)
      for (int64_t p = low; p < high; p++) s->row[p - low] = scores[j->r->item_at[p]];
    else
      memcpy(s->row, scores, (size_t)(high - low) * sizeof *scores);
    rank_query(j, s, query, s->row, low, high);
  }
}

static rs_status check_columns(const rs_ranking *r, const int32_t *columns, int64_t width) {
  for (int64_t i = 0; columns && i < r->ask.items; i++)
    if (columns[i] < 0 || columns[i] >= width)
      return rs_fail(RS_ERANGE, "ranking: column %ld of item row %lld is outside 0..%lld", (long)columns[i],
                     (long long)i, (long long)width - 1);
  return RS_OK;
}

rs_status rs_ranking_rows(const rs_ranking *r, rs_ranked *ranked, int64_t first, int64_t n, const float *scores,
                          int64_t stride, const int32_t *columns) {
  if (first < 0 || n < 0 || n > r->ask.queries - first)
    return rs_fail(RS_ERANGE, "ranking: scores for queries %lld..%lld of %lld", (long long)first,
                   (long long)(first + n - 1), (long long)r->ask.queries);
  job j = {.r = r, .out = ranked, .first = first, .stride = stride, .scores = scores, .column_of = columns};
  rs_status status = check_columns(r, columns, stride);
  if (status != RS_OK) return status;
  status = start(&j);
  if (status == RS_OK) {
    rs_parallel_for(n, 16, rank_rows, &j);
    status = finish(&j);
  }
  free_scratches(&j);
  return status;
}

/* Columns of a product are cut into tiles of TILE from position 0, the last one padded with items of zeros, and its
 * rows into blocks padded with users of zeros: every tile is the same call, so items with equal vectors get equal
 * scores wherever they stand, and a query's scores do not depend on the others in its block. A tile's items lie side by
 * side, [width, TILE], as the product reads them; 240 of them fill the registers of both widths (tensor/block.h). */
enum { TILE = 240 };

static int64_t padded(int64_t n) { return (n + TILE - 1) / TILE * TILE; }

/* The queries of block b, and the tiles that their windows touch as positions low .. high - 1. */
static int64_t block_span(const job *j, int64_t b, int64_t *low, int64_t *high) {
  int64_t begin = b * j->block, n = j->r->ask.queries - begin;
  if (n > j->block) n = j->block;
  *low = j->r->ask.items;
  *high = 0;
  for (int64_t i = begin; i < begin + n; i++) {
    int64_t first = window_low(j->r, j->order[i]), last = window_high(j->r, j->order[i]);
    if (first == last) continue;
    if (first < *low) *low = first;
    if (last > *high) *high = last;
  }
  if (*low > *high) *low = *high;
  *low = *low / TILE * TILE;
  *high = padded(*high);
  return n;
}

/* The v-th vectors of a block's queries, zeros behind. */
static void lay_users(const job *j, const int32_t *queries, int64_t n, int64_t v, float *users) {
  memset(users, 0, (size_t)(j->block * j->width) * sizeof *users);
  for (int64_t i = 0; i < n; i++)
    memcpy(users + i * j->width, j->users + (queries[i] * j->vectors + v) * j->width, (size_t)j->width * sizeof *users);
}

/* Scores of the tile that begins at position p into 'to' [block, columns]: with 'room' [block, TILE] where they are
 * better than what is there. One that is not a number stays, so that it is named. */
static void score_tile(const job *j, const float *users, int64_t p, float *room, float *to) {
  rs_gemm_tile(RS_F32, false, false, j->block, TILE, j->width, 1, users, j->width, j->items + p * j->width, TILE, 0,
               room ? room : to, room ? TILE : j->columns);
  for (int64_t i = 0; room && i < j->block; i++)
    for (int64_t c = 0; c < TILE; c++) {
      float score = room[i * TILE + c], *best = &to[i * j->columns + c];
      *best = score > *best || score != score ? score : *best;
    }
}

static void rank_block(void *context, int64_t begin, int64_t end) {
  job *j = context;
  float *users = j->panels + rs_thread_index() * j->block * (j->width + j->columns + TILE);
  float *scores = users + j->block * j->width, *tile = scores + j->block * j->columns;
  for (int64_t b = begin; b < end; b++) {
    int64_t low, high, n = block_span(j, b, &low, &high);
    const int32_t *queries = j->order + b * j->block;
    for (int64_t v = 0; v < j->vectors; v++) {
      lay_users(j, queries, n, v, users);
      for (int64_t p = low; p < high; p += TILE)
        score_tile(j, users, p, v == 0 ? NULL : tile, scores + p - low);
    }
    for (int64_t i = 0; i < n; i++) {
      int64_t first = window_low(j->r, queries[i]), last = window_high(j->r, queries[i]);
      float *row = scores + i * j->columns + (first == last ? 0 : first - low);
      rank_query(j, &j->scratches[rs_thread_index()], queries[i], row, first, last);
    }
  }
}

typedef struct span {
  int32_t low, query;
} span;

static int by_low(const void *a, const void *b) {
  const span *x = a, *y = b;
  if (x->low != y->low) return x->low < y->low ? -1 : 1;
  return (x->query > y->query) - (x->query < y->query);
}

/* Queries whose windows begin alike share a block. */
static rs_status order_queries(const rs_ranking *r, int32_t *order) {
  int64_t queries = r->ask.queries;
  span *spans = rs_alloc((size_t)queries * sizeof *spans);
  if (!spans) return rs_nomem("ranking", (size_t)queries * sizeof *spans);
  for (int64_t q = 0; q < queries; q++) spans[q] = (span){(int32_t)window_low(r, q), (int32_t)q};
  if (r->low) qsort(spans, (size_t)queries, sizeof *spans, by_low);
  for (int64_t q = 0; q < queries; q++) order[q] = spans[q].query;
  rs_free(spans);
  return RS_OK;
}

/* Tiles of the items in order of position, with items of zeros up to a whole tile. */
static float *lay_items(const job *j, const float *items) {
  int64_t n = j->r->ask.items, width = j->width;
  float *out = rs_alloc_zero((size_t)(padded(n) * width) * sizeof *out);
  for (int64_t p = 0; out && p < n; p++) {
    float *column = out + p / TILE * TILE * width + p % TILE;
    const float *item = items + item_at(j->r, p) * width;
    for (int64_t d = 0; d < width; d++) column[d * TILE] = item[d];
  }
  return out;
}

static rs_status rank_blocks(job *j, int64_t blocks) {
  for (int64_t b = 0; b < blocks; b++) {
    int64_t low, high;
    block_span(j, b, &low, &high);
    if (high - low > j->columns) j->columns = high - low;
  }
  size_t bytes = (size_t)(j->threads * j->block * (j->width + j->columns + TILE)) * sizeof *j->panels;
  j->panels = rs_alloc(bytes);
  if (!j->panels) return rs_nomem("ranking", bytes);
  rs_parallel_for(blocks, 1, rank_block, j);
  rs_free(j->panels);
  return finish(j);
}

rs_status rs_ranking_factors(const rs_ranking *r, rs_ranked *ranked, const float *users, const float *items,
                             int64_t vectors, int64_t width) {
  if (width < 1 || vectors < 1) return rs_fail(RS_ESHAPE, "ranking: users and items have no dimensions");
  job j = {.r = r, .out = ranked, .users = users, .vectors = vectors, .width = width};
  j.block = r->ask.items > 131072 ? 16 : 32;
  int64_t queries = r->ask.queries;
  int32_t *order = rs_alloc((size_t)queries * sizeof *order);
  float *laid = lay_items(&j, items);
  rs_status status =
      order && laid ? start(&j) : rs_nomem("ranking", (size_t)r->ask.items * (size_t)width * sizeof *laid);
  if (status == RS_OK) status = order_queries(r, order);
  j.order = order;
  j.items = laid;
  if (status == RS_OK) status = rank_blocks(&j, (queries + j.block - 1) / j.block);
  free_scratches(&j);
  rs_free(order);
  rs_free(laid);
  return status;
}
