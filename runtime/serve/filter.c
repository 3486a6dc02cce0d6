/* filter.c - see filter.h. The condition is worked out as it is read: a bitmap each level, no tree. */
#include "serve/filter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "frame/frame.h"
#include "frame/text.h"
#include "serve/items.h"
#include "serve/json_read.h"

typedef struct making {
  const rs_server_model *model;
  rs_json_reader reader;
  int64_t n, words; /* items; of a bitmap */
  int64_t rows;     /* of the columns: items that came later have none, so no values */
  int conditions;
  rs_block marks;  /* which codes of a dictionary are meant */
  rs_block values; /* the numbers or times of a set: 8 bytes each */
} making;

/* Each condition looks at every item, however many values it names. */
enum { MOST_CONDITIONS = 100 };

/* ---- attributes ---- */

/* What a filter, or a cap, may name. */
static void list_attributes(const rs_server_model *m, bool cap, char *out, size_t room) {
  size_t n = (size_t)snprintf(out, room, "%s", cap ? "" : "item");
  for (int i = 0; i < m->attributes.n_columns && n + 8 < room; i++) {
    const rs_column *c = &m->attributes.columns[i];
    if (cap && !rs_may_cap(c)) continue;
    int wrote = snprintf(out + n, room - n, "%s%.64s", n > 0 ? ", " : "", c->name);
    n += (size_t)wrote < room - n ? (size_t)wrote : room - n - 1;
  }
  if (n == 0) snprintf(out, room, "none");
}

bool rs_may_cap(const rs_column *c) { return c->type == RS_STRING || c->type == RS_LIST; }

rs_status rs_attribute(const rs_server_model *m, rs_span name, bool cap, const rs_column **out) {
  char known[300];
  *out = NULL;
  for (int i = 0; i < m->attributes.n_columns; i++)
    if (rs_span_is(name, m->attributes.columns[i].name)) *out = &m->attributes.columns[i];
  if (*out) return RS_OK;
  if (!m->has_attributes)
    return rs_fail(RS_EARG, "the bundle has no member items.attributes.safetensors, which filters and caps read: "
                   "publish the model anew");
  list_attributes(m, cap, known, sizeof known);
  return rs_fail(RS_EARG, "items have no attribute '%.*s'%s; there are %s", (int)(name.length < 64 ? name.length : 64),
                 name.text, cap ? " of strings" : "", known);
}

/* ---- one value ---- */

/* Rows one of whose codes is marked. */
static void rows_of_marks(const rs_column *c, const uint8_t *marks, int64_t n, uint64_t *bits) {
  const int32_t *codes = rs_i32(&c->values);
  if (c->type == RS_STRING) {
    for (int64_t i = 0; i < n; i++) bits[i >> 6] |= (uint64_t)marks[codes[i]] << (i & 63);
    return;
  }
  const int64_t *starts = rs_i64(&c->starts);
  const int32_t *lengths = rs_i32(&c->lengths);
  for (int64_t i = 0; i < n; i++)
    for (int32_t j = 0; j < lengths[i]; j++)
      if (marks[codes[starts[i] + j]]) rs_bitmap_set(bits, i);
}

/* A string of a string or list column; a whole number stands for its digits. */
static bool read_name(making *x, rs_span *text) {
  rs_read_kind kind = rs_read_next(&x->reader);
  if (kind == RS_READ_NUMBER) return rs_read_any(&x->reader, text);
  if (kind != RS_READ_STRING) return rs_read_refuse(&x->reader, RS_EARG, "a string is compared with a string");
  return rs_read_text(&x->reader, text);
}

static bool read_time(making *x, int64_t *ms) {
  rs_read_kind kind = rs_read_next(&x->reader);
  if (kind != RS_READ_NUMBER && kind != RS_READ_STRING)
    return rs_read_refuse(&x->reader, RS_EARG, "a time is compared with a date such as 2024-01-31T12:00, or with ms");
  return rs_read_time(&x->reader, ms);
}

