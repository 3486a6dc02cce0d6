/* fused.h - what the fused layers share: how their rows are cut, and a weight's gradient from blocks of rows.
 *
 * Forward works on tiles of RS_GEMM_ROWS rows and does all that a row needs while it lies in the cache; backward on
 * blocks of more rows, each of which makes its part of the weight's gradient. Both cuts depend on shapes alone. */
#ifndef RS_FUSED_H
#define RS_FUSED_H
#include "autograd/kernel.h"
#include "tensor/gemm.h"

/* Rows of a task of forward, a multiple of RS_GEMM_ROWS: enough that waking a thread for it pays. */
int64_t rs_tile_grain(int64_t m, int64_t k);
/* Rows of a block of backward: RS_ROW_CHUNK, and of long batches so many that there are at most 32 blocks. */
int64_t rs_block_rows(int64_t n);
static inline int64_t rs_blocks(int64_t n) { return n > 0 ? (n + rs_block_rows(n) - 1) / rs_block_rows(n) : 1; }

/* 'body' on rows 0 .. n-1, in tasks of 'grain' of them; of no rows, once on none, so that sums are made. */
void rs_over_rows(int64_t n, int64_t grain, rs_body *body, void *context);

/* dw [m, k] = dz [n, m]^T x [n, k], added up over the blocks in order. All-zero is valid: no gradient is wanted. */
typedef struct rs_weight_grad {
  rs_tensor parts; /* [blocks, m, k]; empty where the weight wants no gradient */
  rs_dtype dtype;
  int64_t m, k, block;
  const char *x;
} rs_weight_grad;

rs_status rs_weight_grad_new(rs_weight_grad *w, const rs_node *weight, const rs_tensor *x);
/* The part of the block that begins at row 'begin'; 'dz' is all of dz. For bodies of rs_parallel_for. */
void rs_weight_grad_block(const rs_weight_grad *w, const void *dz, int64_t begin, int64_t end);
/* Add the parts up, give them to the weight and free them. */
rs_status rs_weight_grad_give(rs_weight_grad *w, rs_node *weight);
void rs_weight_grad_free(rs_weight_grad *w);

/* Where x wants a gradient: 'dx' like x (empty before), and the tiles of dx = dz w; else *tiles stays NULL. */
rs_status rs_input_grad_new(rs_tensor *dx, rs_tiles **tiles, const rs_node *x, const rs_tensor *dz, const rs_tensor *w);

/* The sums over the first dimension of parts [blocks, ...] as the gradient of 'input'; frees the parts. */
rs_status rs_give_sum(rs_node *input, rs_tensor *parts);

#endif
