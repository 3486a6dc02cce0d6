/* statistics.h - what fitting learns from numbers: moments and quantiles over chosen rows. */
#ifndef RS_STATISTICS_H
#define RS_STATISTICS_H
#include "frame/column.h"

typedef struct rs_moments {
  int64_t rows;     /* looked at */
  int64_t missing;  /* of them without a finite value */
  double mean;      /* of the others; 0 when there are none */
  double deviation; /* their standard deviation, dividing by their number; 0 below two of them */
} rs_moments;

/* Over a number or time (ms) column at 'rows' (n of them; NULL: all), each value passed through sign(x) log(1 + |x|)
 * first when 'log'. Two passes, sums of 8192 rows at a time in order: the same bits whatever the threads.
 * RS_EARG for another type of column, RS_ERANGE for a row outside. */
rs_status rs_moments_of(rs_moments *out, const rs_column *column, const int64_t *rows, int64_t n, bool log);

/* out[i]: the value below which the share shares[i] of the finite values lies, linear between the two nearest order
 * statistics (numpy's default), NaN when there is none; 'log' as above. */
rs_status rs_percentiles_of(double *out, const double *shares, int n_shares, const rs_column *column,
                            const int64_t *rows, int64_t n, bool log);

/* At most buckets - 1 edges, f64, rising: the k / buckets quantiles (the order statistic at floor(k m / buckets) of m
 * values), k = 1 .. buckets-1, without repeats and without one that has no value below it. */
rs_status rs_quantile_edges(rs_tensor *out, int64_t *missing, const rs_column *column, const int64_t *rows, int64_t n,
                            int64_t buckets);

#endif
