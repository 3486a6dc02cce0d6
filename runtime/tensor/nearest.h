/* nearest.h - the k best of scores above 0 that are at hand, by counting how many reach what: a pass over numbers side by
 * side costs less than to sort or to keep a heap. */
#ifndef RS_NEAREST_H
#define RS_NEAREST_H
#include <stdint.h>

/* Scores, in any order, with their rows, each once. The arrays are the caller's. */
typedef struct rs_nearest {
  float *scores;
  int32_t *rows;
  int64_t n;
  float least; /* only a score that reaches it can still be among the k best; 0 as long as less than k are known */
} rs_nearest;

/* Keep the k best that are above 0, in the order they came in; of equal scores those whose rank[row] is lower, ranks being
 * distinct. No NaN. 'few' has room for n numbers. */
void rs_nearest_keep(rs_nearest *best, int64_t k, const int32_t *rank, float *few);

#endif
