/* explain.c - see explain.h. */
#include "serve/explain.h"

#include "base/alloc.h"
#include "retrieval/columns.h"
#include "serve/dot.h"
#include "serve/moment.h"
#include "serve/popular.h"

static void add(rs_found *item, rs_reason_kind kind, float value, int64_t row) {
  if (item->n_reasons < RS_REASONS) item->reasons[item->n_reasons++] = (rs_reason){kind, value, row};
}

/* The latest items of the user, each once. */
typedef struct latest {
  int64_t rows[RS_LOOKED_AT];
  float inverse[RS_LOOKED_AT];
  int n;
} latest;

static void look_back(const rs_server_model *m, const rs_sequence *events, latest *out) {
  int64_t width = m->vectors.size[1];
  out->n = 0;
  for (int64_t i = events->n; i-- > 0 && out->n < RS_LOOKED_AT;) {
    int64_t row = events->items[i];
    bool had = row < 0;
    for (int j = 0; j < out->n && !had; j++) had = out->rows[j] == row;
    if (had) continue;
    if (!m->columns_of)
      out->inverse[out->n] = rs_inverse_length(rs_f32(&m->vectors) + row * width, m->likeness);
    out->rows[out->n++] = row;
  }
}

RS_INLINE void most_alike(const rs_server_model *m, const latest *l, rs_answer *answer) {
  const float *vectors = rs_f32(&m->vectors);
  int64_t width = m->vectors.size[1], d = m->likeness;
  for (int64_t i = 0; i < answer->n; i++) {
    rs_found *item = &answer->items[i];
    const float *mine = vectors + item->row * width;
    float inverse = rs_inverse_length(mine, d), best = 0;
    int64_t at = -1;
    for (int j = 0; j < l->n; j++) {
      if (l->rows[j] == item->row) continue;
      float cosine = rs_dot(mine, vectors + l->rows[j] * width, d) * inverse * l->inverse[j];
      if (cosine > best) best = cosine, at = l->rows[j];
    }
    if (at >= 0) add(item, RS_LIKE, best < 1 ? best : 1, at);
  }
}
RS_WIDE static void most_alike_wide(const rs_server_model *m, const latest *l, rs_answer *answer) {
  most_alike(m, l, answer);
}

/* Without vectors: which of the latest items would, alone, give the item the highest score; above 0. */
static rs_status most_added(const rs_server_model *m, rs_serve_scratch *s, const latest *l, rs_answer *answer) {
  rs_status status = RS_OK;
  for (int j = 0; status == RS_OK && j < l->n; j++) {
    rs_tensor user = {0};
    status = rs_knower_vectors(m, s, l->rows[j], answer->now, &user);
    for (int64_t i = 0; status == RS_OK && i < answer->n; i++) {
      rs_found *item = &answer->items[i];
      int32_t column = rs_i32(&m->vectors)[item->row];
      float score = rs_columns_score(rs_f32(&user), user.ndim == 3 ? user.size[1] : 1, m->width, column);
      rs_reason *best = item->n_reasons > 0 && item->reasons[0].kind == RS_LIKE ? &item->reasons[0] : NULL;
      if (!(score > 0) || l->rows[j] == item->row || (best && !(score > best->value))) continue;
      if (best)
        *best = (rs_reason){RS_LIKE, score, l->rows[j]};
      else
        add(item, RS_LIKE, score, l->rows[j]);
    }
    rs_tensor_free(&user);
  }
  return status;
}

/* What the boost added: the difference is what it was to a rounding. */
static void say_fresh(const rs_request *request, rs_answer *answer) {
  for (int64_t i = 0; request->boost > 0 && i < answer->n; i++) {
    float added = answer->items[i].score - answer->items[i].model;
    if ((double)added > request->boost / 100) add(&answer->items[i], RS_FRESH, added, -1);
  }
}

/* The first places of the segment's popularity among the answer's items; 'rows' are these, side by side. */
static void say_popular(const rs_server_model *m, int segment, const int32_t *rows, rs_answer *answer) {
  const float *scores;
  int64_t n;
  const int32_t *popular = rs_popular_rows(m, segment, &n, &scores);
  if (n > RS_POPULAR_TOLD) n = RS_POPULAR_TOLD;
  for (int64_t place = 0; place < n && scores[place] > 0; place++) {
    int64_t at = -1;
    for (int64_t i = 0; i < answer->n; i++) at = rows[i] == popular[place] ? i : at;
    if (at >= 0) add(&answer->items[at], RS_POPULAR, (float)(place + 1), segment);
  }
}

rs_status rs_explain(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request,
                     const rs_sequence *events, int segment, rs_answer *answer) {
  latest l;
  int32_t *rows = rs_block_need(&s->looked, (size_t)(answer->n + 1) * sizeof *rows);
  if (!rows) return rs_nomem("answer", (size_t)answer->n * sizeof *rows);
  for (int64_t i = 0; i < answer->n; i++) rows[i] = (int32_t)answer->items[i].row;
  look_back(m, events, &l);
  if (m->columns_of) {
    rs_status status = most_added(m, s, &l, answer);
    if (status != RS_OK) return status;
  } else if (l.n > 0) {
    (rs_wide() ? most_alike_wide : most_alike)(m, &l, answer);
  }
  say_fresh(request, answer);
  say_popular(m, segment, rows, answer);
  return RS_OK;
}
