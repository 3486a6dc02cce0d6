/* parameter.h - a named tensor that training changes, together with its gradient.
 *
 * A dense parameter has one gradient tensor of its own shape. A sparse one (an embedding table [codes, d]) keeps
 * what each use of it gave as a piece, codes with the rows they look at, and merges the pieces into distinct
 * codes with summed rows once, when the optimiser steps: the table is never touched as a whole.
 * What is not trainable is a buffer: saved with the model and recorded in plans (a batch norm's running
 * statistics), never given a gradient. */
#ifndef RS_PARAMETER_H
#define RS_PARAMETER_H
#include <stdatomic.h>

#include "tensor/tensor.h"

/* A use of an embedding table: position p adds weight[p] * rows[row[p]] to the gradient of row codes[p]. */
typedef struct rs_piece {
  rs_tensor codes;  /* i32 [m] */
  rs_tensor rows;   /* [n, d] */
  rs_tensor row;    /* i32 [m], 0 .. n-1; empty: m is n, and row[p] is p */
  rs_tensor weight; /* [m] of the rows' dtype; empty: all 1 */
  bool merged;      /* codes are distinct and ascending, row and weight empty */
} rs_piece;

enum { RS_BF16_WIDTH = 4096 }; /* the widest row of a bf16 table: one is widened on the stack */

typedef struct rs_parameter { /* open for reading; change it through the functions below */
  atomic_int references;
  char *name;
  rs_tensor value; /* f32, f64 or, sparse, bf16, of a buffer also integers; contiguous; the optimiser writes into it */
  bool trainable;
  bool sparse;    /* only for a matrix */
  bool has_grad;  /* something was added since zero_grad */
  rs_tensor grad; /* dense: the shape of 'value', meaningful while has_grad */
  rs_piece *pieces;
  int n_pieces, capacity;
} rs_parameter;

/* A parameter with one reference over another handle on 't' (over a copy when 't' is not contiguous).
 * RS_EDTYPE unless f32, f64, any integers that are not trainable or, for a sparse table at most RS_BF16_WIDTH wide, bf16; RS_ESHAPE when 'sparse' and not a matrix. */
rs_status rs_parameter_new(rs_parameter **out, const char *name, const rs_tensor *t, bool trainable, bool sparse);
/* The dtype of gradients and of arithmetic: the value's own, and f32 for bf16. */
static inline rs_dtype rs_grad_dtype(const rs_tensor *value) {
  return value->dtype == RS_BF16 ? RS_F32 : value->dtype;
}
void rs_parameter_retain(rs_parameter *p);
void rs_parameter_release(rs_parameter *p); /* NULL is fine */

void rs_parameter_zero_grad(rs_parameter *p);

/* Add a gradient of the value's shape and dtype. May keep a handle on 'grad' as the gradient itself, so the
 * caller must not write to it afterwards. For a sparse parameter this is a piece of all codes. */
rs_status rs_parameter_add_grad(rs_parameter *p, const rs_tensor *grad);
/* Add a piece: keeps handles on the piece's tensors. Codes must lie inside the table (the caller has checked).
 * On a dense parameter the rows are summed into the dense gradient. */
rs_status rs_parameter_add_piece(rs_parameter *p, const rs_piece *piece);

/* Merge a sparse parameter's pieces into one whose codes are distinct and ascending: 'codes' i32 [k] and 'rows'
 * [k, d] are borrowed and stay until the next change. k is 0 when there is no gradient. The sums do not depend
 * on the number of threads. */
rs_status rs_parameter_merge(rs_parameter *p, const rs_tensor **codes, const rs_tensor **rows);

/* The gradient as a dense tensor of the value's shape, zero where nothing was added: for tests and people. */
rs_status rs_parameter_dense_grad(rs_tensor *out, rs_parameter *p);

/* The sums behind merge: 'pieces' of one dtype and width d into distinct ascending codes and summed rows. */
rs_status rs_pieces_merge(rs_tensor *codes, rs_tensor *rows, const rs_piece *pieces, int n_pieces, rs_dtype dtype,
                          int64_t width);
/* The gradient that a piece is, as a tensor of the shape of 'table'. */
rs_status rs_piece_dense(rs_tensor *out, const rs_piece *piece, const rs_tensor *table);

#endif
