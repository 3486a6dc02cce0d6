/* rerank.c - see rerank.h. */
#include "serve/rerank.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "serve/dot.h"
#include "serve/filter.h"

enum { MOST_CAPS = 16 };

typedef struct candidate {
  float score, model;
  int32_t row;
} candidate;

void rs_answer_reset(rs_answer *answer) {
  rs_buffer ignored = answer->ignored;
  ignored.size = 0;
  *answer = (rs_answer){.items = answer->items, .capacity = answer->capacity, .segment = -1, .ignored = ignored};
}

rs_status rs_answer_room(rs_answer *answer, int64_t n) {
  if (n <= answer->capacity) return RS_OK;
  rs_found *items = rs_realloc(answer->items, (size_t)n * sizeof *items);
  if (!items) return rs_nomem("answer", (size_t)n * sizeof *items);
  answer->items = items;
  answer->capacity = n;
  return RS_OK;
}

/* ---- caps ---- */

/* The column of a cap. */
static rs_status column_of(const rs_server_model *m, const rs_cap *cap, const rs_column **out) {
  char why[400];
  rs_span name = cap->attribute;
  rs_status status = rs_attribute(m, name, true, out);
  if (status == RS_OK && cap->most < 1)
    status = rs_fail(RS_EARG, "is %lld; 1 or more is expected", (long long)cap->most);
  if (status == RS_OK && !rs_may_cap(*out))
    status = rs_fail(RS_EARG, "holds %ss; a cap is of an attribute of strings", rs_column_type_name((*out)->type));
  if (status == RS_OK) return RS_OK;
  snprintf(why, sizeof why, "%s", rs_message());
  return rs_fail(status, "caps.%.*s: %s", (int)(name.length < 64 ? name.length : 64), name.text, why);
}

rs_status rs_caps_begin(rs_caps *caps, const rs_server_model *m, rs_serve_scratch *s, const rs_request *request) {
  size_t total = 0;
  caps->n = 0;
  if (request->n_caps > MOST_CAPS) return rs_fail(RS_EARG, "caps: at most %d of them", MOST_CAPS);
  for (int i = 0; i < request->n_caps; i++) {
    const rs_column *c = NULL;
    rs_status status = column_of(m, &request->caps[i], &c);
    if (status != RS_OK) return status;
    caps->columns[i] = c;
    caps->most[i] = request->caps[i].most;
    total += (size_t)c->dictionary->n + 1;
  }
  int32_t *room = rs_block_zero(&s->counts, total * sizeof *room);
  if (!room) return rs_nomem("caps", total * sizeof *room);
  for (int i = 0; i < request->n_caps; room += caps->columns[i++]->dictionary->n + 1) caps->taken[i] = room;
  caps->n = request->n_caps;
  return RS_OK;
}

/* The codes of an item; of one that came later there are none. */
static const int32_t *codes_of(const rs_column *c, int64_t row, int64_t *n) {
  *n = 0;
  if (row >= rs_column_rows(c)) return NULL;
  *n = c->type == RS_LIST ? rs_i32(&c->lengths)[row] : 1;
  return rs_i32(&c->values) + (c->type == RS_LIST ? rs_i64(&c->starts)[row] : row);
}

bool rs_caps_take(rs_caps *caps, int64_t row) {
  int64_t n;
  for (int i = 0; i < caps->n; i++) {
    const int32_t *codes = codes_of(caps->columns[i], row, &n);
    for (int64_t j = 0; j < n; j++)
      if (codes[j] > 0 && caps->taken[i][codes[j]] >= caps->most[i]) return false;
  }
  for (int i = 0; i < caps->n; i++) {
    const int32_t *codes = codes_of(caps->columns[i], row, &n);
    for (int64_t j = 0; j < n; j++) caps->taken[i][codes[j]]++;
  }
  return true;
}

/* ---- candidates by score ---- */