/* ---- sets of values ---- */

static bool no_memory(making *x, size_t bytes) {
  if (x->reader.status == RS_OK) x->reader.status = rs_nomem("filter", bytes);
  return false;
}

/* Go to the next value of a set, which a single one is, too; false at the end, and on failure. */
static bool next_value(making *x, bool list, int64_t n) { return list ? rs_read_item(&x->reader) : n == 0; }

/* Items with these ids. */
static bool add_ids(making *x, bool list, uint64_t *bits) {
  rs_span text;
  for (int64_t n = 0; next_value(x, list, n); n++) {
    if (!read_name(x, &text)) return false;
    int64_t row = rs_server_model_find_item(x->model, text.text, text.length);
    if (row >= 0) rs_bitmap_set(bits, row);
  }
  return x->reader.status == RS_OK;
}

static bool add_names(making *x, const rs_column *c, bool list, uint64_t *bits) {
  size_t bytes = (size_t)c->dictionary->n + 1;
  uint8_t *marks = rs_block_zero(&x->marks, bytes);
  rs_span text;
  if (!marks) return no_memory(x, bytes);
  for (int64_t n = 0; next_value(x, list, n); n++) {
    if (!read_name(x, &text)) return false;
    marks[rs_dictionary_find(c->dictionary, text.text, text.length)] = 1;
  }
  marks[0] = 0; /* what no item has, and what is missing */
  if (x->reader.status == RS_OK) rows_of_marks(c, marks, x->rows, bits);
  return x->reader.status == RS_OK;
}

