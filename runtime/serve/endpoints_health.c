/* endpoints_health.c - whether the server is well, and what it serves: /ping, /ready, /version, /openapi.json; and the
 * admin's /admin/reload. */
#include <string.h>
#include <time.h>

#include "serve/endpoints.h"

enum { ROOM = 64 << 10 }; /* bytes, more than any /version has: with these reserved nothing fails half-way */

/* Whether there is a model that answers, or room for some. */
static bool serves(const rs_exchange *x) { return x->versions[RS_LIVE] || x->server->models; }

/* Whoever has an address gets an answer, as SageMaker wants it: 200 and nothing else. */
static void ping(rs_exchange *x) { x->reply->status = serves(x) ? 200 : 503; }

static void ready(rs_exchange *x) {
  const char *state = serves(x) ? x->server->state : "loading";
  if (strcmp(state, "ready")) x->reply->status = 503;
  rs_buffer_printf(x->reply->body, "{\"status\":\"%s\"}\n", state);
}

static void openapi(rs_exchange *x) {
  if (rs_buffer_append(x->reply->body, x->server->openapi, x->server->openapi_size) != RS_OK)
    rs_refuse_status(x->reply, RS_ENOMEM);
}

/* A moment as people and programs read it: "2024-01-31T12:00:00.000Z", in quotes. */
static void append_moment(rs_buffer *b, int64_t ms) {
  char text[64];
  time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
  struct tm at;
  gmtime_r(&seconds, &at);
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &at);
  rs_buffer_printf(b, "\"%s.%03dZ\"", text, (int)(ms - (int64_t)seconds * 1000));
}

static void append_text(rs_buffer *b, const char *text) {
  if (text)
    rs_json_string(b, text, strlen(text));
  else
    rs_buffer_append_text(b, "null");
}

static void append_version(rs_buffer *b, const char *slot, const rs_version *v) {
  rs_buffer_printf(b, ",\"%s\":", slot);
  if (!v) {
    rs_buffer_append_text(b, "null");
    return;
  }
  rs_server_facts facts = rs_server_model_facts(v->model);
  rs_buffer_append_text(b, "{\"version\":");
  append_text(b, v->name);
  rs_buffer_printf(b, ",\"digest\":\"%s\",\"loaded\":", rs_server_model_digest(v->model));
  append_moment(b, v->loaded);
  rs_buffer_append_text(b, ",\"as_of\":");
  append_moment(b, facts.as_of);
  rs_buffer_printf(b, ",\"users\":%lld,\"items\":%lld,\"events\":%lld", (long long)facts.users, (long long)facts.items,
                   (long long)facts.events);
  rs_buffer_printf(b, ",\"index\":\"%s\"", facts.index);
  if (v->share > 0) rs_buffer_printf(b, ",\"share\":%.4f", v->share / 10000.0);
  rs_buffer_append_text(b, "}");
}

/* What is served, and what came of the last attempt to serve another version. */
static void version(rs_exchange *x) {
  rs_server *s = x->server;
  rs_buffer *b = x->reply->body;
  if (rs_buffer_reserve(b, ROOM) != RS_OK) {
    rs_refuse_status(x->reply, RS_ENOMEM);
    return;
  }
  rs_buffer_append_text(b, "{\"runtime\":{\"version\":");
  append_text(b, s->runtime);
  rs_buffer_append_text(b, ",\"commit\":");
  append_text(b, s->commit);
  rs_buffer_append_text(b, "},\"started\":");
  append_moment(b, s->started);
  append_version(b, "live", x->versions[RS_LIVE]);
  append_version(b, "candidate", x->versions[RS_CANDIDATE]);
  append_version(b, "shadow", x->versions[RS_SHADOW]);
  rs_buffer_printf(b, ",\"reloads\":{\"asked\":%lld,\"done\":%lld,\"loaded\":%lld,\"failed\":%lld,\"failure\":",
                   (long long)s->asked, (long long)s->done, (long long)s->reloads, (long long)s->failures);
  append_text(b, s->failure);
  rs_buffer_append_text(b, "}}\n");
}

/* The owner's thread looks for what is asked; what came of it stands in /version. */
static void reload(rs_exchange *x) {
  x->reply->status = 202;
  rs_buffer_printf(x->reply->body, "{\"reload\":%lld}\n", (long long)++x->server->asked);
}

const rs_route rs_routes_health[] = {{"ping", "GET", "/ping", 0, ping},
                                     {"ready", "GET", "/ready", 0, ready},
                                     {"version", "GET", "/version", RS_SCOPE_USE, version},
                                     {"openapi", "GET", "/openapi.json", RS_SCOPE_USE, openapi},
                                     {"reload", "POST", "/admin/reload", RS_SCOPE_ADMIN, reload},
                                     {NULL, NULL, NULL, 0, NULL}};
