/* implicit.c - see implicit.h. */
#include "solve/implicit.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/prefetch.h"
#include "solve/basis.h"
#include "tensor/block.h"
#include "tensor/clones.h"
#include "tensor/ridge.h"

enum {
  LANES = 16,
  ROWS = 16,       /* of a chunk, turned and turned back together */
  TURNED = 256,    /* rows of the other side turned by a task */
  AHEAD = 32       /* rows of the table fetched for the next row of x */
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

static int64_t whole(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

typedef struct sweep {
  const rs_csr *pairs;
  const rs_implicit_options *o;
  const int64_t *starts;
  const int32_t *columns;
  const float *weights;
  int64_t d, width; /* width: d in whole vectors; what is beyond d is 0 */
  const float *y;
  float *table; /* y on its axes [n, width] */
  const float *spectrum, *turn;
  float *x, *scratch;
  int64_t each; /* floats of scratch of a thread */
  double others;
  atomic_int_fast64_t bad; /* the least row that could not be solved; INT64_MAX: none */
} sweep;

static double penalty(const sweep *s, int64_t count) {
  return s->o->regularization * pow((double)count + s->o->unobserved * s->others, s->o->scaling);
}

static void turn_rows(void *context, int64_t begin, int64_t end) {
  const sweep *s = context;
  rs_block product = {.m = end - begin, .n = s->d, .k = s->d, .alpha = 1, .a = s->y + begin * s->d, .a_row = s->d,
                      .a_column = 1, .b = s->turn, .ldb = s->d, .c = s->table + begin * s->width, .ldc = s->width};
  rs_block_product(&product);
  for (int64_t i = begin; i < end; i++)
    for (int64_t j = s->d; j < s->width; j++) s->table[i * s->width + j] = 0;
}

/* ---- conjugate gradients ---- */

RS_CLONES static float dot(const float *a, const float *b, int64_t width) {
  lanes sum = {0};
  for (int64_t j = 0; j < width; j += LANES) sum += *(const lanes *)(a + j) * *(const lanes *)(b + j);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) sum[i] += sum[i + half];
  return sum[0];
}

/* to += sum_i (w_i <y_i, p> - t_i) y_i, or without p the sum of t_i y_i alone taken off. */
RS_CLONES static void add_pairs(float *to, const sweep *s, const float *p, int64_t begin, int64_t end, float pull,
                                bool targets) {
  for (int64_t i = begin; i < end; i++) {
    const float *y = s->table + s->columns[i] * s->width;
    lanes sum = {0};
    for (int64_t j = 0; j < s->width; j += LANES) sum += *(const lanes *)(y + j) * *(const lanes *)(p + j);
    for (int half = LANES / 2; half; half /= 2)
      for (int k = 0; k < half; k++) sum[k] += sum[k + half];
    float factor = s->weights[i] * sum[0];
    if (targets) factor -= s->weights[i] + pull;
    for (int64_t j = 0; j < s->width; j += LANES) *(lanes *)(to + j) += factor * *(const lanes *)(y + j);
  }
}

RS_CLONES static void times(float *to, const float *a, const float *b, int64_t width) {
  for (int64_t j = 0; j < width; j += LANES) *(lanes *)(to + j) = *(const lanes *)(a + j) * *(const lanes *)(b + j);
}

/* x += a p, r -= a q */
RS_CLONES static void step_on(float *x, float *r, const float *p, const float *q, float a, int64_t width) {
  for (int64_t j = 0; j < width; j += LANES) {
    *(lanes *)(x + j) += a * *(const lanes *)(p + j);
    *(lanes *)(r + j) -= a * *(const lanes *)(q + j);
  }
}

RS_CLONES static void turn_to(float *p, const float *r, float share, int64_t width) {
  for (int64_t j = 0; j < width; j += LANES) *(lanes *)(p + j) = *(const lanes *)(r + j) + share * *(lanes *)(p + j);
}

/* Steps from x [width], on the axes, towards the solution of row u. */
static void approach(float *x, const sweep *s, int64_t u, const float *diagonal, float *scratch) {
  int64_t width = s->width, begin = s->starts[u], end = s->starts[u + 1];
  float *r = scratch, *p = r + width, *q = p + width;
  float pull = s->o->confidence ? (float)s->o->unobserved : 0;
  times(r, diagonal, x, width);
  add_pairs(r, s, x, begin, end, pull, true);
  for (int64_t j = 0; j < width; j++) r[j] = -r[j];
  memcpy(p, r, (size_t)width * sizeof *p);
  float size = dot(r, r, width);
  for (int64_t step = 0; step < s->o->steps && size > 1e-20f; step++) {
    times(q, diagonal, p, width);
    add_pairs(q, s, p, begin, end, 0, false);
    step_on(x, r, p, q, size / dot(p, q, width), width);
    float next = dot(r, r, width);
    turn_to(p, r, next / size, width);
    size = next;
  }
}

/* ---- rows ---- */

static void fetch(const sweep *s, int64_t u) {
  int64_t begin = s->starts[u], n = s->starts[u + 1] - begin;
  for (int64_t i = 0; i < n && i < AHEAD; i++)
    rs_prefetch_row(s->table + s->columns[begin + i] * s->width, (size_t)s->d * sizeof(float));
}

/* x [width] of row u, on the axes. */
static bool solve_row(float *x, const sweep *s, int64_t u, float *diagonal, float *scratch) {
  int64_t begin = s->starts[u], n = s->starts[u + 1] - begin;
  float unobserved = (float)s->o->unobserved, at_least = (float)penalty(s, n);
  for (int64_t j = 0; j < s->d; j++) diagonal[j] = unobserved * s->spectrum[j] + at_least;
  if (s->o->steps > 0) {
    approach(x, s, u, diagonal, scratch);
    bool finite = true;
    for (int64_t j = 0; j < s->d; j++) finite = finite && isfinite(x[j]);
    return finite;
  }
  rs_ridge row = {.table = s->table, .d = s->d, .stride = s->width, .diagonal = diagonal, .n = n,
                  .columns = s->columns + begin, .weights = s->weights + begin,
                  .pull = s->o->confidence ? unobserved : 0};
  return rs_ridge_solve(x, &row, scratch);
}

static void note_bad(sweep *s, int64_t u) {
  int64_t least = atomic_load(&s->bad);
  while (u < least && !atomic_compare_exchange_weak(&s->bad, &least, u)) {}
}

static void solve_rows(void *context, int64_t begin, int64_t end) {
  sweep *s = context;
  float *diagonal = s->scratch + rs_thread_index() * s->each, *x = diagonal + s->width, *rest = x + ROWS * s->width;
  int64_t m = end - begin;
  memset(diagonal, 0, (size_t)s->width * sizeof *diagonal);
  memset(x, 0, (size_t)(ROWS * s->width) * sizeof *x);
  rs_block in = {.m = m, .n = s->d, .k = s->d, .alpha = 1, .a = s->x + begin * s->d, .a_row = s->d, .a_column = 1,
                 .b = s->turn, .ldb = s->d, .c = x, .ldc = s->width};
  if (s->o->steps > 0) rs_block_product(&in);
  for (int64_t u = begin; u < end; u++) {
    float *row = x + (u - begin) * s->width;
    if (u + 1 < end) fetch(s, u + 1);
    if (s->starts[u + 1] == s->starts[u])
      memset(row, 0, (size_t)s->width * sizeof *row);
    else if (!solve_row(row, s, u, diagonal, rest))
      note_bad(s, u);
  }
  rs_block out = {.m = m, .n = s->d, .k = s->d, .alpha = 1, .a = x, .a_row = s->width, .a_column = 1, .b = s->turn,
                  .ldb = s->d, .turned = true, .c = s->x + begin * s->d, .ldc = s->d};
  rs_block_product(&out);
}

/* ---- what is asked for ---- */

static rs_status check(const rs_tensor *x, const rs_csr *pairs, const rs_tensor *y, const rs_implicit_options *o) {
  if (x->dtype != RS_F32 || y->dtype != RS_F32 || pairs->values.dtype != RS_F32)
    return rs_fail(RS_EDTYPE, "implicit: the rows are %s, the pairs %s and the factors %s, not f32",
                   rs_dtype_name(x->dtype), rs_dtype_name(pairs->values.dtype), rs_dtype_name(y->dtype));
  if (x->ndim != 2 || y->ndim != 2 || x->size[1] != y->size[1] || x->size[1] < 1 || x->size[0] != pairs->rows ||
      y->size[0] != pairs->width)
    return rs_fail(RS_ESHAPE, "implicit: rows %s and factors %s for pairs [%lld, %lld]", rs_shape(x).text,
                   rs_shape(y).text, (long long)pairs->rows, (long long)pairs->width);
  if (!rs_tensor_is_contiguous(x)) return rs_fail(RS_ESHAPE, "implicit: the rows are not contiguous");
  if (!(o->regularization > 0 && o->regularization < 1e30) || !(o->unobserved >= 0 && o->unobserved < 1e30) ||
      !(o->scaling >= 0 && o->scaling <= 16) || o->steps < 0 || o->others < 0)
    return rs_fail(RS_EARG, "implicit: regularization %g (above 0), unobserved %g, scaling %g (0 to 16), steps %lld and "
                   "others %lld (0 or more)", o->regularization, o->unobserved, o->scaling, (long long)o->steps,
                   (long long)o->others);
  const float *weights = rs_f32(&pairs->values);
  for (int64_t i = 0; i < rs_csr_entries(pairs); i++)
    if (!(weights[i] >= 0)) return rs_fail(RS_ERANGE, "implicit: weight %g of pair %lld", (double)weights[i], (long long)i);
  return RS_OK;
}

static sweep sweep_of(const rs_csr *pairs, int64_t d, const rs_implicit_options *o) {
  sweep s = {.pairs = pairs, .o = o, .starts = rs_i64(&pairs->starts), .columns = rs_i32(&pairs->columns),
             .weights = rs_f32(&pairs->values), .d = d, .width = whole(d)};
  s.others = (double)(o->others > 0 ? o->others : pairs->width);
  atomic_init(&s.bad, INT64_MAX);
  return s;
}

rs_status rs_implicit(rs_tensor *x, const rs_csr *pairs, const rs_tensor *y, const rs_implicit_options *o) {
  rs_status status = check(x, pairs, y, o);
  if (status != RS_OK) return status;
  int64_t d = y->size[1];
  rs_tensor spectrum = {0}, turn = {0}, rows = {0}, table = {0}, scratch = {0};
  sweep s = sweep_of(pairs, d, o);
  s.each = (1 + ROWS) * s.width + (o->steps > 0 ? 3 * s.width : rs_ridge_scratch(d));
  status = rs_basis(&spectrum, &turn, y);
  if (status == RS_OK) status = rs_tensor_contiguous(&rows, y);
  if (status == RS_OK) status = rs_tensor_new(&table, RS_F32, 2, (int64_t[]){y->size[0], s.width});
  if (status == RS_OK) status = rs_tensor_new(&scratch, RS_F32, 2, (int64_t[]){rs_threads(), s.each});
  if (status == RS_OK) {
    s.spectrum = rs_f32(&spectrum), s.turn = rs_f32(&turn), s.y = rs_f32(&rows), s.table = rs_f32(&table);
    s.x = rs_f32(x), s.scratch = rs_f32(&scratch);
    rs_parallel_for(y->size[0], TURNED, turn_rows, &s);
    rs_parallel_for(pairs->rows, ROWS, solve_rows, &s);
    int64_t bad = atomic_load(&s.bad);
    if (bad < INT64_MAX)
      status = rs_fail(RS_ENUMERIC, "implicit: row %lld has no finite solution: its pairs, its weights or its penalty "
                       "hold a number that is not finite or far too large", (long long)bad);
  }
  for (rs_tensor **t = (rs_tensor *[]){&spectrum, &turn, &rows, &table, &scratch, NULL}; *t; t++) rs_tensor_free(*t);
  return status;
}

/* ---- loss ---- */

/* The penalties of rows x, with those pairs. */
static double penalties(const sweep *s, const float *x) {
  double sum = 0;
  for (int64_t u = 0; u < s->pairs->rows; u++) {
    double square = 0;
    for (int64_t j = 0; j < s->d; j++) square += (double)x[u * s->d + j] * (double)x[u * s->d + j];
    if (square > 0) sum += penalty(s, s->starts[u + 1] - s->starts[u]) * square;
  }
  return sum;
}

/* What pairs add to the sum over all of unobserved (x' y)^2. */
static double fit(const sweep *s, const float *x, const float *y) {
  double sum = 0, g = s->o->unobserved;
  for (int64_t u = 0; u < s->pairs->rows; u++)
    for (int64_t i = s->starts[u]; i < s->starts[u + 1]; i++) {
      double score = 0, w = (double)s->weights[i];
      for (int64_t j = 0; j < s->d; j++)
        score += (double)x[u * s->d + j] * (double)y[s->columns[i] * s->d + j];
      double miss = (score - 1) * (score - 1);
      sum += s->o->confidence ? (w + g) * miss - g * score * score : w * miss;
    }
  return sum;
}

rs_status rs_implicit_loss(double *loss, const rs_tensor *x, const rs_csr *pairs, const rs_tensor *y,
                           const rs_implicit_options *o) {
  rs_status status = check(x, pairs, y, o);
  if (status != RS_OK) return status;
  rs_tensor of_x = {0}, of_y = {0}, rows = {0};
  rs_csr turned = {0};
  status = rs_gram(&of_x, x);
  if (status == RS_OK) status = rs_gram(&of_y, y);
  if (status == RS_OK) status = rs_tensor_contiguous(&rows, y);
  if (status == RS_OK) status = rs_csr_transpose(&turned, pairs);
  if (status == RS_OK) {
    rs_implicit_options other = *o;
    other.others = 0;
    sweep s = sweep_of(pairs, y->size[1], o), t = sweep_of(&turned, y->size[1], &other);
    *loss = fit(&s, rs_f32(x), rs_f32(&rows)) + penalties(&s, rs_f32(x)) + penalties(&t, rs_f32(&rows));
    for (int64_t i = 0; i < s.d * s.d; i++) *loss += o->unobserved * rs_f64(&of_x)[i] * rs_f64(&of_y)[i];
  }
  for (rs_tensor **t = (rs_tensor *[]){&of_x, &of_y, &rows, NULL}; *t; t++) rs_tensor_free(*t);
  rs_csr_free(&turned);
  return status;
}
