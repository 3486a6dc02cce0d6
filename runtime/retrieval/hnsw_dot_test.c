/* hnsw_dot_test.c - each kernel against the plain one. */
#include "retrieval/hnsw_dot.h"

#include <math.h>

#include "base/rng.h"
#include "base/testing.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_agree)};
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
