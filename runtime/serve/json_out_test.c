/* json_out_test.c - strings, numbers and what a service adds, as JSON. */
#include "serve/json_out.h"

#include <math.h>

#include "base/json.h"
#include "base/testing.h"

static rs_buffer out;

static int unmake(void **state) {
  rs_buffer_free(&out);
  return no_blocks_remain(state);
}

static const char *text(void) {
  assert_int_equal(rs_buffer_append(&out, "", 1), RS_OK);
  out.size = 0;
  return out.data;
}

static void strings_are_escaped_and_always_utf8(void **state) {
  (void)state;
  static const char all[] = "a\"\\/\b\f\n\r\t\x01\x7f \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80";
  assert_int_equal(rs_json_string(&out, all, sizeof all - 1), RS_OK);
  json_t *back = NULL;
  assert_int_equal(rs_json_parse(&back, out.data, out.size, "test"), RS_OK);
  assert_string_equal(json_string_value(back), all);
  json_decref(back);
  assert_string_equal(text(), "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80\"");
  assert_int_equal(rs_json_string(&out, "a\xff\xC3", 3), RS_OK);
  assert_string_equal(text(), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");
  assert_int_equal(rs_json_string(&out, "\xED\xA0\x80\"", 4), RS_OK);
  assert_string_equal(text(), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\\\"\"");
}

static void numbers_are_the_shortest(void **state) {
  (void)state;
  assert_int_equal(rs_json_number(&out, 0.1F), RS_OK);
  assert_string_equal(text(), "0.1");
  assert_int_equal(rs_json_number(&out, NAN), RS_OK);
  assert_string_equal(text(), "null");
}

static void a_service_adds_its_fields(void **state) {
  (void)state;
  rs_envelope e = {"news-4", "id\"", 1234};
  assert_int_equal(rs_json_envelope(&out, &e), RS_OK);
  assert_string_equal(text(), ",\"model_version\":\"news-4\",\"request_id\":\"id\\\"\",\"latency_ms\":1.234");
  assert_int_equal(rs_json_envelope(&out, &(rs_envelope){NULL, NULL, 5}), RS_OK);
  assert_string_equal(text(), ",\"latency_ms\":0.005");
  assert_int_equal(rs_json_envelope(&out, &(rs_envelope){NULL, NULL, -1}), RS_OK);
  assert_string_equal(text(), "");
  rs_request nobody = {0};
  assert_int_equal(rs_json_refusal(&out, &nobody, RS_EARG, "k: is 0"), RS_OK);
  assert_string_equal(text(), "{\"user\":null,\"error\":{\"code\":\"argument\",\"message\":\"k: is 0\"}}");
}

/* Whatever stands beside it, a byte is written as it is when it stands alone. */
static void a_byte_is_written_the_same_at_every_place(void **state) {
  (void)state;
  enum { MOST = 20 };
  for (int byte = 0; byte < 256; byte++)
    for (size_t length = 1; length <= MOST; length++)
      for (size_t at = 0; at < length; at++) {
        char text[MOST], alone = (char)byte;
        rs_buffer one = {0}, all = {0}, expected = {0};
        memset(text, 'a', sizeof text);
        text[at] = alone;
        assert_int_equal(rs_json_string(&one, &alone, 1), RS_OK);
        assert_int_equal(rs_json_string(&all, text, length), RS_OK);
        assert_int_equal(rs_buffer_printf(&expected, "\"%.*s%.*s%.*s\"", (int)at, "aaaaaaaaaaaaaaaaaaaa",
                                          (int)one.size - 2, one.data + 1, (int)(length - at - 1),
                                          "aaaaaaaaaaaaaaaaaaaa"), RS_OK);
        assert_int_equal(all.size, expected.size);
        assert_memory_equal(all.data, expected.data, all.size);
        rs_buffer_free(&one);
        rs_buffer_free(&all);
        rs_buffer_free(&expected);
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(strings_are_escaped_and_always_utf8),
                                     cmocka_unit_test(a_byte_is_written_the_same_at_every_place),
                                     cmocka_unit_test(numbers_are_the_shortest),
                                     cmocka_unit_test(a_service_adds_its_fields)};
  return cmocka_run_group_tests(tests, NULL, unmake);
}
