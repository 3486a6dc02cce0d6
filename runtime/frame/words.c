/* words.c - see words.h; tokenise.c has the words of texts. */
#include "frame/words.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "frame/pieces.h"
#include "frame/text.h"

/* ---- split ---- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static rs_status cut_at_separator(rs_pieces *p, const void *argument, const char *text, size_t length) {
  const char *separator = argument, *end = text + length;
  size_t width = strlen(separator);
  for (;;) {
    const char *next = memmem(text, (size_t)(end - text), separator, width);
    const char *from = text, *to = next ? next : end;
    while (from < to && is_space(*from)) from++;
    while (to > from && is_space(to[-1])) to--;
    rs_status status = to > from ? rs_pieces_add(p, from, (size_t)(to - from)) : RS_OK;
    if (status != RS_OK || !next) return status;
    text = next + width;
  }
}

rs_status rs_words_split(rs_column *out, const rs_column *strings, const char *separator) {
  return rs_pieces_cut(out, strings, cut_at_separator, separator);
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
