/* ridge_test.c - small regressions against their normal equations in f64. */
#include "tensor/ridge.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/testing.h"
#include "tensor/block.h"

enum { TABLE = 700 };

typedef struct example {
  rs_ridge p;
  float *table, *diagonal, *weights, *x, *scratch;
  int32_t *columns;
} example;

static example make(int64_t d, int64_t n, bool weighted) {
  rs_stream s = rs_stream_at(9, RS_RNG_USER, (uint64_t)d, (uint64_t)n);
  int64_t stride = d + 3;
  example e = {.table = rs_alloc((size_t)(TABLE * stride) * sizeof(float)), .diagonal = rs_alloc((size_t)d * sizeof(float)),
               .weights = rs_alloc((size_t)(n + 1) * sizeof(float)), .x = rs_alloc((size_t)d * sizeof(float)),
               .columns = rs_alloc((size_t)(n + 1) * sizeof(int32_t)),
               .scratch = rs_alloc((size_t)rs_ridge_scratch(d) * sizeof(float))};
  for (int64_t i = 0; i < TABLE * stride; i++) e.table[i] = (float)rs_stream_normal(&s, (uint64_t)i) * 0.3f;
  for (int64_t j = 0; j < d; j++) e.diagonal[j] = 0.1f + (float)j / (float)d;
  for (int64_t i = 0; i < n; i++) {
    e.weights[i] = (float)rs_stream_below(&s, (uint64_t)(1000000 + i), 5) / 2;
    e.columns[i] = (int32_t)rs_stream_below(&s, (uint64_t)(2000000 + i), TABLE);
  }
  e.p = (rs_ridge){.table = e.table, .d = d, .stride = stride, .diagonal = e.diagonal, .columns = e.columns,
                   .weights = weighted ? e.weights : NULL, .n = n, .pull = 0.25f};
  return e;
}

static void free_example(example *e) {
  rs_free(e->table), rs_free(e->diagonal), rs_free(e->weights), rs_free(e->x), rs_free(e->scratch), rs_free(e->columns);
}

/* The largest part of (D + sum w y y') x - sum t y, in units of the right side's largest. */
static double residual(const example *e, const float *x) {
  double worst = 0, largest = 1e-30;
  for (int64_t j = 0; j < e->p.d; j++) {
    double left = (double)e->diagonal[j] * (double)x[j], right = 0;
    for (int64_t i = 0; i < e->p.n; i++) {
      const float *y = e->table + e->columns[i] * e->p.stride;
      double w = e->p.weights ? (double)e->weights[i] : 1, score = 0;
      for (int64_t k = 0; k < e->p.d; k++) score += (double)y[k] * (double)x[k];
      left += w * score * (double)y[j];
      right += (w + (double)e->p.pull) * (double)y[j];
    }
    worst = fmax(worst, fabs(left - right));
    largest = fmax(largest, fabs(right));
  }
  return worst / largest;
}

static void solves_its_normal_equations(void **state) {
  (void)state;
  const int64_t widths[] = {1, 3, 16, 17, 64, 130}, counts[] = {0, 1, 7, 16, 63, 64, 65, 300};
  for (int i = 0; i < 6; i++)
    for (int k = 0; k < 8; k++)
      for (int weighted = 0; weighted < 2; weighted++) {
        example e = make(widths[i], counts[k], weighted);
        assert_true(rs_ridge_solve(e.x, &e.p, e.scratch));
        assert_true(residual(&e, e.x) < 2e-5); /* rounding times the condition, some 100 */
        free_example(&e);
      }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void either_system_has_the_same_solution(void **state) {
  (void)state;
  example e = make(40, 40, false);
  float other[40], none = 0;
  assert_true(rs_ridge_solve(e.x, &e.p, e.scratch));
  e.columns[40] = 0, e.p.n = 41; /* one more, of no weight: the system is that of the columns */
  for (int i = 0; i < 40; i++) e.weights[i] = 1;
  e.weights[40] = none, e.p.weights = e.weights, e.p.pull = 0;
  assert_true(rs_ridge_solve(other, &e.p, e.scratch));
  e.p.n = 40;
  assert_true(rs_ridge_solve(e.x, &e.p, e.scratch));
  for (int j = 0; j < 40; j++) assert_true(fabsf(e.x[j] - other[j]) < 1e-5f);
  free_example(&e);
}

static void every_kernel_of_products_solves_alike(void **state) {
  (void)state;
  const char *names[] = {"plain", "avx2", "avx512"};
  float first[17];
  for (int i = 0; i < 3; i++) {
    rs_block_kernel *kernel = rs_block_kernel_named(names[i]);
    if (!kernel) continue;
    example e = make(17, 30, true);
    rs_block_use(kernel);
    assert_true(rs_ridge_solve(i ? e.x : first, &e.p, e.scratch));
    for (int j = 0; i && j < 17; j++) assert_true(fabsf(e.x[j] - first[j]) < 1e-5f);
    rs_block_use(NULL);
    free_example(&e);
  }
}

static void says_when_a_number_is_not_finite(void **state) {
  (void)state;
  for (int n = 5; n < 100; n += 90) {
    example e = make(20, n, false);
    e.table[e.columns[3] * e.p.stride + 2] = NAN;
    assert_false(rs_ridge_solve(e.x, &e.p, e.scratch));
    free_example(&e);
    e = make(20, n, true);
    e.diagonal[1] = 0;
    assert_false(rs_ridge_solve(e.x, &e.p, e.scratch));
    free_example(&e);
  }
}

static void refuses_what_is_not_definite(void **state) {
  (void)state;
  float a[2 * 16] = {1, 2, 1}, x[2], pivots[2];
  a[16 + 1] = 3, a[16 + 2] = 1;
  assert_false(rs_ridge_definite(x, a, pivots, 2, 16));
  float b[2 * 16] = {4, 2, 10};
  b[16 + 1] = 5, b[16 + 2] = 9;
  assert_true(rs_ridge_definite(x, b, pivots, 2, 16)); /* [4 2; 2 5] x = [10; 9] */
  assert_true(fabsf(x[0] - 2) < 1e-6f && fabsf(x[1] - 1) < 1e-6f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(solves_its_normal_equations),      cmocka_unit_test(either_system_has_the_same_solution),
      cmocka_unit_test(every_kernel_of_products_solves_alike), cmocka_unit_test(says_when_a_number_is_not_finite),
      cmocka_unit_test(refuses_what_is_not_definite),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
