/* recommend.c - from users at a moment to their best items: encode, run the user plan, search. One path for one user
 * and for all of them; every stage computes a row from that row alone, so the answers have the same bits. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/lists.h"
#include "retrieval/topk.h"
#include "serve/items.h"
#include "serve/loaded.h"

/* Users at one moment: row i of 'features' is user i, whose events so far are events[begin[i] .. end[i]). */
typedef struct moment {
  const rs_server_model *model;
  const rs_features *features;
  const int64_t *rows; /* [n] rows of 'features' and of 'fields' */
  const rs_frame *fields; /* columns "user.x" */
  int64_t n, now;
  rs_sequence events; /* items -1: not in the catalogue; no more than these users': encoding looks at all of them */
  const int64_t *begin, *end; /* [n] */
  rs_lists seen;              /* what is not to be recommended, catalogue rows; n = 0: nothing */
} moment;

/* ---- rows ---- */

static rs_status take_row(const rs_server_model *m, rs_side side, rs_row **row) {
  for (int i = 0; i < RS_SPARE_ROWS; i++)
    if ((*row = atomic_exchange(&m->spare->rows[side][i], NULL))) return RS_OK;
  return rs_row_new(row, m->encoder, side);
}

static void put_back(const rs_server_model *m, rs_side side, rs_row *row) {
  for (int i = 0; row && i < RS_SPARE_ROWS; i++) {
    rs_row *none = NULL;
    if (atomic_compare_exchange_strong(&m->spare->rows[side][i], &none, row)) return;
  }
  rs_row_free(row);
}

/* The event side of the moment. */

static rs_status add_time(rs_frame *frame, const char *name, int64_t n, int64_t now) {
  rs_column time = {.name = rs_strdup(name), .type = RS_TIME};
  rs_status status = time.name ? rs_tensor_new(&time.values, RS_I64, 1, &n) : rs_nomem("request", strlen(name));
  for (int64_t i = 0; status == RS_OK && i < n; i++) rs_i64(&time.values)[i] = now;
  if (status == RS_OK) status = rs_frame_add(frame, &time);
  rs_column_free(&time);
  return status;
}

static rs_status moment_frame(const moment *at, rs_frame *frame) {
  rs_status status = add_time(frame, "time", at->n, at->now);
  for (int i = 0; status == RS_OK && i < at->fields->n_columns; i++) {
    rs_column theirs = {0};
    status = rs_column_take(&theirs, &at->fields->columns[i], at->rows, at->n);
    if (status == RS_OK) status = rs_frame_add(frame, &theirs);
    rs_column_free(&theirs);
  }
  return status;
}

static rs_status gather_first(const rs_features *f, int64_t n, rs_tensors *batch) {
  int64_t *rows = rs_alloc((size_t)n * sizeof *rows);
  if (!rows) return rs_nomem("request", (size_t)n * sizeof *rows);
  for (int64_t i = 0; i < n; i++) rows[i] = i;
  rs_status status = rs_features_gather(f, rows, n, batch);
  rs_free(rows);
  return status;
}

/* The number at a row of a number or time column into field i; a missing one stays missing. */
static rs_status fill_field(rs_row *row, int i, const rs_column *c, int64_t at) {
  if (c->type == RS_TIME && rs_i64(&c->values)[at] == RS_TIME_MISSING) return RS_OK;
  return rs_row_number(row, i, c->type == RS_TIME ? (double)rs_i64(&c->values)[at] : rs_f64(&c->values)[at]);
}

static rs_status fill_moment(rs_row *row, const moment *at) {
  rs_status status = RS_OK;
  rs_row_clear(row);
  for (int i = 0; status == RS_OK && i < rs_row_columns(row); i++) {
    const rs_column *theirs = rs_frame_column(at->fields, rs_row_column(row, i));
    if (theirs)
      status = fill_field(row, i, theirs, at->rows[0]);
    else if (strcmp(rs_row_column(row, i), "time") == 0)
      status = rs_row_number(row, i, (double)at->now);
  }
  return status;
}

/* The event side of one user, over memory of earlier requests. */
static rs_status event_row(const moment *at, rs_tensors *batch) {
  rs_row *row = NULL;
  const rs_features *features;
  rs_events events = {&at->model->items, at->events.items,   at->events.n,     at->begin, at->end,
                      at->events.times,  at->events.weights, at->events.marks, &at->now};
  rs_status status = take_row(at->model, RS_EVENT, &row);
  if (status == RS_OK) status = fill_moment(row, at);
  if (status == RS_OK) status = rs_row_run(row, &events, &features);
  if (status == RS_OK && features->n_outputs > 0) status = gather_first(features, 1, batch);
  put_back(at->model, RS_EVENT, row);
  return status;
}

