/* hnsw_change_test.c - rows that join, change or leave, and vectors that all move. */
#include "retrieval/hnsw.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/gate.h"
#include "retrieval/hnsw_testing.h"

static void rows_join_one_by_one(void **state) {
  (void)state;
  for (int codes = 0; codes < 2; codes++) {
    rs_tensor items, some;
    draw(&items, LENGTHS, ROWS, 7);
    first_rows(&some, &items, ROWS / 2);
    rs_hnsw *h = build(&some, codes, false);
    for (int64_t row = ROWS / 2; row < ROWS; row++) {
      if (row % 700 == 0 || row == ROWS / 2) assert_int_equal(rs_hnsw_reserve(h, row + 700), RS_OK);
      rs_tensor now;
      first_rows(&now, &items, row + 1);
      rs_hnsw_put(h, &now, row);
      rs_tensor_free(&now);
    }
    assert_int_equal(rs_hnsw_facts_of(h).n, ROWS);
    assert_true(recall(h, &items, LENGTHS, (rs_index_query){.k = K, .ef = 100}) > 0.96);
    rs_hnsw_free(h);
    rs_tensor_free(&some);
    rs_tensor_free(&items);
  }
}

static void an_empty_index_grows(void **state) {
  (void)state;
  rs_tensor items, none;
  draw(&items, CLUSTERS, 600, 7);
  first_rows(&none, &items, 0);
  rs_hnsw *h = build(&none, true, false);
  assert_int_equal(rs_hnsw_reserve(h, 600), RS_OK);
  for (int64_t row = 0; row < 600; row++) {
    rs_tensor now;
    first_rows(&now, &items, row + 1);
    rs_hnsw_put(h, &now, row);
    rs_tensor_free(&now);
  }
  assert_true(recall(h, &items, CLUSTERS, (rs_index_query){.k = 5, .ef = 20}) > 0.9);
  rs_hnsw_free(h);
  rs_tensor_free(&none);
  rs_tensor_free(&items);
}

static void deleted_rows_are_not_found_and_the_others_still_are(void **state) {
  (void)state;
  rs_tensor items;
  static int32_t gone[ROWS];
  int64_t n = 0;
  draw(&items, CLUSTERS, ROWS, 7);
  rs_hnsw *h = build(&items, true, false);
  assert_int_equal(rs_hnsw_reserve(h, ROWS), RS_OK);
  for (int64_t row = 0; row < ROWS; row++)
    if (row % 5 != 1) rs_hnsw_delete(h, gone[n++] = (int32_t)row);
  rs_hnsw_delete(h, gone[0]); /* again: nothing */
  assert_int_equal(rs_hnsw_facts_of(h).dead, n);
  /* The exact engine is told of them, ours is not. */
  rs_tensor queries;
  rs_index *exact;
  rs_index_scratch scratch = {0}, others = {0};
  static answer mine, theirs;
  int64_t hits = 0;
  draw(&queries, CLUSTERS, QUERIES, 99);
  assert_int_equal(rs_scan_new(&exact, &items), RS_OK);
  for (int64_t i = 0; i < QUERIES; i++) {
    rs_index_query q = {.query = rs_f32(&queries) + i * WIDTH, .k = K, .ef = 40};
    ask(rs_hnsw_index(h), &q, &scratch, &mine);
    q.excluded = gone, q.n_excluded = n;
    ask(exact, &q, &others, &theirs);
    assert_int_equal(mine.n, K);
    for (int64_t j = 0; j < K; j++) {
      assert_true(mine.rows[j] % 5 == 1);
      for (int64_t e = 0; e < K; e++) hits += mine.rows[j] == theirs.rows[e];
    }
  }
  assert_true(hits > 0.95 * QUERIES * K);
  for (int64_t i = 0; i < n; i++) rs_hnsw_put(h, &items, gone[i]); /* back again */
  assert_int_equal(rs_hnsw_facts_of(h).dead, 0);
  assert_true(recall_of(h, &items, &queries, (rs_index_query){.k = K, .ef = 100}) > 0.95);
  rs_index_free(exact);
  rs_index_scratch_free(&scratch);
  rs_index_scratch_free(&others);
  rs_hnsw_free(h);
  rs_tensor_free(&queries);
  rs_tensor_free(&items);
}

