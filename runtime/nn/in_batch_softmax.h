/* in_batch_softmax.h - the sampled softmax loss of retrievers, with the batch's own items as negatives.
 *
 * A batch of n events holds r distinct users and m columns: its distinct items, and further ones that were drawn. Event
 * t is (row_t, column_t); without 'rows' it is row t, without 'columns' column t. With logits
 *   s_ij = <user_i, item_j> / temperature - log_q_j
 * and c_j, how many events have the item as theirs (1 for columns that none has), the loss of an event is
 *   log(exp s_t + the sum of c_j exp s_ij over the columns left to it) - s_t,    s_t its positive's logit,
 * where its positive's column counts c_j - 1 times: the same as one row and one column an event. log_q_j is the log
 * probability of meeting item j as a column (Bengio & Senecal 2008; Yi et al. 2019, doi:10.1145/3298689.3346996; drawn
 * columns have their own: mixed negative sampling, Yang et al. 2020, doi:10.1145/3366424.3386195). The mean over the
 * events is by their weights. A column is left out of an event,
 * - with RS_HITS_MASKED, when it holds the positive's item (an accidental hit), the event's own being kept once;
 * - when it was not to be had at that moment (not from_j <= now_i < to_j);
 * - when its code is in the row's list of codes to leave out (items that the user is known to like).
 * Logits 'beside' are of columns that a row has for itself, such as what its user was shown and left: they are part of
 * each of its events' sums, whatever is left out of these.
 * With smoothing e the positive's logit in the loss becomes (1 - e) s_t + e times the mean over the columns left and the
 * positive (of the items' columns alone).
 *
 * The logits never exist as a whole: panels of rows go through scores, normaliser, gradient and both products (panel.h)
 * while they are in cache. */
#ifndef RS_IN_BATCH_SOFTMAX_H
#define RS_IN_BATCH_SOFTMAX_H
#include "autograd/tape.h"

typedef struct rs_in_batch_softmax_options {
  double temperature;                        /* above 0 */
  const rs_tensor *log_q;                    /* [m] of the users' dtype, or NULL */
  const rs_tensor *codes;                    /* i64 [m]: the item that a column holds; NULL: each another one */
  const rs_tensor *now;                      /* i64 [r]; NULL, then from and to are too: every column counts */
  const rs_tensor *from, *to;                /* i64 [m] */
  const rs_tensor *rows, *columns;           /* i64 [n], or NULL */
  const rs_tensor *weights;                  /* [n] of the users' dtype, 0 or more, not all 0; NULL: all 1 */
  const rs_tensor *starts, *lengths, *lists; /* i64 [r], i32 [r], i32: codes to leave out; all three or none, and codes
                                              * with them */
  rs_node *beside;                           /* [r, h] of the users' dtype and tape, -infinity for none; or NULL */
  bool keep_hits;                            /* with codes: hits count. Without codes they do */
  bool uncorrected;                          /* log_q is not taken off the positive's own logit */
  double smoothing;                          /* 0 to below 1 */
} rs_in_batch_softmax_options;

/* The loss, a scalar, of users [r, d] and items [m, d]. The tensors of 'options' are data: contiguous, read during the
 * call only. RS_ESHAPE, RS_EDTYPE, RS_ERANGE or RS_EARG name what does not fit. The bits do not depend on the threads. */
rs_status rs_nn_in_batch_softmax(rs_node **out, rs_node *users, rs_node *items,
                                 const rs_in_batch_softmax_options *options);

#endif
