/* scan_test.c - the exact engine against topk.c, to the bit: random and hostile catalogues, filters, exclusions, windows,
 * several vectors, on every kernel that this CPU has and on BLAS. */
#include "retrieval/scan.h"

#include <float.h>
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
#include "base/testing.h"
#include "retrieval/topk.h"
#include "tensor/block.h"

enum { MOST_ITEMS = 1200, MOST_WIDTH = 300, MOST_VECTORS = 3, MOST_BARRED = 40 };

/* One drawn case: a catalogue, a query and what topk.c is asked for the same. */
typedef struct drawn {
  rs_stream stream;
  uint64_t at;
  int64_t n, width, vectors, k;
  rs_tensor items;
  float query[MOST_VECTORS * MOST_WIDTH];
  uint64_t allow[MOST_ITEMS / 64 + 1];
  int32_t excluded[MOST_BARRED];
  int32_t barred[MOST_ITEMS + MOST_BARRED]; /* the excluded and those that are not allowed */
  int64_t n_excluded, n_barred;
  int64_t item_time[MOST_ITEMS], from, to;
  bool filtered, timed;
} drawn;

static int64_t below(drawn *d, int64_t n) { return (int64_t)rs_stream_below(&d->stream, d->at++, (uint64_t)n); }
static float fraction(drawn *d) { return rs_stream_f32(&d->stream, d->at++) - 0.5F; }

/* What the numbers of a catalogue look like: 'kind' gives a row's numbers its own size. */
enum { FRACTIONS, WHOLE, SCALED, EXTREME, TINY, ZEROS, KINDS };

static float size_of_row(drawn *d, int kind) {
  switch (kind) {
    case SCALED: return ldexpf(1, (int)below(d, 24) - 12);
    case EXTREME: return ldexpf(1, (int)below(d, 120) - 60);
    case TINY: return ldexpf(1, -126 - (int)below(d, 20));
    default: return below(d, 4) == 0 && kind == ZEROS ? 0 : 1;
  }
}

static void fill_row(drawn *d, float *row, int kind) {
  float size = size_of_row(d, kind);
  for (int64_t i = 0; i < d->width; i++) row[i] = kind == WHOLE ? (float)(below(d, 5) - 2) : size * fraction(d);
  if (kind == SCALED && below(d, 8) == 0) row[below(d, d->width)] = 40 * size; /* one number beside which others vanish */
}

static void draw_items(drawn *d, int kind) {
  assert_int_equal(rs_tensor_new(&d->items, RS_F32, 2, (int64_t[]){d->n, d->width}), RS_OK);
  float *items = d->n > 0 ? rs_f32(&d->items) : NULL;
  for (int64_t i = 0; i < d->n; i++) {
    fill_row(d, items + i * d->width, kind);
    if (i > 0 && below(d, 6) == 0) /* ties, near and far */
      memcpy(items + i * d->width, items + below(d, i) * d->width, (size_t)d->width * sizeof *items);
  }
}

static void draw_limits(drawn *d) {
  static const int64_t shares[] = {0, 1, 20, 60, 100};
  int64_t share = shares[below(d, 5)];
  d->filtered = below(d, 2) == 0;
  d->timed = below(d, 3) == 0;
  d->n_excluded = d->n > 0 && below(d, 2) == 0 ? below(d, MOST_BARRED) : 0;
  for (int64_t i = 0; i < d->n_excluded; i++) d->barred[d->n_barred++] = d->excluded[i] = (int32_t)below(d, d->n);
  rs_bitmap_fill(d->allow, d->n, true);
  for (int64_t i = 0; d->filtered && i < d->n; i++)
    if (below(d, 100) >= share) {
      rs_bitmap_clear(d->allow, i);
      d->barred[d->n_barred++] = (int32_t)i;
    }
  for (int64_t i = 0; i < d->n; i++) d->item_time[i] = below(d, 100);
  d->from = below(d, 60);
  d->to = d->from + below(d, 60);
}

static void draw(drawn *d, uint32_t number) {
  static const int64_t widths[] = {1, 3, 8, 17, 64, 64, 96, 81, 257, 300};
  memset(d, 0, sizeof *d);
  d->stream = rs_stream_at(77, RS_RNG_USER, 0, number);
  int kind = (int)below(d, KINDS);
  d->n = below(d, 8) == 0 ? below(d, 70) : below(d, MOST_ITEMS);
  d->width = widths[below(d, 10)];
  d->vectors = below(d, 3) > 0 ? 1 : 1 + below(d, MOST_VECTORS);
  d->k = 1 + below(d, below(d, 4) == 0 ? MOST_ITEMS + 50 : 60);
  draw_items(d, kind);
  for (int64_t v = 0; v < d->vectors; v++) fill_row(d, d->query + v * d->width, (int)below(d, KINDS));
  draw_limits(d);
}

