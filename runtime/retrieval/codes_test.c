/* codes_test.c - the bound of an item is above its product, however numbers are laid out and sized, on every
 * kernel; and it is of use: not far above. */
#include "retrieval/codes.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/rng.h"
#include "base/testing.h"
#include "tensor/block.h"

enum { N = 130, MOST_WIDTH = 520 };

static float items[N * MOST_WIDTH], query[MOST_WIDTH], products[N];
static const char *const kernels[] = {"vnni", "avx2", "plain"};

/* Numbers of one size, of sizes far apart within a row, of sizes far apart between rows, and denormal ones. */
static void draw(uint32_t number, int64_t width) {
  rs_stream s = rs_stream_at(31, RS_RNG_USER, 0, number);
  uint64_t at = 0;
  for (int64_t i = 0; i <= N; i++) {
    float *row = i < N ? items + i * width : query;
    int of_row = (int)rs_stream_below(&s, at++, 80) - 40;
    for (int64_t d = 0; d < width; d++) {
      int of_number = (int)rs_stream_below(&s, at++, 24) - 12;
      float x = rs_stream_f32(&s, at++) - 0.5F;
      int power = number % 4 == 1 ? of_number : number % 4 == 2 ? of_row : number % 4 == 3 ? of_row / 2 - 130 : 0;
      row[d] = ldexpf(x, power);
    }
  }
}

static void multiply(int64_t width) {
  rs_block_product(&(rs_block){.m = 1, .n = N, .k = width, .alpha = 1, .a = query, .a_row = width, .a_column = 1,
                               .b = items, .ldb = width, .turned = true, .c = products, .ldc = N});
}

static bool is_above(const rs_codes *codes, const rs_coded *coded, int64_t row, float least) {
  return rs_codes_above(codes, row / 64, coded, 1, least) >> (row % 64) & 1;
}

/* What a row reaches, at the most and at the least. */
static float reach(const rs_codes *codes, const rs_coded *coded, int64_t row, float *low) {
  float lows[RS_CODES_LANES];
  for (int i = 0; i < RS_CODES_LANES; i++) lows[i] = -INFINITY;
  float high = rs_codes_reach(codes, row / 64, coded, 1, UINT64_C(1) << (row % 64), lows);
  for (int i = 0; i < RS_CODES_LANES; i++)
    if (i != row % RS_CODES_LANES) assert_true(lows[i] == -INFINITY);
  *low = lows[row % RS_CODES_LANES];
  return high;
}

static void a_bound_is_above_its_product(void **state) {
  (void)state;
  static const int64_t widths[] = {1, 2, 5, 16, 63, 64, 257, 520};
  for (uint32_t number = 0; number < 400; number++) {
    rs_codes codes;
    rs_coded coded;
    int8_t p[MOST_WIDTH + 4];
    int64_t width = widths[number / 4 % 8];
    draw(number, width);
    multiply(width);
    assert_int_equal(rs_codes_new(&codes, items, N, width), RS_OK);
    assert_true(rs_codes_query(&codes, query, p, &coded));
    for (int kernel = 0; kernel < 3; kernel++) {
      rs_codes_use(rs_codes_kernel_named(kernels[kernel]));
      for (int64_t row = 0; row < N; row++) {
        float low, high = reach(&codes, &coded, row, &low);
        assert_true(low < products[row] && products[row] < high);
        assert_true(is_above(&codes, &coded, row, products[row]));
      }
    }
    rs_codes_free(&codes);
  }
  rs_codes_use(NULL);
}

/* A block's reaches are those of its items. */
static void a_block_reaches_what_its_items_reach(void **state) {
  (void)state;
  for (uint32_t number = 0; number < 40; number++) {
    rs_codes codes;
    rs_coded coded;
    int8_t p[MOST_WIDTH + 4];
    draw(number, 63);
    assert_int_equal(rs_codes_new(&codes, items, N, 63), RS_OK);
    assert_true(rs_codes_query(&codes, query, p, &coded));
    for (int kernel = 0; kernel < 3; kernel++) {
      uint64_t some = number % 2 ? ~UINT64_C(0) : UINT64_C(0x9E3779B97F4A7C15) * (number + 1);
      float lows[RS_CODES_LANES], most = -INFINITY, expected[RS_CODES_LANES];
      for (int i = 0; i < RS_CODES_LANES; i++) lows[i] = expected[i] = -INFINITY;
      rs_codes_use(rs_codes_kernel_named(kernels[kernel]));
      for (int64_t row = 64; row < 128; row++) {
        float low, high = reach(&codes, &coded, row, &low);
        if (!(some >> (row % 64) & 1)) continue;
        most = fmaxf(most, high);
        expected[row % RS_CODES_LANES] = fmaxf(expected[row % RS_CODES_LANES], low);
      }
      assert_true(rs_codes_reach(&codes, 1, &coded, 1, some, lows) == most);
      assert_memory_equal(lows, expected, sizeof lows);
    }
    rs_codes_free(&codes);
  }
  rs_codes_use(NULL);
}

