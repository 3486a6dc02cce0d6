/* csv_request_test.c - lines of text/csv and the JSON that they become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "serve/csv_request.h"

static rs_csv_names names;
static rs_buffer json;

static void is(const char *line, const char *expected) {
  json.size = 0;
  if (rs_csv_request(&json, &names, line, strlen(line)) != RS_OK) fail_msg("%s: %s", line, rs_message());
  assert_int_equal(rs_buffer_append(&json, "", 1), RS_OK);
  assert_string_equal(json.data, expected);
}

static void is_wrong(const char *line, const char *why) {
  json.size = 0;
  assert_int_equal(rs_csv_request(&json, &names, line, strlen(line)), RS_EARG);
  if (!strstr(rs_message(), why)) fail_msg("%s: %s", line, rs_message());
}

static void without_names_it_is_a_user_and_k(void **state) {
  (void)state;
  names.n = 0;
  is("u1", "{\"user\":\"u1\"}");
  is("u1,5", "{\"user\":\"u1\",\"k\":5}");
  is("17,\"5\"", "{\"user\":\"17\",\"k\":5}");
  is(",3", "{\"k\":3}");
  is("\"a \"\"b\"\", c\",", "{\"user\":\"a \\\"b\\\", c\"}");
  is("\"\"\"\"\"\"", "{\"user\":\"\\\"\\\"\"}");
  is("u1,five", "{\"user\":\"u1\",\"k\":\"five\"}"); /* which the request's reader refuses, with its place */
  is("u1,05", "{\"user\":\"u1\",\"k\":\"05\"}");
  is("u1,-1.5e-7", "{\"user\":\"u1\",\"k\":-1.5e-7}");
  is("u1,1.", "{\"user\":\"u1\",\"k\":\"1.\"}");
  is("u1,+1", "{\"user\":\"u1\",\"k\":\"+1\"}");
  is("u1,1e", "{\"user\":\"u1\",\"k\":\"1e\"}");
  is("u1,0", "{\"user\":\"u1\",\"k\":0}");
  is_wrong("", "the line is empty");
  is_wrong("u1,2,3", "more than 2 fields");
  is_wrong("\"u1", "does not end in its line");
  is_wrong("\"u1\"x,2", "something stands behind a quoted field");
  is_wrong("u\"1", "a quote stands within a field");
}

static void names_say_what_is_the_users(void **state) {
  (void)state;
  static const char first[] = "platform,\"user\",k,exclude_seen,now";
  assert_int_equal(rs_csv_names_read(&names, NULL, first, strlen(first)), RS_OK);
  assert_int_equal(names.n, 5);
  is("ios,u1,3,false,2024-01-31",
     "{\"user\":\"u1\",\"k\":3,\"exclude_seen\":false,\"now\":\"2024-01-31\",\"fields\":{\"platform\":\"ios\"}}");
  is(",,,,", "{\"fields\":{}}");
  is("3,true,,,", "{\"user\":\"true\",\"fields\":{\"platform\":\"3\"}}");
  is_wrong("ios,u1", "the line has 2 fields where the first one has 5");
  is_wrong("ios,u1,3,false,0,more", "more than 5 fields");
}

static void columns_are_what_the_model_reads(void **state) {
  (void)state;
  static const char first[] = "user,likes,age";
  assert_int_equal(rs_csv_names_read(&names, NULL, first, strlen(first)), RS_OK);
  assert_int_equal(names.cells[1], RS_CELL_TEXT);
  names.cells[1] = RS_CELL_LIST;
  names.cells[2] = RS_CELL_NUMBER;
  is("u,3,4", "{\"user\":\"u\",\"fields\":{\"likes\":[\"3\"],\"age\":4}}");
  is("u,a|b||,\"-1e3\"", "{\"user\":\"u\",\"fields\":{\"likes\":[\"a\",\"b\",\"\",\"\"],\"age\":-1e3}}");
  is("u,\"a\"\"|,|\"\"\",true", "{\"user\":\"u\",\"fields\":{\"likes\":[\"a\\\"\",\",\",\"\\\"\"],\"age\":\"true\"}}");
}

static void names_are_distinct_and_have_the_user(void **state) {
  (void)state;
  static const char *const wrong[] = {"a,b", "user,user", "user,", ",user", "\"user", "user,a,\"a\"", ""};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(rs_csv_names_read(&names, NULL, wrong[i], strlen(wrong[i])), RS_EARG);
  char many[3 * RS_CSV_COLUMNS + 16] = "user";
  for (int i = 0; i < RS_CSV_COLUMNS; i++) {
    char name[8] = {',', (char)('a' + i / 26), (char)('a' + i % 26), 0};
    strcat(many, name);
  }
  assert_int_equal(rs_csv_names_read(&names, NULL, many, strlen(many)), RS_EARG);
}

static void memory_may_be_refused(void **state) {
  (void)state;
  static const char line[] = "\"a \"\"b\"\"\",5";
  names.n = 0;
  for (int n = 0;; n++) {
    rs_buffer_free(&json);
    int64_t blocks = rs_alloc_blocks();
    rs_alloc_fault(n);
    rs_status status = rs_csv_request(&json, &names, line, strlen(line));
    rs_alloc_fault(-1);
    if (status == RS_OK) break;
    assert_int_equal(status, RS_ENOMEM);
    rs_buffer_free(&json);
    assert_int_equal(rs_alloc_blocks(), blocks);
  }
}

static int end(void **state) {
  (void)state;
  rs_buffer_free(&json);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(without_names_it_is_a_user_and_k),
                                     cmocka_unit_test(names_say_what_is_the_users),
                                     cmocka_unit_test(columns_are_what_the_model_reads),
                                     cmocka_unit_test(names_are_distinct_and_have_the_user),
                                     cmocka_unit_test(memory_may_be_refused)};
  return cmocka_run_group_tests(tests, NULL, end);
}
