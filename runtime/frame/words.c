/* words.c - see words.h. ASCII text, most of what there is, takes a path without utf8proc; a test holds the two
 * equal. */
#include "frame/words.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "frame/text.h"

/* Pieces of the distinct strings of one column: codes in 'dictionary', one run a string. */
typedef struct pieces {
  rs_dictionary *dictionary;
  rs_buffer codes;           /* int32_t each */
  rs_buffer scratch, points; /* room for the tokeniser */
} pieces;

/* Cut one string into pieces, adding each with add_piece. */
typedef rs_status cutter(pieces *p, const void *argument, const char *text, size_t length);

static rs_status add_piece(pieces *p, const char *text, size_t length) {
  int32_t code;
  rs_status status = rs_dictionary_add(p->dictionary, text, length, &code);
  return status == RS_OK ? rs_buffer_append(&p->codes, &code, sizeof code) : status;
}

static void pieces_free(pieces *p) {
  rs_dictionary_release(p->dictionary);
  rs_buffer_free(&p->codes);
  rs_buffer_free(&p->scratch);
  rs_buffer_free(&p->points);
}

/* Where the run of a string begins and how long it is; begin -1: not cut yet. */
typedef struct run {
  int64_t begin;
  int32_t length;
} run;

static rs_status cut_strings(pieces *p, const rs_column *strings, cutter *cut, const void *argument, run *runs,
                             int64_t *starts, int32_t *lengths) {
  int64_t n = strings->values.size[0];
  const int32_t *values = rs_i32(&strings->values);
  for (int64_t i = 0; i < n; i++) {
    run *r = &runs[values[i]];
    if (values[i] != 0 && r->begin < 0) {
      size_t length, before = p->codes.size;
      const char *text = rs_dictionary_text(strings->dictionary, values[i], &length);
      rs_status status = cut(p, argument, text, length);
      if (status != RS_OK) return status;
      *r = (run){(int64_t)(before / sizeof(int32_t)), (int32_t)((p->codes.size - before) / sizeof(int32_t))};
    }
    starts[i] = values[i] ? r->begin : 0;
    lengths[i] = values[i] ? r->length : 0;
  }
  return RS_OK;
}

/* The column's shell: starts and lengths, and runs for each string of the dictionary. */
static rs_status begin_list(rs_column *out, const rs_column *strings, run **runs) {
  int64_t n = strings->values.size[0];
  size_t bytes = (size_t)(strings->dictionary->n + 1) * sizeof **runs;
  *out = (rs_column){.type = RS_LIST};
  *runs = rs_alloc(bytes);
  if (!*runs) return rs_nomem("words", bytes);
  for (int64_t i = 0; i <= strings->dictionary->n; i++) (*runs)[i] = (run){-1, 0};
  rs_status status = rs_tensor_new(&out->starts, RS_I64, 1, &n);
  return status == RS_OK ? rs_tensor_new(&out->lengths, RS_I32, 1, &n) : status;
}

static rs_status cut_column(rs_column *out, const rs_column *strings, cutter *cut, const void *argument) {
  pieces p = {0};
  run *runs = NULL;
  rs_status status = begin_list(out, strings, &runs);
  if (status == RS_OK) status = rs_dictionary_new(&p.dictionary);
  if (status == RS_OK)
    status = cut_strings(&p, strings, cut, argument, runs, rs_i64(&out->starts), rs_i32(&out->lengths));
  int64_t total = (int64_t)(p.codes.size / sizeof(int32_t));
  if (status == RS_OK) status = rs_tensor_new(&out->values, RS_I32, 1, &total);
  if (status == RS_OK) {
    if (total) memcpy(rs_i32(&out->values), p.codes.data, p.codes.size);
    out->dictionary = p.dictionary;
    p.dictionary = NULL;
  } else {
    rs_column_free(out);
  }
  pieces_free(&p);
  rs_free(runs);
  return status;
}

/* ---- split ---- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static rs_status cut_at_separator(pieces *p, const void *argument, const char *text, size_t length) {
  const char *separator = argument, *end = text + length;
  size_t width = strlen(separator);
  for (;;) {
    const char *next = memmem(text, (size_t)(end - text), separator, width);
    const char *from = text, *to = next ? next : end;
    while (from < to && is_space(*from)) from++;
    while (to > from && is_space(to[-1])) to--;
    rs_status status = to > from ? add_piece(p, from, (size_t)(to - from)) : RS_OK;
    if (status != RS_OK || !next) return status;
    text = next + width;
  }
}

rs_status rs_words_split(rs_column *out, const rs_column *strings, const char *separator) {
  return cut_column(out, strings, cut_at_separator, separator);
}

/* ---- tokenise ---- */