static float length_of(const float *x, int64_t width) {
  double sum = 0;
  for (int64_t d = 0; d < width; d++) sum += (double)x[d] * x[d];
  return (float)sqrt(sum);
}

static void bounds_are_close(void **state) {
  (void)state;
  enum { WIDTH = 64 };
  rs_codes codes;
  rs_coded coded;
  int8_t p[WIDTH];
  draw(4, WIDTH);
  multiply(WIDTH);
  assert_int_equal(rs_codes_new(&codes, items, N, WIDTH), RS_OK);
  assert_true(rs_codes_query(&codes, query, p, &coded));
  for (int kernel = 0; kernel < 3; kernel++) {
    rs_codes_use(rs_codes_kernel_named(kernels[kernel]));
    for (int64_t row = 0; row < N; row++) {
      float all = length_of(query, WIDTH) * length_of(items + row * WIDTH, WIDTH);
      float low, high = reach(&codes, &coded, row, &low);
      assert_false(is_above(&codes, &coded, row, products[row] + 0.02F * all));
      assert_true(products[row] - low < 0.02F * all && high - products[row] < 0.02F * all);
    }
  }
  rs_codes_use(NULL);
  rs_codes_free(&codes);
}

static void an_item_that_is_not_finite_is_always_above(void **state) {
  (void)state;
  enum { WIDTH = 8 };
  static const float numbers[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
  for (int i = 0; i < 4; i++) {
    rs_codes codes;
    rs_coded coded;
    int8_t p[WIDTH];
    draw(0, WIDTH);
    for (int d = 0; d < WIDTH; d++) items[70 * WIDTH + d] = numbers[i];
    assert_int_equal(rs_codes_new(&codes, items, N, WIDTH), RS_OK);
    for (int zero = 0; zero < 2; zero++) {
      if (zero) memset(query, 0, sizeof query);
      assert_true(rs_codes_query(&codes, query, p, &coded));
      for (int kernel = 0; kernel < 3; kernel++) {
        rs_codes_use(rs_codes_kernel_named(kernels[kernel]));
        float low, high = reach(&codes, &coded, 70, &low);
        assert_true(is_above(&codes, &coded, 70, FLT_MAX));
        assert_true(low == -INFINITY && high == INFINITY);
        assert_false(is_above(&codes, &coded, 71, 1000));
      }
    }
    rs_codes_free(&codes);
  }
  rs_codes_use(NULL);
}

static void a_query_whose_products_could_overflow_is_refused(void **state) {
  (void)state;
  rs_codes codes;
  rs_coded coded;
  int8_t p[8];
  draw(0, 8);
  assert_int_equal(rs_codes_new(&codes, items, N, 8), RS_OK);
  query[3] = NAN;
  assert_false(rs_codes_query(&codes, query, p, &coded));
  query[3] = 1e38F;
  assert_false(rs_codes_query(&codes, query, p, &coded));
  query[3] = 1e30F;
  assert_true(rs_codes_query(&codes, query, p, &coded));
  rs_codes_free(&codes);
}

static void codes_of_other_sizes_are_refused(void **state) {
  (void)state;
  rs_codes codes, other;
  draw(0, 8);
  assert_int_equal(rs_codes_new(&codes, items, N, 8), RS_OK);
  assert_int_equal(rs_codes_over(&other, N, 8, &codes.values, &codes.scales, &codes.bounds), RS_OK);
  assert_true(other.longest == codes.longest && codes.longest > 0);
  assert_true(rs_codes_fit(&other, items));
  items[18 * 8 + 3] += 0.5F;
  assert_false(rs_codes_fit(&other, items));
  rs_codes_free(&other);
  assert_int_equal(rs_codes_over(&other, 300, 8, &codes.values, &codes.scales, &codes.bounds), RS_ESHAPE);
  assert_int_equal(rs_codes_over(&other, N, 9, &codes.values, &codes.scales, &codes.bounds), RS_ESHAPE);
  assert_string_equal(rs_message(), "codes are u8 [3, 2, 64, 4], [3, 64] and [3, 2, 64], which do not fit 130 items of 9 "
                                    "dimensions");
  rs_codes_free(&codes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_bound_is_above_its_product),
      cmocka_unit_test(a_block_reaches_what_its_items_reach),
      cmocka_unit_test(bounds_are_close),
      cmocka_unit_test(an_item_that_is_not_finite_is_always_above),
      cmocka_unit_test(a_query_whose_products_could_overflow_is_refused),
      cmocka_unit_test(codes_of_other_sizes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
