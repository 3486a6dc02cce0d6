/* profile.c - what a column holds. See profile.h. */
#include "frame/profile.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/profile_sort.h"

/* Scratch of one thread: as much as the column that needs most. */
typedef struct scratch {
  double *values, *spare; /* [rows] */
  int64_t *counts;        /* [codes + 1] */
} scratch;

typedef struct work {
  const rs_frame *f;
  rs_profile *out;
  int64_t top, bins;
  scratch *scratches; /* one a thread */
} work;

/* Keep 'candidate' when it is among the 'most' best: more frequent, or as frequent and found earlier. */
static void offer(rs_profile *p, int64_t most, rs_top candidate) {
  int64_t at = p->n_top;
  if (at == most && (most == 0 || p->top[at - 1].count >= candidate.count)) return;
  if (at < most) p->n_top++;
  if (at == most) at--;
  for (; at > 0 && p->top[at - 1].count < candidate.count; at--) p->top[at] = p->top[at - 1];
  p->top[at] = candidate;
}

/* Distinct values and the most frequent ones of sorted numbers. */
static void count_runs(rs_profile *p, const double *sorted, int64_t n, int64_t most) {
  for (int64_t begin = 0, end; begin < n; begin = end) {
    for (end = begin + 1; end < n && sorted[end] == sorted[begin];) end++;
    p->distinct++;
    offer(p, most, (rs_top){.number = sorted[begin], .count = end - begin});
  }
}

/* The same of codes by their counts. */
static void count_codes(rs_profile *p, const int64_t *counts, int64_t codes, int64_t most) {
  for (int64_t code = 1; code <= codes; code++) {
    if (counts[code] == 0) continue;
    p->distinct++;
    offer(p, most, (rs_top){.code = (int32_t)code, .count = counts[code]});
  }
}

static void choose_edges(rs_profile *p, int64_t bins) {
  const rs_spread *s = &p->spread;
  p->low = s->quantile[0];
  p->high = s->quantile[RS_PROFILE_QUANTILES - 1];
  if (p->low == p->high) p->low = s->min, p->high = s->max;
  p->n_bins = p->low == p->high ? 1 : bins;
  if (!isfinite(p->low) || !isfinite(p->high)) p->n_bins = 0;
  double values = ceil(p->high) - floor(p->low) + 1;
  if (p->whole && p->n_bins && values <= (double)bins) {
    p->low = floor(p->low) - 0.5;
    p->high = p->low + values;
    p->n_bins = (int64_t)values;
  }
}

static void fill_bins(rs_profile *p, const double *sorted, int64_t n) {
  double bins = (double)p->n_bins, width = (p->high - p->low) / bins;
  bool huge = !isfinite(width); /* the range is beyond a double: halves of it are not */
  if (huge) width = p->high / bins - p->low / bins;
  for (int64_t i = 0; p->n_bins && i < n; i++) {
    double at = !(width > 0) ? 0 : huge ? sorted[i] / width - p->low / width : (sorted[i] - p->low) / width;
    p->bins[at < 0 ? 0 : at >= bins ? p->n_bins - 1 : (int64_t)at]++;
  }
}

/* The spread and histogram of the n values in s. */
static const double *measure(rs_profile *p, scratch *s, int64_t n, int64_t bins) {
  const double *sorted = rs_sort_numbers(s->values, s->spare, n);
  rs_spread_of(&p->spread, sorted, n);
  p->missing = p->rows - n;
  if (n == 0) return sorted;
  choose_edges(p, bins);
  fill_bins(p, sorted, n);
  return sorted;
}

static int64_t collect_numbers(double *values, const rs_column *c, int64_t rows, bool *whole) {
  int64_t n = 0;
  *whole = true;
  for (int64_t i = 0; i < rows; i++) {
    double x = c->type == RS_NUMBER                      ? rs_f64(&c->values)[i]
               : rs_i64(&c->values)[i] == RS_TIME_MISSING ? NAN
                                                          : (double)rs_i64(&c->values)[i];
    if (isnan(x)) continue;
    if (x != floor(x)) *whole = false;
    values[n++] = x;
  }
  return n;
}

