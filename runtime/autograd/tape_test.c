/* tape_test.c - what a watcher of a tape sees, and that it can end the work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "autograd/ops.h"
#include "base/alloc.h"

typedef struct log {
  char text[512];
  int left; /* moments until the watcher refuses; negative: never */
} log;

static rs_status write_down(void *context, rs_tape_moment moment, const rs_node *node) {
  static const char *const marks[] = {"(", ")", "[", "]"};
  log *l = context;
  size_t used = strlen(l->text);
  snprintf(l->text + used, sizeof l->text - used, "%s%s ", marks[moment], node->op->name);
  if (moment == RS_FORWARD_BEGINS) assert_null(node->value.storage);
  if (moment == RS_FORWARD_ENDS) assert_non_null(node->value.storage);
  if (moment == RS_BACKWARD_BEGINS) assert_non_null(node->grad.storage);
  if (moment == RS_BACKWARD_ENDS) assert_null(node->grad.storage);
  return l->left-- == 0 ? rs_fail(RS_ENUMERIC, "enough") : RS_OK;
}

/* sum(relu(x) + c), of which the sum alone is watched by 'l' when 'late'. */
static rs_status walk(log *l, bool late) {
  rs_tensor x = {0}, c = {0};
  rs_node *a = NULL, *b = NULL, *y = NULL, *z = NULL, *loss = NULL;
  rs_tape *tape = NULL;
  assert_int_equal(rs_tensor_zeros(&x, RS_F32, 1, (int64_t[]){3}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&c, RS_F32, 1, (int64_t[]){3}), RS_OK);
  assert_int_equal(rs_tape_new(&tape, &(rs_tape_options){.gradients = true}), RS_OK);
  if (!late) rs_tape_watch(tape, write_down, l);
  rs_status status = rs_tape_input(&a, tape, "x", &x, true);
  if (status == RS_OK) status = rs_tape_input(&b, tape, "c", &c, false);
  if (status == RS_OK) status = rs_ag_relu(&y, a);
  if (status == RS_OK) status = rs_ag_add(&z, y, b);
  if (late) rs_tape_watch(tape, write_down, l);
  if (status == RS_OK) status = rs_ag_sum(&loss, z);
  if (late) rs_tape_watch(tape, NULL, NULL);
  if (status == RS_OK) status = rs_tape_backward(loss);
  rs_tape_free(tape);
  rs_tensor_free(&x);
  rs_tensor_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
  return status;
}

static void a_watcher_sees_each_forward_and_backward(void **state) {
  (void)state;
  log l = {.left = -1};
  assert_int_equal(walk(&l, false), RS_OK);
  assert_string_equal(l.text, "(relu )relu (add )add (sum )sum [sum ]sum [add ]add [relu ]relu ");
}

static void a_watcher_comes_and_goes(void **state) {
  (void)state;
  log l = {.left = -1};
  assert_int_equal(walk(&l, true), RS_OK);
  assert_string_equal(l.text, "(sum )sum ");
}

static void a_watcher_ends_the_work_at_any_moment(void **state) {
  (void)state;
  for (int n = 0; n < 12; n++) {
    log l = {.left = n};
    assert_int_equal(walk(&l, false), RS_ENUMERIC);
    assert_string_equal(rs_message(), "enough");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_watcher_sees_each_forward_and_backward),
      cmocka_unit_test(a_watcher_comes_and_goes),
      cmocka_unit_test(a_watcher_ends_the_work_at_any_moment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
