/* weigh.c - see weigh.h. */
#include "solve/weigh.h"

#include <math.h>

#include "base/alloc.h"
#include "base/parallel.h"

const char *const rs_weighting_names[] = {"cosine", "tfidf", "bm25", NULL};

enum { ROWS = 256 }; /* of a chunk */

typedef struct work {
  const rs_csr *m;
  const rs_weigh_options *options;
  float *out;
  double *idf; /* [width] */
  double rows, mean_length;
} work;

/* A matrix's values, of one dtype or the other. */
typedef struct numbers {
  const float *narrow;
  const double *wide;
} numbers;

static numbers values_of(const rs_csr *m) {
  return m->values.dtype == RS_F32 ? (numbers){.narrow = rs_f32(&m->values)} : (numbers){.wide = rs_f64(&m->values)};
}

static inline double value_at(numbers v, int64_t i) { return v.narrow ? (double)v.narrow[i] : v.wide[i]; }

bool rs_weigh_is_ones(const rs_csr *m) {
  numbers v = values_of(m);
  for (int64_t i = 0, n = rs_csr_entries(m); i < n; i++)
    if (value_at(v, i) != 1) return false;
  return true;
}

static rs_status check_entries(const rs_csr *m, bool signs) {
  const int64_t *starts = rs_i64(&m->starts);
  numbers v = values_of(m);
  for (int64_t r = 0; r < m->rows; r++)
    for (int64_t i = starts[r]; i < starts[r + 1]; i++) {
      double x = value_at(v, i);
      if (!isfinite(x) || (x < 0 && !signs))
        return rs_fail(RS_ERANGE, "weigh: an entry of row %lld is %g%s", (long long)r, x,
                       isfinite(x) ? ", and counts are 0 or more" : "");
    }
  return RS_OK;
}

/* The idf of each column and the mean length of a row. */
static void count(work *w) {
  const int64_t *starts = rs_i64(&w->m->starts);
  const int32_t *columns = rs_i32(&w->m->columns);
  double total = 0;
  numbers v = values_of(w->m);
  for (int64_t r = 0; r < w->m->rows; r++) w->rows += starts[r + 1] > starts[r];
  for (int64_t i = 0, n = rs_csr_entries(w->m); i < n; i++) {
    w->idf[columns[i]]++;
    total += value_at(v, i);
  }
  bool weighed = w->options->weighting != RS_COSINE;
  for (int64_t c = 0; c < w->m->width; c++) w->idf[c] = weighed ? log(w->rows) - log1p(w->idf[c]) : 1;
  w->mean_length = w->rows > 0 ? total / w->rows : 1;
}

/* What an entry x of a row of that length counts, whatever its column. */
static double part_of(const work *w, double x, double length) {
  const rs_weigh_options *o = w->options;
  if (o->weighting == RS_COSINE) return x;
  if (o->weighting == RS_TFIDF) return sqrt(x);
  double norm = 1 - o->b + o->b * length / w->mean_length;
  return x > 0 ? x * (o->k1 + 1) / (o->k1 * norm + x) : 0;
}

static void weigh_rows(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  const int64_t *starts = rs_i64(&w->m->starts);
  const int32_t *columns = rs_i32(&w->m->columns);
  numbers v = values_of(w->m);
  for (int64_t r = begin; r < end; r++) {
    double length = 0, squares = 0;
    for (int64_t i = starts[r]; i < starts[r + 1]; i++) length += value_at(v, i);
    for (int64_t i = starts[r]; i < starts[r + 1]; i++) {
      double x = part_of(w, value_at(v, i), length) * w->idf[columns[i]];
      w->out[i] = (float)x;
      squares += x * x;
    }
    if (!w->options->unit || squares == 0) continue;
    double scale = 1 / sqrt(squares);
    for (int64_t i = starts[r]; i < starts[r + 1]; i++) w->out[i] = (float)(w->out[i] * scale);
  }
}

static rs_status begin(work *w, const rs_csr *m, const rs_weigh_options *options) {
  *w = (work){.m = m, .options = options};
  if (!(options->k1 >= 0 && options->k1 <= 1e9) || !(options->b >= 0 && options->b <= 1))
    return rs_fail(RS_EARG, "weigh: K1 is %g and B %g; K1 is 0 or more, B from 0 to 1", options->k1, options->b);
  rs_status status = check_entries(m, options->weighting == RS_COSINE);
  if (status != RS_OK) return status;
  size_t bytes = ((size_t)m->width + 1) * sizeof(double);
  w->idf = rs_alloc_zero(bytes);
  if (!w->idf) return rs_nomem("weigh", bytes);
  count(w);
  return RS_OK;
}

rs_status rs_weigh(rs_csr *out, const rs_csr *m, const rs_weigh_options *options) {
  *out = (rs_csr){.rows = m->rows, .width = m->width};
  work w;
  rs_status status = begin(&w, m, options);
  if (status == RS_OK) status = rs_tensor_new(&out->values, RS_F32, 1, m->columns.size);
  if (status == RS_OK) {
    w.out = rs_f32(&out->values);
    rs_tensor_share(&out->starts, &m->starts);
    rs_tensor_share(&out->columns, &m->columns);
    rs_parallel_for(m->rows, ROWS, weigh_rows, &w);
  }
  rs_free(w.idf);
  return status;
}

rs_status rs_weigh_ones(rs_tensor *of_row, rs_tensor *of_column, const rs_csr *m, const rs_weigh_options *options) {
  work w;
  rs_status status = begin(&w, m, options);
  if (status == RS_OK) status = rs_tensor_new(of_row, RS_F32, 1, &m->rows);
  if (status == RS_OK) status = rs_tensor_new(of_column, RS_F32, 1, &m->width);
  const int64_t *starts = rs_i64(&m->starts);
  for (int64_t r = 0; status == RS_OK && r < m->rows; r++)
    rs_f32(of_row)[r] = (float)part_of(&w, 1, (double)(starts[r + 1] - starts[r]));
  for (int64_t c = 0; status == RS_OK && c < m->width; c++) rs_f32(of_column)[c] = (float)w.idf[c];
  rs_free(w.idf);
  return status;
}
