/* csv_input_test.c - compressed files read like the text in them, damaged ones are refused; many files make one table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "frame/csv.h"
#include "frame/frame_same.h"

static char path[] = "/tmp/recsys-csv-XXXXXX", other[sizeof path + 2];

static void spew(const char *to, const void *bytes, size_t size) {
  FILE *f = fopen(to, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

/* Appends one gzip member. */
static void squeeze_gzip(rs_buffer *out, const char *text, size_t size) {
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  assert_int_equal(rs_buffer_reserve(out, deflateBound(&z, size)), RS_OK);
  z.next_in = (Bytef *)(uintptr_t)text;
  z.avail_in = (uInt)size;
  z.next_out = (Bytef *)out->data + out->size;
  z.avail_out = (uInt)(out->capacity - out->size);
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  out->size = out->capacity - z.avail_out;
  deflateEnd(&z);
}

/* Appends one zstd frame, with its checksum. */
static void squeeze_zstd(rs_buffer *out, const char *text, size_t size) {
  ZSTD_CCtx *context = ZSTD_createCCtx();
  assert_int_equal(rs_buffer_reserve(out, ZSTD_compressBound(size)), RS_OK);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  size_t made = ZSTD_compress2(context, out->data + out->size, out->capacity - out->size, text, size);
  assert_false(ZSTD_isError(made));
  out->size += made;
  ZSTD_freeCCtx(context);
}

typedef void squeezer(rs_buffer *out, const char *text, size_t size);
static squeezer *const squeezers[] = {squeeze_gzip, squeeze_zstd};

static rs_status read_one(rs_frame *f, rs_csv_report *report, rs_csv_options options) {
  return rs_csv_read(f, report, (const char *[]){path}, 1, &options);
}

/* 40 MB with quoted newlines, so that windows end in the middle of records. */
static void make_long_text(rs_buffer *text) {
  rs_buffer_append_text(text, "id,body,n\n");
  for (int i = 0; text->size < 40u << 20; i++)
    rs_buffer_printf(text, "u%d,\"line %d\nand \"\"another\"\", of many words to fill a window\n%d\",%d\n%s", i % 999,
                     i % 5000, i % 77, i, i % 10000 == 9999 ? "torn,\"x\n" : "");
}

