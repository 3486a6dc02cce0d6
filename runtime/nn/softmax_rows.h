/* softmax_rows.h - a row of logits of the in-batch softmax becomes its loss and its coefficients.
 *
 * Row i has the pairs t with positives p_t. Columns j have logits s_ij and stand for c_j columns each. A class is what
 * is left out as hits of a pair: its positive's column alone, or all columns of its item. With
 *   Z_t = own_t + (the sum of c_j exp s_ij over the columns j left outside t's class) + (that of exp beside_ih),
 * own_t being the positive's exponential (and its duplicates', where these are kept), the loss of the row is the sum of
 * w_t (log Z_t - log own_t's positive). Everything but classes is summed once a row; nothing is ever taken off a sum
 * again: what a class adds to the others' Z comes from sums of the classes before and behind it. */
#ifndef RS_SOFTMAX_ROWS_H
#define RS_SOFTMAX_ROWS_H
#include "base/lists.h"
#include "nn/panel.h"
#include "nn/softmax_pairs.h"

typedef struct rs_softmax_rows {
  rs_softmax_pairs pairs;
  rs_panel_columns columns;   /* bias: log c_j - log_q_j */
  const void *users;          /* [r, d] */
  const void *log_q;          /* [m] or NULL */
  void *log_count;            /* [m]: log c_j */
  const double *weights;      /* [n] by pair, their sum is 1 */
  const int64_t *now;         /* [r]; NULL: no windows */
  const int64_t *from, *to;   /* [m] */
  const rs_lists *left_out;   /* [r] of codes; NULL: none */
  const void *beside;         /* [r, n_beside] logits of each row's own; NULL: none */
  void *beside_grad;          /* the same, to be filled; NULL: no gradients */
  int64_t n_beside;
  bool merge;                 /* columns of one code are hits of each other */
  bool uncorrected;           /* log_q is not taken off the positive */
  double smoothing;           /* weight of the mean over the columns left, 0 to 1 */
} rs_softmax_rows;

/* Memory of a thread, bytes: see rs_softmax_row. */
size_t rs_softmax_scratch_bytes(const rs_softmax_rows *rows);

/* Row i's logits [wide] of rs_panel_scores into coefficients: times *factor they are d loss / d logits. Its loss is
 * returned. A row without pairs has factor 0. */
double rs_softmax_row(const rs_softmax_rows *rows, int64_t i, void *logits, void *scratch, double *factor);

#endif
