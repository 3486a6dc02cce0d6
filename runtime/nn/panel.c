/* panel.c - see panel.h. */
#ifndef REAL
#include "nn/panel.h"

#include <math.h>
#include <string.h>

#include "autograd/kernel.h"
#include "base/alloc.h"
#include "nn/panel_kernels.h"

enum {
  LOGITS_BYTES = 512 << 10, /* of a panel: the second-level cache of a small core */
  MOST_ROWS = 96,
  PRODUCT_COLUMNS = 96, /* whose coefficients and rows of the table go through both products together: 24 KiB each */
  LINE = 64
};

int rs_panel_kernels_list(rs_dtype dtype, const rs_panel_kernels **list, int most) {
  const rs_panel_kernels *known[3];
  int n = 0;
#ifdef RS_PANEL_X86
  __builtin_cpu_init();
  if (dtype == RS_F32 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    known[n++] = &rs_panel_avx512;
  if (dtype == RS_F32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) known[n++] = &rs_panel_avx2;
#endif
  known[n++] = dtype == RS_F32 ? &rs_panel_plain_f32 : &rs_panel_plain_f64;
  for (int i = 0; i < n && i < most; i++) list[i] = known[i];
  return n < most ? n : most;
}

const rs_panel_kernels *rs_panel_kernels_of(rs_dtype dtype) {
  const rs_panel_kernels *best;
  rs_panel_kernels_list(dtype, &best, 1);
  return best;
}

static int64_t up_to(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Columns at least, so many bytes apart that the rows of a panel fall into different sets of a cache. */
static int64_t row_step(int64_t columns, int64_t size) {
  int64_t lines = up_to(columns * size, LINE) / LINE;
  return (lines | 1) * LINE / size;
}

typedef struct packing {
  const rs_panel_columns *columns;
  const char *rows;
  double scale;
} packing;

#define KERNELS "nn/panel.c"
#include "autograd/each_real.h"

static void pad_rows(const rs_panel_columns *c, const char *rows, size_t size) {
  size_t row = (size_t)c->d * size, padded = (size_t)c->deep * size;
  for (int64_t j = 0; j < c->m; j++) {
    char *to = (char *)c->copy + (size_t)j * padded;
    memcpy(to, rows + (size_t)j * row, row);
    memset(to + row, 0, padded - row);
  }
}

rs_status rs_panel_columns_new(rs_panel_columns *out, const rs_panel_kernels *kernels, rs_dtype dtype, const void *rows,
                               int64_t m, int64_t d, double scale) {
  if (!kernels) kernels = rs_panel_kernels_of(dtype);
  size_t size = rs_dtype_size(dtype);
  rs_panel_columns c = {.kernels = kernels, .dtype = dtype, .m = m, .d = d, .table = rows};
  c.wide = up_to(m, kernels->columns);
  c.step = row_step(c.wide, (int64_t)size);
  c.deep = up_to(d, kernels->lanes);
  size_t packed = (size_t)(c.wide * d) * size, padded = c.deep == d ? 0 : (size_t)(m * c.deep) * size;
  c.packed = rs_alloc(packed);
  c.bias = rs_alloc((size_t)c.wide * size);
  if (padded) c.table = c.copy = rs_alloc(padded);
  if (!c.packed || !c.bias || (padded && !c.copy)) {
    rs_panel_columns_free(&c);
    return rs_nomem("panel", packed + padded);
  }
  rs_parallel_for(c.wide / kernels->columns, 1, RS_BODY(dtype, pack_blocks), &(packing){&c, rows, scale});
  if (padded) pad_rows(&c, rows, size);
  RS_CALL(dtype, start_bias, (&c));
  *out = c;
  return RS_OK;
}

void rs_panel_columns_free(rs_panel_columns *columns) {
  rs_free(columns->packed);
  rs_free(columns->bias);
  rs_free(columns->copy);
  *columns = (rs_panel_columns){0};
}

int64_t rs_panel_rows(const rs_panel_columns *columns) {
  int64_t rows = LOGITS_BYTES / (columns->step * (int64_t)rs_dtype_size(columns->dtype)) / 6 * 6;
  return rows < 6 ? 6 : rows > MOST_ROWS ? MOST_ROWS : rows;
}

static void *at(const rs_panel_columns *c, const void *base, int64_t element) {
  return (char *)(uintptr_t)base + (size_t)element * rs_dtype_size(c->dtype);
}

void rs_panel_scores(const rs_panel_columns *c, const void *x, int64_t rows, void *logits) {
  int64_t width = c->kernels->columns;
  for (int64_t j = 0; j < c->wide; j += width)
    c->kernels->product(rows, width, c->d, x, c->d, 1, at(c, c->packed, j * c->d), width, at(c, c->bias, j), 0,
                        at(c, logits, j), c->step);
}

void rs_panel_products(const rs_panel_columns *c, const void *coefficients, int64_t rows, const void *x, void *x_grad,
                       void *columns_grad, bool first) {
  for (int64_t j = 0; j < c->m; j += PRODUCT_COLUMNS) {
    int64_t n = c->m - j < PRODUCT_COLUMNS ? c->m - j : PRODUCT_COLUMNS;
    const void *block = at(c, coefficients, j);
    void *grad = at(c, columns_grad, j * c->deep);
    c->kernels->product(rows, c->deep, n, block, c->step, 1, at(c, c->table, j * c->deep), c->deep, j ? x_grad : NULL,
                        c->deep, x_grad, c->deep);
    c->kernels->product(n, c->deep, rows, block, 1, c->step, x, c->deep, first ? NULL : grad, c->deep, grad, c->deep);
  }
}

#else
/* Blocks begin .. end-1 of the columns: turned round and scaled. */
static void OF(pack_blocks)(void *context, int64_t begin, int64_t end) {
  const packing *p = context;
  const rs_panel_columns *c = p->columns;
  const int64_t width = c->kernels->columns, d = c->d;
  const REAL scale = (REAL)p->scale;
  for (int64_t j = begin * width; j < end * width; j++) {
    REAL *restrict to = (REAL *)c->packed + j / width * width * d + j % width;
    const REAL *row = (const REAL *)(const void *)p->rows + j * d;
    if (j < c->m)
      for (int64_t k = 0; k < d; k++) to[k * width] = row[k] * scale;
    else
      for (int64_t k = 0; k < d; k++) to[k * width] = 0;
  }
}

static void OF(start_bias)(const rs_panel_columns *c) {
  REAL *bias = c->bias;
  for (int64_t j = 0; j < c->wide; j++) bias[j] = j < c->m ? 0 : (REAL)-INFINITY;
}
#endif
