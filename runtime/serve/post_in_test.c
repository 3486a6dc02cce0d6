/* Bodies of posts: what is taken, what is refused in its place, and why. */
#include <stdio.h>
#include <string.h>

#include "base/testing.h"
#include "frame/column.h"
#include "serve/post_in.h"

enum { NOW = 1000000, WHEN = 900000, UNTIL = 2000000 };

typedef rs_status parser(rs_posts **out, const char *bytes, size_t size, const rs_post_rules *rules);

static rs_posts *parsed(parser *parse, const char *text, bool lines) {
  rs_posts *posts = NULL;
  rs_post_rules rules = {lines, NOW, WHEN, UNTIL, 4, 0};
  if (parse(&posts, text, strlen(text), &rules) != RS_OK) fail_msg("%s", rs_message());
  return posts;
}

static void refused(parser *parse, const char *text, const char *why) {
  rs_posts *posts = parsed(parse, text, false);
  assert_int_equal(posts->n, 1);
  assert_int_equal(posts->posts[0].outcome, RS_POST_REFUSED);
  if (!strstr(posts->posts[0].trouble, why)) fail_msg("%s: %s", text, posts->posts[0].trouble);
  rs_posts_free(posts);
}

#define IS(text, length, expected) \
  (assert_int_equal(length, strlen(expected)), assert_memory_equal(text, expected, length))

static void an_event_has_user_item_and_time(void **state) {
  (void)state;
  rs_posts *posts = parsed(rs_posts_of_events,
                           "[{\"user\":\"u1\",\"item\":\"i\\u00e9\"},"
                           "{\"user\":\"u2\",\"item\":\"i\",\"time\":7,\"id\":\"x\",\"type\":\"click\"},"
                           "{\"user\":\"u3\",\"item\":\"i\",\"time\":\"1970-01-01T00:00:01.25Z\",\"fields\":{\"a\":[1]}}]",
                           false);
  assert_int_equal(posts->n, 3);
  for (int i = 0; i < 3; i++) assert_int_equal(posts->posts[i].outcome, RS_POST_READY);
  IS(posts->posts[0].item, posts->posts[0].item_length, "i\xc3\xa9");
  assert_int_equal(posts->posts[0].time, WHEN);
  assert_int_equal(posts->posts[0].received, NOW);
  assert_null(posts->posts[0].id);
  assert_int_equal(posts->posts[1].time, 7);
  IS(posts->posts[1].id, posts->posts[1].id_length, "x");
  assert_string_equal(json_string_value(json_object_get(posts->posts[1].fields, "type")), "click");
  assert_int_equal(posts->posts[2].time, 1250);
  assert_int_equal(json_array_size(json_object_get(posts->posts[2].fields, "a")), 1);
  rs_posts_free(posts);
}

static void an_item_has_an_id_and_attributes(void **state) {
  (void)state;
  rs_posts *posts = parsed(rs_posts_of_items,
                           "[{\"id\":\"n1\",\"title\":\"T\",\"created\":5,\"attributes\":{\"kind\":\"x\"}},"
                           "{\"id\":\"n2\",\"removed\":true},{\"id\":\"n3\",\"removed\":false}]", false);
  assert_int_equal(posts->posts[0].kind, RS_POST_ITEM);
  assert_int_equal(posts->posts[0].time, 5);
  IS(posts->posts[0].title, posts->posts[0].title_length, "T");
  assert_int_equal(posts->posts[1].kind, RS_POST_REMOVAL);
  assert_int_equal(posts->posts[2].kind, RS_POST_ITEM);
  assert_int_equal(posts->posts[2].time, WHEN);
  rs_posts_free(posts);
}

static void times_in_seconds_are_refused(void **state) {
  (void)state;
  static const char text[] = "[{\"user\":\"u\",\"item\":\"i\",\"time\":499},{\"user\":\"u\",\"item\":\"i\",\"time\":500},"
                             "{\"user\":\"u\",\"item\":\"i\"}]";
  rs_posts *posts = NULL;
  rs_post_rules rules = {false, NOW, WHEN, UNTIL, 4, 500};
  assert_int_equal(rs_posts_of_events(&posts, text, sizeof text - 1, &rules), RS_OK);
  assert_int_equal(posts->posts[0].outcome, RS_POST_REFUSED);
  assert_non_null(strstr(posts->posts[0].trouble, "is this in seconds?"));
  assert_int_equal(posts->posts[1].outcome, RS_POST_READY);
  assert_int_equal(posts->posts[2].outcome, RS_POST_READY);
  rs_posts_free(posts);
  static const char old[] = "{\"id\":\"n\",\"created\":499}"; /* a film may be that old */
  assert_int_equal(rs_posts_of_items(&posts, old, sizeof old - 1, &rules), RS_OK);
  assert_int_equal(posts->posts[0].outcome, RS_POST_READY);
  rs_posts_free(posts);
}

