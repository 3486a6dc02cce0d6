/* profile_sort.c - see profile_sort.h. Least-significant-digit radix sort, all digits counted in one pass. */
#include "frame/profile_sort.h"

#include <math.h>
#include <string.h>

enum { BITS = 11, DIGITS = 6, BUCKETS = 1 << BITS, CHUNK = 8192 };

const double rs_profile_shares[RS_PROFILE_QUANTILES] = {0.01, 0.25, 0.5, 0.75, 0.99};

/* 64 bits that compare as unsigned integers like the numbers, in place. */
static void to_bits(double *values, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint64_t bits;
    double value = values[i] + 0.0; /* -0 is 0 */
    memcpy(&bits, &value, sizeof bits);
    bits = bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
    memcpy(&values[i], &bits, sizeof bits);
  }
}

static void from_bits(uint64_t *bits, int64_t n) {
  for (int64_t i = 0; i < n; i++) bits[i] = bits[i] >> 63 ? bits[i] & ~(UINT64_C(1) << 63) : ~bits[i];
}

static void count_digits(int64_t counts[DIGITS][BUCKETS], const uint64_t *bits, int64_t n) {
  memset(counts, 0, sizeof(int64_t[DIGITS][BUCKETS]));
  for (int64_t i = 0; i < n; i++)
    for (int digit = 0; digit < DIGITS; digit++) counts[digit][bits[i] >> BITS * digit & (BUCKETS - 1)]++;
}

static void pass(uint64_t *to, const uint64_t *from, int64_t n, int digit, int64_t *place) {
  int64_t sum = 0;
  for (int b = 0; b < BUCKETS; b++) {
    int64_t count = place[b];
    place[b] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < n; i++) to[place[from[i] >> BITS * digit & (BUCKETS - 1)]++] = from[i];
}

double *rs_sort_numbers(double *values, double *spare, int64_t n) {
  int64_t counts[DIGITS][BUCKETS];
  if (n == 0) return values;
  to_bits(values, n);
  uint64_t *bits = (uint64_t *)values, *other = (uint64_t *)spare;
  count_digits(counts, bits, n);
  for (int digit = 0; digit < DIGITS; digit++) {
    if (counts[digit][bits[0] >> BITS * digit & (BUCKETS - 1)] == n) continue;
    pass(other, bits, n, digit, counts[digit]);
    uint64_t *swap = bits;
    bits = other;
    other = swap;
  }
  from_bits(bits, n);
  return (double *)bits;
}

/* The sum of (x - centre)^power, power 1 or 2, chunk by chunk. */
static double sum(const double *values, int64_t n, double centre, int power) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += CHUNK) {
    double part = 0;
    for (int64_t i = begin; i < n && i < begin + CHUNK; i++) {
      double x = values[i] - centre;
      part += power == 1 ? x : x * x;
    }
    total += part;
  }
  return total;
}

static double quantile(const double *sorted, int64_t n, double share) {
  double at = share * (double)(n - 1);
  int64_t below = (int64_t)at;
  double rest = at - (double)below;
  if (rest == 0 || below + 1 >= n || sorted[below] == sorted[below + 1]) return sorted[below];
  double step = sorted[below + 1] - sorted[below];
  if (isfinite(step)) return sorted[below] + rest * step;
  return (1 - rest) * sorted[below] + rest * sorted[below + 1]; /* the step alone is too large for a double */
}

void rs_spread_of(rs_spread *out, const double *sorted, int64_t n) {
  *out = (rs_spread){.n = n};
  if (n == 0) return;
  out->min = sorted[0];
  out->max = sorted[n - 1];
  /* Sums of what is beyond the least value: large ones (times) lose no digits. */
  double shift = isfinite(sorted[0]) ? sorted[0] : 0;
  double beyond = sum(sorted, n, shift, 1) / (double)n;
  out->mean = shift + beyond;
  if (n > 1) out->deviation = sqrt(sum(sorted, n, out->mean, 2) / (double)n);
  for (int k = 0; k < RS_PROFILE_QUANTILES; k++) out->quantile[k] = quantile(sorted, n, rs_profile_shares[k]);
}
