/* softmax_pairs.c - see softmax_pairs.h. Two stable counting sorts: by class and column, then by row. */
#include "nn/softmax_pairs.h"

#include <string.h>

#include "base/alloc.h"

static rs_status check_range(const int64_t *values, int64_t n, int64_t limit, const char *what) {
  for (int64_t t = 0; values && t < n; t++)
    if (values[t] < 0 || values[t] >= limit)
      return rs_fail(RS_ERANGE, "in_batch_softmax: %s holds %lld, outside 0 to %lld", what, (long long)values[t],
                     (long long)limit - 1);
  return RS_OK;
}

/* One block for all arrays. */
static rs_status make_room(rs_softmax_pairs *p, bool codes) {
  p->n_slots = 0;
  if (codes)
    for (p->n_slots = 16; p->n_slots < 2 * p->m;) p->n_slots *= 2;
  size_t bytes = (size_t)(p->r + 1) * sizeof(int64_t) +
                 (size_t)(2 * p->n + 3 * p->m + p->n_slots) * sizeof(int32_t);
  p->block = rs_alloc(bytes);
  if (!p->block) return rs_nomem("in_batch_softmax", bytes);
  p->start = p->block;
  p->event = (int32_t *)(p->start + p->r + 1);
  p->column = p->event + p->n;
  p->count = p->column + p->n;
  p->first = p->count + p->m;
  p->next = p->first + p->m;
  if (codes) p->slots = p->next + p->m;
  return RS_OK;
}

static int64_t slot_of(const rs_softmax_pairs *p, int64_t code) {
  uint64_t hash = (uint64_t)code * UINT64_C(0x9E3779B97F4A7C15);
  int64_t at = (int64_t)(hash >> 32) & (p->n_slots - 1);
  while (p->slots[at] >= 0 && p->codes[p->slots[at]] != code) at = (at + 1) & (p->n_slots - 1);
  return at;
}

int32_t rs_softmax_pairs_find(const rs_softmax_pairs *pairs, int64_t code) {
  return pairs->slots[slot_of(pairs, code)];
}

/* Chains of columns of one code, ascending; from the last column on, so that a slot ends with the first. */
static void link_columns(rs_softmax_pairs *p) {
  for (int64_t j = 0; j < p->m; j++) {
    p->first[j] = (int32_t)j;
    p->next[j] = -1;
  }
  if (!p->slots) return;
  memset(p->slots, -1, (size_t)p->n_slots * sizeof *p->slots);
  for (int64_t j = p->m - 1; j >= 0; j--) {
    int64_t at = slot_of(p, p->codes[j]);
    p->next[j] = p->slots[at];
    p->slots[at] = (int32_t)j;
  }
  for (int64_t j = 0; j < p->m; j++)
    if (p->next[j] >= 0) p->first[p->next[j]] = p->first[j];
}

static void count_columns(rs_softmax_pairs *p, const int64_t *columns) {
  memset(p->count, 0, (size_t)p->m * sizeof *p->count);
  for (int64_t t = 0; t < p->n; t++) p->count[columns ? columns[t] : t]++;
}

/* Events by class, then column: into 'order'. */
static rs_status sort_by_class(const rs_softmax_pairs *p, const int64_t *columns, bool merge, int32_t *order) {
  size_t bytes = (size_t)p->m * sizeof(int32_t);
  int32_t *place = rs_alloc(bytes);
  if (!place) return rs_nomem("in_batch_softmax", bytes);
  int32_t total = 0;
  for (int64_t j = 0; j < p->m; j++) {
    if (merge && p->first[j] != j) continue;
    for (int64_t c = j; c >= 0; c = merge ? p->next[c] : -1) {
      place[c] = total;
      total += p->count[c];
    }
  }
  for (int64_t t = 0; t < p->n; t++) order[place[columns ? columns[t] : t]++] = (int32_t)t;
  rs_free(place);
  return RS_OK;
}

/* 'order' by row, keeping the order within a row. */
static void sort_by_row(rs_softmax_pairs *p, const int64_t *rows, const int64_t *columns, const int32_t *order) {
  memset(p->start, 0, (size_t)(p->r + 1) * sizeof *p->start);
  for (int64_t t = 0; t < p->n; t++) p->start[rows ? rows[t] : t]++;
  int64_t total = 0;
  for (int64_t i = 0; i <= p->r; i++) {
    int64_t here = p->start[i];
    p->most = here > p->most ? here : p->most;
    p->start[i] = total;
    total += here;
  }
  for (int64_t at = 0; at < p->n; at++) {
    int64_t t = order[at], to = p->start[rows ? rows[t] : t]++;
    p->event[to] = (int32_t)t;
    p->column[to] = (int32_t)(columns ? columns[t] : t);
  }
  for (int64_t i = p->r; i > 0; i--) p->start[i] = p->start[i - 1];
  p->start[0] = 0;
}

rs_status rs_softmax_pairs_new(rs_softmax_pairs *out, int64_t n, int64_t r, int64_t m, const int64_t *rows,
                               const int64_t *columns, const int64_t *codes, bool merge) {
  rs_softmax_pairs p = {.n = n, .r = r, .m = m, .codes = codes};
  if (n > INT32_MAX || m > INT32_MAX) return rs_fail(RS_ESHAPE, "in_batch_softmax: a batch of over 2^31 - 1");
  rs_status status = check_range(rows, n, r, "rows");
  if (status == RS_OK) status = check_range(columns, n, m, "columns");
  if (status == RS_OK) status = make_room(&p, codes != NULL);
  if (status != RS_OK) return status;
  link_columns(&p);
  count_columns(&p, columns);
  size_t bytes = (size_t)n * sizeof(int32_t);
  int32_t *order = rs_alloc(bytes);
  status = order ? sort_by_class(&p, columns, merge && codes, order) : rs_nomem("in_batch_softmax", bytes);
  if (status == RS_OK) sort_by_row(&p, rows, columns, order);
  rs_free(order);
  if (status != RS_OK) {
    rs_softmax_pairs_free(&p);
    return status;
  }
  for (int64_t j = 0; j < m; j++) p.count[j] += p.count[j] == 0;
  *out = p;
  return RS_OK;
}

void rs_softmax_pairs_free(rs_softmax_pairs *pairs) {
  rs_free(pairs->block);
  *pairs = (rs_softmax_pairs){0};
}
