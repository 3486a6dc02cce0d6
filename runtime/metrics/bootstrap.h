/* bootstrap.h - percentile intervals of mean metrics by resampling users.
 *
 * A user's queries are alike, so users are drawn, not queries (cluster bootstrap: Davison & Hinkley 1997, section 3.8;
 * percentile intervals: Efron & Tibshirani 1993, chapter 13): each resample draws as many users as there are, with
 * replacement, and a metric is the ratio of sums over the queries of those drawn. All metrics, of all systems,
 * are computed on the same resamples, so that intervals of differences and ratios are paired. Resample s is a function
 * of (seed, s) and the number of users alone. */
#ifndef RS_BOOTSTRAP_H
#define RS_BOOTSTRAP_H
#include <stdint.h>

#include "tensor/tensor.h"

/* Values of some metrics for some queries. */
typedef struct rs_measured {
  const double *values; /* [metrics, queries]; NaN: the query has no such metric and is left out */
  int64_t metrics, queries;
  const int64_t *rows; /* [n_rows] the queries meant, 0-based, each at most once; NULL: all */
  int64_t n_rows;
} rs_measured;

/* out [metrics]: the mean of each metric over the queries meant; NaN when none has it. RS_ERANGE for a row outside. */
rs_status rs_means(double *out, const rs_measured *m);

/* out f64 [metrics, samples]: the means in each resample of the users of the queries meant; 'users' [queries] holds any
 * codes. NaN where a resample has no query with the metric. RS_EARG without queries or samples, RS_ERANGE for a row
 * outside. */
rs_status rs_bootstrap(rs_tensor *out, const rs_measured *m, const int64_t *users, int64_t samples, uint64_t seed);

/* The quantiles of 'n' values at 'p' (each in 0 .. 1) by linear interpolation of the order statistics (type 7 of
 * Hyndman & Fan 1996). NaN values are left out; without any value the quantiles are NaN. */
rs_status rs_quantiles(double *out, const double *values, int64_t n, const double *p, int64_t n_p);

/* The bounds of the percentile interval of 'level' (0.95) for a - b and for a / b over 'n' paired resamples. */
typedef struct rs_paired {
  double difference[2], ratio[2];
} rs_paired;
rs_status rs_paired_intervals(rs_paired *out, const double *a, const double *b, int64_t n, double level);

#endif
