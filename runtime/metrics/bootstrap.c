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
  int32_t user;
  int64_t query;
} cluster;

static int by_user(const void *a, const void *b) {
  const cluster *x = a, *y = b;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  return (x->query > y->query) - (x->query < y->query);
}

/* Number the users 0, 1, .. in order of their codes into index [queries]; gives how many there are, -1 on refusal. */
static int64_t number_users(int64_t *index, const int32_t *users, int64_t queries) {
  cluster *order = rs_alloc((size_t)queries * sizeof *order);
  if (!order) return -1;
  for (int64_t q = 0; q < queries; q++) order[q] = (cluster){users[q], q};
  qsort(order, (size_t)queries, sizeof *order, by_user);
  int64_t n = 0;
  for (int64_t i = 0; i < queries; i++) {
    if (i > 0 && order[i].user != order[i - 1].user) n++;
    index[order[i].query] = n;
  }
  rs_free(order);
  return n + 1;
}

static bool any_nan(const double *values, int64_t n) {
  bool found = false;
  for (int64_t i = 0; i < n; i++) found |= isnan(values[i]);
  return found;
}

static void add_up(job *j, const double *values, int64_t queries, const int64_t *index) {
  for (int64_t m = 0; m < j->metrics; m++)
    for (int64_t q = 0; q < queries; q++) {
      double *row = j->sums + index[q] * j->width, value = values[m * queries + q];
      if (!j->shared && isnan(value)) continue;
      row[m] += value;
      if (!j->shared || m == 0) row[j->metrics + m] += 1;
    }
}

/* Plain C, compiled for AVX2 too; the same operations on the same lanes, so the same bits (no fused multiply-add). */
#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2")))
static bool wide(void) { return __builtin_cpu_supports("avx2"); }
#else
#define WIDE
static bool wide(void) { return false; }
#endif
static inline __attribute__((always_inline)) void add_row(double *restrict total, const double *restrict row,
                                                           double weight, int64_t width) {
  for (int64_t i = 0; i < width; i++) total[i] += weight * row[i];
}
WIDE static void add_row_wide(double *total, const double *row, double weight, int64_t width) {
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
  bool fast = wide();
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
static rs_status run(job *j, const double *values, int64_t queries, const int64_t *index) {
  int64_t threads = rs_threads();
  j->sums = rs_alloc_zero((size_t)(j->users * j->width) * sizeof *j->sums);
  j->totals = rs_alloc((size_t)(threads * CHUNK * j->width) * sizeof *j->totals);
  j->drawn = rs_alloc((size_t)(threads * CHUNK * j->users) * sizeof *j->drawn);
  bool fits = j->sums && j->totals && j->drawn;
  if (fits) {
    add_up(j, values, queries, index);
    rs_parallel_for(j->samples, CHUNK, resample, j);
  }
  rs_free(j->sums);
  rs_free(j->totals);
  rs_free(j->drawn);
  return fits ? RS_OK : rs_nomem("bootstrap", (size_t)(j->users * j->width) * sizeof *j->sums);
}

rs_status rs_bootstrap(rs_tensor *out, const double *values, int64_t metrics, int64_t queries, const int32_t *users,
                       int64_t samples, uint64_t seed) {
  if (queries < 1) return rs_fail(RS_EARG, "bootstrap: there are no queries to resample");
  if (samples < 1 || samples > UINT32_MAX)
    return rs_fail(RS_EARG, "bootstrap: %lld samples; at least 1 is needed", (long long)samples);
  rs_status status = rs_tensor_new(out, RS_F64, 2, (int64_t[]){metrics, samples});
  if (status != RS_OK) return status;
  job j = {.metrics = metrics, .samples = samples, .seed = seed, .out = rs_f64(out)};
  int64_t *index = rs_alloc((size_t)queries * sizeof *index);
  j.users = index ? number_users(index, users, queries) : -1;
  j.shared = !any_nan(values, metrics * queries);
  j.width = metrics + (j.shared ? 1 : metrics);
  status = j.users < 0 ? rs_nomem("bootstrap", (size_t)queries * sizeof *index) : run(&j, values, queries, index);
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
