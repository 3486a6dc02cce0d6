/* elastic_net_test.c - optimality of every weight, and bits. What other programs find is in spec/solve_spec.lua. */
#include "solve/elastic_net.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"

enum { ROWS = 70, N = 40 };

/* Rows 0 and columns 0 are empty. */
static rs_csr make(float values_of[ROWS][N]) {
  rs_stream s = rs_stream_at(6, RS_RNG_USER, 0, 0);
  rs_tensor starts, columns, values;
  int64_t n = ROWS + 1, most = ROWS * N, at = 0;
  rs_csr m = {0};
  assert_int_equal(rs_tensor_zeros(&starts, RS_I64, 1, &n), RS_OK);
  assert_int_equal(rs_tensor_new(&columns, RS_I32, 1, &most), RS_OK);
  assert_int_equal(rs_tensor_new(&values, RS_F32, 1, &most), RS_OK);
  memset(values_of, 0, sizeof(float) * ROWS * N);
  for (int i = 0; i < ROWS; i++) {
    for (int j = 1; i > 0 && j < N; j++) {
      int64_t p = i * N + j;
      if (rs_stream_below(&s, (uint64_t)p, 10) >= 2 + (uint64_t)((i + j) % 3)) continue;
      values_of[i][j] = 0.5f + (float)rs_stream_below(&s, (uint64_t)(10000 + p), 4);
      rs_i32(&columns)[at] = j;
      rs_f32(&values)[at++] = values_of[i][j];
    }
    rs_i64(&starts)[i + 1] = at;
  }
  rs_tensor some_columns, some_values;
  assert_int_equal(rs_tensor_narrow(&some_columns, &columns, 0, 0, at), RS_OK);
  assert_int_equal(rs_tensor_narrow(&some_values, &values, 0, 0, at), RS_OK);
  assert_int_equal(rs_csr_from(&m, &starts, &some_columns, &some_values, N), RS_OK);
  rs_tensor *all[] = {&starts, &columns, &values, &some_columns, &some_values};
  for (int i = 0; i < 5; i++) rs_tensor_free(all[i]);
  return m;
}

/* The slope of the squares at weight k of column j, without the penalties. */
static double slope(float a[ROWS][N], const float *w, int j, int k) {
  double sum = 0;
  for (int i = 0; i < ROWS; i++) {
    double left = (double)a[i][j];
    for (int l = 0; l < N; l++) left -= (double)w[l * N + j] * (double)a[i][l];
    sum += left * (double)a[i][k];
  }
  return sum;
}

static void every_weight_is_where_it_should_be(void **state) {
  (void)state;
  static float a[ROWS][N];
  for (int positive = 0; positive < 2; positive++) {
    rs_csr m = make(a), w = {0};
    rs_tensor dense = {0};
    rs_elastic_net_options o = {.l1 = 6, .l2 = 3, .neighbours = N, .sweeps = 1000, .tolerance = 1e-7, .positive = positive};
    assert_int_equal(rs_elastic_net(&w, &m, &o), RS_OK);
    assert_int_equal(rs_csr_dense(&dense, &w), RS_OK);
    int weights = 0, none = 0;
    for (int j = 1; j < N; j++)
      for (int k = 1; k < N; k++) {
        double x = (double)rs_f32(&dense)[k * N + j], gain = slope(a, rs_f32(&dense), j, k) - o.l2 * x;
        if (k == j)
          assert_true(x == 0);
        else if (x != 0)
          assert_true(fabs(gain - copysign(o.l1, x)) < 1e-3), weights++;
        else
          assert_true(gain < o.l1 + 1e-3 && (positive || gain > -o.l1 - 1e-3)), none++;
        assert_true(!positive || x >= 0);
      }
    assert_true(weights > N && none > N);
    rs_csr_free(&m);
    rs_csr_free(&w);
    rs_tensor_free(&dense);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void the_number_of_threads_changes_no_bit(void **state) {
  (void)state;
  static float a[ROWS][N];
  int before = rs_threads();
  rs_csr m = make(a), one = {0}, two = {0};
  rs_elastic_net_options o = {.l1 = 1, .l2 = 1, .neighbours = 7, .sweeps = 50, .tolerance = 1e-4, .positive = true};
  rs_threads_set(1);
  assert_int_equal(rs_elastic_net(&one, &m, &o), RS_OK);
  rs_threads_set(3);
  assert_int_equal(rs_elastic_net(&two, &m, &o), RS_OK);
  rs_threads_set(before);
  assert_int_equal(rs_csr_entries(&one), rs_csr_entries(&two));
  assert_memory_equal(rs_i32(&one.columns), rs_i32(&two.columns), rs_tensor_bytes(&one.columns));
  assert_memory_equal(rs_f32(&one.values), rs_f32(&two.values), rs_tensor_bytes(&one.values));
  rs_csr_free(&m);
  rs_csr_free(&one);
  rs_csr_free(&two);
}

static void nothing_gives_nothing(void **state) {
  (void)state;
  rs_tensor starts = {0}, columns = {0}, values = {0};
  rs_csr m = {0}, w = {0};
  assert_int_equal(rs_tensor_zeros(&starts, RS_I64, 1, (int64_t[]){3}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&columns, RS_I32, 1, (int64_t[]){0}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&values, RS_F32, 1, (int64_t[]){0}), RS_OK);
  assert_int_equal(rs_csr_from(&m, &starts, &columns, &values, 4), RS_OK);
  rs_elastic_net_options o = {.l1 = 1, .l2 = 1, .neighbours = 7, .sweeps = 50, .tolerance = 1e-4};
  assert_int_equal(rs_elastic_net(&w, &m, &o), RS_OK);
  assert_int_equal(w.rows, 4);
  assert_int_equal(rs_csr_entries(&w), 0);
  rs_csr_free(&w);
  rs_csr_free(&m);
  rs_tensor_free(&starts);
  rs_tensor_free(&columns);
  rs_tensor_free(&values);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_weight_is_where_it_should_be),
      cmocka_unit_test(the_number_of_threads_changes_no_bit),
      cmocka_unit_test(nothing_gives_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
