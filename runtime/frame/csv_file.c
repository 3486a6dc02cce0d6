/* csv_file.c - see csv_file.h. */
#include "frame/csv_file.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { MAX_COLUMNS = 100000, CENSUS_BYTES = 1 << 20 };

void rs_csv_file_close(rs_csv_file *f) {
  for (int i = 0; i < f->n_names; i++) rs_free(f->names[i]);
  rs_free(f->names);
  rs_free(f->fields);
  rs_csv_input_close(&f->input);
  *f = (rs_csv_file){0};
}

static bool is_blank(const char *at, const char *end) {
  while (at < end && (*at == '\n' || *at == '\r')) at++;
  return at == end;
}

/* Whether lines end with a carriage return alone, so that all would be one. */
static bool has_mac_lines(const char *text, const char *end) {
  size_t size = (size_t)(end - text);
  if (size == 0 || memchr(text, '\n', size)) return false;
  const char *at = memchr(text, '\r', size);
  return at && !is_blank(at, end);
}

/* Open the file and step over a byte order mark. */
static rs_status open_text(rs_csv_file *f) {
  rs_status status = rs_csv_input_open(&f->input, f->path, f->options->expand_limit);
  if (status != RS_OK) return status;
  f->text = f->input.text;
  f->end = f->input.end;
  size_t size = (size_t)(f->end - f->text);
  if (size >= 2 && (memcmp(f->text, "\xFF\xFE", 2) == 0 || memcmp(f->text, "\xFE\xFF", 2) == 0))
    return rs_fail(RS_EFORMAT, "%s is UTF-16: convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)", f->path);
  if (size >= 3 && memcmp(f->text, "\xEF\xBB\xBF", 3) == 0) f->text += 3;
  if (has_mac_lines(f->text, f->end))
    return rs_fail(RS_EFORMAT, "%s: its lines end with a carriage return alone: convert them first (tr '\\r' '\\n')",
                   f->path);
  if (is_blank(f->text, f->end) && !f->input.more && !f->options->no_header)
    return rs_fail(RS_EFORMAT, "%s is empty: not even a header", f->path);
  return RS_OK;
}

rs_status rs_csv_file_advance(rs_csv_file *f, const char *unread) {
  rs_status status = rs_csv_input_advance(&f->input, unread);
  f->text = f->body = f->input.text;
  f->end = f->input.end;
  return status;
}

typedef struct census_work {
  const char *text;
  const size_t *cuts;
  int64_t *sequences, *strays;
} census_work;

static void census_chunk(void *context, int64_t begin, int64_t end) {
  census_work *w = context;
  for (int64_t i = begin; i < end; i++)
    rs_csv_census(w->text + w->cuts[i], w->cuts[i + 1] - w->cuts[i], &w->sequences[i], &w->strays[i]);
}

/* Where to cut the text for a census: behind newlines, which are in no sequence. */
static size_t next_cut(const char *text, size_t size, size_t from) {
  if (size - from <= CENSUS_BYTES) return size;
  const char *newline = memchr(text + from + CENSUS_BYTES, '\n', size - from - CENSUS_BYTES);
  return newline ? (size_t)(newline - text) + 1 : size;
}

/* Count what a text holds, on all threads. */
static void take_census(const char *text, size_t size, int64_t *sequences, int64_t *strays) {
  enum { AT_ONCE = 64 };
  size_t cuts[AT_ONCE + 1] = {0};
  while (cuts[0] < size) {
    int64_t some[AT_ONCE] = {0}, stray[AT_ONCE] = {0}, n = 0;
    while (n < AT_ONCE && cuts[n] < size) n++, cuts[n] = next_cut(text, size, cuts[n - 1]);
    rs_parallel_for(n, 1, census_chunk, &(census_work){text, cuts, some, stray});
    for (int64_t i = 0; i < n; i++) *sequences += some[i], *strays += stray[i];
    cuts[0] = cuts[n];
  }
}

rs_status rs_csv_file_encoding(const rs_csv_file *f, rs_csv_encoding *encoding) {
  int64_t sequences = 0, strays = 0;
  rs_csv_input in = {0};
  rs_status status = rs_csv_input_open(&in, f->path, f->options->expand_limit);
  if (status == RS_OK) take_census(in.text, (size_t)(in.end - in.text), &sequences, &strays);
  while (status == RS_OK && in.more) {
    status = rs_csv_input_advance(&in, in.end);
    if (status == RS_OK) take_census(in.text, (size_t)(in.end - in.text), &sequences, &strays);
  }
  rs_csv_input_close(&in);
  *encoding = strays > sequences ? RS_CSV_LATIN1 : RS_CSV_UTF8;
  return status;
}

