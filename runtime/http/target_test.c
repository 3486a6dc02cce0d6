/* target_test.c - paths and queries, and bytes that are neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "http/target.h"

static void paths_and_queries_are_decoded(void **state) {
  (void)state;
  rs_http_target t = {0};
  assert_int_equal(rs_http_target_parse(&t, "/a%20b/%C3%A9+?x=1+2&&y&z=%3D%26&x=&=v#gone"), RS_OK);
  assert_string_equal(t.raw, "/a%20b/%C3%A9+?x=1+2&&y&z=%3D%26&x=&=v#gone");
  assert_string_equal(t.path, "/a b/\xc3\xa9+");
  const char *expected[][2] = {{"x", "1 2"}, {"y", ""}, {"z", "=&"}, {"x", ""}, {"", "v"}};
  assert_int_equal(t.n, 5);
  for (int i = 0; i < t.n; i++) {
    assert_string_equal(t.query[i].name, expected[i][0]);
    assert_string_equal(t.query[i].value, expected[i][1]);
  }
  rs_http_target_free(&t);
  assert_int_equal(rs_http_target_parse(&t, "/"), RS_OK);
  assert_int_equal(t.n, 0);
  rs_http_target_free(&t);
}

static void what_is_no_text_is_refused(void **state) {
  (void)state;
  const char *wrong[] = {"",          "a",           "*",           "http://h/",  "/%",          "/%4",        "/%g0",
                         "/a%00b",    "/?x=%00",     "/?%zz",       "/\xff",      "/%ff",        "/%c0%af",    "/%c3",
                         "/%e0%80%80", "/%ed%a0%80", "/%f0%80%80%80", "/%f4%90%80%80", "/%f5%80%80%80", "/?a=%80", "/?\xc3=1"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    rs_http_target t = {0};
    if (rs_http_target_parse(&t, wrong[i]) != RS_EFORMAT) fail_msg("accepted: %s", wrong[i]);
    assert_null(t.raw);
  }
}

static void refused_memory_leaves_nothing(void **state) {
  (void)state;
  rs_http_target t = {0};
  rs_alloc_fault(0);
  assert_int_equal(rs_http_target_parse(&t, "/a?b=c"), RS_ENOMEM);
  rs_alloc_fault(-1);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(paths_and_queries_are_decoded),
      cmocka_unit_test(what_is_no_text_is_refused),
      cmocka_unit_test(refused_memory_leaves_nothing),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return failed ? failed : rs_alloc_blocks() != 0;
}
