/* csv_block_test.c - however a text is cut into blocks, and whoever reads them, the outcome is the same; and the SIMD
 * forms of marks and numbers equal the plain ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "frame/csv.h"
#include "frame/csv_number.h"
#include "frame/frame_same.h"

static char path[] = "/tmp/recsys-csv-XXXXXX";

static void spew(const char *text, size_t size) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

static void same_frame(const rs_frame *a, const rs_frame *b) { assert_true(rs_same_frame(a, b)); }

typedef struct outcome {
  rs_status status;
  rs_frame frame;
  rs_csv_report report;
  rs_buffer aside;
} outcome;

static outcome read_with(rs_csv_options options, size_t block, int threads) {
  outcome o = {0};
  char aside[sizeof path + 8];
  snprintf(aside, sizeof aside, "%s.bad", path);
  options.block = block;
  options.quarantine = aside;
  int before = rs_threads();
  rs_threads_set(threads);
  o.status = rs_csv_read(&o.frame, &o.report, (const char *[]){path}, 1, &options);
  rs_threads_set(before);
  if (o.status == RS_OK) assert_int_equal(rs_file_read(&o.aside, aside, 1 << 26), RS_OK);
  unlink(aside);
  return o;
}

static void outcome_free(outcome *o) {
  rs_frame_free(&o->frame);
  rs_csv_report_free(&o->report);
  rs_buffer_free(&o->aside);
}

/* Read the file in blocks of many sizes and compare with one block on one thread. */
static void any_cut_agrees(rs_csv_options options, size_t size) {
  static const size_t blocks[] = {1, 7, 64, 300, 5000};
  outcome whole = read_with(options, size + 1, 1);
  for (int i = 0; i < 5; i++) {
    outcome cut = read_with(options, blocks[i], 1 + i % 3);
    assert_int_equal(cut.status, whole.status);
    same_frame(&cut.frame, &whole.frame);
    assert_int_equal(cut.report.rows, whole.report.rows);
    assert_int_equal(cut.report.quarantined, whole.report.quarantined);
    assert_int_equal(cut.report.first_bad_line, whole.report.first_bad_line);
    assert_int_equal(cut.report.torn, whole.report.torn);
    assert_int_equal(cut.report.torn_line, whole.report.torn_line);
    assert_int_equal(cut.report.encoding, whole.report.encoding);
    assert_int_equal(cut.aside.size, whole.aside.size);
    if (cut.aside.size) assert_memory_equal(cut.aside.data, whole.aside.data, cut.aside.size);
    outcome_free(&cut);
  }
  outcome_free(&whole);
}

typedef struct dice {
  rs_stream stream;
  uint64_t at;
} dice;

static int roll(dice *d, int sides) { return (int)rs_stream_below(&d->stream, d->at++, (uint64_t)sides); }

/* A cell of all that makes CSV hard. */
static void make_cell(rs_buffer *text, dice *d, int kind) {
  static const char *const odd[] = {"",
                                    "\"\"",
                                    "\"a, b\"",
                                    "\"two\nlines\"",
                                    "\"x \"\"y\"\" z\"",
                                    "\"torn",
                                    "q\"uote",
                                    "\"a\"b",
                                    "\r",
                                    "caf\xC3\xA9",
                                    "\"\n\n1,2,3,4\n\"",
                                    "\\",
                                    "bad\xFF",
                                    "\"\"\"\"\"\"",
                                    "1,2",
                                    "\n",
                                    "a\\\"b",
                                    "NULL"};
  if (roll(d, 40) == 0)
    rs_buffer_append_text(text, odd[roll(d, sizeof odd / sizeof *odd)]);
  else if (kind == 0)
    rs_buffer_printf(text, "user-%d", roll(d, 50));
  else if (kind == 1)
    rs_buffer_printf(text, "%s%d.%d", roll(d, 5) ? "" : "-", roll(d, 1000), roll(d, 100));
  else if (kind == 2)
    rs_buffer_printf(text, "%d", 1700000000 + roll(d, 1000000));
  else
    rs_buffer_printf(text, "tag%d|tag%d", roll(d, 9), roll(d, 2000));
}

static void make_text(rs_buffer *text, dice *d, int rows) {
  text->size = 0;
  rs_buffer_append_text(text, "id,n,t,l\n");
  const char *ends = roll(d, 2) ? "\n" : "\r\n";
  for (int row = 0; row < rows; row++) {
    for (int kind = 0; kind < 4; kind++) {
      if (kind) rs_buffer_append_text(text, ",");
      make_cell(text, d, kind);
    }
    if (row + 1 < rows || roll(d, 2)) rs_buffer_append_text(text, ends);
  }
}

