/* machine_test.c - rates are positive, and refused memory leaves nothing behind. */
#include "tensor/machine.h"

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/testing.h"

static void rates_are_positive_and_finite(void **state) {
  (void)state;
  for (int threads = 1; threads <= 3; threads++) {
    double rate = 0;
    rs_threads_set(threads);
    assert_int_equal(rs_machine_sgemm(&rate, 65, 33, 17, false, 2), RS_OK);
    assert_true(rate > 1e6 && rate < 1e15);
    assert_int_equal(rs_machine_sgemm(&rate, 1, 1, 1, true, 1), RS_OK);
    assert_int_equal(rs_machine_copy(&rate, 1 << 20, 2), RS_OK);
    assert_true(rate > 1e6 && rate < 1e15);
  }
}

static void sizes_below_the_least_are_refused(void **state) {
  (void)state;
  double rate;
  assert_int_equal(rs_machine_sgemm(&rate, 0, 1, 1, false, 1), RS_EARG);
  assert_int_equal(rs_machine_sgemm(&rate, 1, 1, 1, false, 0), RS_EARG);
  assert_int_equal(rs_machine_copy(&rate, 63, 1), RS_EARG);
}

static void refused_memory_is_reported_and_leaves_nothing(void **state) {
  (void)state;
  double rate;
  int64_t blocks = rs_alloc_blocks();
  for (int64_t n = 0; n < 3; n++) {
    rs_alloc_fault(n);
    assert_int_equal(rs_machine_sgemm(&rate, 2, 2, 2, false, 1), RS_ENOMEM);
    if (n < 2) assert_int_equal(rs_machine_copy(&rate, 64, 1), RS_ENOMEM);
    rs_alloc_fault(-1);
    assert_int_equal(rs_alloc_blocks(), blocks);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rates_are_positive_and_finite),
      cmocka_unit_test(sizes_below_the_least_are_refused),
      cmocka_unit_test(refused_memory_is_reported_and_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
