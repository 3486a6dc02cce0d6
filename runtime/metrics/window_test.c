/* window_test.c - trailing counts against the plain loop, in any order of queries. */
#include "metrics/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"

enum { EVENTS = 500, ITEMS = 7, GROUPS = 3, QUERIES = 60 };

static int64_t event_time[EVENTS], query_time[QUERIES];
static int32_t item[EVENTS], group[EVENTS], query_group[QUERIES];
static float scores[QUERIES * ITEMS];

static void fill(void) {
  rs_stream s = rs_stream_at(8, RS_RNG_USER, 0, 0);
  int64_t t = 1000;
  for (int i = 0; i < EVENTS; i++) {
    t += (int64_t)rs_stream_below(&s, (uint64_t)(3 * i), 4);
    event_time[i] = t;
    item[i] = (int32_t)rs_stream_below(&s, (uint64_t)(3 * i + 1), ITEMS);
    group[i] = (int32_t)rs_stream_below(&s, (uint64_t)(3 * i + 2), GROUPS);
  }
  for (int i = 0; i < QUERIES; i++) {
    query_time[i] = 900 + (int64_t)rs_stream_below(&s, (uint64_t)(5000 + 2 * i), 1200);
    query_group[i] = (int32_t)rs_stream_below(&s, (uint64_t)(5001 + 2 * i), GROUPS);
  }
}

static int counted(int64_t t, int64_t length, int at, int of_group) {
  int n = 0;
  for (int i = 0; i < EVENTS; i++)
    n += item[i] == at && event_time[i] < t && (length == 0 || event_time[i] >= t - length) &&
         (of_group < 0 || group[i] == of_group);
  return n;
}

static void counts_equal_the_plain_loop_in_any_order_of_queries(void **state) {
  (void)state;
  const int64_t lengths[] = {0, 1, 50, 300};
  fill();
  for (int way = 0; way < 12; way++) {
    int64_t length = lengths[way % 4];
    const int32_t *event_group = way / 4 > 0 ? group : NULL, *asked = way / 4 > 1 ? query_group : NULL;
    rs_events events = {EVENTS, event_time, item, event_group, ITEMS, GROUPS};
    rs_window *w;
    assert_int_equal(rs_window_new(&w, &events, length), RS_OK);
    for (int first = 0; first < QUERIES; first += 20)
      assert_int_equal(
          rs_window_counts(w, 20, query_time + first, asked ? asked + first : NULL, scores + first * ITEMS), RS_OK);
    for (int q = 0; q < QUERIES; q++)
      for (int i = 0; i < ITEMS; i++)
        assert_int_equal((int)scores[q * ITEMS + i], counted(query_time[q], length, i, asked ? query_group[q] : -1));
    rs_window_free(w);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void what_happens_at_the_very_time_is_not_before_it(void **state) {
  (void)state;
  int64_t at[] = {10, 20, 20, 30}, asked[] = {20, 21, 30};
  int32_t items[] = {0, 0, 0, 0};
  rs_events events = {4, at, items, NULL, 1, 0};
  rs_window *w;
  float out[3];
  assert_int_equal(rs_window_new(&w, &events, 10), RS_OK);
  assert_int_equal(rs_window_counts(w, 3, asked, NULL, out), RS_OK);
  assert_true(out[0] == 1 && out[1] == 2 && out[2] == 2);
  rs_window_free(w);
}

static void the_smallest_time_has_nothing_before_it(void **state) {
  (void)state;
  int64_t at[] = {INT64_MIN, 0}, asked[] = {INT64_MIN, INT64_MIN + 1};
  int32_t items[] = {0, 0};
  rs_events events = {2, at, items, NULL, 1, 0};
  rs_window *w;
  float out[2];
  assert_int_equal(rs_window_new(&w, &events, 1000), RS_OK);
  assert_int_equal(rs_window_counts(w, 2, asked, NULL, out), RS_OK);
  assert_true(out[0] == 0 && out[1] == 1);
  rs_window_free(w);
}

static void refuse(rs_events events, int64_t length, rs_status status, const char *message) {
  rs_window *w;
  assert_int_equal(rs_window_new(&w, &events, length), status);
  assert_string_equal(rs_message(), message);
}

static void events_out_of_order_or_range_are_refused(void **state) {
  (void)state;
  int64_t at[] = {5, 4};
  int32_t items[] = {0, 1}, groups[] = {0, 2};
  refuse((rs_events){2, at, items, NULL, 2, 0}, 0, RS_EARG, "window: event 1 is earlier than the one before it");
  at[1] = 6;
  refuse((rs_events){2, at, items, NULL, 1, 0}, 0, RS_ERANGE, "window: event 1 is on item row 1 of 1");
  refuse((rs_events){2, at, items, groups, 2, 2}, 0, RS_ERANGE, "window: event 1 is of group 2 of 2");
  refuse((rs_events){2, at, items, groups, 2, 3}, -1, RS_EARG, "window: its length -1 ms is negative");
  rs_events fine = {2, at, items, groups, 2, 3};
  rs_window *w;
  assert_int_equal(rs_window_new(&w, &fine, 0), RS_OK);
  assert_int_equal(rs_window_counts(w, 1, at, (int32_t[]){3}, scores), RS_ERANGE);
  rs_window_free(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counts_equal_the_plain_loop_in_any_order_of_queries),
      cmocka_unit_test(what_happens_at_the_very_time_is_not_before_it),
      cmocka_unit_test(the_smallest_time_has_nothing_before_it),
      cmocka_unit_test(events_out_of_order_or_range_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
