/* ngrams.c - lists of words to lists of other words: without some of them, or their n-grams. */
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/buffer.h"
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
  rs_dictionary *dictionary;
  rs_buffer codes, text, ends; /* codes of all lists; one n-gram or word; where the code points of a word end */
} grams;

static rs_status add(grams *g, const char *text, size_t length) {
  int32_t code;
  rs_status status = rs_dictionary_add(g->dictionary, text, length, &code);
  return status == RS_OK ? rs_buffer_append(&g->codes, &code, sizeof code) : status;
}

/* n words from 'words' on, joined by spaces. */
static rs_status add_joined(grams *g, const rs_dictionary *d, const int32_t *words, int64_t n) {
  rs_status status = RS_OK;
  g->text.size = 0;
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    size_t length;
    const char *text = rs_dictionary_text(d, words[i], &length);
    if (i) status = rs_buffer_append(&g->text, " ", 1);
    if (status == RS_OK) status = rs_buffer_append(&g->text, text, length);
  }
  return status == RS_OK ? add(g, g->text.data, g->text.size) : status;
}

/* "<word>" into g->text, where each of its code points ends into g->ends. */
static rs_status frame_word(grams *g, const char *word, size_t length) {
  g->text.size = g->ends.size = 0;
  rs_status status = rs_buffer_append(&g->text, "<", 1);
  if (status == RS_OK) status = rs_buffer_append(&g->text, word, length);
  if (status == RS_OK) status = rs_buffer_append(&g->text, ">", 1);
  for (size_t at = 0; status == RS_OK && at < g->text.size;) {
    utf8proc_int32_t point;
    utf8proc_ssize_t width = utf8proc_iterate((const utf8proc_uint8_t *)g->text.data + at,
                                              (utf8proc_ssize_t)(g->text.size - at), &point);
    at += width > 0 ? (size_t)width : 1;
    status = rs_buffer_append(&g->ends, &at, sizeof at);
  }
  return status;
}

static rs_status add_characters(grams *g, const rs_dictionary *d, int32_t word, int64_t n) {
  size_t length;
  const char *text = rs_dictionary_text(d, word, &length);
  rs_status status = frame_word(g, text, length);
  const size_t *ends = (const size_t *)g->ends.data;
  int64_t points = (int64_t)(g->ends.size / sizeof *ends);
  for (int64_t i = 0; status == RS_OK && i + n <= points; i++) {
    size_t begin = i ? ends[i - 1] : 0;
    status = add(g, g->text.data + begin, ends[i + n - 1] - begin);
  }
  return status;
}

static rs_status add_list(grams *g, const rs_dictionary *d, const int32_t *words, int64_t n, rs_ngram_rule rule) {
  rs_status status = RS_OK;
  for (int64_t size = rule.low; size <= rule.high; size++)
    for (int64_t i = 0; status == RS_OK && (rule.characters ? i < n : i + size <= n); i++)
      status = rule.characters ? add_characters(g, d, words[i], size) : add_joined(g, d, words + i, size);
  return status;
}

static rs_status add_lists(grams *g, rs_column *out, const rs_column *lists, rs_ngram_rule rule) {
  int64_t n = lists->starts.size[0];
  rs_status status = rs_dictionary_new(&g->dictionary);
  if (status == RS_OK) status = rs_tensor_new(&out->starts, RS_I64, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->lengths, RS_I32, 1, &n);
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    int64_t before = (int64_t)(g->codes.size / sizeof(int32_t));
    status = add_list(g, lists->dictionary, rs_i32(&lists->values) + rs_i64(&lists->starts)[i],
                      rs_i32(&lists->lengths)[i], rule);
    int64_t added = (int64_t)(g->codes.size / sizeof(int32_t)) - before;
    if (added > INT32_MAX) return rs_fail(RS_ERANGE, "n-grams: more than %d in one list", INT32_MAX);
    rs_i64(&out->starts)[i] = before;
    rs_i32(&out->lengths)[i] = (int32_t)added;
  }
  int64_t total = (int64_t)(g->codes.size / sizeof(int32_t));
  if (status == RS_OK) status = rs_tensor_new(&out->values, RS_I32, 1, &total);
  if (status == RS_OK && total) memcpy(rs_i32(&out->values), g->codes.data, g->codes.size);
  return status;
}

rs_status rs_words_ngrams(rs_column *out, const rs_column *lists, rs_ngram_rule rule) {
  grams g = {0};
  *out = (rs_column){.type = RS_LIST};
  rs_status status = add_lists(&g, out, lists, rule);
  if (status == RS_OK) {
    out->dictionary = g.dictionary;
    g.dictionary = NULL;
  } else {
    rs_column_free(out);
  }
  rs_dictionary_release(g.dictionary);
  rs_buffer_free(&g.codes);
  rs_buffer_free(&g.text);
  rs_buffer_free(&g.ends);
  return status;
}
