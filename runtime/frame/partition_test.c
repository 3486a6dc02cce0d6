/* Scatters, numbers and groups against the plain loops that they stand for, on more rows than one chunk holds. */
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"
#include "frame/partition.h"

enum { ROWS = 3 * RS_ROW_GRAIN + 17 };

/* ROWS values below 'n', or any 64 bits of so many kinds when 'wide'. The caller frees. */
static int64_t *draw(uint64_t n, bool wide) {
  int64_t *values = rs_alloc(ROWS * sizeof *values);
  rs_stream s = rs_stream_at(7, RS_RNG_USER, 0, 0);
  assert_non_null(values);
  for (int64_t i = 0; i < ROWS; i++) {
    uint64_t value = rs_stream_below(&s, (uint64_t)i, n);
    values[i] = (int64_t)(wide ? value * UINT64_C(0x9E3779B97F4A7C15) : value);
  }
  return values;
}

static void a_scatter_keeps_the_order_of_rows_in_each_bucket(void **state) {
  (void)state;
  int64_t *keys = draw(1 << 20, false), *to_keys = rs_alloc(ROWS * 8), *to_rows = rs_alloc(ROWS * 8), starts[17];
  assert_int_equal(rs_scatter((uint64_t *)to_keys, to_rows, starts, (uint64_t *)keys, NULL, ROWS, 3, 4), RS_OK);
  assert_int_equal(starts[0], 0);
  assert_int_equal(starts[16], ROWS);
  for (int64_t b = 0; b < 16; b++)
    for (int64_t i = starts[b]; i < starts[b + 1]; i++) {
      assert_int_equal(to_keys[i] >> 3 & 15, b);
      assert_int_equal(to_keys[i], keys[to_rows[i]]);
      assert_true(i == starts[b] || to_rows[i] > to_rows[i - 1]);
    }
  rs_free(keys);
  rs_free(to_keys);
  rs_free(to_rows);
}

/* Numbers by first appearance mean: a value's number is how many kinds came before it. */
static void check_numbers(int64_t *values, int64_t n, int64_t range, int64_t kinds) {
  int64_t *ids = rs_alloc((size_t)n * 8), *of_number = rs_alloc((size_t)n * 8), next = 0, n_ids = -1;
  memcpy(ids, values, (size_t)n * 8);
  assert_int_equal(rs_number(ids, n, range, &n_ids), RS_OK);
  for (int64_t i = 0; i < n; i++) {
    assert_in_range(ids[i], 0, next);
    if (ids[i] == next) of_number[next++] = values[i];
    assert_int_equal(of_number[ids[i]], values[i]);
  }
  assert_int_equal(n_ids, next);
  if (kinds) assert_int_equal(n_ids, kinds);
  rs_free(ids);
  rs_free(of_number);
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Numbers that are equal for unequal values would give too few. */
static int64_t kinds_of(const int64_t *values) {
  int64_t *sorted = rs_alloc(ROWS * 8), kinds = 1;
  memcpy(sorted, values, ROWS * 8);
  qsort(sorted, ROWS, 8, by_value);
  for (int64_t i = 1; i < ROWS; i++) kinds += sorted[i] != sorted[i - 1];
  rs_free(sorted);
  return kinds;
}

static void numbers_follow_first_appearance(void **state) {
  (void)state;
  static const uint64_t kinds[] = {1, 3, 1000, 150000, 1 << 30};
  for (int k = 0; k < 5; k++)
    for (int wide = 0; wide < 2; wide++) {
      int64_t *values = draw(kinds[k], wide);
      check_numbers(values, ROWS, wide ? 0 : (int64_t)kinds[k], kinds_of(values));
      check_numbers(values, 5, wide ? 0 : (int64_t)kinds[k], 0);
      rs_free(values);
    }
  int64_t none, n_ids;
  assert_int_equal(rs_number(&none, 0, 0, &n_ids), RS_OK);
  assert_int_equal(n_ids, 0);
}

static void numbers_do_not_depend_on_threads(void **state) {
  (void)state;
  int threads = rs_threads();
  int64_t *first = draw(UINT64_C(1) << 40, true), *second = rs_alloc(ROWS * 8), n_first, n_second;
  memcpy(second, first, ROWS * 8);
  rs_threads_set(1);
  assert_int_equal(rs_number(first, ROWS, 0, &n_first), RS_OK);
  rs_threads_set(3);
  assert_int_equal(rs_number(second, ROWS, 0, &n_second), RS_OK);
  rs_threads_set(threads);
  assert_int_equal(n_first, n_second);
  assert_memory_equal(first, second, ROWS * 8);
  rs_free(first);
  rs_free(second);
}

static void check_groups(const int64_t *ids, int64_t n, int64_t n_groups) {
  rs_groups g = {0};
  int64_t expected = 0;
  assert_int_equal(rs_groups_of(&g, ids, n, n_groups), RS_OK);
  assert_int_equal(g.n, n_groups);
  assert_int_equal(g.starts[0], 0);
  for (int64_t i = 0; i < n; i++) expected += ids[i] >= 0;
  assert_int_equal(g.starts[n_groups], expected);
  for (int64_t k = 0; k < n_groups; k++)
    for (int64_t i = g.starts[k]; i < g.starts[k + 1]; i++) {
      assert_int_equal(ids[g.rows[i]], k);
      assert_true(i == g.starts[k] || g.rows[i] > g.rows[i - 1]);
    }
  rs_groups_free(&g);
}

static void groups_list_their_rows_in_order(void **state) {
  (void)state;
  static const uint64_t kinds[] = {1, 2, 2047, 2048, 2049, 100000};
  for (int k = 0; k < 6; k++) {
    int64_t *ids = draw(kinds[k], false);
    for (int64_t i = 0; i < ROWS; i += 7) ids[i] = -1; /* in no group */
    check_groups(ids, ROWS, (int64_t)kinds[k]);
    check_groups(ids, 9, (int64_t)kinds[k]);
    check_groups(ids, 0, (int64_t)kinds[k]);
    rs_free(ids);
  }
  check_groups((int64_t[]){-1, -1}, 2, 0);
}

static void a_mask_gives_its_rows_in_order(void **state) {
  (void)state;
  uint8_t *mask = rs_alloc(ROWS);
  rs_tensor rows = {0};
  int64_t at = 0;
  for (int64_t i = 0; i < ROWS; i++) mask[i] = i % 3 == 1 || i > ROWS - 5;
  assert_int_equal(rs_rows_of_mask(&rows, mask, ROWS), RS_OK);
  for (int64_t i = 0; i < ROWS; i++)
    if (mask[i]) assert_int_equal(rs_i64(&rows)[at++], i);
  assert_int_equal(rows.size[0], at);
  rs_tensor_free(&rows);
  rs_free(mask);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_scatter_keeps_the_order_of_rows_in_each_bucket),
      cmocka_unit_test(numbers_follow_first_appearance),
      cmocka_unit_test(numbers_do_not_depend_on_threads),
      cmocka_unit_test(groups_list_their_rows_in_order),
      cmocka_unit_test(a_mask_gives_its_rows_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
