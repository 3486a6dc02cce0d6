/* hooked.c - see hooked.h. */
#include "serve/hooked.h"

#include <string.h>

#include "serve/json_read.h"

enum { LATE_MOST = 8 }; /* requests of a call that may take too long: its worker is at nothing else meanwhile */

bool rs_is_hooked(const rs_exchange *x) { return x->server->own_recommend > 0 && !x->inner; }

/* Have a request answered into 'reply', outside of the gate. */
static void ask(rs_exchange *x, const char *json, size_t size, rs_reply *reply) {
  rs_call call = *x->call;
  rs_exchange one = {.server = x->server, .call = &call, .reply = reply};
  call.body = json, call.size = size;
  rs_versions_pin(x, 1);
  rs_gate_leave(x->server->gate, call.worker);
  rs_server_own_answer(&one, x->server->own_recommend - 1, x);
  rs_gate_enter(x->server->gate, call.worker);
  rs_versions_pin(x, -1);
}

/* The same into memory of the worker. */
static void ask_aside(rs_exchange *x, const char *json, size_t size, rs_reply *reply) {
  x->worker->hooked.size = 0;
  *reply = (rs_reply){.status = 200, .type = "application/json", .body = &x->worker->hooked};
  ask(x, json, size, reply);
}

/* A body as one line: answers to several users stand in lines of their own. */
static rs_span in_one_line(rs_buffer *b) {
  size_t n = 0;
  for (size_t i = 0; i < b->size; i++)
    if (b->data[i] != '\n') b->data[n++] = b->data[i];
  b->size = n;
  return (rs_span){b->data, n};
}

/* Enter the value of an object's key; false: it has none, or the text is no object. */
static bool find(rs_json_reader *r, rs_span object, rs_buffer *room, const char *key) {
  rs_span name, other;
  if (rs_read_begin(r, object.text, object.length, room, "") != RS_OK || rs_read_next(r) != RS_READ_OBJECT)
    return false;
  rs_read_object(r);
  while (rs_read_key(r, &name)) {
    if (rs_span_is(name, key)) return true;
    if (!rs_read_any(r, &other)) return false;
  }
  return false;
}

/* The id of the item that comes next. */
static bool read_id(rs_json_reader *r, rs_span *id) {
  rs_span name, other;
  bool found = false;
  if (!rs_read_object(r)) return false;
  while (rs_read_key(r, &name)) {
    bool is_id = rs_span_is(name, "id");
    found |= is_id;
    if (!(is_id ? rs_read_text(r, id) : rs_read_any(r, &other))) return false;
  }
  return r->status == RS_OK && (found || rs_read_refuse(r, RS_EARG, "has no id"));
}

/* An answer, or what was wrong, as a line of text/csv. */
static rs_status append_csv(rs_buffer *b, rs_span answer, rs_buffer *room) {
  rs_json_reader r;
  rs_span text, error;
  if (find(&r, answer, room, "items")) {
    rs_status status = rs_read_array(&r) ? RS_OK : r.status;
    for (bool first = true; status == RS_OK && rs_read_item(&r); first = false) {
      if (!read_id(&r, &text)) break;
      if (!first) status = rs_buffer_append_text(b, ",");
      if (status == RS_OK) status = rs_results_field(b, text.text, text.length);
    }
    return status == RS_OK ? r.status : status;
  }
  if (find(&r, answer, room, "answers"))
    return rs_fail(RS_EARG, "users: a line of text/csv is the answer to one user");
  if (!find(&r, answer, room, "error") || !rs_read_any(&r, &error) || !find(&r, error, room, "message") ||
      !rs_read_text(&r, &text))
    return rs_fail(RS_EARG, "the answer that the recipe gives has no items");
  rs_status status = rs_buffer_append_text(b, "#error,");
  return status == RS_OK ? rs_results_field(b, text.text, text.length) : status;
}

/* The user that a request is for; none where it tells none. */
static rs_span user_of(rs_span request, rs_buffer *room) {
  rs_json_reader r;
  rs_span user = {0};
  rs_read_kind kind = find(&r, request, room, "user") ? rs_read_next(&r) : RS_READ_NOTHING;
  if (kind == RS_READ_STRING && !rs_read_text(&r, &user)) return (rs_span){0};
  if (kind == RS_READ_NUMBER && !rs_read_any(&r, &user)) return (rs_span){0};
  return user;
}

