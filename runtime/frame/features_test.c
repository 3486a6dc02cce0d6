/* Features: gathering against a plain loop, and what strangers may not store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "frame/features.h"

enum { ROWS = 5000, WIDTH = 3, VALUES = 900 };

static rs_output output(const char *name, rs_output_kind kind) {
  rs_output o = {.kind = kind, .name = rs_strdup(name)};
  assert_non_null(o.name);
  return o;
}

/* Codes, numbers, and a list whose slices overlap. */
static rs_features make(void) {
  rs_features f = {0};
  int64_t rows = ROWS, values = VALUES;
  rs_stream s = rs_stream_at(1, RS_RNG_USER, 0, 0);
  rs_output codes = output("user.code", RS_CODES), numbers = output("user.number", RS_NUMBERS);
  rs_output list = output("user.list", RS_CODE_LIST);
  assert_int_equal(rs_tensor_new(&codes.values, RS_I32, 1, &rows), RS_OK);
  assert_int_equal(rs_tensor_new(&numbers.values, RS_F32, 2, (int64_t[]){ROWS, WIDTH}), RS_OK);
  assert_int_equal(rs_tensor_new(&list.values, RS_I32, 1, &values), RS_OK);
  assert_int_equal(rs_tensor_new(&list.starts, RS_I64, 1, &rows), RS_OK);
  assert_int_equal(rs_tensor_new(&list.lengths, RS_I32, 1, &rows), RS_OK);
  for (int i = 0; i < VALUES; i++) rs_i32(&list.values)[i] = i;
  for (int i = 0; i < ROWS; i++) {
    rs_i32(&codes.values)[i] = 7 * i;
    for (int j = 0; j < WIDTH; j++) rs_f32(&numbers.values)[i * WIDTH + j] = (float)(i + j) / 3;
    rs_i32(&list.lengths)[i] = (int32_t)rs_stream_below(&s, (uint64_t)i, 20);
    rs_i64(&list.starts)[i] = (int64_t)rs_stream_below(&s, (uint64_t)(ROWS + i), VALUES - 20);
  }
  assert_int_equal(rs_features_add(&f, &codes), RS_OK);
  assert_int_equal(rs_features_add(&f, &numbers), RS_OK);
  assert_int_equal(rs_features_add(&f, &list), RS_OK);
  return f;
}

static void check_batch(const rs_features *f, const int64_t *rows, int64_t n) {
  rs_tensors batch = {0};
  assert_int_equal(rs_features_gather(f, rows, n, &batch), RS_OK);
  const rs_tensor *codes = rs_tensors_find(&batch, "user.code"), *numbers = rs_tensors_find(&batch, "user.number");
  const rs_tensor *list = rs_tensors_find(&batch, "user.list"), *at = rs_tensors_find(&batch, "user.list.offsets");
  assert_int_equal(batch.n, 4);
  assert_int_equal(codes->size[0], n);
  assert_int_equal(numbers->size[1], WIDTH);
  assert_int_equal(at->size[0], n + 1);
  assert_int_equal(rs_i64(at)[0], 0);
  assert_int_equal(rs_i64(at)[n], list->size[0]);
  const rs_output *from = rs_features_output(f, "user.list");
  for (int64_t i = 0; i < n; i++) {
    assert_int_equal(rs_i32(codes)[i], 7 * rows[i]);
    for (int j = 0; j < WIDTH; j++) assert_true(rs_f32(numbers)[i * WIDTH + j] == (float)(rows[i] + j) / 3);
    assert_int_equal(rs_i64(at)[i + 1] - rs_i64(at)[i], rs_i32(&from->lengths)[rows[i]]);
    for (int64_t j = rs_i64(at)[i]; j < rs_i64(at)[i + 1]; j++)
      assert_int_equal(rs_i32(list)[j], rs_i64(&from->starts)[rows[i]] + j - rs_i64(at)[i]);
  }
  rs_tensors_free(&batch);
}

