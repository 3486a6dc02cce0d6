/* pairwise.h - ranking losses of matrix factorisation, straight on the rows of two tables: users [n_users, d] and items
 * [n_items, d]. With the score s(u, i) = <row u of users, row i of items>, row r of a batch has a user u, an item i that
 * the user chose, and an item j that he did not:
 *
 *   BPR   the mean over rows of log(1 + exp(s(u, j) - s(u, i))), j given. Rendle et al. 2009, arXiv:1205.2618.
 *   WARP  items are drawn until one violates the margin m, s(u, j) > s(u, i) - m. Found at the t-th one, the rank of i
 *         among the N items of the pool is about k = floor((N - 1) / t), and the row's loss is
 *         L(k) (m - s(u, i) + s(u, j)), L(k) = 1 + 1/2 + ... + 1/k, with k and j taken as given. A row whose draws
 *         violate nothing has no loss and touches no table. The mean over all rows.
 *         Weston, Bengio & Usunier 2011 (WSABIE), ijcai.org/Proceedings/11/Papers/460.pdf.
 *
 * Tables are f32 or f64. Where 'decay' is given, every row with a loss adds decay / 2 (|user|^2 + |item i|^2 + |item j|^2) to it. A batch is one
 * walk over its rows: three rows of tables are read, three gradient rows written; what composes lookups, dot products
 * and autograd.bpr gives the same to rounding, in five such walks. The bits depend on no thread count: the draws of
 * WARP are a function of the tape's (seed, epoch, step), the row's place in the global batch and the try. */
#ifndef RS_PAIRWISE_H
#define RS_PAIRWISE_H
#include "autograd/tape.h"

/* BPR of tables of one dtype and width; codes i32 [n], n >= 1, of users and items. A scalar. RS_ESHAPE, RS_EDTYPE or
 * RS_ERANGE name what does not fit. The codes are data: contiguous, kept until the tape is freed. */
rs_status rs_nn_bpr(rs_node **out, rs_node *users, rs_node *items, const rs_tensor *user_codes,
                    const rs_tensor *positives, const rs_tensor *negatives, double decay);

typedef struct rs_warp_options {
  double margin; /* above 0 */
  int64_t tries; /* draws a row at the most, 1 to 4096; those that meet i or an item seen count among them, not in t */
  double decay;
  const rs_tensor *pool;                       /* i32 [N], N >= 2: the items that are drawn, all alike */
  const rs_tensor *seen_starts, *seen_columns; /* what user code u chose, never drawn: CSR rows of n_users, columns
                                                  ascending, i64 and i32; NULL, both: i alone is left out */
} rs_warp_options;

rs_status rs_nn_warp(rs_node **out, rs_node *users, rs_node *items, const rs_tensor *user_codes,
                     const rs_tensor *positives, const rs_warp_options *options);

#endif
