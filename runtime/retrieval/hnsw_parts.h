/* hnsw_parts.h - what the index is made of, and how its graph is walked. Within the retrieval folder.
 *
 * On level 0 a node is known by its row. The few that stand higher are numbered in an order of their own ("upper"
 * nodes): links of the upper levels are such numbers, so that nothing of n leads from a row to its upper links. */
#ifndef RS_HNSW_PARTS_H
#define RS_HNSW_PARTS_H
#include <string.h>

#include "base/bitmap.h"
#include "base/prefetch.h"
#include "retrieval/hnsw.h"
#include "retrieval/hnsw_dot.h"

enum {
  RS_HNSW_LEVELS = 16,          /* the most above level 0 */
  RS_HNSW_WIDTH_LIMIT = 1 << 16 /* of codes: wider ones leave a query no precision */
};

extern const rs_index_engine rs_hnsw_engine;

/* The tensors that an index lies in, mapped or of the heap; of the heap they may have room for more rows than n. */
typedef enum rs_hnsw_part {
  RS_HNSW_LINKS,        /* i32 [n, 2 m] rows, -1 behind the last */
  RS_HNSW_UPPER_ROWS,   /* i32 [n_upper] */
  RS_HNSW_UPPER_STARTS, /* i32 [n_upper + 1]: node u has lists starts[u] .. starts[u + 1] - 1, of levels 1, 2, ... */
  RS_HNSW_UPPER_LINKS,  /* i32 [lists, m] upper nodes, -1 behind the last */
  RS_HNSW_CODES,        /* u8 [n, width], signed */
  RS_HNSW_SCALES,       /* f32 [n] */
  RS_HNSW_DEAD,         /* i64 [words of n], a bitmap */
  RS_HNSW_EXTRA,        /* f32 [n]: the further coordinate; only where rows are linked, and not with direct */
  RS_HNSW_PARTS
} rs_hnsw_part;

struct rs_hnsw {
  rs_index index; /* n, width */
  rs_hnsw_options options;
  const rs_hnsw_kernels *kernels;
  rs_tensor vectors;
  rs_tensor parts[RS_HNSW_PARTS];
  rs_tensor next[RS_HNSW_PARTS]; /* what rs_hnsw_reserve has made, or, once that is in use, what it was made of */
  bool ready;                    /* 'next' is to be used */
  struct rs_hnsw_round *round;   /* what a writer works with; NULL: nothing was reserved */
  int64_t n_upper;
  int32_t entry;      /* the upper node that searches begin from */
  int32_t levels;     /* its level: 1 or more, as row 0 is an upper node; 0: no rows */
  float bound;        /* R of hnsw.h */
  int64_t n_dead;
  /* The parts' memory. */
  const void *rows; /* [n, width], f32 vectors or codes */
  const float *scales, *extra;
  int32_t *links, *upper_rows, *upper_starts, *upper_links;
  uint64_t *dead; /* NULL: none */
};

/* Set the pointers by the parts. */
void rs_hnsw_look(rs_hnsw *h);
/* A new index over the vectors without parts and rows; RS_EDTYPE, RS_ESHAPE, RS_ENOMEM. */
rs_status rs_hnsw_new(rs_hnsw **out, const rs_tensor *vectors, const rs_hnsw_options *options);
/* Complete the options, or refuse them. */
rs_status rs_hnsw_check(const rs_tensor *vectors, rs_hnsw_options *options);
/* Parts of the heap with so much room. */
rs_status rs_hnsw_make_parts(const rs_hnsw *h, rs_tensor parts[RS_HNSW_PARTS], int64_t rows, int64_t upper,
                             int64_t lists);
/* The further coordinates of rows first .. first + n - 1 of the vectors, into extra [n]. */
void rs_hnsw_extra_of(const rs_hnsw *h, const float *vectors, int64_t n, float *extra);
/* The same rows' codes and scales. */
void rs_hnsw_codes_of(const float *vectors, int64_t n, int64_t width, int8_t *codes, float *scales);

/* ---- Keys: a node and its score in one number; a better one is greater. ---- */

/* The score in the upper half, so that numbers are ordered as scores are and a NaN is the least; then the node, lower
 * ones first; then whether it is fresh: its links were not followed yet. */
static inline uint64_t rs_hnsw_key(float score, int32_t id) {
  uint32_t bits;
  memcpy(&bits, &score, sizeof bits);
  bits ^= (uint32_t)((int32_t)bits >> 31) | 0x80000000u;
  if (score != score) bits = 0;
  return (uint64_t)bits << 32 | (uint32_t)(0x7FFFFFFF - id) << 1 | 1;
}

