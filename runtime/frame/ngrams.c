/* ngrams.c - lists of words to lists of other words: without some of them, or their n-grams. */
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "frame/pieces.h"
#include "frame/words.h"

/* ---- without ---- */

/* keep[code]: whether the vocabulary lacks the string. */
static void mark_kept(const rs_dictionary *d, const rs_vocabulary *vocabulary, char *keep) {
  for (int32_t code = 1; code <= d->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(d, code, &length);
    keep[code] = rs_vocabulary_find(vocabulary, text, length) == 0;
  }
}

static rs_status keep_values(rs_column *out, const rs_column *lists, const char *keep) {
  int64_t n = lists->starts.size[0], total = 0, at = 0;
  for (int64_t i = 0; i < n; i++) total += rs_i32(&lists->lengths)[i];
  rs_status status = rs_tensor_new(&out->starts, RS_I64, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->lengths, RS_I32, 1, &n);
  if (status == RS_OK) status = rs_tensor_zeros(&out->values, RS_I32, 1, &total); /* codes behind the last list, too */
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    const int32_t *from = rs_i32(&lists->values) + rs_i64(&lists->starts)[i];
    rs_i64(&out->starts)[i] = at;
    for (int32_t j = 0; j < rs_i32(&lists->lengths)[i]; j++)
      if (keep[from[j]]) rs_i32(&out->values)[at++] = from[j];
    rs_i32(&out->lengths)[i] = (int32_t)(at - rs_i64(&out->starts)[i]);
  }
  return status;
}

rs_status rs_words_without(rs_column *out, const rs_column *lists, const rs_vocabulary *vocabulary) {
  *out = (rs_column){.type = RS_LIST};
  size_t bytes = (size_t)lists->dictionary->n + 1;
  char *keep = rs_alloc_zero(bytes);
  if (!keep) return rs_nomem("words", bytes);
  mark_kept(lists->dictionary, vocabulary, keep);
  rs_status status = keep_values(out, lists, keep);
  if (status == RS_OK) {
    rs_dictionary_retain(lists->dictionary);
    out->dictionary = lists->dictionary;
  } else {
    rs_column_free(out);
  }
  rs_free(keep);
  return status;
}

/* ---- n-grams ---- */

typedef struct grams {
  const rs_column *lists;
  rs_ngram_rule rule;
} grams;

/* n words from 'words' on, joined by spaces. */
static rs_status add_joined(rs_pieces *p, const rs_dictionary *d, const int32_t *words, int64_t n) {
  rs_status status = RS_OK;
  p->scratch.size = 0;
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    size_t length;
    const char *text = rs_dictionary_text(d, words[i], &length);
    if (i) status = rs_buffer_append(&p->scratch, " ", 1);
    if (status == RS_OK) status = rs_buffer_append(&p->scratch, text, length);
  }
  return status == RS_OK ? rs_pieces_add(p, p->scratch.data, p->scratch.size) : status;
}

/* "<word>" into p->scratch, where each of its code points ends, a size_t each, into p->points. */
static rs_status frame_word(rs_pieces *p, const char *word, size_t length) {
  p->scratch.size = p->points.size = 0;
  rs_status status = rs_buffer_append(&p->scratch, "<", 1);
  if (status == RS_OK) status = rs_buffer_append(&p->scratch, word, length);
  if (status == RS_OK) status = rs_buffer_append(&p->scratch, ">", 1);
  for (size_t at = 0; status == RS_OK && at < p->scratch.size;) {
    utf8proc_int32_t point;
    utf8proc_ssize_t width = utf8proc_iterate((const utf8proc_uint8_t *)p->scratch.data + at,
                                              (utf8proc_ssize_t)(p->scratch.size - at), &point);
    at += width > 0 ? (size_t)width : 1;
    status = rs_buffer_append(&p->points, &at, sizeof at);
  }
  return status;
}

static rs_status add_characters(rs_pieces *p, const rs_dictionary *d, int32_t word, int64_t n) {
  size_t length;
  const char *text = rs_dictionary_text(d, word, &length);
  rs_status status = frame_word(p, text, length);
  const size_t *ends = (const size_t *)p->points.data;
  int64_t points = (int64_t)(p->points.size / sizeof *ends);
  for (int64_t i = 0; status == RS_OK && i + n <= points; i++) {
    size_t begin = i ? ends[i - 1] : 0;
    status = rs_pieces_add(p, p->scratch.data + begin, ends[i + n - 1] - begin);
  }
  return status;
}

static rs_status add_list(rs_pieces *p, const void *context, int64_t row) {
  const grams *g = context;
  const rs_dictionary *d = g->lists->dictionary;
  const int32_t *words = rs_i32(&g->lists->values) + rs_i64(&g->lists->starts)[row];
  int64_t n = rs_i32(&g->lists->lengths)[row];
  rs_status status = RS_OK;
  for (int64_t size = g->rule.low; size <= g->rule.high; size++)
    for (int64_t i = 0; status == RS_OK && (g->rule.characters ? i < n : i + size <= n); i++)
      status = g->rule.characters ? add_characters(p, d, words[i], size) : add_joined(p, d, words + i, size);
  return status;
}

rs_status rs_words_ngrams(rs_column *out, const rs_column *lists, rs_ngram_rule rule) {
  grams g = {lists, rule};
  return rs_pieces_make(out, lists->starts.size[0], add_list, &g);
}
