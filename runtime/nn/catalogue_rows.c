/* catalogue_rows.c - see catalogue_rows.h. */
#ifndef REAL
#include "nn/catalogue_rows.h"

#include <math.h>
#include <string.h>

#include "autograd/elementary.h"
#include "autograd/kernel.h"

typedef rs_catalogue_work work;
typedef rs_catalogue_panel panel;
typedef rs_catalogue_row row_state;

enum { BLOCK = 64 };

/* How many columns are negatives of row u. */
static int64_t negatives_of(const work *w, int64_t u) {
  return w->m - w->first - (w->left_starts[u + 1] - w->left_starts[u]);
}

#define KERNELS "nn/catalogue_rows.c"
#include "autograd/each_real.h"

void rs_catalogue_sum_tile(const work *w, const panel *p, bool kept) {
  RS_CALL(w->dtype, sum_tile, (w, p, kept));
}

void rs_catalogue_raise_tile(const work *w, const panel *p) {
  RS_CALL(w->dtype, raise_tile, (p));
}

double rs_catalogue_settle_row(const work *w, const panel *p, int64_t r) {
  return RS_CALL(w->dtype, settle_row, (w, p, r));
}

double rs_catalogue_slope_tile(const work *w, const panel *p) {
  return RS_CALL(w->dtype, slope_tile, (w, p));
}

#else
/* Set what row u leaves out of a tile. */
static void OF(set_left_out)(const work *w, const panel *p, int64_t u, REAL *s, REAL value) {
  for (int64_t k = w->left_starts[u]; k < w->left_starts[u + 1]; k++) {
    int64_t j = w->left_out[k] - p->j;
    if (0 <= j && j < p->columns) s[j] = value;
  }
}

/* Scores of a row's tile: less log q, and -infinity where a column is left out. */
RS_SIMD static void OF(correct)(const work *w, const panel *p, int64_t u, REAL *s) {
  if (w->log_q) {
    const REAL *log_q = (const REAL *)w->log_q + p->j;
    for (int64_t j = 0; j < p->columns; j++) s[j] -= log_q[j];
  }
  OF(set_left_out)(w, p, u, s, (REAL)-INFINITY);
}

