/* check_test.c - what a checked tape names, and which units it finds active. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "autograd/check.h"
#include "autograd/ops.h"
#include "base/alloc.h"

static rs_tensor row_of(float a, float b) {
  rs_tensor t = {0};
  assert_int_equal(rs_tensor_new(&t, RS_F32, 2, (int64_t[]){1, 2}), RS_OK);
  rs_f32(&t)[0] = a;
  rs_f32(&t)[1] = b;
  return t;
}

/* sum(scale * log(x)) on a checked tape. */
static rs_status run(rs_tensor *t, double scale) {
  rs_node *x = NULL, *y = NULL, *loss = NULL;
  rs_tape *tape = NULL;
  assert_int_equal(rs_tape_new(&tape, &(rs_tape_options){.gradients = true}), RS_OK);
  rs_tape_check(tape);
  rs_status status = rs_tape_input(&x, tape, "item.price", t, true);
  if (status == RS_OK) status = rs_ag_log(&y, x);
  if (status == RS_OK) status = rs_ag_affine(&y, y, scale, 0);
  if (status == RS_OK) status = rs_ag_sum(&loss, y);
  if (status == RS_OK) status = rs_tape_backward(loss);
  rs_tape_free(tape);
  rs_tensor_free(t);
  assert_int_equal(rs_alloc_blocks(), 0);
  return status;
}

static void finite_numbers_pass(void **state) {
  (void)state;
  rs_tensor t = row_of(1, 2);
  assert_int_equal(run(&t, 1), RS_OK);
}

static void an_input_is_named(void **state) {
  (void)state;
  rs_tensor t = row_of(1, NAN);
  assert_int_equal(run(&t, 1), RS_ENUMERIC);
  assert_string_equal(rs_message(),
                      "log of input 'item.price' [1, 2], input 'item.price' that it is given: NaN in 1 of 2 numbers");
}

static void the_first_bad_result_is_named(void **state) {
  (void)state;
  rs_tensor t = row_of(0, 2);
  assert_int_equal(run(&t, 1), RS_ENUMERIC);
  assert_string_equal(rs_message(), "log of input 'item.price' [1, 2], its result: an infinity in 1 of 2 numbers");
}

static void the_first_bad_gradient_is_named(void **state) {
  (void)state;
  rs_tensor t = row_of(1e-30f, 1);
  assert_int_equal(run(&t, 1e20), RS_ENUMERIC);
  assert_string_equal(rs_message(), "log of input 'item.price' [1, 2], the gradient that it gives input "
                                    "'item.price': an infinity in 1 of 2 numbers");
}

static void active_units_are_those_above_zero(void **state) {
  (void)state;
  rs_tensor t = row_of(-1, 3);
  rs_node *x = NULL, *y = NULL;
  rs_tape *tape = NULL;
  rs_tensors units = {0};
  assert_int_equal(rs_tape_new(&tape, &(rs_tape_options){.gradients = true}), RS_OK);
  assert_int_equal(rs_tape_input(&x, tape, "x", &t, false), RS_OK);
  assert_int_equal(rs_ag_relu(&y, x), RS_OK);
  assert_int_equal(rs_ag_gelu(&y, x), RS_OK);
  assert_int_equal(rs_tape_active_units(&units, tape), RS_OK);
  assert_int_equal(units.n, 1);
  assert_string_equal(units.items[0].name, "relu.1");
  assert_true(rs_f32(&units.items[0].tensor)[0] == 0 && rs_f32(&units.items[0].tensor)[1] == 1);
  rs_tensors_free(&units);
  rs_tape_free(tape);
  rs_tensor_free(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finite_numbers_pass),
      cmocka_unit_test(an_input_is_named),
      cmocka_unit_test(the_first_bad_result_is_named),
      cmocka_unit_test(the_first_bad_gradient_is_named),
      cmocka_unit_test(active_units_are_those_above_zero),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
