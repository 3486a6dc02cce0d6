/* blas.h - OpenBLAS, set up for the CPU at hand. */
#ifndef RS_BLAS_H
#define RS_BLAS_H

/* Make OpenBLAS use the kernels that this CPU can run. OpenBLAS 0.3.21 knows CPUs by model number and falls
 * back to SSE3 kernels ("Prescott") on one younger than itself, a tenth of the speed. Then, unless the
 * environment's OPENBLAS_CORETYPE already says otherwise, its choice is made again by CPU features.
 * Call before the first product; later calls do nothing. */
void rs_blas_prepare(void);

/* The kernels in use: "SkylakeX", "Haswell", "Zen", ... */
const char *rs_blas_core(void);

#endif
