/* scored.h - the best few scores so far: a heap with the worst on top, where the next better one takes its place. */
#ifndef RS_SCORED_H
#define RS_SCORED_H
#include <stdbool.h>
#include <stdint.h>

typedef struct rs_scored {
  float score;
  int32_t at; /* position of the item */
} rs_scored;

/* Whether a comes after b in the result: a lower score, or an equal one at a later position. */
static inline bool rs_scored_worse(rs_scored a, rs_scored b) {
  return a.score < b.score || (a.score == b.score && a.at > b.at);
}

/* 'heap' has its worst entry on top; put 'entry' at 'at' or below. */
static inline void rs_scored_sink(rs_scored *heap, int64_t n, int64_t at, rs_scored entry) {
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && rs_scored_worse(heap[child + 1], heap[child])) child++;
    if (!rs_scored_worse(heap[child], entry)) break;
    heap[at] = heap[child];
  }
  heap[at] = entry;
}

/* Make a heap of n entries in any order. */
static inline void rs_scored_heap(rs_scored *heap, int64_t n) {
  for (int64_t at = n / 2; at-- > 0;) rs_scored_sink(heap, n, at, heap[at]);
}

#endif