static rs_index_query query_of(const drawn *d) {
  rs_index_query q = {.query = d->query, .vectors = d->vectors, .k = d->k};
  q.excluded = d->excluded;
  q.n_excluded = d->n_excluded;
  if (d->filtered) q.allow = d->allow;
  if (d->timed) q.item_time = d->item_time, q.from = d->from, q.to = d->to;
  return q;
}

static rs_status ask_topk(const drawn *d, rs_tensor *rows, rs_tensor *scores) {
  static const int64_t zero = 0;
  int32_t length = (int32_t)d->n_barred;
  rs_topk_request ask = {.users = d->query, .items = d->n > 0 ? rs_f32(&d->items) : NULL, .queries = 1, .n_items = d->n};
  ask.width = d->width;
  ask.vectors = d->vectors;
  ask.k = d->k;
  ask.excluded = (rs_lists){1, &zero, &length, d->barred, d->n_barred};
  if (d->timed) ask.item_time = d->item_time, ask.from = &d->from, ask.to = &d->to;
  return rs_topk(rows, scores, &ask);
}

/* The index's answer beside topk.c's: the same rows, the same bits, the same complaint. */
static void compare(const drawn *d, const rs_index *index, rs_index_scratch *scratch) {
  static int64_t found_rows[2 * MOST_ITEMS];
  static float found_scores[2 * MOST_ITEMS];
  rs_tensor rows, scores;
  rs_index_query q = query_of(d);
  rs_index_found found = {.rows = found_rows, .scores = found_scores};
  char complaint[256] = "";
  rs_status expected = ask_topk(d, &rows, &scores);
  if (expected != RS_OK) snprintf(complaint, sizeof complaint, "%s", rs_message());
  assert_int_equal(rs_index_search(index, &q, scratch, &found), expected);
  if (expected != RS_OK) {
    assert_string_equal(rs_message(), complaint);
    assert_int_equal(found.n, 0);
    return;
  }
  for (int64_t i = 0; i < d->k; i++) {
    int64_t row = rs_i64(&rows)[i];
    assert_int_equal(row, i < found.n ? found_rows[i] : -1);
    if (i < found.n) assert_memory_equal(&rs_f32(&scores)[i], &found_scores[i], sizeof(float));
  }
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
}

/* Kernels of products ("plain": BLAS) and of codes by turns; where the CPU lacks one its best is used. */
static void use_kernels(uint32_t turn) {
  static const char *const products[] = {"avx512", "avx2", "avx512", "plain"};
  static const char *const looks[] = {"vnni", "avx2", "plain"};
  rs_block_use(rs_block_kernel_named(products[turn % 4]));
  rs_codes_use(rs_codes_kernel_named(looks[turn / 4 % 3]));
}

static void use_best_kernels(void) {
  rs_block_use(NULL);
  rs_codes_use(NULL);
}

/* Every second catalogue has codes also where they are not worth it. */
static rs_index *index_of(const drawn *d, uint32_t number) {
  rs_index *index;
  rs_codes codes = {0};
  if (number % 2 == 0) {
    assert_int_equal(rs_scan_new(&index, &d->items), RS_OK);
    return index;
  }
  if (d->n > 0) assert_int_equal(rs_codes_new(&codes, rs_f32(&d->items), d->n, d->width), RS_OK);
  assert_int_equal(rs_scan_with(&index, &d->items, &codes), RS_OK);
  rs_codes_free(&codes);
  return index;
}

static void compare_cases(uint32_t first, uint32_t n) {
  static drawn d;
  rs_index_scratch scratch = {0};
  for (uint32_t i = first; i < first + n; i++) {
    use_kernels(i / 2);
    draw(&d, i);
    rs_index *index = index_of(&d, i);
    compare(&d, index, &scratch);
    rs_index_free(index);
    rs_tensor_free(&d.items);
  }
  use_best_kernels();
  rs_index_scratch_free(&scratch);
}

static void answers_have_the_bits_of_topk(void **state) {
  (void)state;
  compare_cases(0, getenv("RECSYS_LONG") ? 60000 : 3000);
}