static int by_time(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int by_number(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Room for value n of the set. */
static void *value_at(making *x, int64_t n) {
  size_t bytes = (size_t)(n + 1) * sizeof(int64_t);
  if (bytes > x->values.bytes) {
    void *grown = rs_realloc(x->values.data, 2 * bytes + 64);
    if (!grown) return no_memory(x, 2 * bytes), NULL;
    x->values = (rs_block){grown, 2 * bytes + 64};
  }
  return (char *)x->values.data + (size_t)n * sizeof(int64_t);
}

/* Times or numbers: the set in order, in which each row's is looked for. A missing one is equal to none. */
static bool add_values(making *x, const rs_column *c, bool list, uint64_t *bits) {
  bool times = c->type == RS_TIME;
  int64_t n = 0;
  for (; next_value(x, list, n); n++) {
    void *value = value_at(x, n);
    if (!value || (times ? !read_time(x, value) : !rs_read_number(&x->reader, value))) return false;
  }
  if (x->reader.status != RS_OK) return false;
  int (*compare)(const void *, const void *) = times ? by_time : by_number;
  if (n > 1) qsort(x->values.data, (size_t)n, sizeof(int64_t), compare);
  const char *rows = rs_tensor_data(&c->values);
  for (int64_t i = 0; n > 0 && i < x->rows; i++)
    if (!rs_column_is_missing(c, i) && bsearch(rows + 8 * i, x->values.data, (size_t)n, sizeof(int64_t), compare))
      rs_bitmap_set(bits, i);
  return true;
}

/* The rows that are equal to the value that is read next, or to one of the list's; 'c' NULL: by id. */
static bool add_equal(making *x, const rs_column *c, bool list, uint64_t *bits) {
  if (list) rs_read_array(&x->reader);
  if (!c) return add_ids(x, list, bits);
  return (c->type == RS_STRING || c->type == RS_LIST ? add_names : add_values)(x, c, list, bits);
}

static void add_missing(const making *x, const rs_column *c, uint64_t *bits) {
  for (int64_t i = 0; c && i < x->n; i++)
    if (i >= x->rows || rs_column_is_missing(c, i)) rs_bitmap_set(bits, i);
}

/* ---- ranges ---- */

/* As f64 both bounds of numbers; as i64 those of times. */
typedef struct range {
  double from, to;
  int64_t begin, end;
  bool above, below; /* the bound itself is outside */
} range;

static bool read_bound(making *x, const rs_column *c, rs_span key, range *r) {
  bool low = key.text[0] == 'g', open = key.length == 2;
  int64_t ms = 0;
  double number = 0;
  if (c->type == RS_TIME ? !read_time(x, &ms) : !rs_read_number(&x->reader, &number)) return false;
  if (low)
    r->begin = ms, r->from = number, r->above = open;
  else
    r->end = ms, r->to = number, r->below = open;
  return true;
}

static bool within_times(const range *r, int64_t x) {
  return x != RS_TIME_MISSING && (r->above ? x > r->begin : x >= r->begin) && (r->below ? x < r->end : x <= r->end);
}

static bool within_numbers(const range *r, double x) { /* false for NaN */
  return (r->above ? x > r->from : x >= r->from) && (r->below ? x < r->to : x <= r->to);
}

static bool add_range(making *x, const rs_column *c, uint64_t *bits) {
  range r = {-INFINITY, INFINITY, INT64_MIN + 1, INT64_MAX, false, false};
  rs_span key;
  int had = 0;
  if (!rs_read_object(&x->reader)) return false;
  while (rs_read_key(&x->reader, &key)) {
    bool known = rs_span_is(key, "gt") || rs_span_is(key, "gte") || rs_span_is(key, "lt") || rs_span_is(key, "lte");
    if (!known) return rs_read_unknown(&x->reader, "gt, gte, lt, lte");
    int bit = key.text[0] == 'g' ? 1 : 2;
    if (had & bit) return rs_read_refuse(&x->reader, RS_EARG, "a range has one bound on each side");
    had |= bit;
    if (!c || c->type == RS_STRING || c->type == RS_LIST)
      return rs_read_refuse(&x->reader, RS_EARG, "only numbers and times have ranges");
    if (!read_bound(x, c, key, &r)) return false;
  }
  if (x->reader.status != RS_OK) return false;
  if (had == 0) return rs_read_refuse(&x->reader, RS_EARG, "a range has gt, gte, lt or lte");
  const int64_t *times = c->type == RS_TIME ? rs_i64(&c->values) : NULL;
  const double *numbers = times ? NULL : rs_f64(&c->values);
  for (int64_t i = 0; i < x->rows; i++)
    bits[i >> 6] |= (uint64_t)(times ? within_times(&r, times[i]) : within_numbers(&r, numbers[i])) << (i & 63);
  return true;
}

/* ---- conditions ---- */

/* The rows of an attribute's condition into 'bits', which is empty. */
static bool add_attribute(making *x, const rs_column *c, uint64_t *bits) {
  switch (rs_read_next(&x->reader)) {
    case RS_READ_OBJECT: return add_range(x, c, bits);
    case RS_READ_NULL: return add_missing(x, c, bits), rs_read_null(&x->reader);
    case RS_READ_ARRAY: return add_equal(x, c, true, bits);
    default: return add_equal(x, c, false, bits);
  }
}

static bool condition(making *x, uint64_t *bits);

/* All or any of a list of conditions into 'bits', which is empty; 'own' is room for one of them. */
static bool several(making *x, bool all, uint64_t *bits, uint64_t *own) {
  int64_t count = 0;
  rs_bitmap_fill(bits, x->n, all);
  if (!rs_read_array(&x->reader)) return false;
  for (; rs_read_item(&x->reader); count++) {
    rs_bitmap_fill(own, x->n, false);
    if (!condition(x, own)) return false;
    (all ? rs_bitmap_and : rs_bitmap_or)(bits, own, x->n);
  }
  if (count == 0) return rs_read_refuse(&x->reader, RS_EARG, "a list of conditions has one at least");
  return x->reader.status == RS_OK;
}

/* What one key says into 'bits', which is empty. */
static bool part(making *x, rs_span key, uint64_t *bits, uint64_t *own) {
  const rs_column *c = NULL;
  if (++x->conditions > MOST_CONDITIONS)
    return rs_read_refuse(&x->reader, RS_EARG, "a filter of more than %d conditions", MOST_CONDITIONS);
  if (rs_span_is(key, "and") || rs_span_is(key, "or")) return several(x, key.length == 3, bits, own);
  if (rs_span_is(key, "not")) {
    if (!condition(x, bits)) return false;
    rs_bitmap_fill(own, x->n, true);
    rs_bitmap_andnot(own, bits, x->n);
    memcpy(bits, own, (size_t)x->words * sizeof *bits);
    return true;
  }
  if (!rs_span_is(key, "item") && rs_attribute(x->model, key, false, &c) != RS_OK) {
    char why[400];
    snprintf(why, sizeof why, "%s", rs_message());
    return rs_read_refuse(&x->reader, RS_EARG, "%s", why);
  }
  return add_attribute(x, c, bits);
}

/* All that an object says into 'bits', which is empty. */
static bool condition(making *x, uint64_t *bits) {
  rs_span key;
  uint64_t *one = rs_alloc((size_t)x->words * 2 * sizeof *one);
  if (!one) return x->reader.status = rs_nomem("filter", (size_t)x->words * 2 * sizeof *one), false;
  rs_bitmap_fill(bits, x->n, true);
  bool fine = rs_read_object(&x->reader);
  while (fine && rs_read_key(&x->reader, &key)) {
    rs_bitmap_fill(one, x->n, false);
    fine = part(x, key, one, one + x->words);
    if (fine) rs_bitmap_and(bits, one, x->n);
  }
  rs_free(one);
  return fine && x->reader.status == RS_OK;
}

static rs_status make(const rs_server_model *m, rs_buffer *room, rs_span filter, uint64_t *bits) {
  making x = {.model = m, .n = m->vectors.size[0], .rows = m->attributes.rows};
  x.words = rs_bitmap_words(x.n);
  rs_status status = rs_read_begin(&x.reader, filter.text, filter.length, room, "filter");
  if (status == RS_OK && condition(&x, bits)) rs_read_end(&x.reader);
  rs_free(x.marks.data);
  rs_free(x.values.data);
  return x.reader.status;
}

/* ---- keeping ---- */

static rs_kept_filter *find(rs_serve_scratch *s, rs_span filter) {
  for (int i = 0; i < RS_KEPT_FILTERS; i++) {
    rs_kept_filter *f = &s->filters[i];
    if (f->used > 0 && f->length == filter.length && memcmp(f->text.data, filter.text, filter.length) == 0) return f;
  }
  return NULL;
}

/* The place that was not used for the longest time; of large catalogues fewer are kept. */
static rs_kept_filter *oldest(rs_serve_scratch *s, size_t bytes) {
  size_t fit = RS_KEPT_BYTES / (bytes + 1);
  int places = fit < 2 ? 2 : fit < RS_KEPT_FILTERS ? (int)fit : RS_KEPT_FILTERS;
  rs_kept_filter *found = &s->filters[0];
  for (int i = 1; i < places; i++)
    if (s->filters[i].used < found->used) found = &s->filters[i];
  return found;
}

rs_status rs_filter_bitmap(const rs_server_model *m, rs_serve_scratch *s, rs_span filter, const uint64_t **bits,
                           int64_t *n) {
  size_t bytes = (size_t)rs_bitmap_words(m->vectors.size[0]) * sizeof(uint64_t);
  rs_kept_filter *f = find(s, filter);
  if (!f) {
    f = oldest(s, bytes);
    f->used = 0;
    if (!rs_block_need(&f->text, filter.length + 1) || !rs_block_need(&f->bits, bytes))
      return rs_nomem("filter", bytes);
    rs_status status = make(m, &s->room, filter, f->bits.data);
    if (status != RS_OK) return status;
    memcpy(f->text.data, filter.text, filter.length);
    f->length = filter.length;
    f->n = rs_bitmap_count(f->bits.data, m->vectors.size[0]);
  }
  f->used = ++s->clock;
  *bits = f->bits.data;
  *n = f->n;
  return RS_OK;
}
