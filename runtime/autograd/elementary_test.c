/* elementary_test.c - the float functions against libm in double, over dense grids and at the ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>

#include "autograd/elementary.h"

typedef float float_function(float x);
typedef double double_function(double x);

static double logistic(double x) { return 1 / (1 + exp(-x)); }

/* The largest error over [from, to], in units of FLT_EPSILON times max(|result|, least). */
static double worst_error(float_function *f, double_function *exact, double from, double to, double least) {
  enum { STEPS = 400000 };
  double worst = 0;
  for (int i = 0; i <= STEPS; i++) {
    float x = (float)(from + (to - from) * i / STEPS);
    double y = exact(x), scale = fabs(y) > least ? fabs(y) : least;
    double error = fabs((double)f(x) - y) / (FLT_EPSILON * scale);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

static void functions_are_within_four_units(void **state) {
  (void)state;
  assert_true(worst_error(rs_exp_f32, exp, -87, 88.7, FLT_MIN) < 4);
  assert_true(worst_error(rs_exp_f32, exp, -1, 1, FLT_MIN) < 2);
  assert_true(worst_error(rs_log_1_to_2_f32, log1p, 0, 1, FLT_MIN) < 4);
  assert_true(worst_error(rs_log_1_to_2_f32, log1p, 0, 1e-6, FLT_MIN) < 4);
  assert_true(worst_error(rs_logistic_f32, logistic, -87, 87, FLT_MIN) < 4);
  assert_true(worst_error(rs_tanh_f32, tanh, -12, 12, FLT_MIN) < 4);
  assert_true(worst_error(rs_tanh_f32, tanh, -1e-3, 1e-3, FLT_MIN) < 4);
  assert_true(worst_error(rs_erf_f32, erf, -6, 6, FLT_MIN) < 4);
  assert_true(worst_error(rs_erf_f32, erf, -1e-3, 1e-3, FLT_MIN) < 4);
}

static void ends_are_served(void **state) {
  (void)state;
  assert_true(rs_exp_f32(0) == 1);
  assert_true(rs_exp_f32(-INFINITY) == 0 && rs_exp_f32(-200) == 0 && rs_exp_f32(INFINITY) == INFINITY);
  assert_true(rs_exp_f32(89) == INFINITY && rs_exp_f32(88.5f) < INFINITY);
  assert_true(fabs(rs_exp_f32(-100) / exp(-100) - 1) < 0.05); /* a denormal */
  assert_true(rs_logistic_f32(-INFINITY) == 0 && rs_logistic_f32(INFINITY) == 1 && rs_logistic_f32(0) == 0.5f);
  assert_true(rs_tanh_f32(INFINITY) == 1 && rs_tanh_f32(-INFINITY) == -1 && rs_tanh_f32(0) == 0);
  assert_true(rs_erf_f32(INFINITY) == 1 && rs_erf_f32(-INFINITY) == -1 && rs_erf_f32(0) == 0);
}

static void nan_stays(void **state) {
  (void)state;
  assert_true(isnan(rs_exp_f32(NAN)) && isnan(rs_log_1_to_2_f32(NAN)) && isnan(rs_logistic_f32(NAN)));
  assert_true(isnan(rs_tanh_f32(NAN)) && isnan(rs_erf_f32(NAN)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(functions_are_within_four_units),
      cmocka_unit_test(ends_are_served),
      cmocka_unit_test(nan_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
