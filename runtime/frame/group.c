/* group.c - groups of rows, aggregations, distinct rows and k-cores. See frame.h. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/keys.h"

rs_status rs_frame_groups(rs_tensor *groups, int64_t *n_groups, const rs_frame *f, const char *const *names, int n) {
  rs_keys keys = {0};
  rs_status status = rs_keys_find(&keys, f, names, NULL, NULL, n);
  if (status == RS_OK) status = rs_keys_number(&keys, false, groups, NULL, n_groups);
  rs_keys_free(&keys);
  return status;
}

/* rows[g] = the first or last row of group g. */
static rs_status edge_rows(rs_tensor *rows, const rs_tensor *groups, int64_t n_groups, bool last) {
  rs_status status = rs_tensor_new(rows, RS_I64, 1, &n_groups);
  if (status != RS_OK) return status;
  const int64_t *group = rs_i64(groups);
  int64_t *row = rs_i64(rows), n = groups->size[0];
  for (int64_t g = 0; g < n_groups; g++) row[g] = -1;
  for (int64_t i = 0; i < n; i++)
    if (last || row[group[i]] < 0) row[group[i]] = i;
  return RS_OK;
}

rs_status rs_frame_distinct(rs_tensor *rows, const rs_frame *f, const char *const *names, int n, bool last) {
  rs_tensor groups = {0}, edges = {0};
  int64_t n_groups = 0, found = 0;
  rs_status status = rs_frame_groups(&groups, &n_groups, f, names, n);
  if (status == RS_OK) status = edge_rows(&edges, &groups, n_groups, last);
  if (status == RS_OK) status = rs_tensor_new(rows, RS_I64, 1, &n_groups);
  for (int64_t i = 0; status == RS_OK && i < f->rows; i++)
    if (rs_i64(&edges)[rs_i64(&groups)[i]] == i) rs_i64(rows)[found++] = i;
  rs_tensor_free(&groups);
  rs_tensor_free(&edges);
  return status;
}

/* What the aggregations of one group_by share. */
typedef struct grouping {
  const rs_frame *frame;
  const char *const *names; /* of the keys */
  int n_names;
  rs_tensor groups;
  int64_t n;
  rs_tensor first; /* i64 [n] */
} grouping;

static void sum_up(double *sums, double *counts, const grouping *g, const rs_column *c) {
  const int64_t *group = rs_i64(&g->groups);
  for (int64_t i = 0; i < g->frame->rows; i++) {
    if (c && rs_column_is_missing(c, i)) continue;
    counts[group[i]]++;
    if (sums) sums[group[i]] += rs_f64(&c->values)[i];
  }
}

/* RS_COUNT, RS_SUM, RS_MEAN */
static rs_status add_up(rs_column *out, const grouping *g, rs_aggregate what, const rs_column *c) {
  rs_tensor counts = {0};
  rs_status status = rs_tensor_zeros(&out->values, RS_F64, 1, &g->n);
  if (status == RS_OK) status = rs_tensor_zeros(&counts, RS_F64, 1, &g->n);
  if (status == RS_OK) {
    double *values = rs_f64(&out->values), *n = rs_f64(&counts);
    sum_up(what == RS_COUNT ? NULL : values, n, g, c);
    for (int64_t i = 0; i < g->n; i++)
      if (what != RS_SUM) values[i] = what == RS_COUNT ? n[i] : n[i] > 0 ? values[i] / n[i] : NAN;
  }
  rs_tensor_free(&counts);
  return status;
}

static bool beats(const rs_column *c, rs_aggregate what, int64_t a, int64_t b) {
  if (c->type == RS_TIME) {
    const int64_t *v = rs_i64(&c->values);
    return what == RS_MIN ? v[a] < v[b] : v[a] > v[b];
  }
  const double *v = rs_f64(&c->values);
  return what == RS_MIN ? v[a] < v[b] : v[a] > v[b];
}

