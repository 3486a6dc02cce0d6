/* profile_overlap.c - which keys of two columns match. See profile.h.
 *
 * Each column becomes a set of texts with the number of rows of each: strings have their dictionary, numbers get one of
 * their distinct values. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/profile_sort.h"
#include "frame/text.h"

enum { EXAMPLES = sizeof((rs_overlap *)0)->examples / sizeof *((rs_overlap *)0)->examples };

typedef struct key_set {
  rs_dictionary *texts; /* a reference of its own */
  int64_t *rows;        /* [texts + 1] */
  int64_t n_rows, missing;
} key_set;

static void free_set(key_set *s) {
  rs_dictionary_release(s->texts);
  rs_free(s->rows);
  *s = (key_set){0};
}

static rs_status count_rows(key_set *s, int64_t n) {
  s->rows = rs_alloc_zero((size_t)(n + 1) * sizeof *s->rows);
  return s->rows ? RS_OK : rs_nomem("key comparison", (size_t)(n + 1) * sizeof *s->rows);
}

static rs_status set_of_strings(key_set *s, const rs_column *c) {
  s->texts = c->dictionary;
  rs_dictionary_retain(s->texts);
  rs_status status = count_rows(s, s->texts->n);
  for (int64_t i = 0; status == RS_OK && i < s->n_rows; i++) s->rows[rs_i32(&c->values)[i]]++;
  if (status == RS_OK) s->missing = s->rows[0];
  return status;
}

static int64_t runs(const double *sorted, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) count += i == 0 || sorted[i] != sorted[i - 1];
  return count;
}

static rs_status add_runs(key_set *s, const double *sorted, int64_t n) {
  rs_status status = count_rows(s, runs(sorted, n));
  for (int64_t begin = 0, end; status == RS_OK && begin < n; begin = end) {
    for (end = begin + 1; end < n && sorted[end] == sorted[begin];) end++;
    char text[RS_TEXT_MAX];
    int32_t code;
    status = rs_dictionary_add(s->texts, text, rs_format_number(text, sorted[begin]), &code);
    if (status == RS_OK) s->rows[code] = end - begin;
  }
  return status;
}

static rs_status set_of_numbers(key_set *s, const rs_column *c) {
  size_t bytes = 2 * (size_t)s->n_rows * sizeof(double);
  double *values = rs_alloc(bytes);
  rs_status status = values ? rs_dictionary_new(&s->texts) : rs_nomem("key comparison", bytes);
  int64_t n = 0;
  for (int64_t i = 0; status == RS_OK && i < s->n_rows; i++) {
    double x = rs_f64(&c->values)[i];
    if (!isnan(x)) values[n++] = x;
  }
  s->missing = s->n_rows - n;
  if (status == RS_OK) status = add_runs(s, rs_sort_numbers(values, values + s->n_rows, n), n);
  rs_free(values);
  return status;
}

static rs_status make_set(key_set *s, const rs_column *c) {
  *s = (key_set){.n_rows = rs_column_rows(c)};
  if (c->type == RS_STRING) return set_of_strings(s, c);
  if (c->type == RS_NUMBER) return set_of_numbers(s, c);
  return rs_fail(RS_EARG, "key comparison: column '%s' is a %s; strings and numbers are keys", c->name,
                 rs_column_type_name(c->type));
}

static bool holds(const key_set *s, const char *text, size_t length) {
  int32_t code = rs_dictionary_find(s->texts, text, length);
  return code && s->rows[code] > 0;
}

/* The codes without a partner that have the most rows, found earlier first among equals. */
typedef struct worst {
  int64_t n;
  int32_t codes[EXAMPLES];
} worst;

static void offer(worst *w, const key_set *s, int32_t code) {
  int64_t at = w->n;
  if (at == EXAMPLES && s->rows[w->codes[at - 1]] >= s->rows[code]) return;
  if (at < EXAMPLES)
    w->n++;
  else
    at--;
  for (; at > 0 && s->rows[w->codes[at - 1]] < s->rows[code]; at--) w->codes[at] = w->codes[at - 1];
  w->codes[at] = code;
}

static rs_status keep_examples(rs_overlap *o, const worst *w, const key_set *s) {
  size_t length, at = 0;
  for (int64_t i = 0; i < w->n; i++) {
    const char *text = rs_dictionary_text(s->texts, w->codes[i], &length);
    rs_status status = rs_buffer_append(&o->bytes, text, length);
    if (status != RS_OK) return status;
    o->examples[i].length = length;
    o->examples[i].rows = s->rows[w->codes[i]];
  }
  for (int64_t i = 0; i < w->n; at += o->examples[i++].length) o->examples[i].text = o->bytes.data + at;
  o->n_examples = w->n;
  return RS_OK;
}

static rs_status compare(rs_overlap *o, const key_set *s, const key_set *other) {
  worst w = {0};
  *o = (rs_overlap){.rows = s->n_rows, .missing = s->missing};
  for (int32_t code = 1; code <= s->texts->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(s->texts, code, &length);
    if (s->rows[code] == 0) continue;
    o->keys++;
    if (holds(other, text, length)) continue;
    o->unmatched_keys++;
    o->unmatched_rows += s->rows[code];
    offer(&w, s, code);
  }
  return keep_examples(o, &w, s);
}

rs_status rs_column_overlap(rs_overlap *left, rs_overlap *right, const rs_column *a, const rs_column *b) {
  key_set s = {0}, t = {0};
  rs_status status = make_set(&s, a);
  if (status == RS_OK) status = make_set(&t, b);
  if (status == RS_OK) status = compare(left, &s, &t);
  if (status == RS_OK) status = compare(right, &t, &s);
  if (status != RS_OK) {
    rs_overlap_free(left);
    rs_overlap_free(right);
  }
  free_set(&s);
  free_set(&t);
  return status;
}

void rs_overlap_free(rs_overlap *o) {
  rs_buffer_free(&o->bytes);
  *o = (rs_overlap){0};
}
