/* jsonl_line.c - see jsonl_line.h. */
#include "frame/jsonl_line.h"

#include "base/alloc.h"
#include "frame/csv_scan.h"

enum { MAX_DEPTH = 64 };

/* A field of the line that is not asked for: to find the same key again. */
typedef struct other {
  uint64_t hash;
  size_t at, length; /* in 'names' */
} other;

void rs_json_line_free(rs_json_line *l) {
  rs_free(l->cells);
  rs_free(l->order);
  rs_csv_words_free(&l->unknown);
  rs_buffer_free(&l->text);
  rs_buffer_free(&l->path);
  rs_buffer_free(&l->others);
  rs_buffer_free(&l->other_names);
  *l = (rs_json_line){0};
}

rs_status rs_json_line_make(rs_json_line *l, const rs_json_fields *fields) {
  size_t n = (size_t)fields->n;
  l->fields = fields;
  l->cells = rs_alloc_zero(n * sizeof *l->cells);
  l->order = rs_alloc_zero((n + 1) * sizeof *l->order);
  return l->cells && l->order ? RS_OK : rs_nomem("jsonl", n * sizeof *l->cells);
}

static bool fail(rs_json_line *l, const char *problem) {
  if (!l->problem) {
    l->problem = problem;
    l->problem_at = l->at;
  }
  return false;
}

/* Note a failure of ours, which ends the line too. */
static bool check(rs_json_line *l, rs_status status) {
  if (status == RS_OK) return true;
  l->status = status;
  return false;
}

static void skip_space(rs_json_line *l) {
  while (l->at < l->end && (*l->at == ' ' || *l->at == '\t' || *l->at == '\r' || *l->at == '\n')) l->at++;
}

static bool take(rs_json_line *l, char c) {
  skip_space(l);
  if (l->at == l->end || *l->at != c) return false;
  l->at++;
  return true;
}

static bool is_digit(const rs_json_line *l) { return l->at < l->end && *l->at >= '0' && *l->at <= '9'; }

static bool skip_digits(rs_json_line *l) {
  if (!is_digit(l)) return fail(l, "a number is not finished");
  while (is_digit(l)) l->at++;
  return true;
}

static bool skip_number(rs_json_line *l) {
  if (*l->at == '-') l->at++;
  bool zero = l->at < l->end && *l->at == '0';
  const char *begin = l->at;
  if (!skip_digits(l)) return false;
  if (zero && l->at - begin > 1) return fail(l, "a number begins with 0");
  if (l->at < l->end && *l->at == '.') {
    l->at++;
    if (!skip_digits(l)) return false;
  }
  if (l->at < l->end && (*l->at == 'e' || *l->at == 'E')) {
    l->at++;
    if (l->at < l->end && (*l->at == '+' || *l->at == '-')) l->at++;
    if (!skip_digits(l)) return false;
  }
  return true;
}

