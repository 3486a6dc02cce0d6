#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "frame/column.h"

/* The numbers 0 .. n-1 under 'name'. */
static rs_column numbers(const char *name, int64_t n) {
  rs_column c = {.type = RS_NUMBER, .name = rs_strdup(name)};
  assert_int_equal(rs_tensor_new(&c.values, RS_F64, 1, &n), RS_OK);
  for (int64_t i = 0; i < n; i++) rs_f64(&c.values)[i] = (double)i;
  return c;
}

/* Rows {1, 2}, {}, {2}. */
static rs_column list(const char *name) {
  rs_column c = {.type = RS_LIST, .name = rs_strdup(name)};
  int32_t code;
  assert_int_equal(rs_dictionary_new(&c.dictionary), RS_OK);
  assert_int_equal(rs_dictionary_add(c.dictionary, "x", 1, &code), RS_OK);
  assert_int_equal(rs_dictionary_add(c.dictionary, "y", 1, &code), RS_OK);
  assert_int_equal(rs_tensor_new(&c.values, RS_I32, 1, (int64_t[]){3}), RS_OK);
  assert_int_equal(rs_tensor_new(&c.starts, RS_I64, 1, (int64_t[]){3}), RS_OK);
  assert_int_equal(rs_tensor_new(&c.lengths, RS_I32, 1, (int64_t[]){3}), RS_OK);
  memcpy(rs_i32(&c.values), (int32_t[]){1, 2, 2}, 3 * sizeof(int32_t));
  memcpy(rs_i64(&c.starts), (int64_t[]){0, 2, 2}, 3 * sizeof(int64_t));
  memcpy(rs_i32(&c.lengths), (int32_t[]){2, 0, 1}, 3 * sizeof(int32_t));
  return c;
}

static void a_frame_refuses_a_taken_name_and_another_row_count(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_column a = numbers("a", 3), again = numbers("a", 3), shorter = numbers("b", 2);
  assert_int_equal(rs_frame_add(&f, &a), RS_OK);
  assert_null(a.name);
  assert_int_equal(rs_frame_add(&f, &again), RS_EARG);
  assert_int_equal(rs_frame_add(&f, &shorter), RS_ESHAPE);
  assert_string_equal(rs_message(), "frame: column 'b' has 2 rows, the others have 3");
  assert_non_null(again.name);
  assert_non_null(rs_frame_column(&f, "a"));
  assert_null(rs_frame_column(&f, "b"));
  assert_int_equal(f.rows, 3);
  rs_column_free(&again);
  rs_column_free(&shorter);
  rs_frame_free(&f);
  rs_frame_free(&f);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void take_repeats_and_reorders_rows(void **state) {
  (void)state;
  rs_column c = numbers("a", 5), taken = {0};
  assert_int_equal(rs_column_take(&taken, &c, (int64_t[]){4, 0, 4}, 3), RS_OK);
  rs_column_free(&c);
  assert_int_equal(rs_column_rows(&taken), 3);
  assert_true(rs_f64(&taken.values)[0] == 4 && rs_f64(&taken.values)[1] == 0 && rs_f64(&taken.values)[2] == 4);
  assert_string_equal(taken.name, "a");
  rs_column_free(&taken);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void take_shares_the_values_of_a_list(void **state) {
  (void)state;
  rs_column c = list("genres"), taken = {0};
  assert_int_equal(rs_column_take(&taken, &c, (int64_t[]){2, 0}, 2), RS_OK);
  assert_ptr_equal(taken.values.storage, c.values.storage);
  assert_int_equal(rs_i64(&taken.starts)[0], 2);
  assert_int_equal(rs_i32(&taken.lengths)[1], 2);
  rs_column_free(&c);
  assert_int_equal(taken.dictionary->n, 2);
  rs_column_free(&taken);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void refused_memory_leaves_nothing_behind(void **state) {
  (void)state;
  rs_column c = list("genres"), out = {0};
  int64_t before = rs_alloc_blocks();
  rs_status status = RS_ENOMEM;
  for (int n = 0; status != RS_OK; n++) {
    assert_int_equal(status, RS_ENOMEM);
    rs_alloc_fault(n);
    status = rs_column_take(&out, &c, (int64_t[]){1}, 1);
    rs_alloc_fault(-1);
    if (status != RS_OK) assert_int_equal(rs_alloc_blocks(), before);
  }
  rs_column_free(&out);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void type_names_go_both_ways(void **state) {
  (void)state;
  rs_column_type type;
  for (int i = 0; i < 4; i++) {
    assert_int_equal(rs_column_type_named(&type, rs_column_type_name((rs_column_type)i)), RS_OK);
    assert_int_equal(type, i);
  }
  assert_int_equal(rs_column_type_named(&type, "date"), RS_EARG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_frame_refuses_a_taken_name_and_another_row_count),
      cmocka_unit_test(take_repeats_and_reorders_rows),
      cmocka_unit_test(take_shares_the_values_of_a_list),
      cmocka_unit_test(refused_memory_leaves_nothing_behind),
      cmocka_unit_test(type_names_go_both_ways),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
