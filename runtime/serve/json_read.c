/* json_read.c - see json_read.h. */
#include "serve/json_read.h"

#include <stdarg.h>
#include <stdio.h>

#include "frame/column.h"
#include "frame/text.h"

/* ---- failing ---- */

/* A key as a place shows it: what a terminal might act on is a question mark. */
static size_t show_key(char *out, size_t room, rs_span key) {
  size_t n = 0;
  for (size_t i = 0; i < key.length && i < 64 && n + 1 < room; i++)
    out[n++] = key.text[i] >= ' ' && key.text[i] != 0x7F ? key.text[i] : '?';
  return n;
}

/* "users[3].k" */
static void place(const rs_json_reader *r, char *out, size_t room) {
  size_t n = (size_t)snprintf(out, room, "%s", r->prefix);
  for (int i = 0; i < r->depth && n + 90 < room; i++) {
    if (!r->steps[i].begun) break;
    if (!r->steps[i].object) {
      n += (size_t)snprintf(out + n, room - n, "[%lld]", (long long)r->steps[i].index);
      continue;
    }
    if (n > 0) out[n++] = '.';
    n += show_key(out + n, room - n, r->steps[i].key);
  }
  out[n] = 0;
}

bool rs_read_refuse(rs_json_reader *r, rs_status status, const char *format, ...) {
  char where[512], why[400];
  if (r->status != RS_OK) return false;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  place(r, where, sizeof where);
  r->status = rs_fail(status, "%s%s%s", where, *where ? ": " : "", why);
  return false;
}

/* What is no JSON is told by where it stands in the text. */
static bool no_json(rs_json_reader *r, const char *what) {
  int64_t line = 1, column = 1;
  if (r->status != RS_OK) return false;
  for (const char *p = r->start; p < r->at; p++)
    if (*p == '\n')
      line++, column = 1;
    else
      column += ((unsigned char)*p & 0xC0) != 0x80;
  r->status = rs_fail(RS_EFORMAT, "%s%sline %lld, column %lld: %s", r->prefix, *r->prefix ? ": " : "", (long long)line,
                      (long long)column, what);
  return false;
}

bool rs_read_lacks(rs_json_reader *r, const char *key) {
  char where[512];
  if (r->status != RS_OK) return false;
  place(r, where, sizeof where);
  r->status = rs_fail(RS_EARG, "%s%s%s: is missing", where, *where ? "." : "", key);
  return false;
}

bool rs_read_twice(rs_json_reader *r) { return rs_read_refuse(r, RS_EARG, "stands there twice"); }

bool rs_read_unknown(rs_json_reader *r, const char *known) {
  return rs_read_refuse(r, RS_EARG, "there is no such field; there are %s", known);
}

/* ---- bytes ---- */

/* How long the character at 'p' is, of 'left' bytes; 0: it is none. */
static size_t character(const unsigned char *p, size_t left) {
  if (p[0] < 0x80) return 1;
  size_t n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || n > left) return 0;
  for (size_t i = 1; i < n; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F)) return 0;
  if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) return 0;
  return n;
}

bool rs_is_utf8(const char *bytes, size_t size) {
  const unsigned char *p = (const unsigned char *)bytes, *end = p + size;
  while (p < end) {
    uint64_t eight;
    if (end - p >= 8 && (memcpy(&eight, p, 8), (eight & 0x8080808080808080u) == 0)) {
      p += 8;
      continue;
    }
    size_t n = character(p, (size_t)(end - p));
    if (n == 0) return false;
    p += n;
  }
  return true;
}

rs_status rs_read_begin(rs_json_reader *r, const char *bytes, size_t size, rs_buffer *room, const char *prefix) {
  r->start = r->at = bytes;
  r->end = bytes + size;
  r->room = room;
  r->prefix = prefix;
  r->status = RS_OK;
  r->depth = 0;
  if (!room) return RS_OK;
  room->size = 0;
  if (!rs_is_utf8(bytes, size)) return r->status = rs_fail(RS_EFORMAT, "%s%sthe text is not UTF-8", prefix,
                                                           *prefix ? ": " : "");
  return r->status = rs_buffer_reserve(room, size);
}

