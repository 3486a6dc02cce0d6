/* batches_test.c - batches gathered ahead hold what gathering at once gives, and may be left at any moment. */
#include "frame/batches.h"

#include <string.h>

#include "base/rng.h"
#include "base/testing.h"

enum { ROWS = 500, USERS = 40 };

static void add(rs_features *f, const char *name, rs_output_kind kind, int64_t rows) {
  rs_output o = {.kind = kind, .name = rs_strdup(name)};
  assert_int_equal(rs_tensor_new(&o.values, kind == RS_NUMBERS ? RS_F32 : RS_I32, kind == RS_NUMBERS ? 2 : 1,
                                 (int64_t[]){rows, 3}),
                   RS_OK);
  for (int64_t i = 0; i < rs_tensor_count(&o.values); i++)
    if (kind == RS_NUMBERS)
      rs_f32(&o.values)[i] = (float)i;
    else
      rs_i32(&o.values)[i] = (int32_t)i;
  if (kind == RS_CODE_LIST) {
    assert_int_equal(rs_tensor_new(&o.starts, RS_I64, 1, &rows), RS_OK);
    assert_int_equal(rs_tensor_new(&o.lengths, RS_I32, 1, &rows), RS_OK);
    for (int64_t i = 0; i < rows; i++) {
      rs_i32(&o.lengths)[i] = (int32_t)(i % 5 < rows - i ? i % 5 : 0);
      rs_i64(&o.starts)[i] = i;
    }
  }
  assert_int_equal(rs_features_add(f, &o), RS_OK);
}

typedef struct world {
  rs_features events, users;
  rs_tensor user_rows, order, bounds;
} world;

static rs_tensor integers(int64_t n, uint64_t below, uint64_t seed) {
  rs_tensor t;
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, 0);
  assert_int_equal(rs_tensor_new(&t, RS_I64, 1, &n), RS_OK);
  for (int64_t i = 0; i < n; i++) rs_i64(&t)[i] = (int64_t)rs_stream_below(&s, (uint64_t)i, below);
  return t;
}

static world new_world(void) {
  world w = {.user_rows = integers(ROWS, USERS, 1), .order = integers(ROWS, ROWS, 2), .bounds = integers(8, 2, 3)};
  add(&w.events, "event.moment", RS_NUMBERS, ROWS);
  add(&w.events, "event.history", RS_CODE_LIST, ROWS);
  add(&w.users, "user.id", RS_CODES, USERS);
  static const int64_t bounds[] = {0, 100, 100, 101, 300, 420, 499, 500};
  memcpy(rs_i64(&w.bounds), bounds, sizeof bounds);
  return w;
}

static void free_world(world *w) {
  rs_features_free(&w->events), rs_features_free(&w->users);
  rs_tensor_free(&w->user_rows), rs_tensor_free(&w->order), rs_tensor_free(&w->bounds);
}

static rs_batches *new_batches(const world *w) {
  rs_batches *b = NULL;
  rs_batch_part parts[] = {{&w->events, NULL}, {&w->users, &w->user_rows}};
  assert_int_equal(rs_batches_new(&b, parts, 2, &w->order, &w->bounds), RS_OK);
  return b;
}

static void assert_same(const rs_tensors *a, const rs_tensors *b) {
  assert_int_equal(a->n, b->n);
  for (int64_t i = 0; i < a->n; i++) {
    const rs_tensor *x = &a->items[i].tensor, *y = rs_tensors_find(b, a->items[i].name);
    assert_non_null(y);
    assert_int_equal(rs_tensor_bytes(x), rs_tensor_bytes(y));
    assert_memory_equal(rs_tensor_data(x), rs_tensor_data(y), rs_tensor_bytes(x));
  }
}