static bool is_word_byte(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Words of a text that is ASCII throughout, which 'scratch' already holds in lower case. */
static rs_status cut_ascii_words(pieces *p, int64_t max) {
  const char *text = p->scratch.data;
  size_t length = p->scratch.size;
  for (size_t i = 0; i < length && max > 0;) {
    size_t begin = i;
    while (i < length && is_word_byte((unsigned char)text[i])) i++;
    if (i == begin) {
      i++;
      continue;
    }
    rs_status status = add_piece(p, text + begin, i - begin);
    if (status != RS_OK) return status;
    max--;
  }
  return RS_OK;
}

/* A copy in 'scratch', ASCII letters lowered and bytes that are not UTF-8 made spaces; whether all of it is ASCII. */
static rs_status clean(pieces *p, const char *text, size_t length, bool *ascii) {
  p->scratch.size = 0;
  *ascii = true;
  rs_status status = rs_buffer_reserve(&p->scratch, length);
  if (status != RS_OK) return status;
  for (size_t i = 0; i < length;) {
    unsigned char c = (unsigned char)text[i];
    char *to = p->scratch.data + p->scratch.size;
    utf8proc_int32_t point;
    utf8proc_ssize_t width = 1;
    if (c < 0x80) {
      *to = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    } else {
      *ascii = false;
      width = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(length - i), &point);
      if (width > 0)
        memcpy(to, text + i, (size_t)width);
      else
        *to = ' ';
      width = width > 0 ? width : 1;
    }
    p->scratch.size += (size_t)width;
    i += (size_t)width;
  }
  return RS_OK;
}

/* NFKC with case folding of 'scratch' as code points into 'points'. */
static rs_status fold(pieces *p, utf8proc_ssize_t *n) {
  const utf8proc_option_t options =
      UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE;
  const utf8proc_uint8_t *text = (const utf8proc_uint8_t *)p->scratch.data;
  utf8proc_ssize_t size = (utf8proc_ssize_t)p->scratch.size;
  utf8proc_ssize_t needed = utf8proc_decompose(text, size, NULL, 0, options);
  if (needed < 0) return rs_fail(RS_EFORMAT, "tokenise: %s", utf8proc_errmsg(needed));
  p->points.size = 0;
  rs_status status = rs_buffer_reserve(&p->points, (size_t)(needed + 1) * sizeof(utf8proc_int32_t));
  if (status != RS_OK) return status;
  utf8proc_int32_t *points = (utf8proc_int32_t *)p->points.data;
  *n = utf8proc_decompose(text, size, points, needed, options);
  if (*n >= 0) *n = utf8proc_normalize_utf32(points, *n, options);
  return *n < 0 ? rs_fail(RS_EFORMAT, "tokenise: %s", utf8proc_errmsg(*n)) : RS_OK;
}

static bool is_word_point(utf8proc_int32_t point) {
  utf8proc_category_t category = utf8proc_category(point);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;
}

/* Words of 'n' folded code points; 'scratch' takes the bytes of one word at a time. */
static rs_status cut_folded_words(pieces *p, utf8proc_ssize_t n, int64_t max) {
  const utf8proc_int32_t *points = (const utf8proc_int32_t *)p->points.data;
  p->scratch.size = 0;
  for (utf8proc_ssize_t i = 0; i <= n && max > 0; i++) {
    if (i < n && is_word_point(points[i])) {
      rs_status status = rs_buffer_reserve(&p->scratch, 4);
      if (status != RS_OK) return status;
      utf8proc_uint8_t *to = (utf8proc_uint8_t *)p->scratch.data + p->scratch.size;
      p->scratch.size += (size_t)utf8proc_encode_char(points[i], to);
    } else if (p->scratch.size > 0) {
      rs_status status = add_piece(p, p->scratch.data, p->scratch.size);
      if (status != RS_OK) return status;
      p->scratch.size = 0;
      max--;
    }
  }
  return RS_OK;
}

static rs_status cut_words(pieces *p, const void *argument, const char *text, size_t length) {
  const int64_t *max = argument;
  bool ascii;
  utf8proc_ssize_t n = 0;
  rs_status status = clean(p, text, length, &ascii);
  if (status != RS_OK || ascii) return status == RS_OK ? cut_ascii_words(p, *max) : status;
  status = fold(p, &n);
  return status == RS_OK ? cut_folded_words(p, n, *max) : status;
}

rs_status rs_words_tokenise(rs_column *out, const rs_column *strings, int64_t max) {
  return cut_column(out, strings, cut_words, &max);
}

