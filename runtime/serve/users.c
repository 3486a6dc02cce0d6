/* users.c - the best items of many known users at one moment: the truth that a single request equals to the bit. The
 * exact engine's answers are those of rs_topk, which is faster for many; those of a graph are asked of it, one by one. */
#include <string.h>

#include "base/alloc.h"
#include "base/bitmap.h"
#include "base/lists.h"
#include "retrieval/hnsw.h"
#include "retrieval/topk.h"
#include "serve/moment.h"

/* Known users, whose events lie one behind another. */

typedef struct span {
  int64_t *rows, *begin, *end; /* [n] */
  int32_t *lengths;            /* [n] end - begin */
  rs_sequence events;          /* of the first user on */
  void *copies;                /* of the events, where some users have posted ones */
} span;

/* The users' events as they lie in the bundle. */
static rs_sequence stored_events(const rs_history *h, int64_t first, int64_t n) {
  const int64_t *starts = rs_i64(&h->starts);
  rs_sequence all = rs_history_of(h, first);
  all.n = starts[first + n] - starts[first];
  return all;
}

/* The users' events copied one behind another. */
static rs_status copy_events(span *s, const rs_accumulator *state, int64_t first, int64_t n) {
  int64_t total = 0;
  for (int64_t i = 0; i < n; i++) total += rs_accumulator_of(state, first + i).n;
  size_t size = (size_t)total, bytes = size * (2 * sizeof(int64_t) + 3 * sizeof(int32_t));
  s->copies = rs_alloc(bytes);
  if (!s->copies) return rs_nomem("request", bytes);
  int64_t *times = s->copies, *orders = times + size, at = 0;
  float *weights = (float *)(orders + size);
  int32_t *items = (int32_t *)(weights + size), *marks = items + size;
  for (int64_t i = 0; i < n; i++) {
    rs_sequence mine = rs_accumulator_of(state, first + i);
    for (int64_t e = 0; e < mine.n; e++, at++) {
      times[at] = mine.times[e], orders[at] = mine.orders[e], items[at] = mine.items[e];
      weights[at] = mine.weights ? mine.weights[e] : 1;
      marks[at] = mine.marks ? mine.marks[e] : 0;
    }
  }
  s->events = (rs_sequence){total, items, times, orders, weights, marks};
  return RS_OK;
}

static rs_status new_span(span *s, const rs_server_model *m, int64_t first, int64_t n, int64_t now) {
  size_t bytes = (size_t)n * sizeof(int64_t);
  *s = (span){.rows = rs_alloc(bytes), .begin = rs_alloc(bytes), .end = rs_alloc(bytes), .lengths = rs_alloc(bytes)};
  if (!s->rows || !s->begin || !s->end || !s->lengths) return rs_nomem("request", bytes);
  if (n == 0) return RS_OK;
  rs_status status = RS_OK;
  if (m->state.posted > 0 || m->state.forgotten)
    status = copy_events(s, &m->state, first, n);
  else
    s->events = stored_events(&m->state.base, first, n);
  for (int64_t i = 0, at = 0; i < n; i++) {
    rs_sequence mine = rs_accumulator_of(&m->state, first + i);
    s->rows[i] = first + i;
    s->begin[i] = at;
    s->end[i] = at + rs_sequence_before(&mine, now, -1);
    s->lengths[i] = (int32_t)(s->end[i] - s->begin[i]);
    at += mine.n;
  }
  return status;
}

static void span_free(span *s) {
  rs_free(s->rows);
  rs_free(s->begin);
  rs_free(s->end);
  rs_free(s->lengths);
  rs_free(s->copies);
}

/* Only items created before the moment and at most a window ago; one of unknown age is no candidate. 'times' is room
 * for [2, n]. */
static void set_window(rs_topk_request *request, const rs_moment *at, int64_t *times) {
  int64_t from = rs_window_from(at->model, at->now);
  for (int64_t i = 0; i < at->n; i++) times[i] = from, times[at->n + i] = at->now;
  request->item_time = rs_i64(&at->model->created);
  request->from = times;
  request->to = times + at->n;
}

/* The items of the window as a bitmap, as a request has them; NULL where there is none. */
static rs_status window_bitmap(const rs_moment *at, uint64_t **out) {
  const rs_server_model *m = at->model;
  int64_t from = rs_window_from(m, at->now), n = m->vectors.size[0];
  size_t bytes = (size_t)rs_bitmap_words(n) * sizeof **out;
  *out = NULL;
  if (!rs_has_window(m)) return RS_OK;
  if (!(*out = rs_alloc_zero(bytes))) return rs_nomem("request", bytes);
  for (int64_t i = 0; i < n; i++) {
    int64_t created = rs_i64(&m->created)[i];
    if (from <= created && created < at->now) rs_bitmap_set(*out, i);
  }
  return RS_OK;
}