static rs_status search(const rs_ranking *x, rs_serve_scratch *s, int64_t k, rs_index_found *found) {
  rs_index_query query = {.query = x->user,
                          .vectors = x->vectors,
                          .k = k,
                          .allow = x->rules->allow,
                          .excluded = x->rules->gone,
                          .n_excluded = x->rules->n_gone};
  found->rows = rs_block_need(&s->rows, (size_t)k * sizeof *found->rows);
  found->scores = rs_block_need(&s->scores, (size_t)k * sizeof *found->scores);
  if (!found->rows || !found->scores) return rs_nomem("request", (size_t)k * sizeof *found->rows);
  return rs_index_search(x->model->index, &query, &s->index, found);
}

/* What freshness adds to an item's score. */
static float boost_of(const rs_ranking *x, int64_t row, int64_t now) {
  int64_t age, created = x->model->created.storage ? rs_i64(&x->model->created)[row] : RS_TIME_MISSING;
  if (created == RS_TIME_MISSING || __builtin_sub_overflow(now, created, &age) || age < 0) return 0;
  return (float)(x->request->boost * exp2(-(double)age / (double)x->request->half_life));
}

static int by_score(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? 1 : -1;
  return (x->row > y->row) - (x->row < y->row);
}

/* The best candidates in order, of which the first *n are surely the best of all; 'all' when there are no others. */
static rs_status look_at(const rs_ranking *x, rs_serve_scratch *s, int64_t now, int64_t k, candidate **out, int64_t *n,
                         bool *all) {
  rs_index_found found = {0};
  rs_status status = search(x, s, k, &found);
  if (status != RS_OK) return status;
  candidate *c = *out = rs_block_need(&s->pool, (size_t)(found.n + 1) * sizeof *c);
  if (!c) return rs_nomem("request", (size_t)found.n * sizeof *c);
  *all = found.n < k || k >= x->model->vectors.size[0];
  *n = found.n;
  for (int64_t i = 0; i < found.n; i++)
    c[i] = (candidate){found.scores[i], found.scores[i], (int32_t)found.rows[i]};
  if (x->request->boost <= 0) return RS_OK;
  for (int64_t i = 0; i < found.n; i++) c[i].score += boost_of(x, c[i].row, now);
  qsort(c, (size_t)found.n, sizeof *c, by_score);
  if (*all) return RS_OK;
  float most = found.scores[found.n - 1] + (float)x->request->boost;
  for (*n = 0; *n < found.n && c[*n].score > most;) *n += 1;
  return RS_OK;
}

/* ---- choosing ---- */

static void put(rs_answer *answer, const candidate *c) {
  answer->items[answer->n++] =
      (rs_found){.row = c->row, .score = c->score, .model = c->model, .source = RS_BY_MODEL};
}

static void choose_by_score(rs_answer *answer, rs_caps *caps, const candidate *c, int64_t n, int64_t k) {
  for (int64_t i = 0; i < n && answer->n < k; i++)
    if (rs_caps_take(caps, c[i].row)) put(answer, &c[i]);
}

/* Likeness of the pool to what was taken: 'most' [n] holds the largest cosine so far. */
typedef struct likeness {
  const float *vectors;
  int64_t width, d, n; /* vectors of 'width', the first 'd' dimensions of which are compared */
  const candidate *pool;
  float *inverse, *most;
  bool *taken;
} likeness;

RS_INLINE void raise_likeness(const likeness *l, int64_t chosen) {
  const float *mine = l->vectors + l->pool[chosen].row * l->width;
  for (int64_t i = 0; i < l->n; i++) {
    if (l->taken[i]) continue;
    float cosine = rs_dot(mine, l->vectors + l->pool[i].row * l->width, l->d) * l->inverse[i] * l->inverse[chosen];
    if (cosine > l->most[i]) l->most[i] = cosine;
  }
}
RS_WIDE static void raise_likeness_wide(const likeness *l, int64_t chosen) { raise_likeness(l, chosen); }

/* The one to be taken next; -1: none is left. */
static int64_t most_relevant(const likeness *l, double lambda, bool first) {
  double best = -INFINITY, low = (double)l->pool[l->n - 1].score, spread = (double)l->pool[0].score - low;
  int64_t at = -1;
  for (int64_t i = 0; i < l->n; i++) {
    if (l->taken[i]) continue;
    double relevance = spread > 0 ? ((double)l->pool[i].score - low) / spread : 1;
    double value = lambda * relevance - (1 - lambda) * (first ? 0 : (double)l->most[i]);
    if (value > best) best = value, at = i;
  }
  return at;
}

