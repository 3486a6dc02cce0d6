/* softmax_rows.c - see softmax_rows.h. Exponentials are taken relative to the row's largest positive: no pass looks
 * for a maximum. Where that is not within reach of the row (a sum over 1e25, or positives e^40 apart), the row is done
 * again with care, each pair relative to its own largest logit. */
#ifndef REAL
#include "nn/softmax_rows.h"

#include <math.h>
#include <string.h>

#include "autograd/kernel.h"

/* What is known of a pair; logits are without log c_j. */
typedef struct pair {
  double own;     /* logit as the positive */
  double other;   /* logit as a column */
  double repeats; /* columns of the same that are left to it beside its own */
  double mass;    /* own_t */
  double rest;    /* Z_t less own_t */
  double columns; /* how many columns are left to it, its own included; with smoothing */
} pair;

typedef struct class {
  int64_t first;                /* its first column */
  int64_t begin, end;           /* its pairs in the row */
  double sum, others;           /* of its columns' exponentials, of the other classes' */
  double gradient, opposed;     /* of its pairs' w / Z, of the other classes' */
  double counts, logits, share; /* with smoothing: columns left, their logits, its pairs' w / columns */
} class;

/* A row at work. */
typedef struct row {
  const rs_softmax_rows *w;
  int64_t i, k, n;       /* its place, its pairs and their classes */
  const int32_t *column; /* [k] */
  const double *weight;  /* [k] */
  pair *pairs;
  class *classes;
  void *aside, *left, *careful; /* [m], [wide], [wide] */
} row;

static size_t reals(const rs_softmax_rows *w, int64_t n) {
  return ((size_t)n * rs_dtype_size(w->columns.dtype) + 63) / 64 * 64;
}

size_t rs_softmax_scratch_bytes(const rs_softmax_rows *w) {
  return reals(w, w->pairs.m) + 2 * reals(w, w->columns.wide) +
         ((size_t)w->pairs.most * (sizeof(pair) + sizeof(class)) + 63) / 64 * 64;
}

static int64_t first_of(const rs_softmax_rows *w, int64_t j) { return w->merge ? w->pairs.first[j] : j; }
static int64_t next_of(const rs_softmax_rows *w, int64_t j) { return w->merge ? w->pairs.next[j] : -1; }

/* Row i with its classes and its part of a thread's memory. */
static row begin_row(const rs_softmax_rows *w, int64_t i, void *memory) {
  int64_t begin = w->pairs.start[i], last = -1;
  row r = {.w = w, .i = i, .k = w->pairs.start[i + 1] - begin, .column = w->pairs.column + begin};
  char *at = memory;
  r.weight = w->weights + begin;
  r.aside = at;
  r.left = at += reals(w, w->pairs.m);
  r.careful = at += reals(w, w->columns.wide);
  r.pairs = (pair *)(at += reals(w, w->columns.wide));
  r.classes = (class *)(r.pairs + w->pairs.most);
  for (int64_t t = 0; t < r.k; t++) {
    int64_t first = first_of(w, r.column[t]);
    if (first != last) r.classes[r.n++] = (class){.first = first, .begin = t};
    r.classes[r.n - 1].end = t + 1;
    last = first;
  }
  return r;
}

/* What the other classes add to each class: sums of those before and of those behind. */
static void sum_others(row *r) {
  double before = 0, behind = 0;
  for (int64_t h = 0; h < r->n; h++) {
    r->classes[h].others = before;
    before += r->classes[h].sum;
  }
  for (int64_t h = r->n - 1; h >= 0; h--) {
    r->classes[h].others += behind;
    behind += r->classes[h].sum;
  }
}

/* The same for gradients; the sum of all. */
static double sum_gradients(row *r) {
  double before = 0, behind = 0;
  for (int64_t h = 0; h < r->n; h++) {
    r->classes[h].opposed = before;
    before += r->classes[h].gradient;
  }
  for (int64_t h = r->n - 1; h >= 0; h--) {
    r->classes[h].opposed += behind;
    behind += r->classes[h].gradient;
  }
  return before;
}

