/* best.c - see best.h. Floats are halved between by their order as unsigned numbers, so that any of them are told apart
 * in 32 steps; a step counts, 8 numbers an instruction. */
#include "retrieval/best.h"

#include <math.h>
#include <string.h>

#include "base/wide.h"

/* Floats in their order as unsigned numbers, and back. */
static uint32_t order_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

static float of_order(uint32_t order) {
  uint32_t bits = order >> 31 ? order & INT32_MAX : ~order;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

RS_INLINE int64_t count_from(const float *x, int64_t n, float least) {
  int32_t count = 0;
  for (int64_t i = 0; i < n; i++) count += x[i] >= least;
  return count;
}
RS_WIDE static int64_t count_wide(const float *x, int64_t n, float least) { return count_from(x, n, least); }

static int64_t count(const float *x, int64_t n, float least) {
  return (rs_wide() ? count_wide : count_from)(x, n, least);
}

RS_INLINE float largest(const float *x, int64_t n) {
  float most = -INFINITY;
  for (int64_t i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
  return most;
}

float rs_reached_by(const float *x, int64_t n, int64_t k, int64_t most) {
  if (n < k) return -INFINITY;
  uint32_t low = order_of(-INFINITY), high = order_of(largest(x, n)) + 1;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    int64_t reached = count(x, n, of_order(middle));
    if (reached < k)
      high = middle;
    else
      low = middle;
    if (k <= reached && reached <= most) break;
  }
  return of_order(low);
}

/* Those that are above 'least', and the first 'ties' of those that equal it. */
static void keep_above(rs_best *best, float least, int64_t ties) {
  int64_t n = 0;
  for (int64_t i = 0; i < best->n; i++) {
    bool tie = best->scores[i] == least, kept = best->scores[i] > least || (tie && ties > 0);
    best->scores[n] = best->scores[i];
    best->rows[n] = best->rows[i];
    ties -= tie;
    n += kept;
  }
  best->n = n;
}

/* Those that reach 'least'. */
static void keep_from(rs_best *best, float least) {
  int64_t n = 0, all = best->n;
  float *scores = best->scores;
  int32_t *rows = best->rows;
  for (int64_t i = 0; i < all; i++) {
    scores[n] = scores[i];
    rows[n] = rows[i];
    n += scores[i] >= least;
  }
  best->n = n;
}

void rs_best_keep(rs_best *best, int64_t k) {
  if (best->n <= k) return;
  float least = rs_reached_by(best->scores, best->n, k, k);
  if (count(best->scores, best->n, least) == k) {
    keep_from(best, least);
  } else {
    int64_t above = 0;
    for (int64_t i = 0; i < best->n; i++) above += best->scores[i] > least;
    keep_above(best, least, k - above);
  }
  best->least = least;
}
