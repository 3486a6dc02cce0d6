/* hnsw_test.c - the approximate engine against the exact one: recall over several kinds of vectors, bits of scores,
 * filters, changes, files that lie, refused memory. */
#include "retrieval/hnsw.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/gate.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/scored.h"
#include "base/testing.h"
#include "retrieval/hnsw_dot.h"
#include "retrieval/scan.h"
#include "tensor/block.h"

enum { ROWS = 4000, QUERIES = 100, WIDTH = 24, CENTRES = 100, K = 10, MOST_K = 400 };

/* ---- Vectors ---- */

enum { CLUSTERS, LENGTHS, SPREAD, TIES, KINDS }; /* equally long; not at all; fading Gaussians; few values */

static float normal(const rs_stream *s, uint64_t at) { return (float)rs_stream_normal(s, at); }

static void draw_vector(float *out, int kind, const rs_stream *s, uint64_t number) {
  rs_stream centres = rs_stream_at(5, RS_RNG_USER, 1, 0);
  uint64_t base = number * (WIDTH + 2), centre = rs_stream_below(s, base, CENTRES) * WIDTH;
  double length = 0;
  for (uint64_t i = 0; i < WIDTH; i++) {
    out[i] = normal(s, base + 2 + i);
    if (kind == CLUSTERS || kind == LENGTHS) out[i] = normal(&centres, centre + i) + 0.5F * out[i];
    if (kind == SPREAD) out[i] *= powf(0.85F, (float)i);
    if (kind == TIES) out[i] = roundf(out[i] / 2);
    length += (double)out[i] * out[i];
  }
  float times = kind == LENGTHS ? (float)(exp(0.5 * rs_stream_normal(s, base + 1)) / sqrt(length))
                : kind == CLUSTERS ? (float)(1 / sqrt(length)) : 1;
  for (int i = 0; i < WIDTH; i++) out[i] *= times;
}

static void draw(rs_tensor *out, int kind, int64_t n, uint32_t seed) {
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, (uint32_t)kind);
  assert_int_equal(rs_tensor_new(out, RS_F32, 2, (int64_t[]){n, WIDTH}), RS_OK);
  for (int64_t i = 0; i < n; i++) draw_vector(rs_f32(out) + i * WIDTH, kind, &s, (uint64_t)i);
}

static rs_hnsw *build(const rs_tensor *items, bool codes, bool direct) {
  rs_hnsw *h;
  rs_hnsw_options options = {.m = 12, .ef_construction = 80, .seed = 3, .codes = codes, .direct = direct};
  assert_int_equal(rs_hnsw_build(&h, items, &options), RS_OK);
  return h;
}

/* ---- Beside the exact engine ---- */

typedef struct answer {
  int64_t rows[MOST_K], n;
  float scores[MOST_K];
  rs_index_stats stats;
} answer;

static void ask(const rs_index *index, const rs_index_query *q, rs_index_scratch *scratch, answer *out) {
  rs_index_found found = {.rows = out->rows, .scores = out->scores};
  assert_int_equal(rs_index_search(index, q, scratch, &found), RS_OK);
  out->n = found.n;
  out->stats = found.stats;
}

/* The share of the exact answers that the index gives, over all queries. Whatever is asked, as many rows come, best
 * first, none twice, and each with the bits of the exact score. */
static double recall_of(rs_hnsw *h, const rs_tensor *items, const rs_tensor *queries, rs_index_query q) {
  rs_index *exact;
  rs_index_scratch scratch = {0}, others = {0};
  static answer mine, theirs, all;
  int64_t hits = 0, wanted = 0;
  assert_int_equal(rs_scan_new(&exact, items), RS_OK);
  for (int64_t i = 0; i < queries->size[0] / (q.vectors > 1 ? q.vectors : 1); i++) {
    q.query = rs_f32(queries) + i * WIDTH * (q.vectors > 1 ? q.vectors : 1);
    ask(rs_hnsw_index(h), &q, &scratch, &mine);
    ask(exact, &q, &others, &theirs);
    assert_int_equal(mine.n, theirs.n);
    rs_index_query wide = q;
    wide.k = MOST_K;
    ask(exact, &wide, &others, &all);
    for (int64_t j = 0; j < mine.n; j++) {
      if (j > 0) assert_true(rs_scored_worse((rs_scored){mine.scores[j], (int32_t)mine.rows[j]},
                                             (rs_scored){mine.scores[j - 1], (int32_t)mine.rows[j - 1]}));
      for (int64_t e = 0; e < theirs.n; e++) hits += mine.rows[j] == theirs.rows[e];
      for (int64_t e = 0; e < all.n; e++)
        if (mine.rows[j] == all.rows[e]) assert_memory_equal(&mine.scores[j], &all.scores[e], sizeof(float));
    }
    wanted += theirs.n;
  }
  rs_index_free(exact);
  rs_index_scratch_free(&scratch);
  rs_index_scratch_free(&others);
  return wanted > 0 ? (double)hits / (double)wanted : 1;
}

