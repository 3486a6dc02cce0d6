/* bitmap_test.c - sets of rows as bits, at sizes around whole words. */
#include "base/bitmap.h"

#include "base/testing.h"

static void a_row_is_in_the_set_or_not(void **state) {
  (void)state;
  for (int64_t n = 1; n < 200; n++) {
    uint64_t bits[4];
    rs_bitmap_fill(bits, n, false);
    for (int64_t r = 0; r < n; r += 3) rs_bitmap_set(bits, r);
    for (int64_t r = 0; r < n; r++) assert_int_equal(rs_bitmap_has(bits, r), r % 3 == 0);
    assert_int_equal(rs_bitmap_count(bits, n), (n + 2) / 3);
    rs_bitmap_clear(bits, 0);
    assert_false(rs_bitmap_has(bits, 0));
  }
}

static void all_rows_are_no_more_than_there_are(void **state) {
  (void)state;
  for (int64_t n = 0; n < 200; n++) {
    uint64_t bits[4];
    rs_bitmap_fill(bits, n, true);
    assert_int_equal(rs_bitmap_count(bits, n), n);
    for (int64_t w = 0; w < rs_bitmap_words(n); w++) assert_true(bits[w] == rs_bitmap_word_of(n, w));
    assert_true(rs_bitmap_word_of(n, rs_bitmap_words(n)) == 0);
  }
}

static void sets_are_joined_met_and_parted(void **state) {
  (void)state;
  enum { N = 130 };
  uint64_t twos[3], threes[3], bits[3];
  rs_bitmap_fill(twos, N, false);
  rs_bitmap_fill(threes, N, false);
  for (int64_t r = 0; r < N; r++) {
    if (r % 2 == 0) rs_bitmap_set(twos, r);
    if (r % 3 == 0) rs_bitmap_set(threes, r);
  }
  memcpy(bits, twos, sizeof bits);
  rs_bitmap_and(bits, threes, N);
  for (int64_t r = 0; r < N; r++) assert_int_equal(rs_bitmap_has(bits, r), r % 6 == 0);
  memcpy(bits, twos, sizeof bits);
  rs_bitmap_or(bits, threes, N);
  for (int64_t r = 0; r < N; r++) assert_int_equal(rs_bitmap_has(bits, r), r % 2 == 0 || r % 3 == 0);
  rs_bitmap_andnot(bits, threes, N);
  for (int64_t r = 0; r < N; r++) assert_int_equal(rs_bitmap_has(bits, r), r % 2 == 0 && r % 3 != 0);
  assert_int_equal(rs_bitmap_first(bits[0]), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_row_is_in_the_set_or_not),
      cmocka_unit_test(all_rows_are_no_more_than_there_are),
      cmocka_unit_test(sets_are_joined_met_and_parted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
