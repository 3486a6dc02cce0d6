/* batch_in.c - see batch_in.h. */
#include "serve/batch_in.h"

#include <stdio.h>

#include "frame/text.h"
#include "serve/json_out.h"
#include "serve/loaded.h"

/* ---- records ---- */

const char *rs_record_end(const char *at, const char *end, rs_users_format format) {
  bool quoted = false;
  if (format != RS_USERS_CSV) {
    const char *found = memchr(at, '\n', (size_t)(end - at));
    return found ? found + 1 : end;
  }
  for (; at < end; at++) {
    if (*at == '"') quoted = !quoted;
    if (*at == '\n' && !quoted) return at + 1;
  }
  return end;
}

rs_span rs_record_text(const char *at, const char *end) {
  if (end > at && end[-1] == '\n') end--;
  if (end > at && end[-1] == '\r') end--;
  return (rs_span){at, (size_t)(end - at)};
}

/* ---- cells ---- */

/* Append the next cell without its quotes; *at is then behind its comma, NULL behind the last. RS_EFORMAT for text
 * behind a closing quote, and for a quote within a cell that does not begin with one: the record may then go on far beyond
 * what its writer took for its end. */
static rs_status next_cell(const char **at, const char *end, rs_buffer *out) {
  const char *p = *at;
  rs_status status = RS_OK;
  if (p < end && *p == '"') {
    for (p++; status == RS_OK; p++) {
      const char *from = p;
      while (p < end && *p != '"') p++;
      if (p == end) return rs_fail(RS_EFORMAT, "a quote is not closed");
      status = rs_buffer_append(out, from, (size_t)(p - from));
      if (++p == end || *p != '"') break;
      if (status == RS_OK) status = rs_buffer_append(out, "\"", 1);
    }
  } else {
    while (p < end && *p != ',' && *p != '"') p++;
    if (p < end && *p == '"') return rs_fail(RS_EFORMAT, "a quote stands within a cell that does not begin with one");
    status = rs_buffer_append(out, *at, (size_t)(p - *at));
  }
  if (status == RS_OK && p < end && *p != ',') return rs_fail(RS_EFORMAT, "there is text behind a closing quote");
  *at = p < end ? p + 1 : NULL;
  return status;
}

/* ---- the header ---- */

static rs_status check_header(const rs_users_header *h) {
  bool user = false;
  for (int i = 0; i < h->n; i++) {
    user |= rs_span_is(h->names[i], "user");
    for (int j = 0; j < i; j++)
      if (rs_span_equal(h->names[i], h->names[j]))
        return rs_fail(RS_EFORMAT, "two columns are called '%.*s'", (int)h->names[i].length, h->names[i].text);
  }
  return user ? RS_OK : rs_fail(RS_EFORMAT, "there is no column 'user'");
}

rs_status rs_users_header_read(rs_users_header *h, const rs_server_model *m, rs_span record) {
  const char *at = record.text, *end = at + record.length;
  size_t starts[RS_BATCH_COLUMNS + 1] = {0};
  rs_status status = RS_OK;
  for (h->n = 0; status == RS_OK && at;) {
    if (h->n == RS_BATCH_COLUMNS) return rs_fail(RS_EFORMAT, "there are more than %d columns", RS_BATCH_COLUMNS);
    status = next_cell(&at, end, &h->text);
    starts[++h->n] = h->text.size;
  }
  for (int i = 0; status == RS_OK && i < h->n; i++) {
    h->names[i] = (rs_span){h->text.data ? h->text.data + starts[i] : "", starts[i + 1] - starts[i]};
    h->cells[i] = rs_cell_of(m, h->names[i]);
  }
  return status == RS_OK ? check_header(h) : status;
}

void rs_users_header_free(rs_users_header *h) { rs_buffer_free(&h->text); }

/* ---- records of CSV as requests ---- */

/* "a|b" as ["a","b"]. */
static rs_status append_list(rs_buffer *out, rs_span cell) {
  rs_status status = rs_buffer_append(out, "[", 1);
  const char *at = cell.text, *end = at + cell.length;
  for (bool first = true; status == RS_OK && at; first = false) {
    const char *bar = memchr(at, '|', (size_t)(end - at)), *to = bar ? bar : end;
    if (!first) status = rs_buffer_append(out, ",", 1);
    if (status == RS_OK) status = rs_json_string(out, at, (size_t)(to - at));
    at = bar ? bar + 1 : NULL;
  }
  return status == RS_OK ? rs_buffer_append(out, "]", 1) : status;
}

static rs_status append_number(rs_buffer *out, rs_span cell, rs_span name) {
  char text[RS_TEXT_MAX];
  double number;
  if (!rs_parse_number(cell.text, cell.length, &number))
    return rs_fail(RS_EARG, "column '%.*s': '%.*s' is not a number", (int)name.length, name.text,
                   (int)(cell.length < 60 ? cell.length : 60), cell.text);
  return rs_buffer_append(out, text, rs_format_number(text, number));
}

/* Append a member of the object that is being made. */
static rs_status append_field(rs_buffer *out, rs_span name, rs_cell kind, rs_span cell) {
  rs_status status = rs_buffer_append(out, out->size == 0 ? "{" : ",", 1);
  if (status == RS_OK) status = rs_json_string(out, name.text, name.length);
  if (status == RS_OK) status = rs_buffer_append(out, ":", 1);
  if (status != RS_OK) return status;
  switch (kind) {
    case RS_CELL_OPTION: return rs_csv_option(out, cell);
    case RS_CELL_NUMBER: return append_number(out, cell, name);
    case RS_CELL_LIST: return append_list(out, cell);
    default: return rs_json_string(out, cell.text, cell.length);
  }
}

rs_status rs_users_record(rs_users_reader *r, const rs_users_header *h, rs_span record, rs_request *request) {
  const char *at = record.text, *end = at + record.length;
  int n = 0;
  size_t user = 0, user_end = 0;
  r->id.size = r->fields.size = r->options.size = 0;
  rs_status status = RS_OK;
  for (; status == RS_OK && at; n++) {
    size_t from = r->id.size;
    if (n == h->n) return rs_fail(RS_EFORMAT, "there are more than the header's %d columns", h->n);
    status = next_cell(&at, end, &r->id);
    rs_span cell = {r->id.data ? r->id.data + from : "", r->id.size - from};
    if (h->cells[n] == RS_CELL_USER)
      user = from, user_end = r->id.size;
    else if (status == RS_OK && cell.length > 0)
      status = append_field(h->cells[n] == RS_CELL_OPTION ? &r->options : &r->fields, h->names[n], h->cells[n], cell);
  }
  if (status == RS_OK && n < h->n) return rs_fail(RS_EFORMAT, "there are %d columns, %d in the header", n, h->n);
  if (status == RS_OK) status = rs_buffer_append_text(&r->fields, r->fields.size == 0 ? "{}" : "}");
  if (status == RS_OK && r->options.size > 0) status = rs_buffer_append_text(&r->options, "}");
  if (status != RS_OK) return status;
  request->user = user_end > user ? (rs_span){r->id.data + user, user_end - user} : (rs_span){0};
  request->fields = (rs_span){r->fields.data, r->fields.size};
  return RS_OK;
}
