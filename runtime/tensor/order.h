/* order.h - sorting, selecting and counting along one dimension. Row numbers count from 0. 'out' must be empty, and
 * stays empty on failure. A function for vectors gives RS_ESHAPE for another shape. */
#ifndef RS_ORDER_H
#define RS_ORDER_H
#include "tensor/tensor.h"

/* The stable order of a vector: t[out[0]] is the least (the greatest when 'descending'); equals keep their order, NaN
 * comes last. out i64 [n]. Radix sort: O(n). */
rs_status rs_argsort(rs_tensor *out, const rs_tensor *t, bool descending);
/* The distinct values of a vector, ascending, and optionally how often each occurs (counts i64, may be NULL). */
rs_status rs_unique(rs_tensor *values, rs_tensor *counts, const rs_tensor *t);

/* Rows t[rows[i]] of dimension 0: out [m, ...]. 'rows' i64 or i32 [m]; RS_ERANGE for one outside. */
rs_status rs_index_select(rs_tensor *out, const rs_tensor *t, const rs_tensor *rows);
/* t[rows[i]] += src[i] (src of t's dtype, its rows like t's), in order of i; equal rows add up. */
rs_status rs_index_add_into(rs_tensor *t, const rs_tensor *rows, const rs_tensor *src);
/* t[rows[i]] = src[i]; the last of equal rows stays. */
rs_status rs_index_copy_into(rs_tensor *t, const rs_tensor *rows, const rs_tensor *src);
/* out[i, j] = t[i, columns[i, j]] for t [n, m] and columns i64 or i32 [n, k]. */
rs_status rs_gather_columns(rs_tensor *out, const rs_tensor *t, const rs_tensor *columns);
/* Where a u8 vector is not 0: i64 [m], ascending. */
rs_status rs_nonzero(rs_tensor *out, const rs_tensor *mask);
/* Tensors of one dtype, alike but for their size in 'dim', one after another. */
rs_status rs_concat(rs_tensor *out, int n, const rs_tensor *const *tensors, int dim);

/* Running sums of a vector: floats keep their dtype, integers become i64. */
rs_status rs_cumsum(rs_tensor *out, const rs_tensor *t);
/* How often each of 0 .. n-1 occurs in a vector of integers, or, with 'weights' [m] (f32 or f64), the sum of its
 * weights as f64. n < 0: one more than the largest. RS_ERANGE for a value outside. */
rs_status rs_bincount(rs_tensor *out, const rs_tensor *t, int64_t n, const rs_tensor *weights);
/* For each of 'values' how many elements of the ascending vector 'sorted' are less (or also equal, when 'right'): i64.
 */
rs_status rs_search_sorted(rs_tensor *out, const rs_tensor *sorted, const rs_tensor *values, bool right);

#endif
