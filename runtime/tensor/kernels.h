/* kernels.h - arithmetic on whole tensors: element by element with broadcasting, casts, reductions.
 *
 * Sizes broadcast as in NumPy: aligned at the last dimension, and 1 stretches. Results are new contiguous tensors
 * ('out' must be empty, and stays empty on failure) unless a function ends in _into. All run in parallel over fixed
 * chunks: no bit depends on the number of threads. A NaN in gives a NaN out. */
#ifndef RS_KERNELS_H
#define RS_KERNELS_H
#include "tensor/tensor.h"

typedef enum rs_binary_op {
  RS_ADD,
  RS_SUB,
  RS_MUL,
  RS_DIV,     /* f32 and f64 only */
  RS_IDIV,    /* floor(a / b), as in Lua */
  RS_MOD,     /* a - b floor(a / b), as in Lua */
  RS_MAXIMUM, /* NaN when either is */
  RS_MINIMUM,
  RS_GT, /* comparisons give u8, 1 where they hold */
  RS_GE,
  RS_LT,
  RS_LE,
  RS_EQ,
  RS_NE
} rs_binary_op;

/* out = a op b; both of one dtype (RS_EDTYPE). RS_ESHAPE when the sizes do not broadcast, RS_ERANGE for an integer
 * divided by 0. */
rs_status rs_binary(rs_tensor *out, rs_binary_op op, const rs_tensor *a, const rs_tensor *b);
/* t = t op b for the ops before RS_GT; b stretches to t. t may be a view. */
rs_status rs_binary_into(rs_tensor *t, rs_binary_op op, const rs_tensor *b);

typedef enum rs_unary_op { RS_NEG, RS_ABS, RS_EXP, RS_LOG, RS_SQRT, RS_FLOOR } rs_unary_op;
/* Of any dtype for RS_NEG (u8: RS_EDTYPE), RS_ABS and RS_FLOOR; the others need f32 or f64. */
rs_status rs_unary(rs_tensor *out, rs_unary_op op, const rs_tensor *t);

/* t's elements as another dtype: integers truncate towards zero, values outside the range become its nearest end,
 * NaN becomes 0. */
rs_status rs_cast(rs_tensor *out, const rs_tensor *t, rs_dtype dtype);
/* t = value, t = src (broadcast, of t's dtype); t may be a view. */
rs_status rs_fill(rs_tensor *t, double value);
rs_status rs_copy_into(rs_tensor *t, const rs_tensor *src);

/* out = a where mask (u8) is not 0, else b; all three broadcast, a and b of one dtype. */
rs_status rs_where(rs_tensor *out, const rs_tensor *mask, const rs_tensor *a, const rs_tensor *b);

typedef enum rs_reduce_op { RS_SUM, RS_MEAN, RS_MAX, RS_MIN, RS_ARGMAX, RS_ARGMIN } rs_reduce_op;
enum { RS_ALL = -1 };
/* Over dimension 'dim', which is dropped, or over all elements (RS_ALL): a scalar. Sums are kept in f64 or i64; the
 * result of RS_SUM is of t's dtype for floats and i64 for integers, of RS_MEAN t's dtype or f64, of RS_ARGMAX and
 * RS_ARGMIN i64 (positions from 0, the first of equals; a NaN wins). RS_ERANGE when there is nothing to take the
 * mean or extreme of. */
rs_status rs_reduce(rs_tensor *out, rs_reduce_op op, const rs_tensor *t, int dim);

#endif
