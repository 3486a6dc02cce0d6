/* lapack.h - the few LAPACK routines that are needed, on small symmetric matrices.
 *
 * Each runs on the calling thread alone, so that its bits do not depend on the number of threads. The symbols are those
 * of OpenBLAS's own LAPACK, whose headers Debian's OpenMP build leaves out. All matrices are f64 [n, n], contiguous. */
#ifndef RS_LAPACK_H
#define RS_LAPACK_H
#include "tensor/tensor.h"

/* a = R^-1 where R is upper triangular with a = R' R, by rows; what was below the diagonal becomes 0. *definite is
 * false, and 'a' spoilt, when 'a' has no such R. */
void rs_lapack_inverse_root(rs_tensor *a, bool *definite);

/* The eigenvalues of the symmetric 'a', rising, into values [n]; row i of 'a' becomes the eigenvector of value i.
 * RS_ENUMERIC when 'a' holds a NaN or an infinity. */
rs_status rs_lapack_eigen(rs_tensor *a, rs_tensor *values);

#endif
