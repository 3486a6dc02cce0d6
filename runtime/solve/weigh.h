/* weigh.h - what an entry of a sparse matrix counts when its rows are compared: as it is, by TF-IDF or by BM25.
 *
 * Rows are the documents and columns the terms: items as rows are weighed by the users that they have in common, users as
 * rows by their items. N is the number of rows that have an entry, df_c how many rows column c is in, x an entry,
 * idf_c = ln N - ln(1 + df_c), as in implicit (Frederickson 2016), whose constants these are:
 *
 *     cosine  x
 *     tfidf   sqrt(x) idf_c
 *     bm25    x (K1 + 1) / (x + K1 (1 - B + B l_r / mean l)) idf_c,  l_r the sum of row r, the mean over such rows
 *
 * TF-IDF: Sparck Jones 1972, doi:10.1108/eb026526; BM25: Robertson & Zaragoza 2009, doi:10.1561/1500000019. */
#ifndef RS_WEIGH_H
#define RS_WEIGH_H
#include "tensor/csr.h"

typedef enum rs_weighting { RS_COSINE, RS_TFIDF, RS_BM25 } rs_weighting;
extern const char *const rs_weighting_names[]; /* "cosine", "tfidf", "bm25", NULL */

typedef struct rs_weigh_options {
  rs_weighting weighting;
  double k1, b; /* of BM25: 0 or more, and 0 to 1 */
  bool unit;    /* then divide each row by its length: rows of length 1, or of zeros */
} rs_weigh_options;

/* out f32, the shape and columns of m f32 or f64; its starts and columns are shared. RS_EARG for options outside their
 * range; RS_ERANGE, naming the row, for an entry that is not finite or, of tfidf and bm25, below 0. */
rs_status rs_weigh(rs_csr *out, const rs_csr *m, const rs_weigh_options *options);

/* Whether all entries are 1. Then an entry of row r and column c has the weight of_row[r] of_column[c], both f32, which
 * must be empty and become the caller's. */
bool rs_weigh_is_ones(const rs_csr *m);
rs_status rs_weigh_ones(rs_tensor *of_row, rs_tensor *of_column, const rs_csr *m, const rs_weigh_options *options);

#endif
