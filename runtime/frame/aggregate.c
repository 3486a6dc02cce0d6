/* aggregate.c - see aggregate.h.
 *
 * A group's rows stand together in row order (rs_groups), so groups are worked on in parallel and each one's sum is
 * added in row order: the same bits for any number of threads. */
#include "frame/aggregate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

/* One aggregation over all groups, by whatever it needs. */
typedef struct tally {
  const rs_groups *groups;
  const rs_aggregation *what;
  const rs_column *column, *by;
  double *values;  /* what it makes: a number a group */
  int64_t *rows;   /* or a row a group */
  double *scratch; /* a number a row, for those that sort */
} tally;

typedef struct span {
  const int64_t *rows;
  int64_t n;
} span;

static span span_of(const tally *t, int64_t group) {
  const int64_t *starts = t->groups->starts;
  return (span){t->groups->rows + starts[group], starts[group + 1] - starts[group]};
}

static void count_groups(void *context, int64_t begin, int64_t end) {
  const tally *t = context;
  for (int64_t g = begin; g < end; g++) {
    span s = span_of(t, g);
    int64_t n = t->column ? 0 : s.n;
    for (int64_t i = 0; t->column && i < s.n; i++) n += !rs_column_is_missing(t->column, s.rows[i]);
    t->values[g] = (double)n;
  }
}

/* Sums of x, of w and of w x over the rows where both are present; w is 1 without weights. */
typedef struct sums {
  double x, w, wx;
  int64_t n;
} sums;

static sums add_up(const tally *t, span s) {
  const double *x = rs_f64(&t->column->values), *w = t->by ? rs_f64(&t->by->values) : NULL;
  sums sum = {0};
  for (int64_t i = 0; i < s.n; i++) {
    double value = x[s.rows[i]], weight = w ? w[s.rows[i]] : 1;
    if (isnan(value) || isnan(weight)) continue;
    sum.n++;
    sum.x += value;
    sum.w += weight;
    sum.wx += weight * value;
  }
  return sum;
}

static void sum_groups(void *context, int64_t begin, int64_t end) {
  const tally *t = context;
  for (int64_t g = begin; g < end; g++) {
    sums sum = add_up(t, span_of(t, g));
    switch (t->what->what) {
      case RS_SUM: t->values[g] = sum.x; break;
      case RS_MEAN: t->values[g] = sum.n ? sum.x / (double)sum.n : NAN; break;
      case RS_WEIGHTED_SUM: t->values[g] = sum.wx; break;
      default: t->values[g] = sum.w != 0 ? sum.wx / sum.w : NAN;
    }
  }
}

/* The sample's variance: around the mean, by n - 1. */
static double variance_of(const tally *t, span s) {
  const double *x = rs_f64(&t->column->values);
  sums sum = add_up(t, s);
  if (sum.n < 2) return NAN;
  double mean = sum.x / (double)sum.n, squares = 0;
  for (int64_t i = 0; i < s.n; i++)
    if (!isnan(x[s.rows[i]])) squares += (x[s.rows[i]] - mean) * (x[s.rows[i]] - mean);
  return squares / (double)(sum.n - 1);
}