/* Z and loss of every pair relative to 'shift', with 'rest' the sum over the columns of no class. *far: the sums are
 * beyond a float's reach. */
static double weigh(row *r, double rest, double shift, bool *far) {
  double loss = 0;
  for (int64_t h = 0; h < r->n; h++)
    for (int64_t t = r->classes[h].begin; t < r->classes[h].end; t++) {
      pair *p = &r->pairs[t];
      p->mass = exp(p->own - shift) + (p->repeats > 0 ? p->repeats * exp(p->other - shift) : 0);
      p->rest = rest + r->classes[h].others;
      double all = p->rest + p->mass;
      *far |= all > 1e25 || p->own < shift - 40;
      loss += r->weight[t] * (log(all) + shift - p->own);
      r->classes[h].gradient += r->weight[t] / all;
    }
  return loss;
}

#define KERNELS "nn/softmax_rows.c"
#include "autograd/each_real.h"

double rs_softmax_row(const rs_softmax_rows *rows, int64_t i, void *logits, void *memory, double *factor) {
  row r = begin_row(rows, i, memory);
  return RS_CALL(rows->columns.dtype, run_row, (&r, logits, factor));
}

#else
/* Logits of columns that were not to be had at row i's moment become -infinity. */
RS_SIMD static void OF(mask_window)(const rs_softmax_rows *w, int64_t i, REAL *s) {
  int64_t now = w->now[i];
  for (int64_t j = 0; j < w->pairs.m; j++) s[j] = w->from[j] <= now && now < w->to[j] ? s[j] : (REAL)-INFINITY;
}

static void OF(mask)(const rs_softmax_rows *w, int64_t i, REAL *s) {
  if (w->now) OF(mask_window)(w, i, s);
  if (!w->left_out) return;
  int64_t n;
  const int32_t *codes = rs_lists_at(w->left_out, i, &n);
  for (int64_t c = 0; c < n; c++)
    for (int64_t j = rs_softmax_pairs_find(&w->pairs, codes[c]); j >= 0; j = w->pairs.next[j]) s[j] = (REAL)-INFINITY;
}

/* The pairs' logits, of which the largest is returned, and then the masks. */
static double OF(read_pairs)(row *r, REAL *s) {
  const REAL *log_count = r->w->log_count, *log_q = r->w->log_q;
  double most = -INFINITY;
  for (int64_t t = 0; t < r->k; t++) {
    int64_t j = r->column[t];
    double other = (double)s[j] - (double)log_count[j], own = other;
    if (r->w->uncorrected && log_q) own += (double)log_q[j];
    r->pairs[t].own = own;
    r->pairs[t].other = other;
    r->pairs[t].repeats = 0;
    most = own > most || own != own ? own : most;
  }
  OF(mask)(r->w, r->i, s);
  for (int64_t t = 0; t < r->k; t++)
    if (!r->w->merge && s[r->column[t]] > (REAL)-INFINITY) r->pairs[t].repeats = r->w->pairs.count[r->column[t]] - 1;
  return most;
}

/* Take class h's columns out of the logits into 'aside'; where its next class goes. */
static REAL *OF(set_aside)(const row *r, int64_t h, REAL *s, REAL *aside) {
  for (int64_t j = r->classes[h].first; j >= 0; j = next_of(r->w, j)) {
    *aside++ = s[j];
    s[j] = (REAL)-INFINITY;
  }
  return aside;
}

/* Exponentials of what was set aside, and each class's sum. */
static void OF(raise_aside)(row *r, double shift) {
  REAL *aside = r->aside;
  for (int64_t h = 0; h < r->n; h++)
    for (int64_t j = r->classes[h].first; j >= 0; j = next_of(r->w, j), aside++) {
      *aside = MATH(exp)(*aside - (REAL)shift);
      r->classes[h].sum += (double)*aside;
    }
}

