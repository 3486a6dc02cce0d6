/* ridge.c - see ridge.h. All rows are laid out in whole vectors of 16, zeros behind the last number, so that no loop has
 * a rest. */
#include "tensor/ridge.h"

#include <math.h>
#include <string.h>

#include "base/prefetch.h"
#include "tensor/block.h"
#include "tensor/clones.h"

enum {
  LANES = 16,
  PANEL = 8,   /* rows of the factor that are done with before those below see them */
  GATHERED = 64, /* rows that are laid together for one product */
  STRIPE = 16  /* rows of a Gramian whose columns left of the diagonal are spared */
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

static int64_t whole(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* ---- Cholesky ---- */

/* row[from ..] -= sum over the panel's rows k of a factor that each has at 'at', times itself; vectors from 'from' on. */
RS_CLONES static void lower_row(float *row, const float *panel, int64_t stride, int64_t at, int64_t from) {
  lanes f[PANEL];
  for (int k = 0; k < PANEL; k++) f[k] = panel[k * stride + at] - (lanes){0};
  for (int64_t j = from; j < stride; j += LANES) {
    lanes sum = *(const lanes *)(row + j);
    const float *p = panel + j;
    for (int k = 0; k < PANEL; k++) sum -= f[k] * *(const lanes *)(p + k * stride);
    *(lanes *)(row + j) = sum;
  }
}

/* The same of one row of the factor. */
RS_CLONES static void lower_by_one(float *row, const float *by, int64_t stride, float factor, int64_t from) {
  for (int64_t j = from; j < stride; j += LANES) *(lanes *)(row + j) -= factor * *(const lanes *)(by + j);
}

RS_CLONES static void scale_row(float *row, int64_t stride, float factor, int64_t from) {
  for (int64_t j = from; j < stride; j += LANES) *(lanes *)(row + j) *= factor;
}

static int64_t vector_of(int64_t column) { return column / LANES * LANES; }

/* The rows begin .. end-1, from which all earlier ones were taken off. */
static bool factor_panel(float *a, float *pivots, int64_t begin, int64_t end, int64_t stride) {
  for (int64_t k = begin; k < end; k++) {
    float *row = a + k * stride, square = row[k];
    if (!(square > 0 && square <= 3.4e38f)) return false;
    pivots[k] = 1 / sqrtf(square);
    scale_row(row, stride, pivots[k], vector_of(k));
    for (int64_t i = k + 1; i < end; i++) lower_by_one(a + i * stride, row, stride, row[i], vector_of(i));
  }
  return true;
}

RS_CLONES static float dot(const float *a, const float *b, int64_t n) {
  lanes sum = {0};
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) sum += *(const lanes *)(a + j) * *(const lanes *)(b + j);
  float total = 0;
  for (; j < n; j++) total += a[j] * b[j];
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) sum[i] += sum[i + half];
  return total + sum[0];
}

bool rs_ridge_definite(float *x, float *a, float *pivots, int64_t n, int64_t stride) {
  for (int64_t k = 0; k < n; k += PANEL) {
    int64_t end = k + PANEL < n ? k + PANEL : n;
    if (!factor_panel(a, pivots, k, end, stride)) return false;
    for (int64_t i = end; i < n; i++) lower_row(a + i * stride, a + k * stride, stride, i, vector_of(i));
  }
  bool finite = true;
  for (int64_t k = n - 1; k >= 0; k--) {
    const float *row = a + k * stride;
    x[k] = (row[n] - dot(row + k + 1, x + k + 1, n - k - 1)) * pivots[k];
    finite = finite && isfinite(x[k]);
  }
  return finite;
}

/* ---- regressions ---- */

typedef struct parts {
  int64_t width, rows, stride; /* of z, and of a */
  float *root;                 /* D^-1/2 [width] */
  float *z;                    /* [rows, width] */
  float *targets;              /* t_i / sqrt(w_i) [rows] */
  float *a;                    /* [d, stride] */
  float *pivots, *b;           /* [width] */
} parts;

static int64_t lay_out(parts *p, int64_t d, float *at) {
  p->width = whole(d);
  p->rows = whole(d > GATHERED ? d : GATHERED);
  p->stride = whole(d + 1);
  p->root = at;
  p->z = p->root + p->width;
  p->targets = p->z + p->rows * p->width;
  p->a = p->targets + p->rows;
  p->pivots = p->a + d * p->stride;
  p->b = p->pivots + p->width;
  return 3 * p->width + p->rows * p->width + p->rows + d * p->stride;
}

int64_t rs_ridge_scratch(int64_t d) {
  parts p;
  static float none;
  return lay_out(&p, d, &none);
}

RS_CLONES static void take_roots(float *root, const float *diagonal, int64_t d) {
  for (int64_t j = 0; j < d; j++) root[j] = 1 / sqrtf(diagonal[j]);
}

/* to [d] = factor root * from. */
RS_CLONES static void scaled(float *to, const float *from, const float *root, float factor, int64_t d) {
  for (int64_t j = 0; j < d; j++) to[j] = factor * root[j] * from[j];
}

