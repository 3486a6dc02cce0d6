/* hnsw_testing.h - what the tests of the approximate engine share: vectors of several kinds, and recall beside the exact
 * engine. */
#ifndef RS_HNSW_TESTING_H
#define RS_HNSW_TESTING_H
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "base/scored.h"
#include "base/testing.h"
#include "retrieval/hnsw.h"
#include "retrieval/scan.h"

enum { ROWS = 4000, QUERIES = 100, WIDTH = 24, CENTRES = 100, K = 10, MOST_K = 400 };

/* ---- Vectors ---- */

enum { CLUSTERS, LENGTHS, SPREAD, TIES, KINDS }; /* equally long; not at all; fading Gaussians; few values */

static inline float normal(const rs_stream *s, uint64_t at) { return (float)rs_stream_normal(s, at); }

static inline void draw_vector(float *out, int kind, const rs_stream *s, uint64_t number) {
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

static inline void draw(rs_tensor *out, int kind, int64_t n, uint32_t seed) {
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, (uint32_t)kind);
  assert_int_equal(rs_tensor_new(out, RS_F32, 2, (int64_t[]){n, WIDTH}), RS_OK);
  for (int64_t i = 0; i < n; i++) draw_vector(rs_f32(out) + i * WIDTH, kind, &s, (uint64_t)i);
}

static inline rs_hnsw *build(const rs_tensor *items, bool codes, bool direct) {
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

static inline void ask(const rs_index *index, const rs_index_query *q, rs_index_scratch *scratch, answer *out) {
  rs_index_found found = {.rows = out->rows, .scores = out->scores};
  assert_int_equal(rs_index_search(index, q, scratch, &found), RS_OK);
  out->n = found.n;
  out->stats = found.stats;
}

/* The share of the exact answers that the index gives, over all queries. Whatever is asked, as many rows come, best
 * first, none twice, and each with the bits of the exact score. */
static inline double recall_of(rs_hnsw *h, const rs_tensor *items, const rs_tensor *queries, rs_index_query q) {
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

static inline double recall(rs_hnsw *h, const rs_tensor *items, int kind, rs_index_query q) {
  rs_tensor queries;
  draw(&queries, kind == LENGTHS ? CLUSTERS : kind, QUERIES, 99);
  double reached = recall_of(h, items, &queries, q);
  rs_tensor_free(&queries);
  return reached;
}

static inline void assert_same(const rs_hnsw *a, const rs_hnsw *b) {
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

/* The first n rows of a tensor. */
static inline void first_rows(rs_tensor *out, const rs_tensor *t, int64_t n) {
  assert_int_equal(rs_tensor_narrow(out, t, 0, 0, n), RS_OK);
}

#endif
