/* window.c - columns worked out within groups, row by row in an order: ranks, running sums, the row before. See frame.h.
 *
 * The rows are brought into the order, listed by group in it, and the groups are gone through in parallel. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/frame.h"
#include "frame/partition.h"

typedef struct windowing {
  const rs_frame *frame;
  const rs_sort_key *order;
  int n_order;
  rs_groups groups; /* rows of each group, in the order */
} windowing;

/* One new column. */
typedef struct pass {
  const windowing *all;
  const rs_window *what;
  const rs_column *column;
  double *values; /* [rows] */
  int64_t *rows;  /* [rows], of lag and lead */
} pass;

typedef struct span {
  const int64_t *rows;
  int64_t n;
} span;

static span span_of(const pass *p, int64_t group) {
  const rs_groups *g = &p->all->groups;
  return (span){g->rows + g->starts[group], g->starts[group + 1] - g->starts[group]};
}

/* Whether two rows are equal in all that the order looks at. */
static bool tied(const windowing *w, int64_t a, int64_t b) {
  for (int k = 0; k < w->n_order; k++) {
    const rs_column *c = rs_frame_column(w->frame, w->order[k].name);
    bool equal = c->type == RS_STRING ? rs_i32(&c->values)[a] == rs_i32(&c->values)[b]
                 : rs_column_is_missing(c, a) || rs_column_is_missing(c, b)
                     ? rs_column_is_missing(c, a) == rs_column_is_missing(c, b)
                     : rs_sort_bits(c, a) == rs_sort_bits(c, b);
    if (!equal) return false;
  }
  return true;
}

static void rank(const pass *p, span s) {
  double dense = 0, least = 0;
  for (int64_t i = 0; i < s.n; i++) {
    if (i == 0 || !tied(p->all, s.rows[i - 1], s.rows[i])) {
      dense++;
      least = (double)i + 1;
    }
    p->values[s.rows[i]] = p->what->what == RS_ROW_NUMBER ? (double)i + 1 : p->what->what == RS_RANK ? least : dense;
  }
}

/* Running sums, extremes and counts up to and with each row; missing where the row's own value is. */
static void accumulate(const pass *p, span s) {
  const double *x = p->column && p->column->type == RS_NUMBER ? rs_f64(&p->column->values) : NULL;
  rs_window_kind what = p->what->what;
  double sum = 0, best = NAN, count = 0;
  for (int64_t i = 0; i < s.n; i++) {
    int64_t row = s.rows[i];
    bool missing = p->column && rs_column_is_missing(p->column, row);
    count += !missing;
    if (what == RS_CUM_COUNT) {
      p->values[row] = count;
      continue;
    }
    if (!missing) {
      sum += x[row];
      if (isnan(best) || (what == RS_CUM_MAX ? x[row] > best : x[row] < best)) best = x[row];
    }
    p->values[row] = missing ? NAN : what == RS_CUM_SUM ? sum : best;
  }
}

/* What a row is of its group: its share of the sum, the group's rows. */
static void compare_with_all(const pass *p, span s) {
  const double *x = p->column ? rs_f64(&p->column->values) : NULL;
  double sum = 0;
  for (int64_t i = 0; x && i < s.n; i++)
    if (!isnan(x[s.rows[i]])) sum += x[s.rows[i]];
  for (int64_t i = 0; i < s.n; i++) p->values[s.rows[i]] = x ? x[s.rows[i]] / sum : (double)s.n;
}

static void shift(const pass *p, span s) {
  int64_t by = p->what->what == RS_LAG ? -p->what->offset : p->what->offset;
  for (int64_t i = 0; i < s.n; i++) {
    int64_t from = i + by;
    p->rows[s.rows[i]] = from >= 0 && from < s.n ? s.rows[from] : -1;
  }
}

/* Numbers from 1 that grow by one where a row comes more than the gap after the one before it. */
static void split_sessions(const pass *p, span s) {
  double session = 0;
  int64_t before = RS_TIME_MISSING;
  for (int64_t i = 0; i < s.n; i++) {
    int64_t time = rs_i64(&p->column->values)[s.rows[i]];
    if (time == RS_TIME_MISSING) {
      p->values[s.rows[i]] = NAN;
      continue;
    }
    if (before == RS_TIME_MISSING || (uint64_t)time - (uint64_t)before > (uint64_t)p->what->offset) session++;
    p->values[s.rows[i]] = session;
    before = time;
  }
}

static void work_out(void *context, int64_t begin, int64_t end) {
  const pass *p = context;
  for (int64_t g = begin; g < end; g++) {
    span s = span_of(p, g);
    switch (p->what->what) {
      case RS_ROW_NUMBER:
      case RS_RANK:
      case RS_DENSE_RANK: rank(p, s); break;
      case RS_GROUP_ROWS:
      case RS_SHARE: compare_with_all(p, s); break;
      case RS_LAG:
      case RS_LEAD: shift(p, s); break;
      case RS_SESSION: split_sessions(p, s); break;
      default: accumulate(p, s);
    }
  }
}

