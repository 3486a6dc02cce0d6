/* history.c - a counting sort by user of interactions that are nearly always sorted by time already. */
#include "frame/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { READ_GRAIN = 8192 };

typedef struct event {
  int64_t time, order;
  int32_t item;
} event;

static int by_moment(const void *left, const void *right) {
  const event *a = left, *b = right;
  if (a->time != b->time) return a->time < b->time ? -1 : 1;
  return (a->order > b->order) - (a->order < b->order);
}

static rs_status allocate(rs_history *h, int64_t events, const rs_interactions *x) {
  int64_t size = h->users + 1;
  rs_status status = rs_tensor_zeros(&h->starts, RS_I64, 1, &size);
  if (status == RS_OK) status = rs_tensor_new(&h->items, RS_I32, 1, &events);
  if (status == RS_OK) status = rs_tensor_new(&h->times, RS_I64, 1, &events);
  if (status == RS_OK) status = rs_tensor_new(&h->orders, RS_I64, 1, &events);
  if (status == RS_OK && x->weights) status = rs_tensor_new(&h->weights, RS_F32, 1, &events);
  if (status == RS_OK && x->marks) status = rs_tensor_new(&h->marks, RS_I32, 1, &events);
  return status;
}

static int64_t known_rows(const rs_interactions *x) { return x->log ? x->n : x->n_rows; }

static int64_t row_at(const rs_interactions *x, int64_t i) { return x->log ? x->log[i] : i; }

/* starts[u + 1] counts user u's events, then becomes where they end. */
static rs_status count_users(rs_history *h, int64_t n_items, const rs_interactions *x) {
  int64_t *starts = rs_i64(&h->starts);
  for (int64_t i = 0; i < known_rows(x); i++) {
    int64_t row = row_at(x, i);
    if (row < 0 || row >= x->n_rows)
      return rs_fail(RS_ERANGE, "history: row %lld of %lld interactions", (long long)row, (long long)x->n_rows);
    int64_t user = x->user_rows[row], item = x->item_rows[row];
    if (user < 0 || user >= h->users || item < 0 || item >= n_items)
      return rs_fail(RS_ERANGE, "history: interaction %lld is of user row %lld of %lld and item row %lld of %lld",
                     (long long)row, (long long)user, (long long)h->users, (long long)item, (long long)n_items);
    starts[user + 1]++;
  }
  for (int64_t u = 0; u < h->users; u++) starts[u + 1] += starts[u];
  return RS_OK;
}

/* Put the events in place, user by user in the order given, then sort the users whose events are not in order. */
static void place_events(rs_history *h, const rs_interactions *x, int64_t *at, event *events) {
  const int64_t *starts = rs_i64(&h->starts);
  memcpy(at, starts, (size_t)h->users * sizeof *at);
  for (int64_t i = 0; i < known_rows(x); i++) {
    int64_t row = row_at(x, i);
    events[at[x->user_rows[row]]++] = (event){x->times[row], row, (int32_t)x->item_rows[row]};
  }
  for (int64_t u = 0; u < h->users; u++) {
    int64_t n = starts[u + 1] - starts[u], sorted = 1;
    event *mine = events + starts[u];
    while (sorted < n && by_moment(&mine[sorted - 1], &mine[sorted]) < 0) sorted++;
    if (sorted < n) qsort(mine, (size_t)n, sizeof *mine, by_moment);
  }
  for (int64_t i = 0; i < known_rows(x); i++) {
    rs_i32(&h->items)[i] = events[i].item;
    rs_i64(&h->times)[i] = events[i].time;
    rs_i64(&h->orders)[i] = events[i].order;
    float weight = x->weights ? x->weights[events[i].order] : 1;
    if (x->weights) rs_f32(&h->weights)[i] = isfinite(weight) ? weight : 1;
    if (x->marks) rs_i32(&h->marks)[i] = x->marks[events[i].order];
  }
}

