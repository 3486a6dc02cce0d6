/* media_test.c - headers as clients send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve/media.h"

static rs_media of(const char *content_type) {
  bool header;
  return rs_media_of(content_type, &header);
}

static void content_types_are_known_by_their_names(void **state) {
  (void)state;
  bool header;
  assert_int_equal(of(NULL), RS_MEDIA_JSON);
  assert_int_equal(of(""), RS_MEDIA_JSON);
  assert_int_equal(of("application/json"), RS_MEDIA_JSON);
  assert_int_equal(of("Application/JSON ; Charset=UTF-8"), RS_MEDIA_JSON);
  assert_int_equal(of("application/json; charset=\"utf-8\""), RS_MEDIA_JSON);
  assert_int_equal(of("application/json; charset=latin1"), RS_MEDIA_OTHER);
  assert_int_equal(of("application/jsonlines"), RS_MEDIA_LINES);
  assert_int_equal(of("application/x-jsonlines"), RS_MEDIA_LINES);
  assert_int_equal(of("application/x-ndjson"), RS_MEDIA_LINES);
  assert_int_equal(of("application/jsonx"), RS_MEDIA_OTHER);
  assert_int_equal(of("application/x-npy"), RS_MEDIA_OTHER);
  assert_int_equal(of("application/x-www-form-urlencoded"), RS_MEDIA_OTHER);
  assert_int_equal(of(";"), RS_MEDIA_OTHER);
  assert_int_equal(rs_media_of("text/csv; header=present", &header), RS_MEDIA_CSV);
  assert_true(header);
  assert_int_equal(rs_media_of("text/csv;header=absent", &header), RS_MEDIA_CSV);
  assert_false(header);
}

static void accept_wants_the_weightiest_of_ours(void **state) {
  (void)state;
  assert_int_equal(rs_media_wanted(NULL, RS_MEDIA_LINES), RS_MEDIA_LINES);
  assert_int_equal(rs_media_wanted("*/*", RS_MEDIA_CSV), RS_MEDIA_CSV);
  assert_int_equal(rs_media_wanted("text/html, */*;q=0.8", RS_MEDIA_JSON), RS_MEDIA_JSON);
  assert_int_equal(rs_media_wanted("application/json", RS_MEDIA_LINES), RS_MEDIA_JSON);
  assert_int_equal(rs_media_wanted("application/json;q=0.5, text/csv", RS_MEDIA_JSON), RS_MEDIA_CSV);
  assert_int_equal(rs_media_wanted("text/csv;q=0.5 , application/jsonlines ; q=0.7", RS_MEDIA_JSON), RS_MEDIA_LINES);
  assert_int_equal(rs_media_wanted("application/json, application/jsonlines", RS_MEDIA_LINES), RS_MEDIA_LINES);
  assert_int_equal(rs_media_wanted("text/*", RS_MEDIA_JSON), RS_MEDIA_CSV);
  assert_int_equal(rs_media_wanted("application/*", RS_MEDIA_CSV), RS_MEDIA_JSON);
  assert_int_equal(rs_media_wanted("image/png", RS_MEDIA_JSON), RS_MEDIA_OTHER);
  assert_int_equal(rs_media_wanted("application/json;q=0", RS_MEDIA_JSON), RS_MEDIA_OTHER);
  assert_int_equal(rs_media_wanted(",,;", RS_MEDIA_JSON), RS_MEDIA_OTHER);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(content_types_are_known_by_their_names),
                                     cmocka_unit_test(accept_wants_the_weightiest_of_ours)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