RS_SIMD static REAL OF(largest)(const REAL *s, int64_t n) {
  REAL lane[16];
  int64_t j = 0;
  for (int l = 0; l < 16; l++) lane[l] = s[0];
  for (; j + 16 <= n; j += 16)
    for (int l = 0; l < 16; l++) lane[l] = s[j + l] > lane[l] ? s[j + l] : lane[l];
  for (; j < n; j++) lane[0] = s[j] > lane[0] ? s[j] : lane[0];
  for (int l = 1; l < 16; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
  return lane[0];
}

/* exp(x - max), 0 far below, where single floats would turn denormal and slow. */
static inline REAL OF(power)(REAL x, REAL max) { return x - max < (REAL)-87 ? 0 : OF(rs_exp)(x - max); }

RS_SIMD static double OF(sum_exp)(const REAL *s, REAL max, int64_t n) {
  REAL lane[16] = {0};
  int64_t j = 0;
  for (; j + 16 <= n; j += 16)
    for (int l = 0; l < 16; l++) lane[l] += OF(power)(s[j + l], max);
  for (; j < n; j++) lane[0] += OF(power)(s[j], max);
  double sum = 0;
  for (int l = 0; l < 16; l++) sum += (double)lane[l];
  return sum;
}

/* The sum of what is not left out. */
RS_SIMD static double OF(sum_scores)(const REAL *s, int64_t n) {
  double lane[8] = {0};
  int64_t j = 0;
  for (; j + 8 <= n; j += 8)
    for (int l = 0; l < 8; l++) lane[l] += s[j + l] == (REAL)-INFINITY ? 0 : (double)s[j + l];
  for (; j < n; j++) lane[0] += s[j] == (REAL)-INFINITY ? 0 : (double)s[j];
  for (int l = 1; l < 8; l++) lane[0] += lane[l];
  return lane[0];
}

static void OF(sum_tile)(const work *w, const panel *p, bool kept) {
  for (int64_t r = 0; r < p->rows; r++) {
    REAL *s = (REAL *)p->tile + r * RS_CATALOGUE_TILE;
    row_state *state = &p->state[r];
    OF(correct)(w, p, p->i + r, s);
    double tile_max = (double)OF(largest)(s, p->columns), max = tile_max > state->max ? tile_max : state->max;
    if (tile_max != tile_max) max = tile_max;
    if (max == -INFINITY) continue;
    if (!kept) state->sum = state->sum * exp(state->max - max) + OF(sum_exp)(s, (REAL)max, p->columns);
    state->max = max;
    if (w->smoothing > 0) state->total += OF(sum_scores)(s, p->columns);
  }
}

RS_SIMD static void OF(raise)(REAL *s, REAL max, int64_t n) {
  for (int64_t j = 0; j < n; j++) s[j] = OF(power)(s[j], max);
}

RS_SIMD static double OF(total)(const REAL *s, int64_t n) {
  REAL lane[16] = {0};
  int64_t j = 0;
  for (; j + 16 <= n; j += 16)
    for (int l = 0; l < 16; l++) lane[l] += s[j + l];
  for (; j < n; j++) lane[0] += s[j];
  double sum = 0;
  for (int l = 0; l < 16; l++) sum += (double)lane[l];
  return sum;
}

static void OF(raise_tile)(const panel *p) {
  for (int64_t r = 0; r < p->rows; r++) {
    REAL *s = (REAL *)p->tile + r * RS_CATALOGUE_TILE;
    if (p->state[r].max == -INFINITY) continue; /* nothing is left to it */
    OF(raise)(s, (REAL)p->state[r].max, p->columns);
    p->state[r].sum += OF(total)(s, p->columns);
  }
}

RS_SIMD static double OF(dot)(const REAL *a, const REAL *b, int64_t d) {
  double lane[8] = {0};
  int64_t k = 0;
  for (; k + 8 <= d; k += 8)
    for (int l = 0; l < 8; l++) lane[l] += (double)a[k + l] * (double)b[k + l];
  for (; k < d; k++) lane[0] += (double)a[k] * (double)b[k];
  for (int l = 1; l < 8; l++) lane[0] += lane[l];
  return lane[0];
}

RS_SIMD static void OF(add_multiple)(REAL *y, double factor, const REAL *x, int64_t d) {
  for (int64_t k = 0; k < d; k++) y[k] += (REAL)factor * x[k];
}

static double OF(positive_score)(const work *w, int64_t u, int64_t pair) {
  int64_t j = w->positives[pair];
  double dot = OF(dot)((const REAL *)w->users + u * w->d, (const REAL *)w->items + j * w->d, w->d);
  if (w->loss == RS_CATALOGUE_BILATERAL) return dot * w->positive_scale;
  return dot * w->positive_scale - (w->log_q ? (double)((const REAL *)w->log_q)[j] : 0);
}

static double OF(weight)(const work *w, int64_t pair) {
  return w->weights ? (double)((const REAL *)w->weights)[pair] : 1;
}

/* Give a pair's user and item the derivative of the loss by its score. */
static void OF(spread_pair)(const work *w, const panel *p, int64_t u, int64_t pair, double slope) {
  if (!w->user_grad) return;
  int64_t j = w->positives[pair];
  double factor = slope * w->positive_scale / (double)w->pairs;
  OF(add_multiple)((REAL *)w->user_grad + u * w->d, factor, (const REAL *)w->items + j * w->d, w->d);
  OF(add_multiple)((REAL *)w->item_grads + (p->group * w->m + j) * w->d, factor,
                   (const REAL *)w->users + u * w->d, w->d);
}

/* The settle functions give row u's loss but for what slope_tile adds, spread its pairs and set rate and shift, which
 * settle_row divides by the number of pairs. */
static double OF(settle_against_all)(const work *w, const panel *p, int64_t u, row_state *state) {
  double loss = 0, total = 0, columns = (double)negatives_of(w, u), e = w->smoothing;
  double normaliser = state->max + log(state->sum);
  for (int64_t k = w->starts[u]; k < w->starts[u + 1]; k++) {
    double weight = OF(weight)(w, k);
    loss += weight * (normaliser - (1 - e) * OF(positive_score)(w, u, k) - (e > 0 ? e * state->total / columns : 0));
    total += weight;
    OF(spread_pair)(w, p, u, k, -weight * (1 - e));
  }
  state->rate = total / state->sum;
  state->shift = -e * total / columns;
  return loss;
}

/* With a = log(sum over the negatives) - s, a pair's log of the sum is s + softplus(a). */
static double OF(settle_against_negatives)(const work *w, const panel *p, int64_t u, row_state *state) {
  double loss = 0, each = w->smoothing / (double)(negatives_of(w, u) + 1);
  double negatives = state->sum == 0 ? -INFINITY : state->max + log(state->sum);
  for (int64_t k = w->starts[u]; k < w->starts[u + 1]; k++) {
    double weight = OF(weight)(w, k), s = OF(positive_score)(w, u, k), a = negatives - s;
    double share = a > 0 ? 1 / (1 + exp(-a)) : exp(a) / (1 + exp(a));
    loss += weight * ((a > 0 ? a + log1p(exp(-a)) : log1p(exp(a))) + w->smoothing * s - each * (state->total + s));
    if (state->sum != 0) state->rate += weight * share / state->sum;
    state->shift -= weight * each;
    OF(spread_pair)(w, p, u, k, weight * (w->smoothing - each - share));
  }
  return loss;
}

static double OF(settle_bilateral)(const work *w, const panel *p, int64_t u, row_state *state) {
  double max = -INFINITY, sum = 0, total = 0;
  for (int64_t k = w->starts[u]; k < w->starts[u + 1]; k++) max = fmax(max, OF(positive_score)(w, u, k));
  for (int64_t k = w->starts[u]; k < w->starts[u + 1]; k++) {
    total += OF(weight)(w, k);
    sum += OF(weight)(w, k) * exp(OF(positive_score)(w, u, k) - max);
  }
  if (total == 0) return 0;
  for (int64_t k = w->starts[u]; k < w->starts[u + 1]; k++)
    OF(spread_pair)(w, p, u, k, -total * OF(weight)(w, k) * exp(OF(positive_score)(w, u, k) - max) / sum);
  state->rate = state->sum == 0 ? 0 : w->emphasis * total / state->sum;
  double negatives = state->sum == 0 ? 0 : state->max + log(state->sum);
  return total * (w->emphasis * negatives - max - log(sum / total));
}

static double OF(settle_contrastive)(const work *w, const panel *p, int64_t u, row_state *state) {
  double loss = 0, columns = (double)negatives_of(w, u);
  for (int64_t k = w->starts[u]; k < w->starts[u + 1]; k++) {
    double weight = OF(weight)(w, k);
    loss += weight * (1 - OF(positive_score)(w, u, k));
    if (columns > 0) state->rate += weight * w->emphasis / columns;
    OF(spread_pair)(w, p, u, k, -weight);
  }
  return loss;
}

static double OF(settle_gbce)(const work *w, const panel *p, int64_t u, row_state *state) {
  double loss = 0, share = 1 / (double)(negatives_of(w, u) + 1);
  for (int64_t k = w->starts[u]; k < w->starts[u + 1]; k++) {
    double weight = OF(weight)(w, k) * share, s = OF(positive_score)(w, u, k);
    double counts = w->column_weights ? (double)((const REAL *)w->column_weights)[w->positives[k]] : 1;
    double pull = weight * w->beta * counts;
    loss += pull * (s < 0 ? log1p(exp(s)) - s : log1p(exp(-s)));
    state->rate += weight;
    OF(spread_pair)(w, p, u, k, -pull / (1 + exp(s)));
  }
  return loss;
}

static double OF(settle_row)(const work *w, const panel *p, int64_t r) {
  int64_t u = p->i + r;
  row_state *state = &p->state[r];
  double loss = 0;
  if (w->starts[u] == w->starts[u + 1]) return 0;
  switch (w->loss) {
    case RS_CATALOGUE_SOFTMAX:
      loss = (w->alone ? OF(settle_against_negatives) : OF(settle_against_all))(w, p, u, state);
      break;
    case RS_CATALOGUE_BILATERAL: loss = OF(settle_bilateral)(w, p, u, state); break;
    case RS_CATALOGUE_CONTRASTIVE: loss = OF(settle_contrastive)(w, p, u, state); break;
    case RS_CATALOGUE_GBCE: loss = OF(settle_gbce)(w, p, u, state); break;
  }
  state->rate /= (double)w->pairs;
  state->shift /= (double)w->pairs;
  return loss;
}

RS_SIMD static void OF(exp_slopes)(REAL *s, REAL max, REAL rate, REAL shift, int64_t n) {
  for (int64_t j = 0; j < n; j++) s[j] = rate * OF(power)(s[j], max) + shift;
}

/* The same of exponentials. */
RS_SIMD static void OF(raised_slopes)(REAL *s, REAL rate, REAL shift, int64_t n) {
  for (int64_t j = 0; j < n; j++) s[j] = rate * s[j] + shift;
}

/* The sum of max(0, s - margin); s becomes its slope. Two loops: compilers make vectors of each, not of both in one. */
RS_SIMD static double OF(hinge_slopes)(REAL *s, REAL margin, REAL rate, int64_t n) {
  REAL lane[16] = {0};
  int64_t j = 0;
  for (; j + 16 <= n; j += 16)
    for (int l = 0; l < 16; l++) lane[l] += s[j + l] < margin ? 0 : s[j + l] - margin;
  for (; j < n; j++) lane[0] += s[j] < margin ? 0 : s[j] - margin;
  for (j = 0; j < n; j++) s[j] = s[j] < margin ? 0 : rate;
  double sum = 0;
  for (int l = 0; l < 16; l++) sum += (double)lane[l];
  return sum;
}

/* The sum over 64 scores of softplus(s) = max(0, s) + log(1 + exp(-|s|)), the logarithm taken of the product; s becomes
 * its slope. */
RS_SIMD static double OF(logistic_block)(REAL *s, REAL rate) {
  REAL power[BLOCK], positive[BLOCK];
  double product[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (int k = 0; k < BLOCK; k++) power[k] = OF(rs_exp)(s[k] < 0 ? s[k] : -s[k]);
  for (int k = 0; k < BLOCK; k++) {
    positive[k] = s[k] < 0 ? 0 : s[k];
    s[k] = rate * (s[k] < 0 ? power[k] : 1) / (1 + power[k]);
  }
  for (int k = 0; k < BLOCK; k += 8)
    for (int l = 0; l < 8; l++) product[l] *= 1 + (double)power[k + l];
  for (int half = BLOCK / 2; half; half /= 2)
    for (int l = 0; l < half; l++) positive[l] += positive[l + half];
  for (int l = 1; l < 8; l++) product[0] *= product[l];
  return log(product[0]) + (double)positive[0];
}

static double OF(logistic_slopes)(REAL *s, REAL rate, int64_t n) {
  double sum = 0;
  int64_t j = 0;
  for (; j + BLOCK <= n; j += BLOCK) sum += OF(logistic_block)(s + j, rate);
  if (j == n) return sum;
  REAL rest[BLOCK];
  for (int64_t k = 0; k < BLOCK; k++) rest[k] = j + k < n ? s[j + k] : (REAL)-INFINITY;
  sum += OF(logistic_block)(rest, rate);
  memcpy(s + j, rest, (size_t)(n - j) * sizeof *s);
  return sum;
}

/* The same with a weight for each score. Two loops, as above. */
RS_SIMD static double OF(weighted_logistic_slopes)(REAL *s, const REAL *weight, REAL rate, int64_t n) {
  REAL power[BLOCK], term[BLOCK];
  double sum = 0;
  for (int64_t j = 0; j < n; j += BLOCK) {
    int64_t many = n - j < BLOCK ? n - j : BLOCK;
    for (int64_t k = 0; k < many; k++) power[k] = OF(rs_exp)(s[j + k] < 0 ? s[j + k] : -s[j + k]);
    for (int64_t k = 0; k < many; k++) {
      REAL x = s[j + k];
      term[k] = weight[j + k] * ((x < 0 ? 0 : x) + OF(rs_log_1_to_2)(power[k]));
      s[j + k] = weight[j + k] * rate * (x < 0 ? power[k] : 1) / (1 + power[k]);
    }
    for (int64_t k = 0; k < many; k++) sum += (double)term[k];
  }
  return sum;
}

/* A row's scores become the derivative of the loss by them; what its columns add to the loss. */
static double OF(slope_row)(const work *w, const panel *p, int64_t r, REAL *s) {
  const row_state *state = &p->state[r];
  double sum = 0;
  if (w->loss == RS_CATALOGUE_CONTRASTIVE)
    sum = OF(hinge_slopes)(s, (REAL)w->margin, (REAL)state->rate, p->columns);
  else if (w->loss == RS_CATALOGUE_GBCE && w->column_weights)
    sum = OF(weighted_logistic_slopes)(s, (const REAL *)w->column_weights + p->j, (REAL)state->rate, p->columns);
  else if (w->loss == RS_CATALOGUE_GBCE)
    sum = OF(logistic_slopes)(s, (REAL)state->rate, p->columns);
  else if (state->sum == 0)
    memset(s, 0, (size_t)p->columns * sizeof *s);
  else if (p->raised)
    OF(raised_slopes)(s, (REAL)state->rate, (REAL)state->shift, p->columns);
  else
    OF(exp_slopes)(s, (REAL)state->max, (REAL)state->rate, (REAL)state->shift, p->columns);
  return state->rate == 0 ? 0 : sum * state->rate * (double)w->pairs;
}

static double OF(slope_tile)(const work *w, const panel *p) {
  double loss = 0;
  for (int64_t r = 0; r < p->rows; r++) {
    REAL *s = (REAL *)p->tile + r * RS_CATALOGUE_TILE;
    if (p->fresh) OF(correct)(w, p, p->i + r, s);
    loss += OF(slope_row)(w, p, r, s);
    OF(set_left_out)(w, p, p->i + r, s, 0);
  }
  return loss;
}
#endif
