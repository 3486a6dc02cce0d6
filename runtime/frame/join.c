/* join.c - rows of two frames with equal keys. See frame.h.
 *
 * The keys of both frames become numbers of one range, the right rows are listed by number in their order, and the left
 * rows are looked up chunk by chunk: counted first, then written behind one another. */
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/keys.h"
#include "frame/partition.h"

typedef struct matches {
  rs_tensor left, right; /* key numbers i64 [rows], -1: a key is missing */
  rs_groups groups;      /* the right rows of each key number */
} matches;

static void matches_free(matches *m) {
  rs_tensor_free(&m->left);
  rs_tensor_free(&m->right);
  rs_groups_free(&m->groups);
}

static rs_status find_matches(matches *m, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                              const char *const *right_names, int n) {
  rs_keys keys = {0};
  int64_t n_ids = 0;
  rs_status status = rs_keys_find(&keys, left, left_names, right, right_names, n);
  if (status == RS_OK) status = rs_keys_index(&keys, true, &m->left, &m->right, &n_ids);
  rs_keys_free(&keys);
  return status == RS_OK ? rs_groups_of(&m->groups, rs_i64(&m->right), right->rows, n_ids) : status;
}

/* The rows of the result, made chunk by chunk of left rows. */
typedef struct pairing {
  const matches *m;
  const int64_t *ids; /* of the left rows */
  rs_join how;
  int64_t *counts; /* rows that each chunk makes, then where they begin */
  int64_t *left_rows, *right_rows;
} pairing;

static inline int64_t count_of(const pairing *p, int64_t row) {
  int64_t id = p->ids[row];
  return id < 0 ? 0 : p->m->groups.starts[id + 1] - p->m->groups.starts[id];
}

/* How many rows of the result a left row with n matches makes. */
static inline int64_t yield_of(rs_join how, int64_t n) {
  return how == RS_INNER ? n : how == RS_LEFT ? (n ? n : 1) : how == RS_SEMI ? n > 0 : n == 0;
}

static void count_pairs(void *context, int64_t begin, int64_t end) {
  const pairing *p = context;
  int64_t total = 0;
  for (int64_t i = begin; i < end; i++) total += yield_of(p->how, count_of(p, i));
  p->counts[begin / RS_ROW_GRAIN] = total;
}

static void write_pairs(void *context, int64_t begin, int64_t end) {
  const pairing *p = context;
  int64_t at = p->counts[begin / RS_ROW_GRAIN];
  for (int64_t i = begin; i < end; i++) {
    int64_t matched = count_of(p, i), n = yield_of(p->how, matched);
    const int64_t *rows = matched ? p->m->groups.rows + p->m->groups.starts[p->ids[i]] : NULL;
    for (int64_t j = 0; j < n; j++, at++) {
      p->left_rows[at] = i;
      p->right_rows[at] = rows ? rows[j] : -1;
    }
  }
}

static rs_status pair_rows(rs_tensor *left_rows, rs_tensor *right_rows, const matches *m, int64_t rows, rs_join how) {
  int64_t chunks = (rows + RS_ROW_GRAIN - 1) / RS_ROW_GRAIN, total = 0;
  size_t bytes = (size_t)chunks * sizeof(int64_t);
  pairing p = {.m = m, .ids = rs_i64(&m->left), .how = how, .counts = rs_alloc(bytes)};
  if (!p.counts) return rs_nomem("frame join", bytes);
  rs_parallel_for(rows, RS_ROW_GRAIN, count_pairs, &p);
  for (int64_t c = 0; c < chunks; c++) {
    int64_t count = p.counts[c];
    p.counts[c] = total;
    total += count;
  }
  rs_status status = rs_tensor_new(left_rows, RS_I64, 1, &total);
  if (status == RS_OK) status = rs_tensor_new(right_rows, RS_I64, 1, &total);
  if (status == RS_OK) {
    p.left_rows = rs_i64(left_rows);
    p.right_rows = rs_i64(right_rows);
    rs_parallel_for(rows, RS_ROW_GRAIN, write_pairs, &p);
  }
  rs_free(p.counts);
  return status;
}

typedef struct finding {
  const matches *m;
  const int64_t *ids;
  int64_t *rows;
} finding;

static void find_firsts(void *context, int64_t begin, int64_t end) {
  const finding *f = context;
  const rs_groups *g = &f->m->groups;
  for (int64_t i = begin; i < end; i++) {
    int64_t id = f->ids[i];
    f->rows[i] = id < 0 || g->starts[id] == g->starts[id + 1] ? -1 : g->rows[g->starts[id]];
  }
}

rs_status rs_frame_lookup(rs_tensor *rows, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                          const char *const *right_names, int n) {
  matches m = {0};
  rs_status status = find_matches(&m, left, right, left_names, right_names, n);
  if (status == RS_OK) status = rs_tensor_new(rows, RS_I64, 1, &left->rows);
  if (status == RS_OK) {
    finding f = {&m, rs_i64(&m.left), rs_i64(rows)};
    rs_parallel_for(left->rows, RS_ROW_GRAIN, find_firsts, &f);
  }
  matches_free(&m);
  return status;
}

static bool is_among(const char *name, const char *const *names, int n) {
  for (int i = 0; i < n; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

rs_status rs_frame_append(rs_frame *out, const rs_frame *right, const char *const *keys, int n, const rs_tensor *rows) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < right->n_columns; i++) {
    const rs_column *c = &right->columns[i];
    if (is_among(c->name, keys, n)) continue;
    if (rs_frame_column(out, c->name))
      return rs_fail(RS_EARG, "frame: both sides of the join have a column '%s': rename one", c->name);
    rs_column made = {0};
    status = rs_column_take(&made, c, rs_i64(rows), rows->size[0]);
    if (status == RS_OK) status = rs_frame_add(out, &made);
    rs_column_free(&made);
  }
  return status;
}

rs_status rs_frame_join(rs_frame *out, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                        const char *const *right_names, int n, rs_join how) {
  matches m = {0};
  rs_tensor left_rows = {0}, right_rows = {0};
  rs_status status = find_matches(&m, left, right, left_names, right_names, n);
  if (status == RS_OK) status = pair_rows(&left_rows, &right_rows, &m, left->rows, how);
  matches_free(&m);
  if (status == RS_OK) status = rs_frame_take(out, left, rs_i64(&left_rows), left_rows.size[0]);
  if (status == RS_OK && (how == RS_INNER || how == RS_LEFT))
    status = rs_frame_append(out, right, right_names, n, &right_rows);
  rs_tensor_free(&left_rows);
  rs_tensor_free(&right_rows);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