/* The event side of many. */
static rs_status event_rows(const moment *at, rs_tensors *batch) {
  rs_frame frame = {0};
  rs_features features = {0};
  rs_status status = moment_frame(at, &frame);
  int64_t *now = rs_alloc((size_t)at->n * sizeof *now);
  if (!now && status == RS_OK) status = rs_nomem("request", (size_t)at->n * sizeof *now);
  for (int64_t i = 0; now && i < at->n; i++) now[i] = at->now;
  rs_events events = {&at->model->items, at->events.items, at->events.n,     at->begin, at->end,
                      at->events.times,  at->events.weights, at->events.marks, now};
  if (status == RS_OK) status = rs_encoder_run(at->model->encoder, RS_EVENT, &frame, &events, &features);
  if (status == RS_OK && features.n_outputs > 0) status = gather_first(&features, at->n, batch);
  rs_features_free(&features);
  rs_frame_free(&frame);
  rs_free(now);
  return status;
}

/* The users' vectors f32 [n, width], or [n, vectors, width]. */

static rs_status take_vectors(const moment *at, const rs_tensors *outputs, rs_tensor *out) {
  const rs_tensor *user = rs_tensors_find(outputs, "user");
  int64_t width = at->model->vectors.size[1];
  if (!user) return rs_fail(RS_EFORMAT, "the plan has no output 'user'");
  bool fits = user->dtype == RS_F32 && (user->ndim == 2 || (user->ndim == 3 && user->size[1] > 0));
  if (!fits || user->size[0] != at->n || user->size[user->ndim - 1] != width)
    return rs_fail(RS_ESHAPE, "the plan gives user vectors %s %s where f32 [%lld, %lld] fit the items",
                   rs_dtype_name(user->dtype), rs_shape(user).text, (long long)at->n, (long long)width);
  return rs_tensor_contiguous(out, user);
}

/* What stops the plan is not the request's fault: the bundle's codes, weights or vectors do not fit each other. */
static rs_status blame_bundle(rs_status status) {
  char reason[512];
  if (status == RS_OK || status == RS_ENOMEM) return status;
  snprintf(reason, sizeof reason, "%s", rs_message());
  return rs_fail(RS_EFORMAT, "the model cannot score: %s", reason);
}

static rs_status user_vectors(const moment *at, rs_tensor *out) {
  rs_tensors batch = {0}, outputs = {0};
  bool alone = at->features->n_outputs == 0; /* a model of events only */
  rs_status status = alone ? RS_OK : rs_features_gather(at->features, at->rows, at->n, &batch);
  if (status == RS_OK) status = at->n == 1 ? event_row(at, &batch) : event_rows(at, &batch);
  if (status == RS_OK) status = rs_plan_run(at->model->plan, &at->model->weights, &batch, &outputs);
  if (status == RS_OK) status = take_vectors(at, &outputs, out);
  rs_tensors_free(&batch);
  rs_tensors_free(&outputs);
  return status;
}

/* Searching. */

/* Only items created before the moment and at most a window ago; one of unknown age is no candidate. 'times' is room
 * for [2, n]. */
static void set_window(rs_topk_request *request, const moment *at, int64_t *times) {
  int64_t from;
  if (__builtin_sub_overflow(at->now, at->model->window, &from) || from == RS_TIME_MISSING) from = RS_TIME_MISSING + 1;
  for (int64_t i = 0; i < at->n; i++) times[i] = from, times[at->n + i] = at->now;
  request->item_time = rs_i64(&at->model->created);
  request->from = times;
  request->to = times + at->n;
}

/* The k best of each user as rs_topk gives them. */
static rs_status search(const moment *at, int64_t k, rs_tensor *rows, rs_tensor *scores) {
  const rs_server_model *m = at->model;
  rs_tensor vectors = {0};
  size_t bytes = (size_t)at->n * 2 * sizeof(int64_t);
  int64_t *times = rs_alloc(bytes);
  if (!times) return rs_nomem("request", bytes);
  rs_status status = user_vectors(at, &vectors);
  if (status == RS_OK) {
    rs_topk_request request = {.users = rs_f32(&vectors),
                               .items = rs_f32(&m->vectors),
                               .queries = at->n,
                               .n_items = m->vectors.size[0],
                               .width = m->vectors.size[1],
                               .vectors = vectors.ndim == 3 ? vectors.size[1] : 1,
                               .k = k,
                               .excluded = at->seen};
    if (m->window >= 0 && m->created.storage) set_window(&request, at, times);
    status = rs_topk(rows, scores, &request);
  }
  status = blame_bundle(status);
  rs_tensor_free(&vectors);
  rs_free(times);
  return status;
}

