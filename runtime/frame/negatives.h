/* negatives.h - items that a user did not interact with, drawn for each of his rows. */
#ifndef RS_NEGATIVES_H
#define RS_NEGATIVES_H
#include "base/rng.h"
#include "tensor/tensor.h"

typedef struct rs_negatives {
  const int64_t *users; /* [rows]: whom to draw for, 0 .. n_users-1 */
  int64_t rows, per_row;
  const int64_t *known_users, *known_items; /* [n_known]: what nobody is to be given again; n_known may be 0 */
  int64_t n_known, n_users, n_items;
  const double *weights; /* [n_items], not negative, or NULL: all items alike */
  rs_stream stream;
} rs_negatives;

/* items i64 [rows, per_row]: items 0 .. n_items-1, drawn with replacement in proportion to the weights from those that the
 * user does not know. A draw is a function of the stream and of (row, column) alone. -1 where the user knows every item
 * of positive weight. RS_ERANGE for users and items out of range, RS_EARG for weights that are negative, not finite, or
 * all 0. */
rs_status rs_negatives_draw(rs_tensor *items, const rs_negatives *n);

#endif
