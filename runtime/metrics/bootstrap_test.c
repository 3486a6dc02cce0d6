/* bootstrap_test.c - resamples against the plain loop, quantiles against NumPy's, and the width of an interval. */
#include "metrics/bootstrap.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"

enum { QUERIES = 400, METRICS = 5, SAMPLES = 203 };

static double values[METRICS * QUERIES];
static int64_t users[QUERIES];
static const rs_measured all = {values, METRICS, QUERIES, NULL, 0};

/* Users have 1 .. some queries in any order; codes leave gaps. */
static void fill(bool with_nan) {
  rs_stream s = rs_stream_at(2, RS_RNG_USER, 0, 0);
  for (int64_t q = 0; q < QUERIES; q++) users[q] = 3 * (int64_t)rs_stream_below(&s, (uint64_t)q, 90) + 5;
  for (int64_t i = 0; i < METRICS * QUERIES; i++) {
    values[i] = rs_stream_f64(&s, (uint64_t)(1000 + i));
    if (with_nan && i >= 2 * QUERIES && i % 7 == 0) values[i] = NAN;
  }
}

static bool has_queries(int64_t code) {
  for (int64_t q = 0; q < QUERIES; q++)
    if (users[q] == code) return true;
  return false;
}

static int64_t list_users(int64_t *codes) {
  int64_t n = 0;
  for (int64_t code = 0; code < 300; code++)
    if (has_queries(code)) codes[n++] = code;
  return n;
}

static double resampled(const int64_t *codes, int64_t n, int64_t metric, int64_t sample, uint64_t seed) {
  rs_stream s = rs_stream_at(seed, RS_RNG_BOOTSTRAP, 0, (uint64_t)sample);
  double sum = 0, count = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t code = codes[rs_stream_below(&s, (uint64_t)i, (uint64_t)n)];
    for (int64_t q = 0; q < QUERIES; q++) {
      double value = values[metric * QUERIES + q];
      if (users[q] == code && !isnan(value)) sum += value, count++;
    }
  }
  return sum / count;
}

static void a_resample_is_the_ratio_of_sums_over_the_users_drawn(void **state) {
  (void)state;
  int64_t codes[100];
  for (int with_nan = 0; with_nan < 2; with_nan++) {
    fill(with_nan);
    int64_t n = list_users(codes);
    rs_tensor out;
    assert_int_equal(rs_bootstrap(&out, &all, users, SAMPLES, 77), RS_OK);
    for (int64_t sample = 0; sample < SAMPLES; sample += 29)
      for (int64_t m = 0; m < METRICS; m++)
        assert_true(fabs(rs_f64(&out)[m * SAMPLES + sample] - resampled(codes, n, m, sample, 77)) < 1e-12);
    rs_tensor_free(&out);
  }
}

static void any_number_of_threads_gives_the_same_bits(void **state) {
  (void)state;
  int before = rs_threads();
  rs_tensor one, two;
  fill(true);
  rs_threads_set(1);
  assert_int_equal(rs_bootstrap(&one, &all, users, SAMPLES, 5), RS_OK);
  rs_threads_set(2);
  assert_int_equal(rs_bootstrap(&two, &all, users, SAMPLES, 5), RS_OK);
  rs_threads_set(before);
  assert_memory_equal(rs_f64(&one), rs_f64(&two), rs_tensor_bytes(&one));
  rs_tensor_free(&one);
  rs_tensor_free(&two);
  assert_int_equal(rs_alloc_blocks(), 0);
}

/* The queries picked alone, copied together, give what picking them by row gives. */
static void rows_pick_queries(void **state) {
  (void)state;
  static double picked[METRICS * QUERIES];
  int64_t rows[100], their_users[100];
  rs_tensor by_row, alone;
  double mean[METRICS], mean_alone[METRICS];
  fill(true);
  for (int64_t i = 0; i < 100; i++) {
    rows[i] = (i * 37) % QUERIES;
    their_users[i] = users[rows[i]];
    for (int64_t m = 0; m < METRICS; m++) picked[m * 100 + i] = values[m * QUERIES + rows[i]];
  }
  rs_measured some = {values, METRICS, QUERIES, rows, 100}, copied = {picked, METRICS, 100, NULL, 0};
  assert_int_equal(rs_bootstrap(&by_row, &some, users, 50, 3), RS_OK);
  assert_int_equal(rs_bootstrap(&alone, &copied, their_users, 50, 3), RS_OK);
  assert_memory_equal(rs_f64(&by_row), rs_f64(&alone), rs_tensor_bytes(&alone));
  assert_int_equal(rs_means(mean, &some), RS_OK);
  assert_int_equal(rs_means(mean_alone, &copied), RS_OK);
  assert_memory_equal(mean, mean_alone, sizeof mean);
  rs_tensor_free(&by_row);
  rs_tensor_free(&alone);
  rows[7] = QUERIES;
  assert_int_equal(rs_means(mean, &some), RS_ERANGE);
  assert_string_equal(rs_message(), "metrics: query row 400 is outside 0..399");
}

