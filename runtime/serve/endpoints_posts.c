/* endpoints_posts.c - what is posted: events, items, and what is kept of a person. docs/serving.md, "Events". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "serve/endpoints.h"
#include "serve/loaded.h"
#include "serve/post_in.h"
#include "serve/posted.h"

enum { WAIT_MS = 250, MOST = 10000, HOUR_MS = 3600000, SHOWN = 50, MOST_SHOWN = 1000 };

static const char *query_of(const rs_call *call, const char *name) {
  for (int i = 0; i < call->target->n; i++)
    if (strcmp(call->target->query[i].name, name) == 0) return call->target->query[i].value;
  return NULL;
}

/* The live version and the store; answers, and gives NULL, when either is not there. */
static rs_server_model *model_and_store(rs_exchange *x) {
  const rs_version *live = x->server->versions[RS_LIVE];
  if (!x->server->online)
    rs_refuse(x->reply, 501, "not_kept", "", "this server keeps no events; start it with --events FILE");
  else if (!live)
    rs_refuse(x->reply, 503, "no_model", "", "no model is loaded yet");
  return x->server->online && live ? live->model : NULL;
}

/* Post outside of the gate, which the store's thread closes, and answer when that fails. A worker waits for a commit, and
 * with it the others whose connections it has: not for long. *posts is NULL when it is the store's. */
static bool post(rs_exchange *x, rs_posts **posts, int wait_ms) {
  rs_gate_leave(x->server->gate, x->call->worker);
  rs_status status = rs_online_post(x->server->online, posts, wait_ms);
  rs_gate_enter(x->server->gate, x->call->worker);
  if (status == RS_OK) return true;
  rs_refuse(x->reply, status == RS_EIO ? 500 : 503, rs_status_word(status), "", "nothing was kept: %s", rs_message());
  if (status == RS_EBUSY) rs_reply_header(x->reply, "Retry-After", "1");
  return false;
}

/* ---- answers to posts ---- */

typedef struct tally {
  int64_t taken, known, refused;
} tally;

static tally count(const rs_posts *posts) {
  tally t = {0};
  for (int64_t i = 0; i < posts->n; i++) {
    rs_post_outcome outcome = posts->posts[i].outcome;
    t.refused += outcome == RS_POST_REFUSED;
    t.known += outcome == RS_POST_KNOWN;
    t.taken += outcome == RS_POST_TAKEN || outcome == RS_POST_READY;
  }
  return t;
}

static rs_status write_refusals(rs_buffer *b, const rs_posts *posts) {
  rs_status status = RS_OK;
  for (int64_t i = 0, told = 0; i < posts->n && status == RS_OK; i++) {
    const char *trouble = posts->posts[i].trouble ? posts->posts[i].trouble : "no memory";
    if (posts->posts[i].outcome != RS_POST_REFUSED) continue;
    status = rs_buffer_printf(b, "%s{\"index\":%lld,\"message\":", told++ ? "," : "", (long long)i);
    if (status == RS_OK) status = rs_json_string(b, trouble, strlen(trouble));
    if (status == RS_OK) status = rs_buffer_append_text(b, "}");
  }
  return status;
}

