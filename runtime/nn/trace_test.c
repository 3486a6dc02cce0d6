/* trace_test.c - spans nest and add up, operations are seen with the work that their shapes ask for. */
#include "nn/trace.h"

#include <string.h>

#include "autograd/ops.h"
#include "base/testing.h"

static void sizes(rs_tensor *t, int64_t rows, int64_t width) {
  assert_int_equal(rs_tensor_zeros(t, RS_F32, 2, (int64_t[]){rows, width}), RS_OK);
}

static const rs_trace_row *row_of(const rs_trace *trace, const char *name, rs_trace_kind kind) {
  const rs_trace_row *rows;
  int n = rs_trace_rows(trace, &rows);
  for (int i = 0; i < n; i++)
    if (rows[i].kind == kind && !strcmp(rows[i].name, name)) return &rows[i];
  return NULL;
}

static void spans_nest_and_add_up(void **state) {
  (void)state;
  rs_trace *trace = NULL;
  assert_int_equal(rs_trace_new(&trace, 100), RS_OK);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(rs_trace_open(trace, "step"), RS_OK);
    assert_int_equal(rs_trace_open(trace, "inner"), RS_OK);
    assert_int_equal(rs_trace_depth(trace), 2);
    assert_int_equal(rs_trace_close(trace, 5, 7), RS_OK);
    assert_int_equal(rs_trace_close(trace, 0, 0), RS_OK);
  }
  assert_int_equal(rs_trace_close(trace, 0, 0), RS_EARG);
  const rs_trace_row *inner = row_of(trace, "inner", RS_TRACE_SPAN), *step = row_of(trace, "step", RS_TRACE_SPAN);
  const rs_trace_event *events;
  assert_int_equal(rs_trace_events(trace, &events), 6);
  double inside = 0, outside = 0;
  for (int i = 0; i < 6; i += 2) { /* an inner span ends before its step */
    assert_true(events[i].start >= events[i + 1].start);
    assert_true(events[i].start + events[i].seconds <= events[i + 1].start + events[i + 1].seconds);
    inside += events[i].seconds;
    outside += events[i + 1].seconds;
  }
  assert_int_equal(inner->calls, 3);
  assert_float_equal(inner->flops, 15, 0);
  assert_float_equal(inner->bytes, 21, 0);
  assert_float_equal(inner->seconds, inside, 1e-12);
  assert_float_equal(inner->seconds + step->seconds, outside, 1e-12);
  rs_trace_free(trace);
}

static void operations_are_counted_with_their_work(void **state) {
  (void)state;
  rs_trace *trace = NULL;
  rs_tape *tape = NULL;
  rs_tensor x = {0}, w = {0};
  rs_node *in, *weight, *y, *loss;
  sizes(&x, 5, 7);
  sizes(&w, 3, 7);
  assert_int_equal(rs_trace_new(&trace, 100), RS_OK);
  assert_int_equal(rs_tape_new(&tape, &(rs_tape_options){.train = true, .gradients = true}), RS_OK);
  rs_trace_watch(trace, tape);
  assert_int_equal(rs_tape_input(&in, tape, "x", &x, false), RS_OK);
  assert_int_equal(rs_tape_input(&weight, tape, "w", &w, true), RS_OK);
  assert_int_equal(rs_ag_linear(&y, in, weight, NULL, RS_IDENTITY), RS_OK);
  assert_int_equal(rs_ag_sum(&loss, y), RS_OK);
  assert_int_equal(rs_tape_backward(loss), RS_OK);
  const rs_trace_row *forward = row_of(trace, "linear", RS_TRACE_FORWARD);
  const rs_trace_row *backward = row_of(trace, "linear", RS_TRACE_BACKWARD);
  assert_float_equal(forward->flops, 2 * 5 * 7 * 3, 0);
  assert_float_equal(forward->bytes, 4 * (5 * 7 + 3 * 7 + 5 * 3), 0);
  assert_float_equal(backward->flops, 2 * 5 * 7 * 3, 0); /* the input wants no gradient */
  assert_int_equal(row_of(trace, "sum", RS_TRACE_BACKWARD)->calls, 1);
  assert_int_equal(rs_trace_depth(trace), 0);
  rs_tape_free(tape);
  rs_trace_free(trace);
  rs_tensor_free(&x);
  rs_tensor_free(&w);
}

static void events_beyond_the_most_are_summed_up_only(void **state) {
  (void)state;
  rs_trace *trace = NULL;
  const rs_trace_event *events;
  assert_int_equal(rs_trace_new(&trace, 2), RS_OK);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(rs_trace_open(trace, "a"), RS_OK);
    assert_int_equal(rs_trace_close(trace, 0, 0), RS_OK);
  }
  assert_int_equal(rs_trace_events(trace, &events), 2);
  assert_int_equal(row_of(trace, "a", RS_TRACE_SPAN)->calls, 5);
  for (int i = 0; i < 16; i++) assert_int_equal(rs_trace_open(trace, "a"), RS_OK);
  assert_int_equal(rs_trace_open(trace, "a"), RS_EARG);
  rs_trace_free(trace);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(spans_nest_and_add_up),
      cmocka_unit_test(operations_are_counted_with_their_work),
      cmocka_unit_test(events_beyond_the_most_are_summed_up_only),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