static void a_score_that_is_not_finite_is_named_as_topk_names_it(void **state) {
  (void)state;
  static drawn d;
  rs_index_scratch scratch = {0};
  for (uint32_t i = 0; i < 300; i++) {
    use_kernels(i / 2);
    draw(&d, i);
    if (d.n > 0) {
      float *row = rs_f32(&d.items) + below(&d, d.n) * d.width;
      row[below(&d, d.width)] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : FLT_MAX;
      if (i % 3 == 2) d.query[below(&d, d.width)] = FLT_MAX;
    }
    rs_index *index = index_of(&d, i);
    compare(&d, index, &scratch);
    rs_index_free(index);
    rs_tensor_free(&d.items);
  }
  use_best_kernels();
  rs_index_scratch_free(&scratch);
}

/* Many items of few kinds, so that equal scores lie everywhere, looked at by several threads; some may not be found, and
 * by turns a filter leaves hardly any. */
enum { MANY = 200000, MANY_WIDTH = 24, MANY_K = 70, MANY_BARRED = 100 };

typedef struct large {
  rs_tensor items;
  float query[MANY_WIDTH];
  uint64_t allow[MANY / 64 + 1];
  int32_t barred[MANY + MANY_BARRED]; /* the excluded, and those that are not allowed */
  int64_t n_barred;
  bool filtered;
} large;

static void draw_turn(large *l, const rs_stream *s, int turn) {
  uint64_t at = (uint64_t)(MANY * MANY_WIDTH + turn * MANY * 2);
  for (int d = 0; d < MANY_WIDTH; d++) l->query[d] = rs_stream_f32(s, at++) - 0.5F;
  for (l->n_barred = 0; l->n_barred < MANY_BARRED;)
    l->barred[l->n_barred++] = (int32_t)rs_stream_below(s, at++, MANY);
  l->filtered = turn % 5 == 0;
  rs_bitmap_fill(l->allow, MANY, !l->filtered);
  for (int32_t i = 0; l->filtered && i < MANY; i++)
    if (rs_stream_below(s, at++, 30) == 0)
      rs_bitmap_set(l->allow, i);
    else
      l->barred[l->n_barred++] = i;
}

static void compare_turn(const large *l, const rs_index *index, rs_index_scratch *scratch) {
  rs_tensor rows, scores;
  int64_t found_rows[MANY_K], zero = 0;
  float found_scores[MANY_K];
  int32_t length = (int32_t)l->n_barred;
  rs_topk_request ask = {.users = l->query, .items = rs_f32(&l->items), .queries = 1, .n_items = MANY};
  ask.width = MANY_WIDTH;
  ask.k = MANY_K;
  ask.excluded = (rs_lists){1, &zero, &length, l->barred, length};
  assert_int_equal(rs_topk(&rows, &scores, &ask), RS_OK);
  rs_index_query q = {.query = l->query, .k = MANY_K, .excluded = l->barred, .n_excluded = MANY_BARRED};
  if (l->filtered) q.allow = l->allow;
  rs_index_found found = {.rows = found_rows, .scores = found_scores};
  assert_int_equal(rs_index_search(index, &q, scratch, &found), RS_OK);
  assert_int_equal(found.n, MANY_K);
  assert_memory_equal(found_rows, rs_i64(&rows), sizeof found_rows);
  assert_memory_equal(found_scores, rs_f32(&scores), sizeof found_scores);
  if (l->filtered) /* a sparse one: all are computed */
    assert_int_equal(found.stats.scored, found.stats.looked);
  else
    assert_in_range(found.stats.looked, MANY - MANY_BARRED, MANY - 1);
  assert_true(found.stats.scored < MANY / 4);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
}

static void all_threads_together_find_the_same(void **state) {
  (void)state;
  static large l;
  rs_index *index;
  rs_index_scratch scratch = {0};
  int before = rs_threads();
  rs_stream s = rs_stream_at(5, RS_RNG_USER, 0, 0);
  assert_int_equal(rs_tensor_new(&l.items, RS_F32, 2, (int64_t[]){MANY, MANY_WIDTH}), RS_OK);
  for (int64_t i = 0; i < MANY * MANY_WIDTH; i++) rs_f32(&l.items)[i] = (float)rs_stream_below(&s, (uint64_t)i, 3) - 1;
  assert_int_equal(rs_scan_new(&index, &l.items), RS_OK);
  for (int turn = 0; turn < 20; turn++) {
    rs_threads_set(1 + turn % 4);
    draw_turn(&l, &s, turn);
    compare_turn(&l, index, &scratch);
  }
  rs_threads_set(before);
  rs_index_free(index);
  rs_index_scratch_free(&scratch);
  rs_tensor_free(&l.items);
}