static inline int32_t rs_hnsw_key_id(uint64_t key) { return 0x7FFFFFFF - (int32_t)((uint32_t)key >> 1); }

static inline float rs_hnsw_key_score(uint64_t key) {
  uint32_t bits = (uint32_t)(key >> 32);
  bits ^= bits >> 31 ? 0x80000000u : 0xFFFFFFFFu;
  float score;
  memcpy(&score, &bits, sizeof score);
  return score;
}

/* Put the key into the falling list of *size, of at most 'most', where it belongs: gives its place, or 'most' for one
 * that is too low. */
static inline int64_t rs_hnsw_insert(uint64_t *list, int64_t *size, int64_t most, uint64_t key) {
  if (*size == most && key <= list[most - 1]) return most;
  int64_t low = 0;
  for (int64_t left = *size; left > 0;) { /* without branches, which nobody could predict */
    int64_t half = (left + 1) / 2;
    low += list[low + half - 1] > key ? half : 0;
    left -= half;
  }
  int64_t moved = (*size < most ? *size : most - 1) - low;
  memmove(list + low + 1, list + low, (size_t)moved * sizeof *list);
  list[low] = key;
  if (*size < most) ++*size;
  return low;
}

/* ---- Walks ---- */

enum { RS_HNSW_MET = 16384 }; /* marks that are taken back one by one */

typedef struct rs_hnsw_walker {
  const rs_hnsw *h;
  const void *query; /* f32, or i16 with codes */
  float scale;       /* of the coded query */
  float extra;       /* the query's further coordinate */
  uint64_t *marks;   /* a bit a node: met in this walk; zero between walks */
  int32_t *met;      /* the marked nodes, if n_met <= RS_HNSW_MET */
  int64_t n_met;
  uint64_t *pool; /* keys of the best so far, falling */
  int64_t size;   /* of the pool */
  int64_t looked; /* nodes whose scores the last walk computed */
  uint64_t *frontier; /* with a filter: a heap of keys to go on from, the best on top */
  int32_t *ids, *rows, *products; /* [2 m] what was met last: nodes, their rows, */
  float *scores;                  /* and their scores */
  int16_t *coded;                 /* [width] room for the query */
} rs_hnsw_walker;

/* Bytes of a walker's room, and the walker over it: 'ef' keys in the pool, 'frontier' in the frontier. 'marks' is a
 * bitmap of the index's rows, all zero. */
size_t rs_hnsw_walker_bytes(const rs_hnsw *h, int64_t ef, int64_t frontier);
void rs_hnsw_walker_lay(rs_hnsw_walker *w, const rs_hnsw *h, void *room, int64_t ef, int64_t frontier,
                        uint64_t *marks);

/* What is searched for: a query [width], or what is nearest to a row. */
void rs_hnsw_aim(rs_hnsw_walker *w, const float *query);
void rs_hnsw_aim_row(rs_hnsw_walker *w, int32_t row);

/* w->scores of the rows at[0 .. n - 1]. */
void rs_hnsw_score(rs_hnsw_walker *w, const int32_t *at, int64_t n);

/* From upper node 'from' greedily down to the given level, 0 .. h->levels: gives the best node found on the level
 * above, for level 0 as its row. */
int32_t rs_hnsw_descend(rs_hnsw_walker *w, int32_t from, int32_t from_level, int32_t level);

/* Fill the pool with the best 'ef' nodes of a level that a walk from 'from' finds. */
void rs_hnsw_walk(rs_hnsw_walker *w, int32_t from, int32_t level, int64_t ef);

/* The same on level 0 for the rows that the query lets be found and that are not dead; false: more than 'limit' rows
 * were met before there was an end. The walker's frontier has room for limit + 2 m + 1. */
bool rs_hnsw_walk_filtered(rs_hnsw_walker *w, int32_t from, int64_t ef, const rs_index_query *q,
                           const rs_index_scratch *s, int64_t limit);

/* The list of node 'id' on a level and its length at most; NULL where the node does not stand there. */
static inline int32_t *rs_hnsw_links_of(const rs_hnsw *h, int32_t level, int64_t id, int64_t *most) {
  *most = level == 0 ? 2 * h->options.m : h->options.m;
  if (level == 0) return h->links + id * *most;
  int32_t list = h->upper_starts[id] + level - 1;
  return list < h->upper_starts[id + 1] ? h->upper_links + list * *most : NULL;
}

static inline bool rs_hnsw_is_dead(const rs_hnsw *h, int64_t row) { return h->dead && rs_bitmap_has(h->dead, row); }

#endif
