/* neighbours_test.c - neighbours against all products worked out one by one, in f64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "solve/neighbours.h"

/* Row r has column c with a chance that falls with r; values are 1, or from -1 to 3 with 'signs', or 1 to 5. */
typedef enum entries { ONES, COUNTS, SIGNS } entries;

static rs_csr matrix(int64_t rows, int64_t width, double density, entries kind) {
  rs_stream s = rs_stream_at((uint64_t)(rows * width), RS_RNG_USER, 0, 0);
  rs_tensor starts = {0}, columns = {0}, values = {0}, some_columns = {0}, some_values = {0};
  assert_int_equal(rs_tensor_zeros(&starts, RS_I64, 1, &(int64_t){rows + 1}), RS_OK);
  assert_int_equal(rs_tensor_new(&columns, RS_I32, 1, &(int64_t){rows * width}), RS_OK);
  assert_int_equal(rs_tensor_new(&values, RS_F32, 1, &(int64_t){rows * width}), RS_OK);
  int64_t n = 0;
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < width; c++) {
      double chance = rs_stream_f64(&s, (uint64_t)(r * width + c));
      if (chance * (1 + (double)((r * 7) % rows)) > density * 4) continue;
      double draw = rs_stream_f64(&s, (uint64_t)(rows * width + n));
      rs_i32(&columns)[n] = (int32_t)c;
      rs_f32(&values)[n++] = kind == ONES ? 1 : kind == COUNTS ? floorf((float)draw * 5) + 1 : (float)draw * 4 - 1;
    }
    rs_i64(&starts)[r + 1] = n;
  }
  rs_csr m;
  assert_int_equal(rs_tensor_narrow(&some_columns, &columns, 0, 0, n), RS_OK);
  assert_int_equal(rs_tensor_narrow(&some_values, &values, 0, 0, n), RS_OK);
  assert_int_equal(rs_csr_from(&m, &starts, &some_columns, &some_values, width), RS_OK);
  rs_tensor *const all[] = {&starts, &columns, &values, &some_columns, &some_values};
  for (size_t i = 0; i < 5; i++) rs_tensor_free(all[i]);
  return m;
}

/* All similarities [rows, rows] from the formulas of weigh.h and neighbours.h. */
static double *similarities(const rs_csr *m, const rs_neighbours_options *o) {
  int64_t n = m->rows, d = m->width;
  double *x = calloc((size_t)(n * d + n * n), sizeof *x), *out = x + n * d, rows = 0, total = 0;
  const int64_t *starts = rs_i64(&m->starts);
  for (int64_t r = 0; r < n; r++) {
    rows += starts[r + 1] > starts[r];
    for (int64_t i = starts[r]; i < starts[r + 1]; i++) {
      x[r * d + rs_i32(&m->columns)[i]] = rs_f32(&m->values)[i];
      total += rs_f32(&m->values)[i];
    }
  }
  double *idf = calloc((size_t)d, sizeof *idf);
  for (int64_t c = 0; c < d; c++) {
    for (int64_t r = 0; r < n; r++) idf[c] += x[r * d + c] != 0;
    idf[c] = log(rows) - log1p(idf[c]);
  }
  for (int64_t r = 0; r < n; r++) {
    double length = 0;
    for (int64_t c = 0; c < d; c++) length += x[r * d + c];
    double norm = o->k1 * (1 - o->b + o->b * length / (total / rows));
    for (int64_t c = 0; c < d; c++) {
      double *v = &x[r * d + c];
      if (*v == 0 || o->weighting == RS_COSINE) continue;
      *v = o->weighting == RS_TFIDF ? sqrt(*v) * idf[c] : *v * (o->k1 + 1) / (norm + *v) * idf[c];
    }
  }
  for (int64_t a = 0; a < n; a++)
    for (int64_t b = 0; b < n; b++) {
      double dot = 0, aa = 0, bb = 0;
      for (int64_t c = 0; c < d; c++) {
        dot += x[a * d + c] * x[b * d + c];
        aa += x[a * d + c] * x[a * d + c];
        bb += x[b * d + c] * x[b * d + c];
      }
      out[a * n + b] = a == b || dot == 0 ? 0 : o->weighting == RS_BM25 ? dot : dot / (pow(aa, o->alpha) * pow(bb, 1 - o->alpha) + o->shrink);
    }
  memmove(x, out, (size_t)(n * n) * sizeof *x);
  free(idf);
  return x;
}

static int falling(const void *a_, const void *b_) {
  double a = *(const double *)a_, b = *(const double *)b_;
  return (a < b) - (a > b);
}

