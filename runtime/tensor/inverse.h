/* inverse.h - the inverse of a symmetric positive definite matrix.
 *
 * By Cholesky: a = R' R gives R^-1 R^-T. The triangular half runs on one thread and the product in fixed tiles, so the
 * number of threads changes no bit. n^3 / 3 + n^3 / 3 + 2 n^3 operations: 5 s for n = 3,700 on one core. */
#ifndef RS_INVERSE_H
#define RS_INVERSE_H
#include "tensor/tensor.h"

/* out f64 [n, n] = a^-1, 'a' f64 [n, n], of which the upper triangle is read. 'out' must be empty and becomes the
 * caller's. RS_ESHAPE for another shape or dtype, RS_ENUMERIC when 'a' is not positive definite. */
rs_status rs_inverse_definite(rs_tensor *out, const rs_tensor *a);

#endif
