/* group.c - groups of equal keys: their numbers, one row of each, one row made of each. See frame.h. */
#include <string.h>

#include "base/alloc.h"
#include "frame/aggregate.h"
#include "frame/keys.h"

rs_status rs_frame_groups(rs_tensor *groups, int64_t *n_groups, const rs_frame *f, const char *const *names, int n) {
  rs_keys keys = {0};
  rs_status status = rs_keys_find(&keys, f, names, NULL, NULL, n);
  if (status == RS_OK) status = rs_keys_number(&keys, false, groups, NULL, n_groups);
  rs_keys_free(&keys);
  return status;
}

/* mask[row] = 1 for the first row of each group in the given order (NULL: row order, -1 backwards). */
static void mark_firsts(uint8_t *mask, uint8_t *seen, const int64_t *group, const int64_t *order, bool last,
                        int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int64_t row = order ? order[i] : last ? n - 1 - i : i;
    mask[row] = !seen[group[row]];
    seen[group[row]] = 1;
  }
}

/* The groups numbered by first appearance: a row is its group's first when it has the next number. */
static void mark_new(uint8_t *mask, const int64_t *group, int64_t n) {
  int64_t next = 0;
  for (int64_t i = 0; i < n; i++) {
    mask[i] = group[i] == next;
    next += mask[i];
  }
}

rs_status rs_frame_distinct(rs_tensor *rows, const rs_frame *f, const char *const *names, int n, bool last,
                            const rs_sort_key *best, int n_best) {
  rs_tensor groups = {0}, order = {0};
  int64_t n_groups = 0;
  uint8_t *mask = NULL;
  rs_status status = rs_frame_groups(&groups, &n_groups, f, names, n);
  if (status == RS_OK && n_best > 0) status = rs_frame_sort(&order, f, best, n_best);
  if (status == RS_OK) {
    size_t bytes = (size_t)(f->rows + n_groups);
    mask = rs_alloc_zero(bytes);
    if (!mask) status = rs_nomem("frame distinct", bytes);
  }
  if (status == RS_OK) {
    if (last || n_best > 0)
      mark_firsts(mask, mask + f->rows, rs_i64(&groups), n_best > 0 ? rs_i64(&order) : NULL, last, f->rows);
    else
      mark_new(mask, rs_i64(&groups), f->rows);
    status = rs_rows_of_mask(rows, mask, f->rows);
  }
  rs_free(mask);
  rs_tensor_free(&order);
  rs_tensor_free(&groups);
  return status;
}

/* The key columns' values of each group: of its first row. */
static rs_status take_keys(rs_frame *out, const rs_grouping *g) {
  rs_tensor first = {0};
  rs_frame keys = {0};
  rs_status status = rs_tensor_new(&first, RS_I64, 1, &g->groups.n);
  if (status == RS_OK)
    for (int64_t i = 0; i < g->groups.n; i++) rs_i64(&first)[i] = g->groups.rows[g->groups.starts[i]];
  if (status == RS_OK) status = rs_frame_select(&keys, g->frame, g->names, g->n_names);
  if (status == RS_OK) status = rs_frame_take(out, &keys, rs_i64(&first), g->groups.n);
  rs_frame_free(&keys);
  rs_tensor_free(&first);
  return status;
}

rs_status rs_frame_group_by(rs_frame *out, const rs_frame *f, const char *const *names, int n,
                            const rs_aggregation *aggregations, int n_aggregations) {
  rs_grouping g = {.frame = f, .names = names, .n_names = n};
  int64_t n_groups = 0;
  rs_status status = rs_frame_groups(&g.ids, &n_groups, f, names, n);
  if (status == RS_OK) status = rs_groups_of(&g.groups, rs_i64(&g.ids), f->rows, n_groups);
  if (status == RS_OK) status = take_keys(out, &g);
  for (int i = 0; status == RS_OK && i < n_aggregations; i++) {
    rs_column made = {0};
    status = rs_aggregate_column(&made, &g, &aggregations[i]);
    if (status == RS_OK) status = rs_frame_add(out, &made);
    rs_column_free(&made);
  }
  rs_groups_free(&g.groups);
  rs_tensor_free(&g.ids);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
