/* panel_rate.c - see panel_rate.h. */
#include "nn/panel_rate.h"

#include <time.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "nn/panel.h"

enum { TASKS = 64, PASSES = 16 };

typedef struct work {
  const rs_panel_kernels *kernels;
  int64_t n;
  float *rows; /* [threads, n] */
} work;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void raise_rows(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  float *row = w->rows + rs_thread_index() * w->n;
  for (int64_t task = begin; task < end; task++)
    for (int pass = 0; pass < PASSES; pass++) w->kernels->exponentials(row, 0.5, w->n);
}

rs_status rs_panel_exponential_rate(double *rate, int64_t n, int rounds) {
  if (n < 1 || rounds < 1) return rs_fail(RS_EARG, "exponential_rate: numbers and rounds must be 1 or more");
  work w = {rs_panel_kernels_of(RS_F32), n, NULL};
  w.n = (n + w.kernels->lanes - 1) / w.kernels->lanes * w.kernels->lanes;
  size_t count = (size_t)rs_threads() * (size_t)w.n;
  w.rows = rs_alloc(count * sizeof *w.rows);
  if (!w.rows) return rs_nomem("exponential_rate", count * sizeof *w.rows);
  double best = 0;
  for (int round = 0; round < rounds; round++) {
    for (size_t i = 0; i < count; i++) w.rows[i] = -(float)(i % 13);
    double began = now();
    rs_parallel_for(TASKS, 1, raise_rows, &w);
    double seconds = now() - began;
    if (round == 0 || seconds < best) best = seconds;
  }
  rs_free(w.rows);
  *rate = (double)TASKS * PASSES * (double)w.n / (best > 1e-9 ? best : 1e-9);
  return RS_OK;
}