/* ---- one string to one string ---- */

static size_t prefix_bytes(const char *text, size_t length, int64_t points) {
  size_t at = 0;
  for (; at < length && points > 0; points--) {
    utf8proc_int32_t point;
    utf8proc_ssize_t width =
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(length - at), &point);
    at += width > 0 ? (size_t)width : 1;
  }
  return at;
}

/* Whatever 'dictionary' holds, an empty string stays missing. */
static rs_status intern(rs_dictionary *d, const char *text, size_t length, int32_t *code) {
  *code = 0;
  return length ? rs_dictionary_add(d, text, length, code) : RS_OK;
}

static rs_status begin_string(rs_column *out, int64_t n) {
  *out = (rs_column){.type = RS_STRING};
  rs_status status = rs_tensor_new(&out->values, RS_I32, 1, &n);
  return status == RS_OK ? rs_dictionary_new(&out->dictionary) : status;
}

/* The prefix of each string that occurs, into map[its code]; -1 elsewhere. */
static rs_status map_prefixes(rs_column *out, const rs_column *strings, int64_t length, int32_t *map) {
  int64_t n = strings->values.size[0];
  const int32_t *from = rs_i32(&strings->values);
  for (int64_t i = 0; i <= strings->dictionary->n; i++) map[i] = i ? -1 : 0;
  for (int64_t i = 0; i < n; i++) {
    if (map[from[i]] < 0) {
      size_t size;
      const char *text = rs_dictionary_text(strings->dictionary, from[i], &size);
      rs_status status = intern(out->dictionary, text, prefix_bytes(text, size, length), &map[from[i]]);
      if (status != RS_OK) return status;
    }
    rs_i32(&out->values)[i] = map[from[i]];
  }
  return RS_OK;
}

rs_status rs_words_prefix(rs_column *out, const rs_column *strings, int64_t length) {
  size_t bytes = (size_t)(strings->dictionary->n + 1) * sizeof(int32_t);
  int32_t *map = rs_alloc(bytes);
  if (!map) return rs_nomem("words", bytes);
  rs_status status = begin_string(out, strings->values.size[0]);
  if (status == RS_OK) status = map_prefixes(out, strings, length, map);
  if (status != RS_OK) rs_column_free(out);
  rs_free(map);
  return status;
}

rs_status rs_words_of_numbers(rs_column *out, const rs_tensor *numbers) {
  rs_status status = begin_string(out, numbers->size[0]);
  double last = NAN;
  int32_t code = 0;
  for (int64_t i = 0; status == RS_OK && i < numbers->size[0]; i++) {
    double x = rs_f64(numbers)[i];
    char text[RS_TEXT_MAX];
    if (isnan(x)) {
      rs_i32(&out->values)[i] = 0;
      continue;
    }
    if (x != last) status = intern(out->dictionary, text, rs_format_number(text, x + 0.0), &code);
    last = x;
    rs_i32(&out->values)[i] = code;
  }
  if (status != RS_OK) rs_column_free(out);
  return status;
}

/* ---- join ---- */

static rs_status join_row(rs_buffer *text, const rs_column *const *columns, int n, int64_t row) {
  text->size = 0;
  for (int j = 0; j < n; j++) {
    size_t length;
    int32_t code = rs_i32(&columns[j]->values)[row];
    const char *part = rs_dictionary_text(columns[j]->dictionary, code, &length);
    rs_status status = j ? rs_buffer_append(text, "\x1f", 1) : RS_OK;
    if (status == RS_OK) status = rs_buffer_append(text, part, length);
    if (status != RS_OK) return status;
  }
  return RS_OK;
}

static bool misses_one(const rs_column *const *columns, int n, int64_t row) {
  for (int j = 0; j < n; j++)
    if (rs_i32(&columns[j]->values)[row] == 0) return true;
  return false;
}

rs_status rs_words_join(rs_column *out, const rs_column *const *columns, int n) {
  int64_t rows = columns[0]->values.size[0];
  rs_buffer text = {0};
  *out = (rs_column){.type = RS_STRING};
  rs_status status = rs_dictionary_new(&out->dictionary);
  if (status == RS_OK) status = rs_tensor_zeros(&out->values, RS_I32, 1, &rows);
  for (int64_t i = 0; status == RS_OK && i < rows; i++) {
    if (misses_one(columns, n, i)) continue;
    status = join_row(&text, columns, n, i);
    if (status == RS_OK) status = rs_dictionary_add(out->dictionary, text.data, text.size, &rs_i32(&out->values)[i]);
  }
  rs_buffer_free(&text);
  if (status != RS_OK) rs_column_free(out);
  return status;
}
