/* ranking_test.c - full ranking against the definitions, on cases with windows, exclusions, repetitions and empties. */
#include "metrics/ranking.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"

enum { ITEMS = 700, QUERIES = 150, ANSWERS = 4, BARRED = 30, LISTED = 40, WIDTH = 3, KS = 3 };

/* A case drawn at random; 'values' distinct scores at most, so few of them make ties. */
typedef struct example {
  int64_t items, queries;
  int64_t item_time[ITEMS], from[QUERIES], to[QUERIES];
  int64_t answer_starts[QUERIES], barred_starts[QUERIES];
  int32_t answer_lengths[QUERIES], barred_lengths[QUERIES];
  int32_t answers[QUERIES * ANSWERS], barred[QUERIES * BARRED];
  bool lists; /* whether the queries name their candidates */
  int64_t listed_starts[QUERIES];
  int32_t listed_lengths[QUERIES], listed[QUERIES * LISTED];
  float gains[QUERIES * ANSWERS];
  float scores[QUERIES * ITEMS];
  float users[QUERIES * WIDTH], vectors[ITEMS * WIDTH];
  int64_t k[KS];
} example;

static example e;
static uint64_t drawn;

static int64_t below(int64_t n) {
  rs_stream s = rs_stream_at(3, RS_RNG_USER, 0, 0);
  return (int64_t)rs_stream_below(&s, drawn++, (uint64_t)n);
}

static void draw_lists(int64_t q) {
  e.answer_starts[q] = q * ANSWERS;
  e.barred_starts[q] = q * BARRED;
  e.answer_lengths[q] = (int32_t)below(ANSWERS + 1);
  e.barred_lengths[q] = (int32_t)below(BARRED + 1);
  for (int64_t i = 0; i < ANSWERS; i++) {
    bool again = true;
    while (again) {
      again = false;
      e.answers[q * ANSWERS + i] = (int32_t)below(e.items);
      for (int64_t j = 0; j < i; j++) again |= e.answers[q * ANSWERS + i] == e.answers[q * ANSWERS + j];
    }
    e.gains[q * ANSWERS + i] = 0.25f * (float)(1 + below(4));
  }
  for (int64_t i = 0; i < BARRED; i++) e.barred[q * BARRED + i] = (int32_t)below(e.items);
  e.listed_starts[q] = q * LISTED;
  e.listed_lengths[q] = (int32_t)below(LISTED + 1);
  for (int64_t i = 0; i < LISTED; i++)
    e.listed[q * LISTED + i] = i % 3 ? (int32_t)below(e.items) : e.answers[q * ANSWERS + i % ANSWERS];
}

/* Users and items have small whole numbers, so that every product is exact. */
static void draw_case(int64_t items, int64_t queries, int64_t values) {
  e.items = items;
  e.queries = queries;
  for (int64_t i = 0; i < KS; i++) e.k[i] = (int64_t[]){1, 10, 2000}[i];
  for (int64_t i = 0; i < items; i++) e.item_time[i] = below(100);
  for (int64_t q = 0; q < queries; q++) {
    e.to[q] = below(120);
    e.from[q] = e.to[q] - below(60);
    draw_lists(q);
  }
  for (int64_t i = 0; i < queries * WIDTH; i++) e.users[i] = (float)(below(values) - values / 2);
  for (int64_t i = 0; i < items * WIDTH; i++) e.vectors[i] = (float)(below(values) - values / 2);
  for (int64_t q = 0; q < queries; q++)
    for (int64_t i = 0; i < items; i++) {
      float sum = 0;
      for (int64_t d = 0; d < WIDTH; d++) sum += e.users[q * WIDTH + d] * e.vectors[i * WIDTH + d];
      e.scores[q * items + i] = sum;
    }
}

static rs_question question(bool windows, bool graded) {
  return (rs_question){
      .queries = e.queries,
      .items = e.items,
      .relevant = {e.queries, e.answer_starts, e.answer_lengths, e.answers, e.queries * ANSWERS},
      .excluded = {e.queries, e.barred_starts, e.barred_lengths, e.barred, e.queries * BARRED},
      .candidates = {e.lists ? e.queries : 0, e.listed_starts, e.listed_lengths, e.listed, e.queries * LISTED},
      .gains = graded ? e.gains : NULL,
      .item_time = windows ? e.item_time : NULL,
      .from = windows ? e.from : NULL,
      .to = windows ? e.to : NULL,
      .k = e.k,
      .n_k = KS,
      .coverage = true,
  };
}

