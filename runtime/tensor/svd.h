/* svd.h - the largest singular values of a sparse matrix and their right vectors.
 *
 * Randomised subspace iteration (Halko, Martinsson & Tropp 2011, doi:10.1137/090771806) from a random sketch of
 * the row space; between the passes the basis is made orthonormal by Cholesky QR in f64, and in the end a
 * Rayleigh-Ritz step in f64 picks the best vectors of the space. The numbers are functions of the matrix and the seed:
 * the number of threads changes no bit. */
#ifndef RS_SVD_H
#define RS_SVD_H
#include "tensor/csr.h"

typedef struct rs_svd_options {
  int64_t d;            /* how many; 1 .. min(rows, width) */
  int64_t oversampling; /* directions beside them that are carried along, 0 or more; -1: the larger of 16 and d / 4 */
  int64_t iterations;   /* products with m' m after the sketch, 0 or more; -1: 5 */
  uint64_t seed;
} rs_svd_options;

/* m = U diag(values) V' as nearly as d terms can: values f64 [d], falling; vectors V [width, d] of m's dtype, the
 * entry of largest size in each column positive. m V is U diag(values). Values beyond m's rank are 0 but for
 * rounding. RS_EARG for a d that m does not have, RS_ENUMERIC when m holds a NaN or an infinity. */
rs_status rs_truncated_svd(rs_tensor *values, rs_tensor *vectors, const rs_csr *m, rs_svd_options options);

#endif
