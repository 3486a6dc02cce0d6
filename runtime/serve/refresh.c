/* refresh.c - item vectors as of a later period, where the item side counts events: what the job does at every moment,
 * over the state that posted events have advanced. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "retrieval/hnsw.h"
#include "retrieval/scan.h"
#include "serve/loaded.h"

enum { CHUNK = 4096 }; /* rows that one run of the plan scores */

/* Every event of the state as interactions of items; 'block' holds the arrays. */
static rs_status all_events(const rs_accumulator *state, rs_interactions *x, void **block) {
  int64_t n = 0, at = 0;
  for (int64_t u = 0; u < state->users; u++) n += rs_accumulator_of(state, u).n;
  size_t bytes = (size_t)n * (2 * sizeof(int64_t) + sizeof(int32_t));
  *block = rs_alloc(bytes);
  if (!*block) return rs_nomem("refresh", bytes);
  int64_t *items = *block, *times = items + n;
  int32_t *marks = (int32_t *)(times + n);
  for (int64_t u = 0; u < state->users; u++) {
    rs_sequence mine = rs_accumulator_of(state, u);
    for (int64_t i = 0; i < mine.n; i++, at++) {
      items[at] = mine.items[i], times[at] = mine.times[i];
      marks[at] = mine.marks ? mine.marks[i] : 0;
    }
  }
  *x = (rs_interactions){.n_rows = n, .user_rows = items, .item_rows = items, .times = times, .marks = marks};
  return RS_OK;
}

/* The moving outputs of all items as of 'start', from the events of each. */
static rs_status count_items(const rs_server_model *m, const rs_history *h, int64_t start, rs_features *out) {
  int64_t n = m->vectors.size[0];
  size_t bytes = (size_t)n * 4 * sizeof(int64_t);
  int64_t *rows = rs_alloc(bytes);
  if (!rows) return rs_nomem("refresh", bytes);
  int64_t *now = rows + n, *begin = now + n, *end = begin + n;
  for (int64_t i = 0; i < n; i++) rows[i] = i, now[i] = start;
  rs_status status = rs_history_read(h, n, rows, now, NULL, begin, end);
  rs_events events = {.events = rs_i32(&h->items), .n_events = h->items.size[0], .begin = begin, .end = end};
  events.times = rs_i64(&h->times);
  events.marks = rs_i32(&h->marks);
  events.now = now;
  if (status == RS_OK) status = rs_encoder_run_moving(m->encoder, n, &events, out);
  rs_free(rows);
  return status;
}

static rs_status counts_at(const rs_server_model *m, int64_t start, rs_features *out) {
  rs_interactions x = {0};
  rs_history h = {0};
  void *block = NULL;
  int64_t n = m->vectors.size[0];
  rs_status status = all_events(&m->state, &x, &block);
  if (status == RS_OK) status = rs_history_new(&h, n, n, &x);
  if (status == RS_OK) status = count_items(m, &h, start, out);
  rs_history_free(&h);
  rs_free(block);
  return status;
}

/* The items' features with the moving outputs in their places. */
static rs_status features_at(const rs_server_model *m, int64_t start, rs_features *out) {
  rs_features moving = {0};
  rs_status status = counts_at(m, start, &moving);
  if (status == RS_OK) status = rs_features_share(out, &m->items);
  for (int i = 0; status == RS_OK && i < out->n_outputs; i++) {
    const rs_output *counted = rs_features_output(&moving, out->outputs[i].name);
    if (!counted) continue;
    rs_tensor_free(&out->outputs[i].values);
    rs_tensor_share(&out->outputs[i].values, &counted->values);
  }
  rs_features_free(&moving);
  return status;
}

