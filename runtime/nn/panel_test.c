/* panel_test.c - every set of kernels that this CPU runs against sums in double, and against the plain ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "nn/panel.h"

enum { SETS = 4 };

static float noise(int64_t i) { return (float)((i * 7919 + 13) % 2003) / 1001.5F - 1; }

static float *numbers(int64_t n, int64_t seed) {
  float *x = malloc((size_t)(n + 1) * sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < n; i++) x[i] = noise(i + 1000003 * seed);
  return x;
}

/* |x - y| within the rounding of a sum of k products of numbers up to 1. */
static void assert_near(double x, double y, int64_t k) {
  assert_true(fabs(x - y) <= 4 * (double)FLT_EPSILON * sqrt((double)k + 1) * (1 + fabs(y)));
}

static void a_product_is_its_sums(const rs_panel_kernels *kernels, int64_t rows, int64_t width, int64_t k, bool turned,
                                  int start) {
  float *a = numbers(rows * k, 1), *b = numbers(k * width, 2), *c = numbers(rows * width, 3);
  float *was = numbers(rows * width, 3);
  int64_t a_row = turned ? 1 : k, a_step = turned ? rows : 1, start_row = start == 1 ? 0 : width;
  kernels->product(rows, width, k, a, a_row, a_step, b, width, start ? c : NULL, start_row, start == 1 ? was : c, width);
  const float *from = start == 1 ? c : was, *out = start == 1 ? was : c;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < width; j++) {
      double sum = start ? (double)from[i * start_row + j] : 0;
      for (int64_t p = 0; p < k; p++) sum += (double)a[i * a_row + p * a_step] * (double)b[p * width + j];
      assert_near((double)out[i * width + j], sum, k);
    }
  free(a);
  free(b);
  free(c);
  free(was);
}

static void products_of_all_kernels_are_their_sums(void **state) {
  (void)state;
  const rs_panel_kernels *list[SETS];
  int n = rs_panel_kernels_list(RS_F32, list, SETS);
  assert_string_equal(list[n - 1]->name, "plain");
  for (int s = 0; s < n; s++)
    for (int64_t rows = 1; rows <= 14; rows++)
      for (int64_t vectors = 1; vectors <= 9; vectors++)
        for (int way = 0; way < 6; way++)
          a_product_is_its_sums(list[s], rows, vectors * list[s]->lanes, 17, way % 2, way / 2);
}

/* The same row alone, and among others. */
static void a_row_has_its_bits_in_any_panel(void **state) {
  (void)state;
  const rs_panel_kernels *list[SETS];
  int n = rs_panel_kernels_list(RS_F32, list, SETS);
  for (int s = 0; s < n; s++) {
    enum { ROWS = 13, K = 33 };
    int64_t width = 5 * list[s]->lanes;
    float *a = numbers(ROWS * K, 1), *b = numbers(K * width, 2), *c = numbers(ROWS * width, 3), *one = numbers(width, 4);
    list[s]->product(ROWS, width, K, a, K, 1, b, width, NULL, 0, c, width);
    for (int64_t i = 0; i < ROWS; i++) {
      list[s]->product(1, width, K, a + i * K, K, 1, b, width, NULL, 0, one, width);
      assert_memory_equal(one, c + i * width, (size_t)width * sizeof *one);
    }
    free(a);
    free(b);
    free(c);
    free(one);
  }
}

static void exponentials_are_within_two_units(void **state) {
  (void)state;
  enum { N = 1 << 16 };
  const rs_panel_kernels *list[SETS];
  int n = rs_panel_kernels_list(RS_F32, list, SETS);
  float *s = malloc(N * sizeof *s);
  assert_non_null(s);
  for (int set = 0; set < n; set++) {
    double sum = 0, worst = 0;
    for (int i = 0; i < N; i++) s[i] = -86.5F + (float)i * (100.0F / N);
    double total = list[set]->exponentials(s, 0.25, N);
    for (int i = 0; i < N; i++) {
      double exact = exp((double)(-86.5F + (float)i * (100.0F / N) - 0.25F));
      double error = fabs((double)s[i] - exact) / ((double)FLT_EPSILON * exact);
      worst = error > worst ? error : worst;
      sum += exact;
    }
    assert_true(worst < 2);
    assert_near(total / sum, 1, N / 16);
  }
  free(s);
}

