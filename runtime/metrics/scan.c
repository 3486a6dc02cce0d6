/* scan.c - see scan.h. */
#include "metrics/scan.h"

#include <math.h>
#include <string.h>

#include "base/wide.h"

enum {
  MANY = 64,     /* from so many thresholds on, one pass with a search per score beats a pass per threshold */
  STRIDE = 1024, /* scores whose counts fit 32 bits with ease and whose bytes stay in L1 */
  SKIP = 16,     /* scores that are compared with the k-th best at once */
  SAMPLE = 8     /* every so many scores are looked at for a first guess of the k-th best */
};

RS_INLINE int64_t infinite(const float *row, int64_t n) {
  int64_t sum = 0;
  for (int64_t begin = 0; begin < n; begin += STRIDE) {
    int64_t end = begin + STRIDE < n ? begin + STRIDE : n;
    int32_t count = 0;
    for (int64_t i = begin; i < end; i++) {
      uint32_t bits;
      memcpy(&bits, &row[i], sizeof bits);
      count += (bits & 0x7F800000u) == 0x7F800000u;
    }
    sum += count;
  }
  return sum;
}

RS_INLINE void count_one(const float *row, int64_t n, float score, int64_t *greater, int64_t *equal) {
  int64_t above = 0, same = 0;
  for (int64_t begin = 0; begin < n; begin += STRIDE) {
    int64_t end = begin + STRIDE < n ? begin + STRIDE : n;
    int32_t g = 0, e = 0;
    for (int64_t i = begin; i < end; i++) {
      g += row[i] > score;
      e += row[i] == score;
    }
    above += g;
    same += e;
  }
  *greater = above;
  *equal = same;
}

/* How many of SKIP scores reach 'bar': a count, as a maximum would not be vectorised where NaN matters. */
RS_INLINE int32_t reaching(const float *row, float bar) {
  int32_t count = 0;
  for (int i = 0; i < SKIP; i++) count += row[i] >= bar;
  return count;
}

RS_WIDE static int64_t infinite_wide(const float *row, int64_t n) { return infinite(row, n); }
RS_WIDE static void count_one_wide(const float *row, int64_t n, float score, int64_t *greater, int64_t *equal) {
  count_one(row, n, score, greater, equal);
}
RS_WIDE static int32_t reaching_wide(const float *row, float bar) { return reaching(row, bar); }

int64_t rs_scan_infinite(const float *row, int64_t n) { return rs_wide() ? infinite_wide(row, n) : infinite(row, n); }

/* How many thresholds, sorted from the best, are >= score. */
static int64_t at_least(const float *thresholds, int64_t m, float score) {
  int64_t at = 0;
  while (m > 0) {
    int64_t half = m / 2;
    bool right = thresholds[at + half] >= score;
    at += right ? half + 1 : 0;
    m = right ? m - half - 1 : half;
  }
  return at;
}

/* One pass: each score adds to the first threshold that is below it; sums over the thresholds before follow. */
static void count_many(const float *row, int64_t n, const float *thresholds, int64_t m, int64_t *greater,
                       int64_t *equal) {
  memset(greater, 0, (size_t)m * sizeof *greater);
  memset(equal, 0, (size_t)m * sizeof *equal);
  for (int64_t i = 0; i < n; i++) {
    int64_t below = at_least(thresholds, m, row[i]);
    if (below < m) greater[below]++;
    if (below > 0 && thresholds[below - 1] == row[i]) equal[below - 1]++;
  }
  for (int64_t j = 1; j < m; j++) greater[j] += greater[j - 1];
}

void rs_scan_count(const float *row, int64_t n, const float *thresholds, int64_t m, int64_t *greater, int64_t *equal) {
  if (m >= MANY) {
    count_many(row, n, thresholds, m, greater, equal);
    return;
  }
  for (int64_t j = 0; j < m; j++) {
    if (rs_wide())
      count_one_wide(row, n, thresholds[j], &greater[j], &equal[j]);
    else
      count_one(row, n, thresholds[j], &greater[j], &equal[j]);
  }
}

/* The best k so far, of scores that are at least 'least'. */
typedef struct heap {
  rs_scored *entries; /* a heap once there are k */
  int64_t size, k;
  float least;
} heap;

/* Take the score at position 'at'. Positions come in rising order, so an equal score never displaces an earlier one. */
static inline void take(heap *h, float score, int64_t at) {
  rs_scored entry = {score, (int32_t)at};
  if (!isfinite(score)) return;
  if (h->size < h->k) {
    if (!(score >= h->least)) return;
    h->entries[h->size++] = entry;
    if (h->size == h->k) rs_scored_heap(h->entries, h->k);
  } else if (score > h->entries[0].score) {
    rs_scored_sink(h->entries, h->k, 0, entry);
  }
}

/* Take the whole row. A run of SKIP scores is passed over when none of them can get in. */
static void take_row(heap *h, const float *row, int64_t n) {
  bool fast = rs_wide();
  int64_t whole = n - n % SKIP;
  for (int64_t i = 0; i < whole; i += SKIP) {
    float bar = h->size < h->k ? h->least : h->entries[0].score;
    int32_t any = fast ? reaching_wide(row + i, bar) : reaching(row + i, bar);
    for (int64_t at = i; any > 0 && at < i + SKIP; at++) take(h, row[at], at);
  }
  for (int64_t at = whole; at < n; at++) take(h, row[at], at);
}

/* A score that some more than k of the row most likely reach, from a sample of it; minus infinity when the row is too
 * short to guess. 'entries' is scratch. */
static float guess(const float *row, int64_t n, int64_t k, rs_scored *entries) {
  heap h = {entries, 0, k / SAMPLE + k / (2 * SAMPLE) + 6, -INFINITY};
  if (h.k >= k || n < 16 * k) return -INFINITY;
  for (int64_t at = 0; at < n; at += SAMPLE) take(&h, row[at], at);
  return h.size == h.k ? entries[0].score : -INFINITY;
}

int64_t rs_scan_best(const float *row, int64_t n, int64_t k, rs_scored *best) {
  if (k <= 0) return 0;
  heap h = {best, 0, k, guess(row, n, k, best)};
  take_row(&h, row, n);
  if (h.size < k && h.least > -INFINITY) { /* the guess was too high */
    h = (heap){best, 0, k, -INFINITY};
    take_row(&h, row, n);
  }
  if (h.size < k) rs_scored_heap(best, h.size);
  for (int64_t last = h.size - 1; last > 0; last--) {
    rs_scored top = best[0];
    rs_scored_sink(best, last, 0, best[last]);
    best[last] = top;
  }
  return h.size;
}
