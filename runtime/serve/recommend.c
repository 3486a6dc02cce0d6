/* recommend.c - from a request to its answer: who asks, what may be recommended, the model's best of that, and why. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "serve/explain.h"
#include "serve/fields.h"
#include "serve/items.h"
#include "serve/moment.h"
#include "serve/popular.h"
#include "serve/rerank.h"
#include "serve/rules.h"

/* One request: one row, whose features and events may be the request's own. */
typedef struct asker {
  rs_row *own;                 /* of a user whom the bundle does not know */
  int filled;                  /* how many of his fields were read */
  const rs_features *features; /* his own or the bundle's, */
  int64_t row;                 /* and where */
  int64_t user;                /* row among the bundle's users; -1: none of them */
  rs_sequence events;          /* up to the moment */
  int64_t foreign;             /* of these, not in the catalogue */
} asker;

/* ---- who asks ---- */

static rs_status encode_stranger(asker *a, const rs_server_model *m, rs_serve_scratch *s, const rs_request *request) {
  rs_status status = rs_take_row(m, RS_USER, &a->own);
  if (status == RS_OK) status = rs_fill_row(a->own, "", request->fields, request->user, &s->room, &a->filled);
  return status == RS_OK ? rs_row_run(a->own, NULL, &a->features) : status;
}

/* What is wrong with an event of the request's history. */
static rs_status refuse_event(const rs_past_event *given, rs_status status, const char *verb, const char *what) {
  char why[400];
  snprintf(why, sizeof why, "%s", what);
  return rs_fail(status, "history: the event of item '%.*s'%s%s",
                 (int)(given->item.length < 200 ? given->item.length : 200), given->item.text, verb, why);
}

/* Weight and marks of an event with fields of its own. */
static rs_status weigh(const rs_server_model *m, const rs_past_event *given, rs_event *event) {
  json_t *parsed = NULL;
  rs_span fields = given->fields;
  rs_status status = RS_OK;
  if (fields.text) status = rs_json_object(&parsed, fields.text, fields.length, "its fields");
  if (status == RS_OK) status = rs_encoder_event(m->encoder, parsed, event);
  json_decref(parsed);
  return status == RS_OK || status == RS_ENOMEM ? status : refuse_event(given, status, ": ", rs_message());
}

/* The request's history as a sequence: items -1 are not in the catalogue. */
static rs_status take_history(asker *a, const rs_server_model *m, rs_serve_scratch *s, const rs_request *request,
                              rs_answer *answer) {
  size_t n = (size_t)request->n_history, bytes = n * (sizeof(int64_t) + 3 * sizeof(int32_t)) + 1;
  int64_t *times = rs_block_need(&s->history, bytes);
  if (!times) return rs_nomem("request", bytes);
  float *weights = (float *)(times + n);
  int32_t *items = (int32_t *)(weights + n), *marks = items + n;
  for (size_t i = 0; i < n; i++) {
    const rs_past_event *given = &request->history[i];
    rs_event event = {0};
    rs_status status = weigh(m, given, &event);
    if (status != RS_OK) return status;
    if (rs_is_in_seconds(m, given->time))
      return refuse_event(given, RS_EARG, " has ", "a time before 1980: in seconds? Milliseconds are expected");
    times[i] = given->time, weights[i] = event.weight, marks[i] = event.marks;
    items[i] = (int32_t)rs_server_model_find_item(m, given->item.text, given->item.length);
    a->foreign += items[i] < 0;
    if (i > 0 && times[i] < times[i - 1])
      return refuse_event(given, RS_EARG, " is ", "earlier than the one before it; the oldest comes first");
  }
  a->events = (rs_sequence){request->n_history, items, times, NULL, weights, marks};
  answer->foreign = a->foreign;
  return RS_OK;
}

