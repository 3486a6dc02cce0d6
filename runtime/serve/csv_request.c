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

/* Whether the model takes a column of users as a number or a time. */
static bool takes_number(const rs_server_model *m, rs_span name) {
  const char *column, *type;
  if (!m) return false;
  for (int i = 0; (column = rs_encoder_column(m->encoder, RS_USER, i, &type)); i++)
    if (rs_span_is(name, column)) return strcmp(type, "string") != 0;
  for (int i = 0; (column = rs_encoder_column(m->encoder, RS_EVENT, i, &type)); i++)
    if (strncmp(column, "user.", 5) == 0 && rs_span_is(name, column + 5)) return strcmp(type, "string") != 0;
  return false;
}

static bool is_own(rs_span name) {
  return rs_span_is(name, "user") || rs_span_is(name, "k") || rs_span_is(name, "now") ||
         rs_span_is(name, "exclude_seen");
}

rs_status rs_csv_names_read(rs_csv_names *out, const rs_server_model *m, const char *line, size_t length) {
  bool user = false;
  out->n = 0;
  for (size_t at = 0; at <= length; at++) {
    field f;
    rs_status status = next_field(line, length, &at, &f);
    if (status != RS_OK) return status;
    if (f.text.length == 0) return rs_fail(RS_EARG, "a column of the first line has no name");
    if (out->n == RS_CSV_COLUMNS) return rs_fail(RS_EARG, "there are more than %d columns", RS_CSV_COLUMNS);
    for (int i = 0; i < out->n; i++)
      if (rs_span_equal(out->names[i], f.text))
        return rs_fail(RS_EARG, "the column '%.*s' is there twice", (int)f.text.length, f.text.text);
    user |= rs_span_is(f.text, "user");
    out->numbers[out->n] = is_own(f.text) ? !rs_span_is(f.text, "user") : takes_number(m, f.text);
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

/* A value as the request's JSON has it: bare where it is a number or a word and may be, else a string. */
static rs_status append_value(rs_buffer *json, const field *f, bool number) {
  bool word = rs_span_is(f->text, "true") || rs_span_is(f->text, "false");
  if (number && (word || is_number(f->text))) return rs_buffer_append(json, f->text.text, f->text.length);
  return append_string(json, f->text, f->quoted);
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

static bool is_number_column(const rs_csv_names *names, int i) { return names->n > 0 ? names->numbers[i] : i == 1; }

/* The fields of a line that are the request's own ('own'), or those that are the user's. */
static rs_status append_fields(rs_buffer *json, const rs_csv_names *names, const char *line, size_t length, bool own,
                               bool *first) {
  int n = 0, most = names->n > 0 ? names->n : 2;
  rs_status status = RS_OK;
  for (size_t at = 0; at <= length && status == RS_OK; at++, n++) {
    field f;
    status = next_field(line, length, &at, &f);
    if (status == RS_OK && n == most) status = rs_fail(RS_EARG, "the line has more than %d fields", most);
    if (status != RS_OK) return status;
    rs_span name = name_of(names, n);
    if (is_own(name) != own || f.text.length == 0) continue;
    status = append_key(json, first, name);
    if (status == RS_OK) status = append_value(json, &f, is_number_column(names, n));
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
