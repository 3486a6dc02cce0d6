/* server_own.c - see own.h. */
#include "serve/own.h"

#include <string.h>

#include "base/alloc.h"
#include "serve/endpoints.h"

/* What counts of such calls go by; no path fits it. */
const rs_route rs_routes_own[] = {{.name = "own", .method = "", .path = "", .scope = RS_SCOPE_USE}, {0}};

static rs_status check(const rs_own_route *route) {
  static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
  bool known = false;
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) known |= strcmp(route->method, methods[i]) == 0;
  int parts = 0;
  for (const char *at = route->path; *at; at++) parts += *at == '{';
  return known && route->path[0] == '/' && parts <= RS_OWN_PARTS
             ? RS_OK
             : rs_fail(RS_EARG, "'%s %s' is no route", route->method, route->path);
}

rs_status rs_server_own(rs_server *s, const rs_own_route *routes, int n, rs_own_handler *handle, void *context) {
  if (n > RS_OWN_ROUTES) return rs_fail(RS_EARG, "more than %d routes", RS_OWN_ROUTES);
  rs_status status = RS_OK;
  for (int i = 0; i < n && status == RS_OK; i++) {
    status = check(&routes[i]);
    if (status != RS_OK) return status;
    rs_own_route *own = &s->own[s->n_own++];
    *own = (rs_own_route){rs_strdup(routes[i].method), rs_strdup(routes[i].path)};
    if (!own->method || !own->path) status = rs_nomem("server", strlen(routes[i].path));
    if (!strcmp(routes[i].method, "POST") && !strcmp(routes[i].path, "/recommend")) s->own_recommend = s->n_own;
  }
  s->own_handle = handle;
  s->own_context = context;
  return status;
}

void rs_server_own_free(rs_server *s) {
  for (int i = 0; i < s->n_own; i++) {
    rs_free((char *)s->own[i].method);
    rs_free((char *)s->own[i].path);
  }
}

int rs_server_own_find(rs_exchange *x) {
  const rs_server *s = x->server;
  for (int i = 0; i < s->n_own; i++)
    if (!strcmp(s->own[i].method, x->call->method) &&
        rs_path_fits(s->own[i].path, x->call->target->path, x->parts))
      return i;
  return -1;
}

void rs_server_own_allow(rs_exchange *x, char allowed[64]) {
  const rs_server *s = x->server;
  for (int i = 0; i < s->n_own; i++)
    if (rs_path_fits(s->own[i].path, x->call->target->path, x->parts)) rs_route_allow(allowed, s->own[i].method);
}

void rs_server_own_answer(const rs_exchange *x, int number, const rs_exchange *outer) {
  rs_own_call own = {x->server, outer, x->call, x->reply, number, {{0}}};
  for (int i = 0; i < RS_OWN_PARTS && i < RS_PATH_PARTS; i++)
    own.parts[i] = (rs_own_part){x->parts[i].text, x->parts[i].length};
  x->server->own_handle(x->server->own_context, &own);
}

void rs_server_inner(const rs_own_call *own, const char *method, const char *path, const char *body, size_t size,
                     rs_reply *reply) {
  rs_server *s = own->server;
  static const rs_http_pair json = {"content-type", "application/json"};
  rs_http_target target = {0};
  char allowed[64];
  rs_call call = *own->call;
  if (rs_http_target_parse(&target, path) != RS_OK) {
    rs_refuse(reply, 400, "bad_request", "", "%s", rs_message());
    return;
  }
  call.method = method;
  call.target = &target;
  call.body = body;
  call.size = size;
  call.headers = &json; /* what the caller has sent is about his own body */
  call.n_headers = 1;
  rs_exchange x = {.server = s, .call = &call, .reply = reply, .worker = &s->scratch[call.worker], .inner = true};
  x.counts = &s->counts[call.worker];
  const rs_route *route = rs_route_find(method, target.path, x.parts, allowed);
  if (!route || route->scope == RS_SCOPE_ADMIN) {
    rs_refuse(reply, 404, "not_found", "", "the server has no %.20s %.200s", method, target.path);
  } else {
    rs_exchange_enter(&x);
    if (own->outer) memcpy(x.versions, own->outer->versions, sizeof x.versions);
    route->handle(&x);
    rs_exchange_leave(&x);
  }
  rs_http_target_free(&target);
}
