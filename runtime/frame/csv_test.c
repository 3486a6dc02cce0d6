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
#include "base/rng.h"
#include "frame/csv.h"

static char path[] = "/tmp/recsys-csv-XXXXXX";

static void spew(const char *text, size_t size) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

static rs_status read_text(rs_frame *f, rs_csv_report *report, const char *text, size_t size, rs_csv_options options) {
  spew(text, size);
  return rs_csv_read(f, report, (const char *[]){path}, 1, &options);
}

/* The text of a string cell; NULL when missing. The last few stay valid. */
static const char *cell(const rs_frame *f, const char *column, int64_t row) {
  static char texts[8][256];
  static int turn;
  const rs_column *c = rs_frame_column(f, column);
  assert_non_null(c);
  assert_int_equal(c->type, RS_STRING);
  int32_t code = rs_i32(&c->values)[row];
  if (code == 0) return NULL;
  size_t length;
  const char *text = rs_dictionary_text(c->dictionary, code, &length);
  turn = (turn + 1) % 8;
  snprintf(texts[turn], sizeof texts[turn], "%.*s", (int)length, text);
  return texts[turn];
}

static double number(const rs_frame *f, const char *column, int64_t row) {
  const rs_column *c = rs_frame_column(f, column);
  assert_int_equal(c->type, RS_NUMBER);
  return rs_f64(&c->values)[row];
}

#define READ(text, ...)                                                                            \
  rs_frame f = {0};                                                                                \
  rs_csv_report report = {0};                                                                      \
  rs_status status = read_text(&f, &report, text, sizeof text - 1, (rs_csv_options){__VA_ARGS__}); \
  if (status != RS_OK) print_error("%s\n", rs_message())

#define DONE()                 \
  rs_frame_free(&f);           \
  rs_csv_report_free(&report); \
  assert_int_equal(rs_alloc_blocks(), 0)

static void types_are_inferred(void **state) {
  (void)state;
  READ("id,n,t,s,zip,none\na,1,2024-01-01,x,01234,\nb,-2.5e3,2024-01-02T03:04:05Z,,99,\n", .bad_limit = 0);
  assert_int_equal(status, RS_OK);
  assert_int_equal(f.rows, 2);
  assert_true(number(&f, "n", 1) == -2500);
  assert_int_equal(rs_frame_column(&f, "t")->type, RS_TIME);
  assert_int_equal(rs_i64(&rs_frame_column(&f, "t")->values)[1], INT64_C(1704164645000));
  assert_string_equal(cell(&f, "s", 0), "x");
  assert_null(cell(&f, "s", 1));
  assert_string_equal(cell(&f, "zip", 0), "01234");
  assert_string_equal(cell(&f, "zip", 1), "99");
  assert_null(cell(&f, "none", 1));
  assert_string_equal(report.separator, ",");
  DONE();
}

static void a_column_that_turns_out_to_be_text_is_read_again(void **state) {
  (void)state;
  rs_buffer text = {0};
  rs_buffer_append_text(&text, "a,b,c\n");
  for (int i = 0; i < 3000; i++)
    rs_buffer_printf(&text, "%d,%s,%d\n", i, i == 2500 ? "V1N 2X" : i < 1200 ? "" : "7", i);
  rs_frame f = {0};
  rs_csv_report report = {0};
  assert_int_equal(read_text(&f, &report, text.data, text.size, (rs_csv_options){0}), RS_OK);
  assert_int_equal(f.rows, 3000);
  assert_null(cell(&f, "b", 1199));
  assert_string_equal(cell(&f, "b", 1200), "7");
  assert_string_equal(cell(&f, "b", 2500), "V1N 2X");
  assert_true(number(&f, "c", 2999) == 2999);
  rs_buffer_free(&text);
  DONE();
}

static void quotes_hold_separators_newlines_and_doubled_quotes(void **state) {
  (void)state;
  READ("a,b,c\r\n1,\"x, \"\"y\"\"\r\nz\",2\r\n3,\"\",4\r\n5,\"\"\"\"\"\",6", .bad_limit = 0);
  assert_int_equal(status, RS_OK);
  assert_int_equal(f.rows, 3);
  assert_int_equal(report.escape, RS_CSV_DOUBLED);
  assert_string_equal(cell(&f, "b", 0), "x, \"y\"\r\nz");
  assert_null(cell(&f, "b", 1));
  assert_string_equal(cell(&f, "b", 2), "\"\"");
  assert_true(number(&f, "c", 2) == 6);
  DONE();
}

