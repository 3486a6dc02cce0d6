/* endpoints_users.c - what is known of a person, and its erasure. docs/serving.md, "Events". */
#include <string.h>

#include "base/alloc.h"
#include "serve/json_read.h"
#include "serve/loaded.h"
#include "serve/posting.h"

enum { SHOWN = 50, MOST_SHOWN = 1000 };

typedef struct lookup {
  rs_span user;
  int64_t limit; /* events to show */
  bool kept;     /* what was posted, too, as it came */
} lookup;

/* ---- what is known of one ---- */

static rs_status write_event(rs_buffer *b, const rs_server_model *m, int32_t item, int64_t time) {
  size_t length = 0;
  const char *text = rs_server_model_item(m, item, &length);
  rs_status status = rs_buffer_append_text(b, "{\"item\":");
  if (status == RS_OK) status = rs_json_string(b, text, length);
  text = rs_server_model_title(m, item, &length);
  if (status == RS_OK && length > 0) status = rs_buffer_append_text(b, ",\"title\":");
  if (status == RS_OK && length > 0) status = rs_json_string(b, text, length);
  return status == RS_OK ? rs_buffer_printf(b, ",\"time\":%lld}", (long long)time) : status;
}

/* What he did, the newest first. */
static rs_status write_history(rs_buffer *b, const rs_server_model *m, int64_t row, int64_t limit) {
  rs_sequence mine = rs_accumulator_of(&m->state, row);
  rs_status status = rs_buffer_printf(b, "\"events\":%lld,\"history\":[", (long long)mine.n);
  for (int64_t i = mine.n - 1; status == RS_OK && i >= 0 && i >= mine.n - limit; i--) {
    if (i < mine.n - 1) status = rs_buffer_append_text(b, ",");
    if (status == RS_OK) status = write_event(b, m, mine.items[i], mine.times[i]);
  }
  return status == RS_OK ? rs_buffer_append_text(b, "]") : status;
}

typedef struct listing {
  rs_buffer *out;
  rs_status status;
  int64_t n;
} listing;

/* An event as it was posted. */
static void list_kept(void *context, rs_post *posts, int64_t n) {
  listing *l = context;
  for (int64_t i = 0; i < n && l->status == RS_OK; i++, l->n++) {
    const rs_post *p = &posts[i];
    char *fields = json_dumps(p->fields, JSON_COMPACT);
    l->status = rs_buffer_append_text(l->out, l->n ? ",{\"item\":" : "{\"item\":");
    if (l->status == RS_OK) l->status = rs_json_string(l->out, p->item, p->item_length);
    if (l->status == RS_OK)
      l->status = rs_buffer_printf(l->out, ",\"time\":%lld,\"received\":%lld,\"fields\":%s}", (long long)p->time,
                                   (long long)p->received, fields ? fields : "{}");
    rs_free(fields);
  }
}

/* What the store holds of him; a connection of its own reads it, outside of the gate. */
static rs_status write_kept(rs_exchange *x, rs_span user) {
  listing l = {.out = x->reply->body};
  rs_gate_leave(x->server->gate, x->call->worker);
  rs_status status = rs_buffer_append_text(l.out, ",\"kept\":[");
  if (status == RS_OK) status = rs_online_user(x->server->online, user.text, user.length, list_kept, &l);
  if (status == RS_OK) status = l.status;
  if (status == RS_OK) status = rs_buffer_append_text(l.out, "]");
  rs_gate_enter(x->server->gate, x->call->worker);
  return status;
}

