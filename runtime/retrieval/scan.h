/* scan.h - the exact engine: every item that may be found is looked at. Rows and scores are those of topk.h to the bit,
 * ties included, whatever the CPU's kernels; topk.h is for many queries, this for one.
 *
 * All but a small catalogue is looked at in 8 bits first (codes.h), a quarter of the bytes; the products of the items
 * that this look does not rule out are computed as topk.h computes them. A large one is looked at by all threads of the
 * pool, unless the caller's thread is to work alone (rs_parallel_alone). */
#ifndef RS_SCAN_H
#define RS_SCAN_H
#include "retrieval/codes.h"
#include "retrieval/index.h"

/* From how many items on a first look is worth its codes. */
enum { RS_SCAN_CODED = 512 };

/* An index over f32 [items, width], contiguous; holds a handle on the tensor, no copy. Codes are made where they are
 * worth it. RS_EDTYPE, RS_ESHAPE, RS_ENOMEM. */
rs_status rs_scan_new(rs_index **out, const rs_tensor *items);
/* The same with codes that were made of these items before, of which it holds handles; empty ones: without codes. */
rs_status rs_scan_with(rs_index **out, const rs_tensor *items, const rs_codes *codes);
/* Its codes, empty where it has none; NULL for an index of another engine. */
const rs_codes *rs_scan_codes(const rs_index *index);

/* A catalogue that grows or changes, row by row, by one writer. First room for the codes of 'n' items in all, made beside
 * those who search (RS_ENOMEM: the index is as before), then, while nobody searches and once the tensor holds the row's
 * vector, the row, which may be one behind the last: that cannot fail. 'items' is the tensor as it is now, perhaps a
 * longer copy. */
rs_status rs_scan_reserve(rs_index *scan, int64_t n);
void rs_scan_put(rs_index *scan, const rs_tensor *items, int64_t row);

#endif
