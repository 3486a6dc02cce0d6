/* server.c - see server.h. */
#include "serve/server.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "http/tokens.h"
#include "serve/endpoints.h"

int64_t rs_wall_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Versions. */

static void version_free(rs_version *v) {
  if (!v) return;
  rs_server_model_free(v->model);
  rs_free(v->name);
  rs_free(v);
}

static rs_status version_new(rs_version **out, rs_server_model *model, const char *name, int share) {
  rs_version *v = rs_alloc_zero(sizeof *v);
  if (v) v->name = rs_strdup(name);
  if (!v || !v->name) {
    version_free(v);
    return rs_nomem("version", sizeof *v);
  }
  *out = v;
  v->model = model, v->share = share, v->loaded = rs_wall_clock();
  return RS_OK;
}

/* Wait until nobody uses a version that is in no slot any more. */
static void let_go(rs_server *s, rs_version *v) {
  static const struct timespec moment = {0, 500000};
  rs_gate_pass(s->gate);
  while (v && v->pinned > 0) nanosleep(&moment, NULL);
  version_free(v);
}

rs_status rs_server_put(rs_server *s, rs_slot slot, rs_server_model *model, const char *name, int share) {
  rs_version *next = NULL;
  rs_status status = model ? version_new(&next, model, name, share) : RS_OK;
  if (status == RS_OK && model && slot == RS_SHADOW && !s->shadow) {
    rs_shadow *shadow = NULL;
    status = rs_shadow_new(&shadow, s);
    s->shadow = shadow;
  }
  if (status == RS_OK) status = rs_server_catch_up(s, slot, model);
  if (status != RS_OK) {
    if (next) next->model = NULL; /* it is still the caller's */
    version_free(next);
    return status;
  }
  rs_version *before = atomic_exchange(&s->versions[slot], next);
  rs_server_go_on(s);
  let_go(s, before);
  return RS_OK;
}

rs_server_model *rs_server_model_in(const rs_server *s, rs_slot slot) {
  const rs_version *v = s->versions[slot];
  return v ? v->model : NULL;
}

static uint32_t fnv1a(const char *text, size_t length, uint32_t hash) {
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 16777619u;
  return hash;
}

int rs_server_bucket(const char *seed, const char *user, size_t length) {
  char digits[16];
  uint32_t hash = fnv1a(user, length, fnv1a(seed, strlen(seed), 2166136261u));
  int n = snprintf(digits, sizeof digits, "%u", hash);
  return (int)(fnv1a(digits, (size_t)n, 2166136261u) % 10000);
}

/* The server. */

static bool is_given(const char *text) { return text && *text; }

static rs_status new_workers(rs_server *s, int n) {
  rs_json_limits limits = rs_json_limits_standard();
  rs_status status = RS_OK;
  s->scratch = rs_alloc_zero((size_t)n * sizeof *s->scratch);
  if (!s->scratch) return rs_nomem("server", (size_t)n * sizeof *s->scratch);
  for (int i = 0; status == RS_OK && i < n; i++) {
    status = rs_json_in_new(&s->scratch[i].in, &limits);
    if (status == RS_OK) status = rs_serve_scratch_new(&s->scratch[i].serving);
  }
  return status;
}

static rs_status fill(rs_server *s, const rs_server_options *options) {
  size_t n = (size_t)options->workers;
  s->workers = options->workers;
  s->state = "verifying";
  s->started = rs_wall_clock();
  s->counts = rs_alloc_zero((n + 1) * sizeof *s->counts);
  s->runtime = rs_strdup(options->runtime);
  s->commit = rs_strdup(options->commit);
  s->openapi = rs_alloc(options->openapi_size);
  s->execution = rs_strdup(is_given(options->execution) ? options->execution : "{}");
  s->accept = rs_strdup(is_given(options->accept) ? options->accept : "");
  if (!s->counts || !s->runtime || !s->commit || !s->openapi || !s->execution || !s->accept)
    return rs_nomem("server", n * sizeof *s->counts);
  memcpy(s->openapi, options->openapi, options->openapi_size);
  s->openapi_size = options->openapi_size;
  rs_status status = new_workers(s, options->workers);
  if (status == RS_OK) status = rs_gate_new(&s->gate, options->workers + 1);
  if (status != RS_OK || !is_given(options->models_root)) return status;
  return rs_models_new(&s->models, options->models_root, options->models_room, options->workers);
}

rs_status rs_server_new(rs_server **out, const rs_server_options *options) {
  rs_server *s = rs_alloc_zero(sizeof *s);
  *out = NULL;
  if (!s) return rs_nomem("server", sizeof *s);
  rs_status status = fill(s, options);
  if (status == RS_OK)
    *out = s;
  else
    rs_server_free(s);
  return status;
}

void rs_server_free(rs_server *s) {
  if (!s) return;
  rs_online_free(s->online); /* its thread uses the versions */
  for (int i = 0; i < s->n_pages; i++) rs_page_free(&s->pages[i]);
  rs_server_own_free(s);
  rs_shadow_free(s->shadow);
  for (int i = 0; i < RS_SLOTS; i++) version_free(s->versions[i]);
  rs_models_free(s->models);
  for (int i = 0; s->scratch && i < s->workers; i++) {
    rs_buffer_free(&s->scratch[i].scratch);
    rs_buffer_free(&s->scratch[i].line);
    rs_buffer_free(&s->scratch[i].hooked);
    rs_buffer_free(&s->scratch[i].room);
    rs_json_in_free(s->scratch[i].in);
    rs_serve_scratch_free(s->scratch[i].serving);
    rs_answer_free(&s->scratch[i].answer);
  }
  rs_gate_free(s->gate);
  rs_free(s->scratch);
  rs_free(s->counts);
  rs_free(s->runtime);
  rs_free(s->commit);
  rs_free(s->openapi);
  rs_free(s->execution);
  rs_free(s->accept);
  rs_free(s->failure);
  rs_free(s);
}

