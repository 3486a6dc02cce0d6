/* Encoders: each primitive's meaning, one row like many, and programs from strangers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "frame/encoder.h"

/* ---- material ---- */

static void add_tensor(rs_tensors *list, const char *name, rs_dtype dtype, int64_t n, const void *data) {
  rs_tensor t = {0};
  assert_int_equal(rs_tensor_new(&t, dtype, 1, &n), RS_OK);
  memcpy(rs_tensor_data(&t), data, rs_tensor_bytes(&t));
  assert_int_equal(rs_tensors_add(list, name, &t), RS_OK);
  rs_tensor_free(&t);
}

static void add_vectors(rs_tensors *list, const char *name, int64_t n, int64_t width) {
  rs_tensor t = {0};
  assert_int_equal(rs_tensor_new(&t, RS_F32, 2, (int64_t[]){n, width}), RS_OK);
  for (int64_t i = 0; i < n * width; i++) rs_f32(&t)[i] = (float)(i * i % 7) - 2.5F;
  assert_int_equal(rs_tensors_add(list, name, &t), RS_OK);
  rs_tensor_free(&t);
}

/* Words w0 .. w7, and edges. */
static rs_tensors make_tensors(void) {
  rs_tensors list = {0};
  add_tensor(&list, "table.words.bytes", RS_U8, 16, "w0w1w2w3w4w5w6w7");
  add_tensor(&list, "table.words.offsets", RS_I64, 9, (int64_t[]){0, 2, 4, 6, 8, 10, 12, 14, 16});
  add_tensor(&list, "table.words.counts", RS_I64, 9, (int64_t[]){3, 1, 1, 1, 1, 1, 1, 1, 1});
  add_tensor(&list, "values.words", RS_F64, 9, (double[]){-1, 0.5, 1, 2, 3, 4, 5, 6, 7});
  add_tensor(&list, "table.stop.bytes", RS_U8, 2, "w0");
  add_tensor(&list, "table.stop.offsets", RS_I64, 2, (int64_t[]){0, 2});
  add_tensor(&list, "idf.words", RS_F64, 8, (double[]){1, 2, 1.5, 3, 1, 1.25, 2, 4});
  add_tensor(&list, "weights.two", RS_F64, 2, (double[]){2, 0.5});
  add_vectors(&list, "vectors.words", 8, 3);
  add_tensor(&list, "edges.x", RS_F64, 3, (double[]){-1, 0, 2.5});
  return list;
}

