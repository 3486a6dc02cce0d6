/* ranking.c - the question: checks, the order of items in time, the windows as runs of it, the names of the metrics.
 * See ranking.h. */
#include "metrics/ranking.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "metrics/ranking_parts.h"

static rs_status check_windows(const rs_question *ask) {
  int given = (ask->item_time != NULL) + (ask->from != NULL) + (ask->to != NULL);
  if (given != 0 && given != 3) return rs_fail(RS_EARG, "ranking: item_time, from and to go together");
  return RS_OK;
}

static rs_status check_cutoffs(const rs_question *ask) {
  if (ask->n_k < 1) return rs_fail(RS_EARG, "ranking: no cut-off k is given");
  for (int64_t i = 0; i < ask->n_k; i++) {
    if (ask->k[i] < 1) return rs_fail(RS_EARG, "ranking: cut-off %lld is below 1", (long long)ask->k[i]);
    for (int64_t j = 0; j < i; j++)
      if (ask->k[i] == ask->k[j]) return rs_fail(RS_EARG, "ranking: cut-off %lld is given twice", (long long)ask->k[i]);
  }
  return RS_OK;
}

static rs_status check_gains(const rs_question *ask) {
  if (!ask->gains) return RS_OK;
  for (int64_t i = 0; i < ask->relevant.n_values; i++)
    if (!(ask->gains[i] > 0 && isfinite(ask->gains[i])))
      return rs_fail(RS_ERANGE, "ranking: gain %g at %lld is not a positive number", (double)ask->gains[i],
                     (long long)i);
  return RS_OK;
}

static rs_status check_lists(const rs_question *ask) {
  if (ask->relevant.n != ask->queries)
    return rs_fail(RS_ESHAPE, "ranking: %lld lists of relevant items for %lld queries", (long long)ask->relevant.n,
                   (long long)ask->queries);
  if (ask->excluded.n != 0 && ask->excluded.n != ask->queries)
    return rs_fail(RS_ESHAPE, "ranking: %lld lists of excluded items for %lld queries", (long long)ask->excluded.n,
                   (long long)ask->queries);
  if (ask->candidates.n != 0 && ask->candidates.n != ask->queries)
    return rs_fail(RS_ESHAPE, "ranking: %lld lists of candidates for %lld queries", (long long)ask->candidates.n,
                   (long long)ask->queries);
  rs_status status = rs_lists_check(&ask->relevant, "relevant items", ask->items);
  if (status == RS_OK) status = rs_lists_check(&ask->excluded, "excluded items", ask->items);
  if (status == RS_OK) status = rs_lists_check(&ask->candidates, "candidates", ask->items);
  return status;
}

static rs_status check_question(const rs_question *ask) {
  if (ask->items < 0 || ask->items > INT32_MAX || ask->queries < 0 || ask->queries > INT32_MAX)
    return rs_fail(RS_EARG, "ranking: %lld queries and %lld items; at most 2147483647 of each", (long long)ask->queries,
                   (long long)ask->items);
  rs_status status = check_windows(ask);
  if (status == RS_OK) status = check_cutoffs(ask);
  if (status == RS_OK) status = check_lists(ask);
  if (status == RS_OK) status = check_gains(ask);
  return status;
}

/* No query may name a relevant item twice: it would be found twice. 'stamp' [items] starts as 0. */
static rs_status check_distinct(const rs_question *ask, int32_t *stamp) {
  for (int64_t q = 0; q < ask->queries; q++) {
    int64_t n;
    const int32_t *items = rs_lists_at(&ask->relevant, q, &n);
    for (int64_t i = 0; i < n; i++) {
      if (stamp[items[i]] == q + 1)
        return rs_fail(RS_EARG, "ranking: query %lld names item row %d as relevant twice", (long long)q, (int)items[i]);
      stamp[items[i]] = (int32_t)q + 1;
    }
  }
  return RS_OK;
}

typedef struct timed {
  int64_t time;
  int32_t item;
} timed;

static int earlier(const void *a, const void *b) {
  const timed *x = a, *y = b;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  return (x->item > y->item) - (x->item < y->item);
}

