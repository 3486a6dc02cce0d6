/* hnsw_round.h - rows that are linked together: a round of a build, or an insertion. Within the retrieval folder. */
#ifndef RS_HNSW_ROUND_H
#define RS_HNSW_ROUND_H
#include "retrieval/hnsw_parts.h"

typedef struct rs_hnsw_edit { /* a list as it is to be */
  int32_t level, id;
  int64_t at; /* in 'lists' */
} rs_hnsw_edit;

typedef struct rs_hnsw_round rs_hnsw_round;
struct rs_hnsw_round {
  rs_hnsw *h; /* whose rows end before the round's; the parts have room for these */
  int64_t first, n; /* rows first .. first + n - 1 */
  int64_t most, room; /* of n; of all rows */
  int64_t row_end, upper_end; /* rows and upper nodes, the round's among them */
  uint8_t *levels;  /* [most] of each row */
  int32_t *upper;   /* [most] upper node, or -1 */
  /* What each thread works with. */
  int threads;
  rs_index_scratch *scratches; /* [threads] */
  /* Links back: level, node that gets one, row of the round that it leads to; sorted. */
  uint64_t *backs;
  int64_t n_backs;
  int64_t *groups; /* where each list's begin, [n_edits + 1] */
  rs_hnsw_edit *edits;
  int64_t n_edits;
  int32_t *lists; /* [n_edits, 2 m] */
};

/* For rounds of up to 'most' rows that have up to 'lists' lists, in an index of up to 'room' rows. RS_ENOMEM. */
rs_status rs_hnsw_round_new(rs_hnsw_round *r, rs_hnsw *h, int64_t most, int64_t lists, int64_t room);
void rs_hnsw_round_free(rs_hnsw_round *r);

/* How high a row stands: a function of the seed and the row. */
int32_t rs_hnsw_level_of(const rs_hnsw_options *options, int64_t row);

/* The calling thread's walker, with room in its pool for ef_construction keys, and for those of two lists. */
rs_hnsw_walker rs_hnsw_round_walker(const rs_hnsw_round *r);

/* Levels of rows first .. first + n - 1, and upper nodes for those that stand higher: the round's rows from now on. */
void rs_hnsw_round_levels(rs_hnsw_round *r, int64_t first, int64_t n);

/* Find neighbours for the round's rows, write their lists, and compute what others' lists become. */
void rs_hnsw_round_run(rs_hnsw_round *r);
/* Write these lists, too: from now on the round's rows are the index's. */
void rs_hnsw_round_apply(rs_hnsw_round *r);

/* Of the falling keys of what is near to something, keep 'most' by the heuristic of hnsw.h: gives their number. With
 * keys of an upper level 'rows' maps them to rows. The walker's query is lost. */
int64_t rs_hnsw_choose(rs_hnsw_walker *w, uint64_t *keys, int64_t n, int64_t most, const int32_t *rows);

#endif
