/* json_in_test.c - requests as they are read, and what is refused, with its place. */
#include "serve/json_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"

static rs_json_in *in;

static int make(void **state) {
  (void)state;
  rs_json_limits limits = {50, 3, 4, 5};
  return rs_json_in_new(&in, &limits) == RS_OK ? 0 : -1;
}

static int unmake(void **state) {
  rs_json_in_free(in);
  return no_blocks_remain(state);
}

/* Read from a block of just that size, so that a byte too far is seen; it stays until the next reading. */
static rs_status read_text(const char *text, rs_asked *asked) {
  static char *copy;
  free(copy);
  copy = NULL;
  if (!text) return RS_OK;
  size_t n = strlen(text);
  copy = malloc(n ? n : 1);
  memcpy(copy, text, n);
  return rs_json_in_recommend(in, copy, n, asked);
}

static const rs_request *one(const char *text) {
  static rs_asked asked;
  if (read_text(text, &asked) != RS_OK) fail_msg("%s: %s", text, rs_message());
  assert_int_equal(asked.n, 1);
  assert_false(asked.several);
  return &asked.requests[0];
}

static void a_request_is_read_whole(void **state) {
  (void)state;
  const rs_request *q = one(
      " {\"user\": \"u\\u00e4\\n\", \"k\": 7, \"exclude_seen\": false, \"fallback\": false, \"exclude\": [\"a\", 12],"
      "\"now\": \"1970-01-02\", \"fields\": {\"age\": [1, {\"x\": null}]}, \"filter\": {\"a\": \"b\"},"
      "\"history\": [\"i1\", {\"item\": 5, \"time\": 99, \"fields\": {\"kind\": \"read\"}}, {\"item\": \"x\", \"time\": null}],"
      "\"caps\": {\"category\": 2, \"author\": 1}, \"diversity\": {\"lambda\": 0.5, \"pool\": 30},"
      "\"freshness\": {\"half_life\": \"2d\", \"boost\": 1.5}}\n");
  assert_true(rs_span_is(q->user, "u\xC3\xA4\n"));
  assert_int_equal(q->k, 7);
  assert_false(q->exclude_seen);
  assert_true(q->model_only);
  assert_int_equal(q->now, 86400000);
  assert_int_equal(q->n_exclude, 2);
  assert_true(rs_span_is(q->exclude[0], "a") && rs_span_is(q->exclude[1], "12"));
  assert_true(rs_span_is(q->fields, "{\"age\": [1, {\"x\": null}]}"));
  assert_true(rs_span_is(q->filter, "{\"a\": \"b\"}"));
  assert_int_equal(q->n_history, 3);
  assert_true(rs_span_is(q->history[1].item, "5") && q->history[1].time == 99);
  assert_true(rs_span_is(q->history[1].fields, "{\"kind\": \"read\"}"));
  assert_true(q->history[0].time == RS_TIME_MISSING && q->history[2].time == RS_TIME_MISSING);
  assert_int_equal(q->n_caps, 2);
  assert_true(rs_span_is(q->caps[1].attribute, "author") && q->caps[1].most == 1);
  assert_true(q->lambda == 0.5 && q->pool == 30 && q->boost == 1.5);
  assert_int_equal(q->half_life, 2 * 86400000);
}

static void what_is_absent_or_null_has_its_standard(void **state) {
  (void)state;
  static const char *const texts[] = {"{}", "{\"user\":null,\"k\":null,\"now\":null,\"exclude\":null,\"filter\":null,"
                                            "\"history\":null,\"caps\":null,\"diversity\":null,\"freshness\":null,"
                                            "\"fields\":null,\"exclude_seen\":null,\"fallback\":null}"};
  for (int i = 0; i < 2; i++) {
    const rs_request *q = one(texts[i]);
    assert_true(!q->user.text && !q->fields.text && !q->filter.text && !q->history && !q->exclude);
    assert_true(q->k == 10 && q->exclude_seen && !q->model_only && q->now == RS_TIME_MISSING);
    assert_true(q->n_caps == 0 && q->lambda == 0 && q->boost == 0);
  }
  const rs_request *q = one("{\"history\": [], \"exclude\": [], \"user\": \"\"}");
  assert_true(q->history && q->n_history == 0 && q->exclude && q->user.text && q->user.length == 0);
}