/* Each row's neighbours have their similarities, and these are the k best ones. */
static void check(const rs_csr *found, const double *all, int64_t k) {
  int64_t n = found->rows;
  const int64_t *starts = rs_i64(&found->starts);
  double *best = malloc((size_t)n * sizeof *best), *got = malloc((size_t)n * sizeof *got);
  for (int64_t r = 0; r < n; r++) {
    int64_t size = starts[r + 1] - starts[r], positive = 0;
    memcpy(best, all + r * n, (size_t)n * sizeof *best);
    qsort(best, (size_t)n, sizeof *best, falling);
    for (int64_t i = 0; i < n; i++) positive += best[i] > 1e-6;
    assert_true(size >= (positive < k ? positive : k) && size <= k);
    for (int64_t i = 0; i < size; i++) {
      int32_t column = rs_i32(&found->columns)[starts[r] + i];
      got[i] = rs_f32(&found->values)[starts[r] + i];
      assert_true(column != r && got[i] > 0);
      assert_true(i == 0 || column > rs_i32(&found->columns)[starts[r] + i - 1]);
      assert_true(fabs(got[i] - all[r * n + column]) <= 1e-5 * fabs(all[r * n + column]) + 1e-6);
    }
    qsort(got, (size_t)size, sizeof *got, falling);
    for (int64_t i = 0; i < size; i++) assert_true(fabs(got[i] - best[i]) <= 1e-5 * fabs(best[i]) + 1e-6);
  }
  free(best);
  free(got);
}

static void are_the_k_most_similar_rows_whatever_the_threads(void **state) {
  (void)state;
  static const struct {
    int64_t rows, width, k;
    double density;
  } shapes[] = {{130, 40, 7, 20}, {130, 700, 200, 2}, {300, 90, 20, 0.5}, {1, 5, 3, 5}, {17, 1, 4, 3}, {0, 4, 2, 1}};
  int before = rs_threads();
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int kind = ONES; kind <= SIGNS; kind++)
      for (int weighting = RS_COSINE; weighting <= RS_BM25; weighting++) {
        if (kind == SIGNS && weighting != RS_COSINE) continue;
        rs_csr m = matrix(shapes[i].rows, shapes[i].width, shapes[i].density, (entries)kind), first = {0};
        rs_neighbours_options o = {.k = shapes[i].k, .weighting = (rs_weighting)weighting, .k1 = 1.2, .b = 0.75};
        o.alpha = weighting == RS_TFIDF ? 0.8 : 0.5;
        o.shrink = weighting == RS_TFIDF ? 2 : 0;
        double *all = similarities(&m, &o);
        for (int threads = 1; threads <= 3; threads++) {
          rs_csr found;
          rs_threads_set(threads);
          assert_int_equal(rs_neighbours(&found, &m, &o), RS_OK);
          check(&found, all, o.k);
          if (threads > 1) {
            assert_memory_equal(rs_i64(&found.starts), rs_i64(&first.starts), rs_tensor_bytes(&first.starts));
            assert_memory_equal(rs_i32(&found.columns), rs_i32(&first.columns), rs_tensor_bytes(&first.columns));
            assert_memory_equal(rs_f32(&found.values), rs_f32(&first.values), rs_tensor_bytes(&first.values));
          }
          rs_csr_free(&first);
          first = found;
        }
        rs_csr_free(&first);
        rs_csr_free(&m);
        free(all);
      }
  rs_threads_set(before);
}

static rs_csr small(const int64_t *starts_, int64_t rows, const int32_t *columns_, const float *values_, int64_t n) {
  rs_tensor starts = {0}, columns = {0}, values = {0};
  rs_csr m;
  assert_int_equal(rs_tensor_new(&starts, RS_I64, 1, &(int64_t){rows + 1}), RS_OK);
  assert_int_equal(rs_tensor_new(&columns, RS_I32, 1, &n), RS_OK);
  assert_int_equal(rs_tensor_new(&values, RS_F32, 1, &n), RS_OK);
  memcpy(rs_i64(&starts), starts_, (size_t)(rows + 1) * sizeof *starts_);
  memcpy(rs_i32(&columns), columns_, (size_t)n * sizeof *columns_);
  memcpy(rs_f32(&values), values_, (size_t)n * sizeof *values_);
  assert_int_equal(rs_csr_from(&m, &starts, &columns, &values, 8), RS_OK);
  rs_tensor_free(&starts);
  rs_tensor_free(&columns);
  rs_tensor_free(&values);
  return m;
}