static void they_hold_what_gathering_at_once_gives(void **state) {
  (void)state;
  world w = new_world();
  rs_batches *b = new_batches(&w);
  bool more = true;
  for (int64_t step = 0; step < 7; step++) {
    rs_tensors batch = {0}, expected = {0};
    int64_t first = rs_i64(&w.bounds)[step], n = rs_i64(&w.bounds)[step + 1] - first, rows[ROWS];
    for (int64_t i = 0; i < n; i++) rows[i] = rs_i64(&w.user_rows)[rs_i64(&w.order)[first + i]];
    assert_int_equal(rs_features_gather(&w.events, rs_i64(&w.order) + first, n, &expected), RS_OK);
    assert_int_equal(rs_features_gather(&w.users, rows, n, &expected), RS_OK);
    assert_int_equal(rs_batches_next(b, &batch, &more), RS_OK);
    assert_true(more);
    assert_same(&batch, &expected);
    rs_tensors_free(&batch), rs_tensors_free(&expected);
  }
  rs_tensors none = {0};
  assert_int_equal(rs_batches_next(b, &none, &more), RS_OK);
  assert_false(more);
  rs_batches_free(b);
  free_world(&w);
}

static void they_may_be_left_at_any_moment(void **state) {
  (void)state;
  world w = new_world();
  for (int taken = 0; taken <= 7; taken++)
    for (int again = 0; again < 20; again++) {
      rs_batches *b = new_batches(&w);
      for (int i = 0; i < taken; i++) {
        rs_tensors batch = {0};
        bool more;
        assert_int_equal(rs_batches_next(b, &batch, &more), RS_OK);
        rs_tensors_free(&batch);
      }
      rs_batches_free(b);
    }
  free_world(&w);
}

static void what_was_handed_out_outlives_its_features(void **state) {
  (void)state;
  world w = new_world();
  rs_batches *b = new_batches(&w);
  free_world(&w);
  rs_tensors batch = {0};
  bool more;
  assert_int_equal(rs_batches_next(b, &batch, &more), RS_OK);
  rs_batches_free(b);
  assert_int_equal(rs_tensors_find(&batch, "user.id")->size[0], 100);
  rs_tensors_free(&batch);
}

static void failures_of_the_thread_are_told_once(void **state) {
  (void)state;
  world w = new_world();
  rs_batches *b = NULL;
  rs_batch_part twice[] = {{&w.events, NULL}, {&w.events, NULL}};
  assert_int_equal(rs_batches_new(&b, twice, 2, &w.order, &w.bounds), RS_OK);
  rs_tensors batch = {0};
  bool more;
  assert_int_equal(rs_batches_next(b, &batch, &more), RS_EARG);
  assert_non_null(strstr(rs_message(), "event.moment"));
  rs_tensors_free(&batch);
  assert_int_equal(rs_batches_next(b, &batch, &more), RS_OK);
  assert_false(more);
  rs_batches_free(b);
  free_world(&w);
}

static void wrong_orders_and_bounds_are_refused(void **state) {
  (void)state;
  world w = new_world();
  rs_batches *b = NULL;
  rs_batch_part parts[] = {{&w.events, NULL}, {&w.users, &w.user_rows}};
  rs_i64(&w.bounds)[3] = 99;
  assert_int_equal(rs_batches_new(&b, parts, 2, &w.order, &w.bounds), RS_EARG);
  assert_string_equal(rs_message(), "batches: bound 3 is 99; bounds must rise from 0 to at most 500");
  rs_i64(&w.bounds)[3] = 101;
  rs_i64(&w.order)[7] = ROWS;
  assert_int_equal(rs_batches_new(&b, parts, 2, &w.order, &w.bounds), RS_ERANGE);
  assert_string_equal(rs_message(), "batches: position 500 of 500");
  rs_i64(&w.order)[7] = 0;
  rs_i64(&w.user_rows)[rs_i64(&w.order)[3]] = USERS; /* seen when it is gathered */
  assert_int_equal(rs_batches_new(&b, parts, 2, &w.order, &w.bounds), RS_OK);
  rs_tensors batch = {0};
  bool more;
  assert_int_equal(rs_batches_next(b, &batch, &more), RS_ERANGE);
  rs_tensors_free(&batch);
  rs_batches_free(b);
  free_world(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(they_hold_what_gathering_at_once_gives),
      cmocka_unit_test(they_may_be_left_at_any_moment),
      cmocka_unit_test(what_was_handed_out_outlives_its_features),
      cmocka_unit_test(failures_of_the_thread_are_told_once),
      cmocka_unit_test(wrong_orders_and_bounds_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
