/* gemm.h - products of matrices, with bits that depend on the row alone.
 *
 * C's rows are cut into tiles of RS_GEMM_ROWS. f32 tiles run on our own kernels (block.h) where the CPU has AVX2; else
 * the last one is padded in scratch, so every tile is the same single-threaded BLAS call. A row of the result therefore has the same bits alone, in any batch, at any position
 * of it, and with any number of threads. 64 rows of BLAS: a one-row product of a 128 x 64 layer costs 10 us, a large
 * one runs within a tenth of full speed. */
#ifndef RS_GEMM_H
#define RS_GEMM_H
#include "tensor/tensor.h"

enum { RS_GEMM_ROWS = 64 };

/* c [m, n] = alpha op(a) op(b) + beta c, where op(a) is [m, k] and op(b) [k, n], 'ta' and 'tb' transpose. f32 or f64,
 * all of one dtype (RS_EDTYPE). With beta 0, c is not read. Views are served; c's last dimension must be
 * contiguous and c may not overlap a or b. RS_ESHAPE when the shapes do not fit. */
rs_status rs_gemm(rs_tensor *c, double alpha, const rs_tensor *a, bool ta, const rs_tensor *b, bool tb, double beta);

/* The same into a new contiguous tensor: out [m, n] = op(a) op(b). */
rs_status rs_matmul(rs_tensor *out, const rs_tensor *a, bool ta, const rs_tensor *b, bool tb);

/* The same tile by tile, for operations that do more with the rows while they lie in the cache: c [m, n] = a op(b), all
 * of which must stay where it is. What a holds is read when a tile runs; b may be turned at once. As rs_gemm; the rows
 * of a must be contiguous, too. */
typedef struct rs_tiles rs_tiles;
rs_status rs_tiles_new(rs_tiles **out, const rs_tensor *c, const rs_tensor *a, const rs_tensor *b, bool tb);
/* Rows begin .. end - 1 of c; begin is a multiple of RS_GEMM_ROWS, and end, too, unless it is m. May not fail: for
 * bodies of rs_parallel_for. */
void rs_tiles_run(const rs_tiles *t, int64_t begin, int64_t end);
void rs_tiles_free(rs_tiles *t); /* NULL is fine */

/* One product of row-major memory, for use inside a body of rs_parallel_for, where it is single-threaded. Fused
 * operations that want the promise above call it with m = RS_GEMM_ROWS and the same n, k for every tile. */
void rs_gemm_tile(rs_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const void *a,
                  int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc);

#endif