static void skip_blanks(rs_json_reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r')) r->at++;
}

static bool is_next(rs_json_reader *r, char c) {
  skip_blanks(r);
  return r->at < r->end && *r->at == c;
}

/* Take one character of the grammar. */
static bool take(rs_json_reader *r, char c) {
  if (!is_next(r, c)) return false;
  r->at++;
  return true;
}

rs_read_kind rs_read_next(rs_json_reader *r) {
  skip_blanks(r);
  if (r->status != RS_OK || r->at == r->end) return RS_READ_NOTHING;
  switch (*r->at) {
    case '{': return RS_READ_OBJECT;
    case '[': return RS_READ_ARRAY;
    case '"': return RS_READ_STRING;
    case 't':
    case 'f': return RS_READ_BOOLEAN;
    case 'n': return RS_READ_NULL;
    default: return *r->at == '-' || (*r->at >= '0' && *r->at <= '9') ? RS_READ_NUMBER : RS_READ_NOTHING;
  }
}

/* Fail unless the next value is of a kind. */
static bool expect(rs_json_reader *r, rs_read_kind kind) {
  static const char *const names[] = {"an object", "a list", "a string", "a number", "true or false", "null"};
  rs_read_kind found = rs_read_next(r);
  if (found == kind) return true;
  if (r->status != RS_OK) return false;
  if (found == RS_READ_NOTHING) return no_json(r, r->at == r->end ? "the text ends too soon" : "a value is expected");
  bool all = r->depth == 0 && !*r->prefix; /* which has no place */
  return rs_read_refuse(r, RS_EARG, "%sis %s, not %s", all ? "the JSON " : "", names[found], names[kind]);
}

/* ---- objects and arrays ---- */

static bool enter(rs_json_reader *r, rs_read_kind kind) {
  if (!expect(r, kind)) return false;
  if (r->depth == RS_READ_DEPTH) return no_json(r, "more than 64 levels, one within the other");
  r->at++;
  r->steps[r->depth].object = kind == RS_READ_OBJECT;
  r->steps[r->depth].begun = false;
  r->steps[r->depth].index = -1;
  r->depth++;
  return true;
}

bool rs_read_object(rs_json_reader *r) { return enter(r, RS_READ_OBJECT); }
bool rs_read_array(rs_json_reader *r) { return enter(r, RS_READ_ARRAY); }

/* Whether another part follows, past the comma; leaves the object or array otherwise. */
static bool another(rs_json_reader *r, char closing) {
  bool *begun = &r->steps[r->depth - 1].begun;
  if (r->status != RS_OK) return false;
  if (take(r, closing)) return r->depth--, false;
  if (*begun && !take(r, ',')) return no_json(r, closing == '}' ? "',' or '}' is expected" : "',' or ']' is expected");
  *begun = true;
  return true;
}

static bool read_string(rs_json_reader *r, rs_span *text);

bool rs_read_key(rs_json_reader *r, rs_span *key) {
  int step = r->depth - 1;
  if (!another(r, '}')) return false;
  r->steps[step].begun = false; /* the place is the object's until there is a key */
  if (!is_next(r, '"')) return no_json(r, "a key in quotes is expected");
  if (!read_string(r, key)) return false;
  r->steps[step].begun = true;
  r->steps[step].key = *key;
  return take(r, ':') || no_json(r, "':' is expected");
}

bool rs_read_item(rs_json_reader *r) {
  if (!another(r, ']')) return false;
  r->steps[r->depth - 1].index++;
  return true;
}

/* ---- strings ---- */

static int hexadecimal(const char *p) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    int digit = p[i] >= '0' && p[i] <= '9'   ? p[i] - '0'
                : p[i] >= 'a' && p[i] <= 'f' ? p[i] - 'a' + 10
                : p[i] >= 'A' && p[i] <= 'F' ? p[i] - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/* The code point of \uXXXX at 'at' (behind the u), of a pair the whole; -1: there is none. */
