/* csv_write.c - frames as CSV text. See csv.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "frame/csv.h"
#include "frame/text.h"

enum { FLUSH_BYTES = 1 << 16 };

typedef struct output {
  const rs_csv_style *style;
  const char *separator, *list_separator, *null;
  bool alone; /* a single column: a missing value must not become a blank line */
  rs_writer writer;
  rs_buffer text, list;
} output;

/* Whether the text must stand in quotes to be read back. */
static bool needs_quotes(const output *o, const char *text, size_t length) {
  if (length == 0) return false;
  if (text[0] == ' ' || text[length - 1] == ' ') return true;
  for (size_t i = 0; i < length; i++)
    if (text[i] == '"' || text[i] == '\n' || text[i] == '\r' || text[i] == '\\' || text[i] == o->separator[0])
      return true;
  return false;
}

static rs_status put_text(output *o, const char *text, size_t length) {
  if (!needs_quotes(o, text, length)) return rs_buffer_append(&o->text, text, length);
  rs_status status = rs_buffer_reserve(&o->text, 2 * length + 2);
  if (status != RS_OK) return status;
  bool backslash = o->style->escape == RS_CSV_BACKSLASH;
  char *to = o->text.data + o->text.size;
  *to++ = '"';
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '"')
      *to++ = backslash ? '\\' : '"';
    else if (text[i] == '\\' && backslash)
      *to++ = '\\';
    *to++ = text[i];
  }
  *to++ = '"';
  o->text.size = (size_t)(to - o->text.data);
  return RS_OK;
}

static rs_status put_missing(output *o) {
  return rs_buffer_append_text(&o->text, *o->null || !o->alone ? o->null : "\"\"");
}

static rs_status put_time(output *o, int64_t ms) {
  char text[RS_TEXT_MAX];
  size_t length = o->style->times == RS_CSV_ISO       ? rs_format_time(text, ms)
                  : o->style->times == RS_CSV_SECONDS ? rs_format_number(text, (double)ms / 1000)
                                                      : (size_t)snprintf(text, sizeof text, "%lld", (long long)ms);
  return rs_buffer_append(&o->text, text, length);
}

static rs_status put_list(output *o, const rs_column *c, int64_t row) {
  const int32_t *codes = rs_i32(&c->values) + rs_i64(&c->starts)[row];
  rs_status status = RS_OK;
  o->list.size = 0;
  for (int32_t i = 0; status == RS_OK && i < rs_i32(&c->lengths)[row]; i++) {
    size_t length;
    const char *text = rs_dictionary_text(c->dictionary, codes[i], &length);
    if (memmem(text, length, o->list_separator, strlen(o->list_separator)))
      return rs_fail(RS_EFORMAT, "frame: '%.*s' in list column '%s' holds the separator of lists, '%s': give another "
                     "one as 'list'", length < 100 ? (int)length : 100, text, c->name, o->list_separator);
    if (i > 0) status = rs_buffer_append_text(&o->list, o->list_separator);
    if (status == RS_OK) status = rs_buffer_append(&o->list, text, length);
  }
  return status == RS_OK ? put_text(o, o->list.data, o->list.size) : status;
}

static rs_status put_cell(output *o, const rs_column *c, int64_t row) {
  char number[RS_TEXT_MAX];
  size_t length;
  const char *text;
  switch (c->type) {
    case RS_NUMBER:
      if (isnan(rs_f64(&c->values)[row])) return put_missing(o);
      length = rs_format_number(number, rs_f64(&c->values)[row]);
      return rs_buffer_append(&o->text, number, length);
    case RS_TIME:
      if (rs_i64(&c->values)[row] == RS_TIME_MISSING) return put_missing(o);
      return put_time(o, rs_i64(&c->values)[row]);
    case RS_LIST:
      if (rs_i32(&c->lengths)[row] == 0) return put_missing(o);
      return put_list(o, c, row);
    default:
      if (rs_i32(&c->values)[row] == 0) return put_missing(o);
      text = rs_dictionary_text(c->dictionary, rs_i32(&c->values)[row], &length);
      return put_text(o, text, length);
  }
}

static rs_status flush(output *o) {
  rs_status status = o->text.size ? rs_writer_write(&o->writer, o->text.data, o->text.size) : RS_OK;
  o->text.size = 0;
  return status;
}

static rs_status put_header(output *o, const rs_frame *f) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < f->n_columns; i++) {
    if (i > 0) status = rs_buffer_append_text(&o->text, o->separator);
    if (status == RS_OK) status = put_text(o, f->columns[i].name, strlen(f->columns[i].name));
  }
  return status == RS_OK ? rs_buffer_append(&o->text, "\n", 1) : status;
}

static rs_status put_rows(output *o, const rs_frame *f) {
  rs_status status = RS_OK;
  for (int64_t row = 0; status == RS_OK && row < f->rows; row++) {
    for (int i = 0; status == RS_OK && i < f->n_columns; i++) {
      if (i > 0) status = rs_buffer_append_text(&o->text, o->separator);
      if (status == RS_OK) status = put_cell(o, &f->columns[i], row);
    }
    if (status == RS_OK) status = rs_buffer_append(&o->text, "\n", 1);
    if (status == RS_OK && o->text.size >= FLUSH_BYTES) status = flush(o);
  }
  return status;
}

rs_status rs_csv_write(const char *path, const rs_frame *f, const rs_csv_style *style) {
  output o = {.style = style,
              .separator = style->separator ? style->separator : ",",
              .list_separator = style->list_separator ? style->list_separator : "|",
              .null = style->null ? style->null : "",
              .alone = f->n_columns == 1};
  rs_status status = rs_writer_open(&o.writer, path);
  if (status != RS_OK) return status;
  if (!style->no_header) status = put_header(&o, f);
  if (status == RS_OK) status = put_rows(&o, f);
  if (status == RS_OK) status = flush(&o);
  if (status == RS_OK)
    status = rs_writer_commit(&o.writer);
  else
    rs_writer_abort(&o.writer);
  rs_buffer_free(&o.text);
  rs_buffer_free(&o.list);
  return status;
}