/* Items come one by one, and some change; in the end all is as if they had been there from the beginning. */
static void a_catalogue_grows_row_by_row(void **state) {
  (void)state;
  static drawn d;
  rs_index_scratch scratch = {0};
  for (uint32_t i = 0; i < 40; i++) {
    use_kernels(i / 2);
    draw(&d, i);
    int64_t first = d.n / 2, n = d.n;
    if (first == 0) {
      rs_tensor_free(&d.items);
      continue;
    }
    d.items.size[0] = d.n = first;
    rs_index *index = index_of(&d, i);
    bool coded = rs_scan_codes(index)->values.storage != NULL;
    for (int64_t row = first; row < n; row++) {
      assert_int_equal(rs_scan_reserve(index, row + 1), RS_OK);
      d.items.size[0] = d.n = row + 1;
      rs_scan_put(index, &d.items, row);
      fill_row(&d, rs_f32(&d.items) + (row - first) * d.width, SCALED);
      rs_scan_put(index, &d.items, row - first);
    }
    compare(&d, index, &scratch);
    rs_index_free(index);
    assert_int_equal(coded, i % 2 == 1 || first >= RS_SCAN_CODED);
    rs_tensor_free(&d.items);
  }
  use_best_kernels();
  rs_index_scratch_free(&scratch);
}

/* Room is made beside those who search, who go on with the codes as they are until a row is put. */
static void room_is_made_beside_those_who_search(void **state) {
  (void)state;
  enum { BLOCKS = 640 }; /* whole ones: the next item has no room */
  rs_tensor items = {0};
  rs_index *index;
  assert_int_equal(rs_tensor_zeros(&items, RS_F32, 2, (int64_t[]){BLOCKS + 1, 24}), RS_OK);
  items.size[0] = BLOCKS;
  assert_int_equal(rs_scan_new(&index, &items), RS_OK);
  const rs_codes *codes = rs_scan_codes(index);
  rs_storage *before = codes->values.storage;
  int64_t bytes = rs_alloc_bytes();
  assert_int_equal(rs_scan_reserve(index, BLOCKS + 1), RS_OK);
  assert_ptr_equal(codes->values.storage, before);
  assert_true(rs_alloc_bytes() > bytes);
  bytes = rs_alloc_bytes();
  assert_int_equal(rs_scan_reserve(index, BLOCKS + 1), RS_OK); /* there is room */
  assert_int_equal(rs_alloc_bytes(), bytes);
  items.size[0] = BLOCKS + 1;
  rs_scan_put(index, &items, BLOCKS);
  assert_ptr_not_equal(codes->values.storage, before);
  assert_int_equal(codes->n, BLOCKS + 1);
  assert_int_equal(rs_alloc_bytes(), bytes); /* what takes time, as freeing, is not done while nobody may search */
  assert_int_equal(rs_scan_reserve(index, BLOCKS + 1), RS_OK);
  assert_true(rs_alloc_bytes() < bytes);
  rs_index_free(index);
  rs_tensor_free(&items);
}

static void many_queries_are_searched_as_one_is(void **state) {
  (void)state;
  enum { QUERIES = 40, K = 20 };
  static drawn d;
  rs_index_scratch scratch = {0};
  rs_index *index;
  rs_tensor rows, scores;
  rs_index_stats stats;
  static float vectors[QUERIES * MOST_WIDTH];
  rs_index_query queries[QUERIES];
  int64_t found_rows[K];
  float found_scores[K];
  int before = rs_threads();
  draw(&d, 5);
  assert_int_equal(rs_scan_new(&index, &d.items), RS_OK);
  for (int64_t i = 0; i < QUERIES; i++) {
    fill_row(&d, vectors + i * d.width, FRACTIONS);
    queries[i] = (rs_index_query){.query = vectors + i * d.width, .k = K, .allow = i % 2 ? d.allow : NULL};
  }
  rs_threads_set(3);
  assert_int_equal(rs_index_search_many(index, queries, QUERIES, &rows, &scores, &stats), RS_OK);
  rs_threads_set(before);
  for (int64_t i = 0; i < QUERIES; i++) {
    rs_index_found found = {.rows = found_rows, .scores = found_scores};
    assert_int_equal(rs_index_search(index, &queries[i], &scratch, &found), RS_OK);
    stats.looked -= found.stats.looked;
    stats.scored -= found.stats.scored;
    for (int64_t at = found.n; at < K; at++) found_rows[at] = -1, found_scores[at] = -INFINITY;
    assert_memory_equal(rs_i64(&rows) + i * K, found_rows, sizeof found_rows);
    assert_memory_equal(rs_f32(&scores) + i * K, found_scores, sizeof found_scores);
  }
  assert_int_equal(stats.looked, 0);
  assert_int_equal(stats.scored, 0);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
  vectors[31 * d.width] = vectors[33 * d.width] = NAN;
  queries[31].allow = NULL;
  assert_int_equal(rs_index_search_many(index, queries, QUERIES, &rows, &scores, &stats), RS_ENUMERIC);
  assert_string_equal(rs_message(), "top-k: the score of item row 0 for query 0 is not a finite number");
  assert_null(rows.storage);
  rs_index_free(index);
  rs_tensor_free(&d.items);
  rs_index_scratch_free(&scratch);
}