/* { "user", "error" } */
static rs_status append_error(rs_buffer *b, rs_span user, rs_span error) {
  rs_status status = rs_buffer_append_text(b, user.text ? "{\"user\":" : "{");
  if (status == RS_OK && user.text) status = rs_json_string(b, user.text, user.length);
  if (status == RS_OK) status = rs_buffer_append_text(b, user.text ? ",\"error\":" : "\"error\":");
  if (status == RS_OK) status = rs_buffer_append(b, error.text, error.length);
  return status == RS_OK ? rs_buffer_append_text(b, "}") : status;
}

static rs_status append(rs_results *r, rs_span request, const rs_reply *reply, rs_span answer) {
  rs_buffer *b = r->x->reply->body, *room = &r->x->worker->room;
  if (strcmp(reply->type, "application/json") || answer.length == 0 || *answer.text != '{')
    return rs_fail(RS_EARG, "the answer that the recipe gives is no object of JSON");
  if (r->form == RS_MEDIA_CSV) return append_csv(b, answer, room);
  if (reply->status < 400) return rs_buffer_append(b, answer.text, answer.length);
  rs_json_reader reader;
  rs_span error;
  if (!find(&reader, answer, room, "error") || !rs_read_any(&reader, &error))
    return rs_fail(RS_EARG, "the recipe answers by status %d: %.*s", reply->status,
                   (int)(answer.length < 500 ? answer.length : 500), answer.text);
  return append_error(b, user_of(request, room), error);
}

/* An answer as the next result, or what keeps it from being one. */
static void add(rs_results *r, rs_span request, const rs_reply *reply, rs_span answer) {
  rs_results_open(r);
  size_t before = r->x->reply->body->size;
  rs_status status = r->status == RS_OK ? append(r, request, reply, answer) : RS_OK;
  if (status != RS_OK) {
    r->x->reply->body->size = before;
    rs_request one = {.user = user_of(request, &r->x->worker->room)};
    rs_results_wrong(r, &one, status);
  } else if (reply->status >= 400) {
    rs_count_add(&r->x->counts->refused_lines, 1);
  }
  rs_results_close(r);
}

/* A request that is not asked any more. */
static void refuse_late(rs_exchange *x, rs_reply *reply) {
  x->worker->hooked.size = 0;
  *reply = (rs_reply){.body = &x->worker->hooked};
  rs_refuse(reply, 504, "handler_time", "", "is not asked, as %d before it took too long", LATE_MOST);
}

void rs_hooked_add(rs_results *r, const char *json, size_t size) {
  rs_reply reply;
  if (r->late == LATE_MOST) {
    refuse_late(r->x, &reply);
  } else {
    ask_aside(r->x, json, size, &reply);
    r->late += reply.status == 504;
  }
  add(r, (rs_span){json, size}, &reply, in_one_line(reply.body));
}

/* Each of the answers to several users; false: it is the answer to one. */
static bool add_several(rs_results *r, const rs_reply *reply, rs_span answer) {
  rs_json_reader reader;
  rs_span one;
  bool several = find(&reader, answer, &r->x->worker->line, "answers") && rs_read_array(&reader);
  while (several && r->status == RS_OK && rs_read_item(&reader) && rs_read_any(&reader, &one))
    add(r, (rs_span){0}, reply, one);
  return several;
}

void rs_hooked_answer(rs_exchange *x, rs_media form) {
  rs_reply reply;
  rs_span request = {x->call->body, x->call->size};
  if (form == RS_MEDIA_JSON) {
    ask(x, request.text, request.length, x->reply);
    return;
  }
  ask_aside(x, request.text, request.length, &reply);
  if (reply.status >= 400) {
    x->reply->status = reply.status;
    x->reply->type = reply.type;
    rs_status status = rs_buffer_append(x->reply->body, reply.body->data, reply.body->size);
    if (status != RS_OK) rs_refuse_status(x->reply, status);
    return;
  }
  rs_span answer = in_one_line(reply.body);
  rs_results r = rs_results_begin(x, RS_RECOMMEND, form, true);
  if (!add_several(&r, &reply, answer)) add(&r, request, &reply, answer);
  rs_results_end(&r);
}