static double recall(rs_hnsw *h, const rs_tensor *items, int kind, rs_index_query q) {
  rs_tensor queries;
  draw(&queries, kind == LENGTHS ? CLUSTERS : kind, QUERIES, 99);
  double reached = recall_of(h, items, &queries, q);
  rs_tensor_free(&queries);
  return reached;
}

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

/* ---- The same graph ---- */

static void assert_same(const rs_hnsw *a, const rs_hnsw *b) {
  rs_tensors x = {0}, y = {0};
  assert_int_equal(rs_hnsw_save(a, &x), RS_OK);
  assert_int_equal(rs_hnsw_save(b, &y), RS_OK);
  assert_int_equal(x.n, y.n);
  for (int64_t i = 0; i < x.n; i++) {
    assert_int_equal(rs_tensor_bytes(&x.items[i].tensor), rs_tensor_bytes(&y.items[i].tensor));
    assert_memory_equal(rs_tensor_data(&x.items[i].tensor), rs_tensor_data(&y.items[i].tensor),
                        rs_tensor_bytes(&x.items[i].tensor));
  }
  rs_tensors_free(&x);
  rs_tensors_free(&y);
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

static void kernels_agree(void **state) {
  (void)state;
  enum { WIDEST = 300, N = 40 };
  static float query[WIDEST], rows[N * WIDEST], a[N], b[N];
  static int16_t coded[WIDEST];
  static int8_t codes[N * WIDEST];
  int32_t at[N], c[N], d[N];
  const rs_hnsw_kernels *list[4];
  int count = rs_hnsw_kernels_list(list, 4);
  rs_stream s = rs_stream_at(8, RS_RNG_USER, 0, 0);
  for (int width = 1; width <= WIDEST; width += width < 70 ? 1 : 23) {
    int32_t limit = rs_hnsw_query_limit(width);
    for (int i = 0; i < width; i++) {
      query[i] = rs_stream_f32(&s, (uint64_t)i) - 0.5F;
      coded[i] = (int16_t)(i % 3 == 0 ? limit : i % 3 == 1 ? -limit : (int32_t)rs_stream_below(&s, (uint64_t)i, 99));
    }
    for (int i = 0; i < N * width; i++) {
      rows[i] = rs_stream_f32(&s, (uint64_t)(1000 + i)) - 0.5F;
      codes[i] = (int8_t)(i % 5 == 0 ? -128 : (int)rs_stream_below(&s, (uint64_t)(1000 + i), 256) - 128);
    }
    for (int i = 0; i < N; i++) at[i] = (int32_t)rs_stream_below(&s, (uint64_t)(90000 + i), N);
    list[count - 1]->floats(query, rows, width, at, N, a);
    list[count - 1]->codes(coded, codes, width, at, N, c);
    for (int k = 0; k < count; k++) {
      list[k]->floats(query, rows, width, at, N, b);
      list[k]->codes(coded, codes, width, at, N, d);
      assert_memory_equal(c, d, sizeof c);
      for (int i = 0; i < N; i++) assert_true(fabsf(a[i] - b[i]) <= 1e-7F * (float)width);
    }
  }
}

/* ---- Filters ---- */

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

/* ---- Changes ---- */

/* The first n rows. */
static void first_rows(rs_tensor *out, const rs_tensor *t, int64_t n) {
  assert_int_equal(rs_tensor_narrow(out, t, 0, 0, n), RS_OK);
}

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

/* ---- Files ---- */

static void an_opened_index_answers_as_the_saved_one_and_copies_nothing(void **state) {
  (void)state;
  for (int codes = 0; codes < 2; codes++) {
    rs_tensor items, queries;
    rs_tensors saved = {0};
    rs_hnsw *again;
    rs_index_scratch scratch = {0};
    static answer a, b;
    draw(&items, LENGTHS, ROWS, 7);
    draw(&queries, CLUSTERS, QUERIES, 99);
    rs_hnsw *h = build(&items, codes, false);
    assert_int_equal(rs_hnsw_reserve(h, ROWS), RS_OK);
    for (int64_t row = 0; row < ROWS; row += 3) rs_hnsw_delete(h, row);
    assert_int_equal(rs_hnsw_save(h, &saved), RS_OK);
    int64_t before = rs_alloc_bytes();
    assert_int_equal(rs_hnsw_open(&again, &saved, &items), RS_OK);
    assert_true(rs_alloc_bytes() - before < 2000);
    assert_int_equal(rs_hnsw_facts_of(again).dead, rs_hnsw_facts_of(h).dead);
    for (int64_t i = 0; i < QUERIES; i++) {
      rs_index_query q = {.query = rs_f32(&queries) + i * WIDTH, .k = K};
      ask(rs_hnsw_index(h), &q, &scratch, &a);
      ask(rs_hnsw_index(again), &q, &scratch, &b);
      assert_memory_equal(a.rows, b.rows, K * sizeof *a.rows);
      assert_memory_equal(a.scores, b.scores, K * sizeof *a.scores);
    }
    assert_int_equal(rs_hnsw_reserve(again, ROWS), RS_OK);
    rs_hnsw_put(h, &items, 0);
    rs_hnsw_put(again, &items, 0);
    assert_same(h, again);
    rs_hnsw_free(h);
    rs_hnsw_free(again);
    rs_tensors_free(&saved);
    rs_index_scratch_free(&scratch);
    rs_tensor_free(&items);
    rs_tensor_free(&queries);
  }
}

/* A copy of the list in one of whose tensors a few numbers or bytes are others. */
static void damage(rs_tensors *out, const rs_tensors *list, const rs_stream *s, uint64_t *at) {
  for (int64_t i = 0; i < list->n; i++) {
    rs_tensor copy;
    assert_int_equal(rs_tensor_copy_of(&copy, &list->items[i].tensor), RS_OK);
    assert_int_equal(rs_tensors_add(out, list->items[i].name, &copy), RS_OK);
    rs_tensor_free(&copy);
  }
  int64_t hits = 1 + (int64_t)rs_stream_below(s, (*at)++, 30);
  const rs_tensor *t = &out->items[rs_stream_below(s, (*at)++, (uint64_t)out->n)].tensor;
  for (int64_t i = 0; i < hits && rs_tensor_bytes(t) >= 4; i++) {
    uint8_t *bytes = rs_tensor_data(t);
    static const int32_t numbers[] = {-1, -2, INT32_MIN, INT32_MAX, 1 << 20, 0, 1, 799, 800, 801, 49, 50, 51};
    int32_t number = numbers[rs_stream_below(s, (*at)++, sizeof numbers / sizeof *numbers)];
    uint64_t where = rs_stream_below(s, (*at)++, rs_tensor_bytes(t) / 4) * 4;
    if (rs_stream_below(s, (*at)++, 2) == 0)
      memcpy(bytes + where, &number, 4);
    else
      bytes[where] ^= (uint8_t)(1 << rs_stream_below(s, (*at)++, 8));
  }
}

static void a_damaged_file_is_refused_or_does_no_harm(void **state) {
  (void)state;
  enum { FEW = 800 };
  rs_stream s = rs_stream_at(21, RS_RNG_USER, 0, 0);
  uint64_t at = 0;
  int opened = 0;
  for (int codes = 0; codes < 2; codes++) {
    rs_tensor items, queries;
    rs_tensors saved = {0};
    draw(&items, CLUSTERS, FEW, 7);
    draw(&queries, CLUSTERS, 4, 99);
    rs_hnsw *h = build(&items, codes, false);
    assert_int_equal(rs_hnsw_reserve(h, FEW), RS_OK);
    rs_hnsw_delete(h, 3);
    assert_int_equal(rs_hnsw_save(h, &saved), RS_OK);
    rs_hnsw_free(h);
    for (int c = 0; c < 200; c++) {
      rs_tensors lies = {0};
      rs_hnsw *liar;
      damage(&lies, &saved, &s, &at);
      rs_status status = rs_hnsw_open(&liar, &lies, &items);
      assert_true(status == RS_OK || status == RS_EFORMAT);
      if (status == RS_OK) {
        opened++;
        rs_index_scratch scratch = {0};
        static answer a;
        for (int64_t i = 0; i < 4; i++) {
          rs_index_query q = {.query = rs_f32(&queries) + i * WIDTH, .k = K, .ef = 20};
          ask(rs_hnsw_index(liar), &q, &scratch, &a);
          assert_int_equal(a.n, K);
          for (int64_t j = 0; j < K; j++) assert_true(0 <= a.rows[j] && a.rows[j] < FEW);
        }
        assert_int_equal(rs_hnsw_reserve(liar, FEW), RS_OK);
        for (int64_t row = 0; row < FEW; row += 97) rs_hnsw_delete(liar, row), rs_hnsw_put(liar, &items, row);
        rs_index_scratch_free(&scratch);
        rs_hnsw_free(liar);
      }
      rs_tensors_free(&lies);
    }
    rs_tensors_free(&saved);
    rs_tensor_free(&items);
    rs_tensor_free(&queries);
  }
  assert_true(opened > 100);
}

/* ---- Refusals ---- */

static void refuse(const rs_tensor *items, rs_hnsw_options options, rs_status expected, const char *message) {
  rs_hnsw *h;
  assert_int_equal(rs_hnsw_build(&h, items, &options), expected);
  assert_string_equal(rs_message(), message);
  assert_null(h);
}

static void what_makes_no_sense_is_refused(void **state) {
  (void)state;
  rs_tensor items, numbers = {0};
  draw(&items, CLUSTERS, 50, 7);
  refuse(&items, (rs_hnsw_options){.m = 1}, RS_EARG, "index: M is 1; 2 to 128 are served");
  refuse(&items, (rs_hnsw_options){.ef_construction = -1}, RS_EARG,
         "index: ef_construction is -1; 1 to 4096 are served");
  rs_f32(&items)[40] = INFINITY;
  refuse(&items, (rs_hnsw_options){0}, RS_ENUMERIC, "index: a vector has a NaN, an infinity or no finite length");
  assert_int_equal(rs_tensor_zeros(&numbers, RS_I32, 2, (int64_t[]){5, 5}), RS_OK);
  refuse(&numbers, (rs_hnsw_options){0}, RS_EDTYPE, "index: items are i32; f32 expected");
  rs_tensor_free(&numbers);
  rs_tensor_free(&items);
  draw(&items, CLUSTERS, 50, 7);
  rs_hnsw *h = build(&items, false, false), *other;
  rs_tensors saved = {0};
  rs_tensor fewer;
  assert_int_equal(rs_hnsw_save(h, &saved), RS_OK);
  first_rows(&fewer, &items, 49);
  assert_int_equal(rs_hnsw_open(&other, &saved, &fewer), RS_EFORMAT);
  assert_string_equal(rs_message(), "the index is of 50 vectors of 24 numbers, not of [49, 24]: build it anew");
  rs_tensor_free(&fewer);
  rs_tensors_free(&saved);
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

static void refused_memory_is_told_and_leaks_nothing(void **state) {
  (void)state;
  rs_tensor items, more;
  rs_status status = RS_ENOMEM;
  draw(&items, CLUSTERS, 300, 7);
  first_rows(&more, &items, 299);
  for (int64_t n = 0; status != RS_OK; n++) {
    rs_hnsw *h = NULL, *again = NULL;
    rs_tensors saved = {0};
    int64_t blocks = rs_alloc_blocks();
    rs_alloc_fault(n);
    status = rs_hnsw_build(&h, &more, &(rs_hnsw_options){.codes = true});
    if (status == RS_OK) status = rs_hnsw_save(h, &saved);
    if (status == RS_OK) status = rs_hnsw_open(&again, &saved, &more);
    if (status == RS_OK) status = rs_hnsw_reserve(again, 300);
    if (status == RS_OK) rs_hnsw_put(again, &items, 299);
    rs_alloc_fault(-1);
    assert_true(status == RS_OK || status == RS_ENOMEM);
    rs_tensors_free(&saved);
    rs_hnsw_free(h);
    rs_hnsw_free(again);
    assert_int_equal(rs_alloc_blocks(), blocks);
  }
  rs_tensor_free(&more);
  rs_tensor_free(&items);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_best_are_found_whatever_the_vectors_are_like),
      cmocka_unit_test(a_further_coordinate_helps_where_lengths_differ),
      cmocka_unit_test(a_walk_looks_at_few),
      cmocka_unit_test(any_number_of_threads_builds_the_same_graph),
      cmocka_unit_test(kernels_agree),
      cmocka_unit_test(filters_let_through_what_they_allow_and_find_the_best_of_it),
      cmocka_unit_test(a_filter_against_the_query_is_served),
      cmocka_unit_test(exclusions_windows_and_several_vectors),
      cmocka_unit_test(searches_allocate_nothing_once_their_scratch_has_grown),
      cmocka_unit_test(without_kernels_of_our_own_scores_are_those_of_blas),
      cmocka_unit_test(rows_join_one_by_one),
      cmocka_unit_test(an_empty_index_grows),
      cmocka_unit_test(deleted_rows_are_not_found_and_the_others_still_are),
      cmocka_unit_test(a_row_whose_vector_changed_is_found_where_it_is_now),
      cmocka_unit_test(readers_go_on_while_rows_join_and_leave),
      cmocka_unit_test(an_opened_index_answers_as_the_saved_one_and_copies_nothing),
      cmocka_unit_test(a_damaged_file_is_refused_or_does_no_harm),
      cmocka_unit_test(what_makes_no_sense_is_refused),
      cmocka_unit_test(extreme_vectors_are_served),
      cmocka_unit_test(a_query_that_is_not_finite_is_named_as_by_the_exact_engine),
      cmocka_unit_test(refused_memory_is_told_and_leaks_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