static void a_search_allocates_nothing_once_its_scratch_has_grown(void **state) {
  (void)state;
  static drawn d;
  rs_index_scratch scratch = {0};
  rs_index *index;
  int64_t rows[100];
  float scores[100];
  rs_index_found found = {.rows = rows, .scores = scores};
  draw(&d, 5);
  assert_true(d.n > 100);
  assert_int_equal(rs_scan_new(&index, &d.items), RS_OK);
  rs_index_query q = {.query = d.query, .k = 100, .excluded = &(int32_t){7}, .n_excluded = 1};
  assert_int_equal(rs_index_search(index, &q, &scratch, &found), RS_OK);
  rs_alloc_fault(0);
  for (q.k = 1; q.k <= 100; q.k++) {
    assert_int_equal(rs_index_search(index, &q, &scratch, &found), RS_OK);
    assert_int_equal(found.n, q.k);
  }
  assert_int_equal(rs_alloc_refusals(), 0);
  rs_alloc_fault(-1);
  rs_index_free(index);
  rs_tensor_free(&d.items);
  rs_index_scratch_free(&scratch);
}

static void refuse(const rs_index *index, rs_index_query q, rs_status status, const char *message) {
  rs_index_scratch scratch = {0};
  rs_index_found found = {.n = 7};
  assert_int_equal(rs_index_search(index, &q, &scratch, &found), status);
  assert_string_equal(rs_message(), message);
  assert_int_equal(found.n, 0);
  rs_index_scratch_free(&scratch);
}

static void what_makes_no_sense_is_refused(void **state) {
  (void)state;
  rs_tensor items, column;
  rs_index *index;
  float query[3] = {1, 2, 3};
  assert_int_equal(rs_tensor_zeros(&items, RS_F32, 2, (int64_t[]){5, 3}), RS_OK);
  assert_int_equal(rs_scan_new(&index, &items), RS_OK);
  assert_string_equal(rs_index_engine_name(index), "exact");
  assert_int_equal(rs_index_items(index), 5);
  assert_int_equal(rs_index_width(index), 3);
  refuse(index, (rs_index_query){.query = query}, RS_EARG, "top-k: k is 0; 1 or more items can be asked for");
  refuse(index, (rs_index_query){.query = query, .k = 1, .vectors = -1}, RS_EARG,
         "top-k: -1 vectors a user; 1 or more are expected");
  refuse(index, (rs_index_query){.query = query, .k = 1, .ef = -1}, RS_EARG,
         "top-k: ef is -1; 0 or more is expected");
  refuse(index, (rs_index_query){.query = query, .k = 1, .excluded = (int32_t[]){0, 5}, .n_excluded = 2}, RS_ERANGE,
         "excluded items: value 5 at 1 is outside 0..4");
  rs_index_free(index);
  assert_int_equal(rs_tensor_narrow(&column, &items, 1, 0, 2), RS_OK);
  assert_int_equal(rs_scan_new(&index, &column), RS_ESHAPE);
  assert_null(index);
  rs_tensor_free(&column);
  rs_tensor_free(&items);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_have_the_bits_of_topk),
      cmocka_unit_test(a_score_that_is_not_finite_is_named_as_topk_names_it),
      cmocka_unit_test(all_threads_together_find_the_same),
      cmocka_unit_test(a_catalogue_grows_row_by_row),
      cmocka_unit_test(room_is_made_beside_those_who_search),
      cmocka_unit_test(many_queries_are_searched_as_one_is),
      cmocka_unit_test(a_search_allocates_nothing_once_its_scratch_has_grown),
      cmocka_unit_test(what_makes_no_sense_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