/* The k best of each user as the model's index gives them, be it a graph or columns. */
static rs_status search_graph(const rs_moment *at, const rs_tensor *vectors, const rs_lists *seen, int64_t k,
                              rs_tensor *rows, rs_tensor *scores) {
  const rs_server_model *m = at->model;
  int64_t each = vectors->ndim == 3 ? vectors->size[1] : 1;
  size_t bytes = (size_t)at->n * sizeof(rs_index_query);
  uint64_t *allow = NULL;
  rs_index_stats stats;
  rs_index_query *queries = rs_alloc_zero(bytes);
  if (!queries) return rs_nomem("request", bytes);
  rs_status status = window_bitmap(at, &allow);
  for (int64_t i = 0; status == RS_OK && i < at->n; i++) {
    queries[i] = (rs_index_query){.k = k, .allow = allow, .vectors = each};
    queries[i].query = rs_f32(vectors) + i * each * m->width;
    if (seen->n > 0) queries[i].excluded = rs_lists_at(seen, i, &queries[i].n_excluded);
  }
  if (status == RS_OK) status = rs_index_search_many(m->index, queries, at->n, rows, scores, &stats);
  rs_free(allow);
  rs_free(queries);
  return status;
}

/* The k best of each user as rs_topk gives them. */
static rs_status search(const rs_moment *at, const rs_lists *seen, int64_t k, rs_tensor *rows, rs_tensor *scores) {
  const rs_server_model *m = at->model;
  rs_tensor vectors = {0};
  size_t bytes = (size_t)at->n * 2 * sizeof(int64_t);
  int64_t *times = rs_alloc(bytes);
  if (!times) return rs_nomem("request", bytes);
  int filled;
  rs_status status = rs_moment_vectors(at, &vectors, &filled);
  if (status == RS_OK && (m->columns_of || rs_hnsw_of(m->index))) {
    status = search_graph(at, &vectors, seen, k, rows, scores);
  } else if (status == RS_OK) {
    rs_topk_request request = {.users = rs_f32(&vectors),
                               .items = rs_f32(&m->vectors),
                               .queries = at->n,
                               .n_items = m->vectors.size[0],
                               .width = m->vectors.size[1],
                               .vectors = vectors.ndim == 3 ? vectors.size[1] : 1,
                               .k = k,
                               .excluded = *seen};
    if (rs_has_window(m)) set_window(&request, at, times);
    status = rs_topk(rows, scores, &request);
  }
  status = rs_blame_bundle(status);
  rs_tensor_free(&vectors);
  rs_free(times);
  return status;
}

/* Some users at once. */
static rs_status recommend_some(const rs_server_model *m, int64_t first, int64_t n, int64_t now, int64_t k,
                                bool exclude_seen, rs_tensor *rows, rs_tensor *scores) {
  span s = {0};
  rs_status status = new_span(&s, m, first, n, now);
  if (status == RS_OK) {
    rs_lists seen = {0};
    rs_moment at = {.model = m,
                    .features = &m->users,
                    .rows = s.rows,
                    .fields = &m->moments,
                    .n = n,
                    .now = now,
                    .events = s.events,
                    .begin = s.begin,
                    .end = s.end};
    if (exclude_seen) seen = (rs_lists){n, s.begin, s.lengths, s.events.items, s.events.n};
    status = search(&at, &seen, k, rows, scores);
  }
  span_free(&s);
  return status;
}

enum { NUMBERS = 16 << 20 }; /* of users' rows at once, where these are as long as the catalogue */

rs_status rs_recommend_users(const rs_server_model *m, int64_t first, int64_t n, int64_t now, int64_t k,
                             bool exclude_seen, rs_tensor *rows, rs_tensor *scores) {
  if (first < 0 || n < 0 || first > m->user_ids->n - n)
    return rs_fail(RS_ERANGE, "users %lld to %lld of %lld", (long long)first, (long long)(first + n - 1),
                   (long long)m->user_ids->n);
  int64_t part = m->columns_of ? NUMBERS / m->width + 1 : n;
  rs_status status = rs_check_k(k);
  now = rs_moment_of(m, now);
  if (status != RS_OK || part >= n)
    return status == RS_OK ? recommend_some(m, first, n, now, k, exclude_seen, rows, scores) : status;
  status = rs_tensor_new(rows, RS_I64, 2, (int64_t[]){n, k});
  if (status == RS_OK) status = rs_tensor_new(scores, RS_F32, 2, (int64_t[]){n, k});
  for (int64_t at = 0; status == RS_OK && at < n; at += part) {
    int64_t some = n - at < part ? n - at : part;
    rs_tensor some_rows = {0}, some_scores = {0};
    status = recommend_some(m, first + at, some, now, k, exclude_seen, &some_rows, &some_scores);
    if (status == RS_OK) memcpy(rs_i64(rows) + at * k, rs_i64(&some_rows), rs_tensor_bytes(&some_rows));
    if (status == RS_OK) memcpy(rs_f32(scores) + at * k, rs_f32(&some_scores), rs_tensor_bytes(&some_scores));
    rs_tensor_free(&some_rows);
    rs_tensor_free(&some_scores);
  }
  if (status != RS_OK) {
    rs_tensor_free(rows);
    rs_tensor_free(scores);
  }
  return status;
}
