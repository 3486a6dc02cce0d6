/* tokenise.c - texts to words, by either rule. ASCII text, most of what there is, takes a path without utf8proc; a test
 * holds the two equal. */
#include <string.h>
#include <utf8proc.h>

#include "base/buffer.h"
#include "frame/lower.h"
#include "frame/pieces.h"
#include "frame/words.h"

typedef struct rule {
  int64_t max;
} rule;

/* ---- words ---- */

static bool is_word_byte(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Words of a text that is ASCII throughout, which 'scratch' already holds in lower case. */
static rs_status cut_ascii_words(rs_pieces *p, int64_t max) {
  const char *text = p->scratch.data;
  size_t length = p->scratch.size;
  for (size_t i = 0; i < length && max > 0;) {
    size_t begin = i;
    while (i < length && is_word_byte((unsigned char)text[i])) i++;
    if (i == begin) {
      i++;
      continue;
    }
    rs_status status = rs_pieces_add(p, text + begin, i - begin);
    if (status != RS_OK) return status;
    max--;
  }
  return RS_OK;
}

/* A copy in 'scratch', ASCII letters lowered and bytes that are not UTF-8 made spaces; whether all of it is ASCII. */
static rs_status clean(rs_pieces *p, const char *text, size_t length, bool *ascii) {
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
static rs_status fold(rs_pieces *p, utf8proc_ssize_t *n) {
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
static rs_status cut_folded_words(rs_pieces *p, utf8proc_ssize_t n, int64_t max) {
  const utf8proc_int32_t *points = (const utf8proc_int32_t *)p->points.data;
  p->scratch.size = 0;
  for (utf8proc_ssize_t i = 0; i <= n && max > 0; i++) {
    if (i < n && is_word_point(points[i])) {
      rs_status status = rs_buffer_reserve(&p->scratch, 4);
      if (status != RS_OK) return status;
      utf8proc_uint8_t *to = (utf8proc_uint8_t *)p->scratch.data + p->scratch.size;
      p->scratch.size += (size_t)utf8proc_encode_char(points[i], to);
    } else if (p->scratch.size > 0) {
      rs_status status = rs_pieces_add(p, p->scratch.data, p->scratch.size);
      if (status != RS_OK) return status;
      p->scratch.size = 0;
      max--;
    }
  }
  return RS_OK;
}

static rs_status cut_words(rs_pieces *p, const void *argument, const char *text, size_t length) {
  const rule *r = argument;
  bool ascii;
  utf8proc_ssize_t n = 0;
  rs_status status = clean(p, text, length, &ascii);
  if (status != RS_OK || ascii) return status == RS_OK ? cut_ascii_words(p, r->max) : status;
  status = fold(p, &n);
  return status == RS_OK ? cut_folded_words(p, n, r->max) : status;
}

/* ---- scikit-learn's ---- */

/* The bytes of the character at text[at] when Python's \w matches it, else 0; *step: how far to go on. */
static size_t word_character(const char *text, size_t at, size_t length, size_t *step) {
  unsigned char c = (unsigned char)text[at];
  *step = 1;
  if (c < 0x80) return is_word_byte(c) || c == '_';
  utf8proc_int32_t point;
  utf8proc_ssize_t width =
      utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(length - at), &point);
  if (width <= 0) return 0;
  *step = (size_t)width;
  utf8proc_category_t category = utf8proc_category(point);
  bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
  return letter || (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) ? *step : 0;
}

/* Runs of two characters or more, as (?u)\b\w\w+\b finds them. */
static rs_status cut_sklearn_words(rs_pieces *p, const void *argument, const char *text, size_t length) {
  int64_t left = ((const rule *)argument)->max;
  bool ascii;
  rs_status status = rs_lower(&p->scratch, text, length, &ascii);
  const char *lower = p->scratch.data;
  size_t end = p->scratch.size;
  for (size_t at = 0, step; status == RS_OK && at < end && left > 0; at += step) {
    size_t begin = at, characters = 0, bytes;
    for (step = 0; at < end && (bytes = word_character(lower, at, end, &step)) > 0; at += bytes) characters++;
    if (characters < 2) continue;
    status = rs_pieces_add(p, lower + begin, at - begin);
    left--;
  }
  return status;
}

rs_status rs_token_rule_named(rs_token_rule *out, const char *name) {
  *out = strcmp(name, "sklearn") == 0 ? RS_TOKENS_SKLEARN : RS_TOKENS_WORDS;
  if (*out == RS_TOKENS_WORDS && strcmp(name, "words") != 0)
    return rs_fail(RS_EFORMAT, "tokens is '%.40s', not words or sklearn", name);
  return RS_OK;
}

rs_status rs_words_tokenise(rs_column *out, const rs_column *strings, rs_token_rule tokens, int64_t max) {
  rule r = {max};
  return rs_pieces_cut(out, strings, tokens == RS_TOKENS_SKLEARN ? cut_sklearn_words : cut_words, &r);
}
