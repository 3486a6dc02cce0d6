/* best_test.c - the k best against a full sort: ties, order, signs, zeros and numbers of all sizes. */
#include "retrieval/best.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/testing.h"

enum { N = 700 };

static float drawn[N], sorted[N];

static int falling(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x < y) - (x > y);
}

/* Few values with many ties, fractions of both signs, and all sizes; returns how many. */
static int64_t draw(uint32_t number) {
  rs_stream s = rs_stream_at(9, RS_RNG_USER, 0, number);
  int64_t n = 1 + (int64_t)rs_stream_below(&s, 0, N);
  for (int64_t i = 0; i < n; i++) {
    float x = rs_stream_f32(&s, (uint64_t)(2 * i + 1)) - 0.5F;
    int power = (int)rs_stream_below(&s, (uint64_t)(2 * i + 2), 240) - 120;
    drawn[i] = number % 3 == 0 ? (float)(int)(5 * x) : number % 3 == 1 ? x : ldexpf(x, power);
    sorted[i] = drawn[i];
  }
  qsort(sorted, (size_t)n, sizeof *sorted, falling);
  return n;
}

static void k_reach_the_number_and_few_more(void **state) {
  (void)state;
  for (uint32_t number = 0; number < 600; number++) {
    int64_t n = draw(number), k = 1 + number % 90, reached = 0;
    if (number % 7 == 0) drawn[n / 2] = -INFINITY;
    float least = rs_reached_by(drawn, n, k, k + 3);
    for (int64_t i = 0; i < n; i++) reached += drawn[i] >= least;
    if (n < k) {
      assert_true(least == -INFINITY);
      continue;
    }
    assert_true(reached >= k);
    qsort(drawn, (size_t)n, sizeof *drawn, falling);
    assert_true(reached <= k + 3 || least == drawn[k - 1]);
  }
}

static void the_k_best_are_kept_as_they_came(void **state) {
  (void)state;
  for (uint32_t number = 0; number < 600; number++) {
    int64_t n = draw(number), k = 1 + number % 90, at = 0, ties = 0;
    float scores[400], least = n >= k ? sorted[k - 1] : -INFINITY;
    int32_t rows[400];
    rs_best best = {scores, rows, 0, -INFINITY};
    for (int64_t i = 0; i < n; i++)
      if (drawn[i] > best.least) rs_best_add(&best, k, drawn[i], (int32_t)(3 * i));
    rs_best_keep(&best, k);
    assert_int_equal(best.n, n < k ? n : k);
    for (int64_t i = 0; i < n && i < k; i++) ties += sorted[i] == least;
    for (int64_t i = 0; i < n; i++) {
      if (drawn[i] < least || (drawn[i] == least && ties-- <= 0)) continue;
      assert_int_equal(best.rows[at], 3 * i);
      assert_true(best.scores[at++] == drawn[i]);
    }
    assert_int_equal(at, best.n);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(k_reach_the_number_and_few_more),
      cmocka_unit_test(the_k_best_are_kept_as_they_came),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
