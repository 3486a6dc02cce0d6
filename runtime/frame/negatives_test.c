/* Draws that keep off what is known, in the right proportions, the same for any number of threads. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/testing.h"
#include "frame/negatives.h"

enum { ROWS = 20000, ITEMS = 6 };

static rs_negatives plain(const int64_t *users, const double *weights) {
  static const int64_t known_users[] = {0, 0, 1, 1, 1, 1, 1, 1}, known_items[] = {5, 2, 0, 1, 2, 3, 4, 5};
  return (rs_negatives){.users = users, .rows = ROWS, .per_row = 2, .known_users = known_users,
                        .known_items = known_items, .n_known = 8, .n_users = 3, .n_items = ITEMS, .weights = weights,
                        .stream = rs_stream_at(4, RS_RNG_NEGATIVES, 0, 0)};
}

/* Each item's share must be within five standard deviations of the expected one. */
static void check_shares(const rs_tensor *items, const double *expected) {
  int64_t counts[ITEMS] = {0}, n = 2 * ROWS;
  for (int64_t i = 0; i < n; i++) {
    assert_in_range(rs_i64(items)[i], 0, ITEMS - 1);
    counts[rs_i64(items)[i]]++;
  }
  for (int i = 0; i < ITEMS; i++) {
    double share = (double)counts[i] / (double)n;
    assert_true(fabs(share - expected[i]) <= 5 * sqrt(expected[i] * (1 - expected[i]) / (double)n));
  }
}

static void draws_are_in_proportion_and_never_known(void **state) {
  (void)state;
  static int64_t users[ROWS];
  rs_tensor items = {0};
  memset(users, 0, sizeof users);
  rs_negatives n = plain(users, NULL);
  assert_int_equal(rs_negatives_draw(&items, &n), RS_OK);
  check_shares(&items, (double[]){0.25, 0.25, 0, 0.25, 0.25, 0});
  rs_tensor_free(&items);
  n = plain(users, (double[]){1, 0, 4, 2, 5, 8});
  assert_int_equal(rs_negatives_draw(&items, &n), RS_OK);
  check_shares(&items, (double[]){0.125, 0, 0, 0.25, 0.625, 0});
  rs_tensor_free(&items);
  for (int i = 0; i < ROWS; i++) users[i] = 2; /* who knows nothing */
  assert_int_equal(rs_negatives_draw(&items, &n), RS_OK);
  check_shares(&items, (double[]){0.05, 0, 0.2, 0.1, 0.25, 0.4});
  rs_tensor_free(&items);
}

/* Nearly all the weight is known: tries run out, and the exact draw takes over. */
static void a_user_who_knows_nearly_everything_is_served(void **state) {
  (void)state;
  static int64_t users[ROWS];
  rs_tensor items = {0};
  memset(users, 0, sizeof users);
  rs_negatives n = plain(users, (double[]){1, 3, 1e9, 0, 0, 1e9});
  assert_int_equal(rs_negatives_draw(&items, &n), RS_OK);
  check_shares(&items, (double[]){0.25, 0.75, 0, 0, 0, 0});
  rs_tensor_free(&items);
  n.weights = (double[]){0, 0, 1, 0, 0, 1}; /* all of it */
  assert_int_equal(rs_negatives_draw(&items, &n), RS_OK);
  for (int i = 0; i < 2 * ROWS; i++) assert_int_equal(rs_i64(&items)[i], -1);
  rs_tensor_free(&items);
}

static void draws_do_not_depend_on_threads(void **state) {
  (void)state;
  static int64_t users[ROWS];
  int threads = rs_threads();
  rs_tensor one = {0}, three = {0};
  for (int i = 0; i < ROWS; i++) users[i] = i % 3 == 1 ? 0 : i % 3;
  rs_negatives n = plain(users, (double[]){1, 1, 4, 2, 5, 8});
  rs_threads_set(1);
  assert_int_equal(rs_negatives_draw(&one, &n), RS_OK);
  rs_threads_set(3);
  assert_int_equal(rs_negatives_draw(&three, &n), RS_OK);
  rs_threads_set(threads);
  assert_memory_equal(rs_i64(&one), rs_i64(&three), 2 * ROWS * sizeof(int64_t));
  rs_tensor_free(&one);
  rs_tensor_free(&three);
}

static void what_makes_no_sense_is_refused(void **state) {
  (void)state;
  static int64_t users[ROWS];
  rs_tensor items = {0};
  memset(users, 0, sizeof users);
  rs_negatives n = plain(users, (double[]){1, -1, 0, 0, 0, 0});
  assert_int_equal(rs_negatives_draw(&items, &n), RS_EARG);
  n.weights = (double[]){1, INFINITY, 0, 0, 0, 0};
  assert_int_equal(rs_negatives_draw(&items, &n), RS_EARG);
  n.weights = (double[]){0, 0, 0, 0, 0, 0};
  assert_int_equal(rs_negatives_draw(&items, &n), RS_EARG);
  n.weights = NULL;
  n.n_items = 5; /* item 5 is known to user 0 */
  assert_int_equal(rs_negatives_draw(&items, &n), RS_ERANGE);
  n.n_items = 0;
  assert_int_equal(rs_negatives_draw(&items, &n), RS_EARG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(draws_are_in_proportion_and_never_known),
      cmocka_unit_test(a_user_who_knows_nearly_everything_is_served),
      cmocka_unit_test(draws_do_not_depend_on_threads),
      cmocka_unit_test(what_makes_no_sense_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
