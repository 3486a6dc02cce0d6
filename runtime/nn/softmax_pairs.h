/* softmax_pairs.h - which columns are the positives of each row of an in-batch softmax, and which hold the same item.
 *
 * A batch of n events has r distinct users and m distinct items: event t is the pair (row, column). */
#ifndef RS_SOFTMAX_PAIRS_H
#define RS_SOFTMAX_PAIRS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct rs_softmax_pairs { /* all-zero is empty */
  int64_t n, r, m;
  int64_t *start;    /* [r + 1]: the pairs of row i are start[i] .. start[i + 1] - 1 */
  int32_t *event;    /* [n]: the event of a pair */
  int32_t *column;   /* [n]: its positive; within a row ascending by class, then by column */
  int32_t *count;    /* [m]: how many events have the column as their positive; 1 where none has */
  int32_t *first;    /* [m]: the first column that holds the same item */
  int32_t *next;     /* [m]: the next one, or -1 */
  int32_t *slots;    /* [n_slots]: first columns by the hash of their code, -1 where empty; NULL without codes */
  int64_t n_slots;   /* a power of 2 */
  int64_t most;      /* pairs of a row */
  const int64_t *codes;
  void *block;
} rs_softmax_pairs;

/* 'rows' and 'columns' [n] may be NULL: event t is row t, column t. 'codes' [m] may be NULL: each column is an item of
 * its own. 'merge': columns of one code are one class of hits, else each column is a class. RS_ERANGE names a row or
 * column that is out of range. */
rs_status rs_softmax_pairs_new(rs_softmax_pairs *out, int64_t n, int64_t r, int64_t m, const int64_t *rows,
                               const int64_t *columns, const int64_t *codes, bool merge);
void rs_softmax_pairs_free(rs_softmax_pairs *pairs);

/* The first column that holds the item 'code', or -1. */
int32_t rs_softmax_pairs_find(const rs_softmax_pairs *pairs, int64_t code);

#endif
