/* results.c - see results.h. */
#include "serve/results.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 256 << 20 }; /* bytes of a reply */

const rs_version *rs_version_for(const rs_exchange *x, const rs_request *request) {
  const rs_version *candidate = x->versions[RS_CANDIDATE];
  bool his = candidate && request->user.text &&
             rs_server_bucket("candidate", request->user.text, request->user.length) < candidate->share;
  return his ? candidate : x->versions[RS_LIVE];
}

void rs_versions_pin(const rs_exchange *x, int by) {
  for (int i = 0; i < RS_SLOTS; i++)
    if (x->versions[i]) x->versions[i]->pinned += by;
}

/* Let those in who wait for the gate. */
static void breathe(const rs_results *r) {
  if (!r->several) return;
  rs_gate_leave(r->x->server->gate, r->x->call->worker);
  rs_gate_enter(r->x->server->gate, r->x->call->worker);
}

rs_results rs_results_begin(rs_exchange *x, rs_question question, rs_media form, bool several) {
  rs_results r = {.x = x, .question = question, .form = form, .several = several};
  if (several) rs_versions_pin(x, 1);
  x->reply->type = rs_media_name(form);
  if (form == RS_MEDIA_JSON && several) r.status = rs_buffer_append_text(x->reply->body, "{\"answers\":[");
  return r;
}

void rs_results_open(rs_results *r) {
  if (r->form == RS_MEDIA_JSON && r->n > 0 && r->status == RS_OK)
    r->status = rs_buffer_append_text(r->x->reply->body, ",\n");
  r->n++;
}

void rs_results_close(rs_results *r) {
  if (r->form != RS_MEDIA_JSON && r->status == RS_OK) r->status = rs_buffer_append_text(r->x->reply->body, "\n");
  if (r->status == RS_OK && r->x->reply->body->size > MOST)
    r->status = rs_fail(RS_ERANGE, "the answers are more than %d bytes together: ask for fewer at once", MOST);
  if (r->status == RS_OK) breathe(r); /* a failure's message is this thread's last one */
}

rs_status rs_results_field(rs_buffer *b, const char *text, size_t length) {
  bool plain = length > 0 && *text != '#';
  for (size_t i = 0; i < length; i++) plain = plain && !strchr("\",\r\n", text[i]) && text[i];
  if (plain || length == 0) return rs_buffer_append(b, text, length);
  rs_status status = rs_buffer_reserve(b, 2 * length + 2);
  if (status != RS_OK) return status;
  char *to = b->data + b->size;
  *to++ = '"';
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '"') *to++ = '"';
    *to++ = text[i] == '\n' || text[i] == '\r' || !text[i] ? ' ' : text[i]; /* a result stays a line */
  }
  *to++ = '"';
  b->size = (size_t)(to - b->data);
  return RS_OK;
}

static rs_status append_ids(rs_buffer *b, const rs_server_model *m, const rs_answer *answer) {
  rs_status status = RS_OK;
  for (int64_t i = 0; status == RS_OK && i < answer->n; i++) {
    size_t length;
    const char *id = rs_server_model_item(m, answer->items[i].row, &length);
    if (i > 0) status = rs_buffer_append_text(b, ",");
    if (status == RS_OK) status = rs_results_field(b, id, length);
  }
  return status;
}

/* Append a field before others. */
static rs_status append_field(rs_buffer *b, const char *name, rs_span value) {
  rs_status status = rs_buffer_printf(b, "\"%s\":", name);
  if (status == RS_OK) status = rs_json_string(b, value.text, value.length);
  return status == RS_OK ? rs_buffer_append_text(b, ",") : status;
}

/* An error where an answer would be; 'request' is NULL where it could not be read. */
static rs_status append_wrong(const rs_results *r, const rs_request *request, const rs_refusal *refusal) {
  rs_buffer *b = r->x->reply->body;
  bool csv = r->form == RS_MEDIA_CSV;
  rs_status status = rs_buffer_append_text(b, csv ? "#error," : "{");
  if (status == RS_OK && csv) return rs_results_field(b, refusal->message, strlen(refusal->message));
  bool item = request && r->question == RS_SIMILAR && request->n_items > 0;
  if (status == RS_OK && request && request->user.text) status = append_field(b, "user", request->user);
  if (status == RS_OK && item) status = append_field(b, "item", request->items[0]);
  if (status == RS_OK) status = rs_buffer_append_text(b, "\"error\":");
  if (status == RS_OK) status = rs_append_error(b, refusal->code, refusal->message, refusal->path);
  return status == RS_OK ? rs_buffer_append_text(b, "}") : status;
}

static void refuse_one(rs_results *r, const rs_request *request, rs_status status) {
  rs_refusal refusal = rs_refusal_of(status);
  rs_count_add(&r->x->counts->refused_lines, 1);
  r->status = append_wrong(r, request, &refusal);
}

