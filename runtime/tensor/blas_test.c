/* blas_test.c - the kernels that products run on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <cmocka.h>

#include "tensor/blas.h"

/* [n, n] times itself, element by element, in float64. */
static double element(const float *a, int n, int i, int j) {
  double sum = 0;
  for (int k = 0; k < n; k++) sum += (double)a[i * n + k] * a[k * n + j];
  return sum;
}

static void products_are_right_on_the_kernels_chosen(void **state) {
  (void)state;
  enum { N = 67 };
  static float a[N * N], out[N * N];
  rs_blas_prepare();
  rs_blas_prepare();
  for (int i = 0; i < N * N; i++) a[i] = (float)(i * 37 % 11) - 5; /* small whole numbers: exact in any order */
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, a, N, a, N, 0, out, N);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) assert_true(element(a, N, i, j) == out[i * N + j]);
}

static void a_cpu_with_avx2_never_runs_the_sse3_kernels(void **state) {
  (void)state;
#ifdef __x86_64__
  rs_blas_prepare();
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || getenv("OPENBLAS_CORETYPE")) skip();
  assert_string_not_equal(rs_blas_core(), "Prescott");
#else
  skip();
#endif
}

static void products_use_the_one_thread_pool(void **state) {
  (void)state;
  assert_int_equal(openblas_get_parallel(), 2); /* 2: the OpenMP build */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_are_right_on_the_kernels_chosen),
      cmocka_unit_test(a_cpu_with_avx2_never_runs_the_sse3_kernels),
      cmocka_unit_test(products_use_the_one_thread_pool),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
