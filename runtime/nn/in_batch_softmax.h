/* in_batch_softmax.h - the sampled softmax loss of retrievers, with the batch's own items as negatives.
 *
 * Row i's positive is column i; columns n .. m-1, if there are any, are negatives only. With logits
 *   s_ij = <user_i, item_j> / temperature - log_q_j,
 * the loss is the mean over i of log(sum over the columns j left to row i of exp s_ij) - s_ii. log_q_j is the log
 * probability of meeting item j as a column (Bengio & Senecal 2008; Yi et al. 2019, doi:10.1145/3298689.3346996): all
 * items and the positive are corrected, and duplicates are kept. A column other than the positive is left out of row i
 * - when it holds the positive's item again (codes_j = codes_i: an accidental hit), or
 * - when it was not to be had at that moment (not from_j <= now_i < to_j).
 * The n x m logits never exist as a whole: panels of rows go through scores, normaliser, gradient and both products. */
#ifndef RS_IN_BATCH_SOFTMAX_H
#define RS_IN_BATCH_SOFTMAX_H
#include "autograd/tape.h"

typedef struct rs_in_batch_softmax_options {
  double temperature;         /* above 0 */
  const rs_tensor *log_q;     /* [m] of the users' dtype, or NULL */
  const rs_tensor *codes;     /* i64 [m], or NULL: no accidental hits are masked */
  const rs_tensor *now;       /* i64 [n]; NULL, then from and to are too: every column counts */
  const rs_tensor *from, *to; /* i64 [m] */
} rs_in_batch_softmax_options;

/* The loss, a scalar, of users [n, d] and items [m, d], m >= n >= 1. The tensors of 'options' are data: contiguous,
 * read during the call only. RS_ESHAPE, RS_EDTYPE or RS_EARG name what does not fit. The bits do not depend on the
 * threads. */
rs_status rs_nn_in_batch_softmax(rs_node **out, rs_node *users, rs_node *items,
                                 const rs_in_batch_softmax_options *options);

#endif
