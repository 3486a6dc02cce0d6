/* csr.h - sparse matrices by rows: row i holds values[starts[i] .. starts[i + 1]) at their columns.
 *
 * Products with dense matrices run over fixed blocks of rows, each row a sum in the order of its entries: the bits
 * depend neither on the number of threads nor on the other rows. A product with the transposed matrix is one with a
 * transposed copy, made in a pass over the entries; who needs several makes the copy once. */
#ifndef RS_CSR_H
#define RS_CSR_H
#include "tensor/tensor.h"

/* All-zero is a valid empty object. Columns rise within a row where this library made it; any order is served. */
typedef struct rs_csr {
  rs_tensor starts;  /* i64 [rows + 1] */
  rs_tensor columns; /* i32 [entries], 0 .. width-1 */
  rs_tensor values;  /* f32 or f64 [entries] */
  int64_t rows, width;
} rs_csr;

/* A matrix over the three tensors, which it shares. RS_EDTYPE or RS_ESHAPE unless they are as above and contiguous,
 * RS_ERANGE when the starts do not rise from 0 to the entries or a column lies outside. */
rs_status rs_csr_from(rs_csr *out, const rs_tensor *starts, const rs_tensor *columns, const rs_tensor *values,
                      int64_t width);
void rs_csr_free(rs_csr *m); /* any matrix, empty or freed before included */
int64_t rs_csr_entries(const rs_csr *m);

/* The matrix [width, rows] with columns rising in each row. */
rs_status rs_csr_transpose(rs_csr *out, const rs_csr *m);
/* The same matrix with values of another dtype, f32 or f64; shares what it can. */
rs_status rs_csr_cast(rs_csr *out, const rs_csr *m, rs_dtype dtype);
/* All of it: [rows, width] with zeros; repeated entries add up. */
rs_status rs_csr_dense(rs_tensor *out, const rs_csr *m);

/* out [rows, d] = m b, b [width, d] of m's dtype. RS_ESHAPE and RS_EDTYPE when they do not fit. */
rs_status rs_csr_matmul(rs_tensor *out, const rs_csr *m, const rs_tensor *b);
/* out [width, d] = m' b, b [rows, d]. */
rs_status rs_csr_matmul_transposed(rs_tensor *out, const rs_csr *m, const rs_tensor *b);
/* out [n, width] = a m, a [n, rows]. Zeros of 'a' are passed over, so that an 'a' that is mostly zeros costs its other
 * elements' rows of m, and a row of the result is a sum in the order of a's elements. */
rs_status rs_csr_matmul_left(rs_tensor *out, const rs_tensor *a, const rs_csr *m);

#endif
