/* topk_test.c - exact top-K against a full sort, ties, exclusions and windows included. */
#include "retrieval/topk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"

enum { ITEMS = 777, QUERIES = 61, WIDTH = 5, BARRED = 20 };

static float users[QUERIES * WIDTH], items[ITEMS * WIDTH];
static int64_t item_time[ITEMS], from[QUERIES], to[QUERIES], starts[QUERIES];
static int32_t lengths[QUERIES], barred[QUERIES * BARRED];

/* Small whole numbers: exact products and many ties. */
static void draw(int64_t values) {
  rs_stream s = rs_stream_at(4, RS_RNG_USER, 0, (uint32_t)values);
  uint64_t at = 0;
  for (int i = 0; i < QUERIES * WIDTH; i++) users[i] = (float)((int64_t)rs_stream_below(&s, at++, values) - values / 2);
  for (int i = 0; i < ITEMS * WIDTH; i++) items[i] = (float)((int64_t)rs_stream_below(&s, at++, values) - values / 2);
  for (int i = 0; i < ITEMS; i++) item_time[i] = (int64_t)rs_stream_below(&s, at++, 100);
  for (int q = 0; q < QUERIES; q++) {
    to[q] = (int64_t)rs_stream_below(&s, at++, 110);
    from[q] = to[q] - (int64_t)rs_stream_below(&s, at++, 60);
    starts[q] = q * BARRED;
    lengths[q] = (int32_t)rs_stream_below(&s, at++, BARRED + 1);
  }
  for (int i = 0; i < QUERIES * BARRED; i++) barred[i] = (int32_t)rs_stream_below(&s, at++, ITEMS);
}

static rs_topk_request request(int64_t k, bool limited) {
  rs_topk_request r = {.users = users, .items = items, .queries = QUERIES, .n_items = ITEMS, .width = WIDTH, .k = k};
  if (!limited) return r;
  r.excluded = (rs_lists){QUERIES, starts, lengths, barred, QUERIES * BARRED};
  r.item_time = item_time;
  r.from = from;
  r.to = to;
  return r;
}

typedef struct scored {
  float score;
  int64_t row;
} scored;