static rs_status check_k(int64_t k) {
  return k < 1 ? rs_fail(RS_EARG, "k is %lld; 1 or more results can be asked for", (long long)k) : RS_OK;
}

static int64_t moment_of(const rs_server_model *m, int64_t now) { return now == RS_TIME_MISSING ? m->as_of : now; }

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

rs_status rs_recommend_users(const rs_server_model *m, int64_t first, int64_t n, int64_t now, int64_t k,
                             bool exclude_seen, rs_tensor *rows, rs_tensor *scores) {
  span s = {0};
  if (first < 0 || n < 0 || first > m->user_ids->n - n)
    return rs_fail(RS_ERANGE, "users %lld to %lld of %lld", (long long)first, (long long)(first + n - 1),
                   (long long)m->user_ids->n);
  rs_status status = check_k(k);
  now = moment_of(m, now);
  if (status == RS_OK) status = new_span(&s, m, first, n, now);
  if (status == RS_OK) {
    moment at = {.model = m,
                 .features = &m->users,
                 .rows = s.rows,
                 .fields = &m->moments,
                 .n = n,
                 .now = now,
                 .events = s.events,
                 .begin = s.begin,
                 .end = s.end};
    if (exclude_seen) at.seen = (rs_lists){n, s.begin, s.lengths, s.events.items, s.events.n};
    status = search(&at, k, rows, scores);
  }
  span_free(&s);
  return status;
}

/* One request: one row, whose features and events may be the request's own. */
typedef struct asker {
  rs_row *own;                    /* of a user whom the bundle does not know */
  void *given;                    /* the arrays of a history given in the request */
  rs_frame own_fields;            /* of the same: "user.x" */
  const rs_features *features;    /* his own or the bundle's, */
  const rs_frame *fields;
  int64_t row;                    /* and where */
  rs_sequence events;             /* up to the moment */
  const int32_t *seen;
  int32_t n_seen;
} asker;

/* The request's fields under the names by which the event side reads them. */
static rs_status stranger_fields(asker *a, const rs_server_model *m, const json_t *fields) {
  const char *column, *type;
  json_t *named = json_object();
  bool failed = !named;
  for (int i = 0; !failed && (column = rs_encoder_column(m->encoder, RS_EVENT, i, &type)); i++) {
    json_t *value = strncmp(column, "user.", 5) == 0 ? json_object_get(fields, column + 5) : NULL;
    if (value) failed = json_object_set(named, column, value) != 0;
  }
  rs_status status = failed ? rs_nomem("request", 0) : RS_OK;
  if (status == RS_OK) status = rs_encoder_request(m->encoder, RS_EVENT, named, &a->own_fields);
  json_decref(named);
  return status;
}

static rs_status encode_stranger(asker *a, const rs_server_model *m, const rs_request *request) {
  json_t *fields = request->fields ? json_copy((json_t *)request->fields) : json_object();
  json_t *id = request->user ? json_stringn_nocheck(request->user, request->user_length) : json_null();
  bool failed = json_object_set_new(fields, "user", id) != 0; /* frees the id when there are no fields */
  rs_status status = failed ? rs_nomem("request", 0) : take_row(m, RS_USER, &a->own);
  if (status == RS_OK) status = rs_row_fields(a->own, fields);
  if (status == RS_OK) status = rs_row_run(a->own, NULL, &a->features);
  if (status == RS_OK) status = stranger_fields(a, m, fields);
  json_decref(fields);
  return status;
}

/* The request's history as a sequence: items -1 are not in the catalogue, and not among what was seen. */
static rs_status take_history(asker *a, const rs_server_model *m, const rs_request *request, rs_answer *answer) {
  size_t n = (size_t)request->n_history, bytes = n * (sizeof(int64_t) + 4 * sizeof(int32_t));
  a->given = rs_alloc(bytes);
  if (!a->given) return rs_nomem("request", bytes);
  int64_t *times = a->given;
  float *weights = (float *)(times + n);
  int32_t *items = (int32_t *)(weights + n), *marks = items + n, *seen = marks + n;
  a->seen = seen;
  a->n_seen = 0;
  for (size_t i = 0; i < n; i++) {
    const rs_past_event *given = &request->history[i];
    rs_event event = {0};
    rs_status status = rs_encoder_event(m->encoder, given->fields, &event);
    if (status != RS_OK) return status;
    times[i] = given->time, weights[i] = event.weight, marks[i] = event.marks;
    items[i] = (int32_t)rs_server_model_find_item(m, given->item, strlen(given->item));
    if (items[i] >= 0) seen[a->n_seen++] = items[i];
    if (i > 0 && times[i] < times[i - 1])
      return rs_fail(RS_EARG, "the history is not in order: the event of item '%.200s' is earlier than the one before "
                     "it", given->item);
  }
  a->events = (rs_sequence){request->n_history, items, times, NULL, weights, marks};
  a->events.n = rs_sequence_before(&a->events, answer->now, -1);
  answer->foreign = request->n_history - a->n_seen;
  return RS_OK;
}

