/* hnsw_test.c - the approximate engine against the exact one: recall over several kinds of vectors, bits of scores,
 * filters. */
#include "retrieval/hnsw.h"

#include "base/parallel.h"
#include "retrieval/hnsw_testing.h"
#include "tensor/block.h"

static void the_best_are_found_whatever_the_vectors_are_like(void **state) {
  (void)state;
  for (int kind = 0; kind < KINDS; kind++)
    for (int codes = 0; codes < 2; codes++) {
      rs_tensor items;
      draw(&items, kind, ROWS, 7);
      rs_hnsw *h = build(&items, codes, false);
      double narrow = recall(h, &items, kind, (rs_index_query){.k = K, .ef = K});
      double wide = recall(h, &items, kind, (rs_index_query){.k = K, .ef = 100});
      /* Of few values hundreds of rows tie with the last. */
      assert_true(wide >= (kind == TIES ? 0.9 : 0.97));
      assert_true(narrow >= 0.5 && narrow <= wide);
      rs_hnsw_free(h);
      rs_tensor_free(&items);
    }
}

static void a_further_coordinate_helps_where_lengths_differ(void **state) {
  (void)state;
  for (int kind = LENGTHS; kind <= SPREAD; kind++) {
    rs_tensor items;
    double reached[2];
    draw(&items, kind, ROWS, 7);
    for (int direct = 0; direct < 2; direct++) {
      rs_hnsw *h = build(&items, false, direct);
      reached[direct] = recall(h, &items, kind, (rs_index_query){.k = K, .ef = 32});
      rs_hnsw_free(h);
    }
    assert_true(reached[0] >= reached[1] - 0.01);
    rs_tensor_free(&items);
  }
}

static void a_walk_looks_at_few(void **state) {
  (void)state;
  rs_tensor items, queries;
  draw(&items, CLUSTERS, 4 * ROWS, 7);
  draw(&queries, CLUSTERS, QUERIES, 99);
  rs_hnsw *h = build(&items, true, false);
  rs_index_scratch scratch = {0};
  static answer a;
  int64_t looked = 0;
  for (int64_t i = 0; i < QUERIES; i++) {
    ask(rs_hnsw_index(h), &(rs_index_query){.query = rs_f32(&queries) + i * WIDTH, .k = K, .ef = 20}, &scratch, &a);
    looked += a.stats.looked;
    assert_int_equal(a.stats.scored, 20);
  }
  assert_true(looked / QUERIES < 4 * ROWS / 20);
  rs_index_scratch_free(&scratch);
  rs_hnsw_free(h);
  rs_tensor_free(&items);
  rs_tensor_free(&queries);
}

static void any_number_of_threads_builds_the_same_graph(void **state) {
  (void)state;
  int before = rs_threads();
  for (int codes = 0; codes < 2; codes++) {
    rs_tensor items;
    draw(&items, LENGTHS, ROWS, 7);
    rs_threads_set(1);
    rs_hnsw *one = build(&items, codes, false);
    rs_threads_set(3);
    rs_hnsw *three = build(&items, codes, false);
    assert_same(one, three);
    rs_hnsw_free(one);
    rs_hnsw_free(three);
    rs_tensor_free(&items);
  }
  rs_threads_set(before);
}

static void filters_let_through_what_they_allow_and_find_the_best_of_it(void **state) {
  (void)state;
  rs_tensor items;
  draw(&items, CLUSTERS, 4 * ROWS, 7);
  rs_stream s = rs_stream_at(4, RS_RNG_USER, 0, 0);
  static uint64_t allow[4 * ROWS / 64 + 1];
  static const int shares[] = {100, 50, 10, 1, 0};
  for (int codes = 0; codes < 2; codes++) {
    rs_hnsw *h = build(&items, codes, false);
    for (int f = 0; f < 5; f++) {
      rs_bitmap_fill(allow, 4 * ROWS, false);
      for (int64_t i = 0; i < 4 * ROWS; i++)
        if ((int)rs_stream_below(&s, (uint64_t)i, 100) < shares[f]) rs_bitmap_set(allow, i);
      /* 'recall' has seen that the exact engine, too, finds as many, and that scores are those of these rows. */
      assert_true(recall(h, &items, CLUSTERS, (rs_index_query){.k = K, .ef = 32, .allow = allow}) >= 0.93);
    }
    rs_hnsw_free(h);
  }
  rs_tensor_free(&items);
}

/* Only items far from the query may be found: walks give up or scan. */
static void a_filter_against_the_query_is_served(void **state) {
  (void)state;
  rs_tensor items, queries;
  rs_index *exact;
  rs_index_scratch scratch = {0};
  static uint64_t allow[ROWS / 64 + 1];
  static answer far;
  draw(&items, CLUSTERS, ROWS, 7);
  draw(&queries, CLUSTERS, QUERIES, 99);
  rs_hnsw *h = build(&items, false, false);
  float *away = rs_f32(&queries);
  for (int i = 0; i < WIDTH; i++) away[i] = -away[i];
  assert_int_equal(rs_scan_new(&exact, &items), RS_OK);
  ask(exact, &(rs_index_query){.query = away, .k = MOST_K}, &scratch, &far);
  rs_bitmap_fill(allow, ROWS, false);
  for (int64_t i = 0; i < far.n; i++) rs_bitmap_set(allow, far.rows[i]);
  for (int i = 0; i < WIDTH; i++) away[i] = -away[i];
  assert_true(recall_of(h, &items, &queries, (rs_index_query){.k = 50, .ef = 50, .allow = allow}) > 0.9);
  rs_index_free(exact);
  rs_index_scratch_free(&scratch);
  rs_hnsw_free(h);
  rs_tensor_free(&items);
  rs_tensor_free(&queries);
}