static void means_leave_out_what_is_missing(void **state) {
  (void)state;
  const double x[] = {1, NAN, 4, NAN, NAN, NAN};
  double mean[2];
  assert_int_equal(rs_means(mean, &(rs_measured){x, 2, 3, NULL, 0}), RS_OK);
  assert_true(mean[0] == 2.5 && isnan(mean[1]));
}

/* One query a user and values 0 or 1: the bootstrap's spread is that of a binomial. */
static void the_spread_is_that_of_the_mean(void **state) {
  (void)state;
  enum { N = 2000 };
  static double ones[400];
  static int64_t each[400];
  for (int i = 0; i < 400; i++) ones[i] = i % 4 == 0, each[i] = i;
  rs_tensor out;
  double mean = 0, square = 0;
  assert_int_equal(rs_bootstrap(&out, &(rs_measured){ones, 1, 400, NULL, 0}, each, N, 1), RS_OK);
  for (int i = 0; i < N; i++) mean += rs_f64(&out)[i] / N;
  for (int i = 0; i < N; i++) square += (rs_f64(&out)[i] - mean) * (rs_f64(&out)[i] - mean) / N;
  double expected = sqrt(0.25 * 0.75 / 400); /* 0.02165; the estimate's own standard error is expected / sqrt(2 N) */
  assert_true(fabs(mean - 0.25) < 4 * expected / sqrt(N));
  assert_true(fabs(sqrt(square) - expected) < 4 * expected / sqrt(2.0 * N));
  rs_tensor_free(&out);
}

static void quantiles_are_numpys(void **state) {
  (void)state;
  const double x[] = {3, 1, NAN, 4, 1.5, 9, 2.6}, p[] = {0, 0.025, 0.5, 0.975, 1};
  /* numpy.quantile([3, 1, 4, 1.5, 9, 2.6], p) */
  const double expected[] = {1, 1.0625, 2.8, 8.375, 9};
  double out[5];
  assert_int_equal(rs_quantiles(out, x, 7, p, 5), RS_OK);
  for (int i = 0; i < 5; i++) assert_true(fabs(out[i] - expected[i]) < 1e-12);
  assert_int_equal(rs_quantiles(out, x + 2, 1, p, 5), RS_OK);
  assert_true(isnan(out[0]) && isnan(out[4]));
  const double endless[] = {INFINITY, 1, INFINITY};
  assert_int_equal(rs_quantiles(out, endless, 3, p, 5), RS_OK);
  assert_true(out[0] == 1 && out[3] == INFINITY && out[4] == INFINITY);
}

static void paired_intervals_compare_resample_by_resample(void **state) {
  (void)state;
  double a[101], b[101];
  rs_paired out;
  for (int i = 0; i < 101; i++) b[i] = i * i + 1, a[i] = 2 * b[i];
  assert_int_equal(rs_paired_intervals(&out, a, b, 101, 0.9), RS_OK);
  assert_true(out.ratio[0] == 2 && out.ratio[1] == 2);
  assert_true(fabs(out.difference[0] - 26) < 1e-9 && fabs(out.difference[1] - (95 * 95 + 1)) < 1e-9);
}

static void nothing_to_resample_is_refused(void **state) {
  (void)state;
  rs_tensor out;
  assert_int_equal(rs_bootstrap(&out, &(rs_measured){values, METRICS, 0, NULL, 0}, users, 10, 1), RS_EARG);
  assert_string_equal(rs_message(), "bootstrap: there are no queries to resample");
  assert_int_equal(rs_bootstrap(&out, &all, users, 0, 1), RS_EARG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_resample_is_the_ratio_of_sums_over_the_users_drawn),
      cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
      cmocka_unit_test(rows_pick_queries),
      cmocka_unit_test(means_leave_out_what_is_missing),
      cmocka_unit_test(the_spread_is_that_of_the_mean),
      cmocka_unit_test(quantiles_are_numpys),
      cmocka_unit_test(paired_intervals_compare_resample_by_resample),
      cmocka_unit_test(nothing_to_resample_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