static void backslash_escapes_are_found_and_undone(void **state) {
  (void)state;
  READ("id,title,body\n1,\"say \\\"hi\\\", now\",\"a\\\\b\nc\\d\"\n2,plain\\,x\n3,\"\",\"\\\"\"\n", .bad_limit = 0);
  assert_int_equal(status, RS_OK);
  assert_int_equal(report.escape, RS_CSV_BACKSLASH);
  assert_int_equal(f.rows, 3);
  assert_string_equal(cell(&f, "title", 0), "say \"hi\", now");
  assert_string_equal(cell(&f, "body", 0), "a\\b\nc\\d");
  assert_string_equal(cell(&f, "title", 1), "plain\\");
  assert_string_equal(cell(&f, "body", 2), "\"");
  DONE();
}

static void mysql_escapes_outside_quotes(void **state) {
  (void)state;
  READ("id\ttitle\tn\n1\ta\\\tb\t5\n2\tline\\\nline\t\\N\n3\tback\\\\slash\t6\n", .bad_limit = 0);
  assert_int_equal(status, RS_OK);
  assert_int_equal(report.escape, RS_CSV_MYSQL);
  assert_int_equal(f.rows, 3);
  assert_string_equal(cell(&f, "title", 0), "a\tb");
  assert_string_equal(cell(&f, "title", 1), "line\nline");
  assert_string_equal(cell(&f, "title", 2), "back\\slash");
  assert_true(isnan(number(&f, "n", 1)));
  DONE();
}

static void separators_are_found(void **state) {
  (void)state;
  static const char *const texts[] = {"a,b|x,c\n1,2|,3\n", "a\tb,c\td\n1\t2\t3\n", "a;b;c\n1,5;2,5;3,5\n",
                                      "a|b|c\n1|2, 3|4\n", "a::b:c::d\n1::2::3|4\n"};
  static const char *const separators[] = {",", "\t", ";", "|", "::"};
  for (int i = 0; i < 5; i++) {
    rs_frame f = {0};
    rs_csv_report report = {0};
    assert_int_equal(read_text(&f, &report, texts[i], strlen(texts[i]), (rs_csv_options){.bad_limit = 1}), RS_OK);
    assert_string_equal(report.separator, separators[i]);
    assert_int_equal(f.n_columns, 3);
    DONE();
  }
}

static void a_byte_order_mark_is_no_part_of_the_first_name(void **state) {
  (void)state;
  READ("\xEF\xBB\xBFid,x\n1,2\n", .bad_limit = 0);
  assert_int_equal(status, RS_OK);
  assert_non_null(rs_frame_column(&f, "id"));
  DONE();
}

static void latin_1_becomes_utf_8(void **state) {
  (void)state;
  READ("t\xEFtle;x\ncaf\xE9;1\n\"\xC4 \"\"b\";2\n", .bad_limit = 1);
  assert_int_equal(status, RS_OK);
  assert_int_equal(report.encoding, RS_CSV_LATIN1);
  assert_string_equal(cell(&f, "t\xC3\xAFtle", 0), "caf\xC3\xA9");
  DONE();
}

static void stray_bytes_in_utf_8_cost_their_rows(void **state) {
  (void)state;
  READ("t,x\ncaf\xC3\xA9,1\n\xE2\x82\xAC,2\nbroken \xE9,3\nlast,4\n", .bad_limit = 1);
  assert_int_equal(status, RS_OK);
  assert_int_equal(report.encoding, RS_CSV_UTF8);
  assert_int_equal(f.rows, 3);
  assert_int_equal(report.first_bad_line, 4);
  assert_string_equal(cell(&f, "t", 2), "last");
  DONE();
}

static void utf_16_is_refused_with_a_remedy(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_csv_report report = {0};
  assert_int_equal(read_text(&f, &report,
                             "\xFF\xFE"
                             "a\0,\0",
                             6, (rs_csv_options){0}),
                   RS_EFORMAT);
  assert_non_null(strstr(rs_message(), "iconv"));
  DONE();
}

