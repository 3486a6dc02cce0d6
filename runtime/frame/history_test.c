/* Histories against a plain scan of the interactions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "frame/history.h"

enum { USERS = 7, ITEMS = 11, ROWS = 400 };

typedef struct event_log {
  int64_t user[ROWS], item[ROWS], time[ROWS];
} event_log;

/* Interactions with many equal times; in order of time unless 'shuffled'. */
static event_log make_log(bool shuffled) {
  event_log l;
  rs_stream s = rs_stream_at(5, RS_RNG_USER, 0, 0);
  for (int i = 0; i < ROWS; i++) {
    l.user[i] = (int64_t)rs_stream_below(&s, 3 * (uint64_t)i, USERS - 1); /* the last user has none */
    l.item[i] = (int64_t)rs_stream_below(&s, 3 * (uint64_t)i + 1, ITEMS);
    l.time[i] = shuffled ? (int64_t)rs_stream_below(&s, 3 * (uint64_t)i + 2, 40) : i / 5;
  }
  return l;
}

/* What rs_history_new takes, each row's weight half its number and its marks the number itself. */
static rs_interactions interactions(const event_log *l, const int64_t *rows, int64_t n) {
  static float weights[ROWS];
  static int32_t marks[ROWS];
  for (int i = 0; i < ROWS; i++) weights[i] = i == 1 ? NAN : (float)i / 2, marks[i] = i;
  return (rs_interactions){ROWS, l->user, l->item, l->time, weights, marks, rows, n};
}

/* Items of the user's interactions among 'known' before row 'row', oldest first, by the definition. */
static int64_t scan(const event_log *l, const bool *known, int64_t row, bool by_order, int64_t *rows) {
  int64_t n = 0;
  for (int64_t time = 0; time <= l->time[row]; time++)
    for (int64_t i = 0; i < ROWS; i++) {
      bool before = l->time[i] < l->time[row] || (by_order && l->time[i] == l->time[row] && i < row);
      if (known[i] && l->time[i] == time && l->user[i] == l->user[row] && before) rows[n++] = i;
    }
  return n;
}

static void check_against_scan(const event_log *l, const int64_t *log_rows, int64_t n_log, const bool *known,
                               bool by_order) {
  rs_history h = {0};
  int64_t order[ROWS], begin[ROWS], end[ROWS], rows[ROWS];
  for (int i = 0; i < ROWS; i++) order[i] = i;
  rs_interactions all = interactions(l, log_rows, n_log);
  assert_int_equal(rs_history_new(&h, USERS, ITEMS, &all), RS_OK);
  assert_int_equal(rs_history_read(&h, ROWS, l->user, l->time, by_order ? order : NULL, begin, end), RS_OK);
  for (int i = 0; i < ROWS; i++) {
    int64_t n = scan(l, known, i, by_order, rows);
    assert_int_equal(end[i] - begin[i], n);
    for (int64_t j = 0; j < n; j++) {
      assert_int_equal(rs_i32(&h.items)[begin[i] + j], l->item[rows[j]]);
      assert_int_equal(rs_i64(&h.orders)[begin[i] + j], rows[j]);
      assert_int_equal(rs_i32(&h.marks)[begin[i] + j], rows[j]);
      assert_true(rs_f32(&h.weights)[begin[i] + j] == (rows[j] == 1 ? 1 : (float)rows[j] / 2));
    }
  }
  rs_history_free(&h);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void reads_equal_a_scan_of_what_came_before(void **state) {
  (void)state;
  bool known[ROWS];
  memset(known, 1, sizeof known);
  for (int shuffled = 0; shuffled < 2; shuffled++) {
    event_log l = make_log(shuffled);
    check_against_scan(&l, NULL, 0, known, false);
    check_against_scan(&l, NULL, 0, known, true);
  }
}

static void only_the_rows_of_the_log_are_known(void **state) {
  (void)state;
  event_log l = make_log(true);
  bool known[ROWS];
  int64_t rows[ROWS], n = 0;
  for (int i = ROWS - 1; i >= 0; i--) /* backwards: the order of the list does not matter */
    if ((known[i] = i % 3 != 0)) rows[n++] = i;
  check_against_scan(&l, rows, n, known, false);
  check_against_scan(&l, rows, n, known, true);
}

static void rows_outside_are_refused(void **state) {
  (void)state;
  event_log l = make_log(false);
  rs_history h = {0};
  int64_t begin, end;
  rs_interactions all = interactions(&l, NULL, 0), beyond = interactions(&l, (int64_t[]){ROWS}, 1);
  assert_int_equal(rs_history_new(&h, USERS - 3, ITEMS, &all), RS_ERANGE);
  assert_int_equal(rs_history_new(&h, USERS, ITEMS - 1, &all), RS_ERANGE);
  assert_int_equal(rs_history_new(&h, USERS, ITEMS, &beyond), RS_ERANGE);
  assert_int_equal(rs_history_new(&h, USERS, ITEMS, &all), RS_OK);
  assert_int_equal(rs_history_read(&h, 1, (int64_t[]){USERS}, (int64_t[]){0}, NULL, &begin, &end), RS_ERANGE);
  rs_history_free(&h);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void stored_histories_come_back_and_damaged_ones_do_not(void **state) {
  (void)state;
  event_log l = make_log(false);
  rs_history h = {0}, back = {0};
  rs_tensors tensors = {0};
  rs_interactions all = interactions(&l, NULL, 0);
  assert_int_equal(rs_history_new(&h, USERS, ITEMS, &all), RS_OK);
  assert_int_equal(rs_history_tensors(&h, &tensors), RS_OK);
  assert_int_equal(rs_history_from(&back, &tensors, ITEMS), RS_OK);
  assert_int_equal(back.users, USERS);
  rs_history_free(&back);
  assert_int_equal(rs_history_from(&back, &tensors, ITEMS - 1), RS_EFORMAT);
  int64_t damage[][2] = {{1, 1 << 20}, {1, -1}, {0, 1}, {USERS, 3}};
  for (int i = 0; i < 4; i++) {
    int64_t *at = &rs_i64(&h.starts)[damage[i][0]], kept = *at;
    *at = damage[i][1];
    assert_int_equal(rs_history_from(&back, &tensors, ITEMS), RS_EFORMAT);
    *at = kept;
  }
  rs_f32(&h.weights)[3] = INFINITY;
  assert_int_equal(rs_history_from(&back, &tensors, ITEMS), RS_EFORMAT);
  rs_f32(&h.weights)[3] = 1;
  rs_i64(&h.times)[1] = -1;
  assert_int_equal(rs_history_from(&back, &tensors, ITEMS), RS_EFORMAT);
  rs_tensors_free(&tensors);
  assert_int_equal(rs_history_from(&back, &tensors, ITEMS), RS_EFORMAT);
  rs_history_free(&h);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_equal_a_scan_of_what_came_before),
      cmocka_unit_test(only_the_rows_of_the_log_are_known),
      cmocka_unit_test(rows_outside_are_refused),
      cmocka_unit_test(stored_histories_come_back_and_damaged_ones_do_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
