/* elastic_net.h - each column of a sparse matrix as a sparse combination of the others: SLIM (Ning & Karypis 2011,
 * doi:10.1109/ICDM.2011.134).
 *
 * With a_k the columns of a [rows, n], column j's weights w minimise
 *
 *     |a_j - sum over k of w_k a_k|^2 / 2 + l2 |w|^2 / 2 + l1 |w|_1,   w_j = 0
 *
 * by coordinate descent with an active set (Friedman, Hastie & Tibshirani 2010, doi:10.18637/jss.v033.i01). Only the
 * 'neighbours' columns of the largest cosine with a_j take part. What is kept between steps is the residual of column j
 * over the rows, so that a step costs the entries of a column, and no matrix of columns x columns is ever made. */
#ifndef RS_ELASTIC_NET_H
#define RS_ELASTIC_NET_H
#include "tensor/csr.h"

typedef struct rs_elastic_net_options {
  double l1, l2;      /* 0 or more, not both 0 */
  int64_t neighbours; /* 1 or more */
  int64_t sweeps;     /* over the coordinates of a column, at most; 1 or more */
  double tolerance;   /* a column is done when no weight moved by more than this times its largest; above 0 */
  bool positive;      /* no weight below 0 */
} rs_elastic_net_options;

/* out [n, n] f32: row k, column j is w_k of column j, so that rows of a, times it, are their reconstruction. 'a' is f32
 * with values of 0 or more. 'out' must be empty and becomes the caller's. Any number of threads gives the same bits.
 * RS_EDTYPE, RS_EARG for options outside their range, RS_ERANGE for a value below 0 or not finite. */
rs_status rs_elastic_net(rs_csr *out, const rs_csr *a, const rs_elastic_net_options *options);

#endif
