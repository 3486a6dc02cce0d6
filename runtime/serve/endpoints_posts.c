/* endpoints_posts.c - what is posted: events, items, and what is to be removed. docs/serving.md, "Events". */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "serve/endpoints.h"
#include "serve/loaded.h"
#include "serve/post_in.h"
#include "serve/posted.h"
#include "serve/posting.h"

enum { WAIT_MS = 250, MOST = 10000, HOUR_MS = 3600000 };

rs_server_model *rs_posting_model(rs_exchange *x) {
  const rs_version *live = x->server->versions[RS_LIVE];
  if (!x->server->online)
    rs_refuse(x->reply, 501, "not_kept", "", "this server keeps no events; start it with --events FILE");
  else if (!live)
    rs_refuse(x->reply, 503, "no_model", "", "no model is loaded yet");
  return x->server->online && live ? live->model : NULL;
}

void rs_posting_unable(rs_exchange *x, rs_status status, const char *what) {
  const char *why = status == RS_EBUSY    ? "too much waits to be written, or the server stops"
                    : status == RS_ENOMEM ? "there is no memory"
                                          : "the database cannot be used; the server's log says why";
  rs_refuse(x->reply, 503, rs_status_word(status), "", "%s: %s", what, why);
  rs_reply_header(x->reply, "Retry-After", "1");
}

/* Post outside of the gate, which the store's thread closes, and answer when that fails. A worker waits for a commit, and
 * with it the others whose connections it has: not for long. *posts is NULL when it is the store's. */
static bool post(rs_exchange *x, rs_posts **posts, int wait_ms) {
  rs_gate_leave(x->server->gate, x->call->worker);
  rs_status status = rs_online_post(x->server->online, posts, wait_ms);
  rs_gate_enter(x->server->gate, x->call->worker);
  if (status != RS_OK) rs_posting_unable(x, status, "nothing was kept");
  return status == RS_OK;
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
    status = rs_buffer_printf(b, "%s{\"index\":%lld,\"message\":", told++ ? "," : "",
                              (long long)posts->posts[i].index);
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

bool rs_posting_type(const rs_call *call, const char *type) {
  const char *said = rs_call_header(call, "content-type");
  size_t length = strlen(type);
  return said && strncasecmp(said, type, length) == 0 && (!said[length] || strchr("; \t", said[length]));
}

static bool is_lines(const rs_call *call) {
  return rs_posting_type(call, "application/jsonlines") || rs_posting_type(call, "application/x-jsonlines") ||
         rs_posting_type(call, "application/x-ndjson") || rs_posting_type(call, "application/jsonl");
}

static void check_posts(rs_posts *posts, const rs_server_model *m) {
  for (int64_t i = 0; i < posts->n; i++)
    if (posts->posts[i].outcome == RS_POST_READY && rs_server_model_check_post(m, &posts->posts[i]) != RS_OK)
      rs_post_refuse(&posts->posts[i]);
}

typedef rs_status parser(rs_posts **out, const char *bytes, size_t size, const rs_post_rules *rules);

static void handle_posts(rs_exchange *x, parser *parse) {
  bool wait = true;
  const rs_server_model *m = rs_posting_model(x);
  rs_posts *posts = NULL;
  if (!m || !rs_query_fits(x, "wait") || !rs_query_boolean(x, "wait", &wait)) return;
  if (!is_lines(x->call) && !rs_posting_type(x->call, "application/json")) { /* which no page of another site can send */
    rs_refuse(x->reply, 415, "unsupported_type", "", "send Content-Type: application/json, or application/jsonlines");
    return;
  }
  rs_post_rules rules = {.lines = is_lines(x->call), .now = rs_wall_clock(), .most = MOST};
  rules.when = rs_server_model_clock(m, rules.now);
  if (rules.now < m->made) rules.now = m->made; /* by a clock that lies behind it would be taken for what the model has */
  rules.from = m->as_of >= RS_YEAR_1980 ? RS_YEAR_1980 : 0;
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

/* ---- one post: DELETE /items/{id}, and what is asked of a person ---- */

rs_posts *rs_posting_one(rs_exchange *x, rs_post_kind kind, rs_span id) {
  rs_posts *posts = NULL;
  json_t *text = json_stringn(id.text, id.length);
  rs_status status = text ? rs_posts_new(&posts, text, 1) : rs_nomem("post", id.length);
  if (status != RS_OK) {
    rs_refuse_status(x->reply, status);
    return NULL;
  }
  rs_post *p = &posts->posts[0];
  *p = (rs_post){.kind = kind, .time = RS_TIME_MISSING, .received = rs_wall_clock()};
  if (kind == RS_POST_REMOVAL)
    p->item = json_string_value(text), p->item_length = id.length;
  else
    p->user = json_string_value(text), p->user_length = id.length;
  return posts;
}

/* It is done once it is committed: before, a kill would undo it. */
static void answer_removal(rs_exchange *x, const char *done, bool committed, const char *more) {
  const char *word = committed ? "true" : "false";
  x->reply->status = committed ? 200 : 202;
  rs_status status = rs_buffer_printf(x->reply->body, "{\"%s\":%s,\"committed\":%s%s}\n", done, word, word, more);
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

void rs_posting_removal(rs_exchange *x, rs_posts *posts, const char *done, const char *more) {
  if (post(x, &posts, WAIT_MS)) answer_removal(x, done, posts != NULL, more);
  rs_posts_free(posts);
}

static void delete_item(rs_exchange *x) {
  const rs_server_model *m = rs_query_fits(x, "") ? rs_posting_model(x) : NULL;
  rs_posts *posts = m ? rs_posting_one(x, RS_POST_REMOVAL, (rs_span){x->parts[0].text, x->parts[0].length}) : NULL;
  if (!posts) return;
  if (rs_server_model_check_post(m, &posts->posts[0]) == RS_OK) {
    rs_posting_removal(x, posts, "removed", "");
    return;
  }
  rs_refuse(x->reply, 404, "not_found", "", "%s", rs_message());
  rs_posts_free(posts);
}

const rs_route rs_routes_posts[] = {{"events", "POST", "/events", RS_SCOPE_WRITE, post_events},
                                    {"items", "POST", "/items", RS_SCOPE_WRITE, post_items},
                                    {"item_removal", "DELETE", "/items/{id}", RS_SCOPE_WRITE, delete_item},
                                    {0}};