int64_t rs_server_model_find_user(const rs_server_model *m, const char *user, size_t length) {
  int32_t code = user ? rs_vocabulary_find(m->user_ids, user, length) : 0;
  if (code > 0 || !user) return (int64_t)code - 1;
  code = rs_dictionary_find(m->new_users, user, length);
  return code > 0 ? m->user_ids->n + code - 1 : -1;
}

/* Who asks, and with which history. */
static rs_status recognise(asker *a, const rs_server_model *m, rs_serve_scratch *s, const rs_request *request,
                           rs_answer *answer) {
  int64_t row = rs_server_model_find_user(m, request->user.text, request->user.length);
  rs_status status = rs_check_now(m, request->now);
  answer->known = 0 <= row && row < m->user_ids->n;
  answer->now = rs_moment_of(m, request->now);
  a->user = answer->known ? row : -1;
  a->events = rs_accumulator_of(&m->state, row);
  a->features = &m->users;
  a->row = answer->known ? row : 0;
  if (status == RS_OK && !answer->known) status = encode_stranger(a, m, s, request);
  if (status == RS_OK && request->fields.text)
    status = rs_ignored_fields(&answer->ignored, m, request->fields, &s->room);
  if (status == RS_OK && request->history) status = take_history(a, m, s, request, answer);
  return status;
}

/* ---- events ---- */

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

/* ---- answering ---- */

/* His vectors; *nobody when the model has read nothing of him: no id, field or event. */
static rs_status vectors_of(const asker *a, const rs_server_model *m, rs_serve_scratch *s, const rs_request *request,
                            const rs_answer *answer, rs_tensor *out, bool *nobody) {
  static const int64_t zero = 0;
  int64_t end = rs_sequence_before(&a->events, answer->now, -1);
  int filled = 0;
  rs_moment at = {.model = m,
                  .features = a->features,
                  .rows = &a->row,
                  .fields = answer->known ? &m->moments : NULL,
                  .given = request->fields,
                  .user = request->user,
                  .room = &s->room,
                  .n = 1,
                  .now = answer->now,
                  .events = a->events,
                  .begin = &zero,
                  .end = &end};
  at.events.n = end;
  rs_status status = rs_moment_vectors(&at, out, &filled);
  bool unread = a->events.n == a->foreign || rs_encoder_outputs(m->encoder, RS_EVENT) == 0;
  *nobody = !answer->known && a->filled + filled == 0 && unread;
  return status;
}

rs_status rs_knower_vectors(const rs_server_model *m, rs_serve_scratch *s, int64_t row, int64_t now, rs_tensor *out) {
  static const int64_t first = 0, end = 1;
  asker a = {0};
  rs_request nobody = {.now = now, .k = 1};
  rs_event event = {0};
  int32_t item = (int32_t)row;
  int64_t time = now - (now > INT64_MIN + 1);
  int filled = 0;
  rs_status status = rs_encoder_event(m->encoder, NULL, &event);
  if (status == RS_OK) status = encode_stranger(&a, m, s, &nobody);
  rs_moment at = {.model = m,
                  .features = a.features,
                  .rows = &first,
                  .room = &s->room,
                  .n = 1,
                  .now = now,
                  .events = {1, &item, &time, NULL, &event.weight, &event.marks},
                  .begin = &first,
                  .end = &end};
  if (status == RS_OK) status = rs_moment_vectors(&at, out, &filled);
  rs_put_back(m, RS_USER, a.own);
  return status;
}

/* The model's best, or why it has none. */
static rs_status by_model(const asker *a, const rs_server_model *m, rs_serve_scratch *s, const rs_request *request,
                          const rs_rules *rules, rs_answer *answer) {
  rs_tensor vectors = {0};
  bool nobody = false, instead = rs_has_popular(m) && !request->model_only;
  rs_status status = vectors_of(a, m, s, request, answer, &vectors, &nobody);
  if (status == RS_OK && nobody && instead) {
    answer->fallback = RS_UNKNOWN_USER;
  } else if (status == RS_OK) {
    rs_ranking x = {m, request, rules, rs_f32(&vectors), vectors.ndim == 3 ? vectors.size[1] : 1};
    status = rs_rank(&x, s, answer);
    if (status == RS_ENUMERIC && instead)
      status = RS_OK, answer->fallback = RS_NO_SCORE;
    else if (status != RS_EARG)
      status = rs_blame_bundle(status);
  }
  rs_tensor_free(&vectors);
  return status;
}

