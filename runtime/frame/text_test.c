#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/rng.h"
#include "frame/text.h"

static void numbers_equal_strtod(void **state) {
  (void)state;
  const char *texts[] = {"0",
                         "-0",
                         "1",
                         "007",
                         "3.25",
                         "-1e5",
                         "1E+3",
                         ".5",
                         "5.",
                         "1e308",
                         "1e-5",
                         "4.9e-324",
                         "123456789012345678901234567890",
                         "0.1",
                         "1e22",
                         "1e23",
                         "9007199254740993",
                         "0.000000000000000000000000000001",
                         "179769313486231570000e288"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    double value = -1;
    assert_true(rs_parse_number(texts[i], strlen(texts[i]), &value));
    assert_true(value == strtod(texts[i], NULL));
  }
  rs_stream s = rs_stream_at(1, RS_RNG_USER, 0, 0);
  for (uint64_t i = 0; i < 20000; i++) {
    char text[64];
    double x = rs_stream_normal(&s, 2 * i) * (double)rs_stream_below(&s, 2 * i + 1, 1000000), value;
    snprintf(text, sizeof text, "%.*g", 1 + (int)(i % 17), x);
    assert_true(rs_parse_number(text, strlen(text), &value));
    assert_true(value == strtod(text, NULL));
  }
}

static void what_is_no_number_is_refused(void **state) {
  (void)state;
  const char *texts[] = {"",   "-",  "+",    ".",   "e5",  "1e",  "1e+",  "1.2.3",
                         "1 ", " 1", "0x10", "nan", "inf", "1,5", "1e999"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    double value;
    assert_false(rs_parse_number(texts[i], strlen(texts[i]), &value));
  }
}

static void names_made_of_digits_are_no_faithful_numbers(void **state) {
  (void)state;
  assert_true(rs_number_is_faithful("0", 1));
  assert_true(rs_number_is_faithful("-0.5", 4));
  assert_true(rs_number_is_faithful("123456789012345", 15));
  assert_false(rs_number_is_faithful("01234", 5));
  assert_false(rs_number_is_faithful("1234567890123456", 16));
  assert_false(rs_number_is_faithful("+4912", 5));
}

static void times_follow_iso_8601(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t ms;
  } cases[] = {
      {"1970-01-01", 0},
      {"1970-01-01T00:00:00.001Z", 1},
      {"1969-12-31T23:59:59.999Z", -1},
      {"2000-02-29", INT64_C(951782400000)},
      {"2023-11-14T22:13:20Z", INT64_C(1700000000000)},
      {"2023-11-14 22:13:20", INT64_C(1700000000000)},
      {"2023-11-14T22:13:20.123456789", INT64_C(1700000000123)},
      {"2023-11-14T22:13:20,5", INT64_C(1700000000500)},
      {"2023-11-15T03:43:20+05:30", INT64_C(1700000000000)},
      {"2023-11-15T03:43:20.000+0530", INT64_C(1700000000000)},
      {"2023-11-14T17:13:20-05", INT64_C(1700000000000)},
      {"2023-11-14T22:13", INT64_C(1699999980000)},
      {"2023-11-14T24:00:00Z", INT64_C(1700006400000)},
      {"14-Nov-2023", INT64_C(1699920000000)},
      {"4-Feb-1971", INT64_C(34473600000)},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t ms = 42;
    assert_true(rs_parse_time(cases[i].text, strlen(cases[i].text), &ms));
    assert_int_equal(ms, cases[i].ms);
  }
}

static void what_is_no_time_is_refused(void **state) {
  (void)state;
  const char *texts[] = {"",
                         "2023",
                         "2023-13-01",
                         "2023-02-29",
                         "2023-1-1",
                         "2023-11-14T",
                         "2023-11-14T25:00",
                         "2023-11-14T22:60",
                         "2023-11-14x",
                         "31-Feb-2020",
                         "01-Foo-2020",
                         "881250949",
                         "2023-11-14T22:13:20.",
                         "2023-11-14T22:13:20+5",
                         "2023-11-14T22:13:20+99:00",
                         "1900-02-29",
                         "2023-11-14T24:01",
                         "20-",
                         "4-Feb-19711",
                         "123-Feb-1971"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    int64_t ms;
    assert_false(rs_parse_time(texts[i], strlen(texts[i]), &ms));
  }
}

static void times_read_back_as_written_and_agree_with_gmtime(void **state) {
  (void)state;
  rs_stream s = rs_stream_at(2, RS_RNG_USER, 0, 0);
  for (uint64_t i = 0; i < 20000; i++) {
    int64_t ms = (int64_t)rs_stream_below(&s, i, UINT64_C(315569520000000)) - INT64_C(62167219200000), back;
    char text[RS_TEXT_MAX], expected[64];
    size_t length = rs_format_time(text, ms);
    assert_true(rs_parse_time(text, length, &back));
    assert_int_equal(back, ms);
    time_t seconds = (time_t)((ms - (ms % 1000 + 1000) % 1000) / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900, parts.tm_mon + 1,
             parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    assert_memory_equal(text, expected, strlen(expected));
  }
}

static void numbers_read_back_as_written(void **state) {
  (void)state;
  rs_stream s = rs_stream_at(3, RS_RNG_USER, 0, 0);
  char text[RS_TEXT_MAX];
  for (uint64_t i = 0; i < 20000; i++) {
    uint64_t bits = (uint64_t)rs_stream_u32(&s, 2 * i) << 32 | rs_stream_u32(&s, 2 * i + 1);
    double value, back;
    memcpy(&value, &bits, sizeof value);
    if (value != value || value - value != 0) continue;
    size_t length = rs_format_number(text, value);
    assert_true(rs_parse_number(text, length, &back));
    assert_memory_equal(&back, &value, sizeof back);
  }
  for (uint64_t i = 0; i < 20000; i++) { /* few decimals are written as printf writes them */
    char expected[64];
    double value = ((double)rs_stream_below(&s, i, 2000000) - 1000000) / (i % 2 ? 1000 : 64);
    size_t length = rs_format_number(text, value);
    snprintf(expected, sizeof expected, "%.15g", value);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
  }
  rs_format_number(text, 0.1);
  assert_string_equal(text, "0.1");
  rs_format_number(text, -0.0);
  assert_string_equal(text, "-0");
  rs_format_number(text, 1700000000000.0);
  assert_string_equal(text, "1700000000000");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_equal_strtod),
      cmocka_unit_test(what_is_no_number_is_refused),
      cmocka_unit_test(names_made_of_digits_are_no_faithful_numbers),
      cmocka_unit_test(times_follow_iso_8601),
      cmocka_unit_test(what_is_no_time_is_refused),
      cmocka_unit_test(times_read_back_as_written_and_agree_with_gmtime),
      cmocka_unit_test(numbers_read_back_as_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