static rs_envelope envelope_of(const rs_exchange *x, const rs_version *v) {
  return (rs_envelope){v->name, x->call->request_id, (rs_clock() - x->call->arrived) / 1000};
}

static rs_status append_answer(rs_results *r, const rs_version *v, const rs_request *request) {
  rs_exchange *x = r->x;
  const rs_answer *answer = &x->worker->answer;
  if (r->form == RS_MEDIA_CSV) return append_ids(x->reply->body, v->model, answer);
  rs_envelope envelope = envelope_of(x, v);
  return rs_json_answer(x->reply->body, v->model, request, answer, &envelope);
}

/* A model that cannot score is no fault of the request's, as bytes that are none would be. */
static rs_status blame_model(rs_status status) {
  char message[1024];
  if (status != RS_EFORMAT) return status;
  snprintf(message, sizeof message, "%s", rs_message());
  return rs_fail(RS_ENUMERIC, "%s", message);
}

static rs_status recommend(rs_results *r, const rs_version *v, const rs_request *request) {
  rs_exchange *x = r->x;
  rs_worker *w = x->worker;
  rs_status status = rs_recommend(v->model, w->serving, request, &w->answer);
  if (status != RS_OK) return status;
  rs_count_add(&x->counts->answers[v == x->versions[RS_LIVE] ? RS_LIVE : RS_CANDIDATE], 1);
  if (w->answer.fallback != RS_NO_FALLBACK) rs_count_add(&x->counts->fallbacks, 1);
  rs_shadow *shadow = x->versions[RS_SHADOW] ? x->server->shadow : NULL;
  if (shadow) rs_shadow_offer(shadow, x->call->worker, v->model, request, &w->answer);
  r->status = append_answer(r, v, request);
  return RS_OK;
}

/* Answer one request where the reply is; appends nothing when that fails. */
static rs_status answer(rs_results *r, const rs_request *request) {
  rs_exchange *x = r->x;
  const rs_version *v = rs_version_for(x, request);
  if (r->question == RS_RECOMMEND) return blame_model(recommend(r, v, request));
  rs_asked one = {.requests = request, .n = 1};
  rs_envelope envelope = envelope_of(x, v);
  return blame_model(rs_json_reply(x->reply->body, r->question, v->model, x->worker->serving, &x->worker->answer, &one,
                                   &envelope));
}

static void add(rs_results *r, const rs_asked *asked, int64_t i) {
  const rs_request *request = &asked->requests[i];
  const char *wrong = asked->wrong[i];
  rs_status status = wrong ? rs_fail(RS_EARG, "%s", wrong) : rs_json_whose(asked, i, answer(r, request));
  if (status == RS_OK) return;
  if (r->form == RS_MEDIA_JSON && !r->several)
    r->status = status; /* it is all that was asked for */
  else
    refuse_one(r, request, status);
}

void rs_results_add(rs_results *r, const rs_asked *asked, int64_t i) {
  rs_results_open(r);
  if (r->status == RS_OK) add(r, asked, i);
  rs_results_close(r);
}

/* Several users of one line are one result, as a call of its own would have them. */
static void add_several(rs_results *r, const rs_asked *asked) {
  rs_buffer *b = r->x->reply->body;
  if (r->form == RS_MEDIA_CSV) {
    refuse_one(r, NULL, rs_fail(RS_EARG, "users: a line of text/csv is the answer to one user"));
    return;
  }
  r->status = rs_buffer_append_text(b, "{\"answers\":[");
  for (int64_t i = 0; i < asked->n && r->status == RS_OK; i++) {
    if (i > 0) r->status = rs_buffer_append_text(b, ",");
    if (r->status == RS_OK) add(r, asked, i);
    if (r->status == RS_OK) breathe(r);
  }
  if (r->status == RS_OK) r->status = rs_buffer_append_text(b, "]}");
}

void rs_results_add_asked(rs_results *r, const rs_asked *asked) {
  rs_results_open(r);
  if (r->status == RS_OK && asked->several)
    add_several(r, asked);
  else if (r->status == RS_OK)
    add(r, asked, 0);
  rs_results_close(r);
}

void rs_results_wrong(rs_results *r, const rs_request *request, rs_status status) {
  if (r->status == RS_OK) refuse_one(r, request, status);
}

void rs_results_refuse(rs_results *r, rs_span user, rs_status status) {
  rs_results_open(r);
  if (r->status == RS_OK) refuse_one(r, &(rs_request){.user = user}, status);
  rs_results_close(r);
}

void rs_results_end(rs_results *r) {
  rs_buffer *b = r->x->reply->body;
  if (r->form == RS_MEDIA_JSON && r->status == RS_OK) r->status = rs_buffer_append_text(b, r->several ? "]}\n" : "\n");
  if (r->status != RS_OK) rs_refuse_status(r->x->reply, r->status);
  if (r->several) rs_versions_pin(r->x, -1);
}