void rs_server_attend(rs_server *s, const rs_service *service) { s->service = service; }
void rs_server_state(rs_server *s, const char *state) { s->state = state; }
int64_t rs_server_asked(const rs_server *s) { return s->asked; }

rs_status rs_server_reloaded(rs_server *s, int64_t asked, const char *failure) {
  char *next = failure ? rs_strdup(failure) : NULL;
  if (failure && !next) return rs_nomem("server", strlen(failure));
  rs_gate_close(s->gate);
  char *before = s->failure;
  s->failure = next;
  rs_gate_open(s->gate);
  rs_free(before);
  if (failure)
    s->failures++;
  else
    s->reloads++;
  s->done = asked;
  return RS_OK;
}

/* Answering. */

static void refuse_route(rs_exchange *x, const char *allowed) {
  const rs_call *call = x->call;
  if (!*allowed) {
    rs_refuse(x->reply, 404, "not_found", "", "there is no %.200s here; GET /openapi.json lists what there is",
                   call->target->path);
    return;
  }
  rs_buffer *b = &x->worker->scratch;
  b->size = 0;
  if (rs_buffer_append(b, allowed, strlen(allowed) + 1) == RS_OK) rs_reply_header(x->reply, "Allow", b->data);
  rs_refuse(x->reply, 405, "method_not_allowed", "", "%.200s is asked by %s, not by %.20s", call->target->path,
                 allowed, call->method);
}

/* Whether the caller may do what wants a scope; answers when he may not. What an admin may do wants a token in any case. */
static bool may(rs_exchange *x, unsigned scope) {
  const rs_call *call = x->call;
  bool admin = scope == RS_SCOPE_ADMIN, named = *call->principal;
  if (!scope || ((call->scopes & scope) && (named || !admin))) return true;
  if (named) {
    rs_refuse(x->reply, 403, "scope", "", "this wants a token with the scope '%s'; '%.64s' lacks it",
              rs_scope_word(scope), call->principal);
  } else {
    rs_reply_header(x->reply, "WWW-Authenticate", "Bearer");
    rs_refuse(x->reply, 401, "unauthorized", "", "this wants %s token, in the header Authorization: Bearer",
              admin ? "an admin's" : "a");
  }
  return false;
}

unsigned rs_server_needs(void *server, const char *method, const char *path) {
  (void)server;
  rs_path_part parts[RS_PATH_PARTS];
  char allowed[64];
  const rs_route *route = rs_route_find(method, path, parts, allowed);
  return route ? route->scope : RS_SCOPE_USE;
}

void rs_exchange_enter(rs_exchange *x) {
  rs_gate_enter(x->server->gate, x->call->worker);
  for (int i = 0; i < RS_SLOTS; i++) x->versions[i] = x->server->versions[i];
}

void rs_exchange_leave(rs_exchange *x) { rs_gate_leave(x->server->gate, x->call->worker); }

void rs_server_answer(void *server, const rs_call *call, rs_reply *reply) {
  rs_server *s = server;
  char allowed[64];
  rs_exchange x = {.server = s, .call = call, .reply = reply};
  x.worker = &s->scratch[call->worker];
  x.counts = &s->counts[call->worker];
  int own = s->n_own > 0 ? rs_server_own_find(&x) : -1;
  const rs_route *route =
      own >= 0 ? rs_routes_own : rs_route_find(call->method, call->target->path, x.parts, allowed);
  const char *pattern = own >= 0 ? s->own[own].path : route ? route->path : "";
  if (strchr(pattern, '{')) reply->log_path = pattern;
  if (!route) {
    rs_server_own_allow(&x, allowed);
    refuse_route(&x, allowed);
  } else if (own >= 0) {
    bool fine = may(&x, rs_server_needs(s, call->method, call->target->path));
    if (fine && own + 1 == s->own_recommend) fine = rs_has_json(&x);
    if (fine) rs_server_own_answer(&x, own, NULL);
  } else if (may(&x, route->scope)) {
    rs_exchange_enter(&x);
    route->handle(&x);
    rs_exchange_leave(&x);
  }
  rs_counts_request(x.counts, rs_route_number(route), reply->status, rs_clock() - call->arrived);
}

rs_server_counts rs_server_counts_of(const rs_server *s) {
  rs_server_counts sum = {.reloads = s->reloads, .failed_reloads = s->failures};
  for (int w = 0; w < s->workers; w++) {
    for (int r = 0; r < RS_COUNTED_ROUTES; r++)
      for (int i = 0; i < RS_COUNTED_STATUSES; i++) {
        int64_t n = rs_count_of(&s->counts[w].requests[r][i]);
        sum.requests += n;
        if (rs_counted_status(i) >= 500) sum.errors += n;
      }
    for (int i = 0; i < RS_SLOTS; i++) sum.answers[i] += rs_count_of(&s->counts[w].answers[i]);
  }
  return sum;
}