/* The first position whose time is not before 't'. */
static int32_t first_at(const timed *order, int64_t n, int64_t t) {
  int64_t at = 0;
  while (n > 0) {
    int64_t half = n / 2;
    if (order[at + half].time < t) {
      at += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return (int32_t)at;
}

static void lay_out(rs_ranking *r, timed *order) {
  const rs_question *ask = &r->ask;
  for (int64_t i = 0; i < ask->items; i++) order[i] = (timed){ask->item_time[i], (int32_t)i};
  qsort(order, (size_t)ask->items, sizeof *order, earlier);
  for (int64_t p = 0; p < ask->items; p++) {
    r->item_at[p] = order[p].item;
    r->position_of[order[p].item] = (int32_t)p;
  }
  for (int64_t q = 0; q < ask->queries; q++) {
    int32_t low = first_at(order, ask->items, ask->from[q]), high = first_at(order, ask->items, ask->to[q]);
    r->low[q] = low;
    r->high[q] = high > low ? high : low;
  }
}

static rs_status set_windows(rs_ranking *r) {
  size_t items = (size_t)r->ask.items, queries = (size_t)r->ask.queries;
  if (!r->ask.item_time) return RS_OK;
  timed *order = rs_alloc(items * sizeof *order);
  r->item_at = rs_alloc(items * sizeof *r->item_at);
  r->position_of = rs_alloc(items * sizeof *r->position_of);
  r->low = rs_alloc(queries * sizeof *r->low);
  r->high = rs_alloc(queries * sizeof *r->high);
  bool fits = order && r->item_at && r->position_of && r->low && r->high;
  if (fits) lay_out(r, order);
  rs_free(order);
  return fits ? RS_OK : rs_nomem("ranking", items * sizeof *order + queries * 2 * sizeof *r->low);
}

static rs_status set_answers(rs_ranking *r) {
  int64_t queries = r->ask.queries;
  r->answer_at = rs_alloc((size_t)(queries + 1) * sizeof *r->answer_at);
  if (!r->answer_at) return rs_nomem("ranking", (size_t)(queries + 1) * sizeof *r->answer_at);
  r->answer_at[0] = 0;
  for (int64_t q = 0; q < queries; q++) {
    int64_t length = r->ask.relevant.lengths[q];
    r->answer_at[q + 1] = r->answer_at[q] + length;
    if (length > r->longest) r->longest = length;
  }
  return RS_OK;
}

static rs_status set_discounts(rs_ranking *r) {
  for (int64_t i = 0; i < r->ask.n_k; i++)
    if (r->ask.k[i] > r->most_k) r->most_k = r->ask.k[i];
  int64_t n = r->most_k < r->ask.items ? r->most_k : r->ask.items;
  r->discounts = rs_alloc((size_t)(n + 1) * sizeof *r->discounts);
  if (!r->discounts) return rs_nomem("ranking", (size_t)(n + 1) * sizeof *r->discounts);
  r->discounts[0] = 0;
  for (int64_t i = 1; i <= n; i++) r->discounts[i] = r->discounts[i - 1] + 1 / log2(1.0 + (double)i);
  return RS_OK;
}

/* The items that some query's list names, that its window holds and that it does not exclude; 'stamp' as below. */
static void count_listed(rs_ranking *r, int32_t *stamp, int64_t *times) {
  for (int64_t q = 0; q < r->ask.queries; q++) {
    int64_t n, barred = 0;
    const int32_t *items = NULL;
    if (r->ask.excluded.n > 0) items = rs_lists_at(&r->ask.excluded, q, &barred);
    for (int64_t i = 0; i < barred; i++) stamp[items[i]] = (int32_t)q + 1;
    items = rs_lists_at(&r->ask.candidates, q, &n);
    for (int64_t i = 0; i < n; i++) {
      int64_t p = position_of(r, items[i]);
      if (stamp[items[i]] != q + 1 && p >= window_low(r, q) && p < window_high(r, q)) times[p] = 1;
    }
  }
  for (int64_t p = 0; p < r->ask.items; p++) r->candidates += times[p];
}

/* Per item: the queries whose window holds it, less those that exclude it. 'stamp' [items] and 'times' [items + 1]
 * start as 0. */
static void count_candidates(rs_ranking *r, int32_t *stamp, int64_t *times) {
  const rs_question *ask = &r->ask;
  r->candidates = 0;
  if (ask->candidates.n > 0) {
    count_listed(r, stamp, times);
    return;
  }
  for (int64_t q = 0; q < ask->queries; q++) {
    times[window_low(r, q)]++;
    times[window_high(r, q)]--;
  }
  for (int64_t p = 1; p <= ask->items; p++) times[p] += times[p - 1];
  for (int64_t q = 0; q < ask->excluded.n; q++) {
    int64_t n;
    const int32_t *items = rs_lists_at(&ask->excluded, q, &n);
    for (int64_t i = 0; i < n; i++) {
      int64_t p = position_of(r, items[i]);
      if (stamp[items[i]] == q + 1 || p < window_low(r, q) || p >= window_high(r, q)) continue;
      stamp[items[i]] = (int32_t)q + 1;
      times[p]--;
    }
  }
  for (int64_t p = 0; p < ask->items; p++) r->candidates += times[p] > 0;
}

static rs_status check_and_count(rs_ranking *r) {
  size_t items = (size_t)r->ask.items;
  int32_t *stamp = rs_alloc_zero(items * sizeof *stamp);
  int64_t *times = rs_alloc_zero((items + 1) * sizeof *times);
  rs_status status = stamp && times ? RS_OK : rs_nomem("ranking", items * (sizeof *stamp + sizeof *times));
  if (status == RS_OK) status = check_distinct(&r->ask, stamp);
  if (status == RS_OK && r->ask.coverage) {
    memset(stamp, 0, items * sizeof *stamp);
    count_candidates(r, stamp, times);
  }
  rs_free(stamp);
  rs_free(times);
  return status;
}

rs_status rs_ranking_new(rs_ranking **out, const rs_question *question) {
  *out = NULL;
  rs_status status = check_question(question);
  if (status != RS_OK) return status;
  rs_ranking *r = rs_alloc_zero(sizeof *r);
  if (!r) return rs_nomem("ranking", sizeof *r);
  r->ask = *question;
  r->candidates = -1;
  status = set_windows(r);
  if (status == RS_OK) status = set_answers(r);
  if (status == RS_OK) status = set_discounts(r);
  if (status == RS_OK) status = check_and_count(r);
  if (status == RS_OK)
    *out = r;
  else
    rs_ranking_free(r);
  return status;
}

void rs_ranking_free(rs_ranking *r) {
  if (!r) return;
  rs_free(r->item_at);
  rs_free(r->position_of);
  rs_free(r->low);
  rs_free(r->high);
  rs_free(r->answer_at);
  rs_free(r->discounts);
  rs_free(r);
}

static const char *const AT_K[] = {"hit", "recall", "precision", "ndcg", "map", "graded_ndcg"};
static const char *const WHOLE[] = {"mrr", "auc", "tie_share"};

static int64_t per_k(const rs_ranking *r) { return r->ask.gains ? 6 : 5; }

int64_t rs_ranking_columns(const rs_ranking *r) { return r->ask.n_k * per_k(r) + 3; }

void rs_ranking_column_name(const rs_ranking *r, int64_t column, char name[RS_METRIC_NAME]) {
  int64_t at_k = r->ask.n_k * per_k(r);
  if (column < at_k)
    snprintf(name, RS_METRIC_NAME, "%s_%lld", AT_K[column % per_k(r)], (long long)r->ask.k[column / per_k(r)]);
  else
    snprintf(name, RS_METRIC_NAME, "%s", WHOLE[column - at_k]);
}

int64_t rs_ranking_candidates(const rs_ranking *r) { return r->candidates; }

rs_status rs_ranked_new(rs_ranked *out, const rs_ranking *r) {
  const rs_question *ask = &r->ask;
  int64_t answers = r->answer_at[ask->queries];
  *out = (rs_ranked){0};
  rs_status status = rs_tensor_zeros(&out->metrics, RS_F64, 2, (int64_t[]){rs_ranking_columns(r), ask->queries});
  if (status == RS_OK) status = rs_tensor_zeros(&out->candidates, RS_I64, 1, &ask->queries);
  if (status == RS_OK) status = rs_tensor_zeros(&out->greater, RS_I64, 1, &answers);
  if (status == RS_OK) status = rs_tensor_zeros(&out->equal, RS_I64, 1, &answers);
  if (status == RS_OK && ask->coverage) status = rs_coverage_new(&out->coverage, ask->items, ask->k, ask->n_k);
  if (status == RS_OK && !(out->scored = rs_alloc_zero((size_t)ask->queries)))
    status = rs_nomem("ranking", (size_t)ask->queries);
  if (status != RS_OK) rs_ranked_free(out);
  return status;
}

void rs_ranked_free(rs_ranked *ranked) {
  rs_tensor_free(&ranked->metrics);
  rs_tensor_free(&ranked->candidates);
  rs_tensor_free(&ranked->greater);
  rs_tensor_free(&ranked->equal);
  rs_coverage_free(&ranked->coverage);
  rs_free(ranked->scored);
  *ranked = (rs_ranked){0};
}

rs_status rs_ranked_check(const rs_ranked *ranked) {
  int64_t queries = ranked->candidates.size[0];
  for (int64_t q = 0; q < queries; q++)
    if (!ranked->scored[q])
      return rs_fail(RS_EARG, "ranking: query %lld of %lld was not scored", (long long)q, (long long)queries);
  return RS_OK;
}
