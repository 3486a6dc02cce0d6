/* index.h - one interface to what searches a catalogue: the k items with the largest dot products with a query, best
 * first, equal scores by item row. An engine gives the exact answer (scan.h: the bits of topk.h) or a good one.
 *
 * An index is read by any number of threads at once. Each brings a scratch of its own, which grows to what its largest
 * search needs: from then on a search allocates nothing. */
#ifndef RS_INDEX_H
#define RS_INDEX_H
#include <stdbool.h>

#include "base/bitmap.h"
#include "tensor/tensor.h"

typedef struct rs_index rs_index;

typedef struct rs_index_query {
  const float *query;        /* [vectors, width]: an item's score is the best of its products with these */
  int64_t vectors;           /* 0 means 1 */
  int64_t k;                 /* 1 or more; may exceed the number of items */
  const uint64_t *allow;     /* bitmap over the item rows: 1 may be found; NULL: all may */
  const int32_t *excluded;   /* [n_excluded] item rows in any order, repetitions allowed: may not be found */
  int64_t n_excluded;
  const int64_t *item_time;  /* [items]: only items with from <= time < to may be found; NULL: whenever */
  int64_t from, to;
  int64_t ef;                /* breadth of an approximate engine's search; 0: the index's own */
} rs_index_query;

/* What a search did, for measuring. */
typedef struct rs_index_stats {
  int64_t looked; /* items that were looked at in some way */
  int64_t scored; /* those whose exact product was computed */
} rs_index_stats;

typedef struct rs_index_found {
  int64_t *rows; /* [k] the caller's: item rows from 0 */
  float *scores; /* [k] */
  int64_t n;     /* how many were found: less than k where fewer may be */
  rs_index_stats stats;
} rs_index_found;

/* A thread's memory for searches; all-zero is valid and empty. Not for two searches at once. */
typedef struct rs_index_scratch {
  uint64_t *barred; /* bitmap of the query's excluded rows; all zero between searches */
  int64_t barred_words;
  void *room; /* the engine's, as the last search left it */
  size_t room_bytes;
  void *marks; /* a second block of the engine's, zero when it is new; the engine leaves it as the next search wants it */
  size_t marks_bytes;
} rs_index_scratch;
void rs_index_scratch_free(rs_index_scratch *scratch); /* any scratch, empty or freed before included */

/* The k best into 'found', whose rows and scores are the caller's. RS_EARG, RS_ERANGE: the query makes no sense;
 * RS_ENUMERIC names the first item whose score is NaN or infinite, when it may be found; RS_ENOMEM. On failure found->n
 * is 0. */
rs_status rs_index_search(const rs_index *index, const rs_index_query *query, rs_index_scratch *scratch,
                          rs_index_found *found);

/* Many queries, which the threads of the pool share out, each query being searched by one thread: 'rows' i64 [n, k] and
 * 'scores' f32 [n, k] of queries that all have the same k, where fewer are found filled up with -1 and minus infinity,
 * and the sums of what was done. On failure, which is that of the first query that fails, both are empty. */
rs_status rs_index_search_many(const rs_index *index, const rs_index_query *queries, int64_t n, rs_tensor *rows,
                               rs_tensor *scores, rs_index_stats *stats);

/* A catalogue that grows or changes, row by row, by one writer. First room for 'n' items in all, made beside those who
 * search (RS_ENOMEM: the index is as before), then, while nobody searches and once the tensor holds the row's vector, the
 * row, which may be the one behind the last: that cannot fail. 'items' is the tensor as it is now, perhaps a longer
 * copy. */
rs_status rs_index_reserve(rs_index *index, int64_t n);
void rs_index_put(rs_index *index, const rs_tensor *items, int64_t row);

const char *rs_index_engine_name(const rs_index *index); /* "exact", "hnsw" */
int64_t rs_index_items(const rs_index *index);
int64_t rs_index_width(const rs_index *index);
void rs_index_free(rs_index *index); /* NULL is fine */

/* ---- For engines: an engine's own struct begins with an rs_index. ---- */

/* 'search' is given a query that makes sense, with vectors of 1 or more, k no more than there are items, the excluded
 * rows marked in scratch->barred, and an empty 'found'. */
typedef struct rs_index_engine {
  const char *name;
  rs_status (*search)(const rs_index *index, const rs_index_query *query, rs_index_scratch *scratch,
                      rs_index_found *found);
  void (*free)(rs_index *index);
  rs_status (*reserve)(rs_index *index, int64_t n);
  void (*put)(rs_index *index, const rs_tensor *items, int64_t row);
} rs_index_engine;

struct rs_index {
  const rs_index_engine *engine;
  int64_t n, width; /* items, dimensions */
};

/* At least 'bytes' bytes of the scratch, aligned to 64; NULL when memory is refused. What they held is lost. */
void *rs_index_room(rs_index_scratch *scratch, size_t bytes);
/* The same of its second block: new bytes are zero, the others are as the last search left them. */
void *rs_index_marks(rs_index_scratch *scratch, size_t bytes);

/* The rows of a word (64 rows from word * 64 on) that may be found as far as bitmaps say. */
static inline uint64_t rs_index_word(const rs_index *index, const rs_index_query *q, const rs_index_scratch *s,
                                     int64_t word) {
  uint64_t rows = rs_bitmap_word_of(index->n, word);
  if (rows && q->allow) rows &= q->allow[word];
  return rows && q->n_excluded > 0 ? rows & ~s->barred[word] : rows;
}

/* Whether the time of an item lets it be found. */
static inline bool rs_index_timely(const rs_index_query *q, int64_t row) {
  return !q->item_time || (q->from <= q->item_time[row] && q->item_time[row] < q->to);
}

/* Whether an item may be found. */
static inline bool rs_index_may(const rs_index_query *q, const rs_index_scratch *s, int64_t row) {
  return (!q->allow || rs_bitmap_has(q->allow, row)) && !(q->n_excluded > 0 && rs_bitmap_has(s->barred, row)) &&
         rs_index_timely(q, row);
}

#endif