static bool is_listed(int64_t q, int64_t item) {
  for (int64_t i = 0; i < e.listed_lengths[q]; i++)
    if (e.listed[e.listed_starts[q] + i] == item) return true;
  return false;
}

static bool is_candidate(int64_t q, int64_t item, bool windows) {
  if (e.lists && !is_listed(q, item)) return false;
  for (int64_t i = 0; i < e.barred_lengths[q]; i++)
    if (e.barred[e.barred_starts[q] + i] == item) return false;
  return !windows || (e.from[q] <= e.item_time[item] && e.item_time[item] < e.to[q]);
}

static double column(const rs_ranking *r, const rs_ranked *ranked, const char *name, int64_t q) {
  for (int64_t c = 0; c < rs_ranking_columns(r); c++) {
    char is[RS_METRIC_NAME];
    rs_ranking_column_name(r, c, is);
    if (strcmp(is, name) == 0) return rs_f64(&ranked->metrics)[c * e.queries + q];
  }
  fail_msg("there is no metric %s", name);
  return 0;
}

static void assert_near(double got, double expected) {
  if (!(fabs(got - expected) <= 1e-12)) fail_msg("%.17g is not %.17g", got, expected);
}

static float gain_of(int64_t q, int64_t item) {
  for (int64_t i = 0; i < e.answer_lengths[q]; i++)
    if (e.answers[e.answer_starts[q] + i] == item) return e.gains[e.answer_starts[q] + i];
  return 0;
}

static const float *sort_scores;
static int by_score(const void *a, const void *b) {
  float x = sort_scores[*(const int32_t *)a], y = sort_scores[*(const int32_t *)b];
  return (x < y) - (x > y);
}

static int falling(const void *a, const void *b) {
  return (*(const float *)a < *(const float *)b) - (*(const float *)a > *(const float *)b);
}

/* All metrics of a query without ties at cut-off k, from the sorted candidates. */
static void check_query(const rs_ranking *r, const rs_ranked *ranked, int64_t q, bool windows, int64_t k) {
  int32_t order[ITEMS];
  int64_t n = 0, relevant = e.answer_lengths[q], present = 0;
  for (int64_t i = 0; i < e.items; i++)
    if (is_candidate(q, i, windows)) order[n++] = (int32_t)i;
  sort_scores = e.scores + q * e.items;
  qsort(order, (size_t)n, sizeof *order, by_score);
  double found = 0, precisions = 0, dcg = 0, graded = 0, first = 0, won = 0, ideal = 0, best = 0;
  float gains[ANSWERS];
  for (int64_t i = 0; i < n; i++) present += gain_of(q, order[i]) > 0;
  for (int64_t i = 0, seen = 0; i < n; i++) {
    double gain = gain_of(q, order[i]);
    if (gain == 0) continue;
    if (++seen == 1) first = 1.0 / (double)(i + 1);
    won += n == present ? 0.5 : (double)(n - i - 1 - (present - seen)) / (double)(n - present);
    if (i >= k) continue;
    found++;
    precisions += found / (double)(i + 1);
    dcg += 1 / log2(2.0 + (double)i);
    graded += gain / log2(2.0 + (double)i);
  }
  memcpy(gains, e.gains + e.answer_starts[q], sizeof gains);
  qsort(gains, (size_t)relevant, sizeof *gains, falling);
  for (int64_t i = 0; i < relevant && i < k; i++)
    ideal += 1 / log2(2.0 + (double)i), best += gains[i] / log2(2.0 + (double)i);
  const char *const names[] = {"hit", "recall", "precision", "ndcg", "map", "graded_ndcg"};
  double expected[] = {found > 0,
                       found / (double)relevant,
                       found / (double)k,
                       dcg / ideal,
                       precisions / (double)(relevant < k ? relevant : k),
                       graded / best};
  for (int m = 0; m < 6; m++) {
    char name[RS_METRIC_NAME];
    snprintf(name, sizeof name, "%s_%lld", names[m], (long long)k);
    assert_near(column(r, ranked, name, q), expected[m]);
  }
  assert_near(column(r, ranked, "mrr", q), first);
  assert_near(column(r, ranked, "auc", q), won / (double)relevant);
  assert_int_equal(rs_i64(&ranked->candidates)[q], n);
}