/* Keep the name of file column i: from the options, else the header's. */
static rs_status add_name(rs_csv_file *f, int i, const rs_csv_field *field, rs_csv_cells *scratch) {
  const char *text = "";
  size_t length = 0;
  rs_status status = RS_OK;
  if (i < f->options->n_names) {
    text = f->options->names[i];
    length = strlen(text);
  } else if (field) {
    status = rs_csv_unescape(&f->dialect, field, &scratch->unescaped, &text, &length);
    if (status == RS_OK && f->dialect.encoding == RS_CSV_LATIN1) {
      status = rs_latin1_to_utf8(&scratch->transcoded, text, length);
      text = scratch->transcoded.data;
      length = scratch->transcoded.size;
    }
  }
  if (status != RS_OK) return status;
  if (memchr(text, 0, length) || !rs_utf8_is_valid(text, length))
    return rs_fail(RS_EFORMAT, "%s: the name of column %d in the header is no text: is this a CSV file?", f->path,
                   i + 1);
  rs_buffer name = {0};
  status = length ? rs_buffer_append(&name, text, length) : rs_buffer_printf(&name, "column_%d", i + 1);
  if (status == RS_OK) status = rs_buffer_append(&name, "", 1);
  f->names[f->n_names++] = name.data; /* freed with the file, half-built too */
  return status;
}

/* Read the first record with room for 'n' fields. */
static rs_csv_scanner first_record(const rs_csv_file *f, rs_csv_field *fields, int n) {
  rs_csv_scanner s = {.dialect = &f->dialect, .at = f->text, .end = f->end, .fields = fields, .capacity = n};
  if (!rs_csv_next(&s) || s.fault != RS_CSV_SOUND) s.n_fields = 0;
  return s;
}

static rs_status read_header(rs_csv_file *f) {
  const rs_csv_options *o = f->options;
  int n = o->no_header ? o->n_names : first_record(f, NULL, 0).n_fields;
  if (n > MAX_COLUMNS)
    return rs_fail(RS_EFORMAT, "%s: the header has %d columns, more than %d: is the separator right?", f->path, n,
                   MAX_COLUMNS);
  if (n < 1)
    return rs_fail(RS_EFORMAT, "%s: line 1 cannot be read as a header: a quote in it is not closed", f->path);
  if (o->n_names && o->n_names != n)
    return rs_fail(RS_EFORMAT, "%s: %d names are given, but the header has %d columns", f->path, o->n_names, n);
  f->names = rs_alloc_zero((size_t)n * sizeof *f->names);
  f->fields = rs_alloc_zero((size_t)n * sizeof *f->fields);
  if (!f->names || !f->fields) return rs_nomem("csv", (size_t)n * sizeof *f->fields);
  f->body = o->no_header ? f->text : first_record(f, f->fields, n).at;
  rs_csv_cells scratch = {0};
  rs_status status = RS_OK;
  if (f->any_encoding && !rs_utf8_is_valid(f->text, (size_t)(f->body - f->text))) {
    status = rs_csv_file_encoding(f, &f->dialect.encoding);
    f->any_encoding = false;
  }
  for (int i = 0; i < n && status == RS_OK; i++) status = add_name(f, i, o->no_header ? NULL : &f->fields[i], &scratch);
  rs_csv_cells_free(&scratch);
  return status;
}

int rs_csv_file_column(const rs_csv_file *f, const char *name) {
  int found = -1, times = 0;
  for (int i = 0; i < f->n_names; i++)
    if (strcmp(f->names[i], name) == 0) found = i, times++;
  if (times == 1) return found;
  if (times > 1) {
    rs_fail(RS_EFORMAT, "%s: %d columns are called '%s': give all columns 'names' of your own", f->path, times, name);
    return -1;
  }
  char list[512] = "";
  size_t used = 0;
  for (int i = 0; i < f->n_names && used + 64 < sizeof list; i++)
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%.40s", i ? ", " : "", f->names[i]);
  rs_fail(RS_EFORMAT, "%s has no column '%s'; it has: %s", f->path, name, list);
  return -1;
}

rs_status rs_csv_file_open(rs_csv_file *f, const char *path, const rs_csv_options *options, rs_csv_encoding encoding) {
  f->path = path;
  f->options = options;
  rs_status status = open_text(f);
  if (status == RS_OK) status = rs_csv_detect(&f->dialect, options, f->text, (size_t)(f->end - f->text));
  if (status != RS_OK) return status;
  f->any_encoding = !options->encoding && !encoding;
  if (encoding) f->dialect.encoding = encoding;
  return read_header(f);
}