static int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* The four digits of \u at 'at'; -1 when they are none. */
static int code_unit(const char *at, const char *end) {
  int unit = 0;
  if (end - at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

/* The character of the escape at 'at' (behind the backslash), which moves behind it; -1 when it is none. */
static int take_escape(const char **at, const char *end) {
  static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
  if (*at == end) return -1;
  const char *name = **at ? strchr(names, **at) : NULL;
  if (name) return ++*at, means[name - names];
  if (**at != 'u') return -1;
  int unit = code_unit(*at + 1, end);
  *at += unit < 0 ? 0 : 5;
  if (unit < 0xD800 || unit > 0xDFFF) return unit;
  if (unit > 0xDBFF || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') return -1;
  int low = code_unit(*at + 2, end);
  if (low < 0xDC00 || low > 0xDFFF) return -1;
  *at += 6;
  return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
}

static char *put_utf8(char *to, int c) {
  if (c < 0x80)
    *to++ = (char)c;
  else {
    if (c < 0x800)
      *to++ = (char)(0xC0 | c >> 6);
    else {
      if (c < 0x10000)
        *to++ = (char)(0xE0 | c >> 12);
      else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
      }
      *to++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    *to++ = (char)(0x80 | (c & 0x3F));
  }
  return to;
}

/* Undo the escapes of a string that is known to be sound into 'to'; returns its end. Never longer than the string. */
static char *unescape(char *to, const char *at, const char *end) {
  while (at < end) {
    const char *slash = memchr(at, '\\', (size_t)(end - at)), *stop = slash ? slash : end;
    memcpy(to, at, (size_t)(stop - at));
    to += stop - at;
    at = stop;
    if (!slash) break;
    at++;
    to = put_utf8(to, take_escape(&at, end));
  }
  return to;
}

/* Step over the string whose quote is at 'at': its inner bytes, and whether it holds escapes. */
static bool skip_string(rs_json_line *l, const char **begin, size_t *length, bool *escaped) {
  *begin = ++l->at;
  *escaped = false;
  while (l->at < l->end && *l->at != '"') {
    if ((unsigned char)*l->at < 0x20) return fail(l, "a string holds a control character");
    if (*l->at++ != '\\') continue;
    *escaped = true;
    if (take_escape(&l->at, l->end) < 0) return fail(l, "an escape in a string is none");
  }
  if (l->at == l->end) return fail(l, "a string is not closed");
  *length = (size_t)(l->at++ - *begin);
  return true;
}

/* Step over a string; 'text' is what it means. Room for all of a line's texts was made before. */
static bool take_string(rs_json_line *l, const char **text, size_t *length) {
  bool escaped;
  if (!skip_string(l, text, length, &escaped)) return false;
  if (!escaped) return true;
  char *to = l->text.data + l->text.size;
  *length = (size_t)(unescape(to, *text, *text + *length) - to);
  *text = to;
  l->text.size += *length;
  return true;
}

static bool skip_word(rs_json_line *l, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(l->end - l->at) < length || memcmp(l->at, word, length) != 0) return fail(l, "no value is here");
  l->at += length;
  return true;
}

static bool skip_value(rs_json_line *l, int depth, bool *scalar);

/* Step over an array or object; *flat is whether all members are scalars. */
static bool skip_members(rs_json_line *l, char close, int depth, bool *flat) {
  *flat = true;
  l->at++;
  if (depth == MAX_DEPTH) return fail(l, "arrays and objects lie deeper than 64");
  if (take(l, close)) return true;
  do {
    const char *key;
    size_t length;
    bool scalar, escaped;
    skip_space(l);
    if (close == '}') {
      if (l->at == l->end || *l->at != '"') return fail(l, "a key is missing");
      if (!skip_string(l, &key, &length, &escaped)) return false;
      if (!take(l, ':')) return fail(l, "a ':' is missing");
    }
    if (!skip_value(l, depth + 1, &scalar)) return false;
    *flat &= scalar;
  } while (take(l, ','));
  return take(l, close) || fail(l, close == '}' ? "a ',' or '}' is missing" : "a ',' or ']' is missing");
}

static bool skip_value(rs_json_line *l, int depth, bool *scalar) {
  const char *text;
  size_t length;
  bool ignored;
  *scalar = true;
  skip_space(l);
  if (l->at == l->end) return fail(l, "a value is missing");
  switch (*l->at) {
    case '"': return skip_string(l, &text, &length, &ignored);
    case 't': return skip_word(l, "true");
    case 'f': return skip_word(l, "false");
    case 'n': return skip_word(l, "null");
    case '{': *scalar = false; return skip_members(l, '}', depth, &ignored);
    case '[': *scalar = false; return skip_members(l, ']', depth, &ignored);
    default: break;
  }
  if (*l->at != '-' && !is_digit(l)) return fail(l, "no value is here");
  return skip_number(l);
}

/* Read the value at 'at' as a cell. */
static bool take_value(rs_json_line *l, int depth, rs_json_cell *cell) {
  bool scalar, flat;
  skip_space(l);
  cell->text = l->at;
  if (l->at < l->end && *l->at == '"') {
    cell->kind = RS_JSON_TEXT;
    return take_string(l, &cell->text, &cell->length);
  }
  char first = l->at < l->end ? *l->at : 0;
  if (first == '[') {
    if (!skip_members(l, ']', depth, &flat)) return false;
    cell->kind = flat ? RS_JSON_LIST : RS_JSON_RAW;
  } else {
    if (!skip_value(l, depth, &scalar)) return false;
    cell->kind = first == 'n'                   ? RS_JSON_NONE
                 : first == 't' || first == 'f' ? RS_JSON_BOOLEAN
                 : first == '{'                 ? RS_JSON_RAW
                                                : RS_JSON_NUMBER;
  }
  cell->length = (size_t)(l->at - cell->text);
  return true;
}

/* The number of the field called so, -1 when there is none. */
static int find_field(rs_json_line *l, const char *name, size_t length) {
  if (l->fields->n == 0) return -1;
  if (l->at_order < l->n_order) {
    size_t likely_length;
    const char *likely = rs_dictionary_text(l->fields->names, l->order[l->at_order] + 1, &likely_length);
    if (likely_length == length && memcmp(likely, name, length) == 0) return l->order[l->at_order++];
  }
  int32_t field = rs_dictionary_find(l->fields->names, name, length) - 1;
  if (field < 0) return -1;
  if (l->at_order < l->fields->n) {
    l->order[l->at_order++] = field;
    l->n_order = l->at_order;
  }
  return field;
}

/* Note a field that nobody asked for; false when the line had it already. */
static bool note_unknown(rs_json_line *l, const char *name, size_t length) {
  uint64_t hash = rs_csv_words_hash(name, length);
  const other *others = (const other *)(const void *)l->others.data;
  for (size_t i = 0; i < l->others.size / sizeof *others; i++)
    if (others[i].hash == hash && others[i].length == length &&
        memcmp(l->other_names.data + others[i].at, name, length) == 0)
      return fail(l, "a key comes twice");
  other o = {hash, l->other_names.size, length};
  int32_t code;
  return check(l, rs_buffer_append(&l->others, &o, sizeof o)) &&
         check(l, rs_buffer_append(&l->other_names, name, length)) &&
         check(l, rs_csv_words_add(&l->unknown, name, length, hash, &code));
}

static bool take_object(rs_json_line *l, int depth, size_t prefix);

/* Read the value of the field whose whole name is given. */
static bool take_field(rs_json_line *l, const char *name, size_t length, int depth, bool nested) {
  bool scalar, object = l->at < l->end && *l->at == '{';
  int field = find_field(l, name, length);
  if (object && (field < 0 || !l->fields->whole[field])) {
    if (!nested) {
      l->path.size = 0;
      if (!check(l, rs_buffer_append(&l->path, name, length))) return false;
    }
    return take_object(l, depth + 1, length);
  }
  if (field < 0) return note_unknown(l, name, length) && skip_value(l, depth, &scalar);
  rs_json_cell *cell = &l->cells[field];
  if (cell->seen) return fail(l, "a key comes twice");
  cell->seen = true;
  return take_value(l, depth, cell);
}

/* Read the members of the object at 'at'; the first 'prefix' bytes of 'path' are the name of its field. */
static bool take_object(rs_json_line *l, int depth, size_t prefix) {
  l->at++;
  if (depth == MAX_DEPTH) return fail(l, "arrays and objects lie deeper than 64");
  if (take(l, '}')) return true;
  do {
    const char *name;
    size_t length;
    skip_space(l);
    if (l->at == l->end || *l->at != '"') return fail(l, "a key is missing");
    if (!take_string(l, &name, &length)) return false;
    if (length == 0 || memchr(name, 0, length)) return fail(l, "a key is empty or holds a NUL");
    if (depth > 0) {
      l->path.size = prefix;
      if (!check(l, rs_buffer_append(&l->path, ".", 1)) || !check(l, rs_buffer_append(&l->path, name, length)))
        return false;
      name = l->path.data;
      length = l->path.size;
    }
    if (!take(l, ':')) return fail(l, "a ':' is missing");
    skip_space(l);
    if (!take_field(l, name, length, depth, depth > 0)) return false;
  } while (take(l, ','));
  return take(l, '}') || fail(l, "a ',' or '}' is missing");
}

rs_status rs_json_line_read(rs_json_line *l, const char *text, size_t length, bool *sound) {
  memset(l->cells, 0, (size_t)l->fields->n * sizeof *l->cells);
  l->begin = l->at = text;
  l->end = text + length;
  l->problem = NULL;
  l->status = RS_OK;
  l->at_order = 0;
  l->text.size = l->path.size = l->others.size = l->other_names.size = 0;
  *sound = false;
  rs_status status = rs_buffer_reserve(&l->text, length + 1);
  if (status != RS_OK) return status;
  if (!rs_utf8_is_valid(text, length)) return fail(l, "the line is not valid UTF-8"), RS_OK;
  skip_space(l);
  if (l->at == l->end || *l->at != '{') return fail(l, "no object begins here"), RS_OK;
  *sound = take_object(l, 0, 0);
  skip_space(l);
  if (*sound && l->at != l->end) *sound = fail(l, "text follows the object");
  return l->status;
}

bool rs_json_next_member(const char **at, const char *end, rs_buffer *scratch, const char **text, size_t *length,
                         rs_status *status) {
  rs_json_line l = {.at = *at, .end = end};
  rs_json_cell cell = {0};
  l.text = *scratch;
  l.text.size = 0;
  *status = RS_OK;
  while (*status == RS_OK && cell.kind == RS_JSON_NONE && l.at < l.end) {
    l.at++; /* the bracket or comma */
    skip_space(&l);
    if (l.at == l.end || *l.at == ']') break;
    *status = rs_buffer_reserve(&l.text, (size_t)(end - l.at));
    if (*status == RS_OK) take_value(&l, 0, &cell);
    skip_space(&l);
  }
  *scratch = l.text;
  *at = l.at;
  *text = cell.text;
  *length = cell.length;
  return *status == RS_OK && cell.kind != RS_JSON_NONE;
}