rs_status rs_history_new(rs_history *out, int64_t users, int64_t items, const rs_interactions *x) {
  int64_t n = known_rows(x);
  *out = (rs_history){.users = users};
  if (items > INT32_MAX) return rs_fail(RS_ERANGE, "history: %lld items are too many", (long long)items);
  size_t bytes = (size_t)n * sizeof(event) + (size_t)users * sizeof(int64_t);
  event *events = rs_alloc(bytes);
  rs_status status = events ? allocate(out, n, x) : rs_nomem("history", bytes);
  if (status == RS_OK) status = count_users(out, items, x);
  if (status == RS_OK) place_events(out, x, (int64_t *)(events + n), events);
  rs_free(events);
  if (status != RS_OK) rs_history_free(out);
  return status;
}

rs_sequence rs_history_of(const rs_history *h, int64_t user) {
  int64_t start = rs_i64(&h->starts)[user];
  return (rs_sequence){.n = rs_i64(&h->starts)[user + 1] - start,
                       .items = rs_i32(&h->items) + start,
                       .times = rs_i64(&h->times) + start,
                       .orders = rs_i64(&h->orders) + start,
                       .weights = h->weights.storage ? rs_f32(&h->weights) + start : NULL,
                       .marks = h->marks.storage ? rs_i32(&h->marks) + start : NULL};
}

