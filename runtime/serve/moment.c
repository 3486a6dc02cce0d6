/* moment.c - see moment.h. */
#include "serve/moment.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "serve/fields.h"

/* ---- rows ---- */

rs_status rs_take_row(const rs_server_model *m, rs_side side, rs_row **row) {
  for (int i = 0; i < RS_SPARE_ROWS; i++)
    if ((*row = atomic_exchange(&m->spare->rows[side][i], NULL))) return RS_OK;
  return rs_row_new(row, m->encoder, side);
}

void rs_put_back(const rs_server_model *m, rs_side side, rs_row *row) {
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

static rs_status moment_frame(const rs_moment *at, rs_frame *frame) {
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

static rs_status fill_moment(rs_row *row, const rs_moment *at, int *filled) {
  rs_status status = RS_OK;
  if (!at->fields)
    status = rs_fill_row(row, "user.", at->given, at->user, at->room, filled);
  else
    rs_row_clear(row);
  for (int i = 0; status == RS_OK && i < rs_row_columns(row); i++) {
    const rs_column *theirs = at->fields ? rs_frame_column(at->fields, rs_row_column(row, i)) : NULL;
    if (theirs)
      status = fill_field(row, i, theirs, at->rows[0]);
    else if (strcmp(rs_row_column(row, i), "time") == 0)
      status = rs_row_number(row, i, (double)at->now);
  }
  return status;
}

/* The event side of one user, over memory of earlier requests. */
static rs_status event_row(const rs_moment *at, rs_tensors *batch, int *filled) {
  rs_row *row = NULL;
  const rs_features *features;
  rs_events events = {&at->model->items, at->events.items,   at->events.n,     at->begin, at->end,
                      at->events.times,  at->events.weights, at->events.marks, &at->now};
  rs_status status = rs_take_row(at->model, RS_EVENT, &row);
  if (status == RS_OK) status = fill_moment(row, at, filled);
  if (status == RS_OK) status = rs_row_run(row, &events, &features);
  if (status == RS_OK && features->n_outputs > 0) status = gather_first(features, 1, batch);
  rs_put_back(at->model, RS_EVENT, row);
  return status;
}

/* The event side of many. */
static rs_status event_rows(const rs_moment *at, rs_tensors *batch) {
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

static rs_status take_vectors(const rs_moment *at, const rs_tensors *outputs, rs_tensor *out) {
  const rs_tensor *user = rs_tensors_find(outputs, "user");
  int64_t width = at->model->width;
  if (!user) return rs_fail(RS_EFORMAT, "the plan has no output 'user'");
  bool fits = user->dtype == RS_F32 && (user->ndim == 2 || (user->ndim == 3 && user->size[1] > 0));
  if (!fits || user->size[0] != at->n || user->size[user->ndim - 1] != width)
    return rs_fail(RS_ESHAPE, "the plan gives user vectors %s %s where f32 [%lld, %lld] fit the items",
                   rs_dtype_name(user->dtype), rs_shape(user).text, (long long)at->n, (long long)width);
  return rs_tensor_contiguous(out, user);
}

rs_status rs_blame_bundle(rs_status status) {
  char reason[512];
  if (status == RS_OK || status == RS_ENOMEM) return status;
  snprintf(reason, sizeof reason, "%s", rs_message());
  return rs_fail(RS_EFORMAT, "the model cannot score: %s", reason);
}

/* The plan over a batch of the users' features. */
static rs_status run_plan(const rs_moment *at, const rs_tensors *batch, rs_tensor *out) {
  rs_tensors outputs = {0};
  rs_status status = rs_plan_run(at->model->plan, &at->model->weights, batch, &outputs);
  if (status == RS_OK) status = take_vectors(at, &outputs, out);
  rs_tensors_free(&outputs);
  return rs_blame_bundle(status);
}

rs_status rs_moment_vectors(const rs_moment *at, rs_tensor *out, int *filled) {
  rs_tensors batch = {0};
  *filled = 0;
  bool alone = at->features->n_outputs == 0; /* a model of events only */
  rs_status status = alone ? RS_OK : rs_features_gather(at->features, at->rows, at->n, &batch);
  if (status == RS_OK) status = at->n == 1 ? event_row(at, &batch, filled) : event_rows(at, &batch);
  if (status == RS_OK) status = run_plan(at, &batch, out);
  rs_tensors_free(&batch);
  return status;
}

int64_t rs_moment_of(const rs_server_model *m, int64_t now) { return now == RS_TIME_MISSING ? m->as_of : now; }

int64_t rs_window_from(const rs_server_model *m, int64_t now) {
  int64_t from;
  bool before = __builtin_sub_overflow(now, m->window, &from) || from == RS_TIME_MISSING;
  return before ? RS_TIME_MISSING + 1 : from;
}

bool rs_is_in_seconds(const rs_server_model *m, int64_t time) {
  return time != RS_TIME_MISSING && time < RS_YEAR_1980 && m->as_of >= RS_YEAR_1980;
}

rs_status rs_check_now(const rs_server_model *m, int64_t now) {
  if (!rs_is_in_seconds(m, now)) return RS_OK;
  return rs_fail(RS_EARG, "now: %lld ms lie before 1980: is this in seconds? Milliseconds since 1970 are expected",
                 (long long)now);
}

rs_status rs_check_k(int64_t k) {
  return k < 1 ? rs_fail(RS_EARG, "k is %lld; 1 or more results can be asked for", (long long)k) : RS_OK;
}