static void any_cut_of_a_nasty_text_gives_the_same(void **state) {
  (void)state;
  const rs_csv_column_type types[] = {{"n", RS_CSV_NUMBER, NULL}, {"t", RS_CSV_TIME_S, NULL}, {"l", RS_CSV_LIST, "|"}};
  const char *const nulls[] = {"NULL"};
  for (int seed = 0; seed < 24; seed++) {
    dice d = {rs_stream_at(100 + (uint64_t)seed, RS_RNG_USER, 0, 0), 0};
    rs_buffer text = {0};
    make_text(&text, &d, 60 + roll(&d, 300));
    spew(text.data, text.size);
    rs_csv_options options = {.separator = ",", .escape = RS_CSV_DOUBLED, .bad_limit = 1};
    any_cut_agrees(options, text.size);
    options.types = types;
    options.n_types = 3;
    any_cut_agrees(options, text.size);
    options.nulls = nulls;
    options.n_nulls = seed % 2;
    options.escape = seed % 3 ? RS_CSV_BACKSLASH : RS_CSV_MYSQL;
    options.encoding = seed % 2 ? RS_CSV_UTF8 : RS_CSV_ANY_ENCODING;
    any_cut_agrees(options, text.size);
    rs_buffer_free(&text);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void types_settle_the_same_however_late(void **state) {
  (void)state;
  rs_buffer text = {0};
  for (int late = 0; late < 4; late++) {
    text.size = 0;
    rs_buffer_append_text(&text, "a::b::c::d\n");
    for (int i = 0; i < 3000; i++) {
      rs_buffer_printf(&text, "%d::%s::", i, i < 1500 ? "" : i == 2700 && late == 1 ? "word" : "2024-01-01");
      rs_buffer_printf(&text, "%s::%s\n", late == 2 && i == 2999 ? "7x" : "7", late == 3 && i > 2000 ? "1" : "");
    }
    spew(text.data, text.size);
    any_cut_agrees((rs_csv_options){.bad_limit = 0}, text.size);
    outcome o = read_with((rs_csv_options){.bad_limit = 0}, 900, 2);
    assert_int_equal(o.frame.columns[1].type, late == 1 ? RS_STRING : RS_TIME);
    assert_int_equal(o.frame.columns[2].type, late == 2 ? RS_STRING : RS_NUMBER);
    assert_int_equal(o.frame.columns[3].type, late == 3 ? RS_NUMBER : RS_STRING);
    outcome_free(&o);
  }
  rs_buffer_free(&text);
}

/* Torn to the end of the file from every line, and every line closes the quote of the one before. */
static void torn_quotes_cost_no_square(void **state) {
  (void)state;
  rs_buffer text = {0};
  rs_buffer_append_text(&text, "a,b,c\n1,2,3\n");
  for (int i = 0; i < 200000; i++) rs_buffer_append_text(&text, "x\",y,\"z\n");
  for (int i = 0; i < 200000; i++) rs_buffer_append_text(&text, "1,\\\",\"z\n");
  spew(text.data, text.size);
  for (int escape = RS_CSV_DETECT; escape <= RS_CSV_BACKSLASH; escape++) {
    outcome o = read_with((rs_csv_options){.bad_limit = 1, .escape = (rs_csv_escape)escape}, 0, 2);
    assert_int_equal(o.status, RS_OK);
    assert_true(o.report.rows >= 1 && o.report.quarantined > 100000);
    outcome_free(&o);
  }
  rs_buffer_free(&text);
}

static void a_field_of_megabytes_is_torn_or_whole_at_any_cut(void **state) {
  (void)state;
  for (int over = -1; over <= 1; over++) {
    rs_buffer text = {0};
    rs_buffer_append_text(&text, "a,b\n1,\"");
    size_t n = (size_t)(RS_CSV_QUOTED_MAX + over);
    for (size_t i = 0; i < n - 1; i++) rs_buffer_append(&text, i % 50 == 49 ? "\n" : "x", 1);
    rs_buffer_append_text(&text, "\"\n2,y\n");
    spew(text.data, text.size);
    outcome small = read_with((rs_csv_options){.bad_limit = 1, .escape = RS_CSV_DOUBLED}, 1 << 20, 2);
    outcome large = read_with((rs_csv_options){.bad_limit = 1, .escape = RS_CSV_DOUBLED}, 1 << 24, 1);
    same_frame(&small.frame, &large.frame);
    assert_int_equal(small.report.torn, over > 0 ? 1 : 0);
    outcome_free(&small);
    outcome_free(&large);
    rs_buffer_free(&text);
  }
}

static void simd_marks_equal_plain_ones(void **state) {
  (void)state;
  static const char alphabet[] = ",,::\n\"\"\r;x7.\xC3\xA9";
  static rs_csv_marks fast, plain;
  dice d = {rs_stream_at(3, RS_RNG_USER, 0, 0), 0};
  const rs_csv_dialect dialects[] = {{.separator = ",", .separator_length = 1, .quotes = true, .quote = '"'},
                                     {.separator = "::", .separator_length = 2, .quotes = true, .quote = '"'},
                                     {.separator = ":;", .separator_length = 2}};
  for (int round = 0; round < 300; round++) {
    int size = round < 200 ? roll(&d, 300) : roll(&d, RS_CSV_WINDOW + 1);
    char *text = malloc((size_t)size + 1);
    for (int i = 0; i <= size; i++) text[i] = alphabet[roll(&d, sizeof alphabet - 1)];
    rs_csv_mark(&fast, &dialects[round % 3], text, size);
    rs_csv_mark_plain(&plain, &dialects[round % 3], text, size);
    assert_int_equal(fast.n, plain.n);
    assert_int_equal(fast.n_ends, plain.n_ends);
    assert_int_equal(fast.high, plain.high);
    assert_memory_equal(fast.at, plain.at, (size_t)plain.n * sizeof *plain.at);
    assert_memory_equal(fast.ends, plain.ends, (size_t)plain.n_ends * sizeof *plain.ends);
    free(text);
  }
}

/* A batch of one column over the texts, which stand between newlines. */
static void numbers_of(const char *const *texts, int n) {
  static rs_csv_marks marks;
  static rs_csv_batch batch;
  double fast[64], plain[64];
  char text[4096] = "................";
  size_t used = 16;
  const rs_csv_dialect dialect = {.separator = ",", .separator_length = 1};
  for (int i = 0; i < n; i++) used += (size_t)snprintf(text + used, sizeof text - used - 64, "%s\n", texts[i]);
  rs_csv_mark(&marks, &dialect, text + 16, (int)used - 16);
  batch = (rs_csv_batch){.base = text + 16, .marks = &marks, .separator = 1, .n = n};
  for (int i = 0, begin = 0; i < n; begin = marks.at[i++] + 1) {
    batch.begin[i] = (uint16_t)begin;
    batch.first[i] = (uint16_t)i;
  }
  for (int from = 0; from < n; from++) {
    int stop = rs_csv_numbers(&batch, 0, from, fast);
    assert_int_equal(stop, rs_csv_numbers_plain(&batch, 0, from, plain));
    if (stop > from) assert_memory_equal(fast + from, plain + from, (size_t)(stop - from) * sizeof *fast);
  }
}

static void simd_numbers_equal_plain_ones(void **state) {
  (void)state;
  static const char *const hard[] = {"0",
                                     "-0",
                                     "7",
                                     "",
                                     "00",
                                     "007",
                                     "-01.5",
                                     "0.5",
                                     "00.5",
                                     ".5",
                                     "5.",
                                     ".",
                                     "-",
                                     "-.",
                                     "1.2.3",
                                     "1e5",
                                     "+1",
                                     "1,",
                                     " 1",
                                     "1 ",
                                     "nan",
                                     "0x10",
                                     "1-2",
                                     "-1.50",
                                     "x",
                                     "1.",
                                     "999999999999999",
                                     "1000000000000000",
                                     "9007199254740993",
                                     "123456789.123456",
                                     "1234567890123.45",
                                     "-123456789012345",
                                     "-1234567890.12345",
                                     "0.00000000000001",
                                     "0.000000000000001",
                                     "123456789012345678901234567890",
                                     "1.7976931348623157e308",
                                     "1e309",
                                     "12:30",
                                     "1/2",
                                     "--1",
                                     "-0.0",
                                     "3.14159",
                                     "0.1",
                                     "31.065\r",
                                     "\r"};
  numbers_of(hard, (int)(sizeof hard / sizeof *hard));
  static const char alphabet[] = "0123456789012345678901234567890.-e ";
  dice d = {rs_stream_at(4, RS_RNG_USER, 0, 0), 0};
  for (int round = 0; round < 2000; round++) {
    char texts[40][24];
    const char *rows[40];
    for (int i = 0; i < 40; i++) {
      int length = roll(&d, 20);
      for (int j = 0; j < length; j++) texts[i][j] = alphabet[roll(&d, round % 4 ? 30 : (int)sizeof alphabet - 1)];
      texts[i][length] = 0;
      if (length > 3 && roll(&d, 2)) texts[i][roll(&d, length)] = '.';
      rows[i] = texts[i];
    }
    numbers_of(rows, 40);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_cut_of_a_nasty_text_gives_the_same),
      cmocka_unit_test(types_settle_the_same_however_late),
      cmocka_unit_test(torn_quotes_cost_no_square),
      cmocka_unit_test(a_field_of_megabytes_is_torn_or_whole_at_any_cut),
      cmocka_unit_test(simd_marks_equal_plain_ones),
      cmocka_unit_test(simd_numbers_equal_plain_ones),
  };
  int fd = mkstemp(path);
  if (fd < 0) return perror("mkstemp"), 1;
  close(fd);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
