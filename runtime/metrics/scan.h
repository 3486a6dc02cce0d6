/* scan.h - passes over one row of scores: how many are above a score, equal to it, not finite; the best few.
 *
 * Ranks come from counting, not from sorting: one pass over n floats is a few hundred vector instructions. Each pass
 * exists once, in plain C, and is compiled for AVX2 too; the counts are whole numbers, so both agree exactly.
 * A score of minus infinity marks an item that is no candidate: it is above nothing and never among the best. */
#ifndef RS_SCAN_H
#define RS_SCAN_H
#include "base/scored.h"

/* The numbers of scores that are NaN or infinite. */
int64_t rs_scan_infinite(const float *row, int64_t n);

/* For each of m distinct finite thresholds, best first: how many scores are greater, how many equal. */
void rs_scan_count(const float *row, int64_t n, const float *thresholds, int64_t m, int64_t *greater, int64_t *equal);

/* The k best finite scores of the row into 'best' (room for k), 'at' their positions in it, best first, equal scores in
 * order of position; gives how many there are, at most k. */
int64_t rs_scan_best(const float *row, int64_t n, int64_t k, rs_scored *best);

#endif