static void a_row_whose_vector_changed_is_found_where_it_is_now(void **state) {
  (void)state;
  for (int codes = 0; codes < 2; codes++) {
    rs_tensor items, others;
    draw(&items, CLUSTERS, ROWS, 7);
    draw(&others, CLUSTERS, ROWS, 8);
    rs_hnsw *h = build(&items, codes, false);
    assert_int_equal(rs_hnsw_reserve(h, ROWS), RS_OK);
    for (int64_t row = 0; row < ROWS; row += 4) {
      memcpy(rs_f32(&items) + row * WIDTH, rs_f32(&others) + row * WIDTH, WIDTH * sizeof(float));
      rs_hnsw_put(h, &items, row);
    }
    assert_true(recall(h, &items, CLUSTERS, (rs_index_query){.k = K, .ef = 100}) > 0.96);
    rs_hnsw_free(h);
    rs_tensor_free(&items);
    rs_tensor_free(&others);
  }
}

/* Vectors that all moved by 'by' of their length, each its own way. */
static void move_all(rs_tensor *out, const rs_tensor *items, float by) {
  rs_stream s = rs_stream_at(13, RS_RNG_USER, 0, 0);
  assert_int_equal(rs_tensor_copy_of(out, items), RS_OK);
  for (int64_t i = 0; i < items->size[0]; i++) {
    float *row = rs_f32(out) + i * WIDTH, length = 0;
    for (int64_t j = 0; j < WIDTH; j++) length += row[j] * row[j];
    for (int64_t j = 0; j < WIDTH; j++)
      row[j] += by * sqrtf(length / WIDTH) * normal(&s, (uint64_t)(i * WIDTH + j));
  }
}

/* As when every item is counted anew: the links stay, and what they find is scored by the vectors of now. */
static void a_graph_is_kept_when_all_vectors_move(void **state) {
  (void)state;
  const rs_index_query q = {.k = K, .ef = 100};
  for (int kind = CLUSTERS; kind <= SPREAD; kind++)
    for (int codes = 0; codes < 2; codes++) {
      rs_tensor items, moved;
      rs_hnsw *h;
      draw(&items, kind, ROWS, 7);
      move_all(&moved, &items, 0.3F);
      rs_hnsw *before = build(&items, codes, false), *anew = build(&moved, codes, false);
      assert_int_equal(rs_hnsw_over(&h, before, &moved), RS_OK);
      rs_hnsw_free(before); /* the links that they shared are the other's now */
      double kept = recall(h, &moved, kind, q), best = recall(anew, &moved, kind, q);
      assert_true(kept > best - 0.02);
      assert_int_equal(rs_hnsw_reserve(h, ROWS), RS_OK);
      for (int64_t row = 0; row < ROWS; row += 9) rs_hnsw_put(h, &moved, row);
      assert_true(recall(h, &moved, kind, q) > best - 0.02);
      rs_hnsw_free(anew);
      rs_hnsw_free(h);
      rs_tensor_free(&items);
      rs_tensor_free(&moved);
    }
}

static void a_graph_over_the_same_vectors_is_the_same(void **state) {
  (void)state;
  for (int codes = 0; codes < 2; codes++) {
    rs_tensor items, fewer, queries;
    rs_hnsw *h, *same;
    rs_index_scratch scratch = {0};
    static answer a, b;
    draw(&items, LENGTHS, ROWS, 7);
    draw(&queries, CLUSTERS, QUERIES, 99);
    first_rows(&fewer, &items, ROWS - 1);
    h = build(&fewer, codes, false);
    assert_int_equal(rs_hnsw_reserve(h, ROWS), RS_OK); /* parts that have room for more */
    rs_hnsw_put(h, &items, ROWS - 1);
    rs_hnsw_delete(h, 5);
    assert_int_equal(rs_hnsw_over(&same, h, &fewer), RS_ESHAPE);
    assert_string_equal(rs_message(), "index: vectors are [3999, 24]; those of 4000 rows of 24 numbers expected");
    assert_null(same);
    int64_t bytes = rs_alloc_bytes();
    assert_int_equal(rs_hnsw_over(&same, h, &items), RS_OK);
    assert_true(rs_alloc_bytes() - bytes < (codes ? ROWS * (WIDTH + 5) : 4000)); /* links are shared */
    assert_int_equal(rs_hnsw_facts_of(same).dead, 1);
    for (int64_t i = 0; i < QUERIES; i++) {
      rs_index_query q = {.query = rs_f32(&queries) + i * WIDTH, .k = K};
      ask(rs_hnsw_index(h), &q, &scratch, &a);
      ask(rs_hnsw_index(same), &q, &scratch, &b);
      assert_memory_equal(a.rows, b.rows, K * sizeof *a.rows);
      assert_memory_equal(a.scores, b.scores, K * sizeof *a.scores);
    }
    rs_hnsw_free(same);
    rs_hnsw_free(h);
    rs_index_scratch_free(&scratch);
    rs_tensor_free(&queries);
    rs_tensor_free(&fewer);
    rs_tensor_free(&items);
  }
}

