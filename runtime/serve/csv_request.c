/* csv_request.c - see csv_request.h. */
#include "serve/csv_request.h"

#include <ctype.h>

#include "serve/loaded.h"

/* One field, as it stands in the line: of a quoted one what is between the quotes, which may hold doubled ones. */
typedef struct field {
  rs_span text;
  bool quoted;
} field;

static rs_status quoted_field(const char *line, size_t length, size_t *at, field *out) {
  size_t from = ++*at;
  for (;; ++*at) {
    if (*at >= length) return rs_fail(RS_EARG, "a quoted field does not end in its line");
    if (line[*at] != '"') continue;
    if (*at + 1 >= length || line[*at + 1] != '"') break;
    ++*at;
  }
  *out = (field){{line + from, *at - from}, true};
  if (++*at < length && line[*at] != ',') return rs_fail(RS_EARG, "something stands behind a quoted field");
  return RS_OK;
}

/* The field that begins at '*at', which becomes where the comma behind it is, or the end. */
static rs_status next_field(const char *line, size_t length, size_t *at, field *out) {
  if (*at < length && line[*at] == '"') return quoted_field(line, length, at, out);
  size_t from = *at;
  while (*at < length && line[*at] != ',') {
    if (line[(*at)++] == '"') return rs_fail(RS_EARG, "a quote stands within a field that does not begin with one");
  }
  *out = (field){{line + from, *at - from}, false};
  return RS_OK;
}

rs_cell rs_cell_of(const rs_server_model *m, rs_span name) {
  const char *column, *type;
  if (rs_span_is(name, "user")) return RS_CELL_USER;
  if (rs_span_is(name, "k") || rs_span_is(name, "now") || rs_span_is(name, "exclude_seen")) return RS_CELL_OPTION;
  for (int side = RS_USER; m && side <= RS_EVENT; side++)
    for (int i = 0; (column = rs_encoder_column(m->encoder, (rs_side)side, i, &type)); i++) {
      const char *bare = side == RS_USER ? column : strncmp(column, "user.", 5) == 0 ? column + 5 : "";
      if (*bare && rs_span_is(name, bare))
        return strcmp(type, "number") == 0 ? RS_CELL_NUMBER : strcmp(type, "string") == 0 ? RS_CELL_TEXT : RS_CELL_LIST;
    }
  return RS_CELL_TEXT; /* a segment of popularity may go by it */
}

rs_status rs_csv_names_read(rs_csv_names *out, const rs_server_model *m, const char *line, size_t length) {
  bool user = false;
  out->n = 0;
  for (size_t at = 0; at <= length; at++) {
    field f = {0};
    rs_status status = next_field(line, length, &at, &f);
    if (status != RS_OK) return status;
    if (f.text.length == 0) return rs_fail(RS_EARG, "a column of the first line has no name");
    if (out->n == RS_CSV_COLUMNS) return rs_fail(RS_EARG, "there are more than %d columns", RS_CSV_COLUMNS);
    for (int i = 0; i < out->n; i++)
      if (rs_span_equal(out->names[i], f.text))
        return rs_fail(RS_EARG, "the column '%.*s' is there twice", (int)f.text.length, f.text.text);
    user |= rs_span_is(f.text, "user");
    out->cells[out->n] = rs_cell_of(m, f.text);
    out->names[out->n++] = f.text;
  }
  return user ? RS_OK : rs_fail(RS_EARG, "there is no column 'user' in the first line");
}

/* Whether a text is a number as JSON has it. */
static bool is_number(rs_span s) {
  size_t i = 0, digits = 0;
  if (i < s.length && s.text[i] == '-') i++;
  if (i + 1 < s.length && s.text[i] == '0' && isdigit((unsigned char)s.text[i + 1])) return false;
  for (; i < s.length && isdigit((unsigned char)s.text[i]); i++) digits++;
  if (digits == 0) return false;
  if (i < s.length && s.text[i] == '.') {
    size_t from = ++i;
    while (i < s.length && isdigit((unsigned char)s.text[i])) i++;
    if (i == from) return false;
  }
  if (i < s.length && (s.text[i] == 'e' || s.text[i] == 'E')) {
    i++;
    if (i < s.length && (s.text[i] == '+' || s.text[i] == '-')) i++;
    size_t from = i;
    while (i < s.length && isdigit((unsigned char)s.text[i])) i++;
    if (i == from) return false;
  }
  return i == s.length;
}

/* Append a JSON string, of a quoted field without what doubled its quotes. Bytes are as they were sent: those that are no
 * UTF-8 are the reader's to refuse. */