static rs_status answer_asker(asker *a, const rs_server_model *m, rs_serve_scratch *s, const rs_request *request,
                              rs_answer *answer) {
  rs_rules rules;
  rs_sequence past = a->events;
  past.n = rs_sequence_before(&past, answer->now, -1);
  /* what is given is what he has seen; of his own events those before the moment */
  const rs_sequence *seen = request->history ? &a->events : &past;
  rs_status status = rs_rules_of(m, s, request, request->exclude_seen ? seen->items : NULL, seen->n, answer, &rules);
  if (status != RS_OK) return status;
  status = by_model(a, m, s, request, &rules, answer);
  if (status == RS_OK) {
    int segment = rs_popular_segment(m, s, a->user, request->fields);
    if (answer->fallback != RS_NO_FALLBACK)
      status = rs_popular_fill(m, s, request, &rules, segment, answer);
    else
      status = rs_explain(m, s, request, &past, segment, answer);
  }
  rs_rules_end(s, &rules);
  return status;
}

rs_status rs_embed_user(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request, rs_answer *answer,
                        rs_tensor *out) {
  asker a = {0};
  bool nobody;
  rs_answer_reset(answer);
  rs_status status = recognise(&a, m, s, request, answer);
  if (status == RS_OK) status = vectors_of(&a, m, s, request, answer, out, &nobody);
  rs_put_back(m, RS_USER, a.own);
  return status;
}

static rs_status check(const rs_request *r) {
  rs_status status = rs_check_k(r->k);
  if (status != RS_OK) return status;
  if (!(r->lambda >= 0 && r->lambda <= 1))
    return rs_fail(RS_EARG, "the lambda of diversity is %g; it lies above 0, up to 1", r->lambda);
  if (r->pool < 0) return rs_fail(RS_EARG, "the pool of diversity is %lld; 1 or more is expected", (long long)r->pool);
  if (!(r->boost >= 0 && r->boost <= 1e30))
    return rs_fail(RS_EARG, "the boost of freshness is %g; it lies between 0 and 1e30", r->boost);
  if (r->boost > 0 && r->half_life < 1)
    return rs_fail(RS_EARG, "the half-life of freshness is %lld ms; 1 or more is expected", (long long)r->half_life);
  return RS_OK;
}

rs_status rs_recommend(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request, rs_answer *answer) {
  asker a = {0};
  rs_answer_reset(answer);
  rs_status status = check(request);
  if (status == RS_OK && m->columns_of && request->lambda > 0 && request->lambda < 1)
    status = rs_fail(RS_EARG, "diversity compares the vectors of items, and this model has none: it gives users a score "
                              "for each item. Caps work for it");
  if (status == RS_OK) status = recognise(&a, m, s, request, answer);
  if (status == RS_OK) status = answer_asker(&a, m, s, request, answer);
  rs_put_back(m, RS_USER, a.own);
  if (status != RS_OK) answer->n = 0;
  return status;
}

void rs_answer_free(rs_answer *answer) {
  rs_free(answer->items);
  rs_buffer_free(&answer->ignored);
  *answer = (rs_answer){0};
}

/* ---- words ---- */

const char *rs_source_word(rs_source source) { return source == RS_BY_MODEL ? "model" : "popular"; }

const char *rs_fallback_word(rs_fallback why) {
  static const char *const words[] = {NULL, "unknown_user", "no_score"};
  return words[why];
}

const char *rs_missing_word(rs_missing why) {
  static const char *const words[] = {NULL, "candidates", "caps"};
  return words[why];
}
