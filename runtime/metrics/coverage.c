/* coverage.c - see coverage.h. */
#include "metrics/coverage.h"

#include <math.h>
#include <stdbool.h>

#include "base/alloc.h"

static const double UNIT = 0x1p32;

rs_status rs_coverage_new(rs_coverage *out, int64_t items, const int64_t *k, int64_t n_k) {
  *out = (rs_coverage){items, n_k, k, NULL, NULL};
  size_t cells = (size_t)(items * n_k);
  out->certain = rs_alloc_zero(cells);
  out->missed = rs_alloc_zero(cells * sizeof *out->missed);
  if (out->certain && out->missed) return RS_OK;
  rs_coverage_free(out);
  return rs_nomem("coverage", cells * (1 + sizeof *out->missed));
}

void rs_coverage_free(rs_coverage *c) {
  rs_free(c->certain);
  rs_free(c->missed);
  *c = (rs_coverage){0};
}

static int64_t item_of(const int32_t *items, int64_t first, int64_t at) { return items ? items[at] : first + at; }

static void surely(uint8_t *certain, int64_t item) { __atomic_store_n(&certain[item], 1, __ATOMIC_RELAXED); }

/* Items that share 'score' at the edge: 'places' of the 'tied' ones are inside. */
static void add_tied(rs_coverage *c, int64_t which, const float *row, int64_t n, float score, double places,
                     double tied, const int32_t *items, int64_t first) {
  int64_t amount = (int64_t)llround(-log1p(-places / tied) * UNIT), *missed = c->missed + which * c->items;
  for (int64_t i = 0; i < n; i++)
    if (row[i] == score) __atomic_fetch_add(&missed[item_of(items, first, i)], amount, __ATOMIC_RELAXED);
}

void rs_coverage_add(rs_coverage *c, const float *row, int64_t n, const rs_scored *best, int64_t n_best,
                     const int32_t *items, int64_t first) {
  for (int64_t which = 0; which < c->n_k; which++) {
    uint8_t *certain = c->certain + which * c->items;
    int64_t k = c->k[which] < n_best ? c->k[which] : n_best, above = k, equal = 0;
    float edge = k < n_best ? best[k].score : 0;
    bool cut = k < n_best && best[k - 1].score == edge; /* equal scores on both sides of the edge */
    if (cut) rs_scan_count(row, n, &edge, 1, &above, &equal);
    for (int64_t i = 0; i < above; i++) surely(certain, item_of(items, first, best[i].at));
    if (cut) add_tied(c, which, row, n, edge, (double)(k - above), (double)equal, items, first);
  }
}

double rs_coverage_count(const rs_coverage *c, int64_t which) {
  const uint8_t *certain = c->certain + which * c->items;
  const int64_t *missed = c->missed + which * c->items;
  double sum = 0;
  for (int64_t i = 0; i < c->items; i++) sum += certain[i] ? 1 : -expm1(-(double)missed[i] / UNIT);
  return sum;
}
