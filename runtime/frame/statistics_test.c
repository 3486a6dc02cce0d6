/* Moments and quantiles against worked numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "frame/statistics.h"

static rs_column numbers(int64_t n, const double *values) {
  rs_column c = {.name = rs_strdup("x"), .type = RS_NUMBER};
  assert_int_equal(rs_tensor_new(&c.values, RS_F64, 1, &n), RS_OK);
  if (n) memcpy(rs_f64(&c.values), values, (size_t)n * sizeof *values);
  return c;
}

static void moments_leave_out_what_is_missing(void **state) {
  (void)state;
  rs_column c = numbers(8, (double[]){2, 4, NAN, 4, 4, 5, 5, INFINITY});
  rs_moments m;
  assert_int_equal(rs_moments_of(&m, &c, (int64_t[]){0, 1, 2, 3, 4, 5, 6, 7}, 8, false), RS_OK);
  assert_int_equal(m.rows, 8);
  assert_int_equal(m.missing, 2);
  assert_true(m.mean == 4);
  assert_true(fabs(m.deviation - 1) < 1e-15); /* (4 + 0 + 0 + 0 + 1 + 1) / 6 */
  assert_int_equal(rs_moments_of(&m, &c, (int64_t[]){2}, 1, false), RS_OK);
  assert_true(m.mean == 0 && m.deviation == 0 && m.missing == 1);
  assert_int_equal(rs_moments_of(&m, &c, (int64_t[]){0, 0, 1}, 3, true), RS_OK);
  assert_true(fabs(m.mean - (2 * log(3) + log(5)) / 3) < 1e-15);
  assert_int_equal(rs_moments_of(&m, &c, (int64_t[]){8}, 1, false), RS_ERANGE);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void a_large_offset_does_not_spoil_the_deviation(void **state) {
  (void)state;
  rs_column c = {.name = rs_strdup("t"), .type = RS_TIME};
  int64_t n = 4, base = 1700000000000;
  rs_moments m;
  assert_int_equal(rs_tensor_new(&c.values, RS_I64, 1, &n), RS_OK);
  memcpy(rs_i64(&c.values), (int64_t[]){base, base + 2, RS_TIME_MISSING, base + 4}, 4 * sizeof base);
  assert_int_equal(rs_moments_of(&m, &c, NULL, 0, false), RS_OK);
  assert_true(m.mean == (double)base + 2);
  assert_true(fabs(m.deviation - sqrt(8.0 / 3)) < 1e-12);
  assert_int_equal(m.missing, 1);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void check_edges(int64_t n, const double *values, int64_t buckets, int64_t m, const double *expected) {
  rs_column c = numbers(n, values);
  rs_tensor edges = {0};
  int64_t missing;
  assert_int_equal(rs_quantile_edges(&edges, &missing, &c, NULL, 0, buckets), RS_OK);
  assert_int_equal(edges.size[0], m);
  for (int64_t i = 0; i < m; i++) assert_true(rs_f64(&edges)[i] == expected[i]);
  rs_tensor_free(&edges);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void edges_are_quantiles_without_repeats(void **state) {
  (void)state;
  check_edges(8, (double[]){8, 1, 7, 2, 6, 3, 5, 4}, 4, 3, (double[]){3, 5, 7});
  check_edges(6, (double[]){1, 1, 1, 1, 2, NAN}, 4, 0, NULL); /* the quartiles are 1, with nothing below */
  check_edges(5, (double[]){1, 2, 2, 2, 3}, 5, 2, (double[]){2, 3});
  check_edges(2, (double[]){NAN, NAN}, 4, 0, NULL);
  check_edges(0, NULL, 4, 0, NULL);
  check_edges(3, (double[]){3, 1, 2}, 1, 0, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(moments_leave_out_what_is_missing),
      cmocka_unit_test(a_large_offset_does_not_spoil_the_deviation),
      cmocka_unit_test(edges_are_quantiles_without_repeats),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