/* List the rows by group in the order. */
static rs_status list_rows(windowing *w, const char *const *names, int n) {
  rs_tensor groups = {0}, order = {0};
  int64_t n_groups = w->frame->rows > 0, rows = w->frame->rows, *ids = NULL;
  rs_status status = n ? rs_frame_groups(&groups, &n_groups, w->frame, names, n)
                       : rs_tensor_zeros(&groups, RS_I64, 1, &rows);
  if (status == RS_OK && w->n_order) status = rs_frame_sort(&order, w->frame, w->order, w->n_order);
  if (status == RS_OK && w->n_order && !(ids = rs_alloc((size_t)rows * sizeof *ids)))
    status = rs_nomem("frame window", (size_t)rows * sizeof *ids);
  for (int64_t i = 0; status == RS_OK && ids && i < rows; i++) ids[i] = rs_i64(&groups)[rs_i64(&order)[i]];
  if (status == RS_OK) status = rs_groups_of(&w->groups, ids ? ids : rs_i64(&groups), rows, n_groups);
  for (int64_t i = 0; status == RS_OK && ids && i < rows; i++)
    w->groups.rows[i] = rs_i64(&order)[w->groups.rows[i]];
  rs_free(ids);
  rs_tensor_free(&groups);
  rs_tensor_free(&order);
  return status;
}

static rs_status check_window(const windowing *w, const rs_window *what, const rs_column *c) {
  bool numbers = what->what == RS_CUM_SUM || what->what == RS_CUM_MAX || what->what == RS_CUM_MIN ||
                 what->what == RS_SHARE;
  bool shifts = what->what == RS_LAG || what->what == RS_LEAD;
  if (what->column && !c) return RS_EARG;
  if (!c && (numbers || shifts || what->what == RS_SESSION))
    return rs_fail(RS_EARG, "frame: window '%s' needs a column", what->name);
  if (c && ((numbers && c->type != RS_NUMBER) || (what->what == RS_SESSION && c->type != RS_TIME)))
    return rs_fail(RS_EARG, "frame: window '%s' is not for the %s column '%s'", what->name,
                   rs_column_type_name(c->type), c->name);
  if (c && what->what <= RS_GROUP_ROWS)
    return rs_fail(RS_EARG, "frame: window '%s' takes no column", what->name);
  if ((what->what == RS_RANK || what->what == RS_DENSE_RANK) && !w->n_order)
    return rs_fail(RS_EARG, "frame: window '%s' needs columns to order by", what->name);
  if (what->offset < 0) return rs_fail(RS_EARG, "frame: window '%s' looks back or ahead by 0 or more", what->name);
  return RS_OK;
}

static rs_status shifted(rs_column *out, pass *p) {
  rs_column taken = {0};
  size_t bytes = (size_t)p->all->frame->rows * sizeof *p->rows;
  p->rows = rs_alloc(bytes);
  if (!p->rows) return rs_nomem("frame window", bytes);
  rs_parallel_for(p->all->groups.n, rs_groups_grain(p->all->groups.n), work_out, p);
  rs_status status = rs_column_take(&taken, p->column, p->rows, p->all->frame->rows);
  if (status == RS_OK) status = rs_column_share(out, &taken, p->what->name);
  rs_column_free(&taken);
  rs_free(p->rows);
  return status;
}

static rs_status make_column(rs_column *out, const windowing *w, const rs_window *what) {
  const rs_column *c = what->column ? rs_frame_need(w->frame, what->column) : NULL;
  pass p = {.all = w, .what = what, .column = c};
  rs_status status = check_window(w, what, c);
  if (status != RS_OK) return status;
  if (what->what == RS_LAG || what->what == RS_LEAD) return shifted(out, &p);
  *out = (rs_column){.type = RS_NUMBER, .name = rs_strdup(what->name)};
  if (!out->name) return rs_nomem("frame window", strlen(what->name));
  status = rs_tensor_new(&out->values, RS_F64, 1, &w->frame->rows);
  if (status != RS_OK) return status;
  p.values = rs_f64(&out->values);
  rs_parallel_for(w->groups.n, rs_groups_grain(w->groups.n), work_out, &p);
  return RS_OK;
}

static rs_status share_all(rs_frame *out, const rs_frame *f) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < f->n_columns; i++) {
    rs_column made = {0};
    status = rs_column_share(&made, &f->columns[i], NULL);
    if (status == RS_OK) status = rs_frame_add(out, &made);
    rs_column_free(&made);
  }
  return status;
}

rs_status rs_frame_window(rs_frame *out, const rs_frame *f, const char *const *names, int n, const rs_sort_key *order,
                          int n_order, const rs_window *windows, int n_windows) {
  windowing w = {.frame = f, .order = order, .n_order = n_order};
  rs_status status = list_rows(&w, names, n);
  if (status == RS_OK) status = share_all(out, f);
  for (int i = 0; status == RS_OK && i < n_windows; i++) {
    rs_column made = {0};
    status = make_column(&made, &w, &windows[i]);
    if (status == RS_OK) status = rs_frame_add(out, &made);
    rs_column_free(&made);
  }
  rs_groups_free(&w.groups);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
