/* dropout.h - the mask of dropout over flat ranges: op_dropout.c has it as a node, the fused layers draw theirs. */
#ifndef RS_DROPOUT_H
#define RS_DROPOUT_H
#include "autograd/tape.h"
#include "base/rng.h"

typedef struct rs_mask {
  rs_stream stream;
  uint32_t place;     /* of the node on the tape */
  uint64_t first;     /* position in the stream of element 0 */
  uint32_t threshold; /* words below it drop */
  double keep;        /* 1 / (1 - rate) */
} rs_mask;

/* The mask that node 'self' draws at 'rate' for rows of 'width' elements. */
rs_mask rs_mask_of(const rs_node *self, double rate, int64_t width);
/* out[i] = 0 where element i is dropped, else in[i] / (1 - rate), for begin <= i < end; 'out' may be 'in'. */
void rs_mask_apply_f32(const rs_mask *mask, float *out, const float *in, int64_t begin, int64_t end);
void rs_mask_apply_f64(const rs_mask *mask, double *out, const double *in, int64_t begin, int64_t end);

#endif
