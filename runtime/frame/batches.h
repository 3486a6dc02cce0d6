/* batches.h - the batches of an epoch, gathered one ahead by a thread of its own while another trains on the last.
 *
 * A batch is a function of the tables, the order and the step alone, so it holds what rs_features_gather would have
 * given at once. At most one batch lies ready beside the one that was handed out: memory is bounded, and the thread
 * waits. */
#ifndef RS_BATCHES_H
#define RS_BATCHES_H
#include "frame/features.h"

typedef struct rs_batches rs_batches;

/* A part of a batch: rows of 'features' at the positions of the order, or, with 'rows' (i64 [positions]), at
 * rows[position]. */
typedef struct rs_batch_part {
  const rs_features *features;
  const rs_tensor *rows; /* NULL: the position itself */
} rs_batch_part;

/* Begin: batch i holds order[bounds[i]] .. order[bounds[i + 1] - 1]. 'order' and 'bounds' are contiguous i64 vectors.
 * Keeps handles on all that it reads; nothing of it may change until rs_batches_free. RS_ERANGE for a position outside
 * a part, RS_EARG for bounds that fall or leave the order. */
rs_status rs_batches_new(rs_batches **out, const rs_batch_part *parts, int n_parts, const rs_tensor *order,
                         const rs_tensor *bounds);
/* The next batch into 'batch', which is empty: the parts' tensors by name. *more is false behind the last one. A
 * failure of the thread (RS_ENOMEM, RS_EARG for a name that two parts have) is told in its place; nothing comes after
 * it. */
rs_status rs_batches_next(rs_batches *b, rs_tensors *batch, bool *more);
/* Stop the thread, wherever it is, and free everything. NULL is fine. */
void rs_batches_free(rs_batches *b);

#endif