static void exclusions_windows_and_several_vectors(void **state) {
  (void)state;
  rs_tensor items;
  static int64_t item_time[ROWS];
  static int32_t excluded[300];
  draw(&items, LENGTHS, ROWS, 7);
  rs_hnsw *h = build(&items, true, false);
  for (int64_t i = 0; i < ROWS; i++) item_time[i] = i % 100;
  for (int i = 0; i < 300; i++) excluded[i] = (int32_t)(i * 7 % ROWS);
  rs_index_query q = {.k = K, .ef = 100, .excluded = excluded, .n_excluded = 300};
  assert_true(recall(h, &items, LENGTHS, q) > 0.95);
  q.vectors = 4;
  assert_true(recall(h, &items, LENGTHS, q) > 0.95);
  q.item_time = item_time, q.from = 20, q.to = 70;
  assert_true(recall(h, &items, LENGTHS, q) > 0.95);
  q.to = 21; /* 40 rows: fewer than are asked for */
  q.k = 60;
  assert_true(recall(h, &items, LENGTHS, q) == 1);
  rs_hnsw_free(h);
  rs_tensor_free(&items);
}

static void searches_allocate_nothing_once_their_scratch_has_grown(void **state) {
  (void)state;
  rs_tensor items, queries;
  rs_index_scratch scratch = {0};
  static uint64_t allow[ROWS / 64 + 1];
  static answer a;
  draw(&items, CLUSTERS, ROWS, 7);
  draw(&queries, CLUSTERS, QUERIES, 99);
  rs_hnsw *h = build(&items, true, false);
  rs_bitmap_fill(allow, ROWS, true);
  rs_bitmap_clear(allow, 5);
  for (int64_t i = 0; i < 2 * QUERIES; i++) {
    rs_index_query q = {.query = rs_f32(&queries) + i % QUERIES * WIDTH, .k = K, .allow = i % 2 ? allow : NULL};
    if (i == QUERIES) rs_alloc_fault(0);
    ask(rs_hnsw_index(h), &q, &scratch, &a);
  }
  assert_int_equal(rs_alloc_refusals(), 0);
  rs_alloc_fault(-1);
  rs_index_scratch_free(&scratch);
  rs_hnsw_free(h);
  rs_tensor_free(&items);
  rs_tensor_free(&queries);
}

static void without_kernels_of_our_own_scores_are_those_of_blas(void **state) {
  (void)state;
  rs_tensor items;
  draw(&items, SPREAD, ROWS / 2, 7);
  rs_hnsw *h = build(&items, false, false);
  rs_block_use(rs_block_kernel_named("plain"));
  assert_true(recall(h, &items, SPREAD, (rs_index_query){.k = K, .ef = 60}) > 0.95);
  rs_block_use(NULL);
  rs_hnsw_free(h);
  rs_tensor_free(&items);
}

static void extreme_vectors_are_served(void **state) {
  (void)state;
  for (int c = 0; c < 4; c++)
    for (int codes = 0; codes < 2; codes++) {
      rs_tensor items, queries;
      draw(&items, SPREAD, 500, 7);
      draw(&queries, SPREAD, 6, 99);
      float times = c == 0 ? 0 : c == 1 ? 1e-30F : c == 2 ? 1e-44F : 1e17F;
      for (int64_t i = 0; i < 500 * WIDTH; i++) rs_f32(&items)[i] *= i % 3 == 0 && c == 3 ? 1 : times;
      for (int64_t i = 0; i < WIDTH; i++) rs_f32(&queries)[i] = 0;
      rs_hnsw *h = build(&items, codes, false);
      recall_of(h, &items, &queries, (rs_index_query){.k = K, .ef = 15});
      rs_hnsw_free(h);
      rs_tensor_free(&items);
      rs_tensor_free(&queries);
    }
}

static void a_query_that_is_not_finite_is_named_as_by_the_exact_engine(void **state) {
  (void)state;
  rs_tensor items;
  rs_index_scratch scratch = {0};
  float query[WIDTH] = {NAN};
  static answer a;
  draw(&items, CLUSTERS, 500, 7);
  rs_hnsw *h = build(&items, true, false);
  rs_index_found found = {.rows = a.rows, .scores = a.scores};
  assert_int_equal(rs_index_search(rs_hnsw_index(h), &(rs_index_query){.query = query, .k = K}, &scratch, &found),
                   RS_ENUMERIC);
  assert_string_equal(rs_message(), "top-k: the score of item row 0 for query 0 is not a finite number");
  assert_int_equal(found.n, 0);
  rs_index_scratch_free(&scratch);
  rs_hnsw_free(h);
  rs_tensor_free(&items);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_best_are_found_whatever_the_vectors_are_like),
      cmocka_unit_test(a_further_coordinate_helps_where_lengths_differ),
      cmocka_unit_test(a_walk_looks_at_few),
      cmocka_unit_test(any_number_of_threads_builds_the_same_graph),
      cmocka_unit_test(filters_let_through_what_they_allow_and_find_the_best_of_it),
      cmocka_unit_test(a_filter_against_the_query_is_served),
      cmocka_unit_test(exclusions_windows_and_several_vectors),
      cmocka_unit_test(searches_allocate_nothing_once_their_scratch_has_grown),
      cmocka_unit_test(without_kernels_of_our_own_scores_are_those_of_blas),
      cmocka_unit_test(extreme_vectors_are_served),
      cmocka_unit_test(a_query_that_is_not_finite_is_named_as_by_the_exact_engine),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
