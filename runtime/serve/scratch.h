/* scratch.h - what a thread answers with, again and again. Within the serve folder. */
#ifndef RS_SCRATCH_H
#define RS_SCRATCH_H
#include "base/buffer.h"
#include "retrieval/index.h"
#include "serve/model.h"

/* A block that grows to what was ever needed of it. */
typedef struct rs_block {
  void *data;
  size_t bytes;
} rs_block;

/* At least 'bytes' bytes, whose contents are lost when it grows; NULL when memory is refused. */
void *rs_block_need(rs_block *block, size_t bytes);
/* The same, all zero. */
void *rs_block_zero(rs_block *block, size_t bytes);

/* A filter's bitmap over the catalogue, kept for the next request with the same text. */
typedef struct rs_kept_filter {
  rs_block text, bits;
  size_t length; /* of the text; bits.data NULL: an unused place */
  int64_t n;     /* rows that it lets pass */
  uint64_t used; /* when it last was, by the scratch's clock */
} rs_kept_filter;

enum { RS_KEPT_FILTERS = 64, RS_KEPT_BYTES = 16 << 20 };

struct rs_serve_scratch {
  uint64_t model; /* identity of the one that the bitmaps are of */
  uint64_t clock;
  rs_kept_filter filters[RS_KEPT_FILTERS];
  rs_block window; /* bitmap of the items that a window lets pass: */
  int64_t window_from, window_to, window_n;
  bool window_known;
  rs_block both;    /* a filter's and the window's */
  rs_buffer room;   /* strings with escapes */
  rs_block history; /* of the request */
  rs_block barred;  /* bitmap: what was seen or excluded; zero between requests */
  rs_block gone;    /* i32: the same as rows */
  rs_index_scratch index;
  rs_block rows, scores; /* i64 and f32, as the index finds them */
  rs_block pool, chosen, unlike, counts; /* of rerank.c */
  rs_block looked;                       /* of explain.c */
  rs_block inverse;                      /* f32 [items] 1 over the length that likeness goes by, of similar.c */
  uint64_t inverse_of;                   /* the model's identity that these are of; 0: none */
};

#endif
