/* bootstrap.c - see bootstrap.h.
 *
 * Sums per user once, then each resample is a weighted sum of the users' rows; a chunk of resamples goes through the
 * rows together, so that a row is read once a chunk. */
#include "metrics/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/wide.h"

enum { CHUNK = 8 }; /* resamples that pass over the users together */

typedef struct job {
  int64_t metrics, users, samples, width;
  bool shared;     /* no NaN: one count serves all metrics */
  double *sums;    /* [users, width]: per metric the sum, then the count(s) */
  double *totals;  /* [threads, CHUNK, width] */
  uint32_t *drawn; /* [threads, CHUNK, users] */
  double *out;     /* [metrics, samples] */
  uint64_t seed;
} job;

typedef struct cluster {
  int64_t user, place;
} cluster;

static int by_user(const void *a, const void *b) {
  const cluster *x = a, *y = b;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  return (x->place > y->place) - (x->place < y->place);
}

static int64_t meant(const rs_measured *m) { return m->rows ? m->n_rows : m->queries; }
static int64_t row_at(const rs_measured *m, int64_t place) { return m->rows ? m->rows[place] : place; }

static rs_status check_rows(const rs_measured *m) {
  for (int64_t i = 0; m->rows && i < m->n_rows; i++)
    if (m->rows[i] < 0 || m->rows[i] >= m->queries)
      return rs_fail(RS_ERANGE, "metrics: query row %lld is outside 0..%lld", (long long)m->rows[i],
                     (long long)m->queries - 1);
  return RS_OK;
}

rs_status rs_means(double *out, const rs_measured *m) {
  rs_status status = check_rows(m);
  if (status != RS_OK) return status;
  for (int64_t i = 0; i < m->metrics; i++) {
    const double *values = m->values + i * m->queries;
    double sum = 0, count = 0;
    for (int64_t place = 0; place < meant(m); place++) {
      double value = values[row_at(m, place)];
      if (isnan(value)) continue;
      sum += value;
      count++;
    }
    out[i] = count > 0 ? sum / count : NAN;
  }
  return RS_OK;
}

/* Number the users 0, 1, .. in order of their codes into index [meant]; gives how many there are, -1 on refusal. */
static int64_t number_users(int64_t *index, const rs_measured *m, const int64_t *users) {
  int64_t places = meant(m), n = 0;
  cluster *order = rs_alloc((size_t)places * sizeof *order);
  if (!order) return -1;
  for (int64_t i = 0; i < places; i++) order[i] = (cluster){users[row_at(m, i)], i};
  qsort(order, (size_t)places, sizeof *order, by_user);
  for (int64_t i = 0; i < places; i++) {
    if (i > 0 && order[i].user != order[i - 1].user) n++;
    index[order[i].place] = n;
  }
  rs_free(order);
  return n + 1;
}

static bool any_nan(const rs_measured *m) {
  bool found = false;
  for (int64_t i = 0; i < m->metrics * m->queries; i++) found |= isnan(m->values[i]);
  return found;
}

static void add_up(job *j, const rs_measured *m, const int64_t *index) {
  for (int64_t i = 0; i < m->metrics; i++)
    for (int64_t place = 0; place < meant(m); place++) {
      double *row = j->sums + index[place] * j->width, value = m->values[i * m->queries + row_at(m, place)];
      if (!j->shared && isnan(value)) continue;
      row[i] += value;
      if (!j->shared || i == 0) row[j->metrics + i] += 1;
    }
}

/* The same operations on the same lanes, AVX2 or not, so the same bits (no fused multiply-add). */
RS_INLINE void add_row(double *restrict total, const double *restrict row, double weight, int64_t width) {
  for (int64_t i = 0; i < width; i++) total[i] += weight * row[i];
}
RS_WIDE static void add_row_wide(double *total, const double *row, double weight, int64_t width) {
  add_row(total, row, weight, width);
}

static void draw(const job *j, uint32_t *drawn, int64_t sample) {
  rs_stream stream = rs_stream_at(j->seed, RS_RNG_BOOTSTRAP, 0, (uint32_t)sample);
  memset(drawn, 0, (size_t)j->users * sizeof *drawn);
  for (int64_t i = 0; i < j->users; i++) drawn[rs_stream_below(&stream, (uint64_t)i, (uint64_t)j->users)]++;
}

