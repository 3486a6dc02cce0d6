/* similar.c - items that are like an item, and scores of items that are named. */
#include <math.h>

#include "base/alloc.h"
#include "base/scored.h"
#include "retrieval/columns.h"
#include "retrieval/topk.h"
#include "serve/dot.h"
#include "serve/items.h"
#include "serve/moment.h"
#include "serve/rerank.h"
#include "serve/rules.h"

int64_t rs_server_model_row(const rs_server_model *m, rs_span id) {
  return rs_server_model_find_item(m, id.text, id.length);
}

const float *rs_server_model_vector(const rs_server_model *m, int64_t row) {
  return rs_f32(&m->vectors) + row * m->vectors.size[1];
}

/* ---- alike ---- */

RS_INLINE void invert_lengths(const rs_server_model *m, float *inverse) {
  const float *vectors = rs_f32(&m->vectors);
  int64_t width = m->vectors.size[1];
  for (int64_t i = 0; i < m->vectors.size[0]; i++) inverse[i] = rs_inverse_length(vectors + i * width, m->likeness);
}
RS_WIDE static void invert_lengths_wide(const rs_server_model *m, float *inverse) { invert_lengths(m, inverse); }

/* 1 over the length of what every item's vector says of likeness, made when a thread first asks this model; NULL: no memory. */
static const float *inverse_lengths(const rs_server_model *m, rs_serve_scratch *s) {
  int64_t n = m->vectors.size[0];
  if (s->inverse_of == m->identity) return s->inverse.data;
  float *inverse = rs_block_need(&s->inverse, (size_t)n * sizeof *inverse);
  s->inverse_of = inverse ? m->identity : 0;
  if (inverse) (rs_wide() ? invert_lengths_wide : invert_lengths)(m, inverse);
  return inverse;
}

/* What is looked through. */
typedef struct looking {
  const float *vectors, *inverse;
  int64_t n, width, d, row; /* vectors of 'width', the first 'd' dimensions of which are compared */
  const rs_rules *rules;
  rs_scored *heap;
  int64_t size, k;
} looking;

RS_INLINE void look_through(looking *l) {
  const float *mine = l->vectors + l->row * l->width;
  for (int64_t i = 0; i < l->n; i++) {
    if (i == l->row || !rs_rules_allow(l->rules, i)) continue;
    rs_scored entry = {rs_dot(mine, l->vectors + i * l->width, l->d) * l->inverse[i] * l->inverse[l->row],
                       (int32_t)i};
    if (l->size < l->k) {
      l->heap[l->size++] = entry;
      if (l->size == l->k) rs_scored_heap(l->heap, l->size);
    } else if (rs_scored_worse(l->heap[0], entry)) {
      rs_scored_sink(l->heap, l->size, 0, entry);
    }
  }
}
RS_WIDE static void look_through_wide(looking *l) { look_through(l); }

/* Empty the heap into the answer, worst first. */
static void take_heap(looking *l, rs_answer *answer) {
  answer->n = l->size;
  if (l->size < l->k) rs_scored_heap(l->heap, l->size);
  for (int64_t at = l->size - 1; at >= 0; at--) {
    float score = l->heap[0].score;
    answer->items[at] = (rs_found){.row = l->heap[0].at, .score = score, .model = score, .source = RS_BY_MODEL};
    rs_scored_sink(l->heap, at, 0, l->heap[at]);
  }
}

static rs_status find_alike(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request, int64_t row,
                            const rs_rules *rules, rs_answer *answer) {
  int64_t items = m->vectors.size[0], k = request->k < items ? request->k : items;
  looking l = {.vectors = rs_f32(&m->vectors),
               .inverse = inverse_lengths(m, s),
               .n = items,
               .width = m->vectors.size[1],
               .d = m->likeness,
               .row = row,
               .rules = rules,
               .k = k};
  l.heap = rs_block_need(&s->pool, (size_t)k * sizeof *l.heap);
  if (!l.inverse || !l.heap) return rs_nomem("request", (size_t)items * sizeof *l.inverse);
  rs_status status = rs_answer_room(answer, k);
  if (status != RS_OK) return status;
  (rs_wide() ? look_through_wide : look_through)(&l);
  take_heap(&l, answer);
  answer->missing = answer->n == request->k ? RS_NONE_MISSING : RS_FEW_CANDIDATES;
  return RS_OK;
}

/* What the model says of somebody who knows that item alone, which is left out. */
static rs_status find_by_columns(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request, int64_t row,
                                 const rs_rules *rules, rs_answer *answer) {
  int64_t items = m->vectors.size[0], k = request->k < items ? request->k + 1 : items;
  rs_tensor user = {0};
  rs_index_found found = {.rows = rs_block_need(&s->rows, (size_t)k * sizeof(int64_t)),
                          .scores = rs_block_need(&s->scores, (size_t)k * sizeof(float))};
  if (!found.rows || !found.scores) return rs_nomem("request", (size_t)k * sizeof(int64_t));
  rs_status status = rs_answer_room(answer, k);
  if (status == RS_OK) status = rs_knower_vectors(m, s, row, answer->now, &user);
  if (status == RS_OK) {
    rs_index_query query = {.query = rs_f32(&user),
                            .vectors = user.ndim == 3 ? user.size[1] : 1,
                            .k = k,
                            .allow = rules->allow,
                            .excluded = rules->gone,
                            .n_excluded = rules->n_gone};
    status = rs_blame_bundle(rs_index_search(m->index, &query, &s->index, &found));
  }
  for (int64_t i = 0; status == RS_OK && i < found.n && answer->n < request->k; i++)
    if (found.rows[i] != row)
      answer->items[answer->n++] = (rs_found){.row = found.rows[i],
                                              .score = found.scores[i],
                                              .model = found.scores[i],
                                              .source = RS_BY_MODEL};
  answer->missing = answer->n == request->k ? RS_NONE_MISSING : RS_FEW_CANDIDATES;
  rs_tensor_free(&user);
  return status;
}

