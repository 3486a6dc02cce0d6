/* distinct.h - the distinct values of a vector of integers, and where each element's stands among them. */
#ifndef RS_DISTINCT_H
#define RS_DISTINCT_H
#include "tensor/tensor.h"

/* 'values' [m] of t's dtype, in the order in which they first occur, and 'of' i64 [n], from 0, with
 * values[of[i]] = t[i]. t is a contiguous vector, i64 or i32 (RS_EDTYPE, RS_ESHAPE). By hashing: O(n). Both must be
 * empty, and stay so on failure. */
rs_status rs_distinct(rs_tensor *values, rs_tensor *of, const rs_tensor *t);

#endif
