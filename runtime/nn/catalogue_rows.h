/* catalogue_rows.h - what the losses of catalogue.h are for rows of a tile of scores. For catalogue.c. */
#ifndef RS_CATALOGUE_ROWS_H
#define RS_CATALOGUE_ROWS_H
#include "nn/catalogue.h"
#include "nn/catalogue_columns.h"

enum { RS_CATALOGUE_PANEL = 128, RS_CATALOGUE_TILE = 1024 };

/* What is known of a row between its passes. */
typedef struct rs_catalogue_row {
  double max, sum, total; /* of the negatives: the largest score, the sum of exp(s - max), of s */
  double rate, shift;     /* the gradient of a score is rate * exp(s - max) + shift; of contrastive and gbce by rate */
} rs_catalogue_row;

/* One forward: what it was given, and where what it makes goes. */
typedef struct rs_catalogue_work {
  rs_catalogue_loss loss;
  rs_dtype dtype;
  int64_t n, m, d, first, pairs, group; /* rows of a group */
  bool alone;                           /* a positive competes with negatives alone */
  double scale, smoothing, positive_scale, emphasis, margin, beta;
  const void *users, *items, *weights, *column_weights, *log_q;
  const int64_t *starts, *positives, *left_starts, *left_out, *codes, *excluded_starts, *excluded;
  rs_columns columns;
  void *user_grad, *item_grads; /* NULL: no gradients; item_grads holds a [m, d] a group */
  int64_t kept;                 /* tiles of a panel that are kept from pass to pass, 1: none */
  void *tiles;                  /* 'kept' times [PANEL, TILE] a thread */
  rs_catalogue_row *rows;       /* a [PANEL] a thread */
  double *losses;               /* a sum a group */
} rs_catalogue_work;

/* A thread's rows at work, and the tile of columns at hand. */
typedef struct rs_catalogue_panel {
  int64_t i, rows, group; /* rows i .. i + rows - 1 */
  int64_t j, columns;     /* the tile: columns j .. j + columns - 1 */
  void *tiles, *tile;     /* the thread's, and the one at hand */
  bool fresh;             /* its scores are as multiplied, not yet corrected */
  bool raised;            /* they are exponentials already */
  rs_catalogue_row *state;
} rs_catalogue_panel;

/* Whether the loss has a normaliser, which takes a pass of its own. */
static inline bool rs_catalogue_normalises(const rs_catalogue_work *w) {
  return w->loss == RS_CATALOGUE_SOFTMAX || w->loss == RS_CATALOGUE_BILATERAL;
}

/* Take a tile's scores into the sums of its rows, or where 'kept' into their maxima alone. NaN becomes the maximum and
 * stays to be seen. */
void rs_catalogue_sum_tile(const rs_catalogue_work *w, const rs_catalogue_panel *p, bool kept);

/* A tile's scores become exp(s - max) of their row, which is added up. */
void rs_catalogue_raise_tile(const rs_catalogue_work *w, const rs_catalogue_panel *p);

/* The loss of the panel's row r but for what slope_tile adds; gives its pairs' users and items their gradients and sets
 * the row's rate and shift. */
double rs_catalogue_settle_row(const rs_catalogue_work *w, const rs_catalogue_panel *p, int64_t r);

/* A tile's scores become the derivative of the loss by them; what its columns add to the loss. */
double rs_catalogue_slope_tile(const rs_catalogue_work *w, const rs_catalogue_panel *p);

#endif
