/* parallel.c - chunks over OpenMP threads. */
#include "base/parallel.h"

#include <omp.h>

/* On this thread alone, without waking the pool: a woken thread costs microseconds, milliseconds on a busy machine.
 * OpenBLAS asks how many threads OpenMP would use, and is single-threaded when that is one. */
static void run_here(int64_t n, rs_body *body, void *context) {
  int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  body(context, 0, n);
  omp_set_num_threads(threads);
}

void rs_parallel_for(int64_t n, int64_t grain, rs_body *body, void *context) {
  int64_t chunks = (n + grain - 1) / grain;
  if (chunks <= 1) {
    if (chunks == 1) run_here(n, body, context);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t c = 0; c < chunks; c++) {
    int64_t begin = c * grain, end = begin + grain;
    body(context, begin, end < n ? end : n);
  }
}

int rs_threads(void) { return omp_get_max_threads(); }
void rs_threads_set(int n) { omp_set_num_threads(n); }
int rs_thread_index(void) { return omp_get_thread_num(); }