static rs_status no_item(rs_span id) {
  return rs_fail(RS_EARG, "there is no item '%.*s' in the catalogue", (int)(id.length < 200 ? id.length : 200), id.text);
}

rs_status rs_similar(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request, rs_answer *answer) {
  rs_rules rules;
  rs_answer_reset(answer);
  answer->now = rs_moment_of(m, request->now);
  if (request->n_items < 1) return rs_fail(RS_EARG, "which item is meant?");
  int64_t row = rs_server_model_row(m, request->items[0]);
  rs_status status = rs_check_k(request->k);
  if (status == RS_OK) status = rs_check_now(m, request->now);
  if (status == RS_OK && row < 0) status = no_item(request->items[0]);
  if (status == RS_OK) status = rs_rules_of(m, s, request, NULL, 0, answer, &rules);
  if (status != RS_OK) return status;
  status = (m->columns_of ? find_by_columns : find_alike)(m, s, request, row, &rules, answer);
  rs_rules_end(s, &rules);
  return status;
}

/* ---- named ---- */

/* The vectors of the known ones, side by side. */
static rs_status gather(const rs_server_model *m, const rs_answer *answer, rs_tensor *out, int64_t *n) {
  int64_t width = m->vectors.size[1];
  rs_status status = rs_tensor_new(out, RS_F32, 2, (int64_t[]){answer->n, width});
  *n = 0;
  for (int64_t i = 0; status == RS_OK && i < answer->n; i++)
    if (answer->items[i].row >= 0)
      memcpy(rs_f32(out) + (*n)++ * width, rs_server_model_vector(m, answer->items[i].row),
             (size_t)width * sizeof(float));
  return status;
}

/* Scores of the first n rows of 'items' to the answer's known ones, which they are of. */
static rs_status score_known(const rs_tensor *user, const rs_tensor *items, int64_t n, rs_answer *answer) {
  rs_tensor rows = {0}, scores = {0};
  rs_topk_request request = {.users = rs_f32(user),
                             .items = rs_f32(items),
                             .queries = 1,
                             .n_items = n,
                             .width = items->size[1],
                             .vectors = user->ndim == 3 ? user->size[1] : 1,
                             .k = n};
  rs_status status = rs_topk(&rows, &scores, &request);
  int64_t *at = status == RS_OK ? rs_alloc((size_t)n * sizeof *at) : NULL;
  if (status == RS_OK && !at) status = rs_nomem("request", (size_t)n * sizeof *at);
  for (int64_t i = 0; at && i < n; i++) at[rs_i64(&rows)[i]] = i;
  for (int64_t i = 0, known = 0; at && i < answer->n; i++)
    if (answer->items[i].row >= 0)
      answer->items[i].score = answer->items[i].model = rs_f32(&scores)[at[known++]];
  rs_free(at);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
  return rs_blame_bundle(status);
}

/* Scores of the answer's known items out of the user's rows. */
static rs_status pick_known(const rs_server_model *m, const rs_tensor *user, rs_answer *answer) {
  for (int64_t i = 0; i < answer->n; i++) {
    rs_found *item = &answer->items[i];
    if (item->row < 0) continue;
    item->score = item->model = rs_columns_score(rs_f32(user), user->ndim == 3 ? user->size[1] : 1, m->width,
                                                 rs_i32(&m->vectors)[item->row]);
    if (!isfinite(item->score))
      return rs_blame_bundle(rs_fail(RS_ENUMERIC, "the score of item row %lld is not a finite number",
                                     (long long)item->row));
  }
  return RS_OK;
}

rs_status rs_score(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request, rs_answer *answer) {
  rs_tensor user = {0}, items = {0};
  int64_t n = 0;
  rs_status status = rs_embed_user(m, s, request, answer, &user);
  if (status == RS_OK) status = rs_answer_room(answer, request->n_items);
  for (int64_t i = 0; status == RS_OK && i < request->n_items; i++)
    answer->items[answer->n++] =
        (rs_found){.row = rs_server_model_row(m, request->items[i]), .score = NAN, .model = NAN};
  if (status == RS_OK && m->columns_of) status = pick_known(m, &user, answer);
  if (status == RS_OK && !m->columns_of) status = gather(m, answer, &items, &n);
  if (status == RS_OK && n > 0) status = score_known(&user, &items, n, answer);
  rs_tensor_free(&user);
  rs_tensor_free(&items);
  if (status != RS_OK) answer->n = 0;
  return status;
}