/* Characters of UTF-8: bytes that continue none. */
static int64_t characters(const rs_dictionary *d, int32_t code) {
  size_t length;
  const char *text = rs_dictionary_text(d, code, &length);
  int64_t n = 0;
  for (size_t i = 0; i < length; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
  return n;
}

/* Counts by code, and the number of characters of each present text. */
static int64_t collect_texts(scratch *s, const rs_column *c, int64_t rows) {
  const int32_t *codes = rs_i32(&c->values);
  int64_t n = 0;
  for (int64_t i = 0; i < rows; i++) s->counts[codes[i]]++;
  for (int32_t code = 1; code <= c->dictionary->n; code++) {
    double length = s->counts[code] ? (double)characters(c->dictionary, code) : 0;
    for (int64_t i = 0; i < s->counts[code]; i++) s->values[n++] = length;
  }
  return n;
}

static int64_t collect_lists(scratch *s, const rs_column *c, int64_t rows) {
  const int64_t *starts = rs_i64(&c->starts);
  const int32_t *lengths = rs_i32(&c->lengths), *codes = rs_i32(&c->values);
  int64_t n = 0;
  for (int64_t i = 0; i < rows; i++) {
    for (int32_t k = 0; k < lengths[i]; k++) s->counts[codes[starts[i] + k]]++;
    if (lengths[i] > 0) s->values[n++] = lengths[i];
  }
  return n;
}

static void profile_column(const work *w, int64_t at, scratch *s) {
  const rs_column *c = &w->f->columns[at];
  rs_profile *p = &w->out[at];
  int64_t rows = w->f->rows;
  *p = (rs_profile){.rows = rows};
  if (c->type == RS_NUMBER || c->type == RS_TIME) {
    int64_t n = collect_numbers(s->values, c, rows, &p->whole);
    count_runs(p, measure(p, s, n, w->bins), n, w->top);
    return;
  }
  memset(s->counts, 0, (size_t)(c->dictionary->n + 1) * sizeof *s->counts);
  int64_t n = c->type == RS_STRING ? collect_texts(s, c, rows) : collect_lists(s, c, rows);
  p->whole = true;
  measure(p, s, n, w->bins);
  count_codes(p, s->counts, c->dictionary->n, w->top);
}

static void profile_range(void *context, int64_t begin, int64_t end) {
  work *w = context;
  for (int64_t at = begin; at < end; at++) profile_column(w, at, &w->scratches[rs_thread_index()]);
}

static void free_scratches(scratch *all, int64_t n) {
  for (int64_t i = 0; all && i < n; i++) {
    rs_free(all[i].values);
    rs_free(all[i].spare);
    rs_free(all[i].counts);
  }
  rs_free(all);
}

static rs_status make_scratches(scratch **out, int64_t n, const rs_frame *f) {
  int64_t codes = 0;
  for (int i = 0; i < f->n_columns; i++)
    if (f->columns[i].dictionary && f->columns[i].dictionary->n > codes) codes = f->columns[i].dictionary->n;
  size_t bytes = (size_t)f->rows * sizeof(double), counts = (size_t)(codes + 1) * sizeof(int64_t);
  scratch *all = rs_alloc_zero((size_t)n * sizeof *all);
  bool whole = all;
  for (int64_t i = 0; whole && i < n; i++) {
    all[i].values = rs_alloc(bytes);
    all[i].spare = rs_alloc(bytes);
    all[i].counts = rs_alloc(counts);
    whole = all[i].values && all[i].spare && all[i].counts;
  }
  *out = all;
  return whole ? RS_OK : rs_nomem("column profiles", 2 * bytes + counts);
}

rs_status rs_profile_columns(rs_profile *out, const rs_frame *f, int64_t top, int64_t bins) {
  if (top < 0 || top > RS_PROFILE_TOP || bins < 1 || bins > RS_PROFILE_BINS)
    return rs_fail(RS_EARG, "column profiles: 0 to %d top values and 1 to %d bins are served", RS_PROFILE_TOP,
                   RS_PROFILE_BINS);
  work w = {.f = f, .out = out, .top = top, .bins = bins};
  int64_t threads = rs_threads();
  rs_status status = make_scratches(&w.scratches, threads, f);
  if (status == RS_OK) rs_parallel_for(f->n_columns, 1, profile_range, &w);
  free_scratches(w.scratches, threads);
  return status;
}
