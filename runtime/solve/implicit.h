/* implicit.h - half a sweep of alternating least squares on implicit feedback: the vectors of one side, given the other's.
 *
 * Row u of the result minimises, over the other side's vectors y_i,
 *
 *     sum over u's pairs i of w_ui (x' y_i - 1)^2  +  unobserved sum over all i of (x' y_i)^2  +  penalty_u |x|^2
 *     penalty_u = regularization (pairs of u + unobserved others)^scaling
 *
 * which is the iALS of Rendle, Krichene, Zhang & Koren 2022 (doi:10.1145/3523227.3548486), whose penalty grows with how
 * often a row is met; scaling 0 is one penalty for all. With 'confidence' the term of a pair is (unobserved + w_ui)
 * (x' y_i - 1)^2 instead, as in Hu, Koren & Volinsky 2008 (doi:10.1109/ICDM.2008.22), where unobserved is 1 and w_ui
 * their alpha r_ui.
 *
 * Everything is solved on the axes of the other side's Gramian (solve/basis.h), where it is diagonal. Exactly: by
 * Cholesky, of the smaller of two systems (tensor/ridge.h). Or by some steps of conjugate gradients from what the rows
 * were (Takacs, Pilaszy & Tikk 2011, doi:10.1145/2043932.2043987), a step costing the row's pairs alone. */
#ifndef RS_IMPLICIT_H
#define RS_IMPLICIT_H
#include "tensor/csr.h"

typedef struct rs_implicit_options {
  double unobserved;     /* 0 or more */
  double regularization; /* above 0 */
  double scaling;        /* of the penalty, 0 or more */
  int64_t others;        /* how many of the other side's vectors count in a penalty; 0: all */
  bool confidence;
  int64_t steps; /* of conjugate gradients; 0: exactly */
} rs_implicit_options;

/* x f32 [rows, d], contiguous, in place: what it was is where conjugate gradients begin. pairs [rows, n] f32 with weights
 * of 0 or more, y f32 [n, d]. A row without pairs becomes 0. Any number of threads gives the same bits.
 * RS_EDTYPE, RS_ESHAPE; RS_EARG for options outside their range; RS_ERANGE for a weight below 0; RS_ENUMERIC, naming the
 * row, for a number that is not finite: x is then spoilt. */
rs_status rs_implicit(rs_tensor *x, const rs_csr *pairs, const rs_tensor *y, const rs_implicit_options *options);

/* *loss = the sum of all the above over all rows x and, with their penalties over 'pairs' transposed, the rows of y:
 * what both half sweeps make smaller. */
rs_status rs_implicit_loss(double *loss, const rs_tensor *x, const rs_csr *pairs, const rs_tensor *y,
                           const rs_implicit_options *options);

#endif