static void compressed_files_read_like_their_text(void **state) {
  (void)state;
  rs_buffer text = {0};
  make_long_text(&text);
  spew(path, text.data, text.size);
  rs_frame plain = {0};
  rs_csv_report report = {0};
  assert_int_equal(read_one(&plain, &report, (rs_csv_options){.bad_limit = 1}), RS_OK);
  assert_true(report.torn > 10 && report.compression == RS_CSV_PLAIN);
  for (int i = 0; i < 2; i++) {
    rs_buffer small = {0};
    rs_frame f = {0};
    rs_csv_report found = {0};
    squeezers[i](&small, text.data, text.size / 2); /* two members, one stream */
    squeezers[i](&small, text.data + text.size / 2, text.size - text.size / 2);
    spew(path, small.data, small.size);
    assert_int_equal(read_one(&f, &found, (rs_csv_options){.bad_limit = 1}), RS_OK);
    assert_int_equal(found.compression, i ? RS_CSV_ZSTD : RS_CSV_GZIP);
    assert_int_equal(found.torn, report.torn);
    assert_int_equal(found.torn_line, report.torn_line);
    assert_int_equal(found.quarantined, report.quarantined);
    assert_true(rs_same_frame(&plain, &f));
    rs_frame_free(&f);
    rs_csv_report_free(&found);
    rs_buffer_free(&small);
  }
  rs_frame_free(&plain);
  rs_csv_report_free(&report);
  rs_buffer_free(&text);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void refuses(rs_csv_options options, const char *why) {
  rs_frame f = {0};
  rs_csv_report report = {0};
  assert_int_equal(read_one(&f, &report, options), RS_EFORMAT);
  if (!strstr(rs_message(), why) || !strstr(rs_message(), path)) fail_msg("%s", rs_message());
  rs_csv_report_free(&report);
}

static void damaged_streams_are_refused_by_byte(void **state) {
  (void)state;
  static const char text[] = "a,b\n1,2\n3,4\n5,6\n7,8\n9,10\n11,12\n";
  for (int i = 0; i < 2; i++) {
    rs_buffer small = {0};
    squeezers[i](&small, text, sizeof text - 1);
    spew(path, small.data, small.size - 3);
    refuses((rs_csv_options){.bad_limit = 1}, "was it cut off?");
    small.data[small.size - 5] ^= 1; /* of the checksum, or before it */
    spew(path, small.data, small.size);
    refuses((rs_csv_options){.bad_limit = 1}, "stream is damaged at byte");
    small.data[small.size - 5] ^= 1;
    spew(path, small.data, small.size);
    refuses((rs_csv_options){.bad_limit = 1, .expand_limit = 20}, "raise expand_limit");
    rs_buffer_append_text(&small, "rest");
    spew(path, small.data, small.size);
    refuses((rs_csv_options){.bad_limit = 1}, "stream is damaged at byte");
    rs_buffer_free(&small);
  }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void latin_1_is_found_in_compressed_files(void **state) {
  (void)state;
  static const char text[] = "t\xEFtle,x\ncaf\xE9,1\nna\xEFve,2\n";
  rs_buffer small = {0};
  rs_frame f = {0};
  rs_csv_report report = {0};
  squeeze_gzip(&small, text, sizeof text - 1);
  rs_buffer_append(&small, "\0\0\0\0", 4); /* padding, as tapes have it */
  spew(path, small.data, small.size);
  assert_int_equal(read_one(&f, &report, (rs_csv_options){0}), RS_OK);
  assert_int_equal(report.encoding, RS_CSV_LATIN1);
  assert_int_equal(f.rows, 2);
  assert_string_equal(f.columns[0].name, "t\xC3\xAFtle");
  rs_frame_free(&f);
  rs_csv_report_free(&report);
  rs_buffer_free(&small);
}

static rs_status read_both(rs_frame *f, rs_csv_report *reports, rs_csv_options options) {
  return rs_csv_read(f, reports, (const char *[]){path, other}, 2, &options);
}

static void files_make_one_table_with_one_type_a_column(void **state) {
  (void)state;
  static const char first[] = "a,b,c\n1,x,2024-01-01\n2,y,\n3\n", second[] = "c;a;b\n;7up;x\n2024-01-02;8;z";
  rs_frame f = {0};
  rs_csv_report reports[2] = {0};
  rs_buffer small = {0};
  squeeze_zstd(&small, second, sizeof second - 1);
  spew(path, first, sizeof first - 1);
  spew(other, small.data, small.size);
  assert_int_equal(read_both(&f, reports, (rs_csv_options){.bad_limit = 0.5}), RS_OK);
  assert_int_equal(f.rows, 4);
  assert_int_equal(rs_frame_column(&f, "a")->type, RS_STRING); /* 7up */
  assert_int_equal(rs_frame_column(&f, "c")->type, RS_TIME);
  assert_memory_equal(rs_i32(&rs_frame_column(&f, "b")->values), ((int32_t[]){1, 2, 1, 3}), 16);
  assert_int_equal(reports[0].rows, 2);
  assert_int_equal(reports[0].first_bad_line, 4);
  assert_int_equal(reports[1].rows, 2);
  assert_string_equal(reports[1].separator, ";");
  assert_true(reports[1].unterminated && !reports[0].unterminated);
  rs_frame_free(&f);
  for (int i = 0; i < 2; i++) rs_csv_report_free(&reports[i]);
  rs_buffer_free(&small);
}

static void files_that_do_not_fit_are_refused(void **state) {
  (void)state;
  static const char first[] = "a,b\n1,2\n", fewer[] = "a\n1\n", more[] = "a,b,c\n1,2,3\n", bad[] = "a,b\n1\n2,3\n";
  const char *const keep[] = {"b", "a"};
  rs_frame f = {0};
  rs_csv_report reports[2] = {0};
  spew(path, first, sizeof first - 1);
  spew(other, fewer, sizeof fewer - 1);
  assert_int_equal(read_both(&f, reports, (rs_csv_options){0}), RS_EFORMAT);
  assert_non_null(strstr(rs_message(), "has no column 'b'; it has: a"));
  spew(other, more, sizeof more - 1);
  assert_int_equal(read_both(&f, reports, (rs_csv_options){0}), RS_EFORMAT);
  assert_non_null(strstr(rs_message(), "choose common ones with 'columns'"));
  assert_int_equal(read_both(&f, reports, (rs_csv_options){.keep = keep, .n_keep = 2}), RS_OK);
  assert_int_equal(f.rows, 2);
  rs_frame_free(&f);
  spew(other, bad, sizeof bad - 1);
  assert_int_equal(read_both(&f, reports, (rs_csv_options){.bad_limit = 0.4}), RS_EFORMAT);
  assert_non_null(strstr(rs_message(), other));
  assert_non_null(strstr(rs_message(), "1 of 2 rows are malformed"));
  for (int i = 0; i < 2; i++) rs_csv_report_free(&reports[i]);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(compressed_files_read_like_their_text),
      cmocka_unit_test(damaged_streams_are_refused_by_byte),
      cmocka_unit_test(latin_1_is_found_in_compressed_files),
      cmocka_unit_test(files_make_one_table_with_one_type_a_column),
      cmocka_unit_test(files_that_do_not_fit_are_refused),
  };
  int fd = mkstemp(path);
  if (fd < 0) return perror("mkstemp"), 1;
  close(fd);
  snprintf(other, sizeof other, "%s.2", path);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  unlink(other);
  return failed;
}
