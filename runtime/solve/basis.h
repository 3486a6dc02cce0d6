/* basis.h - the axes in which a table's Gramian is diagonal.
 *
 * With y' y = Q diag(spectrum) Q', the rows of y Q have the Gramian diag(spectrum), and a scalar product of two vectors is
 * the same after both were turned by Q. Systems whose matrix is a multiple of the Gramian, plus a multiple of one, plus what
 * a few rows add, then have a diagonal in place of the two multiples: products with it cost d, not d^2, and its inverse
 * is at hand (tensor/ridge.h). */
#ifndef RS_BASIS_H
#define RS_BASIS_H
#include "tensor/tensor.h"

/* gram f64 [d, d] = y' y, y f32 [n, d]: sums in f32 over fixed chunks of rows, added up in f64. 'gram' must be empty and
 * becomes the caller's. RS_ESHAPE or RS_EDTYPE for another y. */
rs_status rs_gram(rs_tensor *gram, const rs_tensor *y);

/* spectrum f32 [d], rising, none below 0, and turn f32 [d, d], column k being the axis of spectrum[k]. Both must be empty
 * and become the caller's. RS_ENUMERIC when y holds a NaN or an infinity. */
rs_status rs_basis(rs_tensor *spectrum, rs_tensor *turn, const rs_tensor *y);

#endif