/* The rows whose values are the groups' extremes; -1 where all are missing. */
static rs_status extreme_rows(rs_tensor *rows, const grouping *g, rs_aggregate what, const rs_column *c) {
  rs_status status = rs_tensor_new(rows, RS_I64, 1, &g->n);
  if (status != RS_OK) return status;
  int64_t *row = rs_i64(rows);
  const int64_t *group = rs_i64(&g->groups);
  for (int64_t i = 0; i < g->n; i++) row[i] = -1;
  for (int64_t i = 0; i < g->frame->rows; i++) {
    if (rs_column_is_missing(c, i)) continue;
    if (row[group[i]] < 0 || beats(c, what, i, row[group[i]])) row[group[i]] = i;
  }
  return RS_OK;
}

/* RS_MIN, RS_MAX, RS_FIRST, RS_LAST: a value that stands in the column. */
static rs_status pick(rs_column *out, const grouping *g, const rs_aggregation *a, const rs_column *c) {
  rs_tensor rows = {0};
  rs_status status = a->what == RS_FIRST || a->what == RS_LAST ? edge_rows(&rows, &g->groups, g->n, a->what == RS_LAST)
                                                               : extreme_rows(&rows, g, a->what, c);
  rs_column taken = {0};
  if (status == RS_OK) status = rs_column_take(&taken, c, rs_i64(&rows), g->n);
  if (status == RS_OK) status = rs_column_share(out, &taken, a->name);
  rs_column_free(&taken);
  rs_tensor_free(&rows);
  return status;
}

/* RS_N_DISTINCT: number keys and value together; each number's first row counts for its group. */
static rs_status count_distinct(rs_column *out, const grouping *g, const rs_column *c) {
  size_t bytes = (size_t)(g->n_names + 1) * sizeof(char *);
  const char **names = rs_alloc(bytes);
  if (!names) return rs_nomem("frame group_by", bytes);
  for (int i = 0; i < g->n_names; i++) names[i] = g->names[i];
  names[g->n_names] = c->name;
  rs_tensor pairs = {0};
  int64_t n_pairs = 0, seen = 0;
  rs_status status = rs_frame_groups(&pairs, &n_pairs, g->frame, names, g->n_names + 1);
  if (status == RS_OK) status = rs_tensor_zeros(&out->values, RS_F64, 1, &g->n);
  for (int64_t i = 0; status == RS_OK && i < g->frame->rows; i++) {
    if (rs_i64(&pairs)[i] < seen) continue;
    seen++;
    if (!rs_column_is_missing(c, i)) rs_f64(&out->values)[rs_i64(&g->groups)[i]]++;
  }
  rs_tensor_free(&pairs);
  rs_free(names);
  return status;
}

static rs_status check_aggregation(const rs_aggregation *a, const rs_column *c) {
  bool numeric = a->what == RS_SUM || a->what == RS_MEAN, ordered = a->what == RS_MIN || a->what == RS_MAX;
  if (!a->column && a->what != RS_COUNT) return rs_fail(RS_EARG, "frame: aggregation '%s' needs a column", a->name);
  if (!c) return a->column ? RS_EARG : RS_OK;
  if ((numeric && c->type != RS_NUMBER) || (ordered && c->type != RS_NUMBER && c->type != RS_TIME) ||
      (a->what == RS_N_DISTINCT && c->type == RS_LIST))
    return rs_fail(RS_EARG, "frame: aggregation '%s' is not for the %s column '%s'", a->name,
                   rs_column_type_name(c->type), c->name);
  return RS_OK;
}

static rs_status aggregate(rs_column *out, const grouping *g, const rs_aggregation *a) {
  const rs_column *c = a->column ? rs_frame_need(g->frame, a->column) : NULL;
  rs_status status = check_aggregation(a, c);
  if (status != RS_OK) return status;
  if (a->what >= RS_MIN && a->what <= RS_LAST) return pick(out, g, a, c);
  *out = (rs_column){.type = RS_NUMBER, .name = rs_strdup(a->name)};
  if (!out->name) return rs_nomem("frame group_by", strlen(a->name));
  return a->what == RS_N_DISTINCT ? count_distinct(out, g, c) : add_up(out, g, a->what, c);
}