/* Every primitive once and more. */
static const char program[] =
    "{\"format\":\"recsys.encoder\",\"version\":1,\"tables\":[\"words\",\"stop\"],"
    "\"filters\":[[{\"column\":\"kind\",\"values\":[\"read\",\"shared\"]}],"
    "[{\"column\":\"kind\",\"values\":[\"shared\"]},{\"column\":\"stars\",\"values\":[\"4\",\"0.5\"]}]],"
    "\"weight\":\"strength\",\"sides\":{"
    "\"item\":{\"steps\":["
    "{\"op\":\"read\",\"column\":\"word\",\"type\":\"string\"},"
    "{\"op\":\"lookup\",\"input\":[0],\"table\":\"words\"},"
    "{\"op\":\"read\",\"column\":\"list\",\"type\":\"strings\"},"
    "{\"op\":\"lookup\",\"input\":[2],\"table\":\"words\",\"unknown\":\"drop\"},"
    "{\"op\":\"lookup\",\"input\":[2],\"table\":\"words\",\"unknown\":\"keep\"},"
    "{\"op\":\"read\",\"column\":\"text\",\"type\":\"string\"},"
    "{\"op\":\"tokenise\",\"input\":[5],\"max\":3},"
    "{\"op\":\"lookup\",\"input\":[6],\"table\":\"words\",\"unknown\":\"drop\"},"
    "{\"op\":\"hash\",\"input\":[6],\"buckets\":13},"
    "{\"op\":\"split\",\"input\":[5],\"separator\":\" \"},"
    "{\"op\":\"lookup\",\"input\":[9],\"table\":\"words\"},"
    "{\"op\":\"prefix\",\"input\":[0],\"length\":1},"
    "{\"op\":\"hash\",\"input\":[11],\"buckets\":5},"
    "{\"op\":\"join\",\"input\":[0,11,5]},"
    "{\"op\":\"hash\",\"input\":[13],\"buckets\":97},"
    "{\"op\":\"pick\",\"input\":[1],\"values\":\"values.words\"},"
    "{\"op\":\"stack\",\"input\":[15]},"
    "{\"op\":\"tokenise\",\"input\":[5],\"max\":9,\"tokens\":\"sklearn\"},"
    "{\"op\":\"without\",\"input\":[17],\"table\":\"stop\"},"
    "{\"op\":\"ngrams\",\"input\":[18],\"low\":1,\"high\":2,\"level\":\"word\"},"
    "{\"op\":\"lookup\",\"input\":[19],\"table\":\"words\",\"unknown\":\"keep\"},"
    "{\"op\":\"project\",\"input\":[7,20],\"idf\":\"idf.words\",\"vectors\":\"vectors.words\","
    "\"weights\":\"weights.two\",\"sublinear\":true},"
    "{\"op\":\"ngrams\",\"input\":[18],\"low\":2,\"high\":3,\"level\":\"char\"},"
    "{\"op\":\"hash\",\"input\":[22],\"buckets\":31},"
    "{\"op\":\"vector\",\"input\":[1],\"vectors\":\"vectors.words\"}],"
    "\"outputs\":[{\"name\":\"item.word\",\"step\":1},{\"name\":\"item.known\",\"step\":3},"
    "{\"name\":\"item.all\",\"step\":4},{\"name\":\"item.tokens\",\"step\":7},{\"name\":\"item.hashes\",\"step\":8},"
    "{\"name\":\"item.split\",\"step\":10},{\"name\":\"item.prefix\",\"step\":12},"
    "{\"name\":\"item.crossed\",\"step\":14},{\"name\":\"item.value\",\"step\":16},"
    "{\"name\":\"item.point\",\"step\":21},{\"name\":\"item.grams\",\"step\":23},"
    "{\"name\":\"item.vector\",\"step\":24}]},"
    "\"user\":{\"steps\":["
    "{\"op\":\"read\",\"column\":\"x\",\"type\":\"number\"},"
    "{\"op\":\"log\",\"input\":[0]},"
    "{\"op\":\"affine\",\"input\":[1],\"scale\":\"0.5\",\"shift\":-0.25},"
    "{\"op\":\"impute\",\"input\":[2],\"value\":0},"
    "{\"op\":\"clamp\",\"input\":[3],\"low\":-1,\"high\":1.5},"
    "{\"op\":\"missing\",\"input\":[0]},"
    "{\"op\":\"stack\",\"input\":[4,5]},"
    "{\"op\":\"bucketize\",\"input\":[0],\"edges\":\"edges.x\"},"
    "{\"op\":\"code\",\"input\":[0],\"n\":4},"
    "{\"op\":\"read\",\"column\":\"x\",\"type\":\"string\"},"
    "{\"op\":\"hash\",\"input\":[9],\"buckets\":1000}],"
    "\"outputs\":[{\"name\":\"user.number\",\"step\":6},{\"name\":\"user.bucket\",\"step\":7},"
    "{\"name\":\"user.code\",\"step\":8},{\"name\":\"user.hash\",\"step\":10}]},"
    "\"event\":{\"steps\":["
    "{\"op\":\"read\",\"column\":\"time\",\"type\":\"number\"},"
    "{\"op\":\"time_part\",\"input\":[0],\"part\":\"hour\",\"offset\":0},"
    "{\"op\":\"code\",\"input\":[1],\"n\":24},"
    "{\"op\":\"fourier\",\"input\":[0],\"period\":1209600000,\"harmonics\":3},"
    "{\"op\":\"window\",\"of\":\"item.word\",\"length\":3,\"unknown\":\"drop\"},"
    "{\"op\":\"window\",\"of\":\"item.word\",\"length\":3,\"unknown\":\"keep\"},"
    "{\"op\":\"window\",\"of\":\"item.all\",\"length\":2,\"unknown\":\"keep\",\"each\":2},"
    "{\"op\":\"window\",\"of\":\"item.word\",\"length\":1,\"unknown\":\"drop\"},"
    "{\"op\":\"window_weights\",\"of\":\"item.word\",\"length\":3,\"unknown\":\"drop\"},"
    "{\"op\":\"window_gaps\",\"of\":\"item.all\",\"length\":2,\"edges\":\"edges.x\"},"
    "{\"op\":\"count\",\"span\":1000},"
    "{\"op\":\"count\",\"span\":5000,\"filter\":0},"
    "{\"op\":\"count\",\"span\":700,\"filter\":0},"
    "{\"op\":\"count\",\"span\":5000,\"filter\":1},"
    "{\"op\":\"ratio\",\"input\":[11,13],\"prior\":0.25,\"weight\":2},"
    "{\"op\":\"difference\",\"input\":[10,12]},"
    "{\"op\":\"stack\",\"input\":[10,11,12,13,14,15]},"
    "{\"op\":\"profile\",\"of\":\"item.all\",\"span\":2000,\"filter\":0,\"scale\":\"log\"}],"
    "\"outputs\":[{\"name\":\"event.hour\",\"step\":2},{\"name\":\"event.waves\",\"step\":3},"
    "{\"name\":\"event.last3\",\"step\":4},{\"name\":\"event.all3\",\"step\":5},{\"name\":\"event.lists\",\"step\":6},"
    "{\"name\":\"event.last\",\"step\":7},{\"name\":\"event.weights\",\"step\":8},{\"name\":\"event.gaps\",\"step\":9},"
    "{\"name\":\"event.counts\",\"step\":16},{\"name\":\"event.profile\",\"step\":17}]}}}";

static rs_encoder *parse(void) {
  rs_tensors tensors = make_tensors();
  rs_encoder *e;
  rs_status status = rs_encoder_parse(&e, program, sizeof program - 1, &tensors);
  if (status != RS_OK) fail_msg("%s", rs_message());
  rs_tensors_free(&tensors);
  return e;
}

static rs_column column(const char *name, rs_column_type type, int64_t n) {
  rs_dtype dtype = type == RS_NUMBER ? RS_F64 : type == RS_TIME ? RS_I64 : RS_I32;
  rs_column c = {.name = rs_strdup(name), .type = type};
  assert_int_equal(rs_tensor_zeros(&c.values, dtype, 1, &n), RS_OK);
  if (type == RS_STRING || type == RS_LIST) assert_int_equal(rs_dictionary_new(&c.dictionary), RS_OK);
  return c;
}

static void add(rs_frame *f, rs_column *c) { assert_int_equal(rs_frame_add(f, c), RS_OK); }

