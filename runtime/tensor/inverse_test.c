/* inverse_test.c - the inverse of positive definite matrices, and what is refused. */
#include "tensor/inverse.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"

/* b' b + n I of a random b [n, n]. */
static void make_definite(rs_tensor *a, int64_t n) {
  rs_tensor b = {0};
  rs_stream s = rs_stream_at(5, RS_RNG_USER, 0, 0);
  assert_int_equal(rs_tensor_new(&b, RS_F64, 2, (int64_t[]){n, n}), RS_OK);
  for (int64_t i = 0; i < n * n; i++) rs_f64(&b)[i] = (double)rs_stream_below(&s, (uint64_t)i, 2001) / 1000 - 1;
  assert_int_equal(rs_matmul(a, &b, true, &b, false), RS_OK);
  for (int64_t i = 0; i < n; i++) rs_f64(a)[i * n + i] += (double)n;
  rs_tensor_free(&b);
}

static void times_its_matrix_is_one(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    int64_t n = (int64_t[]){0, 1, 17, 300}[i];
    rs_tensor a = {0}, inverse = {0}, one = {0};
    make_definite(&a, n);
    assert_int_equal(rs_inverse_definite(&inverse, &a), RS_OK);
    assert_int_equal(rs_matmul(&one, &a, false, &inverse, false), RS_OK);
    for (int64_t at = 0; at < n * n; at++)
      assert_true(fabs(rs_f64(&one)[at] - (at % (n + 1) == 0 ? 1 : 0)) < 1e-13 * (double)n);
    rs_tensor_free(&a);
    rs_tensor_free(&inverse);
    rs_tensor_free(&one);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

/* Several pivots, the last of them not whole, in both dtypes. */
static void blocks_are_swept_one_after_the_other(void **state) {
  (void)state;
  int64_t n = 1100;
  rs_tensor a = {0}, half = {0}, inverse = {0}, one = {0};
  make_definite(&a, n);
  assert_int_equal(rs_cast(&half, &a, RS_F32), RS_OK);
  assert_int_equal(rs_inverse_definite(&inverse, &a), RS_OK);
  assert_int_equal(rs_matmul(&one, &a, false, &inverse, false), RS_OK);
  for (int64_t at = 0; at < n * n; at++) {
    assert_true(fabs(rs_f64(&one)[at] - (at % (n + 1) == 0 ? 1 : 0)) < 1e-12);
    assert_true(rs_f64(&inverse)[at] == rs_f64(&inverse)[at % n * n + at / n]);
  }
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) rs_f32(&half)[i * n + j] = NAN; /* is not read */
  assert_int_equal(rs_inverse_definite_in_place(&half), RS_OK);
  double most = 0, off = 0;
  for (int64_t at = 0; at < n * n; at++) {
    most = fmax(most, fabs(rs_f64(&inverse)[at]));
    off = fmax(off, fabs((double)rs_f32(&half)[at] - rs_f64(&inverse)[at]));
  }
  assert_true(off < 1e-5 * most);
  rs_tensor_free(&a);
  rs_tensor_free(&half);
  rs_tensor_free(&inverse);
  rs_tensor_free(&one);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void the_number_of_threads_changes_no_bit(void **state) {
  (void)state;
  int before = rs_threads();
  rs_tensor a = {0}, one = {0}, two = {0};
  make_definite(&a, 1100);
  rs_threads_set(1);
  assert_int_equal(rs_inverse_definite(&one, &a), RS_OK);
  rs_threads_set(2);
  assert_int_equal(rs_inverse_definite(&two, &a), RS_OK);
  rs_threads_set(before);
  assert_memory_equal(rs_f64(&one), rs_f64(&two), rs_tensor_bytes(&one));
  rs_tensor_free(&a);
  rs_tensor_free(&one);
  rs_tensor_free(&two);
}

static void what_has_no_such_inverse_is_refused(void **state) {
  (void)state;
  rs_tensor a = {0}, out = {0};
  assert_int_equal(rs_tensor_zeros(&a, RS_F64, 2, (int64_t[]){3, 3}), RS_OK);
  assert_int_equal(rs_inverse_definite(&out, &a), RS_ENUMERIC);
  assert_string_equal(rs_message(), "inverse: the matrix is not positive definite");
  rs_tensor_free(&a);
  assert_int_equal(rs_tensor_zeros(&a, RS_F64, 2, (int64_t[]){3, 2}), RS_OK);
  assert_int_equal(rs_inverse_definite(&out, &a), RS_ESHAPE);
  rs_tensor_free(&a);
  assert_int_equal(rs_tensor_zeros(&a, RS_I32, 2, (int64_t[]){2, 2}), RS_OK);
  assert_int_equal(rs_inverse_definite(&out, &a), RS_ESHAPE);
  assert_string_equal(rs_message(), "inverse: a square matrix of f32 or f64 is expected, not i32 [2, 2]");
  rs_tensor_free(&a);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(times_its_matrix_is_one),
      cmocka_unit_test(blocks_are_swept_one_after_the_other),
      cmocka_unit_test(the_number_of_threads_changes_no_bit),
      cmocka_unit_test(what_has_no_such_inverse_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