int64_t rs_sequence_before(const rs_sequence *s, int64_t time, int64_t order) {
  int64_t low = 0, high = s->n;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (s->times[middle] < time || (s->times[middle] == time && order >= 0 && s->orders[middle] < order))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

int64_t rs_history_before(const rs_history *h, int64_t u, int64_t time, int64_t order) {
  rs_sequence mine = rs_history_of(h, u);
  return rs_sequence_before(&mine, time, order);
}

typedef struct read_work {
  const rs_history *history;
  const int64_t *users, *times, *orders;
  int64_t *begin, *end;
} read_work;

static void read_rows(void *context, int64_t first, int64_t last) {
  const read_work *w = context;
  const int64_t *starts = rs_i64(&w->history->starts);
  for (int64_t i = first; i < last; i++) {
    int64_t user = w->users[i];
    w->begin[i] = starts[user];
    w->end[i] = starts[user] + rs_history_before(w->history, user, w->times[i], w->orders ? w->orders[i] : -1);
  }
}

rs_status rs_history_read(const rs_history *h, int64_t n, const int64_t *users, const int64_t *times,
                          const int64_t *orders, int64_t *begin, int64_t *end) {
  for (int64_t i = 0; i < n; i++)
    if (users[i] < 0 || users[i] >= h->users)
      return rs_fail(RS_ERANGE, "history: user row %lld of %lld", (long long)users[i], (long long)h->users);
  read_work w = {h, users, times, orders, begin, end};
  if (n > READ_GRAIN)
    rs_parallel_for(n, READ_GRAIN, read_rows, &w);
  else
    read_rows(&w, 0, n);
  return RS_OK;
}

rs_status rs_history_tensors(const rs_history *h, rs_tensors *out) {
  rs_status status = rs_tensors_add(out, "starts", &h->starts);
  if (status == RS_OK) status = rs_tensors_add(out, "items", &h->items);
  if (status == RS_OK) status = rs_tensors_add(out, "times", &h->times);
  if (status == RS_OK) status = rs_tensors_add(out, "orders", &h->orders);
  if (status == RS_OK && h->weights.storage) status = rs_tensors_add(out, "weights", &h->weights);
  if (status == RS_OK && h->marks.storage) status = rs_tensors_add(out, "marks", &h->marks);
  return status;
}

/* Share the tensor called 'name' if it is a vector of that dtype. */
static rs_status take(rs_tensor *out, const rs_tensors *tensors, const char *name, rs_dtype dtype) {
  const rs_tensor *t = rs_tensors_find(tensors, name);
  if (!t) return rs_fail(RS_EFORMAT, "history: the tensor '%s' is missing", name);
  if (t->dtype != dtype || t->ndim != 1 || !rs_tensor_is_contiguous(t))
    return rs_fail(RS_EFORMAT, "history: '%s' is %s %s, not a vector of %s", name, rs_dtype_name(t->dtype),
                   rs_shape(t).text, rs_dtype_name(dtype));
  rs_tensor_share(out, t);
  return RS_OK;
}

static rs_status check_extras(const rs_history *h, int64_t n) {
  if ((h->weights.storage && h->weights.size[0] != n) || (h->marks.storage && h->marks.size[0] != n))
    return rs_fail(RS_EFORMAT, "history: not every event has a weight and marks");
  for (int64_t i = 0; h->weights.storage && i < n; i++)
    if (!isfinite(rs_f32(&h->weights)[i])) return rs_fail(RS_EFORMAT, "history: a weight is not finite");
  return RS_OK;
}

static rs_status check(const rs_history *h, int64_t n_items) {
  int64_t n = h->items.size[0];
  if (h->starts.size[0] < 1 || h->times.size[0] != n || h->orders.size[0] != n)
    return rs_fail(RS_EFORMAT, "history: sizes disagree: %lld starts, %lld items, %lld times, %lld orders",
                   (long long)h->starts.size[0], (long long)n, (long long)h->times.size[0],
                   (long long)h->orders.size[0]);
  const int64_t *starts = rs_i64(&h->starts), *times = rs_i64(&h->times), *orders = rs_i64(&h->orders);
  if (starts[0] != 0 || starts[h->users] != n) return rs_fail(RS_EFORMAT, "history: starts do not span the events");
  for (int64_t u = 0; u < h->users; u++)
    if (starts[u + 1] < starts[u]) return rs_fail(RS_EFORMAT, "history: starts fall at user row %lld", (long long)u);
  for (int64_t u = 0; u < h->users; u++)
    for (int64_t i = starts[u] + 1; i < starts[u + 1]; i++)
      if (times[i] < times[i - 1] || (times[i] == times[i - 1] && orders[i] <= orders[i - 1]))
        return rs_fail(RS_EFORMAT, "history: the events of user row %lld are out of order", (long long)u);
  for (int64_t i = 0; i < n; i++)
    if (rs_i32(&h->items)[i] < 0 || rs_i32(&h->items)[i] >= n_items)
      return rs_fail(RS_EFORMAT, "history: item row %d of %lld", (int)rs_i32(&h->items)[i], (long long)n_items);
  return check_extras(h, n);
}

rs_status rs_history_from(rs_history *out, const rs_tensors *tensors, int64_t n_items) {
  rs_status status = take(&out->starts, tensors, "starts", RS_I64);
  if (status == RS_OK) status = take(&out->items, tensors, "items", RS_I32);
  if (status == RS_OK) status = take(&out->times, tensors, "times", RS_I64);
  if (status == RS_OK) status = take(&out->orders, tensors, "orders", RS_I64);
  if (status == RS_OK && rs_tensors_find(tensors, "weights"))
    status = take(&out->weights, tensors, "weights", RS_F32);
  if (status == RS_OK && rs_tensors_find(tensors, "marks")) status = take(&out->marks, tensors, "marks", RS_I32);
  if (status == RS_OK) out->users = out->starts.size[0] - 1;
  if (status == RS_OK) status = check(out, n_items);
  if (status != RS_OK) rs_history_free(out);
  return status;
}

void rs_history_free(rs_history *h) {
  if (!h) return;
  rs_tensor_free(&h->starts);
  rs_tensor_free(&h->items);
  rs_tensor_free(&h->times);
  rs_tensor_free(&h->orders);
  rs_tensor_free(&h->weights);
  rs_tensor_free(&h->marks);
  *h = (rs_history){0};
}