RS_CLONES static void add_scaled(float *to, const float *from, float factor, int64_t width) {
  for (int64_t j = 0; j < width; j += LANES) *(lanes *)(to + j) += factor * *(const lanes *)(from + j);
}

/* Rows begin .. end-1 of what somebody has into z, and their targets. Where 'sum' is there it takes targets times rows, and
 * rows of no weight are 0 afterwards. */
static void gather(const parts *s, const rs_ridge *p, int64_t begin, int64_t end, float *sum) {
  for (int64_t i = begin; i < end; i++) {
    float weight = p->weights ? p->weights[i] : 1, *z = s->z + (i - begin) * s->width;
    bool none = weight <= 0;
    float root = none ? 1 : sqrtf(weight), target = none ? p->pull : root + p->pull / root;
    scaled(z, p->table + p->columns[i] * p->stride, s->root, root, p->d);
    for (int64_t j = p->d; j < s->width; j++) z[j] = 0;
    s->targets[i - begin] = target;
    if (sum) add_scaled(sum, z, target, s->width);
    if (none) memset(z, 0, (size_t)s->width * sizeof *z);
  }
}

/* a [n, n], of which the upper triangle counts, = rows of one side times those of the other. */
static void gramian(float *a, int64_t stride, int64_t n, rs_block side, int64_t k, bool add) {
  side.k = k;
  side.alpha = 1;
  side.ldc = stride;
  side.add = add;
  const float *all_a = side.a, *all_b = side.b;
  for (int64_t at = 0; at < n; at += STRIPE) {
    side.m = n - at < STRIPE ? n - at : STRIPE;
    side.n = n - at;
    side.a = all_a + at * side.a_row;
    side.b = all_b + at * (side.turned ? side.ldb : 1);
    side.c = a + at * stride + at;
    rs_block_product(&side);
  }
}

static void add_one(float *a, int64_t stride, int64_t n) {
  for (int64_t i = 0; i < n; i++) a[i * stride + i] += 1;
}

/* Few rows: (I + Z Z') v = targets, x = D^-1/2 Z' v. */
static bool solve_by_rows(float *x, const parts *s, const rs_ridge *p) {
  int64_t n = p->n, stride = whole(n + 1);
  gather(s, p, 0, n, NULL);
  memset(s->a, 0, (size_t)(n * stride) * sizeof *s->a);
  rs_block sides = {.a = s->z, .a_row = s->width, .a_column = 1, .b = s->z, .ldb = s->width, .turned = true};
  gramian(s->a, stride, n, sides, s->width, false);
  add_one(s->a, stride, n);
  for (int64_t i = 0; i < n; i++) s->a[i * stride + n] = s->targets[i];
  if (!rs_ridge_definite(s->targets, s->a, s->pivots, n, stride)) return false;
  memset(s->b, 0, (size_t)s->width * sizeof *s->b);
  for (int64_t i = 0; i < n; i++) add_scaled(s->b, s->z + i * s->width, s->targets[i], s->width);
  scaled(x, s->b, s->root, 1, p->d);
  return true;
}

/* Many rows: (I + Z' Z) v = Z' targets, x = D^-1/2 v. */
static bool solve_by_columns(float *x, const parts *s, const rs_ridge *p) {
  int64_t d = p->d;
  memset(s->b, 0, (size_t)s->width * sizeof *s->b);
  memset(s->a, 0, (size_t)(d * s->stride) * sizeof *s->a);
  for (int64_t at = 0; at < p->n; at += GATHERED) {
    int64_t end = at + GATHERED < p->n ? at + GATHERED : p->n;
    gather(s, p, at, end, s->b);
    rs_block sides = {.a = s->z, .a_row = 1, .a_column = s->width, .b = s->z, .ldb = s->width};
    gramian(s->a, s->stride, d, sides, end - at, true);
  }
  add_one(s->a, s->stride, d);
  for (int64_t i = 0; i < d; i++) s->a[i * s->stride + d] = s->b[i];
  if (!rs_ridge_definite(s->b, s->a, s->pivots, d, s->stride)) return false;
  scaled(x, s->b, s->root, 1, d);
  return true;
}

/* Whether all have a weight: only then is there a system by rows. */
static bool all_weigh(const rs_ridge *p) {
  for (int64_t i = 0; p->weights && i < p->n; i++)
    if (!(p->weights[i] > 0)) return false;
  return true;
}

static bool all_finite(const float *x, int64_t d) {
  bool finite = true;
  for (int64_t j = 0; j < d; j++) finite = finite && isfinite(x[j]);
  return finite;
}

bool rs_ridge_solve(float *x, const rs_ridge *p, float *scratch) {
  parts s;
  if (p->n == 0) {
    memset(x, 0, (size_t)p->d * sizeof *x);
    return true;
  }
  lay_out(&s, p->d, scratch);
  take_roots(s.root, p->diagonal, p->d);
  bool few = p->n <= p->d && all_weigh(p);
  return (few ? solve_by_rows(x, &s, p) : solve_by_columns(x, &s, p)) && all_finite(x, p->d);
}