static void make_scores_distinct(void) {
  rs_stream s = rs_stream_at(9, RS_RNG_USER, 0, 1);
  int64_t order[ITEMS];
  rs_stream_permutation(&s, order, e.items);
  for (int64_t q = 0; q < e.queries; q++)
    for (int64_t i = 0; i < e.items; i++) e.scores[q * e.items + i] = (float)order[(i * 11 + q * 13) % e.items] - 300;
}

static void metrics_equal_their_definitions(void **state) {
  (void)state;
  for (int windows = 0; windows < 2; windows++) {
    draw_case(ITEMS, QUERIES, 50);
    make_scores_distinct();
    rs_question ask = question(windows, true);
    rs_ranking *r;
    rs_ranked ranked;
    assert_int_equal(rs_ranking_new(&r, &ask), RS_OK);
    assert_int_equal(rs_ranked_new(&ranked, r), RS_OK);
    assert_int_equal(rs_ranking_rows(r, &ranked, 0, e.queries, e.scores, e.items, NULL), RS_OK);
    for (int64_t q = 0; q < e.queries; q++) {
      if (e.answer_lengths[q] == 0) {
        assert_true(isnan(column(r, &ranked, "ndcg_10", q)));
        continue;
      }
      for (int64_t i = 0; i < KS; i++) check_query(r, &ranked, q, windows, e.k[i]);
    }
    rs_ranked_free(&ranked);
    rs_ranking_free(r);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void tied_ranks_are_counted_among_the_candidates(void **state) {
  (void)state;
  draw_case(300, 60, 3);
  rs_question ask = question(true, false);
  rs_ranking *r;
  rs_ranked ranked;
  assert_int_equal(rs_ranking_new(&r, &ask), RS_OK);
  assert_int_equal(rs_ranked_new(&ranked, r), RS_OK);
  assert_int_equal(rs_ranking_rows(r, &ranked, 0, e.queries, e.scores, e.items, NULL), RS_OK);
  int64_t slot = 0;
  for (int64_t q = 0; q < e.queries; q++)
    for (int64_t i = 0; i < e.answer_lengths[q]; i++, slot++) {
      int64_t answer = e.answers[e.answer_starts[q] + i], greater = -1, equal = -1;
      if (is_candidate(q, answer, true)) greater = equal = 0;
      for (int64_t x = 0; greater >= 0 && x < e.items; x++) {
        float score = e.scores[q * e.items + x], own = e.scores[q * e.items + answer];
        greater += is_candidate(q, x, true) && score > own;
        equal += is_candidate(q, x, true) && score == own;
      }
      assert_int_equal(rs_i64(&ranked.greater)[slot], greater);
      assert_int_equal(rs_i64(&ranked.equal)[slot], equal);
    }
  rs_ranked_free(&ranked);
  rs_ranking_free(r);
}

/* Rank by factors (-1) or by rows in blocks of 'block', with 'threads'. */
static void rank(const rs_ranking *r, rs_ranked *ranked, int64_t block, int threads) {
  int before = rs_threads();
  rs_threads_set(threads);
  assert_int_equal(rs_ranked_new(ranked, r), RS_OK);
  if (block < 0) assert_int_equal(rs_ranking_factors(r, ranked, e.users, e.vectors, 1, WIDTH), RS_OK);
  for (int64_t q = 0; block > 0 && q < e.queries; q += block) {
    int64_t n = q + block < e.queries ? block : e.queries - q;
    assert_int_equal(rs_ranking_rows(r, ranked, q, n, e.scores + q * e.items, e.items, NULL), RS_OK);
  }
  assert_int_equal(rs_ranked_check(ranked), RS_OK);
  rs_threads_set(before);
}

static void factors_rows_and_any_number_of_threads_agree_to_the_bit(void **state) {
  (void)state;
  for (int windows = 0; windows < 2; windows++) {
    draw_case(ITEMS, QUERIES, 5);
    rs_question ask = question(windows, true);
    rs_ranking *r;
    rs_ranked one, other;
    assert_int_equal(rs_ranking_new(&r, &ask), RS_OK);
    rank(r, &one, 7, 1);
    for (int way = 0; way < 3; way++) {
      rank(r, &other, (int64_t[]){QUERIES, -1, -1}[way], (int[]){2, 1, 2}[way]);
      assert_memory_equal(rs_f64(&one.metrics), rs_f64(&other.metrics), rs_tensor_bytes(&one.metrics));
      assert_memory_equal(rs_i64(&one.greater), rs_i64(&other.greater), rs_tensor_bytes(&one.greater));
      assert_memory_equal(rs_i64(&one.candidates), rs_i64(&other.candidates), rs_tensor_bytes(&one.candidates));
      for (int64_t i = 0; i < KS; i++)
        assert_true(rs_coverage_count(&one.coverage, i) == rs_coverage_count(&other.coverage, i));
      rs_ranked_free(&other);
    }
    rs_ranked_free(&one);
    rs_ranking_free(r);
  }
}

static void coverage_is_the_expected_number_of_items_in_some_first_k(void **state) {
  (void)state;
  draw_case(200, 20, 3);
  rs_question ask = question(true, false);
  rs_ranking *r;
  rs_ranked ranked;
  assert_int_equal(rs_ranking_new(&r, &ask), RS_OK);
  rank(r, &ranked, QUERIES, 1);
  int64_t candidates = 0;
  double expected[KS] = {0};
  for (int64_t i = 0; i < e.items; i++) {
    double missed[KS] = {1, 1, 1};
    bool ever = false;
    for (int64_t q = 0; q < e.queries; q++) {
      if (!is_candidate(q, i, true)) continue;
      double greater = 0, equal = 0;
      for (int64_t x = 0; x < e.items; x++) {
        greater += is_candidate(q, x, true) && e.scores[q * e.items + x] > e.scores[q * e.items + i];
        equal += is_candidate(q, x, true) && e.scores[q * e.items + x] == e.scores[q * e.items + i];
      }
      for (int w = 0; w < KS; w++) {
        double inside = ((double)e.k[w] - greater) / equal;
        missed[w] *= 1 - (inside < 0 ? 0 : inside > 1 ? 1 : inside);
      }
      ever = true;
    }
    candidates += ever;
    for (int w = 0; w < KS; w++) expected[w] += 1 - missed[w];
  }
  assert_int_equal(rs_ranking_candidates(r), candidates);
  for (int w = 0; w < KS; w++)
    if (fabs(rs_coverage_count(&ranked.coverage, w) - expected[w]) > 1e-6)
      fail_msg("%.17g is not %.17g", rs_coverage_count(&ranked.coverage, w), expected[w]);
  rs_ranked_free(&ranked);
  rs_ranking_free(r);
}

static void lists_of_candidates_leave_out_all_else(void **state) {
  e.lists = true;
  metrics_equal_their_definitions(state);
  tied_ranks_are_counted_among_the_candidates(state);
  factors_rows_and_any_number_of_threads_agree_to_the_bit(state);
  coverage_is_the_expected_number_of_items_in_some_first_k(state);
  e.lists = false;
}

static void a_nan_among_the_candidates_is_named_and_elsewhere_ignored(void **state) {
  (void)state;
  draw_case(100, 30, 40);
  rs_question ask = question(true, false);
  rs_ranking *r;
  rs_ranked ranked;
  assert_int_equal(rs_ranking_new(&r, &ask), RS_OK);
  for (int64_t q = 0; q < e.queries; q++)
    for (int64_t i = 0; i < e.items; i++)
      if (!is_candidate(q, i, true)) e.scores[q * e.items + i] = (float[]){NAN, INFINITY, -INFINITY}[i % 3];
  rank(r, &ranked, QUERIES, 2);
  rs_ranked_free(&ranked);
  int64_t query = 20, item = 0;
  while (!is_candidate(query, item, true)) item++;
  e.scores[query * e.items + item] = -INFINITY;
  e.scores[(query + 1) * e.items] = is_candidate(query + 1, 0, true) ? NAN : 0;
  char expected[128];
  snprintf(expected, sizeof expected, "ranking: the score of item row %lld for query 20 is not a finite number",
           (long long)item);
  assert_int_equal(rs_ranked_new(&ranked, r), RS_OK);
  assert_int_equal(rs_ranking_rows(r, &ranked, 0, e.queries, e.scores, e.items, NULL), RS_ENUMERIC);
  assert_string_equal(rs_message(), expected);
  rs_ranked_free(&ranked);
  rs_ranking_free(r);
}

static void refuse(rs_question ask, rs_status status, const char *message) {
  rs_ranking *r = NULL;
  assert_int_equal(rs_ranking_new(&r, &ask), status);
  assert_null(r);
  assert_string_equal(rs_message(), message);
}

static void a_question_that_makes_no_sense_is_refused(void **state) {
  (void)state;
  draw_case(100, 10, 4);
  rs_question ask = question(true, true);
  ask.to = NULL;
  refuse(ask, RS_EARG, "ranking: item_time, from and to go together");
  ask = question(false, true);
  ask.n_k = 0;
  refuse(ask, RS_EARG, "ranking: no cut-off k is given");
  ask = question(false, true);
  ask.items = 50;
  assert_int_equal(rs_ranking_new(&(rs_ranking *){NULL}, &ask), RS_ERANGE);
  ask = question(false, true);
  e.k[1] = 1;
  refuse(ask, RS_EARG, "ranking: cut-off 1 is given twice");
  e.k[1] = 10;
  e.answer_lengths[3] = 2;
  e.answers[3 * ANSWERS] = e.answers[3 * ANSWERS + 1] = 8;
  refuse(ask, RS_EARG, "ranking: query 3 names item row 8 as relevant twice");
  e.gains[5] = 0;
  refuse(ask, RS_ERANGE, "ranking: gain 0 at 5 is not a positive number");
  e.barred_lengths[9] = BARRED + 1;
  refuse(ask, RS_ERANGE, "excluded items: list 9 starts at 270 with length 31, but there are 300 values");
  e.barred_lengths[9] = 0;
  ask.candidates = (rs_lists){e.queries - 1, e.listed_starts, e.listed_lengths, e.listed, e.queries * LISTED};
  refuse(ask, RS_ESHAPE, "ranking: 9 lists of candidates for 10 queries");
  ask.candidates.n = e.queries;
  e.listed[0] = 100;
  e.listed_lengths[0] = 1;
  refuse(ask, RS_ERANGE, "candidates: value 100 at 0 is outside 0..99");
}

static void a_query_without_scores_is_noticed(void **state) {
  (void)state;
  draw_case(50, 10, 4);
  rs_question ask = question(false, false);
  rs_ranking *r;
  rs_ranked ranked;
  assert_int_equal(rs_ranking_new(&r, &ask), RS_OK);
  assert_int_equal(rs_ranked_new(&ranked, r), RS_OK);
  assert_int_equal(rs_ranking_rows(r, &ranked, 0, 9, e.scores, e.items, NULL), RS_OK);
  assert_int_equal(rs_ranked_check(&ranked), RS_EARG);
  assert_string_equal(rs_message(), "ranking: query 9 of 10 was not scored");
  assert_int_equal(rs_ranking_rows(r, &ranked, 8, 3, e.scores, e.items, NULL), RS_ERANGE);
  rs_ranked_free(&ranked);
  rs_ranked_free(&ranked);
  rs_ranking_free(r);
}

static void no_queries_and_no_items_are_fine(void **state) {
  (void)state;
  int64_t k = 10;
  rs_question ask = {.k = &k, .n_k = 1, .coverage = true};
  rs_ranking *r;
  rs_ranked ranked;
  assert_int_equal(rs_ranking_new(&r, &ask), RS_OK);
  assert_int_equal(rs_ranked_new(&ranked, r), RS_OK);
  assert_int_equal(rs_ranking_factors(r, &ranked, e.users, e.vectors, 1, WIDTH), RS_OK);
  assert_int_equal(rs_ranked_check(&ranked), RS_OK);
  rs_ranked_free(&ranked);
  rs_ranking_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(metrics_equal_their_definitions),
      cmocka_unit_test(tied_ranks_are_counted_among_the_candidates),
      cmocka_unit_test(factors_rows_and_any_number_of_threads_agree_to_the_bit),
      cmocka_unit_test(coverage_is_the_expected_number_of_items_in_some_first_k),
      cmocka_unit_test(lists_of_candidates_leave_out_all_else),
      cmocka_unit_test(a_nan_among_the_candidates_is_named_and_elsewhere_ignored),
      cmocka_unit_test(a_question_that_makes_no_sense_is_refused),
      cmocka_unit_test(a_query_without_scores_is_noticed),
      cmocka_unit_test(no_queries_and_no_items_are_fine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
