/* best.h - the k best of scores that come one after the other: those that are good enough are put down as they come, and
 * only when the room is full the k best of them are kept, found by counting. Less than a heap costs, where each
 * better score sinks through its levels: of 8,170 items the 50 best are found in 0.4 of the time. */
#ifndef RS_BEST_H
#define RS_BEST_H
#include <stdbool.h>
#include <stdint.h>

/* Scores with their rows, which come in rising order: of equal scores the earlier row is the better one. The arrays are
 * the caller's, with room for rs_best_room(k). */
typedef struct rs_best {
  float *scores;
  int32_t *rows;
  int64_t n;
  float least; /* only a score above it can still be among the k best; minus infinity as long as fewer are known */
} rs_best;

static inline int64_t rs_best_room(int64_t k) { return k < 64 ? k + 64 : 2 * k; }

/* Keep the k best, in the order they came in, where there are more. */
void rs_best_keep(rs_best *best, int64_t k);

/* Take a finite score that is above best->least. */
static inline void rs_best_add(rs_best *best, int64_t k, float score, int32_t row) {
  best->scores[best->n] = score;
  best->rows[best->n++] = row;
  if (best->n == rs_best_room(k)) rs_best_keep(best, k);
}

/* A number that at least k of the n numbers x reach and at most 'most' do, k <= most, where equal numbers allow that: with
 * 'most' = k the k-th largest, or a number between it and the next. Minus infinity where n is less than k. No NaN. */
float rs_reached_by(const float *x, int64_t n, int64_t k, int64_t most);

#endif
