/* join.c - rows of two frames with equal keys. See frame.h.
 *
 * The keys of both frames are numbered together; a counting sort of the right rows by number then gives, for each
 * left row, its matches in the right frame's order. */
#include <string.h>

#include "base/alloc.h"
#include "frame/keys.h"

/* The right rows of each key number: rows[starts[id] .. starts[id + 1]). */
typedef struct matches {
  rs_tensor left, right; /* key numbers i64 [rows], -1: a key is missing */
  int64_t *starts, *rows;
} matches;

static void matches_free(matches *m) {
  rs_tensor_free(&m->left);
  rs_tensor_free(&m->right);
  rs_free(m->starts);
}

static rs_status find_matches(matches *m, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                              const char *const *right_names, int n) {
  rs_keys keys = {0};
  int64_t n_ids = 0;
  rs_status status = rs_keys_find(&keys, left, left_names, right, right_names, n);
  if (status == RS_OK) status = rs_keys_number(&keys, true, &m->left, &m->right, &n_ids);
  rs_keys_free(&keys);
  if (status != RS_OK) return status;
  size_t bytes = (size_t)(n_ids + 2 + right->rows) * sizeof(int64_t);
  m->starts = rs_alloc_zero(bytes);
  if (!m->starts) return rs_nomem("frame join", bytes);
  m->rows = m->starts + n_ids + 2;
  const int64_t *id = rs_i64(&m->right);
  for (int64_t i = 0; i < right->rows; i++)
    if (id[i] >= 0) m->starts[id[i] + 2]++;
  for (int64_t i = 2; i <= n_ids + 1; i++) m->starts[i] += m->starts[i - 1];
  for (int64_t i = 0; i < right->rows; i++) /* starts[id + 1] runs from the list's begin to its end */
    if (id[i] >= 0) m->rows[m->starts[id[i] + 1]++] = i;
  return RS_OK;
}

static int64_t count_of(const matches *m, int64_t left_row) {
  int64_t id = rs_i64(&m->left)[left_row];
  return id < 0 ? 0 : m->starts[id + 1] - m->starts[id];
}

static int64_t match_of(const matches *m, int64_t left_row, int64_t i) {
  return m->rows[m->starts[rs_i64(&m->left)[left_row]] + i];
}

rs_status rs_frame_lookup(rs_tensor *rows, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                          const char *const *right_names, int n) {
  matches m = {0};
  rs_status status = find_matches(&m, left, right, left_names, right_names, n);
  if (status == RS_OK) status = rs_tensor_new(rows, RS_I64, 1, &left->rows);
  for (int64_t i = 0; status == RS_OK && i < left->rows; i++)
    rs_i64(rows)[i] = count_of(&m, i) ? match_of(&m, i, 0) : -1;
  matches_free(&m);
  return status;
}

/* How many rows of the result a left row makes. */
static int64_t yield_of(const matches *m, int64_t left_row, rs_join how) {
  int64_t n = count_of(m, left_row);
  return how == RS_INNER ? n : how == RS_LEFT ? (n ? n : 1) : how == RS_SEMI ? n > 0 : n == 0;
}

/* The left and right rows of the result. */
static rs_status pair_rows(rs_tensor *left_rows, rs_tensor *right_rows, const matches *m, int64_t rows, rs_join how) {
  int64_t total = 0, at = 0;
  for (int64_t i = 0; i < rows; i++) total += yield_of(m, i, how);
  rs_status status = rs_tensor_new(left_rows, RS_I64, 1, &total);
  if (status == RS_OK) status = rs_tensor_new(right_rows, RS_I64, 1, &total);
  for (int64_t i = 0; status == RS_OK && i < rows; i++) {
    int64_t n = yield_of(m, i, how);
    for (int64_t j = 0; j < n; j++, at++) {
      rs_i64(left_rows)[at] = i;
      rs_i64(right_rows)[at] = count_of(m, i) ? match_of(m, i, j) : -1;
    }
  }
  return status;
}

static bool is_among(const char *name, const char *const *names, int n) {
  for (int i = 0; i < n; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

static rs_status append_right(rs_frame *out, const rs_frame *right, const char *const *keys, int n,
                              const rs_tensor *rows) {
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
  if (status == RS_OK) status = rs_frame_take(out, left, rs_i64(&left_rows), left_rows.size[0]);
  if (status == RS_OK && (how == RS_INNER || how == RS_LEFT))
    status = append_right(out, right, right_names, n, &right_rows);
  matches_free(&m);
  rs_tensor_free(&left_rows);
  rs_tensor_free(&right_rows);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
