/* An accumulator that events advance one by one reads what a history of the whole log reads. */
#include <string.h>

#include "base/rng.h"
#include "base/testing.h"
#include "frame/accumulator.h"

enum { USERS = 9, ITEMS = 20, ROWS = 600, STORED = 250 };

typedef struct log {
  int64_t user[ROWS], item[ROWS], time[ROWS];
  float weight[ROWS];
  int32_t marks[ROWS];
} log;

/* Users appear in order of their first event, the last ones only after the stored rows; many equal times. */
static void make_log(log *l) {
  rs_stream s = rs_stream_at(8, RS_RNG_USER, 0, 0);
  for (int i = 0; i < ROWS; i++) {
    int known = i < STORED ? 6 : USERS;
    l->user[i] = i < 6 ? i : i >= STORED && i < STORED + 3 ? 6 + i - STORED
                           : (int64_t)rs_stream_below(&s, 3 * (uint64_t)i, (uint64_t)known);
    l->item[i] = (int64_t)rs_stream_below(&s, 3 * (uint64_t)i + 1, ITEMS);
    l->time[i] = 1000 + i / 4 * 10;
    l->weight[i] = (float)i;
    l->marks[i] = i;
  }
}

static rs_history history_of(const log *l, int64_t users, int64_t rows) {
  rs_history h = {0};
  rs_interactions x = {rows, l->user, l->item, l->time, l->weight, l->marks, NULL, 0};
  assert_int_equal(rs_history_new(&h, users, ITEMS, &x), RS_OK);
  return h;
}

static rs_event event_of(const log *l, int row) {
  return (rs_event){l->item[row], l->time[row], l->weight[row], l->marks[row]};
}

/* The last 'n' of one sequence before a moment are those of the other. */
static void assert_same_past(const rs_sequence *a, const rs_sequence *b, int64_t time, int64_t n) {
  int64_t ends[] = {rs_sequence_before(a, time, -1), rs_sequence_before(b, time, -1)};
  for (int64_t i = 1; i <= n && i <= ends[1]; i++) {
    int64_t p = ends[0] - i, q = ends[1] - i;
    assert_true(p >= 0);
    assert_int_equal(a->items[p], b->items[q]);
    assert_int_equal(a->times[p], b->times[q]);
    assert_int_equal(a->orders[p], b->orders[q]);
    assert_true(a->weights[p] == b->weights[q] && a->marks[p] == b->marks[q]);
  }
}

static void replays_what_training_reads(void **state) {
  (void)state;
  static log l;
  make_log(&l);
  rs_history whole = history_of(&l, USERS, ROWS), stored = history_of(&l, 6, STORED);
  rs_accumulator a = {0};
  assert_int_equal(rs_accumulator_new(&a, &stored, (rs_keep){-1, 0}), RS_OK);
  for (int i = STORED; i < ROWS; i++) {
    rs_sequence mine = rs_accumulator_of(&a, l.user[i]), all = rs_history_of(&whole, l.user[i]);
    assert_same_past(&mine, &all, l.time[i], ROWS);
    rs_event event = event_of(&l, i);
    assert_int_equal(rs_accumulator_advance(&a, l.user[i], &event), RS_OK);
  }
  rs_history end = {0};
  assert_int_equal(rs_accumulator_history(&a, &end), RS_OK);
  assert_int_equal(end.users, USERS);
  assert_memory_equal(rs_i64(&end.starts), rs_i64(&whole.starts), (USERS + 1) * sizeof(int64_t));
  assert_memory_equal(rs_i32(&end.items), rs_i32(&whole.items), ROWS * sizeof(int32_t));
  assert_memory_equal(rs_i64(&end.orders), rs_i64(&whole.orders), ROWS * sizeof(int64_t));
  assert_memory_equal(rs_i32(&end.marks), rs_i32(&whole.marks), ROWS * sizeof(int32_t));
  rs_history_free(&end);
  rs_history_free(&whole);
  rs_accumulator_free(&a);
}

static void keeps_what_the_longest_window_needs(void **state) {
  (void)state;
  static log l;
  make_log(&l);
  rs_history whole = history_of(&l, USERS, ROWS), none = history_of(&l, 0, 0);
  rs_accumulator a = {0};
  assert_int_equal(rs_accumulator_new(&a, &none, (rs_keep){5, 100}), RS_OK);
  for (int i = 0; i < ROWS; i++) {
    rs_sequence mine = rs_accumulator_of(&a, l.user[i]), all = rs_history_of(&whole, l.user[i]);
    assert_same_past(&mine, &all, l.time[i], 5);
    int64_t end = rs_sequence_before(&all, l.time[i], -1), begin = rs_sequence_before(&all, l.time[i] - 100, -1);
    assert_same_past(&mine, &all, l.time[i], end - begin);
    rs_event event = event_of(&l, i);
    assert_int_equal(rs_accumulator_advance(&a, l.user[i], &event), RS_OK);
    assert_true(rs_accumulator_of(&a, l.user[i]).n <= 40); /* of up to a hundred */
  }
  rs_history_free(&whole);
  rs_accumulator_free(&a);
}

static void late_events_go_to_their_place(void **state) {
  (void)state;
  static log l;
  make_log(&l);
  rs_history stored = history_of(&l, 6, STORED);
  rs_accumulator a = {0};
  assert_int_equal(rs_accumulator_new(&a, &stored, (rs_keep){-1, 0}), RS_OK);
  int64_t n = rs_accumulator_of(&a, 0).n;
  assert_int_equal(rs_accumulator_advance(&a, 0, &(rs_event){3, 1005, 2, 7}), RS_OK);
  rs_sequence mine = rs_accumulator_of(&a, 0);
  int64_t at = rs_sequence_before(&mine, 1005, -1);
  assert_int_equal(mine.n, n + 1);
  assert_int_equal(mine.marks[at], 7);
  assert_int_equal(mine.orders[at], STORED);
  for (int64_t i = 1; i < mine.n; i++) assert_true(mine.times[i - 1] <= mine.times[i]);
  assert_int_equal(rs_accumulator_advance(&a, -1, &(rs_event){0, 0, 1, 0}), RS_ERANGE);
  assert_int_equal(rs_accumulator_advance(&a, 0, &(rs_event){-1, 0, 1, 0}), RS_ERANGE);
  assert_int_equal(rs_accumulator_forget(&a, 0), RS_OK);
  assert_int_equal(rs_accumulator_of(&a, 0).n, 0);
  assert_int_equal(rs_accumulator_advance(&a, 0, &(rs_event){3, 1005, 2, 7}), RS_OK);
  assert_int_equal(rs_accumulator_of(&a, 0).n, 1);
  for (int64_t grants = 0; grants < 2; grants++) { /* a new user's event under refused memory changes nothing */
    rs_alloc_fault(grants);
    rs_status status = rs_accumulator_advance(&a, 6, &(rs_event){0, 0, 1, 0});
    rs_alloc_fault(-1);
    assert_int_equal(status, RS_ENOMEM);
    assert_int_equal(a.users, 6);
  }
  rs_accumulator_free(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(replays_what_training_reads),
      cmocka_unit_test(keeps_what_the_longest_window_needs),
      cmocka_unit_test(late_events_go_to_their_place),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
