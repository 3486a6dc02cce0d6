/* coverage.h - which items appear in somebody's first k.
 *
 * Where ties leave open which items are among the first k, each has its probability: coverage is then the
 * expected share under independent random orders, so a constant scorer covers what random order would. The sums are
 * whole numbers (an item's log-probability of being missed in units of 2^-32), so that neither the order of the
 * queries nor the number of threads shows in the last bit. */
#ifndef RS_COVERAGE_H
#define RS_COVERAGE_H
#include <stdint.h>

#include "base/status.h"
#include "metrics/scan.h"

/* Counted by position, which is as good as by item. All-zero is a valid empty object. */
typedef struct rs_coverage {
  int64_t items, n_k;
  const int64_t *k; /* [n_k], borrowed */
  uint8_t *certain; /* [n_k, items] by position: somebody's for sure */
  int64_t *missed;  /* [n_k, items] by position; with the sum of 'runs' up to there: -2^32 log P(all queries miss it) */
  int64_t *runs;    /* [n_k, items + 1] what is added to whole runs of positions, as steps up and down */
} rs_coverage;

/* 'k' (n_k cut-offs) must outlive the object. */
rs_status rs_coverage_new(rs_coverage *out, int64_t items, const int64_t *k, int64_t n_k);
/* Add one query: 'best' is what rs_scan_best found in row[0 .. n-1] for 1 + the largest k; row[i] is the score at
 * position first + i. Safe from many threads at once. */
void rs_coverage_add(rs_coverage *c, const float *row, int64_t n, const rs_scored *best, int64_t n_best, int64_t first);
/* The expected number of distinct items in the first k[which] of all queries added. */
double rs_coverage_count(const rs_coverage *c, int64_t which);
void rs_coverage_free(rs_coverage *c);

#endif
