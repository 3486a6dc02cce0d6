/* distinct_test.c - distinct values against a search through all that came before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tensor/distinct.h"

static void check(rs_dtype dtype, int64_t n, int64_t limit) {
  rs_tensor t, values = {0}, of = {0};
  assert_int_equal(rs_tensor_new(&t, dtype, 1, &n), RS_OK);
  for (int64_t i = 0; i < n; i++) {
    int64_t value = (i * 7919 + 3) % limit - limit / 2;
    if (dtype == RS_I64)
      rs_i64(&t)[i] = value * (INT64_C(1) << 33);
    else
      rs_i32(&t)[i] = (int32_t)value;
  }
  assert_int_equal(rs_distinct(&values, &of, &t), RS_OK);
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t at = rs_i64(&of)[i];
    assert_true(at <= found);
    assert_int_equal(rs_tensor_get_integer(&values, &at), rs_tensor_get_integer(&t, &i));
    for (int64_t j = 0; j < at; j++)
      assert_true(rs_tensor_get_integer(&values, &j) != rs_tensor_get_integer(&t, &i));
    if (at == found) found++;
  }
  assert_int_equal(values.size[0], found);
  rs_tensor_free(&t);
  rs_tensor_free(&values);
  rs_tensor_free(&of);
}

static void values_come_in_the_order_of_their_first_place(void **state) {
  (void)state;
  const int64_t sizes[] = {0, 1, 2, 17, 400};
  for (int i = 0; i < 5; i++)
    for (int64_t limit = 1; limit <= 1000; limit += 333) {
      check(RS_I64, sizes[i], limit);
      check(RS_I32, sizes[i], limit);
    }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void what_is_no_vector_of_integers_is_refused(void **state) {
  (void)state;
  rs_tensor t, values = {0}, of = {0};
  assert_int_equal(rs_tensor_zeros(&t, RS_F32, 1, (int64_t[]){3}), RS_OK);
  assert_int_equal(rs_distinct(&values, &of, &t), RS_EDTYPE);
  rs_tensor_free(&t);
  assert_int_equal(rs_tensor_zeros(&t, RS_I64, 2, (int64_t[]){3, 3}), RS_OK);
  assert_int_equal(rs_distinct(&values, &of, &t), RS_ESHAPE);
  rs_tensor_free(&t);
  assert_null(values.storage);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_come_in_the_order_of_their_first_place),
      cmocka_unit_test(what_is_no_vector_of_integers_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
