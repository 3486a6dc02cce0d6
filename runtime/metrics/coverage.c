/* coverage.c - see coverage.h. */
#include "metrics/coverage.h"

#include <math.h>
#include <stdbool.h>

#include "base/alloc.h"

static const double UNIT = 0x1p32;

rs_status rs_coverage_new(rs_coverage *out, int64_t items, const int64_t *k, int64_t n_k) {
  *out = (rs_coverage){items, n_k, k, NULL, NULL, NULL};
  size_t cells = (size_t)(items * n_k);
  out->certain = rs_alloc_zero(cells);
  out->missed = rs_alloc_zero(cells * sizeof *out->missed);
  out->runs = rs_alloc_zero((cells + (size_t)n_k) * sizeof *out->runs);
  if (out->certain && out->missed && out->runs) return RS_OK;
  rs_coverage_free(out);
  return rs_nomem("coverage", cells * (1 + sizeof *out->missed + sizeof *out->runs));
}

void rs_coverage_free(rs_coverage *c) {
  rs_free(c->certain);
  rs_free(c->missed);
  rs_free(c->runs);
  *c = (rs_coverage){0};
}

static void add(int64_t *cell, int64_t amount) { __atomic_fetch_add(cell, amount, __ATOMIC_RELAXED); }

/* Scores that tie at the edge: 'places' of the 'tied' ones are inside. Where most of the row ties (a constant scorer's
 * does), the run gets the amount as a whole and the others give it back. */
static void add_tied(rs_coverage *c, int64_t which, const float *row, int64_t n, float score, double places,
                     int64_t tied, int64_t first) {
  int64_t amount = (int64_t)llround(-log1p(-places / (double)tied) * UNIT);
  int64_t *missed = c->missed + which * c->items + first, *runs = c->runs + which * (c->items + 1) + first;
  bool most = tied > n / 2;
  if (most) {
    add(&runs[0], amount);
    add(&runs[n], -amount);
  }
  for (int64_t i = 0; i < n; i++)
    if ((row[i] == score) != most) add(&missed[i], most ? -amount : amount);
}

void rs_coverage_add(rs_coverage *c, const float *row, int64_t n, const rs_scored *best, int64_t n_best,
                     int64_t first) {
  for (int64_t which = 0; which < c->n_k; which++) {
    uint8_t *certain = c->certain + which * c->items + first;
    int64_t k = c->k[which] < n_best ? c->k[which] : n_best, above = k, equal = 0;
    float edge = k < n_best ? best[k].score : 0;
    bool cut = k < n_best && best[k - 1].score == edge; /* equal scores on both sides of the edge */
    if (cut) rs_scan_count(row, n, &edge, 1, &above, &equal);
    for (int64_t i = 0; i < above; i++) __atomic_store_n(&certain[best[i].at], 1, __ATOMIC_RELAXED);
    if (cut) add_tied(c, which, row, n, edge, (double)(k - above), equal, first);
  }
}

double rs_coverage_count(const rs_coverage *c, int64_t which) {
  const uint8_t *certain = c->certain + which * c->items;
  const int64_t *missed = c->missed + which * c->items, *runs = c->runs + which * (c->items + 1);
  double sum = 0;
  int64_t run = 0;
  for (int64_t i = 0; i < c->items; i++) {
    run += runs[i];
    sum += certain[i] ? 1 : -expm1(-(double)(run + missed[i]) / UNIT);
  }
  return sum;
}