/* 202 where nobody waited for the commit, 400 when nothing of what was posted makes sense. */
static void answer_posts(rs_exchange *x, const rs_posts *posts, bool waited) {
  tally t = count(posts);
  rs_buffer *b = x->reply->body;
  b->size = 0;
  if (posts->n == 1 && t.refused == 1) {
    rs_refuse(x->reply, 400, "bad_request", "", "%s", posts->posts[0].trouble ? posts->posts[0].trouble : "");
    return;
  }
  x->reply->status = t.refused > 0 && t.refused == posts->n ? 400 : waited ? 200 : 202;
  rs_status status = rs_buffer_printf(b, "{\"taken\":%lld,\"known\":%lld,\"refused\":%lld,\"committed\":%s,\"errors\":[",
                                      (long long)t.taken, (long long)t.known, (long long)t.refused,
                                      waited ? "true" : "false");
  if (status == RS_OK) status = write_refusals(b, posts);
  if (status == RS_OK) status = rs_buffer_append_text(b, "]}\n");
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

/* ---- POST /events, POST /items ---- */

/* Whether the body is said to be of a type, whatever its parameters. */
static bool is_of_type(const rs_call *call, const char *type) {
  const char *said = rs_call_header(call, "content-type");
  size_t length = strlen(type);
  return said && strncasecmp(said, type, length) == 0 && (!said[length] || strchr("; \t", said[length]));
}

static bool is_lines(const rs_call *call) {
  return is_of_type(call, "application/jsonlines") || is_of_type(call, "application/x-jsonlines") ||
         is_of_type(call, "application/x-ndjson") || is_of_type(call, "application/jsonl");
}

static void check_posts(rs_posts *posts, const rs_server_model *m) {
  for (int64_t i = 0; i < posts->n; i++)
    if (posts->posts[i].outcome == RS_POST_READY && rs_server_model_check_post(m, &posts->posts[i]) != RS_OK)
      rs_post_refuse(&posts->posts[i]);
}

typedef rs_status parser(rs_posts **out, const char *bytes, size_t size, const rs_post_rules *rules);

static void handle_posts(rs_exchange *x, parser *parse) {
  const char *asked = query_of(x->call, "wait");
  bool wait = !asked || strcmp(asked, "false") != 0;
  const rs_server_model *m = model_and_store(x);
  rs_posts *posts = NULL;
  if (!m) return;
  if (!is_lines(x->call) && !is_of_type(x->call, "application/json")) { /* which no page of another site can send */
    rs_refuse(x->reply, 415, "unsupported_type", "", "send Content-Type: application/json, or application/jsonlines");
    return;
  }
  rs_post_rules rules = {.lines = is_lines(x->call), .now = rs_wall_clock(), .most = MOST};
  rules.when = rs_server_model_clock(m, rules.now);
  rules.until = (m->as_of > rules.now ? m->as_of : rules.now) + HOUR_MS;
  rs_status status = parse(&posts, x->call->body ? x->call->body : "", x->call->size, &rules);
  if (status != RS_OK) {
    rs_refuse_status(x->reply, status);
    return;
  }
  check_posts(posts, m);
  bool any = count(posts).taken > 0;
  answer_posts(x, posts, !any); /* while the batch is ours */
  if (any && post(x, &posts, wait ? WAIT_MS : 0) && posts) answer_posts(x, posts, true);
  rs_posts_free(posts);
}

static void post_events(rs_exchange *x) { handle_posts(x, rs_posts_of_events); }
static void post_items(rs_exchange *x) { handle_posts(x, rs_posts_of_items); }

/* ---- DELETE /items/{id}, DELETE /users/{id} ---- */

static rs_posts *one_post(rs_exchange *x, rs_post_kind kind) {
  rs_posts *posts = NULL;
  rs_path_part part = x->parts[0];
  json_t *id = json_stringn(part.text, part.length);
  rs_status status = id ? rs_posts_new(&posts, id, 1) : rs_nomem("post", part.length);
  if (status != RS_OK) {
    rs_refuse_status(x->reply, status);
    return NULL;
  }
  rs_post *p = &posts->posts[0];
  *p = (rs_post){.kind = kind, .time = RS_TIME_MISSING, .received = rs_wall_clock()};
  if (kind == RS_POST_REMOVAL)
    p->item = json_string_value(id), p->item_length = part.length;
  else
    p->user = json_string_value(id), p->user_length = part.length;
  return posts;
}

/* It is done once it is committed: before, a kill would undo it. */
static void answer_removal(rs_exchange *x, const char *done, bool committed, const char *more) {
  const char *word = committed ? "true" : "false";
  x->reply->status = committed ? 200 : 202;
  rs_status status = rs_buffer_printf(x->reply->body, "{\"%s\":%s,\"committed\":%s%s}\n", done, word, word, more);
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

static void delete_item(rs_exchange *x) {
  const rs_server_model *m = model_and_store(x);
  rs_posts *posts = m ? one_post(x, RS_POST_REMOVAL) : NULL;
  if (!posts) return;
  if (rs_server_model_check_post(m, &posts->posts[0]) != RS_OK)
    rs_refuse(x->reply, 404, "not_found", "", "%s", rs_message());
  else if (post(x, &posts, WAIT_MS))
    answer_removal(x, "removed", posts != NULL, "");
  rs_posts_free(posts);
}

static void delete_user(rs_exchange *x) {
  const rs_server_model *m = model_and_store(x);
  rs_posts *posts = m ? one_post(x, RS_POST_ERASURE) : NULL;
  if (!posts) return;
  bool trained = rs_vocabulary_find(m->user_ids, x->parts[0].text, x->parts[0].length) > 0;
  if (post(x, &posts, WAIT_MS))
    answer_removal(x, "erased", posts != NULL, trained ? ",\"in_model\":true" : ",\"in_model\":false");
  rs_posts_free(posts);
}

/* ---- GET /users, GET /users/{id} ---- */

static int64_t limit_of(const rs_call *call) {
  const char *asked = query_of(call, "limit");
  long n = asked ? strtol(asked, NULL, 10) : SHOWN;
  return n < 1 ? 1 : n > MOST_SHOWN ? MOST_SHOWN : n;
}

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
static rs_status write_kept(rs_exchange *x) {
  listing l = {.out = x->reply->body};
  rs_gate_leave(x->server->gate, x->call->worker);
  rs_status status = rs_buffer_append_text(l.out, ",\"kept\":[");
  if (status == RS_OK)
    status = rs_online_user(x->server->online, x->parts[0].text, x->parts[0].length, list_kept, &l);
  if (status == RS_OK) status = l.status;
  if (status == RS_OK) status = rs_buffer_append_text(l.out, "]");
  rs_gate_enter(x->server->gate, x->call->worker);
  return status;
}

static void get_user(rs_exchange *x) {
  const rs_version *live = x->server->versions[RS_LIVE];
  rs_buffer *b = x->reply->body;
  if (!live) {
    rs_refuse(x->reply, 503, "no_model", "", "no model is loaded yet");
    return;
  }
  const rs_server_model *m = live->model;
  int64_t row = rs_server_model_find_user(m, x->parts[0].text, x->parts[0].length);
  rs_status status = rs_buffer_append_text(b, "{\"user\":");
  if (status == RS_OK) status = rs_json_string(b, x->parts[0].text, x->parts[0].length);
  if (status == RS_OK)
    status = rs_buffer_printf(b, ",\"in_model\":%s,\"as_of\":%lld,", 0 <= row && row < m->user_ids->n ? "true" : "false",
                              (long long)m->as_of);
  if (status == RS_OK) status = write_history(b, m, row, limit_of(x->call));
  if (status == RS_OK && query_of(x->call, "kept") && x->server->online) status = write_kept(x);
  if (status == RS_OK) status = rs_buffer_append_text(b, "}\n");
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

/* Users whose id has a text in it, from a place on that differs from call to call where none is given. */
static void get_users(rs_exchange *x) {
  const rs_version *live = x->server->versions[RS_LIVE];
  const char *like = query_of(x->call, "like");
  rs_buffer *b = x->reply->body;
  if (!live) {
    rs_refuse(x->reply, 503, "no_model", "", "no model is loaded yet");
    return;
  }
  const rs_server_model *m = live->model;
  int64_t n = m->user_ids->n, limit = limit_of(x->call), found = 0;
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

const rs_route rs_routes_posts[] = {{"events", "POST", "/events", RS_SCOPE_USE, post_events},
                                    {"items", "POST", "/items", RS_SCOPE_USE, post_items},
                                    {"item_removal", "DELETE", "/items/{id}", RS_SCOPE_USE, delete_item},
                                    {"users", "GET", "/users", RS_SCOPE_USE, get_users},
                                    {"user", "GET", "/users/{id}", RS_SCOPE_USE, get_user},
                                    {"user_erasure", "DELETE", "/users/{id}", RS_SCOPE_USE, delete_user},
                                    {0}};