static void resample(void *context, int64_t begin, int64_t end) {
  job *j = context;
  double *totals = j->totals + rs_thread_index() * CHUNK * j->width;
  uint32_t *drawn = j->drawn + rs_thread_index() * CHUNK * j->users;
  bool fast = rs_wide();
  memset(totals, 0, (size_t)(CHUNK * j->width) * sizeof *totals);
  for (int64_t s = begin; s < end; s++) draw(j, drawn + (s - begin) * j->users, s);
  for (int64_t u = 0; u < j->users; u++)
    for (int64_t s = 0; s < end - begin; s++) {
      uint32_t times = drawn[s * j->users + u];
      if (times > 0) (fast ? add_row_wide : add_row)(totals + s * j->width, j->sums + u * j->width, times, j->width);
    }
  for (int64_t s = begin; s < end; s++) {
    const double *total = totals + (s - begin) * j->width;
    for (int64_t m = 0; m < j->metrics; m++) {
      double count = total[j->metrics + (j->shared ? 0 : m)];
      j->out[m * j->samples + s] = count > 0 ? total[m] / count : NAN;
    }
  }
}

/* Scratch for all threads, then the loop. */
static rs_status run(job *j, const rs_measured *m, const int64_t *index) {
  int64_t threads = rs_threads();
  j->sums = rs_alloc_zero((size_t)(j->users * j->width) * sizeof *j->sums);
  j->totals = rs_alloc((size_t)(threads * CHUNK * j->width) * sizeof *j->totals);
  j->drawn = rs_alloc((size_t)(threads * CHUNK * j->users) * sizeof *j->drawn);
  bool fits = j->sums && j->totals && j->drawn;
  if (fits) {
    add_up(j, m, index);
    rs_parallel_for(j->samples, CHUNK, resample, j);
  }
  rs_free(j->sums);
  rs_free(j->totals);
  rs_free(j->drawn);
  return fits ? RS_OK : rs_nomem("bootstrap", (size_t)(j->users * j->width) * sizeof *j->sums);
}

static rs_status check_samples(const rs_measured *m, int64_t samples) {
  if (meant(m) < 1) return rs_fail(RS_EARG, "bootstrap: there are no queries to resample");
  if (samples < 1 || samples > UINT32_MAX)
    return rs_fail(RS_EARG, "bootstrap: %lld samples; at least 1 is needed", (long long)samples);
  return check_rows(m);
}

rs_status rs_bootstrap(rs_tensor *out, const rs_measured *m, const int64_t *users, int64_t samples, uint64_t seed) {
  rs_status status = check_samples(m, samples);
  if (status == RS_OK) status = rs_tensor_new(out, RS_F64, 2, (int64_t[]){m->metrics, samples});
  if (status != RS_OK) return status;
  job j = {.metrics = m->metrics, .samples = samples, .seed = seed, .out = rs_f64(out), .shared = !any_nan(m)};
  j.width = m->metrics + (j.shared ? 1 : m->metrics);
  int64_t *index = rs_alloc((size_t)meant(m) * sizeof *index);
  j.users = index ? number_users(index, m, users) : -1;
  status = j.users < 0 ? rs_nomem("bootstrap", (size_t)meant(m) * sizeof *index) : run(&j, m, index);
  rs_free(index);
  if (status != RS_OK) rs_tensor_free(out);
  return status;
}

static int rising(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

rs_status rs_quantiles(double *out, const double *values, int64_t n, const double *p, int64_t n_p) {
  double *sorted = rs_alloc((size_t)n * sizeof *sorted);
  if (!sorted) return rs_nomem("quantiles", (size_t)n * sizeof *sorted);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++)
    if (!isnan(values[i])) sorted[count++] = values[i];
  qsort(sorted, (size_t)count, sizeof *sorted, rising);
  for (int64_t i = 0; i < n_p; i++) {
    double place = p[i] * (double)(count - 1), part = place - floor(place);
    int64_t at = (int64_t)place;
    if (count == 0)
      out[i] = NAN;
    else
      out[i] = part > 0 ? sorted[at] + part * (sorted[at + 1] - sorted[at]) : sorted[at];
    if (part > 0 && count > 0 && sorted[at] == sorted[at + 1]) out[i] = sorted[at]; /* two infinities */
  }
  rs_free(sorted);
  return RS_OK;
}

rs_status rs_paired_intervals(rs_paired *out, const double *a, const double *b, int64_t n, double level) {
  double p[2] = {(1 - level) / 2, (1 + level) / 2};
  double *compared = rs_alloc((size_t)n * sizeof *compared);
  if (!compared) return rs_nomem("paired intervals", (size_t)n * sizeof *compared);
  for (int64_t i = 0; i < n; i++) compared[i] = a[i] - b[i];
  rs_status status = rs_quantiles(out->difference, compared, n, p, 2);
  for (int64_t i = 0; i < n; i++) compared[i] = a[i] / b[i];
  if (status == RS_OK) status = rs_quantiles(out->ratio, compared, n, p, 2);
  rs_free(compared);
  return status;
}
