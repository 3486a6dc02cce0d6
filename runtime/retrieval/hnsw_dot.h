/* hnsw_dot.h - products of one vector with rows at random places, for the approximate index. Within the retrieval
 * folder.
 *
 * Kernels for AVX-512 and AVX2 are chosen at run time. Of codes, all give the same whole numbers; of floats they differ
 * by the order of sums, which is why what an index returns is scored anew. */
#ifndef RS_HNSW_DOT_H
#define RS_HNSW_DOT_H
#include <stdint.h>

typedef struct rs_hnsw_kernels {
  const char *name; /* "avx512", "avx2", "plain" */
  /* out[i] = query [width] . row at[i] of base f32 [rows, width], for n of them. */
  void (*floats)(const float *query, const void *base, int64_t width, const int32_t *at, int64_t n, float *out);
  /* The same of base i8 [rows, width]; no |query| may exceed rs_hnsw_query_limit(width). */
  void (*codes)(const int16_t *query, const void *base, int64_t width, const int32_t *at, int64_t n, int32_t *out);
} rs_hnsw_kernels;

/* The largest magnitude in a query whose product with any codes of this width fits 32 bits. */
static inline int32_t rs_hnsw_query_limit(int64_t width) {
  int64_t limit = INT32_MAX / (128 * width);
  return limit < 32767 ? (int32_t)limit : 32767;
}

/* The best kernels for this CPU. */
const rs_hnsw_kernels *rs_hnsw_kernels_best(void);
/* All that this CPU can run, best first, the plain ones last; at most 'most' of them into 'list'. For tests. */
int rs_hnsw_kernels_list(const rs_hnsw_kernels **list, int most);

#endif
