/* Rows: memory is used again, wrong fields are refused and leave nothing behind. */
#include <string.h>

#include "base/testing.h"
#include "frame/row.h"

static const char program[] =
    "{\"format\":\"recsys.encoder\",\"version\":1,\"tables\":[],\"sides\":{\"item\":{\"steps\":[],\"outputs\":[]},"
    "\"event\":{\"steps\":[{\"op\":\"count\",\"span\":10},{\"op\":\"stack\",\"input\":[0]}],"
    "\"outputs\":[{\"name\":\"event.n\",\"step\":1}]},"
    "\"user\":{\"steps\":[{\"op\":\"read\",\"column\":\"age\",\"type\":\"number\"},"
    "{\"op\":\"log\",\"input\":[0]},{\"op\":\"impute\",\"input\":[1],\"value\":-1},{\"op\":\"stack\",\"input\":[2]},"
    "{\"op\":\"read\",\"column\":\"city\",\"type\":\"string\"},{\"op\":\"hash\",\"input\":[4],\"buckets\":1000},"
    "{\"op\":\"read\",\"column\":\"tags\",\"type\":\"strings\"},{\"op\":\"hash\",\"input\":[6],\"buckets\":1000}],"
    "\"outputs\":[{\"name\":\"user.age\",\"step\":3},{\"name\":\"user.city\",\"step\":5},"
    "{\"name\":\"user.tags\",\"step\":7}]}}}";

static rs_encoder *parse(void) {
  rs_encoder *e;
  rs_tensors none = {0};
  if (rs_encoder_parse(&e, program, sizeof program - 1, &none) != RS_OK) fail_msg("%s", rs_message());
  return e;
}

static const rs_features *run(rs_row *row, const char *json) {
  const rs_features *out = NULL;
  json_t *fields = json_loads(json, 0, NULL);
  rs_status status = rs_row_fields(row, fields);
  json_decref(fields);
  if (status == RS_OK) status = rs_row_run(row, NULL, &out);
  return status == RS_OK ? out : NULL;
}

static int32_t city(const rs_features *f) { return rs_i32(&rs_features_output(f, "user.city")->values)[0]; }
static float age(const rs_features *f) { return rs_f32(&rs_features_output(f, "user.age")->values)[0]; }

static void numbers_and_strings_need_no_memory_again(void **state) {
  (void)state;
  rs_encoder *e = parse();
  rs_row *row;
  const rs_features *out;
  assert_int_equal(rs_row_new(&row, e, RS_USER), RS_OK);
  assert_int_equal(rs_row_columns(row), 3);
  assert_string_equal(rs_row_column(row, 1), "city");
  int32_t paris = city(run(row, "{\"city\":\"Paris\",\"age\":1,\"tags\":[\"a\"]}"));
  rs_alloc_fault(0);
  rs_row_clear(row);
  rs_status status = rs_row_text(row, 1, "Oslo", 4);
  if (status == RS_OK) status = rs_row_number(row, 0, 0);
  rs_alloc_fault(-1);
  assert_int_equal(status, RS_OK);
  assert_int_equal(rs_row_run(row, NULL, &out), RS_OK); /* tags are a list, and missing ones make a new one */
  assert_int_not_equal(city(out), paris);
  assert_true(age(out) == 0);
  assert_int_equal(city(run(row, "{\"city\":\"Paris\"}")), paris);
  assert_true(age(run(row, "{}")) == -1);
  rs_row_free(row);
  assert_int_equal(rs_row_new(&row, e, RS_EVENT), RS_OK);
  const int64_t zero = 0, two = 2, now = 20, times[] = {5, 15};
  const int32_t items[] = {0, 0};
  rs_events events = {.events = items, .n_events = 2, .begin = &zero, .end = &two, .times = times, .now = &now};
  assert_int_equal(rs_row_run(row, &events, &out), RS_OK);
  rs_alloc_fault(0);
  status = rs_row_run(row, &events, &out);
  rs_alloc_fault(-1);
  assert_int_equal(status, RS_OK);
  assert_true(rs_f32(&out->outputs[0].values)[0] == 1);
  rs_row_free(row);
  rs_encoder_free(e);
}

static void what_somebody_holds_is_not_written_over(void **state) {
  (void)state;
  rs_encoder *e = parse();
  rs_row *row;
  rs_features kept = {0};
  assert_int_equal(rs_row_new(&row, e, RS_USER), RS_OK);
  assert_int_equal(rs_features_share(&kept, run(row, "{\"city\":\"Paris\",\"age\":0,\"tags\":[\"a\",\"b\"]}")), RS_OK);
  int32_t paris = city(&kept);
  assert_int_not_equal(city(run(row, "{\"city\":\"Oslo\",\"age\":5}")), paris);
  assert_int_equal(city(&kept), paris);
  assert_true(age(&kept) == 0);
  assert_int_equal(rs_i32(&rs_features_output(&kept, "user.tags")->lengths)[0], 2);
  rs_features_free(&kept);
  rs_row_free(row);
  rs_encoder_free(e);
}

static void wrong_fields_are_named_and_forgotten(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"{\"age\":\"old\"}", "field 'age' is a string, not a number"},
      {"{\"age\":[1]}", "field 'age' is a list, not a number"},
      {"{\"city\":true}", "field 'city' is true, not a string or a number"},
      {"{\"city\":{}}", "field 'city' is an object, not a string or a number"},
      {"{\"tags\":5}", "field 'tags' is a number, not a list of strings"},
      {"{\"city\":\"Oslo\",\"tags\":[\"a\",1]}", "field 'tags' is a list, not a list of strings"},
      {"[1]", "the fields of a request are no object"},
  };
  rs_encoder *e = parse();
  rs_row *row;
  assert_int_equal(rs_row_new(&row, e, RS_USER), RS_OK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_null(run(row, cases[i][0]));
    assert_string_equal(rs_message(), cases[i][1]);
    const rs_features *out = run(row, "{}");
    assert_true(city(out) == 0 && age(out) == -1 && rs_i32(&out->outputs[2].lengths)[0] == 0);
  }
  rs_row_free(row);
  rs_encoder_free(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_and_strings_need_no_memory_again),
      cmocka_unit_test(what_somebody_holds_is_not_written_over),
      cmocka_unit_test(wrong_fields_are_named_and_forgotten),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
