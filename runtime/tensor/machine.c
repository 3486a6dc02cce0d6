/* machine.c - see machine.h. */
#include "tensor/machine.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "tensor/gemm.h"

typedef struct product {
  int64_t n, k;
  bool tb;
  const float *a, *b;
  float *c;
} product;

typedef struct copying {
  const char *from;
  char *to;
} copying;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void multiply(void *context, int64_t begin, int64_t end) {
  const product *p = context;
  rs_gemm_tile(RS_F32, false, p->tb, end - begin, p->n, p->k, 1, p->a + begin * p->k, p->k, p->b, p->tb ? p->k : p->n, 0,
               p->c + begin * p->n, p->n);
}

static void copy(void *context, int64_t begin, int64_t end) {
  const copying *c = context;
  memcpy(c->to + begin, c->from + begin, (size_t)(end - begin));
}

/* Seconds of the fastest of 'rounds' loops over n, a chunk a thread. */
static double fastest(int64_t n, rs_body *body, void *context, int rounds) {
  int64_t threads = rs_threads(), grain = (n + threads - 1) / threads;
  double best = 0;
  for (int i = 0; i < rounds; i++) {
    double began = now();
    rs_parallel_for(n, grain, body, context);
    double seconds = now() - began;
    if (i == 0 || seconds < best) best = seconds;
  }
  return best > 1e-9 ? best : 1e-9;
}

/* 'count' floats that are no zeros, nor denormal. */
static float *floats(int64_t count) {
  float *x = rs_alloc((size_t)count * sizeof *x);
  for (int64_t i = 0; x && i < count; i++) x[i] = 0.5f + (float)(i % 7) * 0.125f;
  return x;
}

rs_status rs_machine_sgemm(double *rate, int64_t m, int64_t n, int64_t k, bool tb, int rounds) {
  if (m < 1 || n < 1 || k < 1 || rounds < 1) return rs_fail(RS_EARG, "machine: sizes and rounds must be 1 or more");
  float *a = floats(m * k), *b = floats(k * n), *c = floats(m * n);
  rs_status status = a && b && c ? RS_OK : rs_nomem("machine", (size_t)(m * k + k * n + m * n) * sizeof *a);
  if (status == RS_OK) {
    product p = {.n = n, .k = k, .tb = tb, .a = a, .b = b, .c = c};
    *rate = 2 * (double)m * (double)n * (double)k / fastest(m, multiply, &p, rounds);
  }
  rs_free(a);
  rs_free(b);
  rs_free(c);
  return status;
}

rs_status rs_machine_copy(double *rate, int64_t bytes, int rounds) {
  if (bytes < 64 || rounds < 1) return rs_fail(RS_EARG, "machine: 64 bytes or more and a round are needed");
  copying c = {.from = rs_alloc_zero((size_t)bytes), .to = rs_alloc_zero((size_t)bytes)};
  rs_status status = c.from && c.to ? RS_OK : rs_nomem("machine", (size_t)bytes);
  if (status == RS_OK) {
    memset((char *)(uintptr_t)c.from, 1, (size_t)bytes); /* zeroed pages may all be one */
    fastest(bytes, copy, &c, 1);                          /* the target's pages are made here */
    *rate = 2 * (double)bytes / fastest(bytes, copy, &c, rounds);
  }
  rs_free((char *)(uintptr_t)c.from);
  rs_free(c.to);
  return status;
}