static void exponentials_of_the_ends(void **state) {
  (void)state;
  const rs_panel_kernels *list[SETS];
  int n = rs_panel_kernels_list(RS_F32, list, SETS);
  for (int set = 0; set < n; set++) {
    float s[16] = {-INFINITY, -200, -88, 0, 87, 1000, -1};
    double sum = list[set]->exponentials(s, 0, 16);
    assert_true(s[0] == 0 && s[1] == 0 && s[2] == 0 && s[3] == 1 && s[5] > 1e38F && !isnan(sum));
    s[7] = NAN;
    assert_true(isnan(list[set]->exponentials(s, 0, 16)) && isnan(s[7]));
  }
}

/* Scores and both products of all columns, for a width that must be padded and one that need not be. */
static void panels_are_plain_products(const rs_panel_kernels *kernels, int64_t m, int64_t d) {
  enum { ROWS = 7 };
  float *table = numbers(m * d, 5), *x = numbers(ROWS * d, 6);
  rs_panel_columns columns;
  assert_int_equal(rs_panel_columns_new(&columns, kernels, RS_F32, table, m, d, 0.5), RS_OK);
  float *logits = numbers(ROWS * columns.step, 7), *padded = calloc((size_t)(ROWS * columns.deep), sizeof *padded);
  float *x_grad = numbers(ROWS * columns.deep, 8), *grad = numbers(m * columns.deep, 9);
  assert_non_null(padded);
  for (int64_t i = 0; i < ROWS; i++) memcpy(padded + i * columns.deep, x + i * d, (size_t)d * sizeof *x);
  rs_panel_scores(&columns, x, ROWS, logits);
  for (int64_t i = 0; i < ROWS; i++)
    for (int64_t j = 0; j < columns.wide; j++) {
      double sum = 0;
      for (int64_t k = 0; k < d && j < m; k++) sum += 0.5 * (double)x[i * d + k] * (double)table[j * d + k];
      if (j < m)
        assert_near((double)logits[i * columns.step + j], sum, d);
      else
        assert_true(logits[i * columns.step + j] == -INFINITY);
    }
  for (int i = 0; i < 2; i++) rs_panel_products(&columns, logits, ROWS, padded, x_grad, grad, i == 0);
  for (int64_t i = 0; i < ROWS; i++)
    for (int64_t k = 0; k < d; k++) {
      double sum = 0;
      for (int64_t j = 0; j < m; j++) sum += (double)logits[i * columns.step + j] * (double)table[j * d + k];
      assert_near((double)x_grad[i * columns.deep + k], sum, m * d);
    }
  for (int64_t j = 0; j < m; j++)
    for (int64_t k = 0; k < d; k++) {
      double sum = 0;
      for (int64_t i = 0; i < ROWS; i++) sum += 2 * (double)logits[i * columns.step + j] * (double)x[i * d + k];
      assert_near((double)grad[j * columns.deep + k], sum, ROWS * d);
    }
  rs_panel_columns_free(&columns);
  free(table);
  free(x);
  free(logits);
  free(padded);
  free(x_grad);
  free(grad);
}

static void panels_of_all_kernels_are_plain_products(void **state) {
  (void)state;
  const rs_panel_kernels *list[SETS];
  int n = rs_panel_kernels_list(RS_F32, list, SETS);
  for (int s = 0; s < n; s++) {
    panels_are_plain_products(list[s], 1, 1);
    panels_are_plain_products(list[s], 64, 64);
    panels_are_plain_products(list[s], 259, 33);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_of_all_kernels_are_their_sums), cmocka_unit_test(a_row_has_its_bits_in_any_panel),
      cmocka_unit_test(exponentials_are_within_two_units),      cmocka_unit_test(exponentials_of_the_ends),
      cmocka_unit_test(panels_of_all_kernels_are_plain_products),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