/* Coefficients of the classes' columns: as negatives of the pairs of other classes, and as positives of their own. */
static void OF(put_back)(const row *r, REAL *s, double factor) {
  const REAL *aside = r->aside;
  for (int64_t h = 0; h < r->n; h++) {
    int64_t t = r->classes[h].begin;
    for (int64_t j = r->classes[h].first; j >= 0; j = next_of(r->w, j), aside++) {
      double c = *aside == 0 ? 0 : (double)*aside * r->classes[h].opposed;
      for (; t < r->classes[h].end && r->column[t] == j; t++)
        c -= r->weight[t] * r->pairs[t].rest / (r->pairs[t].rest + r->pairs[t].mass);
      s[j] = factor == 0 ? 0 : (REAL)(c / factor);
    }
  }
}

/* Smoothing's part of the loss. r->left is c_j where column j is left to the row, and each pair learns how many are. */
static double OF(smooth)(row *r, const REAL *s) {
  const REAL *log_count = r->w->log_count;
  REAL *left = r->left;
  double counts = 0, logits = 0, loss = 0;
  for (int64_t j = 0; j < r->w->pairs.m; j++) {
    left[j] = s[j] == (REAL)-INFINITY ? 0 : (REAL)r->w->pairs.count[j];
    counts += (double)left[j];
    if (left[j] != 0) logits += (double)left[j] * ((double)s[j] - (double)log_count[j]);
  }
  for (int64_t h = 0; h < r->n; h++) {
    class *c = &r->classes[h];
    for (int64_t j = c->first; j >= 0; j = next_of(r->w, j)) {
      c->counts += (double)left[j];
      if (left[j] != 0) c->logits += (double)left[j] * ((double)s[j] - (double)log_count[j]);
    }
    for (int64_t t = c->begin; t < c->end; t++) {
      pair *p = &r->pairs[t];
      double repeated = p->repeats > 0 ? p->repeats * p->other : 0;
      p->columns = counts - c->counts + 1 + p->repeats;
      loss += r->weight[t] * (p->own - (logits - c->logits + p->own + repeated) / p->columns);
      c->share += r->weight[t] / p->columns;
    }
  }
  return r->w->smoothing * loss;
}

/* Its part of the coefficients, which times 'factor' are gradients. */
static void OF(smooth_back)(const row *r, REAL *s, double factor) {
  const REAL *left = r->left;
  double all = 0, by = r->w->smoothing / factor;
  for (int64_t h = 0; h < r->n; h++) all += r->classes[h].share;
  for (int64_t j = 0; j < r->w->pairs.m; j++) s[j] -= (REAL)(by * all) * left[j];
  for (int64_t h = 0; h < r->n; h++) {
    const class *c = &r->classes[h];
    for (int64_t j = c->first; j >= 0; j = next_of(r->w, j)) s[j] += (REAL)(by * c->share) * left[j];
    for (int64_t t = c->begin; t < c->end; t++)
      s[r->column[t]] += (REAL)(by * r->weight[t] * (1 - (1 + r->pairs[t].repeats) / r->pairs[t].columns));
  }
}

/* The exponentials of what stands beside the row, added up. */
static double OF(sum_beside)(const row *r, double shift) {
  const REAL *logits = (const REAL *)r->w->beside + r->i * r->w->n_beside;
  double sum = 0;
  for (int64_t h = 0; h < r->w->n_beside; h++) sum += exp((double)logits[h] - shift);
  return sum;
}

/* 'by' times them, added to the gradient of what stands beside the row. */
static void OF(give_beside)(const row *r, double shift, double by) {
  if (!r->w->beside_grad) return;
  const REAL *logits = (const REAL *)r->w->beside + r->i * r->w->n_beside;
  REAL *grad = (REAL *)r->w->beside_grad + r->i * r->w->n_beside;
  for (int64_t h = 0; h < r->w->n_beside; h++) grad[h] += (REAL)(by * exp((double)logits[h] - shift));
}

