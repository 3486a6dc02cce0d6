/* sequences_test.c - users' runs and their beginnings. */
#include "metrics/sequences.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/alloc.h"

static const int64_t user[] = {2, 0, 2, 2, 0, 2}, item[] = {9, 8, 7, 6, 5, 4}, when[] = {1, 2, 2, 2, 3, 5};

static void a_run_keeps_the_order_of_its_events(void **state) {
  (void)state;
  rs_sequences s;
  assert_int_equal(rs_sequences_new(&s, user, item, 6, 4, NULL, 0), RS_OK);
  const int64_t starts[] = {0, 2, 2, 6}, rows[] = {1, 4, 0, 2, 3, 5};
  const int32_t lengths[] = {2, 0, 4, 0}, items[] = {8, 5, 9, 7, 6, 4};
  assert_memory_equal(rs_i64(&s.starts), starts, sizeof starts);
  assert_memory_equal(rs_i32(&s.lengths), lengths, sizeof lengths);
  assert_memory_equal(rs_i32(&s.items), items, sizeof items);
  assert_memory_equal(rs_i64(&s.rows), rows, sizeof rows);
  rs_sequences_free(&s);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void only_the_rows_asked_for_take_part(void **state) {
  (void)state;
  rs_sequences s;
  assert_int_equal(rs_sequences_new(&s, user, item, 6, 3, (int64_t[]){5, 1, 0}, 3), RS_OK);
  const int32_t lengths[] = {1, 0, 2}, items[] = {8, 4, 9};
  assert_memory_equal(rs_i32(&s.lengths), lengths, sizeof lengths);
  assert_memory_equal(rs_i32(&s.items), items, sizeof items);
  rs_sequences_free(&s);
}

static void before_means_strictly_before(void **state) {
  (void)state;
  rs_sequences s;
  int64_t starts[5];
  int32_t lengths[5];
  const int64_t who[] = {2, 2, 2, 1, 0}, at[] = {1, 2, 6, 9, 3};
  assert_int_equal(rs_sequences_new(&s, user, item, 6, 3, NULL, 0), RS_OK);
  assert_int_equal(rs_sequences_before(&s, when, 5, who, at, starts, lengths), RS_OK);
  const int64_t expected_starts[] = {2, 2, 2, 2, 0};
  const int32_t expected_lengths[] = {0, 1, 4, 0, 1};
  assert_memory_equal(starts, expected_starts, sizeof starts);
  assert_memory_equal(lengths, expected_lengths, sizeof lengths);
  assert_int_equal(rs_sequences_before(&s, when, 1, (int64_t[]){3}, at, starts, lengths), RS_ERANGE);
  assert_int_equal(rs_sequences_before(&s, (int64_t[]){9, 2, 2, 2, 3, 5}, 1, who, at, starts, lengths), RS_EARG);
  rs_sequences_free(&s);
}

static void what_lies_outside_is_refused(void **state) {
  (void)state;
  rs_sequences s;
  assert_int_equal(rs_sequences_new(&s, user, item, 6, 2, NULL, 0), RS_ERANGE);
  assert_string_equal(rs_message(), "sequences: event 0 is of user row 2 of 2");
  assert_int_equal(rs_sequences_new(&s, user, (int64_t[]){0, -1, 0, 0, 0, 0}, 6, 3, NULL, 0), RS_ERANGE);
  assert_string_equal(rs_message(), "sequences: event 1 is on item row -1");
  assert_int_equal(rs_sequences_new(&s, user, item, 6, 3, (int64_t[]){6}, 1), RS_ERANGE);
  rs_sequences_free(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_run_keeps_the_order_of_its_events),
      cmocka_unit_test(only_the_rows_asked_for_take_part),
      cmocka_unit_test(before_means_strictly_before),
      cmocka_unit_test(what_lies_outside_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