static int compare(const void *a, const void *b) {
  const scored *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static int64_t sort_all(scored *out, int64_t q, bool limited) {
  int64_t n = 0;
  for (int64_t i = 0; i < ITEMS; i++) {
    bool candidate = true;
    if (limited) candidate = from[q] <= item_time[i] && item_time[i] < to[q];
    for (int64_t b = 0; limited && b < lengths[q]; b++) candidate &= barred[starts[q] + b] != i;
    float sum = 0;
    for (int64_t d = 0; d < WIDTH; d++) sum += users[q * WIDTH + d] * items[i * WIDTH + d];
    if (candidate) out[n++] = (scored){sum, i};
  }
  qsort(out, (size_t)n, sizeof *out, compare);
  return n;
}

static void the_best_equal_a_full_sort(void **state) {
  (void)state;
  const int64_t ks[] = {1, 7, 100, 1000}, values[] = {2, 5, 1000};
  for (int c = 0; c < 24; c++) {
    int64_t k = ks[c % 4];
    bool limited = c / 12;
    draw(values[c / 4 % 3]);
    rs_tensor rows, scores;
    rs_topk_request ask = request(k, limited);
    assert_int_equal(rs_topk(&rows, &scores, &ask), RS_OK);
    for (int64_t q = 0; q < QUERIES; q++) {
      scored expected[ITEMS];
      int64_t n = sort_all(expected, q, limited);
      for (int64_t i = 0; i < k; i++) {
        assert_int_equal(rs_i64(&rows)[q * k + i], i < n ? expected[i].row : -1);
        assert_true(rs_f32(&scores)[q * k + i] == (i < n ? expected[i].score : -INFINITY));
      }
    }
    rs_tensor_free(&rows);
    rs_tensor_free(&scores);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

/* Query q of QUERIES / 3 has rows 3 q .. 3 q + 2 of 'users' as its vectors. */
static void several_vectors_are_merged_by_the_best_score(void **state) {
  (void)state;
  enum { VECTORS = 3, K = 40 };
  rs_tensor rows, scores, again, again_scores;
  int before = rs_threads();
  draw(1000);
  rs_topk_request ask = request(K, true);
  ask.queries = QUERIES / VECTORS;
  ask.excluded.n = ask.queries;
  ask.vectors = VECTORS;
  assert_int_equal(rs_topk(&rows, &scores, &ask), RS_OK);
  for (int64_t q = 0; q < ask.queries; q++) {
    scored expected[ITEMS];
    int64_t n = 0;
    for (int64_t i = 0; i < ITEMS; i++) {
      float best = -INFINITY;
      bool candidate = from[q] <= item_time[i] && item_time[i] < to[q];
      for (int64_t b = 0; b < lengths[q]; b++) candidate &= barred[starts[q] + b] != i;
      for (int64_t v = 0; v < VECTORS; v++) {
        float sum = 0;
        for (int64_t d = 0; d < WIDTH; d++) sum += users[(q * VECTORS + v) * WIDTH + d] * items[i * WIDTH + d];
        if (sum > best) best = sum;
      }
      if (candidate) expected[n++] = (scored){best, i};
    }
    qsort(expected, (size_t)n, sizeof *expected, compare);
    for (int64_t i = 0; i < K; i++) {
      assert_int_equal(rs_i64(&rows)[q * K + i], i < n ? expected[i].row : -1);
      assert_true(rs_f32(&scores)[q * K + i] == (i < n ? expected[i].score : -INFINITY));
    }
  }
  rs_threads_set(1);
  assert_int_equal(rs_topk(&again, &again_scores, &ask), RS_OK);
  rs_threads_set(before);
  assert_memory_equal(rs_f32(&scores), rs_f32(&again_scores), rs_tensor_bytes(&scores));
  users[4 * WIDTH] = NAN; /* the second vector of query 1 */
  ask.item_time = ask.from = ask.to = NULL;
  ask.excluded.n = 0;
  rs_tensor none, no_scores;
  assert_int_equal(rs_topk(&none, &no_scores, &ask), RS_ENUMERIC);
  assert_string_equal(rs_message(), "top-k: the score of item row 0 for query 1 is not a finite number");
  for (rs_tensor **t = (rs_tensor *[]){&rows, &scores, &again, &again_scores, NULL}; *t; t++) rs_tensor_free(*t);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void fill_with_fractions(void) {
  rs_stream s = rs_stream_at(6, RS_RNG_USER, 0, 0);
  for (int i = 0; i < QUERIES * WIDTH; i++) users[i] = rs_stream_f32(&s, (uint64_t)i) - 0.5f;
  for (int i = 0; i < ITEMS * WIDTH; i++) items[i] = rs_stream_f32(&s, (uint64_t)(5000 + i)) - 0.5f;
}

static void an_answer_depends_on_its_user_alone(void **state) {
  (void)state;
  rs_tensor rows, scores, row, score;
  int before = rs_threads();
  fill_with_fractions();
  rs_topk_request all = request(20, false);
  rs_threads_set(2);
  assert_int_equal(rs_topk(&rows, &scores, &all), RS_OK);
  rs_threads_set(1);
  for (int64_t q = 0; q < QUERIES; q += 3) {
    rs_topk_request one = all;
    one.users = users + q * WIDTH;
    one.queries = 1;
    assert_int_equal(rs_topk(&row, &score, &one), RS_OK);
    assert_memory_equal(rs_i64(&row), rs_i64(&rows) + q * 20, 20 * sizeof(int64_t));
    assert_memory_equal(rs_f32(&score), rs_f32(&scores) + q * 20, 20 * sizeof(float));
    rs_tensor_free(&row);
    rs_tensor_free(&score);
  }
  rs_threads_set(before);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
}

static void equal_items_tie_wherever_they_stand(void **state) {
  (void)state;
  rs_tensor rows, scores;
  fill_with_fractions();
  for (int64_t i = 1; i < ITEMS; i++) memcpy(items + i * WIDTH, items, WIDTH * sizeof *items);
  rs_topk_request ask = request(ITEMS, false);
  assert_int_equal(rs_topk(&rows, &scores, &ask), RS_OK);
  for (int64_t q = 0; q < QUERIES; q++)
    for (int64_t i = 0; i < ITEMS; i++) assert_int_equal(rs_i64(&rows)[q * ITEMS + i], i);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
}

static void a_score_that_is_not_finite_is_named_unless_excluded(void **state) {
  (void)state;
  rs_tensor rows, scores;
  draw(5);
  items[700 * WIDTH] = NAN;
  rs_topk_request ask = request(5, false);
  assert_int_equal(rs_topk(&rows, &scores, &ask), RS_ENUMERIC);
  assert_string_equal(rs_message(), "top-k: the score of item row 700 for query 0 is not a finite number");
  assert_null(rows.storage);
  static int64_t zero[QUERIES];
  static int32_t ones[QUERIES];
  int32_t bad = 700;
  for (int q = 0; q < QUERIES; q++) ones[q] = 1;
  ask.excluded = (rs_lists){QUERIES, zero, ones, &bad, 1};
  assert_int_equal(rs_topk(&rows, &scores, &ask), RS_OK);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
}

static void refuse(rs_topk_request ask, rs_status status, const char *message) {
  rs_tensor rows, scores;
  assert_int_equal(rs_topk(&rows, &scores, &ask), status);
  assert_string_equal(rs_message(), message);
}

static void a_request_that_makes_no_sense_is_refused(void **state) {
  (void)state;
  draw(5);
  refuse(request(0, false), RS_EARG, "top-k: k is 0; 1 or more items can be asked for");
  rs_topk_request ask = request(3, true);
  ask.to = NULL;
  refuse(ask, RS_EARG, "top-k: item_time, from and to go together");
  ask = request(3, true);
  ask.excluded.n = 3;
  refuse(ask, RS_ESHAPE, "top-k: 3 lists of excluded items for 61 queries");
  ask = request(3, true);
  barred[2] = ITEMS;
  refuse(ask, RS_ERANGE, "excluded items: value 777 at 2 is outside 0..776");
}

static void no_items_and_no_users_are_fine(void **state) {
  (void)state;
  rs_tensor rows, scores;
  rs_topk_request ask = request(2, false);
  ask.n_items = 0;
  assert_int_equal(rs_topk(&rows, &scores, &ask), RS_OK);
  assert_true(rs_i64(&rows)[1] == -1 && rs_f32(&scores)[1] == -INFINITY);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
  ask = request(2, false);
  ask.queries = 0;
  assert_int_equal(rs_topk(&rows, &scores, &ask), RS_OK);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_best_equal_a_full_sort),
      cmocka_unit_test(several_vectors_are_merged_by_the_best_score),
      cmocka_unit_test(an_answer_depends_on_its_user_alone),
      cmocka_unit_test(equal_items_tie_wherever_they_stand),
      cmocka_unit_test(a_score_that_is_not_finite_is_named_unless_excluded),
      cmocka_unit_test(a_request_that_makes_no_sense_is_refused),
      cmocka_unit_test(no_items_and_no_users_are_fine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
