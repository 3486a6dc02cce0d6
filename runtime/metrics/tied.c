/* tied.c - see tied.h. Positions count from 1; a group covers positions greater + 1 .. greater + size. */
#include "metrics/tied.h"

#include <stddef.h>

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* How many of the group's positions are among the first k. */
static int64_t inside(const rs_tie_group *g, int64_t k) {
  return k <= g->greater ? 0 : smaller(k - g->greater, g->size);
}

/* Only the first group matters: when it lies inside, it is found; when k cuts it, none of its relevant items is among
 * the first m of 'size' with probability C(size - relevant, m) / C(size, m). */
double rs_tied_hit(const rs_outcome *o, int64_t k) {
  if (o->n_groups == 0) return 0;
  const rs_tie_group *g = &o->groups[0];
  int64_t m = inside(g, k), draws = m, left = g->size - g->relevant;
  double missed = 1;
  for (int64_t i = 0; i < draws && missed > 0; i++) missed *= i < left ? (double)(left - i) / (double)(g->size - i) : 0;
  return 1 - missed;
}

double rs_tied_found(const rs_outcome *o, int64_t k) {
  double found = 0;
  for (int64_t i = 0; i < o->n_groups; i++) {
    const rs_tie_group *g = &o->groups[i];
    found += (double)inside(g, k) * (double)g->relevant / (double)g->size;
  }
  return found;
}

/* Position i of a group is relevant with probability r / n; given that, (i - 1)(r - 1)/(n - 1) of the group's positions
 * before it are so too, on average. */
double rs_tied_average_precision(const rs_outcome *o, int64_t k) {
  double sum = 0, before = 0;
  for (int64_t j = 0; j < o->n_groups; j++) {
    const rs_tie_group *g = &o->groups[j];
    double share = (double)g->relevant / (double)g->size;
    double others = g->size > 1 ? (double)(g->relevant - 1) / (double)(g->size - 1) : 0;
    int64_t m = inside(g, k);
    for (int64_t i = 1; i <= m; i++) sum += share * (before + 1 + (double)(i - 1) * others) / (double)(g->greater + i);
    before += (double)g->relevant;
  }
  return sum / (double)smaller(o->relevant, k);
}

double rs_tied_reciprocal_rank(const rs_outcome *o) {
  if (o->n_groups == 0) return 0;
  const rs_tie_group *g = &o->groups[0];
  double sum = 0, missed = 1; /* missed: P(no relevant item on the group's first i positions) */
  for (int64_t i = 0; i <= g->size - g->relevant; i++) {
    double here = (double)g->relevant / (double)(g->size - i);
    sum += missed * here / (double)(g->greater + 1 + i);
    missed *= 1 - here;
  }
  return sum;
}

double rs_tied_auc(const rs_outcome *o) {
  int64_t found = 0;
  for (int64_t i = 0; i < o->n_groups; i++) found += o->groups[i].relevant;
  int64_t irrelevant = o->candidates - found, below = found;
  if (irrelevant == 0) return 0.5 * (double)found / (double)o->relevant;
  double won = 0;
  for (int64_t i = 0; i < o->n_groups; i++) {
    const rs_tie_group *g = &o->groups[i];
    below -= g->relevant; /* relevant items in later groups */
    int64_t worse = o->candidates - g->greater - g->size - below;
    won += (double)g->relevant * ((double)worse + 0.5 * (double)(g->size - g->relevant));
  }
  return won / ((double)o->relevant * (double)irrelevant);
}

/* The discounts of the group's positions among the first k. */
static double discount(const rs_tie_group *g, int64_t k, const double *discounts) {
  int64_t m = inside(g, k);
  return m == 0 ? 0 : discounts[g->greater + m] - discounts[g->greater];
}

double rs_tied_dcg(const rs_outcome *o, int64_t k, const double *discounts) {
  double sum = 0;
  for (int64_t i = 0; i < o->n_groups; i++) {
    const rs_tie_group *g = &o->groups[i];
    sum += discount(g, k, discounts) * ((double)g->relevant / (double)g->size);
  }
  return sum;
}

double rs_tied_graded_dcg(const rs_outcome *o, int64_t k, const double *discounts) {
  double sum = 0;
  for (int64_t i = 0; i < o->n_groups; i++) {
    const rs_tie_group *g = &o->groups[i];
    sum += discount(g, k, discounts) * (g->gain / (double)g->size);
  }
  return sum;
}
