/* tied_test.c - the closed forms against the mean over every order of the tied items. */
#include "metrics/tied.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

enum { MOST = 7, KS = 9, METRICS = 6 };

static void assert_near(double got, double expected) {
  if (!(fabs(got - expected) <= 1e-12)) fail_msg("%.17g is not %.17g", got, expected);
}

/* A small case: n items with scores, gains (0: irrelevant), and 'absent' relevant items that are not candidates. */
typedef struct example {
  int n, absent;
  int score[MOST];
  double gain[MOST];
} example;

typedef struct sums {
  double metric[METRICS][KS + 1];
  double orders;
} sums;

static double discounts[KS + 2];

static void set_discounts(void) {
  for (int i = 1; i <= KS + 1; i++) discounts[i] = discounts[i - 1] + 1 / log2(1.0 + i);
}

static int relevant_in(const example *e) {
  int n = e->absent;
  for (int i = 0; i < e->n; i++) n += e->gain[i] > 0;
  return n;
}

/* The metrics of one order, straight from their definitions. */
static void measure(sums *s, const example *e, const int *order) {
  int relevant = relevant_in(e), irrelevant = e->n - (relevant - e->absent);
  double won = 0, first = 0;
  for (int i = 0; i < e->n; i++) {
    if (e->gain[order[i]] == 0) continue;
    if (first == 0) first = 1.0 / (i + 1);
    if (irrelevant == 0) won += 0.5;
    for (int j = i + 1; j < e->n; j++) won += e->gain[order[j]] == 0;
  }
  for (int k = 1; k <= KS; k++) {
    double found = 0, precisions = 0, dcg = 0, graded = 0;
    for (int i = 0; i < e->n && i < k; i++) {
      if (e->gain[order[i]] == 0) continue;
      found++;
      precisions += found / (i + 1);
      dcg += 1 / log2(2.0 + i);
      graded += e->gain[order[i]] / log2(2.0 + i);
    }
    s->metric[0][k] += found > 0;
    s->metric[1][k] += found;
    s->metric[2][k] += precisions / (relevant < k ? relevant : k);
    s->metric[3][k] += dcg;
    s->metric[4][k] += graded;
  }
  s->metric[5][0] += first;
  s->metric[5][1] += won / relevant / (irrelevant ? irrelevant : 1);
  s->orders++;
}

/* Extend 'order' by every item that may come next: one with the best score of those left. */
static void enumerate(sums *s, const example *e, int *order, int at, unsigned used) {
  if (at == e->n) measure(s, e, order);
  int best = -1;
  for (int i = 0; i < e->n; i++)
    if (!(used >> i & 1) && e->score[i] > best) best = e->score[i];
  for (int i = 0; i < e->n; i++)
    if (!(used >> i & 1) && e->score[i] == best) {
      order[at] = i;
      enumerate(s, e, order, at + 1, used | 1u << i);
    }
}

static int64_t groups_of(rs_tie_group *groups, const example *e) {
  int64_t n = 0;
  for (int score = 9; score >= 0; score--) {
    rs_tie_group g = {0};
    for (int i = 0; i < e->n; i++) {
      g.greater += e->score[i] > score;
      g.size += e->score[i] == score;
      g.relevant += e->score[i] == score && e->gain[i] > 0;
      g.gain += e->score[i] == score ? e->gain[i] : 0;
    }
    if (g.relevant > 0) groups[n++] = g;
  }
  return n;
}

/* Discount sums end at the number of candidates. */
static void cut_discounts(double *cut, const example *e) {
  memset(cut, 0, sizeof discounts);
  for (int i = 0; i <= e->n; i++) cut[i] = discounts[i];
}

static void check(const example *e) {
  sums s = {0};
  int order[MOST];
  enumerate(&s, e, order, 0, 0);
  rs_tie_group groups[MOST];
  rs_outcome o = {e->n, relevant_in(e), groups, groups_of(groups, e)};
  double cut[KS + 2];
  cut_discounts(cut, e);
  for (int k = 1; k <= KS; k++) {
    assert_near(rs_tied_hit(&o, k), s.metric[0][k] / s.orders);
    assert_near(rs_tied_found(&o, k), s.metric[1][k] / s.orders);
    assert_near(rs_tied_average_precision(&o, k), s.metric[2][k] / s.orders);
    assert_near(rs_tied_dcg(&o, k, cut), s.metric[3][k] / s.orders);
    assert_near(rs_tied_graded_dcg(&o, k, cut), s.metric[4][k] / s.orders);
  }
  assert_near(rs_tied_reciprocal_rank(&o), s.metric[5][0] / s.orders);
  assert_near(rs_tied_auc(&o), s.metric[5][1] / s.orders);
}

static void closed_forms_equal_the_mean_over_all_orders(void **state) {
  (void)state;
  set_discounts();
  rs_stream stream = rs_stream_at(5, RS_RNG_USER, 0, 0);
  uint64_t at = 0;
  for (int round = 0; round < 400; round++) {
    example e = {.n = 1 + (int)rs_stream_below(&stream, at++, MOST)};
    int values = 1 + (int)rs_stream_below(&stream, at++, 4);
    e.absent = (int)rs_stream_below(&stream, at++, 3);
    for (int i = 0; i < e.n; i++) {
      e.score[i] = (int)rs_stream_below(&stream, at++, (uint64_t)values);
      e.gain[i] = rs_stream_below(&stream, at++, 3) == 0 ? 0.25 * (1 + (double)rs_stream_below(&stream, at++, 4)) : 0;
    }
    if (relevant_in(&e) > 0) check(&e);
  }
}

static void a_constant_scorer_measures_what_random_order_does(void **state) {
  (void)state;
  rs_tie_group all = {0, 200, 1, 1};
  rs_outcome o = {200, 1, &all, 1};
  double harmonic = 0;
  for (int i = 1; i <= 200; i++) harmonic += 1.0 / i;
  assert_near(rs_tied_hit(&o, 10), 10 / 200.0);
  assert_near(rs_tied_reciprocal_rank(&o), harmonic / 200);
  assert_near(rs_tied_auc(&o), 0.5);
}

static void a_query_whose_items_are_no_candidates_finds_nothing(void **state) {
  (void)state;
  rs_outcome o = {5, 2, NULL, 0};
  assert_near(rs_tied_hit(&o, 3), 0);
  assert_near(rs_tied_found(&o, 3), 0);
  assert_near(rs_tied_average_precision(&o, 3), 0);
  assert_near(rs_tied_reciprocal_rank(&o), 0);
  assert_near(rs_tied_auc(&o), 0);
  rs_outcome empty = {0, 1, NULL, 0};
  assert_near(rs_tied_auc(&empty), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(closed_forms_equal_the_mean_over_all_orders),
      cmocka_unit_test(a_constant_scorer_measures_what_random_order_does),
      cmocka_unit_test(a_query_whose_items_are_no_candidates_finds_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