static rs_status append_string(rs_buffer *json, rs_span text, bool quoted) {
  static const char hex[] = "0123456789abcdef";
  rs_status status = rs_buffer_reserve(json, 6 * text.length + 2);
  if (status != RS_OK) return status;
  char *to = json->data + json->size;
  *to++ = '"';
  for (size_t i = 0; i < text.length; i++) {
    unsigned char c = (unsigned char)text.text[i];
    if (c == '"' || c == '\\') *to++ = '\\';
    if (c == '"' && quoted) i++;
    if (c >= ' ') {
      *to++ = (char)c;
    } else {
      memcpy(to, "\\u00", 4);
      to[4] = hex[c >> 4], to[5] = hex[c & 15];
      to += 6;
    }
  }
  *to++ = '"';
  json->size = (size_t)(to - json->data);
  return RS_OK;
}

rs_status rs_csv_option(rs_buffer *json, rs_span cell) {
  bool bare = rs_span_is(cell, "true") || rs_span_is(cell, "false") || is_number(cell);
  return bare ? rs_buffer_append(json, cell.text, cell.length) : append_string(json, cell, false);
}

/* "a|b" as ["a","b"]. */
static rs_status append_list(rs_buffer *json, const field *f) {
  rs_status status = rs_buffer_append_text(json, "[");
  const char *at = f->text.text, *end = at + f->text.length;
  for (bool first = true; status == RS_OK && at; first = false) {
    const char *bar = memchr(at, '|', (size_t)(end - at)), *to = bar ? bar : end;
    if (!first) status = rs_buffer_append_text(json, ",");
    if (status == RS_OK) status = append_string(json, (rs_span){at, (size_t)(to - at)}, f->quoted);
    at = bar ? bar + 1 : NULL;
  }
  return status == RS_OK ? rs_buffer_append_text(json, "]") : status;
}

/* A value as the request's JSON has it. */
static rs_status append_value(rs_buffer *json, const field *f, rs_cell cell) {
  if (cell == RS_CELL_LIST) return append_list(json, f);
  bool bare = cell == RS_CELL_OPTION || (cell == RS_CELL_NUMBER && is_number(f->text));
  return bare && !memchr(f->text.text, '"', f->text.length) ? rs_csv_option(json, f->text)
                                                            : append_string(json, f->text, f->quoted);
}

static rs_status append_key(rs_buffer *json, bool *first, rs_span name) {
  rs_status status = *first ? RS_OK : rs_buffer_append_text(json, ",");
  *first = false;
  if (status == RS_OK) status = append_string(json, name, false);
  return status == RS_OK ? rs_buffer_append_text(json, ":") : status;
}

static rs_span name_of(const rs_csv_names *names, int i) {
  if (names->n > 0) return names->names[i];
  return rs_span_of(i == 0 ? "user" : "k");
}

static rs_cell cell_at(const rs_csv_names *names, int i) {
  if (names->n > 0) return names->cells[i];
  return i == 0 ? RS_CELL_USER : RS_CELL_OPTION;
}

/* The fields of a line that are the request's own ('own'), or those that are the user's. */
static rs_status append_fields(rs_buffer *json, const rs_csv_names *names, const char *line, size_t length, bool own,
                               bool *first) {
  int n = 0, most = names->n > 0 ? names->n : 2;
  rs_status status = RS_OK;
  for (size_t at = 0; at <= length && status == RS_OK; at++, n++) {
    field f = {0};
    status = next_field(line, length, &at, &f);
    if (status == RS_OK && n == most) status = rs_fail(RS_EARG, "the line has more than %d fields", most);
    if (status != RS_OK) return status;
    rs_cell cell = cell_at(names, n);
    if ((cell == RS_CELL_USER || cell == RS_CELL_OPTION) != own || f.text.length == 0) continue;
    status = append_key(json, first, name_of(names, n));
    if (status == RS_OK) status = append_value(json, &f, cell);
  }
  if (status == RS_OK && names->n > 0 && n < most)
    return rs_fail(RS_EARG, "the line has %d fields where the first one has %d", n, most);
  return status;
}

rs_status rs_csv_request(rs_buffer *json, const rs_csv_names *names, const char *line, size_t length) {
  bool first = true, first_field = true;
  if (length == 0) return rs_fail(RS_EARG, "the line is empty");
  rs_status status = rs_buffer_append_text(json, "{");
  if (status == RS_OK) status = append_fields(json, names, line, length, true, &first);
  if (status == RS_OK && names->n > 0) {
    status = append_key(json, &first, rs_span_of("fields"));
    if (status == RS_OK) status = rs_buffer_append_text(json, "{");
    if (status == RS_OK) status = append_fields(json, names, line, length, false, &first_field);
    if (status == RS_OK) status = rs_buffer_append_text(json, "}");
  }
  return status == RS_OK ? rs_buffer_append_text(json, "}") : status;
}