static void malformed_rows_are_set_aside_with_line_and_reason(void **state) {
  (void)state;
  char aside[sizeof path + 8];
  snprintf(aside, sizeof aside, "%s.bad", path);
  const rs_csv_column_type types[] = {{"n", RS_CSV_NUMBER, NULL}, {"t", RS_CSV_TIME_MS, NULL}};
  READ("s,n,t\nok,1,1000\nfew,1\nmany,1,2,3\n\"a\nb\",5,6\nword,x,7\n\"q\"uote,1,2\nlate,2,1e99\nok,2,2000\n",
       .types = types, .n_types = 2, .bad_limit = 1, .quarantine = aside);
  assert_int_equal(status, RS_OK);
  assert_int_equal(f.rows, 3);
  assert_int_equal(report.quarantined, 5);
  assert_int_equal(report.first_bad_line, 3);
  rs_buffer text = {0};
  assert_int_equal(rs_file_read(&text, aside, 1 << 20), RS_OK);
  assert_int_equal(rs_buffer_append(&text, "", 1), RS_OK);
  static const char *const expected[] = {",3,\"2 fields instead of 3\",\"few,1\"\n",
                                         ",4,\"4 fields instead of 3\",\"many,1,2,3\"\n",
                                         ",7,\"column 'n': 'x' is no number\",\"word,x,7\"\n",
                                         ",8,\"text follows a closing quote\",\"\"\"q\"\"uote,1,2\"\n",
                                         ",9,\"column 't': '1e99' is no time in milliseconds since 1970\""};
  for (int i = 0; i < 5; i++) assert_non_null(strstr(text.data, expected[i]));
  rs_buffer_free(&text);
  unlink(aside);
  assert_null(cell(&f, "s", 0) ? NULL : "missing");
  assert_string_equal(cell(&f, "s", 1), "a\nb");
  assert_int_equal(rs_frame_column(&f, "s")->dictionary->n, 2);
  DONE();
}

static void a_torn_quote_costs_its_line_alone(void **state) {
  (void)state;
  READ("a,b,c\n1,x,2\n3,\"torn,4\n5,\"fine, really\",6\n7,y,8\n9,\"never closed,10\n11,z,12\n", .bad_limit = 1);
  assert_int_equal(status, RS_OK);
  assert_int_equal(f.rows, 4);
  assert_int_equal(report.quarantined, 2);
  assert_int_equal(report.first_bad_line, 3);
  assert_string_equal(cell(&f, "b", 1), "fine, really");
  assert_string_equal(cell(&f, "b", 3), "z");
  DONE();
}

static void too_many_bad_rows_refuse_the_file(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_csv_report report = {0};
  const char text[] = "a,b\n1,2\n3\n4,5\n";
  assert_int_equal(read_text(&f, &report, text, sizeof text - 1, (rs_csv_options){.bad_limit = 0.3}), RS_EFORMAT);
  assert_non_null(strstr(rs_message(), path));
  assert_non_null(
      strstr(rs_message(),
             "1 of 3 rows are malformed (33.3 %, the limit is 30 %); the first is line 3: 1 field instead of 2"));
  assert_non_null(strstr(rs_message(), "raise bad_limit"));
  DONE();
}

static void columns_are_chosen_and_absent_ones_refused(void **state) {
  (void)state;
  const char *const keep[] = {"c", "a"}, *const wrong[] = {"d"};
  READ("a,b,c\n1,2,3\n", .keep = keep, .n_keep = 2);
  assert_int_equal(status, RS_OK);
  assert_int_equal(f.n_columns, 2);
  assert_string_equal(f.columns[0].name, "c");
  rs_frame_free(&f);
  status = rs_csv_read(&f, &report, (const char *[]){path}, 1, &(rs_csv_options){.keep = wrong, .n_keep = 1});
  assert_int_equal(status, RS_EFORMAT);
  assert_non_null(strstr(rs_message(), "has no column 'd'; it has: a, b, c"));
  DONE();
}

static void lists_and_null_words_and_given_names(void **state) {
  (void)state;
  const char *const names[] = {"id", "genres", "x"}, *const nulls[] = {"NULL"};
  const rs_csv_column_type types[] = {{"genres", RS_CSV_LIST, "|"}};
  READ("1::Comedy|Drama::NULL\n2::::3\n3::Drama| War |::4\n4::NULL::5\n", .separator = "::", .no_header = true,
       .names = names, .n_names = 3, .types = types, .n_types = 1, .nulls = nulls, .n_nulls = 1);
  assert_int_equal(status, RS_OK);
  const rs_column *genres = rs_frame_column(&f, "genres");
  assert_memory_equal(rs_i32(&genres->lengths), ((int32_t[]){2, 0, 2, 0}), 16);
  assert_memory_equal(rs_i32(&genres->values), ((int32_t[]){1, 2, 2, 3}), 16);
  assert_int_equal(rs_i64(&genres->starts)[2], 2);
  assert_true(isnan(number(&f, "x", 0)) && number(&f, "x", 1) == 3);
  DONE();
}