static void what_is_wrong_is_told(void **state) {
  (void)state;
  refused(rs_posts_of_events, "7", "no object");
  refused(rs_posts_of_events, "{}", "'user' is missing");
  refused(rs_posts_of_events, "{\"user\":\"u\"}", "'item' is missing");
  refused(rs_posts_of_events, "{\"user\":7.5,\"item\":\"i\"}", "'user' is neither a string nor a whole number");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":[1]}", "'item' is neither a string nor a whole number");
  refused(rs_posts_of_events, "{\"user\":\"\",\"item\":\"i\"}", "'user' has 0 bytes; it may have 1 to 256");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"when\":1}", "there is no 'when' here");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"time\":1.5}", "'time' is neither");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"time\":\"yesterday\"}", "'time' is neither");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"time\":\"1970-02-30\"}", "'time' is neither");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"time\":2000001}", "lies in the future");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"time\":-9223372036854775808}", "too early");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"fields\":[]}", "'fields' is no object");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"type\":1}", "'type' is no string");
  refused(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\",\"type\":\"a\",\"fields\":{\"type\":\"b\"}}", "too");
  refused(rs_posts_of_items, "{\"title\":\"T\"}", "'id' is missing");
  refused(rs_posts_of_items, "{\"id\":\"n\",\"title\":7}", "'title' is no string");
  refused(rs_posts_of_items, "{\"id\":\"n\",\"attributes\":{\"title\":\"T\"}}", "'title' is no attribute");
  refused(rs_posts_of_items, "{\"id\":\"n\",\"removed\":1}", "'removed' is neither");
}

static void an_id_may_be_a_whole_number(void **state) {
  (void)state;
  rs_posts *posts = parsed(rs_posts_of_events, "{\"user\":17,\"item\":-9223372036854775808,\"id\":0}", false);
  IS(posts->posts[0].user, posts->posts[0].user_length, "17");
  IS(posts->posts[0].item, posts->posts[0].item_length, "-9223372036854775808");
  IS(posts->posts[0].id, posts->posts[0].id_length, "0");
  rs_posts_free(posts);
  posts = parsed(rs_posts_of_items, "{\"id\":5}", false);
  IS(posts->posts[0].item, posts->posts[0].item_length, "5");
  rs_posts_free(posts);
}

static void a_time_is_read_as_in_requests(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t ms;
  } cases[] = {{"1970-01-01", 0},           {"1970-01-01T00:10", 600000}, {"1970-01-01T05:30:01+05:30", 1000},
               {"1970-01-01 00:00:02", 2000}, {"1-Jan-1970", 0},            {"1970-01-01T00:00:01.2345Z", 1234}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[200];
    snprintf(text, sizeof text, "{\"user\":\"u\",\"item\":\"i\",\"time\":\"%s\"}", cases[i].text);
    rs_posts *posts = parsed(rs_posts_of_events, text, false);
    assert_int_equal(posts->posts[0].outcome, RS_POST_READY);
    assert_int_equal(posts->posts[0].time, cases[i].ms);
    rs_posts_free(posts);
  }
}

static void lines_stand_for_themselves(void **state) {
  (void)state;
  rs_posts *posts = parsed(rs_posts_of_events, "{\"user\":\"u\",\"item\":\"i\"}\r\n\n{\"user\":\n{\"user\":\"v\",\"item\":\"i\"}",
                           true);
  assert_int_equal(posts->n, 3);
  assert_int_equal(posts->posts[0].outcome, RS_POST_READY);
  assert_int_equal(posts->posts[1].outcome, RS_POST_REFUSED);
  assert_int_equal(posts->posts[2].outcome, RS_POST_READY);
  for (int i = 0; i < 3; i++) assert_int_equal(posts->posts[i].index, i + (i > 0)); /* the empty line counts */
  rs_posts_free(posts);
}

static void a_body_may_be_too_much(void **state) {
  (void)state;
  rs_posts *posts = NULL;
  rs_post_rules rules = {false, NOW, WHEN, UNTIL, 4, 0};
  assert_int_equal(rs_posts_of_events(&posts, "[1,1,1,1,1]", 11, &rules), RS_EARG);
  assert_int_equal(rs_posts_of_events(&posts, "[1,", 3, &rules), RS_EFORMAT);
  assert_int_equal(rs_posts_of_events(&posts, "", 0, &rules), RS_EFORMAT);
  rules.lines = true;
  assert_int_equal(rs_posts_of_events(&posts, "1\n1\n1\n1\n1", 9, &rules), RS_EARG);
  assert_int_equal(rs_posts_of_events(&posts, "", 0, &rules), RS_OK);
  assert_int_equal(posts->n, 0);
  rs_posts_free(posts);
}

static void memory_may_be_refused_anywhere(void **state) {
  (void)state;
  static const char text[] = "[{\"user\":1,\"item\":\"i\",\"type\":\"click\",\"fields\":{\"a\":1}},{\"user\":7}]";
  rs_status status = RS_ENOMEM;
  for (int64_t grants = 0; status != RS_OK; grants++) {
    rs_posts *posts = NULL;
    rs_post_rules rules = {false, NOW, WHEN, UNTIL, 4, 0};
    rs_alloc_fault(grants);
    status = rs_posts_of_events(&posts, text, sizeof text - 1, &rules);
    bool whole = rs_alloc_refusals() == 0;
    rs_alloc_fault(-1);
    if (status == RS_OK) assert_int_equal(posts->posts[1].outcome, RS_POST_REFUSED);
    assert_true(status == RS_OK || status == RS_ENOMEM);
    rs_posts_free(posts);
    if (whole) break;
    status = RS_ENOMEM;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_event_has_user_item_and_time), cmocka_unit_test(an_item_has_an_id_and_attributes),
      cmocka_unit_test(what_is_wrong_is_told),
                                     cmocka_unit_test(times_in_seconds_are_refused),           cmocka_unit_test(an_id_may_be_a_whole_number),
      cmocka_unit_test(a_time_is_read_as_in_requests),   cmocka_unit_test(lines_stand_for_themselves),
      cmocka_unit_test(a_body_may_be_too_much),          cmocka_unit_test(memory_may_be_refused_anywhere),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