static rs_status choose_unlike(const rs_ranking *x, rs_serve_scratch *s, rs_answer *answer, rs_caps *caps,
                               const candidate *pool, int64_t n, int64_t k) {
  int64_t width = x->model->vectors.size[1], d = x->model->likeness;
  size_t bytes = (size_t)n * (2 * sizeof(float) + sizeof(bool)) + 1;
  float *room = rs_block_need(&s->unlike, bytes);
  if (!room) return rs_nomem("diversity", bytes);
  likeness l = {rs_f32(&x->model->vectors), width, d, n, pool, room, room + n, (bool *)(room + 2 * n)};
  for (int64_t i = 0; i < n; i++) {
    l.inverse[i] = rs_inverse_length(l.vectors + pool[i].row * width, d);
    l.most[i] = -1;
    l.taken[i] = false;
  }
  while (answer->n < k) {
    int64_t at = n > 0 ? most_relevant(&l, x->request->lambda, answer->n == 0) : -1;
    if (at < 0) break;
    l.taken[at] = true;
    if (!rs_caps_take(caps, pool[at].row)) continue;
    put(answer, &pool[at]);
    (rs_wide() ? raise_likeness_wide : raise_likeness)(&l, at);
  }
  return RS_OK;
}

static bool diverse(const rs_request *r) { return r->lambda > 0 && r->lambda < 1; }

/* How many candidates are looked at first. */
static int64_t first_pool(const rs_request *r, int64_t k) {
  int64_t pool = r->pool > 0 ? r->pool : 5 * k > RS_POOL ? 5 * k : RS_POOL;
  if (!diverse(r)) pool = r->boost > 0 || r->n_caps > 0 ? 2 * k + 50 : k;
  return pool < k ? k : pool;
}

typedef enum next_step { DONE, LOOK_AT_MORE, ENLARGE_POOL } next_step;

/* Choose k of the best 'looked' candidates, of 'pool' of them where they are to be unlike each other. */
static rs_status choose(const rs_ranking *x, rs_serve_scratch *s, rs_answer *answer, int64_t looked, int64_t pool,
                        int64_t k, next_step *next) {
  candidate *c;
  int64_t n = 0;
  bool all = false, unlike = diverse(x->request);
  rs_caps caps;
  answer->n = 0;
  *next = LOOK_AT_MORE;
  rs_status status = look_at(x, s, answer->now, looked, &c, &n, &all);
  if (status == RS_OK) status = rs_caps_begin(&caps, x->model, s, x->request);
  if (status != RS_OK || (unlike && n < pool && !all)) return status;
  if (unlike)
    status = choose_unlike(x, s, answer, &caps, c, n < pool ? n : pool, k);
  else
    choose_by_score(answer, &caps, c, n, k);
  if (answer->n == k || (all && (!unlike || n <= pool)))
    *next = DONE;
  else if (unlike)
    *next = ENLARGE_POOL;
  return status;
}

static int64_t doubled(int64_t n, int64_t most) { return n > most / 2 ? most : 2 * n; }

static rs_missing why_fewer(const rs_request *request, const rs_answer *answer, int64_t items) {
  if (answer->n == request->k) return RS_NONE_MISSING;
  return answer->n < items - answer->seen - answer->rule ? RS_CAPPED : RS_FEW_CANDIDATES;
}

rs_status rs_rank(const rs_ranking *x, rs_serve_scratch *s, rs_answer *answer) {
  int64_t items = x->model->vectors.size[0], k = x->request->k < items ? x->request->k : items;
  int64_t pool = first_pool(x->request, k), looked = pool < items ? pool : items;
  next_step next = LOOK_AT_MORE;
  rs_status status = rs_answer_room(answer, k);
  while (status == RS_OK && next != DONE) {
    status = choose(x, s, answer, looked, pool, k, &next);
    if (next == LOOK_AT_MORE) looked = doubled(looked, items);
    if (next == ENLARGE_POOL) pool = doubled(pool, items);
  }
  answer->missing = why_fewer(x->request, answer, items);
  return status;
}
