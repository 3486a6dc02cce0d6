/* scan_test.c - passes over a row against the obvious loops. */
#include "metrics/scan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

enum { MOST = 3000 };

static float row[MOST], thresholds[MOST];
static int64_t greater[MOST], equal[MOST];
static rs_scored best[MOST], sorted[MOST];

/* n scores out of 'values' distinct ones, so that ties are common. */
static void fill(int64_t n, uint64_t values, uint32_t round) {
  rs_stream s = rs_stream_at(11, RS_RNG_USER, 0, round);
  for (int64_t i = 0; i < n; i++) row[i] = (float)rs_stream_below(&s, (uint64_t)i, values) * 0.5f - 3;
}

static int compare(const void *a, const void *b) {
  const rs_scored *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

static int64_t distinct_thresholds(int64_t n) {
  for (int64_t i = 0; i < n; i++) sorted[i] = (rs_scored){row[i], (int32_t)i};
  qsort(sorted, (size_t)n, sizeof *sorted, compare);
  int64_t m = 0;
  for (int64_t i = 0; i < n; i += 2)
    if (m == 0 || thresholds[m - 1] != sorted[i].score) thresholds[m++] = sorted[i].score;
  return m;
}

static void counts_equal_the_obvious_loop(void **state) {
  (void)state;
  const int64_t sizes[] = {1, 3, 17, 64, 1025, 3000};
  const uint64_t values[] = {1, 5, 40, 500, 100000};
  for (uint32_t c = 0; c < 30; c++) {
    int64_t n = sizes[c % 6];
    fill(n, values[c / 6], c);
    if (n > 16) row[5] = row[16] = -INFINITY;
    int64_t m = distinct_thresholds(n);
    while (m > 0 && thresholds[m - 1] == -INFINITY) m--;
    rs_scan_count(row, n, thresholds, m, greater, equal);
    for (int64_t j = 0; j < m; j++) {
      int64_t g = 0, e = 0;
      for (int64_t i = 0; i < n; i++) g += row[i] > thresholds[j], e += row[i] == thresholds[j];
      assert_int_equal(greater[j], g);
      assert_int_equal(equal[j], e);
    }
  }
}

static void the_best_equal_a_full_sort(void **state) {
  (void)state;
  const int64_t sizes[] = {1, 5, 64, 200, 3000}, ks[] = {1, 2, 20, 64, 4000};
  const uint64_t values[] = {1, 7, 1000000};
  for (uint32_t c = 0; c < 75; c++) {
    int64_t n = sizes[c % 5], k = ks[c / 5 % 5] < MOST ? ks[c / 5 % 5] : MOST;
    fill(n, values[c / 25], c);
    if (n > 100) row[0] = row[99] = -INFINITY;
    distinct_thresholds(n);
    int64_t finite = n > 100 ? n - 2 : n, expected = k < finite ? k : finite;
    assert_int_equal(rs_scan_best(row, n, k, best), expected);
    assert_memory_equal(best, sorted, (size_t)expected * sizeof *best);
  }
}

/* A sample that holds the best scores alone promises too much. */
static void a_misleading_sample_changes_nothing(void **state) {
  (void)state;
  for (int64_t i = 0; i < 2000; i++) row[i] = i % 8 == 0 ? 1000.0f - (float)i : -(float)i;
  distinct_thresholds(2000);
  for (int64_t k = 10; k < 125; k++) {
    assert_int_equal(rs_scan_best(row, 2000, k, best), k);
    assert_memory_equal(best, sorted, (size_t)k * sizeof *best);
  }
  for (int64_t i = 0; i < 2000; i++) row[i] = i % 8 == 0 && i > 200 ? -INFINITY : (float)i;
  distinct_thresholds(2000);
  assert_int_equal(rs_scan_best(row, 2000, 100, best), 100);
  assert_memory_equal(best, sorted, 100 * sizeof *best);
}

static void the_best_of_nothing_is_empty(void **state) {
  (void)state;
  assert_int_equal(rs_scan_best(row, 0, 5, best), 0);
  row[0] = -INFINITY;
  assert_int_equal(rs_scan_best(row, 1, 5, best), 0);
  row[0] = 1;
  assert_int_equal(rs_scan_best(row, 1, 0, best), 0);
}

static void infinities_and_nans_are_seen(void **state) {
  (void)state;
  fill(1500, 9, 1);
  assert_int_equal(rs_scan_infinite(row, 1500), 0);
  row[0] = NAN, row[700] = INFINITY, row[1499] = -INFINITY;
  assert_int_equal(rs_scan_infinite(row, 1500), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counts_equal_the_obvious_loop),       cmocka_unit_test(the_best_equal_a_full_sort),
      cmocka_unit_test(a_misleading_sample_changes_nothing), cmocka_unit_test(the_best_of_nothing_is_empty),
      cmocka_unit_test(infinities_and_nans_are_seen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
