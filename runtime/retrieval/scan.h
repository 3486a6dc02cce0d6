/* scan.h - the exact engine: every item that may be found is looked at. Rows and scores are those of topk.h to the bit,
 * ties included, whatever the CPU's kernels; topk.h is for many queries, this for one. */
#ifndef RS_SCAN_H
#define RS_SCAN_H
#include "retrieval/index.h"
#include "tensor/tensor.h"

/* An index over f32 [items, width], contiguous; holds a handle on the tensor, no copy. RS_EDTYPE, RS_ESHAPE. */
rs_status rs_scan_new(rs_index **out, const rs_tensor *items);

#endif
