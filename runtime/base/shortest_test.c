/* shortest_test.c - every text reads back, and no shorter one does. */
#include "base/shortest.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/testing.h"

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static size_t significant(const char *text) {
  char digits[64];
  size_t n = 0;
  for (const char *p = text; *p && *p != 'e'; p++)
    if (*p >= '0' && *p <= '9' && !(n == 0 && *p == '0')) digits[n++] = *p;
  while (n > 0 && digits[n - 1] == '0') n--;
  return n;
}

/* Whether fewer digits read back, by the library: the nearest text of each number of them. */
static bool is_shortest(float value, size_t n) {
  char text[64];
  if (n < 2) return true;
  snprintf(text, sizeof text, "%.*e", (int)n - 2, (double)value);
  double read = strtod(text, NULL), step = fabs(read) * 0x1p-52;
  bool middle = (float)(read + step) != (float)(read - step);
  return strtof(text, NULL) != value || middle;
}

static void check(float value) {
  char text[RS_SHORTEST_MAX];
  size_t n = rs_shortest_f32(text, value);
  if (n != strlen(text) || strtof(text, NULL) != value || (float)strtod(text, NULL) != value)
    fail_msg("%.9g became %s", (double)value, text);
  if (!is_shortest(value, significant(text))) fail_msg("%.9g became %s, which is not the shortest", (double)value, text);
}

static void texts_read_back_and_are_the_shortest(void **state) {
  (void)state;
  rs_stream s = rs_stream_at(5, RS_RNG_USER, 0, 0);
  for (uint64_t i = 0; i < 300000; i++) {
    float any = float_of(rs_stream_u32(&s, i));
    if (isfinite(any)) check(any);
    check((float)rs_stream_normal(&s, 1000000 + i));
  }
  for (int e = -149; e <= 127; e++) {
    float value = ldexpf(1, e);
    check(value);
    check(nextafterf(value, 0));
    if (value < 3e38F) check(nextafterf(value, INFINITY));
  }
  for (int i = 1; i < 20000; i++) check((float)i / 1000), check(-(float)i), check((float)i * 1e-9F);
  check(3.40282347e38F);
  check(float_of(1));
}

static void they_look_as_people_write_them(void **state) {
  (void)state;
  static const struct {
    float value;
    const char *text;
  } cases[] = {{0.1F, "0.1"},       {-3, "-3"},           {0, "0"},           {1.5e-9F, "1.5e-9"},   {100, "100"},
               {1234.5F, "1234.5"}, {0.00012F, "0.00012"}, {1e10F, "1e10"}, {16777216, "16777216"}, {1e-45F, "1e-45"},
               {NAN, "nan"},        {INFINITY, "inf"},     {-INFINITY, "-inf"}, {-0.0F, "0"},          {3e9F, "3000000000"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[RS_SHORTEST_MAX];
    rs_shortest_f32(text, cases[i].value);
    assert_string_equal(text, cases[i].text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(texts_read_back_and_are_the_shortest),
                                     cmocka_unit_test(they_look_as_people_write_them)};
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