static void several_users_share_what_stands_beside_them(void **state) {
  (void)state;
  rs_asked a;
  assert_int_equal(read_text("{\"users\": [\"u\\u0031\", {\"user\": 2, \"k\": 3, \"filter\": {\"x\": \"\\u0041\"}},"
                             "{\"usr\": \"x\"}], \"k\": 5, \"exclude\": [\"\\u0061\"]}", &a), RS_OK);
  assert_true(a.several);
  assert_int_equal(a.n, 3);
  assert_true(rs_span_is(a.requests[0].user, "u1") && a.requests[0].k == 5);
  assert_true(rs_span_is(a.requests[1].user, "2") && a.requests[1].k == 3);
  assert_true(rs_span_is(a.requests[1].filter, "{\"x\": \"\\u0041\"}"));
  for (int i = 0; i < 3; i++) assert_true(rs_span_is(a.requests[i].exclude[0], "a"));
  assert_null(a.wrong[0]);
  assert_null(a.wrong[1]);
  assert_string_equal(a.wrong[2], "users[2].usr: there is no such field; there are user, fields, history, now, k, "
                                  "exclude_seen, exclude, filter, caps, diversity, freshness, fallback");
  assert_int_equal(read_text("{\"users\": []}", &a), RS_OK);
  assert_true(a.several && a.n == 0);
}

static void a_standard_holds_for_every_request(void **state) {
  (void)state;
  char standard[] = "{\"k\": 3, \"exclude\": [\"\\u0061b\"], \"filter\": {\"a\": 1}}";
  assert_int_equal(rs_json_in_standard(in, standard, strlen(standard)), RS_OK);
  memset(standard, 'x', sizeof standard);
  for (int i = 0; i < 3; i++) {
    const rs_request *q = one("{\"user\": \"u\", \"exclude_seen\": false}");
    assert_true(q->k == 3 && rs_span_is(q->exclude[0], "ab") && rs_span_is(q->filter, "{\"a\": 1}"));
  }
  assert_int_equal(one("{\"k\": 4}")->k, 4);
  assert_int_equal(rs_json_in_standard(in, "{\"k\": 0}", 8), RS_EARG);
  assert_int_equal(rs_json_in_standard(in, "{}", 2), RS_OK);
}

