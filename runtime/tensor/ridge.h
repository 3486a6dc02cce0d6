/* ridge.h - small weighted ridge regressions, one after another: the systems of alternating least squares.
 *
 * With y_i the rows of a table that somebody has, w_i their weights, t_i = w_i + pull and D a positive diagonal, x
 * minimises  x' D x + sum_i w_i (x' y_i)^2 - 2 sum_i t_i x' y_i  and solves  (D + sum_i w_i y_i y_i') x = sum_i t_i y_i.
 *
 * With Z the rows sqrt(w_i) y_i' D^-1/2 this is either (I + Z' Z), d x d, or, by (I + Z' Z)^-1 Z' = Z' (I + Z Z')^-1,
 * the system (I + Z Z') of as many unknowns as there are rows. The smaller one is solved, by Cholesky: somebody who has
 * 20 rows of 64 numbers costs an eighth of what d x d does. Both are as well conditioned as the other. */
#ifndef RS_RIDGE_H
#define RS_RIDGE_H
#include <stdbool.h>
#include <stdint.h>

typedef struct rs_ridge {
  const float *table; /* rows of d numbers, 'stride' apart */
  int64_t d, stride;
  const float *diagonal;  /* D [d], above 0 */
  const int32_t *columns; /* [n] rows of the table; one that is named twice counts twice */
  const float *weights;   /* [n], 0 or more; NULL: all 1 */
  int64_t n;
  float pull;
} rs_ridge;

/* How many floats rs_ridge_solve needs at 'scratch', aligned as rs_alloc does. */
int64_t rs_ridge_scratch(int64_t d);

/* x [d], on the calling thread; allocates nothing. Its bits depend on its own rows alone. False, and x spoilt, when a
 * number among them is not finite. */
bool rs_ridge_solve(float *x, const rs_ridge *p, float *scratch);

/* For those who keep other systems: the upper triangle of 'a' [n, n + 1], rows 'stride' apart (a multiple of 16, n + 1 or
 * more), is positive definite, its column n the right side. 'a' becomes its Cholesky factor R (a = R' R), column n
 * R'^-1 b, pivots [n] the inverse diagonal, and x [n] the solution. What lies below the diagonal is spoilt. False when
 * 'a' is not positive definite or not finite. */
bool rs_ridge_definite(float *x, float *a, float *pivots, int64_t n, int64_t stride);

#endif
