/* window.c - see window.h. */
#include "metrics/window.h"

#include <stdlib.h>

#include "base/alloc.h"

struct rs_window {
  rs_events events;
  int64_t length;
  int64_t begin, end; /* the events counted now */
  int32_t *counts;    /* [groups, items] */
};

static rs_status check_events(const rs_events *e, int64_t length) {
  if (length < 0) return rs_fail(RS_EARG, "window: its length %lld ms is negative", (long long)length);
  for (int64_t i = 0; i < e->n; i++) {
    if (i > 0 && e->time[i] < e->time[i - 1])
      return rs_fail(RS_EARG, "window: event %lld is earlier than the one before it", (long long)i);
    if (e->item[i] < 0 || e->item[i] >= e->items)
      return rs_fail(RS_ERANGE, "window: event %lld is on item row %d of %lld", (long long)i, (int)e->item[i],
                     (long long)e->items);
    if (e->group && (e->group[i] < 0 || e->group[i] >= e->groups))
      return rs_fail(RS_ERANGE, "window: event %lld is of group %d of %lld", (long long)i, (int)e->group[i],
                     (long long)e->groups);
  }
  return RS_OK;
}

rs_status rs_window_new(rs_window **out, const rs_events *events, int64_t length) {
  *out = NULL;
  rs_status status = check_events(events, length);
  if (status != RS_OK) return status;
  rs_window *w = rs_alloc_zero(sizeof *w);
  if (!w) return rs_nomem("window", sizeof *w);
  w->events = *events;
  if (!events->group) w->events.groups = 1;
  w->length = length;
  size_t bytes = (size_t)w->events.groups * (size_t)events->items * sizeof *w->counts;
  w->counts = rs_alloc_zero(bytes);
  if (!w->counts) {
    rs_window_free(w);
    return rs_nomem("window", bytes);
  }
  *out = w;
  return RS_OK;
}

void rs_window_free(rs_window *w) {
  if (!w) return;
  rs_free(w->counts);
  rs_free(w);
}

/* The first event at or after 't'. */
static int64_t first_at(const rs_events *e, int64_t t) {
  int64_t at = 0, n = e->n;
  while (n > 0) {
    int64_t half = n / 2;
    if (e->time[at + half] < t) {
      at += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return at;
}

static int32_t *cell(const rs_window *w, int64_t event) {
  int64_t group = w->events.group ? w->events.group[event] : 0;
  return w->counts + group * w->events.items + w->events.item[event];
}

static void move_to(rs_window *w, int64_t t) {
  int64_t end = first_at(&w->events, t), begin = 0;
  if (w->length > 0) begin = t < INT64_MIN + w->length ? 0 : first_at(&w->events, t - w->length);
  while (w->begin > begin) ++*cell(w, --w->begin);
  while (w->end < end) ++*cell(w, w->end++);
  while (w->begin < begin) --*cell(w, w->begin++);
  while (w->end > end) --*cell(w, --w->end);
}

typedef struct timed {
  int64_t time, query;
} timed;

static int earlier(const void *a, const void *b) {
  const timed *x = a, *y = b;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  return (x->query > y->query) - (x->query < y->query);
}

rs_status rs_window_counts(rs_window *w, int64_t n, const int64_t *time, const int32_t *group, float *scores) {
  int64_t items = w->events.items;
  for (int64_t i = 0; group && i < n; i++)
    if (group[i] < 0 || group[i] >= w->events.groups)
      return rs_fail(RS_ERANGE, "window: query %lld is of group %d of %lld", (long long)i, (int)group[i],
                     (long long)w->events.groups);
  timed *order = rs_alloc((size_t)n * sizeof *order);
  if (!order) return rs_nomem("window", (size_t)n * sizeof *order);
  for (int64_t i = 0; i < n; i++) order[i] = (timed){time[i], i};
  qsort(order, (size_t)n, sizeof *order, earlier);
  for (int64_t i = 0; i < n; i++) {
    int64_t query = order[i].query, first = group ? group[query] : 0, last = group ? first : w->events.groups - 1;
    float *row = scores + query * items;
    move_to(w, order[i].time);
    for (int64_t k = 0; k < items; k++) row[k] = (float)w->counts[first * items + k];
    for (int64_t g = first + 1; g <= last; g++)
      for (int64_t k = 0; k < items; k++) row[k] += (float)w->counts[g * items + k];
  }
  rs_free(order);
  return RS_OK;
}