/* The vectors of rows first .. first + n - 1 into their place. */
static rs_status embed(const rs_server_model *m, const rs_features *items, int64_t first, int64_t n,
                       rs_tensor *vectors) {
  int64_t rows[CHUNK], width = vectors->size[1];
  rs_tensors batch = {0}, outputs = {0};
  rs_tensor made = {0};
  for (int64_t i = 0; i < n; i++) rows[i] = first + i;
  rs_status status = rs_features_gather(items, rows, n, &batch);
  if (status == RS_OK) status = rs_plan_run(m->item_plan, &m->weights, &batch, &outputs);
  const rs_tensor *item = status == RS_OK ? rs_tensors_find(&outputs, "item") : NULL;
  bool fits = item && item->dtype == RS_F32 && item->ndim == 2 && item->size[0] == n && item->size[1] == width;
  if (status == RS_OK && !fits) status = rs_fail(RS_EFORMAT, "the item plan does not give item vectors");
  if (status == RS_OK) status = rs_tensor_contiguous(&made, item);
  if (status == RS_OK) memcpy(rs_f32(vectors) + first * width, rs_f32(&made), rs_tensor_bytes(&made));
  rs_tensor_free(&made);
  rs_tensors_free(&batch);
  rs_tensors_free(&outputs);
  return status;
}

/* The engine that the model has, over vectors made anew: a graph keeps its links. */
static rs_status index_over(rs_index **out, rs_index *before, const rs_tensor *vectors) {
  const rs_hnsw *graph = rs_hnsw_of(before);
  rs_hnsw *next = NULL;
  if (!graph) return rs_scan_new(out, vectors);
  rs_status status = rs_hnsw_over(&next, graph, vectors);
  if (status == RS_OK) *out = rs_hnsw_index(next);
  return status;
}

struct rs_recount {
  rs_features items;
  rs_tensor vectors;
  rs_index *index; /* over them */
  int64_t start;   /* of the period */
};

static int64_t period_start(const rs_server_model *m, int64_t now) {
  int64_t period = rs_encoder_period(m->encoder);
  return period == 0 ? 0 : now / period * period - (now % period < 0 ? period : 0);
}

void rs_recount_free(rs_recount *r) {
  if (!r) return;
  rs_features_free(&r->items);
  rs_tensor_free(&r->vectors);
  rs_index_free(r->index);
  rs_free(r);
}

bool rs_server_model_is_stale(const rs_server_model *m) {
  if (m->columns_of) return false;
  return period_start(m, m->as_of) > period_start(m, m->known_until) && period_start(m, m->as_of) > m->counted;
}

rs_status rs_server_model_recount(rs_recount **out, const rs_server_model *m, int64_t now) {
  int64_t n = m->vectors.size[0];
  *out = NULL;
  if (rs_encoder_period(m->encoder) == 0 || m->columns_of) return RS_OK;
  rs_recount *r = rs_alloc_zero(sizeof *r);
  if (!r) return rs_nomem("refresh", sizeof *r);
  r->start = period_start(m, now == RS_TIME_MISSING ? m->as_of : now);
  rs_status status = features_at(m, r->start, &r->items);
  if (status == RS_OK) status = rs_tensor_new(&r->vectors, RS_F32, 2, (int64_t[]){n, m->vectors.size[1]});
  for (int64_t first = 0; status == RS_OK && first < n; first += CHUNK)
    status = embed(m, &r->items, first, n - first < CHUNK ? n - first : CHUNK, &r->vectors);
  if (status == RS_OK) status = index_over(&r->index, m->index, &r->vectors);
  if (status == RS_OK)
    *out = r;
  else
    rs_recount_free(r);
  return status;
}

void rs_server_model_put_recount(rs_server_model *m, rs_recount *r) {
  if (!r) return;
  rs_features old_items = m->items;
  rs_tensor old_vectors = m->vectors;
  rs_index *old_index = m->index;
  m->items = r->items, r->items = old_items;
  m->vectors = r->vectors, r->vectors = old_vectors;
  m->index = r->index, r->index = old_index;
  m->identity = rs_server_model_identity();
  m->counted = r->start;
}

rs_status rs_server_model_refresh(rs_server_model *m, int64_t now) {
  rs_recount *r = NULL;
  rs_status status = rs_server_model_recount(&r, m, now);
  if (status == RS_OK) rs_server_model_put_recount(m, r);
  rs_recount_free(r);
  return status;
}
