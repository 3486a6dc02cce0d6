/* neighbours.h - the k nearest neighbours of each row of a sparse matrix among its rows.
 *
 * Of rows a and b, weighed (solve/weigh.h), the similarity of b to a is <a, b> / (|a|^(2 alpha) |b|^(2 - 2 alpha) + shrink),
 * with alpha 1/2 the cosine, above it kinder to long b (Aiolli 2013, doi:10.1145/2507157.2507189); of bm25 it is <a, b>, as
 * implicit has it. The shrink makes little of what rests on few columns in common (Dacrema, Cremonesi & Jannach 2019,
 * doi:10.1145/3298689.3347058). Item-kNN: Deshpande & Karypis 2004, doi:10.1145/963770.963776.
 *
 * Rows are taken by how many entries they have, in blocks of 16. A row's products with all others are sums over its
 * columns of the rows that share them, collected in one number a row; where the rows of a block have enough columns in
 * common, for all 16 at once, in lanes of one register. Either way a sum is in the order of the columns, so that the
 * bits depend neither on the way nor on the number of threads. */
#ifndef RS_NEIGHBOURS_H
#define RS_NEIGHBOURS_H
#include "solve/weigh.h"

typedef struct rs_neighbours_options {
  int64_t k; /* neighbours of a row at the most, 1 or more */
  rs_weighting weighting;
  double k1, b;  /* of bm25 */
  double alpha;  /* from 0 to 1; of bm25 1/2 */
  double shrink; /* 0 or more; of bm25 0 */
  bool normalize; /* then divide the similarities of each row by their sum, as Deshpande and Karypis do */
} rs_neighbours_options;

/* out f32 [rows, rows]: row r has the k rows that are most similar to it, itself left out, similarities above 0 alone,
 * with columns rising; of equal similarities the lower row comes first. RS_EARG for options outside their range or when
 * a row has a column twice; RS_ERANGE as rs_weigh. */
rs_status rs_neighbours(rs_csr *out, const rs_csr *m, const rs_neighbours_options *options);

#endif
