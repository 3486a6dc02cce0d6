/* ranking_parts.h - what ranking.c (the question) and ranking_run.c (the answers) share; for them alone. */
#ifndef RS_RANKING_PARTS_H
#define RS_RANKING_PARTS_H
#include "metrics/ranking.h"

/* Positions: items in order of time (equal times in order of rows); the row numbers themselves without windows. */
struct rs_ranking {
  rs_question ask;
  int32_t *item_at;     /* [items] position -> item row; NULL without windows */
  int32_t *position_of; /* [items] item row -> position; NULL without windows */
  int32_t *low, *high;  /* [queries] the window as positions low .. high - 1; NULL without windows */
  int64_t *answer_at;   /* [queries + 1] where a query's relevant items begin in rs_ranked's greater and equal */
  int64_t longest;      /* of the relevant lists */
  int64_t most_k;       /* the largest cut-off */
  double *discounts;    /* [min(most_k, items) + 1] sums of the first values of 1 / log2(1 + position) */
  int64_t candidates;
};

static inline int64_t position_of(const rs_ranking *r, int32_t item) {
  return r->position_of ? r->position_of[item] : item;
}
static inline int32_t item_at(const rs_ranking *r, int64_t position) {
  return r->item_at ? r->item_at[position] : (int32_t)position;
}
static inline int64_t window_low(const rs_ranking *r, int64_t query) { return r->low ? r->low[query] : 0; }
static inline int64_t window_high(const rs_ranking *r, int64_t query) {
  return r->high ? r->high[query] : r->ask.items;
}

#endif