static void answer_user(rs_exchange *x, const lookup *asked) {
  const rs_version *live = x->server->versions[RS_LIVE];
  rs_buffer *b = x->reply->body;
  if (!live) {
    rs_refuse(x->reply, 503, "no_model", "", "no model is loaded yet");
    return;
  }
  const rs_server_model *m = live->model;
  int64_t row = rs_server_model_find_user(m, asked->user.text, asked->user.length);
  rs_status status = rs_buffer_append_text(b, "{\"user\":");
  if (status == RS_OK) status = rs_json_string(b, asked->user.text, asked->user.length);
  if (status == RS_OK)
    status = rs_buffer_printf(b, ",\"in_model\":%s,\"as_of\":%lld,",
                              0 <= row && row < m->user_ids->n ? "true" : "false", (long long)m->as_of);
  if (status == RS_OK) status = write_history(b, m, row, asked->limit);
  if (status == RS_OK && asked->kept && x->server->online && (status = write_kept(x, asked->user)) != RS_OK) {
    rs_posting_unable(x, status, "what was posted cannot be read");
    return;
  }
  if (status == RS_OK) status = rs_buffer_append_text(b, "}\n");
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

static void erase_user(rs_exchange *x, rs_span user) {
  const rs_server_model *m = rs_posting_model(x);
  rs_posts *posts = m ? rs_posting_one(x, RS_POST_ERASURE, user) : NULL;
  if (!posts) return;
  bool trained = rs_vocabulary_find(m->user_ids, user.text, user.length) > 0;
  rs_posting_removal(x, posts, "erased", trained ? ",\"in_model\":true" : ",\"in_model\":false");
}

/* ---- GET and DELETE /users/{id} ---- */

static rs_span id_of(const rs_exchange *x) { return (rs_span){x->parts[0].text, x->parts[0].length}; }

static void get_user(rs_exchange *x) {
  lookup asked = {id_of(x), SHOWN, false};
  if (rs_query_fits(x, "limit, kept") && rs_query_whole(x, "limit", 1, MOST_SHOWN, &asked.limit) &&
      rs_query_boolean(x, "kept", &asked.kept))
    answer_user(x, &asked);
}

static void delete_user(rs_exchange *x) {
  if (rs_query_fits(x, "")) erase_user(x, id_of(x));
}

/* ---- POST /users/lookup and /users/erase: the same of ids that no path can hold, as with a slash ---- */

static bool read_user(rs_json_reader *r, rs_span *user) {
  return rs_read_id(r, user) && (user->length > 0 || rs_read_refuse(r, RS_EARG, "is empty"));
}

static bool read_limit(rs_json_reader *r, int64_t *limit) {
  if (!rs_read_whole(r, limit)) return false;
  return (*limit >= 1 && *limit <= MOST_SHOWN) ||
         rs_read_refuse(r, RS_EARG, "is %lld; 1 to %d events are shown", (long long)*limit, MOST_SHOWN);
}

/* {"user", "limit", "kept"}, of which an erasure has the user alone. */
static bool read_fields(rs_json_reader *r, lookup *out, bool erasing) {
  static const char *const names[] = {"user", "limit", "kept"};
  int n = erasing ? 1 : 3;
  unsigned had = 0;
  rs_span key;
  if (!rs_read_object(r)) return false;
  while (rs_read_key(r, &key)) {
    int field = 0;
    while (field < n && !rs_span_is(key, names[field])) field++;
    if (field == n) return rs_read_unknown(r, erasing ? "user" : "user, limit, kept");
    if (had & 1u << field) return rs_read_twice(r);
    had |= 1u << field;
    bool fine = field == 0   ? read_user(r, &out->user)
                : field == 1 ? read_limit(r, &out->limit)
                             : rs_read_boolean(r, &out->kept);
    if (!fine) return false;
  }
  return r->status == RS_OK && (had & 1 || rs_read_refuse(r, RS_EARG, "the body has no 'user'"));
}

/* What the body asks; answers when it makes no sense. Its type is one that no page of another site can send. */
static bool read_body(rs_exchange *x, lookup *out, bool erasing) {
  rs_json_reader r;
  *out = (lookup){.limit = SHOWN};
  if (!rs_query_fits(x, "")) return false;
  if (!rs_posting_type(x->call, "application/json")) {
    rs_refuse(x->reply, 415, "unsupported_type", "", "send Content-Type: application/json");
    return false;
  }
  rs_status status = rs_read_begin(&r, x->call->body ? x->call->body : "", x->call->size, &x->worker->scratch, "");
  if (status == RS_OK && read_fields(&r, out, erasing)) rs_read_end(&r);
  if (r.status != RS_OK) rs_refuse_status(x->reply, r.status);
  return r.status == RS_OK;
}

static void look_up(rs_exchange *x) {
  lookup asked;
  if (read_body(x, &asked, false)) answer_user(x, &asked);
}

static void erase(rs_exchange *x) {
  lookup asked;
  if (read_body(x, &asked, true)) erase_user(x, asked.user);
}

/* ---- GET /users ---- */

/* Users whose id has a text in it, from a place on that differs from call to call where none is given. */
static void get_users(rs_exchange *x) {
  const rs_version *live = x->server->versions[RS_LIVE];
  const char *like = rs_query_text(x, "like");
  rs_buffer *b = x->reply->body;
  int64_t limit = SHOWN;
  if (!rs_query_fits(x, "like, limit") || !rs_query_whole(x, "limit", 1, MOST_SHOWN, &limit)) return;
  if (!live) {
    rs_refuse(x->reply, 503, "no_model", "", "no model is loaded yet");
    return;
  }
  const rs_server_model *m = live->model;
  int64_t n = m->user_ids->n, found = 0;
  int64_t first = like || n == 0 ? 0 : (int64_t)((uint64_t)x->call->arrived / 1000 % (uint64_t)n);
  rs_status status = rs_buffer_printf(b, "{\"users\":[");
  for (int64_t i = 0; i < n && found < limit && status == RS_OK; i++) {
    size_t length = 0;
    const char *id = rs_server_model_user(m, (first + i) % n, &length);
    if (like && !memmem(id, length, like, strlen(like))) continue;
    if (found++ > 0) status = rs_buffer_append_text(b, ",");
    if (status == RS_OK) status = rs_json_string(b, id, length);
  }
  if (status == RS_OK) status = rs_buffer_printf(b, "],\"of\":%lld}\n", (long long)n);
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

const rs_route rs_routes_users[] = {{"users", "GET", "/users", RS_SCOPE_WRITE, get_users},
                                    {"user_lookup", "POST", "/users/lookup", RS_SCOPE_WRITE, look_up},
                                    {"user_erasure_by_body", "POST", "/users/erase", RS_SCOPE_WRITE, erase},
                                    {"user", "GET", "/users/{id}", RS_SCOPE_WRITE, get_user},
                                    {"user_erasure", "DELETE", "/users/{id}", RS_SCOPE_WRITE, delete_user},
                                    {0}};