static void spread_groups(void *context, int64_t begin, int64_t end) {
  const tally *t = context;
  for (int64_t g = begin; g < end; g++) {
    double variance = variance_of(t, span_of(t, g));
    t->values[g] = t->what->what == RS_STD ? sqrt(variance) : variance;
  }
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Quantiles between the two nearest ranks (type 7 of Hyndman and Fan 1996, as NumPy's and polars's linear ones). */
static void rank_groups(void *context, int64_t begin, int64_t end) {
  const tally *t = context;
  const double *x = rs_f64(&t->column->values);
  double share = t->what->what == RS_MEDIAN ? 0.5 : t->what->share;
  for (int64_t g = begin; g < end; g++) {
    span s = span_of(t, g);
    double *sorted = t->scratch + t->groups->starts[g];
    int64_t n = 0;
    for (int64_t i = 0; i < s.n; i++)
      if (!isnan(x[s.rows[i]])) sorted[n++] = x[s.rows[i]];
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    double place = share * (double)(n - 1), below = floor(place);
    int64_t at = (int64_t)below;
    t->values[g] = n == 0                               ? NAN
                   : at + 1 >= n || place == below ? sorted[at]
                                                        : sorted[at] + (place - below) * (sorted[at + 1] - sorted[at]);
  }
}

/* Whether any or all of the present numbers are other than 0; missing for none. */
static void judge_groups(void *context, int64_t begin, int64_t end) {
  const tally *t = context;
  const double *x = rs_f64(&t->column->values);
  for (int64_t g = begin; g < end; g++) {
    span s = span_of(t, g);
    int64_t present = 0, holds = 0;
    for (int64_t i = 0; i < s.n; i++) {
      present += !isnan(x[s.rows[i]]);
      holds += !isnan(x[s.rows[i]]) && x[s.rows[i]] != 0;
    }
    t->values[g] = !present ? NAN : t->what->what == RS_ANY ? holds > 0 : holds == present;
  }
}

/* A number or time column's values, within reach of a loop. */
typedef struct yardstick {
  const double *numbers; /* NULL: times */
  const int64_t *times;
} yardstick;

static yardstick yardstick_of(const rs_column *c) {
  yardstick y = {0};
  if (c->type == RS_TIME)
    y.times = rs_i64(&c->values);
  else if (c->type == RS_NUMBER)
    y.numbers = rs_f64(&c->values);
  return y;
}

static bool lacks(const yardstick *y, int64_t row) {
  return y->numbers ? isnan(y->numbers[row]) : y->times[row] == RS_TIME_MISSING;
}

/* Whether row a's value is greater than row b's. */
static bool greater(const yardstick *y, int64_t a, int64_t b) {
  return y->numbers ? y->numbers[a] > y->numbers[b] : y->times[a] > y->times[b];
}

/* The row of a group whose value is the extreme one; -1 when all are missing. Of equal ones the first, or the last. */
static int64_t extreme_row(const yardstick *y, span s, bool most, bool latest) {
  int64_t best = -1;
  for (int64_t i = 0; i < s.n; i++) {
    int64_t row = s.rows[i];
    if (lacks(y, row)) continue;
    bool better = best < 0 || (most ? greater(y, row, best) : greater(y, best, row));
    bool equal = latest && !better && !(most ? greater(y, best, row) : greater(y, row, best));
    if (better || equal) best = row;
  }
  return best;
}

static void choose_rows(void *context, int64_t begin, int64_t end) {
  const tally *t = context;
  rs_aggregate what = t->what->what;
  yardstick y = yardstick_of(t->by ? t->by : t->column);
  for (int64_t g = begin; g < end; g++) {
    span s = span_of(t, g);
    if ((what == RS_FIRST || what == RS_LAST) && !t->by)
      t->rows[g] = s.rows[what == RS_FIRST ? 0 : s.n - 1];
    else
      t->rows[g] = extreme_row(&y, s, what == RS_MAX || what == RS_LAST || what == RS_ARG_MAX, what == RS_LAST);
  }
}

/* The extremes of numbers, without the detour over rows. */
static void find_extremes(void *context, int64_t begin, int64_t end) {
  const tally *t = context;
  const double *x = rs_f64(&t->column->values);
  const bool most = t->what->what == RS_MAX;
  for (int64_t g = begin; g < end; g++) {
    span s = span_of(t, g);
    double best = NAN;
    for (int64_t i = 0; i < s.n; i++) {
      double value = x[s.rows[i]];
      if (isnan(best) || (most ? value > best : value < best)) best = value;
    }
    t->values[g] = best;
  }
}

static rs_status run(const tally *t, rs_body *body) {
  rs_parallel_for(t->groups->n, rs_groups_grain(t->groups->n), body, (void *)t);
  return RS_OK;
}

/* A value that stands in the column: of the row that 'body' chooses. */
static rs_status pick(rs_column *out, tally *t, rs_body *body) {
  rs_tensor rows = {0};
  rs_column taken = {0};
  rs_status status = rs_tensor_new(&rows, RS_I64, 1, &t->groups->n);
  if (status == RS_OK) {
    t->rows = rs_i64(&rows);
    run(t, body);
    status = rs_column_take(&taken, t->column, t->rows, t->groups->n);
  }
  if (status == RS_OK) status = rs_column_share(out, &taken, t->what->name);
  rs_column_free(&taken);
  rs_tensor_free(&rows);
  return status;
}

/* Numbers of the combinations of keys and column, by first appearance. */
static rs_status number_pairs(rs_tensor *pairs, int64_t *n_pairs, const rs_grouping *g, const rs_column *c) {
  size_t bytes = (size_t)(g->n_names + 1) * sizeof(char *);
  const char **names = rs_alloc(bytes);
  if (!names) return rs_nomem("frame group_by", bytes);
  for (int i = 0; i < g->n_names; i++) names[i] = g->names[i];
  names[g->n_names] = c->name;
  rs_status status = rs_frame_groups(pairs, n_pairs, g->frame, names, g->n_names + 1);
  rs_free(names);
  return status;
}

/* RS_N_DISTINCT: each combination's first row counts for its group. */
static rs_status count_distinct(double *counts, const rs_grouping *g, const rs_column *c) {
  rs_tensor pairs = {0};
  int64_t n_pairs = 0, seen = 0;
  rs_status status = number_pairs(&pairs, &n_pairs, g, c);
  if (status == RS_OK) memset(counts, 0, (size_t)g->groups.n * sizeof *counts);
  for (int64_t i = 0; status == RS_OK && i < g->frame->rows; i++) {
    if (rs_i64(&pairs)[i] < seen) continue;
    seen++;
    if (!rs_column_is_missing(c, i)) counts[rs_i64(&g->ids)[i]]++;
  }
  rs_tensor_free(&pairs);
  return status;
}

/* RS_MODE: the first row of each group's most frequent value, of equally frequent ones the one met first. */
static rs_status find_modes(int64_t *rows, const rs_grouping *g, const rs_column *c) {
  rs_tensor pairs = {0}, counts = {0}, most = {0};
  int64_t n_pairs = 0, seen = 0, n = g->frame->rows;
  rs_status status = number_pairs(&pairs, &n_pairs, g, c);
  if (status == RS_OK) status = rs_tensor_zeros(&counts, RS_I64, 1, &n_pairs);
  if (status == RS_OK) status = rs_tensor_zeros(&most, RS_I64, 1, &g->groups.n);
  if (status == RS_OK) {
    int64_t *count = rs_i64(&counts), *best = rs_i64(&most);
    const int64_t *pair = rs_i64(&pairs), *group = rs_i64(&g->ids);
    for (int64_t i = 0; i < g->groups.n; i++) rows[i] = -1;
    for (int64_t i = 0; i < n; i++) count[pair[i]]++;
    for (int64_t i = 0; i < n; i++) {
      if (pair[i] < seen) continue;
      seen++;
      if (rs_column_is_missing(c, i) || count[pair[i]] <= best[group[i]]) continue;
      best[group[i]] = count[pair[i]];
      rows[group[i]] = i;
    }
  }
  rs_tensor_free(&pairs);
  rs_tensor_free(&counts);
  rs_tensor_free(&most);
  return status;
}

static rs_status pick_modes(rs_column *out, const rs_grouping *g, tally *t) {
  rs_tensor rows = {0};
  rs_column taken = {0};
  rs_status status = rs_tensor_new(&rows, RS_I64, 1, &g->groups.n);
  if (status == RS_OK) status = find_modes(rs_i64(&rows), g, t->column);
  if (status == RS_OK) status = rs_column_take(&taken, t->column, rs_i64(&rows), g->groups.n);
  if (status == RS_OK) status = rs_column_share(out, &taken, t->what->name);
  rs_column_free(&taken);
  rs_tensor_free(&rows);
  return status;
}

/* RS_COLLECT. */

/* How many members a row gives: a string one or none, a list its own. */
static int64_t members_of(const rs_column *c, int64_t row) {
  return c->type == RS_LIST ? rs_i32(&c->lengths)[row] : rs_i32(&c->values)[row] != 0;
}

static void copy_members(int32_t *to, const rs_column *c, span s) {
  for (int64_t i = 0; i < s.n; i++) {
    int64_t n = members_of(c, s.rows[i]), from = c->type == RS_LIST ? rs_i64(&c->starts)[s.rows[i]] : s.rows[i];
    for (int64_t j = 0; j < n; j++) *to++ = rs_i32(&c->values)[from + j];
  }
}

/* starts and lengths of the new lists; *total members. */
static rs_status lay_lists_out(rs_column *out, const tally *t, int64_t *total) {
  int64_t sum = 0;
  for (int64_t g = 0; g < t->groups->n; g++) {
    span s = span_of(t, g);
    int64_t n = 0;
    for (int64_t i = 0; i < s.n; i++) n += members_of(t->column, s.rows[i]);
    if (n > INT32_MAX) return rs_fail(RS_ERANGE, "frame: list '%s' has more than %d members", t->what->name, INT32_MAX);
    rs_i64(&out->starts)[g] = sum;
    rs_i32(&out->lengths)[g] = (int32_t)n;
    sum += n;
  }
  *total = sum;
  return RS_OK;
}

static rs_status collect(rs_column *out, const tally *t) {
  int64_t total = 0;
  *out = (rs_column){.type = RS_LIST, .name = rs_strdup(t->what->name), .dictionary = t->column->dictionary};
  rs_dictionary_retain(out->dictionary);
  if (!out->name) return rs_nomem("frame group_by", strlen(t->what->name));
  rs_status status = rs_tensor_new(&out->starts, RS_I64, 1, &t->groups->n);
  if (status == RS_OK) status = rs_tensor_new(&out->lengths, RS_I32, 1, &t->groups->n);
  if (status == RS_OK) status = lay_lists_out(out, t, &total);
  if (status == RS_OK) status = rs_tensor_new(&out->values, RS_I32, 1, &total);
  for (int64_t g = 0; status == RS_OK && g < t->groups->n; g++)
    copy_members(rs_i32(&out->values) + rs_i64(&out->starts)[g], t->column, span_of(t, g));
  return status;
}

/* Which columns an aggregation takes. */

static bool fits(rs_aggregate what, const rs_column *c) {
  bool ordered = c->type == RS_NUMBER || c->type == RS_TIME;
  switch (what) {
    case RS_COUNT:
    case RS_FIRST:
    case RS_LAST:
    case RS_ARG_MIN:
    case RS_ARG_MAX: return true;
    case RS_MIN:
    case RS_MAX: return ordered;
    case RS_N_DISTINCT:
    case RS_MODE: return c->type != RS_LIST;
    case RS_COLLECT: return c->type == RS_STRING || c->type == RS_LIST;
    default: return c->type == RS_NUMBER;
  }
}

static rs_status check_by(const rs_aggregation *a, const rs_column *by) {
  bool weights = a->what == RS_WEIGHTED_SUM || a->what == RS_WEIGHTED_MEAN;
  bool sorts = a->what == RS_FIRST || a->what == RS_LAST || a->what == RS_ARG_MIN || a->what == RS_ARG_MAX;
  if (!a->by && (weights || a->what == RS_ARG_MIN || a->what == RS_ARG_MAX))
    return rs_fail(RS_EARG, "frame: aggregation '%s' needs a second column: of weights, or to choose by", a->name);
  if (a->by && !weights && !sorts)
    return rs_fail(RS_EARG, "frame: aggregation '%s' takes one column, not '%s' as well", a->name, a->by);
  if (by && by->type != RS_NUMBER && (weights || by->type != RS_TIME))
    return rs_fail(RS_EARG, "frame: aggregation '%s' is not by the %s column '%s'", a->name,
                   rs_column_type_name(by->type), by->name);
  return RS_OK;
}

static rs_status check_aggregation(const rs_aggregation *a, const rs_column *c, const rs_column *by) {
  if (!a->column && a->what != RS_COUNT) return rs_fail(RS_EARG, "frame: aggregation '%s' needs a column", a->name);
  if ((a->column && !c) || (a->by && !by)) return RS_EARG;
  if (c && !fits(a->what, c))
    return rs_fail(RS_EARG, "frame: aggregation '%s' is not for the %s column '%s'", a->name,
                   rs_column_type_name(c->type), c->name);
  if (a->what == RS_QUANTILE && !(a->share >= 0 && a->share <= 1))
    return rs_fail(RS_EARG, "frame: aggregation '%s' needs a share from 0 to 1", a->name);
  return check_by(a, by);
}

/* Into t->values. */
static rs_status measure(tally *t, const rs_grouping *g) {
  switch (t->what->what) {
    case RS_COUNT: return run(t, count_groups);
    case RS_MIN:
    case RS_MAX: return run(t, find_extremes);
    case RS_STD:
    case RS_VAR: return run(t, spread_groups);
    case RS_ANY:
    case RS_ALL: return run(t, judge_groups);
    case RS_N_DISTINCT: return count_distinct(t->values, g, t->column);
    case RS_MEDIAN:
    case RS_QUANTILE: break;
    default: return run(t, sum_groups);
  }
  t->scratch = rs_alloc((size_t)g->frame->rows * sizeof(double));
  if (!t->scratch) return rs_nomem("frame group_by", (size_t)g->frame->rows * sizeof(double));
  run(t, rank_groups);
  rs_free(t->scratch);
  return RS_OK;
}

rs_status rs_aggregate_column(rs_column *out, const rs_grouping *g, const rs_aggregation *a) {
  const rs_column *c = a->column ? rs_frame_need(g->frame, a->column) : NULL;
  const rs_column *by = a->by && (c || !a->column) ? rs_frame_need(g->frame, a->by) : NULL;
  tally t = {.groups = &g->groups, .what = a, .column = c, .by = by};
  rs_status status = check_aggregation(a, c, by);
  if (status != RS_OK) return status;
  if (a->what == RS_FIRST || a->what == RS_LAST || a->what == RS_ARG_MIN || a->what == RS_ARG_MAX ||
      (c && c->type == RS_TIME && (a->what == RS_MIN || a->what == RS_MAX)))
    return pick(out, &t, choose_rows);
  if (a->what == RS_MODE) return pick_modes(out, g, &t);
  if (a->what == RS_COLLECT) return collect(out, &t);
  *out = (rs_column){.type = RS_NUMBER, .name = rs_strdup(a->name)};
  if (!out->name) return rs_nomem("frame group_by", strlen(a->name));
  status = rs_tensor_new(&out->values, RS_F64, 1, &g->groups.n);
  if (status != RS_OK) return status;
  t.values = rs_f64(&out->values);
  return measure(&t, g);
}
