/* panel.h - panels of rows against many columns: logits, exponentials and both products of a softmax while they are in
 * the second-level cache.
 *
 * A loss over rows [r, d] and columns [m, d] takes a panel of rows, writes its logits (rs_panel_scores), turns them row
 * by row into coefficients (with 'exponentials') and multiplies these with the columns and with the rows
 * (rs_panel_products); then the next panel overwrites them. Columns are packed once, for all panels: OpenBLAS would
 * pack them again for each, which at a width of 64 costs as much as the product, and tensor/block.h would turn them
 * again. Its products start from zero, too; here logits start from their correction, gradients from their sum so far.
 *
 * The kernels for AVX-512 and AVX2 are chosen at run time; they differ from the plain ones by the rounding of fused
 * multiply-adds. For one set of kernels a row's logits and products have the same bits in any panel of any height, and
 * the sum over rows has the same bits however they are cut into panels. Nothing here opens a parallel region but
 * rs_panel_columns_new. */
#ifndef RS_PANEL_H
#define RS_PANEL_H
#include "tensor/tensor.h"

typedef struct rs_panel_kernels {
  const char *name; /* "avx512", "avx2", "plain" */
  int lanes;        /* reals of a vector */
  int columns;      /* of a packed block */
  /* c [rows, width] = start + a [rows, k] b [k, width], 'width' a multiple of 'lanes'. Element (i, p) of a is at
   * i * a_row + p * a_step; rows of b are b_step apart, of start start_row (0: the same for all), of c c_row. 'start'
   * may be c; NULL: zero. */
  void (*product)(int64_t rows, int64_t width, int64_t k, const void *a, int64_t a_row, int64_t a_step, const void *b,
                  int64_t b_step, const void *start, int64_t start_row, void *c, int64_t c_row);
  /* s = exp(s - shift) for n elements, a multiple of 'lanes'; their sum, kept in 'lanes' partial sums. Minus infinity
   * and what is below -87 gives 0, NaN gives NaN; beyond 88 a float is exp(88). */
  double (*exponentials)(void *s, double shift, int64_t n);
} rs_panel_kernels;

/* The best kernels for this CPU. */
const rs_panel_kernels *rs_panel_kernels_of(rs_dtype dtype);
/* All that this CPU can run, best first, the plain ones last; at most 'most' of them into 'list'. For tests. */
int rs_panel_kernels_list(rs_dtype dtype, const rs_panel_kernels **list, int most);

typedef struct rs_panel_columns { /* all-zero is empty */
  const rs_panel_kernels *kernels;
  rs_dtype dtype;
  int64_t m, d;
  int64_t wide; /* m, up to whole blocks: the logits of a row, those of the columns past m being 'bias' */
  int64_t step; /* elements between the rows of a panel's logits */
  int64_t deep; /* d, up to whole vectors: elements between rows of 'table' and of gradients */
  const void *table; /* [m, deep], zero beyond d */
  void *packed;      /* [wide / columns][d][columns], times the scale */
  void *bias;        /* [wide]: where logits start; 0, and minus infinity past m; the caller may set it */
  void *copy;        /* of the table, when it had to be padded */
} rs_panel_columns;

/* Pack 'rows' [m, d] times 'scale', which must stay while the columns are in use. 'kernels' NULL: the best. */
rs_status rs_panel_columns_new(rs_panel_columns *out, const rs_panel_kernels *kernels, rs_dtype dtype, const void *rows,
                               int64_t m, int64_t d, double scale);
void rs_panel_columns_free(rs_panel_columns *columns);

/* How many rows keep their logits in the second-level cache: 6 to 96. */
int64_t rs_panel_rows(const rs_panel_columns *columns);

/* logits [rows, step] = bias + x [rows, d] columns^T scale. */
void rs_panel_scores(const rs_panel_columns *columns, const void *x, int64_t rows, void *logits);

/* With coefficients c [rows, step] (of the m columns): x_grad [rows, deep] = c table, and columns_grad [m, deep] +=
 * c^T x ('first': =) for x [rows, deep]. */
void rs_panel_products(const rs_panel_columns *columns, const void *coefficients, int64_t rows, const void *x,
                       void *x_grad, void *columns_grad, bool first);

#endif