static void what_is_wrong_is_told_with_its_place(void **state) {
  (void)state;
  static const struct {
    const char *text;
    rs_status status;
    const char *message;
  } cases[] = {
      {"", RS_EFORMAT, "line 1, column 1: the text ends too soon"},
      {"[]", RS_EARG, "the JSON is a list, not an object"},
      {"null", RS_EARG, "the JSON is null, not an object"},
      {"{\"k\": 1", RS_EFORMAT, "line 1, column 8: ',' or '}' is expected"},
      {"{\"k\": 1}x", RS_EFORMAT, "line 1, column 9: there is something behind the value"},
      {"{\"k\": 1,}", RS_EFORMAT, "line 1, column 9: a key in quotes is expected"},
      {"{\n \"k\": 01}", RS_EFORMAT, "line 2, column 7: that is no number of JSON"},
      {"{\"k\": 0}", RS_EARG, "k: is 0; 1 to 50 items can be asked for"},
      {"{\"k\": 51}", RS_EARG, "k: is 51; 1 to 50 items can be asked for"},
      {"{\"k\": 1.0}", RS_EARG, "k: is not a whole number"},
      {"{\"k\": \"1\"}", RS_EARG, "k: is a string, not a number"},
      {"{\"k\": 99999999999999999999}", RS_EARG, "k: is a number out of range"},
      {"{\"k\": 1, \"k\": 1}", RS_EARG, "k: stands there twice"},
      {"{\"\\u006b\": 1, \"k\": 1}", RS_EARG, "k: stands there twice"},
      {"{\"user\": true}", RS_EARG, "user: is true or false, not a string"},
      {"{\"user\": 1.5}", RS_EARG, "user: is not a whole number"},
      {"{\"user\": \"\\ud800\"}", RS_EFORMAT, "line 1, column 17: an escape that there is not"},
      {"{\"user\": \"\\u0000\"}", RS_EFORMAT, "line 1, column 17: U+0000 is in no text"},
      {"{\"user\": \"\\x\"}", RS_EFORMAT, "line 1, column 13: an escape that there is not"},
      {"{\"user\": \"a\nb\"}", RS_EFORMAT, "line 1, column 12: a control character within a string"},
      {"{\"user\": \"\xff\"}", RS_EFORMAT, "the text is not UTF-8"},
      {"{\"user\": \"a}", RS_EFORMAT, "line 1, column 13: the text ends within a string"},
      {"{\"user\": nil}", RS_EFORMAT, "line 1, column 10: a value is expected"},
      {"{\"exclude_seen\": 1}", RS_EARG, "exclude_seen: is a number, not true or false"},
      {"{\"exclude\": \"a\"}", RS_EARG, "exclude: is a string, not a list"},
      {"{\"exclude\": [\"a\", []]}", RS_EARG, "exclude[1]: is a list, not a string"},
      {"{\"exclude\": [1,2,3,4,5,6]}", RS_EARG, "exclude[5]: more than 5 ids"},
      {"{\"history\": [1,2,3,4,5]}", RS_EARG, "history[4]: more than 4 events"},
      {"{\"history\": [{\"time\": 1}]}", RS_EARG, "history[0].item: is missing"},
      {"{\"history\": [{\"item\": 1, \"at\": 2}]}", RS_EARG,
       "history[0].at: there is no such field; there are item, time, fields"},
      {"{\"history\": [{\"item\": 1, \"fields\": []}]}", RS_EARG, "history[0].fields: is a list, not an object"},
      {"{\"now\": \"soon\"}", RS_EARG, "now: is neither a date such as 2024-01-31T12:00 nor milliseconds"},
      {"{\"caps\": {\"a\": 0}}", RS_EARG, "caps.a: is 0; 1 or more is expected"},
      {"{\"caps\": {\"a\": 1, \"a\": 1}}", RS_EARG, "caps.a: stands there twice"},
      {"{\"diversity\": {}}", RS_EARG, "diversity.lambda: is missing"},
      {"{\"freshness\": {}}", RS_EARG, "freshness.half_life: is missing"},
      {"{\"diversity\": {\"lambda\": 0}}", RS_EARG, "diversity.lambda: is 0; it lies above 0, up to 1"},
      {"{\"freshness\": {\"half_life\": \"3y\"}}", RS_EARG,
       "freshness.half_life: is no duration such as \"3d\", \"90m\", or a number of ms"},
      {"{\"freshness\": {\"half_life\": 1, \"boost\": 1e400}}", RS_EARG, "freshness.boost: is a number out of range"},
      {"{\"filter\": []}", RS_EARG, "filter: is a list, not an object"},
      {"{\"users\": {}}", RS_EARG, "users: is an object, not a list"},
      {"{\"users\": [1,2,3,4]}", RS_EARG, "users: more than 3 users"},
      {"{\"users\": [\"a\"], \"user\": \"b\"}", RS_EARG,
       "users: 'user', 'fields' and 'history' cannot stand beside the list; they belong into its elements"},
      {"{\"users\": [\"a\", {]}", RS_EFORMAT, "line 1, column 18: a key in quotes is expected"},
      {"{\"a\tb\": 1}", RS_EFORMAT, "line 1, column 4: a control character within a string"},
      {"{\"colour\\u001b\": 1}", RS_EARG, NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rs_asked asked;
    rs_status status = read_text(cases[i].text, &asked);
    if (status != cases[i].status || (cases[i].message && strcmp(rs_message(), cases[i].message) != 0))
      fail_msg("%s: %s", cases[i].text, status == RS_OK ? "read" : rs_message());
    assert_null(strchr(rs_message(), 0x1B));
    assert_null(asked.requests);
  }
  read_text(NULL, NULL);
}

static void a_refused_request_tells_its_user(void **state) {
  (void)state;
  static const struct {
    const char *text, *user;
  } cases[] = {{"{\"user\": \"u\", \"k\": 0}", "u"},
               {"{\"k\": \"\\u00e4\", \"filter\": {\"a\": [1]}, \"user\": \"\\u00e4\"}", "\xC3\xA4"},
               {"{\"k\": 0, \"user\": -0}", "0"},
               {"{\"user\": true, \"k\": 0}", NULL},
               {"{\"k\": 0}", NULL},
               {"[]", NULL}};
  rs_asked asked;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(read_text(cases[i].text, &asked), RS_EARG);
    rs_span user = rs_json_in_refused(in);
    if (cases[i].user ? !user.text || !rs_span_is(user, cases[i].user) : !!user.text) fail_msg("%s", cases[i].text);
  }
  assert_int_equal(read_text("{\"users\": [{\"k\": 0, \"user\": \"\\u0061\"}, \"\\u0062\"]}", &asked), RS_OK);
  assert_true(asked.wrong[0] && rs_span_is(asked.requests[0].user, "a"));
  assert_string_equal(asked.wrong[0], "users[0].k: is 0; 1 to 50 items can be asked for");
  assert_true(!asked.wrong[1] && rs_span_is(asked.requests[1].user, "b"));
  assert_null(rs_json_in_refused(in).text);
  assert_true(rs_span_is(one("{\"user\": -0}")->user, "0"));
  read_text(NULL, NULL);
}

