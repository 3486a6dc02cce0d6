/* hnsw.h - approximate top-K: a hierarchical navigable small world graph (Malkov & Yashunin 2016,
 * doi:10.1109/TPAMI.2018.2889473) over the item vectors, for the largest inner products, as an engine of index.h.
 *
 * The graph. A row has up to 2 M neighbours on level 0; one row in M stands on level 1 too, one in M^2 on level 2, ...,
 * with up to M neighbours on each. A search goes down from the top, greedily, and keeps the ef best on level 0.
 * Neighbours are chosen by the paper's heuristic: one that is nearer to a neighbour chosen before than to the row
 * itself is left out.
 *
 * Inner products. Rows with large vectors would be everybody's neighbours, and short ones nobody's. So items are
 * compared with each other with one more coordinate, which makes vectors shorter than R = the root of the mean squared
 * length as long as R (Bachrach et al. 2014, doi:10.1145/2645710.2645741, with R the largest length, where one long
 * vector among many drowns all else); a query has 0 there, so that searching reads plain products. With 'direct' items,
 * too, are compared by the plain product, as in hnswlib's InnerProductSpace. docs/retrieval.md has the recall of both.
 *
 * Rows are compared by their f32 vectors, read where they lie, or, with 'codes', by bytes with a scale for each row: a
 * quarter of the memory traffic. The best of what was found is then scored as scan.h scores it: rows that both find
 * have equal bits, and equal scores are ordered by row.
 *
 * Filters. The search goes through rows that may not be found. Where so few may that looking at all of them costs less,
 * or a search gives up, it looks at all that may, exactly: k rows come whenever there are k.
 *
 * The same rows, options and CPU give the same graph with any number of threads (with codes, on any CPU): rows come in
 * rounds of fixed size, whose searches see the graph as it was before the round and the earlier rows of the round, and
 * what they add to others' lists is merged in the order of the rows.
 *
 * Readers take no lock. A writer prepares beside them and changes a row while nobody searches. */
#ifndef RS_HNSW_H
#define RS_HNSW_H
#include "retrieval/index.h"
#include "tensor/tensors.h"

typedef struct rs_hnsw rs_hnsw;

enum { RS_HNSW_M = 16, RS_HNSW_EF_CONSTRUCTION = 100, RS_HNSW_M_LIMIT = 128, RS_HNSW_EF_LIMIT = 4096, RS_HNSW_EF = 64 };

typedef struct rs_hnsw_options {
  int64_t m;               /* 2 .. RS_HNSW_M_LIMIT; 0: RS_HNSW_M */
  int64_t ef_construction; /* candidates for a row's neighbours, 1 .. RS_HNSW_EF_LIMIT; 0: RS_HNSW_EF_CONSTRUCTION */
  int64_t seed;            /* of the levels */
  bool codes;              /* compare bytes */
  bool direct;             /* plain products also between items */
} rs_hnsw_options;

/* Build over 'vectors' f32 [n, width], contiguous and finite, of which a handle is kept; on all threads. RS_EARG,
 * RS_EDTYPE, RS_ESHAPE, RS_ENUMERIC, RS_ENOMEM. */
rs_status rs_hnsw_build(rs_hnsw **out, const rs_tensor *vectors, const rs_hnsw_options *options);
void rs_hnsw_free(rs_hnsw *h); /* NULL is fine */

/* The same graph over other vectors of the same rows, as when all were computed anew: links, levels and what was deleted
 * are h's, of which handles are kept, so that 'h' is not to be changed any more. It finds as much as the neighbourhoods
 * have stayed what they were (docs/retrieval.md has figures); what it finds is scored by the new vectors. Takes a look at
 * each vector. RS_EDTYPE, RS_ESHAPE, RS_ENUMERIC, RS_ENOMEM. */
rs_status rs_hnsw_over(rs_hnsw **out, const rs_hnsw *h, const rs_tensor *vectors);

/* The index as an engine of index.h, which lives as long as 'h'; rs_index_free frees 'h'. A query's ef is at least
 * its k; 0 means twice its k, and RS_HNSW_EF at the least. */
rs_index *rs_hnsw_index(rs_hnsw *h);
rs_hnsw *rs_hnsw_of(rs_index *index); /* NULL for one of another engine */

/* The index as tensors, appended to 'out': "links" i32 [n, 2 M], "upper.rows" i32 [u], "upper.starts" i32 [u + 1],
 * "upper.links" i32 [., M], "parameters" i64 [10], "bound" f32 [1]; with codes "codes" u8 [n, width] and "scales" f32
 * [n]; with deleted rows "dead" i64, their bitmap. */
rs_status rs_hnsw_save(const rs_hnsw *h, rs_tensors *out);

/* An index over such tensors and the vectors that it was built over; handles on both are kept, and they are used where
 * they lie. The tensors are not trusted: RS_EFORMAT for what is not as above. Links are checked as they are followed,
 * so that nothing large is read here; a wrong one costs recall, never more. */
rs_status rs_hnsw_open(rs_hnsw **out, const rs_tensors *tensors, const rs_tensor *vectors);

typedef struct rs_hnsw_facts {
  rs_hnsw_options options;
  int64_t n, width; /* rows, deleted ones too; of their vectors */
  int64_t dead;     /* deleted rows */
  int64_t levels;   /* above level 0 */
  int64_t bytes;    /* of the index, without the vectors */
} rs_hnsw_facts;
rs_hnsw_facts rs_hnsw_facts_of(const rs_hnsw *h);

/* ---- Changes, by one writer ---- */

/* Room for 'n' rows in all and memory of its own, computed beside the readers. RS_ENOMEM: the index is as before. */
rs_status rs_hnsw_reserve(rs_hnsw *h, int64_t n);

/* While nobody searches, after rs_hnsw_reserve: link a row by the vector that it now has, be it the one behind the
 * last, one whose vector has changed, or a deleted one, which can be found again. 'vectors' is the tensor as it is now,
 * perhaps a longer copy; its other rows are as they were. Takes as long as a few searches; cannot fail. */
void rs_hnsw_put(rs_hnsw *h, const rs_tensor *vectors, int64_t row);

/* While nobody searches, after rs_hnsw_reserve: let a row be found no more. Its neighbours are linked with each other
 * instead. */
void rs_hnsw_delete(rs_hnsw *h, int64_t row);

#endif