static int32_t code_point(rs_json_reader *r) {
  int first = r->end - r->at >= 4 ? hexadecimal(r->at) : -1;
  if (first < 0) return -1;
  r->at += 4;
  if (first < 0xD800 || first > 0xDFFF) return first;
  bool pair = first < 0xDC00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u';
  int second = pair ? hexadecimal(r->at + 2) : -1;
  if (second < 0xDC00 || second > 0xDFFF) return -1;
  r->at += 6;
  return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
}

static size_t utf8(char *out, int32_t c) {
  if (c < 0x80) return out[0] = (char)c, 1;
  size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)((0xF00 >> n & 0xF0) | c);
  return n;
}

/* One escape, 'at' being behind the backslash, to the room's end: 4 bytes stand for 6 at the least. */
static bool escape(rs_json_reader *r) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  char *out = r->room->data + r->room->size;
  if (r->at == r->end) return no_json(r, "the text ends within a string");
  char c = *r->at++;
  const char *found = c ? strchr(from, c) : NULL;
  if (found) {
    *out = to[found - from];
    r->room->size++;
    return true;
  }
  int32_t point = c == 'u' ? code_point(r) : -1;
  if (point == 0) return no_json(r, "U+0000 is in no text");
  if (point < 0) return no_json(r, "an escape that there is not");
  r->room->size += utf8(out, point);
  return true;
}

static void keep(rs_json_reader *r, const char *from) {
  size_t n = (size_t)(r->at - from);
  if (n == 0) return;
  memcpy(r->room->data + r->room->size, from, n);
  r->room->size += n;
}

/* Up to the next quote, backslash or control character. */
static const char *plain(const char *p, const char *end) {
  while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) p++;
  return p;
}

/* The string at 'at', which is its first quote: where it stands in the text, or with escapes in the room. */
static bool read_string(rs_json_reader *r, rs_span *text) {
  const char *from = ++r->at;
  r->at = plain(from, r->end);
  *text = (rs_span){from, (size_t)(r->at - from)};
  if (r->at < r->end && *r->at == '"') return r->at++, true;
  size_t begin = r->room ? r->room->size : 0;
  for (;;) {
    if (r->at == r->end) return no_json(r, "the text ends within a string");
    if ((unsigned char)*r->at < 0x20) return no_json(r, "a control character within a string");
    if (!r->room) return no_json(r, "an escape where none was looked for");
    keep(r, from);
    if (*r->at == '"') break;
    r->at++;
    if (!escape(r)) return false;
    from = r->at;
    r->at = plain(from, r->end);
  }
  r->at++;
  *text = (rs_span){r->room->data + begin, r->room->size - begin};
  return true;
}

bool rs_read_text(rs_json_reader *r, rs_span *text) { return expect(r, RS_READ_STRING) && read_string(r, text); }

/* ---- numbers and words ---- */

static const char *digits(const char *p, const char *end) {
  while (p < end && *p >= '0' && *p <= '9') p++;
  return p;
}

/* The number at 'at' by the grammar; 'whole' when it has neither fraction nor exponent. */
static bool scan_number(rs_json_reader *r, rs_span *text, bool *whole) {
  const char *p = r->at, *from;
  if (p < r->end && *p == '-') p++;
  from = p;
  p = digits(p, r->end);
  bool fine = p > from && (*from != '0' || p == from + 1);
  *whole = true;
  if (fine && p < r->end && *p == '.') {
    from = p + 1;
    p = digits(from, r->end);
    fine = p > from;
    *whole = false;
  }
  if (fine && p < r->end && (*p == 'e' || *p == 'E')) {
    from = p + 1;
    if (from < r->end && (*from == '+' || *from == '-')) from++;
    p = digits(from, r->end);
    fine = p > from;
    *whole = false;
  }
  if (!fine) return no_json(r, "that is no number of JSON");
  *text = (rs_span){r->at, (size_t)(p - r->at)};
  r->at = p;
  return true;
}