static int32_t intern(rs_column *c, const char *text) {
  int32_t code = 0;
  if (*text) assert_int_equal(rs_dictionary_add(c->dictionary, text, strlen(text), &code), RS_OK);
  return code;
}

/* Random words, some unknown to the vocabulary, some missing; lists and texts of them. */
static rs_frame random_items(int64_t n) {
  rs_frame f = {0};
  rs_stream s = rs_stream_at(3, RS_RNG_USER, 0, 0);
  uint64_t at = 0;
  char text[64];
  rs_column word = column("word", RS_STRING, n), texts = column("text", RS_STRING, n);
  rs_column list = column("list", RS_LIST, 4 * n);
  assert_int_equal(rs_tensor_zeros(&list.starts, RS_I64, 1, &n), RS_OK);
  assert_int_equal(rs_tensor_zeros(&list.lengths, RS_I32, 1, &n), RS_OK);
  for (int64_t i = 0; i < n; i++) {
    snprintf(text, sizeof text, "w%d", (int)rs_stream_below(&s, at++, 12));
    rs_i32(&word.values)[i] = rs_stream_below(&s, at++, 5) ? intern(&word, text) : 0;
    int length = (int)rs_stream_below(&s, at++, 5);
    rs_i64(&list.starts)[i] = 4 * i;
    rs_i32(&list.lengths)[i] = length;
    for (int j = 0; j < 4; j++) {
      snprintf(text, sizeof text, "w%d", (int)rs_stream_below(&s, at++, 12));
      rs_i32(&list.values)[4 * i + j] = intern(&list, text);
    }
    snprintf(text, sizeof text, "W%d, w%d w%dé w%d", (int)rs_stream_below(&s, at, 12),
             (int)rs_stream_below(&s, at + 1, 12), (int)rs_stream_below(&s, at + 2, 12),
             (int)rs_stream_below(&s, at + 3, 12));
    at += 4;
    rs_i32(&texts.values)[i] = rs_stream_below(&s, at++, 9) ? intern(&texts, text) : 0;
  }
  add(&f, &word);
  add(&f, &texts);
  add(&f, &list);
  return f;
}

static rs_frame random_users(int64_t n) {
  static const double odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1, 2, 3, 4, 2.5, -1, 1e300, -1e300, 1e-300};
  rs_frame f = {0};
  rs_column x = column("x", RS_NUMBER, n);
  rs_stream s = rs_stream_at(4, RS_RNG_USER, 0, 0);
  for (int64_t i = 0; i < n; i++)
    rs_f64(&x.values)[i] = i % 3 ? 3 * rs_stream_normal(&s, (uint64_t)i) : odd[i / 3 % 14];
  add(&f, &x);
  return f;
}

/* Row 'row' of a frame as a frame of its own. */
static rs_frame row_of(const rs_frame *f, int64_t row) {
  rs_frame one = {.rows = 1};
  for (int i = 0; i < f->n_columns; i++) {
    rs_column c = {0};
    assert_int_equal(rs_column_take(&c, &f->columns[i], &row, 1), RS_OK);
    add(&one, &c);
  }
  return one;
}

static void assert_row_equal(const rs_output *many, int64_t row, const rs_output *one) {
  assert_int_equal(many->kind, one->kind);
  if (many->kind == RS_CODES) assert_int_equal(rs_i32(&many->values)[row], rs_i32(&one->values)[0]);
  if (many->kind == RS_NUMBERS) {
    size_t width = (size_t)many->values.size[1];
    assert_memory_equal(rs_f32(&many->values) + (size_t)row * width, rs_f32(&one->values), width * sizeof(float));
  }
  if (many->kind == RS_CODE_LIST) {
    int32_t length = rs_i32(&many->lengths)[row];
    assert_int_equal(length, rs_i32(&one->lengths)[0]);
    if (length)
      assert_memory_equal(rs_i32(&many->values) + rs_i64(&many->starts)[row],
                          rs_i32(&one->values) + rs_i64(&one->starts)[0], (size_t)length * sizeof(int32_t));
  }
}

static void assert_rows_equal(const rs_features *many, int64_t row, const rs_features *one) {
  assert_int_equal(many->n_outputs, one->n_outputs);
  assert_int_equal(one->rows, 1);
  for (int i = 0; i < many->n_outputs; i++) assert_row_equal(&many->outputs[i], row, &one->outputs[i]);
}

static rs_features run(const rs_encoder *e, rs_side side, const rs_frame *f, const rs_events *events) {
  rs_features out = {0};
  rs_status status = rs_encoder_run(e, side, f, events, &out);
  if (status != RS_OK) fail_msg("%s", rs_message());
  assert_int_equal(out.rows, f->rows);
  return out;
}

/* ---- one row like many ---- */

static void check_side(const rs_encoder *e, rs_side side, rs_frame frame) {
  rs_features many = run(e, side, &frame, NULL);
  for (int64_t i = 0; i<frame.rows; i += frame.rows> 5000 ? 11 : 1) {
    rs_frame one = row_of(&frame, i);
    rs_features alone = run(e, side, &one, NULL);
    assert_rows_equal(&many, i, &alone);
    rs_features_free(&alone);
    rs_frame_free(&one);
  }
  rs_features_free(&many);
  rs_frame_free(&frame);
}