static void levels_are_counted(void **state) {
  (void)state;
  char text[600] = "{\"fields\": {\"a\": ";
  rs_asked asked;
  size_t n = strlen(text);
  memset(text + n, '[', 62);
  memset(text + n + 62, ']', 62);
  strcpy(text + n + 124, "}}");
  assert_int_equal(read_text(text, &asked), RS_OK);
  memset(text + n, '[', 100);
  assert_int_equal(read_text(text, &asked), RS_EFORMAT);
  assert_non_null(strstr(rs_message(), "more than 64 levels"));
  read_text(NULL, NULL);
}

static void nothing_is_allocated_once_a_reader_has_grown(void **state) {
  (void)state;
  static const char text[] = "{\"user\": \"\\u0061\", \"exclude\": [\"1\",\"2\"], \"history\": [\"3\"], \"caps\": {\"a\": 1}}";
  for (int i = 0; i < 3; i++) one(text);
  rs_alloc_fault(0);
  for (int i = 0; i < 10; i++) one(text);
  assert_int_equal(rs_alloc_refusals(), 0);
  rs_alloc_fault(-1);
  read_text(NULL, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_request_is_read_whole),
                                     cmocka_unit_test(what_is_absent_or_null_has_its_standard),
                                     cmocka_unit_test(several_users_share_what_stands_beside_them),
                                     cmocka_unit_test(a_standard_holds_for_every_request),
                                     cmocka_unit_test(what_is_wrong_is_told_with_its_place),
                                     cmocka_unit_test(a_refused_request_tells_its_user),
                                     cmocka_unit_test(levels_are_counted),
                                     cmocka_unit_test(nothing_is_allocated_once_a_reader_has_grown)};
  return cmocka_run_group_tests(tests, make, unmake);
}
