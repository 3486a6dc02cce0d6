/* nearest.c - see nearest.h. */
#include "tensor/nearest.h"

#include <stdbool.h>
#include <string.h>

#include "tensor/clones.h"

enum { GROUP = 16, LITTLE = 256, FEW = 32 };

/* Scores are compared as integers, which for numbers from 0 on is the same. */
static inline int32_t bits_of(float score) {
  int32_t bits;
  memcpy(&bits, &score, sizeof bits);
  return bits;
}

RS_CLONES static int64_t count_reaching(const float *scores, int64_t n, int32_t least) {
  const int32_t *bits = (const int32_t *)(const void *)scores;
  int32_t count = 0;
  for (int64_t i = 0; i < n; i++) count += bits[i] >= least;
  return count;
}

RS_CLONES static int64_t count_up_to(const int32_t *ranks, int64_t n, int32_t last) {
  int32_t count = 0;
  for (int64_t i = 0; i < n; i++) count += ranks[i] <= last;
  return count;
}

/* The least and the greatest score, as bits. */
RS_CLONES static void range_of(const float *scores, int64_t n, int32_t *least, int32_t *most) {
  const int32_t *bits = (const int32_t *)(const void *)scores;
  int32_t low = INT32_MAX, high = 0;
  for (int64_t i = 0; i < n; i++) {
    low = bits[i] < low ? bits[i] : low;
    high = bits[i] > high ? bits[i] : high;
  }
  *least = low;
  *most = high;
}

/* Put those scores that are from low to below high, with their rows, in front: how many. 16 at a time are passed over where none
 * is, as most are. 'out' may be 'scores', and 'out_rows' 'rows'; both rows may be NULL. */
RS_CLONES static int64_t pick(float *out, int32_t *out_rows, const float *scores, const int32_t *rows, int64_t n, int64_t low,
                              int64_t high) {
  const int32_t *bits = (const int32_t *)(const void *)scores;
  int32_t from = (int32_t)low, to = (int32_t)(high - 1);
  int64_t kept = 0, i = 0;
  for (; i < n; i += GROUP) {
    int any = 0, left = n - i < GROUP ? (int)(n - i) : GROUP;
    if (left == GROUP)
      for (int j = 0; j < GROUP; j++) any |= bits[i + j] >= from;
    else
      any = 1;
    for (int j = 0; any && j < left; j++) {
      float score = scores[i + j];
      if (rows) out_rows[kept] = rows[i + j];
      bool in = bits[i + j] >= from && bits[i + j] <= to;
      out[kept] = score;
      kept += in;
    }
  }
  return kept;
}

/* The least score, as bits, that k of more than k reach; by halving. *exact: no more than these do. Once few are left that
 * it may be, only those are looked at: 'few' has room for n. */
static int32_t least_of_best(const float *scores, int64_t n, int64_t k, float *few, bool *exact) {
  int32_t least, most;
  range_of(scores, n, &least, &most);
  int64_t low = least > 0 ? least : 0, high = (int64_t)most + 1; /* more than k reach low, less than k reach high */
  int64_t all = n, reach_low = n, reach_high = 0;
  while (high - low > 1) {
    int64_t half = low + (high - low) / 2, count = count_reaching(scores, n, (int32_t)half) + (all - n);
    if (count == k) return *exact = true, (int32_t)half;
    if (count > k)
      low = half, reach_low = count;
    else
      high = half, reach_high = count;
    if (n < LITTLE || reach_low - reach_high > n / FEW) continue;
    n = pick(few, NULL, scores, NULL, n, low, high);
    scores = few;
    all = n + reach_high;
  }
  *exact = false;
  return (int32_t)low;
}

/* Of the rows whose score it is, leave the n that are ranked lowest. 'few' has room for all. */
static void thin_out(rs_nearest *b, int32_t score, int64_t n, const int32_t *rank, int32_t *few) {
  int64_t low = -1, high = INT32_MAX, equal = 0, kept = 0; /* less than n are up to low, n or more up to high */
  for (int64_t i = 0; i < b->n; i++)
    if (bits_of(b->scores[i]) == score) few[equal++] = rank[b->rows[i]];
  while (high - low > 1) {
    int64_t half = low + (high - low) / 2;
    if (count_up_to(few, equal, (int32_t)half) < n)
      low = half;
    else
      high = half;
  }
  for (int64_t i = 0; i < b->n; i++) {
    if (bits_of(b->scores[i]) == score && rank[b->rows[i]] > high) continue;
    b->scores[kept] = b->scores[i];
    b->rows[kept++] = b->rows[i];
  }
  b->n = kept;
}

void rs_nearest_keep(rs_nearest *b, int64_t k, const int32_t *rank, float *few) {
  int64_t positive = count_reaching(b->scores, b->n, 1);
  int32_t least = 1;
  bool exact = true;
  if (positive > k) least = least_of_best(b->scores, b->n, k, few, &exact);
  b->n = pick(b->scores, b->rows, b->scores, b->rows, b->n, least, (int64_t)INT32_MAX + 1);
  int64_t above = exact ? 0 : count_reaching(b->scores, b->n, least + 1);
  if (!exact) thin_out(b, least, k - above, rank, (int32_t *)(void *)few);
  if (positive >= k) memcpy(&b->least, &least, sizeof least);
}