static void a_row_alone_has_the_bits_it_has_among_many(void **state) {
  (void)state;
  rs_encoder *e = parse();
  check_side(e, RS_ITEM, random_items(2000));
  check_side(e, RS_USER, random_users(20000)); /* enough for more than one chunk */
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void an_event_alone_has_the_bits_it_has_among_many(void **state) {
  (void)state;
  enum { N = 1000, EVENTS = 3000, ITEMS = 50 };
  rs_encoder *e = parse();
  rs_frame items = random_items(ITEMS), moments = {0};
  rs_features catalogue = run(e, RS_ITEM, &items, NULL);
  rs_stream s = rs_stream_at(6, RS_RNG_USER, 0, 0);
  static int32_t events[EVENTS], marks[EVENTS];
  static int64_t times[EVENTS], now[N];
  static float weights[EVENTS];
  static int64_t begin[N], end[N];
  for (int i = 0; i < EVENTS; i++) events[i] = (int32_t)rs_stream_below(&s, (uint64_t)i, ITEMS + 1) - 1;
  rs_column time = column("time", RS_TIME, N);
  for (int i = 0; i < EVENTS; i++) {
    times[i] = i % 100 < 3 ? RS_TIME_MISSING : 1700000000000 + i % 100 * 100 + i % 7;
    weights[i] = (float)i / 8;
    marks[i] = i % 5;
  }
  for (int i = 0; i < N; i++) { /* users of a hundred events each */
    begin[i] = 100 * (int64_t)rs_stream_below(&s, (uint64_t)(EVENTS + i), EVENTS / 100);
    end[i] = begin[i] + i % 90;
    now[i] = i % 50 ? 1700000000000 + i % 90 * 100 + i % 3 : RS_TIME_MISSING;
    rs_i64(&time.values)[i] = now[i];
  }
  add(&moments, &time);
  rs_features many = run(e, RS_EVENT, &moments,
                         &(rs_events){&catalogue, events, EVENTS, begin, end, times, weights, marks, now});
  for (int i = 0; i < N; i++) { /* alone, as a request has it: the user's own events only */
    rs_frame one = row_of(&moments, i);
    int64_t zero = 0, n = end[i] - begin[i];
    rs_features alone = run(e, RS_EVENT, &one,
                            &(rs_events){&catalogue, events + begin[i], n, &zero, &n, times + begin[i],
                                         weights + begin[i], marks + begin[i], &now[i]});
    assert_rows_equal(&many, i, &alone);
    rs_features_free(&alone);
    rs_frame_free(&one);
  }
  rs_features_free(&many);
  rs_features_free(&catalogue);
  rs_frame_free(&moments);
  rs_frame_free(&items);
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

/* ---- what the primitives mean ---- */

static void numbers_are_what_the_steps_say(void **state) {
  (void)state;
  rs_encoder *e = parse();
  const double x[] = {3, -0.5, NAN, 1e9, 2.5, 0};
  const int buckets[] = {4, 2, 0, 4, 4, 3}, codes[] = {4, 0, 0, 0, 0, 1};
  rs_frame f = {0};
  rs_column c = column("x", RS_NUMBER, 6);
  memcpy(rs_f64(&c.values), x, sizeof x);
  add(&f, &c);
  rs_features out = run(e, RS_USER, &f, NULL);
  const float *numbers = rs_f32(&rs_features_output(&out, "user.number")->values);
  for (int i = 0; i < 6; i++) {
    double y = isnan(x[i]) ? 0 : 0.5 * copysign(log1p(fabs(x[i])), x[i]) - 0.25;
    assert_true(numbers[2 * i] == (float)(y > 1.5 ? 1.5 : y < -1 ? -1 : y));
    assert_true(numbers[2 * i + 1] == (isnan(x[i]) ? 1 : 0));
    assert_int_equal(rs_i32(&rs_features_output(&out, "user.bucket")->values)[i], buckets[i]);
    assert_int_equal(rs_i32(&rs_features_output(&out, "user.code")->values)[i], codes[i]);
  }
  assert_int_equal(rs_i32(&rs_features_output(&out, "user.hash")->values)[2], 0);
  rs_features_free(&out);
  rs_frame_free(&f);
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void absent_columns_are_missing_and_wrong_ones_refused(void **state) {
  (void)state;
  rs_encoder *e = parse();
  rs_frame none = {.rows = 2}, wrong = {0};
  rs_features out = run(e, RS_ITEM, &none, NULL);
  assert_int_equal(rs_i32(&rs_features_output(&out, "item.word")->values)[1], 0);
  assert_int_equal(rs_i32(&rs_features_output(&out, "item.known")->lengths)[1], 0);
  rs_features_free(&out);
  out = run(e, RS_USER, &none, NULL);
  assert_true(rs_f32(&rs_features_output(&out, "user.number")->values)[3] == 1);
  rs_features_free(&out);
  out = run(e, RS_EVENT, &none, NULL);
  assert_true(rs_f32(&rs_features_output(&out, "event.waves")->values)[0] == 0);
  rs_features_free(&out);
  rs_column x = column("x", RS_LIST, 1);
  int64_t one = 1;
  assert_int_equal(rs_tensor_zeros(&x.starts, RS_I64, 1, &one), RS_OK);
  assert_int_equal(rs_tensor_zeros(&x.lengths, RS_I32, 1, &one), RS_OK);
  add(&wrong, &x);
  assert_int_equal(rs_encoder_run(e, RS_USER, &wrong, NULL, &out), RS_EARG);
  assert_non_null(strstr(rs_message(), "column 'x' is a list column"));
  rs_frame_free(&wrong);
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

/* cos and sin of 2 pi k t / period, by long double, at dates where 2 pi k t has lost its fraction in float32. */
static void waves_are_exact_at_any_date(void **state) {
  (void)state;
  rs_encoder *e = parse();
  const int64_t times[] = {0, 1, 1700000000123, -86400000, 253402300799999};
  rs_frame f = {0};
  rs_column c = column("time", RS_TIME, 5);
  memcpy(rs_i64(&c.values), times, sizeof times);
  add(&f, &c);
  rs_features out = run(e, RS_EVENT, &f, NULL);
  const float *waves = rs_f32(&rs_features_output(&out, "event.waves")->values);
  for (int i = 0; i < 5; i++)
    for (int k = 1; k <= 3; k++) {
      long double angle =
          2 * 3.14159265358979323846264338327950288L * (long double)(k * (times[i] % 1209600000)) / 1209600000;
      assert_true(fabsl((long double)waves[6 * i + 2 * k - 2] - cosl(angle)) < 6e-8L); /* half a unit of float32 at 1 */
      assert_true(fabsl((long double)waves[6 * i + 2 * k - 1] - sinl(angle)) < 6e-8L);
    }
  assert_int_equal(rs_i32(&rs_features_output(&out, "event.hour")->values)[2], 1 + 22); /* 2023-11-14 22:13:20 */
  assert_int_equal(rs_i32(&rs_features_output(&out, "event.hour")->values)[3], 1);
  rs_features_free(&out);
  rs_frame_free(&f);
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void parts_of_a_date_are_those_of_the_calendar(void **state) {
  (void)state;
  static const struct {
    int64_t ms;
    int weekday, month_day, month, year_day;
  } dates[] = {
      {0, 3, 0, 0, 0},                 /* Thursday 1970-01-01 */
      {951782400000, 1, 28, 1, 59},    /* Tuesday 2000-02-29 */
      {951868800000, 2, 0, 2, 60},     /* Wednesday 2000-03-01 */
      {-1, 2, 30, 11, 364},            /* Wednesday 1969-12-31 */
      {1735603200000, 1, 30, 11, 365}, /* Tuesday 2024-12-31 */
      {4107542400000, 0, 0, 2, 59},    /* Monday 2100-03-01, no leap year */
  };
  static const char *const parts[] = {"weekday", "month_day", "month", "year_day"};
  for (int part = 0; part < 4; part++) {
    char text[1024];
    int bytes =
        snprintf(text, sizeof text,
                 "{\"format\":\"recsys.encoder\",\"version\":1,\"tables\":[],\"sides\":{\"item\":{\"steps\":[],"
                 "\"outputs\":[]},\"user\":{\"steps\":[],\"outputs\":[]},\"event\":{\"steps\":[{\"op\":\"read\","
                 "\"column\":\"time\",\"type\":\"number\"},{\"op\":\"time_part\",\"input\":[0],\"part\":\"%s\","
                 "\"offset\":0},{\"op\":\"code\",\"input\":[1],\"n\":366}],\"outputs\":[{\"name\":\"event.part\","
                 "\"step\":2}]}}}",
                 parts[part]);
    rs_encoder *e;
    rs_frame f = {0};
    rs_column c = column("time", RS_TIME, 6);
    assert_int_equal(rs_encoder_parse(&e, text, (size_t)bytes, &(rs_tensors){0}), RS_OK);
    for (int i = 0; i < 6; i++) rs_i64(&c.values)[i] = dates[i].ms;
    add(&f, &c);
    rs_features out = run(e, RS_EVENT, &f, NULL);
    for (int i = 0; i < 6; i++) {
      int expected[] = {dates[i].weekday, dates[i].month_day, dates[i].month, dates[i].year_day};
      assert_int_equal(rs_i32(&out.outputs[0].values)[i], 1 + expected[part]);
    }
    rs_features_free(&out);
    rs_frame_free(&f);
    rs_encoder_free(e);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void windows_hold_the_last_events(void **state) {
  (void)state;
  rs_encoder *e = parse();
  rs_frame items = {0}, moment = {.rows = 1};
  rs_column word = column("word", RS_STRING, 4);
  const char *const words[] = {"w0", "new", "w2", "w3"};
  for (int i = 0; i < 4; i++) rs_i32(&word.values)[i] = intern(&word, words[i]);
  add(&items, &word);
  rs_features catalogue = run(e, RS_ITEM, &items, NULL);
  const int32_t events[] = {0, 2, 1, -1, 3};
  int64_t begin = 0, end = 5;
  const int64_t times[] = {10, 11, 11, 14, 15}, now = 1010;
  const float weights[] = {1, 2, 3, 4, 5};
  const int32_t marks[] = {1, 3, 0, 1, 3};
  rs_features out =
      run(e, RS_EVENT, &moment, &(rs_events){&catalogue, events, 5, &begin, &end, times, weights, marks, &now});
  const rs_output *known = rs_features_output(&out, "event.last3"), *all = rs_features_output(&out, "event.all3");
  const rs_output *last = rs_features_output(&out, "event.last");
  assert_int_equal(rs_i32(&known->lengths)[0], 1); /* of new, -1, w3 */
  assert_int_equal(rs_i32(&known->values)[rs_i64(&known->starts)[0]], 4);
  assert_int_equal(rs_i32(&all->lengths)[0], 3);
  assert_memory_equal(rs_i32(&all->values) + rs_i64(&all->starts)[0], ((int32_t[]){4, 0, 0}), 12); /* newest first */
  assert_int_equal(rs_i32(&last->lengths)[0], 1);
  assert_ptr_equal(rs_i32(&last->values), rs_i32(&known->values)); /* windows of one output share its codes */
  const rs_output *weight = rs_features_output(&out, "event.weights");
  assert_int_equal(rs_i32(&weight->lengths)[0], 1); /* of w3 alone, as the codes */
  assert_true(rs_f32(&weight->values)[rs_i64(&weight->starts)[0]] == 5);
  const float *counts = rs_f32(&rs_features_output(&out, "event.counts")->values);
  const float expected[] = {5, 4, 0, 2, 4.5f / 4, 5}; /* [now - span, now); the ratio (4 + 2 / 4) / (2 + 2) */
  assert_memory_equal(counts, expected, sizeof expected);
  rs_features_free(&out);
  rs_events beyond = {.items = &catalogue, .events = (int32_t[]){4}, .n_events = 1, .begin = &begin};
  beyond.end = (int64_t[]){1};
  assert_int_equal(rs_encoder_run(e, RS_EVENT, &moment, &beyond, &out), RS_ERANGE);
  rs_events short_of = {.items = &catalogue, .events = events, .n_events = 4, .begin = &begin, .end = &end};
  assert_int_equal(rs_encoder_run(e, RS_EVENT, &moment, &short_of, &out), RS_ERANGE);
  rs_features_free(&catalogue);
  rs_frame_free(&items);
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void gaps_and_profiles_read_each_event_once(void **state) {
  (void)state;
  rs_encoder *e = parse();
  rs_frame items = {0}, moment = {.rows = 1};
  rs_column list = column("list", RS_LIST, 3);
  assert_int_equal(rs_tensor_zeros(&list.starts, RS_I64, 1, (int64_t[]){2}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&list.lengths, RS_I32, 1, (int64_t[]){2}), RS_OK);
  const char *const words[] = {"w0", "w1", "w0"}; /* item 0: w0 w1; item 1: w0 */
  for (int i = 0; i < 3; i++) rs_i32(&list.values)[i] = intern(&list, words[i]);
  rs_i32(&list.lengths)[0] = 2, rs_i32(&list.lengths)[1] = 1, rs_i64(&list.starts)[1] = 2;
  add(&items, &list);
  rs_features catalogue = run(e, RS_ITEM, &items, NULL);
  const int32_t events[] = {0, 1, 0}, marks[] = {1, 1, 0};
  const int64_t begin = 0, end = 3, times[] = {100, 101, 105}, now = 2101;
  rs_features out =
      run(e, RS_EVENT, &moment, &(rs_events){&catalogue, events, 3, &begin, &end, times, NULL, marks, &now});
  const rs_output *gaps = rs_features_output(&out, "event.gaps");
  assert_int_equal(rs_i32(&gaps->lengths)[0], 3); /* two codes of the newest event, one of the one before it */
  const int32_t *codes = rs_i32(&gaps->values) + rs_i64(&gaps->starts)[0];
  assert_memory_equal(codes, ((int32_t[]){4, 4, 3}), 12); /* 4 ms lie above 2.5, 1 ms above 0 */
  const float *profile = rs_f32(&rs_features_output(&out, "event.profile")->values);
  assert_true(profile[1] == (float)log1p(1.0) && profile[2] == 0 && profile[0] == 0); /* the second event alone */
  rs_features_free(&out);
  rs_features_free(&catalogue);
  rs_frame_free(&items);
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void marks_say_which_filters_an_event_passes(void **state) {
  (void)state;
  rs_encoder *e = parse();
  rs_frame f = {0};
  rs_tensor marks = {0};
  rs_column kind = column("kind", RS_STRING, 4), stars = column("stars", RS_NUMBER, 4);
  const char *const kinds[] = {"read", "shared", "", "shared"};
  const double numbers[] = {4, 4, 4, 3};
  const char *const json[] = {"{\"kind\":\"read\",\"stars\":4}", "{\"kind\":\"shared\",\"stars\":4,\"strength\":0.5}",
                              "{\"stars\":4}", "{\"kind\":\"shared\",\"stars\":\"3\"}"};
  for (int i = 0; i < 4; i++) rs_i32(&kind.values)[i] = intern(&kind, kinds[i]), rs_f64(&stars.values)[i] = numbers[i];
  add(&f, &kind);
  add(&f, &stars);
  assert_int_equal(rs_encoder_marks(e, &f, &marks), RS_OK);
  assert_memory_equal(rs_i32(&marks), ((int32_t[]){1, 3, 0, 1}), 16);
  for (int i = 0; i < 4; i++) { /* one posted event has the same bits */
    json_t *fields = json_loads(json[i], 0, NULL);
    rs_event event = {0};
    assert_int_equal(rs_encoder_event(e, fields, &event), RS_OK);
    assert_int_equal(event.marks, rs_i32(&marks)[i]);
    assert_true(event.weight == (i == 1 ? 0.5f : 1));
    json_decref(fields);
  }
  json_t *wrong = json_loads("{\"strength\":\"much\"}", 0, NULL);
  assert_int_equal(rs_encoder_event(e, wrong, &(rs_event){0}), RS_EARG);
  assert_string_equal(rs_message(), "field 'strength' of the event is not a number");
  json_decref(wrong);
  rs_keep keep = rs_encoder_keep(e);
  assert_int_equal(keep.events, 3);
  assert_int_equal(keep.span, 5000);
  rs_tensor_free(&marks);
  rs_frame_free(&f);
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void outputs_tell_their_tables_and_sizes(void **state) {
  (void)state;
  rs_encoder *e = parse();
  assert_int_equal(rs_encoder_outputs(e, RS_EVENT), 10);
  rs_output_info hour = rs_encoder_output(e, RS_EVENT, 0), waves = rs_encoder_output(e, RS_EVENT, 1);
  rs_output_info last3 = rs_encoder_output(e, RS_EVENT, 2), hashes = rs_encoder_output(e, RS_ITEM, 4);
  assert_int_equal(hour.rows, 25);
  assert_int_equal(waves.width, 6);
  assert_int_equal(waves.kind, RS_NUMBERS);
  assert_string_equal(last3.table, "words");
  assert_int_equal(last3.rows, 9);
  assert_int_equal(hashes.rows, 14);
  rs_encoder_free(e);
}

/* ---- requests ---- */

static rs_status request(const rs_encoder *e, rs_side side, const char *json, rs_features *out) {
  json_error_t error;
  rs_frame f = {0};
  json_t *fields = json_loads(json, 0, &error);
  assert_non_null(fields);
  rs_status status = rs_encoder_request(e, side, fields, &f);
  if (status == RS_OK) status = rs_encoder_run(e, side, &f, NULL, out);
  rs_frame_free(&f);
  json_decref(fields);
  return status;
}

static void requests_are_frames_of_one_row(void **state) {
  (void)state;
  rs_encoder *e = parse();
  rs_features out = {0};
  assert_int_equal(
      request(e, RS_ITEM, "{\"word\":\"w3\",\"list\":[\"w1\",\"\",\"zz\"],\"other\":{},\"text\":null}", &out), RS_OK);
  assert_int_equal(rs_i32(&rs_features_output(&out, "item.word")->values)[0], 4);
  assert_int_equal(rs_i32(&rs_features_output(&out, "item.all")->lengths)[0], 2);
  assert_int_equal(rs_i32(&rs_features_output(&out, "item.known")->lengths)[0], 1);
  assert_int_equal(rs_i32(&rs_features_output(&out, "item.tokens")->lengths)[0], 0);
  rs_features_free(&out);
  assert_int_equal(request(e, RS_USER, "{\"x\":\"3\"}", &out), RS_EARG);
  assert_string_equal(rs_message(), "field 'x' is a string, not a number");
  assert_int_equal(request(e, RS_ITEM, "{\"list\":[1]}", &out), RS_EARG);
  assert_int_equal(request(e, RS_ITEM, "{\"word\":true}", &out), RS_EARG);
  assert_int_equal(request(e, RS_ITEM, "[]", &out), RS_EARG);
  rs_encoder_free(e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

/* ---- programs from strangers ---- */

/* Parse; a program that parses must also run. */
static rs_status survive(const char *text, size_t bytes, const rs_tensors *tensors, const rs_frame *items) {
  rs_encoder *e;
  rs_features out = {0};
  rs_status status = rs_encoder_parse(&e, text, bytes, tensors);
  if (status == RS_OK) {
    rs_encoder_run(e, RS_ITEM, items, NULL, &out);
    rs_features_free(&out);
    rs_encoder_run(e, RS_USER, items, NULL, &out);
    rs_features_free(&out);
    rs_encoder_run(e, RS_EVENT, items, NULL, &out);
    rs_features_free(&out);
    rs_encoder_free(e);
  }
  return status;
}

static void damaged_programs_are_refused_or_run(void **state) {
  (void)state;
  rs_tensors tensors = make_tensors();
  rs_frame items = random_items(5);
  int64_t before = rs_alloc_blocks();
  rs_stream s = rs_stream_at(9, RS_RNG_USER, 0, 0);
  for (size_t n = 0; n < sizeof program - 1; n++) assert_int_equal(survive(program, n, &tensors, &items), RS_EFORMAT);
  static const char alphabet[] = "0123456789\"{}[]:,-.eabopz \\";
  for (uint64_t i = 0; i < 5000; i++) {
    char copy[sizeof program];
    memcpy(copy, program, sizeof program);
    for (uint64_t j = 0; j <= rs_stream_below(&s, 9 * i, 3); j++) {
      char c = alphabet[rs_stream_below(&s, 9 * i + 2 * j + 1, sizeof alphabet - 1)];
      copy[rs_stream_below(&s, 9 * i + 2 * j + 2, sizeof program - 1)] = c;
    }
    survive(copy, sizeof program - 1, &tensors, &items);
  }
  assert_int_equal(rs_alloc_blocks(), before);
  rs_frame_free(&items);
  rs_tensors_free(&tensors);
  assert_int_equal(rs_alloc_blocks(), 0);
}

/* The program with one piece of text replaced. */
static void refused_with(const char *from, const char *to, const char *message) {
  char text[sizeof program + 200];
  const char *at = strstr(program, from);
  assert_non_null(at);
  int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - program), program, to, at + strlen(from));
  rs_tensors tensors = make_tensors();
  rs_encoder *e;
  assert_int_equal(rs_encoder_parse(&e, text, (size_t)n, &tensors), RS_EFORMAT);
  if (!strstr(rs_message(), message)) fail_msg("'%s' does not say '%s'", rs_message(), message);
  rs_tensors_free(&tensors);
}

static void refusals_say_where_and_why(void **state) {
  (void)state;
  refused_with("\"version\":1", "\"version\":2", "version is not 1");
  refused_with("\"op\":\"log\"", "\"op\":\"lag\"", "user side, step 1: there is no primitive 'lag'");
  refused_with("\"op\":\"log\",\"input\":[0]", "\"op\":\"log\",\"input\":[1]", "input 0 is no earlier step");
  refused_with("\"op\":\"log\",\"input\":[0]", "\"op\":\"log\",\"input\":[-1]", "input 0 is no earlier step");
  refused_with("\"op\":\"log\",\"input\":[0]", "\"op\":\"log\",\"input\":[0,0]", "log takes one, not 2 inputs");
  refused_with("\"op\":\"log\",\"input\":[0]", "\"op\":\"log\"", "log takes one, not 0 inputs");
  refused_with("\"op\":\"affine\",\"input\":[1]", "\"op\":\"split\",\"separator\":\",\",\"input\":[1]",
               "step 1 (log) gives nothing that split takes");
  refused_with("\"scale\":\"0.5\"", "\"scale\":\"0.5x\"", "scale is not a finite number");
  refused_with("\"scale\":\"0.5\"", "\"scale\":\"inf\"", "scale is not a finite number");
  refused_with("\"table\":\"words\"", "\"table\":\"wards\"", "there is no table 'wards'");
  refused_with("\"edges\":\"edges.x\"", "\"edges\":\"edges.y\"", "there is no tensor 'edges.y'");
  refused_with("\"edges\":\"edges.x\"", "\"edges\":\"table.words.bytes\"", "not a vector of f64");
  refused_with("\"harmonics\":3", "\"harmonics\":1000000", "harmonics is not an integer from 1 to 256");
  refused_with("\"of\":\"item.word\"", "\"of\":\"item.none\"", "not an item output of codes");
  refused_with("\"name\":\"user.code\"", "\"name\":\"item.code\"", "'item.code' is no name on this side");
  refused_with("\"name\":\"user.code\"", "\"name\":\"user.bucket\"", "occurs twice");
  refused_with("user.code\",\"step\":8}", "user.code\",\"step\":4}", "neither codes nor a list nor a matrix");
  refused_with("user.code\",\"step\":8}", "user.code\",\"step\":99}", "step is not an integer from 0 to 10");
  refused_with("\"tables\":[\"words\",", "\"tables\":[\"words\",\"words\",", "occurs twice");
  refused_with("\"tables\":[\"words\",", "\"tables\":[\"more\",", "there is no tensor 'table.more.bytes'");
  refused_with("\"tokens\":\"sklearn\"", "\"tokens\":\"letters\"", "tokens is 'letters', not words or sklearn");
  refused_with("\"level\":\"char\"", "\"level\":\"byte\"", "level is 'byte', not word or char");
  refused_with("\"low\":1,\"high\":2", "\"low\":3,\"high\":2", "high is not an integer from 3 to 16");
  refused_with("\"table\":\"stop\"", "\"table\":\"step\"", "there is no table 'step'");
  refused_with("\"idf\":\"idf.words\"", "\"idf\":\"vectors.words\"", "idf are f32 [8, 3], not f64 of 1 dimensions");
  refused_with("\"idf\":\"idf.words\"", "\"idf\":\"weights.two\"", "vectors are [8, 3] for 2 words");
  refused_with("\"weights\":\"weights.two\"", "\"weights\":\"idf.words\"", "8 weights of 2 texts");
  refused_with("\"input\":[7,20]", "\"input\":[7,8]", "input 1 has codes below 14 for 8 words");
  refused_with("\"input\":[7,20]", "\"input\":[7,1]", "gives nothing that project takes");
  refused_with("\"op\":\"vector\",\"input\":[1]", "\"op\":\"vector\",\"input\":[12]", "vectors are [8, 3] for 5 codes");
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void parsing_and_running_survive_refused_memory(void **state) {
  (void)state;
  rs_tensors tensors = make_tensors();
  rs_frame items = random_items(5);
  int64_t before = rs_alloc_blocks();
  for (int64_t n = 0;; n++) {
    rs_encoder *e = NULL;
    rs_features out = {0};
    rs_alloc_fault(n);
    rs_status status = rs_encoder_parse(&e, program, sizeof program - 1, &tensors);
    if (status == RS_OK) status = rs_encoder_run(e, RS_ITEM, &items, NULL, &out);
    rs_alloc_fault(-1);
    rs_features_free(&out);
    rs_encoder_free(e);
    assert_int_equal(rs_alloc_blocks(), before);
    if (status == RS_OK) break;
  }
  rs_frame_free(&items);
  rs_tensors_free(&tensors);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_row_alone_has_the_bits_it_has_among_many),
      cmocka_unit_test(an_event_alone_has_the_bits_it_has_among_many),
      cmocka_unit_test(numbers_are_what_the_steps_say),
      cmocka_unit_test(absent_columns_are_missing_and_wrong_ones_refused),
      cmocka_unit_test(waves_are_exact_at_any_date),
      cmocka_unit_test(parts_of_a_date_are_those_of_the_calendar),
      cmocka_unit_test(windows_hold_the_last_events),
      cmocka_unit_test(gaps_and_profiles_read_each_event_once),
      cmocka_unit_test(marks_say_which_filters_an_event_passes),
      cmocka_unit_test(outputs_tell_their_tables_and_sizes),
      cmocka_unit_test(requests_are_frames_of_one_row),
      cmocka_unit_test(damaged_programs_are_refused_or_run),
      cmocka_unit_test(refusals_say_where_and_why),
      cmocka_unit_test(parsing_and_running_survive_refused_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
