/* walk.h - three broadcast tensors as runs of elements: what the elementwise kernels share. Private to tensor/. */
#ifndef RS_WALK_H
#define RS_WALK_H
#include "tensor/tensor.h"

enum { RS_WALK_MAX = 4, RS_WALK_GRAIN = 16384 };

/* Tensor 0 is the result and has the full size; the others have stride 0 where they stretch. Dimensions that lie
 * alike in all tensors are merged, so that runs are long. */
typedef struct rs_walk {
  int n_tensors, ndim;
  int64_t size[RS_MAX_DIMS];
  int64_t stride[RS_WALK_MAX][RS_MAX_DIMS]; /* bytes */
  char *data[RS_WALK_MAX];
  int64_t count;
} rs_walk;

/* A run: n elements, each tensor from at[i] on in steps of step[i] bytes. */
typedef void rs_run(void *context, char *const *at, const int64_t *step, int64_t n);

/* The broadcast size of 'tensors' into ndim and size. RS_ESHAPE, naming 'what' and both shapes. */
rs_status rs_broadcast(const char *what, int n, const rs_tensor *const *tensors, int *ndim, int64_t *size);
/* Prepare a walk; tensors[0] has the full size, the others stretch to it (checked: RS_ESHAPE). */
rs_status rs_walk_over(rs_walk *walk, const char *what, int n, const rs_tensor *const *tensors);
/* Run over all elements, in parallel; result elements must not overlap. */
void rs_walk_run(const rs_walk *walk, rs_run *run, void *context);

#endif