static void what_is_written_reads_back(void **state) {
  (void)state;
  for (int escape = RS_CSV_DOUBLED; escape <= RS_CSV_BACKSLASH; escape++) {
    const rs_csv_column_type types[] = {{"l", RS_CSV_LIST, "|"}};
    READ("s,n,t,l\n\"a \"\"b\"\" \\ c,\nd\",0.1,2024-01-01T00:00:00.123Z,x|y\n,,,\nplain,1e300,1969-01-01,z\n",
         .types = types, .n_types = 1);
    assert_int_equal(status, RS_OK);
    assert_int_equal(rs_csv_write(path, &f, &(rs_csv_style){.escape = (rs_csv_escape)escape}), RS_OK);
    rs_frame again = {0};
    rs_csv_report second = {0};
    assert_int_equal(
        rs_csv_read(&again, &second, (const char *[]){path}, 1, &(rs_csv_options){.types = types, .n_types = 1}),
        RS_OK);
    assert_int_equal(second.escape, escape);
    assert_int_equal(again.rows, 3);
    assert_string_equal(cell(&again, "s", 0), "a \"b\" \\ c,\nd");
    assert_null(cell(&again, "s", 1));
    assert_true(number(&again, "n", 0) == 0.1 && isnan(number(&again, "n", 1)) && number(&again, "n", 2) == 1e300);
    assert_memory_equal(rs_i64(&rs_frame_column(&again, "t")->values), rs_i64(&rs_frame_column(&f, "t")->values), 24);
    assert_memory_equal(rs_i32(&rs_frame_column(&again, "l")->lengths), ((int32_t[]){2, 0, 1}), 12);
    rs_frame_free(&again);
    rs_csv_report_free(&second);
    DONE();
  }
}

/* 400 rows with all that makes CSV hard. */
static void make_hard_text(rs_buffer *text, bool backslash) {
  const char *quote = backslash ? "\\\"" : "\"\"";
  rs_buffer_append_text(text, "id,title,n\n");
  for (int i = 0; i < 400; i++)
    rs_buffer_printf(text, "u%d,\"a %sword%s, caf\xC3\xA9%s %d\",%d.5%s\n", i, quote, quote,
                     i % 7 ? "" : "\nsecond line", i, i, i % 5 ? "" : "\r");
}