bool rs_read_number(rs_json_reader *r, double *number) {
  rs_span text;
  bool whole;
  if (!expect(r, RS_READ_NUMBER) || !scan_number(r, &text, &whole)) return false;
  if (!rs_parse_number(text.text, text.length, number)) return rs_read_refuse(r, RS_EARG, "is a number out of range");
  return true;
}

bool rs_read_whole(rs_json_reader *r, int64_t *number) {
  rs_span text;
  bool whole;
  if (!expect(r, RS_READ_NUMBER) || !scan_number(r, &text, &whole)) return false;
  if (!whole) return rs_read_refuse(r, RS_EARG, "is not a whole number");
  bool negative = text.text[0] == '-';
  int64_t value = 0;
  for (size_t i = negative; i < text.length; i++)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, text.text[i] - '0', &value))
      return rs_read_refuse(r, RS_EARG, "is a number out of range");
  if (!negative && value == INT64_MIN) return rs_read_refuse(r, RS_EARG, "is a number out of range");
  *number = negative ? value : -value;
  return true;
}

bool rs_read_id(rs_json_reader *r, rs_span *id) {
  int64_t number;
  if (rs_read_next(r) != RS_READ_NUMBER) return rs_read_text(r, id);
  const char *from = r->at;
  if (!rs_read_whole(r, &number)) return false;
  if (number == 0) from = r->at - 1; /* of -0, too */
  *id = (rs_span){from, (size_t)(r->at - from)};
  return true;
}

bool rs_read_time(rs_json_reader *r, int64_t *ms) {
  rs_span text;
  if (rs_read_next(r) == RS_READ_NUMBER) {
    if (!rs_read_whole(r, ms)) return false;
    return *ms != RS_TIME_MISSING || rs_read_refuse(r, RS_EARG, "is a number out of range");
  }
  if (!rs_read_text(r, &text)) return false;
  return rs_parse_time(text.text, text.length, ms) ||
         rs_read_refuse(r, RS_EARG, "is neither a date such as 2024-01-31T12:00 nor milliseconds");
}

/* Take a word as it stands. */
static bool word(rs_json_reader *r, const char *text) {
  size_t n = strlen(text);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0) return no_json(r, "a value is expected");
  r->at += n;
  return true;
}

bool rs_read_boolean(rs_json_reader *r, bool *value) {
  if (!expect(r, RS_READ_BOOLEAN)) return false;
  *value = *r->at == 't';
  return word(r, *value ? "true" : "false");
}

bool rs_read_null(rs_json_reader *r) { return expect(r, RS_READ_NULL) && word(r, "null"); }

/* ---- any value ---- */

static bool pass(rs_json_reader *r) {
  rs_span text;
  bool whole;
  switch (rs_read_next(r)) {
    case RS_READ_OBJECT:
      rs_read_object(r);
      while (rs_read_key(r, &text) && pass(r)) continue;
      return r->status == RS_OK;
    case RS_READ_ARRAY:
      rs_read_array(r);
      while (rs_read_item(r) && pass(r)) continue;
      return r->status == RS_OK;
    case RS_READ_STRING: return read_string(r, &text);
    case RS_READ_NUMBER: return scan_number(r, &text, &whole);
    case RS_READ_BOOLEAN: return rs_read_boolean(r, &whole);
    case RS_READ_NULL: return rs_read_null(r);
    default: return no_json(r, r->at == r->end ? "the text ends too soon" : "a value is expected");
  }
}

bool rs_read_any(rs_json_reader *r, rs_span *raw) {
  skip_blanks(r);
  const char *from = r->at;
  bool fine = r->status == RS_OK && pass(r);
  *raw = fine ? (rs_span){from, (size_t)(r->at - from)} : (rs_span){0};
  return fine;
}

rs_status rs_read_end(rs_json_reader *r) {
  skip_blanks(r);
  if (r->status == RS_OK && r->at < r->end) no_json(r, "there is something behind the value");
  return r->status;
}
