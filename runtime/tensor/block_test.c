/* block_test.c - every kernel against sums in double, and bits that depend on nothing but row and column. */
#include "tensor/block.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/testing.h"

static const char *const names[] = {"plain", "avx2", "avx512"};

/* Odd ones, those around the tiles, deeper than RS_BLOCK_DEPTH, and rows far enough apart to be laid together. */
static const int64_t shapes[][3] = {{1, 1, 1},    {3, 5, 7},    {8, 48, 16},  {7, 47, 33},  {9, 49, 300}, {64, 96, 132},
                                    {64, 24, 96}, {5, 130, 64}, {40, 700, 9}, {33, 16, 520}, {2, 3, 0}};

static float *normals(int64_t n, uint64_t seed) {
  float *x = malloc((size_t)(n + 1) * sizeof *x);
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, 0);
  for (int64_t i = 0; i < n; i++) x[i] = (float)rs_stream_normal(&s, (uint64_t)i);
  return x;
}

/* A product on memory of its own; each row of c has a column beside it that must stay. */
typedef struct trial {
  rs_block p;
  float *a, *b, *c, *before;
} trial;

static trial trial_of(int64_t m, int64_t n, int64_t k, int flags) {
  bool ta = flags & 1, tb = flags & 2, more = flags & 4;
  trial t = {.a = normals(m * k, 1), .b = normals(n * k, 2), .c = normals(m * (n + 1), 3), .before = NULL};
  t.before = malloc((size_t)(m * (n + 1)) * sizeof *t.before);
  memcpy(t.before, t.c, (size_t)(m * (n + 1)) * sizeof *t.before);
  t.p = (rs_block){m, n, k, more ? -0.5F : 1, t.a, ta ? 1 : k, ta ? m : 1, t.b, tb ? k : n, tb, t.c, n + 1, more};
  return t;
}

static void trial_free(trial *t) { free(t->a), free(t->b), free(t->c), free(t->before); }

/* A f32 sum of k terms is off by about eps sqrt(k) times their size. */
static void assert_right(const trial *t) {
  const rs_block *p = &t->p;
  double tolerance = 32 * 0x1p-23 * sqrt((double)p->k + 4);
  for (int64_t i = 0; i < p->m; i++) {
    const float *before = t->before + i * p->ldc;
    for (int64_t j = 0; j < p->n; j++) {
      double sum = 0;
      for (int64_t q = 0; q < p->k; q++)
        sum += (double)p->a[i * p->a_row + q * p->a_column] * (double)p->b[p->turned ? j * p->ldb + q : q * p->ldb + j];
      double expected = (double)p->alpha * sum + (p->add ? (double)before[j] : 0);
      assert_true(fabs((double)p->c[i * p->ldc + j] - expected) <= tolerance * (1 + fabs(expected)));
    }
    assert_true(p->c[i * p->ldc + p->n] == before[p->n]);
  }
}

static void kernels_equal_sums_in_double(void **state) {
  (void)state;
  for (size_t name = 0; name < sizeof names / sizeof *names; name++)
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
      for (int flags = 0; flags < 8; flags++) {
        rs_block_kernel *kernel = rs_block_kernel_named(names[name]);
        trial t = trial_of(shapes[s][0], shapes[s][1], shapes[s][2], flags);
        if (kernel) kernel(&t.p), assert_right(&t);
        trial_free(&t);
      }
}

/* Each row on its own, and all of them by the other kernel, give the same bits. */
static void assert_same_bits(rs_block_kernel *kernel, rs_block_kernel *other, trial *t) {
  const rs_block whole = t->p;
  size_t row = (size_t)whole.ldc * sizeof(float), bytes = (size_t)whole.m * row;
  float *first = malloc(bytes);
  kernel(&t->p);
  memcpy(first, t->c, bytes);
  memcpy(t->c, t->before, bytes);
  other(&t->p);
  assert_memory_equal(first, t->c, bytes);
  memcpy(t->c, t->before, bytes);
  for (int64_t i = 0; i < whole.m; i++) {
    rs_block one = whole;
    one.m = 1;
    one.a += i * whole.a_row;
    one.c += i * whole.ldc;
    kernel(&one);
  }
  assert_memory_equal(first, t->c, bytes);
  free(first);
}

static void bits_depend_on_row_and_column_alone(void **state) {
  (void)state;
  rs_block_kernel *avx2 = rs_block_kernel_named("avx2"), *avx512 = rs_block_kernel_named("avx512");
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes && avx2; s++)
    for (int flags = 0; flags < 8; flags++) {
      trial t = trial_of(shapes[s][0], shapes[s][1], shapes[s][2], flags);
      assert_same_bits(avx2, avx512 ? avx512 : avx2, &t);
      memcpy(t.c, t.before, (size_t)(t.p.m * t.p.ldc) * sizeof *t.c);
      if (avx512) assert_same_bits(avx512, avx2, &t);
      trial_free(&t);
    }
}

static void what_is_no_number_stays_visible(void **state) {
  (void)state;
  for (size_t name = 0; name < sizeof names / sizeof *names; name++) {
    rs_block_kernel *kernel = rs_block_kernel_named(names[name]);
    trial t = trial_of(9, 20, 17, 0);
    t.a[3 * 17 + 5] = NAN;
    t.c[0] = NAN; /* not read */
    if (kernel) {
      kernel(&t.p);
      for (int64_t i = 0; i < 9; i++)
        for (int64_t j = 0; j < 20; j++) assert_true(isnan(t.c[i * 21 + j]) == (i == 3));
    }
    trial_free(&t);
  }
}

static void matrices_are_turned(void **state) {
  (void)state;
  static const int64_t sizes[][2] = {{1, 1}, {8, 8}, {9, 17}, {16, 7}, {7, 16}, {30, 41}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t rows = sizes[s][0], columns = sizes[s][1];
    float *from = normals(rows * (columns + 2), 4), *to = normals(columns * (rows + 3), 5);
    rs_block_turn(to, rows + 3, from, columns + 2, rows, columns);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < columns; c++) assert_true(to[c * (rows + 3) + r] == from[r * (columns + 2) + c]);
    free(from), free(to);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_equal_sums_in_double),
      cmocka_unit_test(bits_depend_on_row_and_column_alone),
      cmocka_unit_test(what_is_no_number_stays_visible),
      cmocka_unit_test(matrices_are_turned),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