static void truncation_loses_the_torn_row_at_most(void **state) {
  (void)state;
  for (int backslash = 0; backslash < 2; backslash++) {
    rs_buffer text = {0};
    make_hard_text(&text, backslash);
    int64_t whole = 0; /* rows that end before the cut */
    for (size_t cut = text.size / 2; cut < text.size; cut += 17) {
      rs_frame f = {0};
      rs_csv_report report = {0};
      assert_int_equal(read_text(&f, &report, text.data, cut, (rs_csv_options){.bad_limit = 1}), RS_OK);
      whole = 0;
      for (size_t i = 11; i < cut; i++) /* a row ends with .5, inner lines with é */
        whole += text.data[i] == '\n' && (text.data[i - 1] == '\r' || text.data[i - 1] == '5');
      assert_true(f.rows >= whole && f.rows <= whole + 1);
      for (int64_t row = 0; row < whole; row++) {
        char id[32];
        snprintf(id, sizeof id, "u%lld", (long long)row);
        assert_string_equal(cell(&f, "id", row), id);
      }
      rs_frame_free(&f);
      rs_csv_report_free(&report);
    }
    rs_buffer_free(&text);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void mutations_never_crash_and_lose_little(void **state) {
  (void)state;
  rs_buffer text = {0};
  make_hard_text(&text, false);
  rs_stream s = rs_stream_at(11, RS_RNG_USER, 0, 0);
  static const char evil[] = "\"\"\n\r,\\\0\xFF\xC3;\t|:";
  uint64_t at = 0;
  for (int round = 0; round < 400; round++) {
    char *copy = malloc(text.size);
    memcpy(copy, text.data, text.size);
    int hits = 1 + round % 4;
    for (int i = 0; i < hits; i++) {
      size_t place = 11 + (size_t)rs_stream_below(&s, at++, text.size - 11);
      copy[place] = evil[rs_stream_below(&s, at++, sizeof evil - 1)];
    }
    rs_frame f = {0};
    rs_csv_report report = {0};
    rs_csv_options options = {.bad_limit = 1, .separator = ",", .encoding = RS_CSV_UTF8, .escape = RS_CSV_DOUBLED};
    assert_int_equal(read_text(&f, &report, copy, text.size, options), RS_OK);
    assert_true(f.rows >= 400 - 3 * hits); /* a quote that becomes another byte can join neighbours */
    rs_frame_free(&f);
    rs_csv_report_free(&report);
    free(copy);
  }
  rs_buffer_free(&text);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void random_bytes_never_crash(void **state) {
  (void)state;
  static const char alphabet[] = "aab1,\n\"\\;|:\t\r\xC3\xA9 ";
  rs_stream s = rs_stream_at(12, RS_RNG_USER, 0, 0);
  uint64_t at = 0;
  for (int round = 0; round < 3000; round++) {
    char text[200];
    size_t size = (size_t)rs_stream_below(&s, at++, sizeof text);
    for (size_t i = 0; i < size; i++) text[i] = alphabet[rs_stream_below(&s, at++, sizeof alphabet - 1)];
    rs_frame f = {0};
    rs_csv_report report = {0};
    read_text(&f, &report, text, size, (rs_csv_options){.bad_limit = 1});
    rs_frame_free(&f);
    rs_csv_report_free(&report);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void refused_memory_leaves_nothing_behind(void **state) {
  (void)state;
  const rs_csv_column_type types[] = {{"l", RS_CSV_LIST, "|"}};
  static const char text[] = "s,n,t,l\n\"a\"\"b\",1,2024-01-01,x|y\n,,,\ncaf\xC3\xA9,x,2024-01-01,z\nfew\n";
  char aside[sizeof path + 8];
  snprintf(aside, sizeof aside, "%s.bad", path);
  rs_csv_options options = {.types = types, .n_types = 1, .bad_limit = 1, .quarantine = aside};
  spew(text, sizeof text - 1);
  rs_status status = RS_ENOMEM;
  for (int n = 0; status != RS_OK; n++) {
    rs_frame f = {0};
    rs_csv_report report = {0};
    rs_alloc_fault(n);
    status = rs_csv_read(&f, &report, (const char *[]){path}, 1, &options);
    rs_alloc_fault(-1);
    assert_true(status == RS_OK || status == RS_ENOMEM);
    rs_frame_free(&f);
    rs_csv_report_free(&report);
    assert_int_equal(rs_alloc_blocks(), 0);
  }
  unlink(aside);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(types_are_inferred),
      cmocka_unit_test(a_column_that_turns_out_to_be_text_is_read_again),
      cmocka_unit_test(quotes_hold_separators_newlines_and_doubled_quotes),
      cmocka_unit_test(backslash_escapes_are_found_and_undone),
      cmocka_unit_test(mysql_escapes_outside_quotes),
      cmocka_unit_test(separators_are_found),
      cmocka_unit_test(a_byte_order_mark_is_no_part_of_the_first_name),
      cmocka_unit_test(latin_1_becomes_utf_8),
      cmocka_unit_test(stray_bytes_in_utf_8_cost_their_rows),
      cmocka_unit_test(utf_16_is_refused_with_a_remedy),
      cmocka_unit_test(malformed_rows_are_set_aside_with_line_and_reason),
      cmocka_unit_test(a_torn_quote_costs_its_line_alone),
      cmocka_unit_test(too_many_bad_rows_refuse_the_file),
      cmocka_unit_test(columns_are_chosen_and_absent_ones_refused),
      cmocka_unit_test(lists_and_null_words_and_given_names),
      cmocka_unit_test(what_is_written_reads_back),
      cmocka_unit_test(truncation_loses_the_torn_row_at_most),
      cmocka_unit_test(mutations_never_crash_and_lose_little),
      cmocka_unit_test(random_bytes_never_crash),
      cmocka_unit_test(refused_memory_leaves_nothing_behind),
  };
  int fd = mkstemp(path);
  if (fd < 0) return perror("mkstemp"), 1;
  close(fd);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
