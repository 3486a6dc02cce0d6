/* catalogue_columns_test.c - which columns are a row's positives, and which it leaves out. */
#include "nn/catalogue_columns.h"

#include "base/testing.h"

static void expect_list(const rs_tensor *t, int64_t begin, int64_t end, const int64_t *expected, int n) {
  assert_int_equal(end - begin, n);
  for (int i = 0; i < n; i++) assert_int_equal(rs_i64(t)[begin + i], expected[i]);
}

static void expect_left_out(const rs_columns *c, int row, const int64_t *expected, int n) {
  const int64_t *starts = rs_i64(&c->starts);
  expect_list(&c->left_out, starts[row], starts[row + 1], expected, n);
}

static void without_codes_a_column_holds_its_own_number(void **state) {
  (void)state;
  rs_columns c = {0};
  const int64_t starts[] = {0, 2, 3}, positives[] = {4, 1, 0}, excluded_starts[] = {0, 3, 4}, excluded[] = {3, 4, 3, 9};
  rs_columns_request r = {.n = 2, .m = 5, .starts = starts, .positives = positives};
  r.excluded_starts = excluded_starts;
  r.excluded = excluded;
  assert_int_equal(rs_columns_find(&c, &r), RS_OK);
  expect_list(&c.positives, 0, 3, positives, 3);
  expect_left_out(&c, 0, (int64_t[]){3}, 1); /* a positive is never left out */
  expect_left_out(&c, 1, NULL, 0);
  rs_columns_free(&c);
  r.positives_out = true;
  assert_int_equal(rs_columns_find(&c, &r), RS_OK);
  expect_left_out(&c, 0, (int64_t[]){1, 3, 4}, 3);
  expect_left_out(&c, 1, (int64_t[]){0}, 1);
  rs_columns_free(&c);
  rs_columns_free(&c);
}

static void codes_name_all_columns_of_an_item(void **state) {
  (void)state;
  rs_columns c = {0};
  const int64_t starts[] = {0, 1, 2}, positives[] = {7, 5}, codes[] = {7, 5, 5, 9, 7, 7};
  rs_columns_request r = {.n = 2, .m = 6, .first = 2, .positives_out = true, .starts = starts, .positives = positives};
  r.codes = codes;
  assert_int_equal(rs_columns_find(&c, &r), RS_OK);
  expect_list(&c.positives, 0, 2, (int64_t[]){0, 1}, 2);
  expect_left_out(&c, 0, (int64_t[]){4, 5}, 2); /* column 0 is no negative anyway */
  expect_left_out(&c, 1, (int64_t[]){2}, 1);
  rs_columns_free(&c);
}

static void a_positive_that_no_column_holds_is_refused(void **state) {
  (void)state;
  const int64_t starts[] = {0, 1}, codes[] = {3, 4};
  for (int64_t item = -1; item <= 2; item += 3) {
    rs_columns c = {0};
    rs_columns_request r = {.n = 1, .m = 2, .starts = starts, .positives = &item, .codes = item < 0 ? NULL : codes};
    assert_int_equal(rs_columns_find(&c, &r), RS_ERANGE);
    rs_columns_free(&c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(without_codes_a_column_holds_its_own_number),
                                     cmocka_unit_test(codes_name_all_columns_of_an_item),
                                     cmocka_unit_test(a_positive_that_no_column_holds_is_refused)};
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