static void of_equally_similar_rows_the_lower_ones_are_near(void **state) {
  (void)state;
  enum { ROWS = 40 };
  int64_t starts[ROWS + 1];
  int32_t columns[ROWS];
  float values[ROWS];
  for (int i = 0; i < ROWS; i++) starts[i] = i, columns[i] = 3, values[i] = 1;
  starts[ROWS] = ROWS;
  for (int kind = 0; kind < 2; kind++) {
    if (kind == 1)
      for (int i = 0; i < ROWS; i++) values[i] = 2;
    rs_csr m = small(starts, ROWS, columns, values, ROWS), found;
    assert_int_equal(rs_neighbours(&found, &m, &(rs_neighbours_options){.k = 3, .alpha = 0.5}), RS_OK);
    for (int row = 0; row < ROWS; row++) {
      const int32_t *near = rs_i32(&found.columns) + row * 3;
      for (int i = 0; i < 3; i++) assert_int_equal(near[i], i + (i >= row));
    }
    rs_csr_free(&found);
    rs_csr_free(&m);
  }
}

static void columns_may_stand_in_any_order(void **state) {
  (void)state;
  const int64_t starts[] = {0, 3, 5, 7};
  rs_csr rising = small(starts, 3, (int32_t[]){1, 2, 5, 2, 5, 1, 5}, (float[]){1, 2, 3, 4, 5, 6, 7}, 7), a;
  rs_csr mixed = small(starts, 3, (int32_t[]){5, 1, 2, 5, 2, 1, 5}, (float[]){3, 1, 2, 5, 4, 6, 7}, 7), b;
  assert_int_equal(rs_neighbours(&a, &rising, &(rs_neighbours_options){.k = 2, .alpha = 0.5}), RS_OK);
  assert_int_equal(rs_neighbours(&b, &mixed, &(rs_neighbours_options){.k = 2, .alpha = 0.5}), RS_OK);
  assert_int_equal(rs_csr_entries(&a), 6);
  assert_memory_equal(rs_i32(&a.columns), rs_i32(&b.columns), rs_tensor_bytes(&a.columns));
  assert_memory_equal(rs_f32(&a.values), rs_f32(&b.values), rs_tensor_bytes(&a.values));
  rs_csr *const all[] = {&rising, &mixed, &a, &b};
  for (int i = 0; i < 4; i++) rs_csr_free(all[i]);
}

static void refuses_what_it_cannot_compare(void **state) {
  (void)state;
  const int64_t starts[] = {0, 2, 3};
  rs_csr twice = small(starts, 2, (int32_t[]){1, 1, 0}, (float[]){1, 1, 1}, 3), found;
  rs_csr below = small(starts, 2, (int32_t[]){1, 2, 0}, (float[]){1, -1, 1}, 3);
  rs_csr infinite = small(starts, 2, (int32_t[]){1, 2, 0}, (float[]){1, INFINITY, 1}, 3);
  assert_int_equal(rs_neighbours(&found, &twice, &(rs_neighbours_options){.k = 3, .alpha = 0.5}), RS_EARG);
  assert_string_equal(rs_message(), "neighbours: row 0 has column 1 twice");
  assert_int_equal(rs_neighbours(&found, &below, &(rs_neighbours_options){.k = 3, .weighting = RS_TFIDF, .alpha = 0.5}), RS_ERANGE);
  assert_int_equal(rs_neighbours(&found, &infinite, &(rs_neighbours_options){.k = 3, .alpha = 0.5}), RS_ERANGE);
  assert_int_equal(rs_neighbours(&found, &below, &(rs_neighbours_options){.k = 0, .alpha = 0.5}), RS_EARG);
  assert_int_equal(rs_neighbours(&found, &below, &(rs_neighbours_options){.k = 1, .alpha = 0.5, .shrink = -1}), RS_EARG);
  assert_int_equal(rs_neighbours(&found, &below, &(rs_neighbours_options){.k = 1, .alpha = 2}), RS_EARG);
  rs_neighbours_options shrunk = {.k = 1, .weighting = RS_BM25, .k1 = 1, .b = 1, .alpha = 0.5, .shrink = 1};
  assert_int_equal(rs_neighbours(&found, &below, &shrunk), RS_EARG);
  rs_csr_free(&twice);
  rs_csr_free(&below);
  rs_csr_free(&infinite);
}

static int no_block_lives(void **state) {
  (void)state;
  return rs_alloc_blocks() != 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(are_the_k_most_similar_rows_whatever_the_threads),
      cmocka_unit_test(of_equally_similar_rows_the_lower_ones_are_near),
      cmocka_unit_test(columns_may_stand_in_any_order),
      cmocka_unit_test(refuses_what_it_cannot_compare),
  };
  return cmocka_run_group_tests(tests, NULL, no_block_lives);
}
