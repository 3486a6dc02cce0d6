/* server_keep.c - a server that keeps what is posted (online.h), and answers by it.
 *
 * The store's thread is the only one that changes a model that answers. It makes what takes time, as an item's vector,
 * while the workers go on, and closes the gate for the moment in which that is put in its place. Where that takes long,
 * as a large catalogue is copied, those who wait for their posts are let go before: each holds up a worker. A version
 * that is loaded takes all that is kept while the store is held, and is in its slot before the store goes on. */
#include "serve/endpoints.h"
#include "serve/posted.h"

enum { DAY_MS = 86400000, KEPT_DAYS = 90, AT_ONCE = 500 };

static void put_item(rs_server *s, rs_version *v, const rs_post *post) {
  rs_new_item *item = NULL;
  if (rs_server_model_is_large(v->model) && rs_server_model_is_full(v->model)) rs_online_takes_long(s->online);
  if (rs_server_model_make_posted(&item, v->model, post) != RS_OK) return;
  rs_gate_close(s->gate);
  rs_server_model_put_item(v->model, item);
  rs_gate_open(s->gate);
  rs_new_item_free(item);
}

/* Posts from 'first' on up to the next item, so many that the gate is closed for a few ms at the most. */
static int64_t take_run(rs_server *s, const rs_post *posts, int64_t first, int64_t n) {
  int64_t end = first;
  while (end < n && end - first < AT_ONCE && posts[end].kind != RS_POST_ITEM) end++;
  rs_gate_close(s->gate);
  for (int i = 0; i < RS_SLOTS; i++)
    for (int64_t k = first; s->versions[i] && k < end; k++)
      if (posts[k].outcome == RS_POST_TAKEN) rs_server_model_take_post(s->versions[i]->model, &posts[k]);
  rs_gate_open(s->gate);
  return end;
}

/* Count items' events anew where a period has begun. */
static void recount(rs_server *s, rs_version *v) {
  rs_recount *r = NULL;
  if (!rs_server_model_is_stale(v->model)) return;
  if (rs_server_model_is_large(v->model)) rs_online_takes_long(s->online);
  if (rs_server_model_recount(&r, v->model, RS_TIME_MISSING) != RS_OK) return;
  rs_gate_close(s->gate);
  rs_server_model_put_recount(v->model, r);
  rs_gate_open(s->gate);
  rs_recount_free(r);
}

static void apply(void *server, rs_post *posts, int64_t n) {
  rs_server *s = server;
  for (int64_t i = 0; i < n;) {
    if (posts[i].kind != RS_POST_ITEM) {
      i = take_run(s, posts, i, n);
      continue;
    }
    for (int slot = 0; slot < RS_SLOTS && posts[i].outcome == RS_POST_TAKEN; slot++)
      if (s->versions[slot]) put_item(s, s->versions[slot], &posts[i]);
    i++;
  }
  for (int slot = 0; slot < RS_SLOTS; slot++)
    if (s->versions[slot]) recount(s, s->versions[slot]);
}

rs_status rs_server_keep(rs_server *s, const char *path, int64_t keep_ms) {
  rs_online_options options = {.path = path, .keep_ms = keep_ms, .apply = apply, .context = s};
  s->keep_as_needed = keep_ms == RS_KEEP_AS_NEEDED;
  if (s->keep_as_needed) options.keep_ms = -1;
  return rs_online_open(&s->online, &options);
}

/* Events that no feature reads and that nobody is asked whether he has seen are kept for three months. */
static void set_retention(rs_server *s, const rs_server_model *m) {
  int64_t span = rs_server_model_span(m), least = (int64_t)KEPT_DAYS * DAY_MS;
  if (s->keep_as_needed) rs_online_keep(s->online, span < 0 ? -1 : span < least ? least : span);
}

rs_status rs_server_catch_up(rs_server *s, rs_slot slot, rs_server_model *m) {
  if (!s->online) return RS_OK;
  rs_online_hold(s->online);
  if (!m) return RS_OK;
  rs_status status = rs_online_replay(s->online, rs_server_model_replay, m);
  if (status == RS_OK && rs_server_model_is_stale(m)) status = rs_server_model_refresh(m, RS_TIME_MISSING);
  if (status == RS_OK && slot == RS_LIVE) set_retention(s, m);
  if (status != RS_OK) rs_online_release(s->online);
  return status;
}

void rs_server_go_on(rs_server *s) {
  if (s->online) rs_online_release(s->online);
}

int64_t rs_server_finish(rs_server *s, int timeout_ms) {
  return s->online ? rs_online_finish(s->online, timeout_ms) : 0;
}

rs_status rs_server_trouble(rs_server *s) { return s->online ? rs_online_trouble(s->online) : RS_OK; }
