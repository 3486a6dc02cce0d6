/* catalogue.h - losses of users against a whole table of items: all items there are, or a sample that the batch shares.
 *
 * A row is a user (a distinct one, by which equal rows are computed once) with several positives; a column is an item.
 * With s_uj = <user_u, item_j> / temperature - log_q_j, and the sums over the columns j left to row u, the loss is the
 * mean over all pairs of a user u and one of its positives p, each times its weight, of
 *
 *   softmax      log(sum exp s_uj) - s_up. With rivals RS_ALL_ITEMS the sum is over all columns, so that exp of minus
 *                the loss is a probability; with RS_NEGATIVES over p and the columns that are no positives of u,
 *                computed without cancellation. With smoothing e the target is (1 - e) p + e / columns
 *   bilateral    -log(mean over u's positives of exp(<u, p> / positive_temperature)) + emphasis * log(sum exp s_uj)
 *                over the negatives, or with RS_ALL_ITEMS over all columns. With emphasis = temperature /
 *                positive_temperature this is the BSL of Wu et al. 2024, arXiv:2312.12882, divided by
 *                positive_temperature; its authors' program has both temperatures equal, the emphasis free, and u's
 *                positives among what is drawn
 *   contrastive  1 - s_up + emphasis * (mean over the negatives of max(0, s_uj - margin)). Mao et al. 2021 (SimpleX),
 *                arXiv:2109.12613
 *   gbce         (beta c_p softplus(-s_up) + sum over the negatives of c_j softplus(s_uj)) / (negatives + 1), with a
 *                weight c for each column, or 1. Petrov & Macdonald 2023 (gSASRec), arXiv:2308.07192; with beta 1
 *                binary cross-entropy; with weights by degree that of Mao et al. 2021 (UltraGCN), arXiv:2110.15114
 *
 * Columns before 'first' are positives only, never negatives: a batch's items before the drawn ones. A column is left
 * out of row u when it holds one of u's excluded items; with RS_NEGATIVES, one of its positives, too: what
 * was drawn by accident. Users x items never exist as a whole: tiles of it go through scores, normaliser, gradient and
 * both products, and where a row spans more tiles than stay in cache its scores are computed twice. */
#ifndef RS_CATALOGUE_H
#define RS_CATALOGUE_H
#include "autograd/tape.h"

typedef enum rs_catalogue_loss {
  RS_CATALOGUE_SOFTMAX,
  RS_CATALOGUE_BILATERAL,
  RS_CATALOGUE_CONTRASTIVE,
  RS_CATALOGUE_GBCE
} rs_catalogue_loss;

/* What softmax and bilateral sum over; the other losses always take RS_NEGATIVES. */
typedef enum rs_rivals { RS_ALL_ITEMS, RS_NEGATIVES } rs_rivals;

typedef struct rs_catalogue_options {
  rs_catalogue_loss loss;
  rs_rivals rivals;
  double temperature;          /* above 0 */
  double smoothing;            /* softmax: in [0, 1) */
  double positive_temperature; /* bilateral: above 0 */
  double emphasis;             /* bilateral, contrastive: of the negatives, 0 or more */
  double margin;               /* contrastive */
  double beta;                 /* gbce: 0 or more */
  int64_t first;               /* 0 .. m: the first column that is a negative */
  const rs_tensor *starts;     /* i64 [n + 1], from 0: row u has the positives starts[u] .. starts[u + 1] - 1 */
  const rs_tensor *positives;  /* i64 [pairs]: columns, or with 'codes' items by their code */
  const rs_tensor *weights;    /* [pairs] of the users' dtype, or NULL: all 1. The mean divides by the pairs */
  const rs_tensor *column_weights; /* gbce: [m] of the users' dtype, or NULL: all 1 */
  const rs_tensor *log_q;      /* [m] of the users' dtype, or NULL */
  const rs_tensor *codes;      /* i64 [m]: the item that a column holds; several may hold one. NULL: its own number */
  const rs_tensor *excluded_starts, *excluded; /* i64 [n + 1] and [.], as the positives; or NULL */
} rs_catalogue_options;

/* The loss, a scalar, of users [n, d] and items [m, d]. The tensors of 'options' are data: contiguous, read during the
 * call only. RS_ESHAPE, RS_EDTYPE, RS_EARG or RS_ERANGE (a positive that no column holds) name what does not fit; an
 * excluded item that no column holds is fine. The bits do not depend on the threads. */
rs_status rs_nn_catalogue(rs_node **out, rs_node *users, rs_node *items, const rs_catalogue_options *options);

#endif
