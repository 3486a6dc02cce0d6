/* statistics.c - see statistics.h. */
#include "frame/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"

enum { CHUNK = 8192 };

/* The finite values at 'rows' into 'values'. */
static rs_status collect(const rs_column *c, const int64_t *rows, int64_t n, bool log, double *values, int64_t *kept) {
  int64_t size = rs_column_rows(c);
  *kept = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t row = rows ? rows[i] : i;
    if (row < 0 || row >= size)
      return rs_fail(RS_ERANGE, "statistics: row %lld of a column of %lld", (long long)row, (long long)size);
    double x = c->type == RS_NUMBER                         ? rs_f64(&c->values)[row]
               : rs_i64(&c->values)[row] == RS_TIME_MISSING ? NAN
                                                            : (double)rs_i64(&c->values)[row];
    if (isfinite(x)) values[(*kept)++] = log ? rs_signed_log(x) : x;
  }
  return RS_OK;
}

/* A new block with the finite values of the column. */
static rs_status values_of(double **values, int64_t *kept, const rs_column *c, const int64_t *rows, int64_t *n,
                           bool log) {
  *values = NULL;
  if (c->type != RS_NUMBER && c->type != RS_TIME)
    return rs_fail(RS_EARG, "statistics: column '%s' is a %s column, not number or time", c->name,
                   rs_column_type_name(c->type));
  if (!rows) *n = rs_column_rows(c);
  *values = rs_alloc((size_t)*n * sizeof **values);
  return *values ? collect(c, rows, *n, log, *values, kept) : rs_nomem("statistics", (size_t)*n * sizeof **values);
}

/* The sum of (x - centre)^power, power 1 or 2, chunk by chunk. */
static double sum(const double *values, int64_t n, double centre, int power) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += CHUNK) {
    double part = 0;
    for (int64_t i = begin; i < n && i < begin + CHUNK; i++) {
      double x = values[i] - centre;
      part += power == 1 ? x : x * x;
    }
    total += part;
  }
  return total;
}

rs_status rs_moments_of(rs_moments *out, const rs_column *column, const int64_t *rows, int64_t n, bool log) {
  double *values;
  int64_t kept = 0;
  rs_status status = values_of(&values, &kept, column, rows, &n, log);
  if (status == RS_OK) {
    *out = (rs_moments){.rows = n, .missing = n - kept};
    if (kept > 0) out->mean = sum(values, kept, 0, 1) / (double)kept;
    if (kept > 1) out->deviation = sqrt(sum(values, kept, out->mean, 2) / (double)kept);
  }
  rs_free(values);
  return status;
}

static int by_value(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

rs_status rs_percentiles_of(double *out, const double *shares, int n_shares, const rs_column *column,
                            const int64_t *rows, int64_t n, bool log) {
  double *values;
  int64_t kept = 0;
  rs_status status = values_of(&values, &kept, column, rows, &n, log);
  if (status == RS_OK) qsort(values, (size_t)kept, sizeof *values, by_value);
  for (int i = 0; status == RS_OK && i < n_shares; i++) {
    double place = shares[i] * (double)(kept - 1), below = floor(place);
    int64_t at = (int64_t)below;
    out[i] = kept == 0 ? NAN : values[at];
    if (kept > 0 && at + 1 < kept) out[i] += (place - below) * (values[at + 1] - values[at]);
  }
  rs_free(values);
  return status;
}

rs_status rs_quantile_edges(rs_tensor *out, int64_t *missing, const rs_column *column, const int64_t *rows, int64_t n,
                            int64_t buckets) {
  double *values;
  int64_t kept = 0, found = 0;
  rs_status status = values_of(&values, &kept, column, rows, &n, false);
  if (status == RS_OK) {
    qsort(values, (size_t)kept, sizeof *values, by_value);
    int64_t most = kept ? buckets - 1 : 0;
    status = rs_tensor_new(out, RS_F64, 1, &most);
    for (int64_t k = 1; status == RS_OK && k <= most; k++) {
      double edge = values[(int64_t)((__int128)k * kept / buckets)];
      double last = found ? rs_f64(out)[found - 1] : values[0];
      if (edge > last) rs_f64(out)[found++] = edge;
    }
    *missing = n - kept;
  }
  if (status == RS_OK) {
    rs_tensor whole = *out;
    status = rs_tensor_narrow(out, &whole, 0, 0, found);
    rs_tensor_free(&whole);
  }
  rs_free(values);
  return status;
}