/* Readers that pass a gate while a writer makes room beside them and closes it for each row. */
enum { READERS = 2 };
typedef struct reading {
  rs_gate *gate;
  rs_hnsw *h;
  const rs_tensor *queries;
  int worker;
  atomic_bool *done;
  int64_t searches, foreign; /* rows found that were not there */
} reading;

static void *read_on(void *context) {
  reading *r = context;
  rs_index_scratch scratch = {0};
  int64_t rows[K];
  float scores[K];
  rs_index_found found = {.rows = rows, .scores = scores};
  while (!atomic_load(r->done) || r->searches < 50) {
    rs_index_query q = {.query = rs_f32(r->queries) + r->searches % QUERIES * WIDTH, .k = K, .ef = 20};
    rs_gate_enter(r->gate, r->worker);
    bool fine = rs_index_search(rs_hnsw_index(r->h), &q, &scratch, &found) == RS_OK && found.n == K;
    for (int64_t i = 0; fine && i < K; i++) r->foreign += rows[i] < 0 || rows[i] >= rs_index_items(rs_hnsw_index(r->h));
    rs_gate_leave(r->gate, r->worker);
    r->foreign += !fine;
    r->searches++;
  }
  rs_index_scratch_free(&scratch);
  return NULL;
}

static void readers_go_on_while_rows_join_and_leave(void **state) {
  (void)state;
  enum { FEW = 2000, MORE = 400 };
  rs_tensor items, queries, some;
  rs_gate *gate;
  atomic_bool done = false;
  reading readers[READERS];
  pthread_t threads[READERS];
  draw(&items, CLUSTERS, FEW + MORE, 7);
  draw(&queries, CLUSTERS, QUERIES, 99);
  first_rows(&some, &items, FEW);
  rs_hnsw *h = build(&some, true, false);
  assert_int_equal(rs_gate_new(&gate, READERS), RS_OK);
  for (int i = 0; i < READERS; i++) {
    readers[i] = (reading){.gate = gate, .h = h, .queries = &queries, .worker = i, .done = &done};
    assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
  }
  for (int64_t row = FEW; row < FEW + MORE; row++) {
    rs_tensor now;
    first_rows(&now, &items, row + 1);
    assert_int_equal(rs_hnsw_reserve(h, row + 1), RS_OK);
    rs_gate_close(gate);
    rs_hnsw_put(h, &now, row);
    if (row % 3 == 0) rs_hnsw_delete(h, row - FEW);
    rs_gate_open(gate);
    rs_tensor_free(&now);
  }
  atomic_store(&done, true);
  for (int i = 0; i < READERS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(readers[i].foreign, 0);
  }
  rs_gate_free(gate);
  rs_hnsw_free(h);
  rs_tensor_free(&some);
  rs_tensor_free(&items);
  rs_tensor_free(&queries);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_join_one_by_one),
      cmocka_unit_test(an_empty_index_grows),
      cmocka_unit_test(deleted_rows_are_not_found_and_the_others_still_are),
      cmocka_unit_test(a_row_whose_vector_changed_is_found_where_it_is_now),
      cmocka_unit_test(a_graph_is_kept_when_all_vectors_move),
      cmocka_unit_test(a_graph_over_the_same_vectors_is_the_same),
      cmocka_unit_test(readers_go_on_while_rows_join_and_leave),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