rs_status rs_frame_group_by(rs_frame *out, const rs_frame *f, const char *const *names, int n,
                            const rs_aggregation *aggregations, int n_aggregations) {
  grouping g = {.frame = f, .names = names, .n_names = n};
  rs_frame keys = {0};
  rs_status status = rs_frame_groups(&g.groups, &g.n, f, names, n);
  if (status == RS_OK) status = edge_rows(&g.first, &g.groups, g.n, false);
  if (status == RS_OK) status = rs_frame_select(&keys, f, names, n);
  if (status == RS_OK) status = rs_frame_take(out, &keys, rs_i64(&g.first), g.n);
  for (int i = 0; status == RS_OK && i < n_aggregations; i++) {
    rs_column made = {0};
    status = aggregate(&made, &g, &aggregations[i]);
    if (status == RS_OK) status = rs_frame_add(out, &made);
    rs_column_free(&made);
  }
  rs_frame_free(&keys);
  rs_tensor_free(&g.groups);
  rs_tensor_free(&g.first);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}

/* k-core. */

typedef struct peel {
  const int64_t *users, *items; /* [rows], -1: missing */
  int64_t *user_degree, *item_degree;
  int64_t *alive, n_alive;
} peel;

/* Drop the rows of users or items with fewer than k rows once; whether any was dropped. */
static bool peel_once(peel *p, int64_t k) {
  int64_t kept = 0;
  for (int64_t i = 0; i < p->n_alive; i++) {
    int64_t row = p->alive[i];
    if (p->user_degree[p->users[row]] >= k && p->item_degree[p->items[row]] >= k) p->alive[kept++] = row;
  }
  bool changed = kept < p->n_alive;
  p->n_alive = kept;
  return changed;
}

static void count_degrees(peel *p, int64_t n_users, int64_t n_items) {
  memset(p->user_degree, 0, (size_t)n_users * sizeof(int64_t));
  memset(p->item_degree, 0, (size_t)n_items * sizeof(int64_t));
  for (int64_t i = 0; i < p->n_alive; i++) {
    p->user_degree[p->users[p->alive[i]]]++;
    p->item_degree[p->items[p->alive[i]]]++;
  }
}

static rs_status number_column(rs_tensor *ids, int64_t *n, const rs_frame *f, const char *name) {
  rs_keys keys = {0};
  rs_status status = rs_keys_find(&keys, f, &name, NULL, NULL, 1);
  if (status == RS_OK) status = rs_keys_number(&keys, true, ids, NULL, n);
  rs_keys_free(&keys);
  return status;
}

rs_status rs_frame_k_core(rs_tensor *rows, const rs_frame *f, const char *user, const char *item, int64_t k) {
  rs_tensor users = {0}, items = {0};
  int64_t n_users = 0, n_items = 0, *scratch = NULL;
  rs_status status = number_column(&users, &n_users, f, user);
  if (status == RS_OK) status = number_column(&items, &n_items, f, item);
  if (status == RS_OK) {
    size_t bytes = (size_t)(n_users + n_items + f->rows + 1) * sizeof *scratch;
    scratch = rs_alloc(bytes);
    if (!scratch) status = rs_nomem("k_core", bytes);
  }
  if (status == RS_OK) {
    peel p = {rs_i64(&users), rs_i64(&items), scratch, scratch + n_users, scratch + n_users + n_items, 0};
    for (int64_t i = 0; i < f->rows; i++)
      if (p.users[i] >= 0 && p.items[i] >= 0) p.alive[p.n_alive++] = i;
    do count_degrees(&p, n_users, n_items);
    while (peel_once(&p, k));
    status = rs_tensor_new(rows, RS_I64, 1, &p.n_alive);
    if (status == RS_OK && p.n_alive) memcpy(rs_i64(rows), p.alive, (size_t)p.n_alive * sizeof *p.alive);
  }
  rs_free(scratch);
  rs_tensor_free(&users);
  rs_tensor_free(&items);
  return status;
}