static double OF(most_beside)(const row *r, double most) {
  const REAL *logits = (const REAL *)r->w->beside + r->i * r->w->n_beside;
  for (int64_t h = 0; h < r->w->n_beside; h++) most = (double)logits[h] > most ? (double)logits[h] : most;
  return most;
}

/* One pair of class h, whose columns are set aside: its loss, and its coefficients added to 'sum'. */
static double OF(careful_pair)(const row *r, int64_t t, const REAL *s, REAL *sum) {
  pair *p = &r->pairs[t];
  int64_t m = r->w->pairs.m;
  double shift = p->repeats > 0 && p->other > p->own ? p->other : p->own, weight = r->weight[t];
  for (int64_t j = 0; j < m; j++) shift = (double)s[j] > shift ? (double)s[j] : shift;
  shift = OF(most_beside)(r, shift);
  p->mass = exp(p->own - shift) + (p->repeats > 0 ? p->repeats * exp(p->other - shift) : 0);
  p->rest = OF(sum_beside)(r, shift);
  for (int64_t j = 0; j < m; j++) p->rest += exp((double)s[j] - shift);
  double all = p->rest + p->mass;
  for (int64_t j = 0; j < m; j++) sum[j] += (REAL)(weight * exp((double)s[j] - shift) / all);
  sum[r->column[t]] -= (REAL)(weight * p->rest / all);
  OF(give_beside)(r, shift, weight / all);
  return weight * (log(all) + shift - p->own);
}

/* The row again from its users' vectors, with gradients for coefficients. */
static double OF(careful_row)(row *r, REAL *s) {
  const rs_panel_columns *columns = &r->w->columns;
  REAL *sum = r->careful, *aside = r->aside;
  double loss = 0;
  rs_panel_scores(columns, (const REAL *)r->w->users + r->i * columns->d, 1, s);
  OF(read_pairs)(r, s);
  memset(sum, 0, (size_t)columns->wide * sizeof *sum);
  for (int64_t h = 0; h < r->n; h++) {
    const class *c = &r->classes[h];
    OF(set_aside)(r, h, s, aside);
    for (int64_t t = c->begin; t < c->end; t++) loss += OF(careful_pair)(r, t, s, sum);
    const REAL *back = aside;
    for (int64_t j = c->first; j >= 0; j = next_of(r->w, j)) s[j] = *back++;
  }
  memcpy(s, sum, (size_t)columns->wide * sizeof *s);
  return loss;
}

static double OF(run_row)(row *r, void *logits, double *factor) {
  const rs_panel_columns *columns = &r->w->columns;
  REAL *s = logits, *aside = r->aside;
  bool smooth = r->w->smoothing > 0, far = false;
  *factor = 0;
  if (r->k == 0) return memset(s, 0, (size_t)columns->wide * sizeof *s), 0;
  double shift = OF(read_pairs)(r, s), smoothed = smooth ? OF(smooth)(r, s) : 0;
  for (int64_t h = 0; h < r->n; h++) aside = OF(set_aside)(r, h, s, aside);
  double rest = columns->kernels->exponentials(s, shift, columns->wide) + OF(sum_beside)(r, shift);
  OF(raise_aside)(r, shift);
  sum_others(r);
  double loss = weigh(r, rest, shift, &far);
  *factor = sum_gradients(r);
  if (far) {
    *factor = 1;
    loss = OF(careful_row)(r, s);
  } else {
    OF(put_back)(r, s, *factor);
    OF(give_beside)(r, shift, *factor);
  }
  if (smooth && *factor > 0) OF(smooth_back)(r, s, *factor);
  return loss + smoothed;
}
#endif