static void gathering_equals_a_loop_on_any_number_of_threads(void **state) {
  (void)state;
  rs_features f = make();
  int64_t rows[3 * ROWS];
  rs_stream s = rs_stream_at(2, RS_RNG_USER, 0, 0);
  for (int i = 0; i < 3 * ROWS; i++) rows[i] = (int64_t)rs_stream_below(&s, (uint64_t)i, ROWS);
  int threads = rs_threads();
  for (int n = 1; n <= 4; n++) {
    rs_threads_set(n);
    check_batch(&f, rows, 3 * ROWS);
  }
  rs_threads_set(threads);
  check_batch(&f, rows, 1);
  check_batch(&f, rows, 0);
  rs_features_free(&f);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void rows_outside_are_refused(void **state) {
  (void)state;
  rs_features f = make();
  rs_tensors batch = {0};
  assert_int_equal(rs_features_gather(&f, (int64_t[]){0, ROWS}, 2, &batch), RS_ERANGE);
  assert_int_equal(rs_features_gather(&f, (int64_t[]){-1}, 1, &batch), RS_ERANGE);
  rs_features_free(&f);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void outputs_that_do_not_fit_stay_the_callers(void **state) {
  (void)state;
  rs_features f = make();
  int64_t rows = ROWS - 1;
  rs_output taken = output("user.code", RS_CODES), shorter = output("user.x", RS_CODES);
  rs_output unnamed = output("x", RS_CODES);
  assert_int_equal(rs_tensor_zeros(&shorter.values, RS_I32, 1, &rows), RS_OK);
  rs_tensor_share(&unnamed.values, &shorter.values);
  rs_tensor_share(&taken.values, &shorter.values);
  assert_int_equal(rs_features_add(&f, &shorter), RS_ESHAPE);
  assert_int_equal(rs_features_add(&f, &taken), RS_EARG);
  assert_int_equal(rs_features_add(&f, &unnamed), RS_EARG);
  shorter.kind = RS_NUMBERS;
  assert_int_equal(rs_features_add(&f, &shorter), RS_EDTYPE);
  assert_string_equal(shorter.name, "user.x");
  rs_output_free(&taken);
  rs_output_free(&shorter);
  rs_output_free(&unnamed);
  rs_features_free(&f);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void stored_features_come_back_and_damaged_ones_do_not(void **state) {
  (void)state;
  rs_features f = make(), back = {0};
  rs_tensors tensors = {0}, other = {0};
  assert_int_equal(rs_features_tensors(&f, &tensors), RS_OK);
  assert_int_equal(tensors.n, 5);
  assert_int_equal(rs_features_from(&back, &tensors), RS_OK);
  int64_t rows[] = {3, 1, 4, 1, 5};
  check_batch(&back, rows, 5);
  rs_features_free(&back);
  const rs_output *list = rs_features_output(&f, "user.list");
  rs_i64(&list->starts)[9] = VALUES;
  rs_i32(&list->lengths)[9] = 1;
  assert_int_equal(rs_features_from(&back, &tensors), RS_EFORMAT);
  rs_i64(&list->starts)[9] = 0;
  rs_i32(&list->lengths)[9] = -1;
  assert_int_equal(rs_features_from(&back, &tensors), RS_EFORMAT);
  assert_int_equal(rs_tensors_add(&other, "user.list.values", &list->values), RS_OK);
  assert_int_equal(rs_features_from(&back, &other), RS_EFORMAT);
  rs_tensors_free(&other);
  assert_int_equal(rs_tensors_add(&other, "nothing", &list->values), RS_OK);
  assert_int_equal(rs_features_from(&back, &other), RS_EFORMAT);
  rs_tensors_free(&other);
  rs_tensors_free(&tensors);
  rs_features_free(&f);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void a_difference_is_found_at_its_first_row(void **state) {
  (void)state;
  rs_features a = make(), b = make();
  int64_t row = 0;
  const char *name = NULL;
  assert_int_equal(rs_features_difference(&a, &b, &row, &name), RS_OK);
  assert_int_equal(row, -1);
  const rs_output *list = rs_features_output(&b, "user.list");
  int64_t at = 9;
  while (rs_i32(&list->lengths)[at] == 0) at++;
  rs_i32(&list->values)[rs_i64(&list->starts)[at]] += 1;
  assert_int_equal(rs_features_difference(&a, &b, &row, &name), RS_OK);
  assert_true(row >= 0 && row <= at); /* slices overlap: an earlier row may hold the value, too */
  assert_string_equal(name, "user.list");
  int64_t found = row;
  for (int64_t i = 0; i < found; i++)
    for (int k = 0; k < a.n_outputs; k++) assert_true(rs_output_same(&a.outputs[k], &b.outputs[k], i));
  b.rows--;
  assert_int_equal(rs_features_difference(&a, &b, &row, &name), RS_ESHAPE);
  b.rows++;
  rs_features_free(&a);
  rs_features_free(&b);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void weights_are_compared_as_what_they_are(void **state) {
  (void)state;
  rs_features f[2] = {{0}, {0}};
  for (int k = 0; k < 2; k++) {
    rs_output weights = output("event.weight", RS_WEIGHT_LIST);
    assert_int_equal(rs_tensor_zeros(&weights.values, RS_F32, 1, (int64_t[]){6}), RS_OK);
    assert_int_equal(rs_tensor_zeros(&weights.starts, RS_I64, 1, (int64_t[]){3}), RS_OK);
    assert_int_equal(rs_tensor_zeros(&weights.lengths, RS_I32, 1, (int64_t[]){3}), RS_OK);
    for (int i = 0; i < 3; i++) {
      rs_i64(&weights.starts)[i] = 2 * i;
      rs_i32(&weights.lengths)[i] = 2;
    }
    assert_int_equal(rs_features_add(&f[k], &weights), RS_OK);
  }
  int64_t row = 0;
  const char *name = NULL;
  assert_int_equal(rs_features_difference(&f[0], &f[1], &row, &name), RS_OK);
  assert_int_equal(row, -1);
  rs_f32(&f[1].outputs[0].values)[3] = 0.25f;
  assert_int_equal(rs_features_difference(&f[0], &f[1], &row, &name), RS_OK);
  assert_int_equal(row, 1);
  assert_string_equal(name, "event.weight");
  rs_features_free(&f[0]);
  rs_features_free(&f[1]);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gathering_equals_a_loop_on_any_number_of_threads),
      cmocka_unit_test(rows_outside_are_refused),
      cmocka_unit_test(outputs_that_do_not_fit_stay_the_callers),
      cmocka_unit_test(a_difference_is_found_at_its_first_row),
      cmocka_unit_test(weights_are_compared_as_what_they_are),
      cmocka_unit_test(stored_features_come_back_and_damaged_ones_do_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
