/* sequences.c - see sequences.h. A counting sort, which keeps the order within a user. */
#include "metrics/sequences.h"

#include "base/alloc.h"

static int64_t row_at(const int64_t *rows, int64_t i) { return rows ? rows[i] : i; }

static rs_status check_events(const int64_t *user, const int64_t *item, int64_t n, int64_t users, const int64_t *rows,
                              int64_t n_rows) {
  for (int64_t i = 0; i < n_rows; i++) {
    int64_t row = row_at(rows, i);
    if (row < 0 || row >= n)
      return rs_fail(RS_ERANGE, "sequences: event row %lld is outside 0..%lld", (long long)row, (long long)n - 1);
    if (user[row] < 0 || user[row] >= users)
      return rs_fail(RS_ERANGE, "sequences: event %lld is of user row %lld of %lld", (long long)row,
                     (long long)user[row], (long long)users);
    if (item[row] < 0 || item[row] > INT32_MAX)
      return rs_fail(RS_ERANGE, "sequences: event %lld is on item row %lld", (long long)row, (long long)item[row]);
  }
  return RS_OK;
}

/* 'lengths' holds 0; it serves as the place of the next event while they are laid out. */
static void lay_out(rs_sequences *s, const int64_t *user, const int64_t *item, int64_t users, const int64_t *rows,
                    int64_t n_rows) {
  int64_t *starts = rs_i64(&s->starts), *order = rs_i64(&s->rows), at = 0;
  int32_t *lengths = rs_i32(&s->lengths), *items = rs_i32(&s->items);
  for (int64_t i = 0; i < n_rows; i++) lengths[user[row_at(rows, i)]]++;
  for (int64_t u = 0; u < users; u++) {
    starts[u] = at;
    at += lengths[u];
    lengths[u] = 0;
  }
  for (int64_t i = 0; i < n_rows; i++) {
    int64_t row = row_at(rows, i), place = starts[user[row]] + lengths[user[row]]++;
    items[place] = (int32_t)item[row];
    order[place] = row;
  }
}

rs_status rs_sequences_new(rs_sequences *out, const int64_t *user, const int64_t *item, int64_t n, int64_t users,
                           const int64_t *rows, int64_t n_rows) {
  *out = (rs_sequences){0};
  if (!rows) n_rows = n;
  if (n_rows > INT32_MAX)
    return rs_fail(RS_EARG, "sequences: %lld events; at most 2147483647 are served", (long long)n_rows);
  rs_status status = check_events(user, item, n, users, rows, n_rows);
  if (status == RS_OK) status = rs_tensor_zeros(&out->starts, RS_I64, 1, &users);
  if (status == RS_OK) status = rs_tensor_zeros(&out->lengths, RS_I32, 1, &users);
  if (status == RS_OK) status = rs_tensor_zeros(&out->items, RS_I32, 1, &n_rows);
  if (status == RS_OK) status = rs_tensor_zeros(&out->rows, RS_I64, 1, &n_rows);
  if (status == RS_OK)
    lay_out(out, user, item, users, rows, n_rows);
  else
    rs_sequences_free(out);
  return status;
}

void rs_sequences_free(rs_sequences *s) {
  rs_tensor_free(&s->starts);
  rs_tensor_free(&s->lengths);
  rs_tensor_free(&s->items);
  rs_tensor_free(&s->rows);
}

static rs_status check_times(const rs_sequences *s, const int64_t *time) {
  const int64_t *rows = rs_i64(&s->rows), *starts = rs_i64(&s->starts);
  const int32_t *lengths = rs_i32(&s->lengths);
  for (int64_t u = 0; u < s->starts.size[0]; u++)
    for (int64_t i = starts[u] + 1; i < starts[u] + lengths[u]; i++)
      if (time[rows[i]] < time[rows[i - 1]])
        return rs_fail(RS_EARG, "sequences: event %lld of user row %lld is earlier than the one before it",
                       (long long)rows[i], (long long)u);
  return RS_OK;
}

rs_status rs_sequences_before(const rs_sequences *s, const int64_t *time, int64_t queries, const int64_t *user,
                              const int64_t *at, int64_t *starts, int32_t *lengths) {
  const int64_t *runs = rs_i64(&s->starts), *order = rs_i64(&s->rows), users = s->starts.size[0];
  const int32_t *run_lengths = rs_i32(&s->lengths);
  rs_status status = check_times(s, time);
  if (status != RS_OK) return status;
  for (int64_t q = 0; q < queries; q++) {
    if (user[q] < 0 || user[q] >= users)
      return rs_fail(RS_ERANGE, "sequences: query %lld is of user row %lld of %lld", (long long)q, (long long)user[q],
                     (long long)users);
    const int64_t *rows = order + runs[user[q]];
    int32_t low = 0, high = run_lengths[user[q]];
    while (low < high) {
      int32_t middle = low + (high - low) / 2;
      if (time[rows[middle]] < at[q])
        low = middle + 1;
      else
        high = middle;
    }
    starts[q] = runs[user[q]];
    lengths[q] = low;
  }
  return RS_OK;
}