int64_t rs_server_model_find_user(const rs_server_model *m, const char *user, size_t length) {
  int32_t code = user ? rs_vocabulary_find(m->user_ids, user, length) : 0;
  if (code > 0 || !user) return (int64_t)code - 1;
  code = rs_dictionary_find(m->new_users, user, length);
  return code > 0 ? m->user_ids->n + code - 1 : -1;
}

/* Who asks, and with which history. */
static rs_status recognise(asker *a, const rs_server_model *m, const rs_request *request, rs_answer *answer) {
  int64_t row = rs_server_model_find_user(m, request->user, request->user_length);
  rs_status status = RS_OK;
  answer->known = 0 <= row && row < m->user_ids->n;
  answer->now = moment_of(m, request->now);
  a->events = rs_accumulator_of(&m->state, row);
  a->events.n = rs_sequence_before(&a->events, answer->now, -1);
  a->seen = a->events.items;
  a->n_seen = (int32_t)a->events.n;
  a->features = &m->users;
  a->fields = answer->known ? &m->moments : &a->own_fields;
  a->row = answer->known ? row : 0;
  if (!answer->known) status = encode_stranger(a, m, request);
  if (status == RS_OK && request->history) status = take_history(a, m, request, answer);
  return status;
}

rs_status rs_server_model_advance(rs_server_model *m, const rs_posted *posted) {
  int32_t code = 0;
  rs_event event = {.item = rs_server_model_find_item(m, posted->item, posted->item_length), .time = posted->time};
  if (event.item < 0)
    return rs_fail(RS_EARG, "there is no item '%.*s' in the catalogue", (int)posted->item_length, posted->item);
  if (posted->time == RS_TIME_MISSING) return rs_fail(RS_EARG, "the event has no time");
  rs_status status = rs_encoder_event(m->encoder, posted->fields, &event);
  int64_t row = rs_server_model_find_user(m, posted->user, posted->user_length);
  if (status == RS_OK && row < 0) {
    status = rs_dictionary_add(m->new_users, posted->user, posted->user_length, &code);
    row = m->user_ids->n + code - 1;
  }
  if (status == RS_OK) status = rs_accumulator_advance(&m->state, row, &event);
  if (status == RS_OK && posted->time >= m->as_of && posted->time < INT64_MAX) m->as_of = posted->time + 1;
  return status;
}

/* Row 0 of [1, k] without the places that nothing fills. */
static rs_status first_row(rs_tensor *out, const rs_tensor *t, int64_t n) {
  rs_tensor row = {0};
  rs_status status = rs_tensor_select(&row, t, 0, 0);
  if (status == RS_OK) status = rs_tensor_narrow(out, &row, 0, 0, n);
  rs_tensor_free(&row);
  return status;
}

static rs_status answer_asker(const asker *a, const rs_server_model *m, const rs_request *request, rs_answer *answer) {
  static const int64_t zero = 0;
  rs_tensor rows = {0}, scores = {0};
  moment at = {.model = m,
               .features = a->features,
               .rows = &a->row,
               .fields = a->fields,
               .n = 1,
               .now = answer->now,
               .events = a->events,
               .begin = &zero,
               .end = &a->events.n};
  if (request->exclude_seen) at.seen = (rs_lists){1, &zero, &a->n_seen, a->seen, a->n_seen};
  int64_t k = request->k < m->vectors.size[0] ? request->k : m->vectors.size[0], n = 0;
  rs_status status = search(&at, k, &rows, &scores);
  while (status == RS_OK && n < k && rs_i64(&rows)[n] >= 0) n++;
  if (status == RS_OK) status = first_row(&answer->rows, &rows, n);
  if (status == RS_OK) status = first_row(&answer->scores, &scores, n);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
  return status;
}

rs_status rs_recommend(const rs_server_model *m, const rs_request *request, rs_answer *answer) {
  asker a = {0};
  *answer = (rs_answer){0};
  rs_status status = check_k(request->k);
  if (status == RS_OK) status = recognise(&a, m, request, answer);
  if (status == RS_OK) status = answer_asker(&a, m, request, answer);
  put_back(m, RS_USER, a.own);
  rs_frame_free(&a.own_fields);
  rs_free(a.given);
  if (status != RS_OK) rs_answer_free(answer);
  return status;
}

void rs_answer_free(rs_answer *answer) {
  rs_tensor_free(&answer->rows);
  rs_tensor_free(&answer->scores);
  *answer = (rs_answer){0};
}
