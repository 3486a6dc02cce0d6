/* inverse.h - the inverse of a symmetric positive definite matrix, in its own place.
 *
 * Sweeps (Beaton 1964; block by block, as Goodnight 1979, doi:10.1080/00031305.1979.10482685, has them element by element):
 * for each block of rows the pivot is inverted and all that stands beside it is moved by one product, of the lower triangle
 * alone: n^3 operations in all, nearly all of them in tiles of a fixed size, each on one thread, so that the number of
 * threads changes no bit. Beside the matrix there are two panels [n, 512]: 41,000 rows of f32 take 6.7 GB and 0.2 GB. Of a
 * positive definite matrix no pivot needs to be searched for. */
#ifndef RS_INVERSE_H
#define RS_INVERSE_H
#include "tensor/tensor.h"

/* a = a^-1, f32 or f64 [n, n], contiguous, of which the lower triangle is read; both triangles of the inverse are written,
 * equal. RS_ESHAPE or RS_EDTYPE for another shape or dtype; RS_ENUMERIC when it is not positive definite, or not in the
 * digits that there are, and RS_ENOMEM: 'a' may then be spoilt. */
rs_status rs_inverse_definite_in_place(rs_tensor *a);

/* The same of a copy: 'out' must be empty and becomes the caller's. */
rs_status rs_inverse_definite(rs_tensor *out, const rs_tensor *a);

#endif
