/* l_http.c - recsys.core.http: a server that the caller's thread drives, a client, and one that asks at a constant rate.
 * No Lua runs in a callback. */
#include <string.h>

#include "bind/fields.h"
#include "http/client.h"
#include "http/load.h"
#include "http/server.h"

#define SERVER "recsys.HttpServer"
#define CLIENT "recsys.HttpClient"
#define LOAD "recsys.HttpLoad"
#define CALL "recsys http call" /* a request under way, which is abandoned when something raises */

enum { BURST = 64 }; /* requests that one step answers before it returns */

typedef rs_http_server *server;
typedef rs_http_client *client;
typedef rs_load *load; /* the user value: its requests */

/* A string that may be absent, which stays on the stack. */
static const char *text_option(lua_State *L, int arg, const char *name) {
  if (lua_getfield(L, arg, name) == LUA_TNIL) return NULL;
  if (lua_type(L, -1) != LUA_TSTRING) rs_wrong_option(L, arg, name, "a string");
  return lua_tostring(L, -1);
}

/* The server. */

static rs_http_server *check_server(lua_State *L, int arg) {
  server *s = luaL_checkudata(L, arg, SERVER);
  luaL_argcheck(L, *s, arg, "the server is closed");
  return *s;
}

static int l_server_free(lua_State *L) {
  server *s = luaL_checkudata(L, 1, SERVER);
  rs_http_server *closing = *s;
  *s = NULL;
  rs_http_server_free(closing);
  return 0;
}

/* http.server { address, port, max_body, max_memory, spool, timeout, connections, announce }
 * -> HttpServer | nil, message, code */
static int l_server(lua_State *L) {
  static const char *const known[] = {"address", "port",        "max_body", "max_memory", "spool",
                                      "timeout", "connections", "announce", NULL};
  rs_check_options(L, 1, known);
  int64_t port = rs_integer_option(L, 1, "port", 0, 0);
  luaL_argcheck(L, port <= 65535, 1, "option 'port' must be 65535 at the most");
  rs_http_options options = {.port = (int)port,
                             .address = rs_string_option(L, 1, "address", "127.0.0.1"),
                             .max_body = rs_integer_option(L, 1, "max_body", 0, 64 << 20),
                             .max_memory = rs_integer_option(L, 1, "max_memory", 0, 1 << 20),
                             .spool = text_option(L, 1, "spool"),
                             .timeout_s = (int)rs_integer_option(L, 1, "timeout", 0, 60),
                             .connections = (int)rs_integer_option(L, 1, "connections", 1, 256),
                             .announce = rs_boolean_option(L, 1, "announce", false)};
  server *s = rs_push_object(L, sizeof *s, SERVER, 0);
  return rs_return(L, rs_http_listen(s, &options), 1);
}

/* server:port() -> integer */
static int l_port(lua_State *L) {
  lua_pushinteger(L, rs_http_port(check_server(L, 1)));
  return 1;
}

static void push_headers(lua_State *L, const rs_http_pair *headers, int n) {
  lua_createtable(L, 0, n);
  for (int i = 0; i < n; i++) {
    if (lua_getfield(L, -1, headers[i].name) == LUA_TNIL)
      lua_pushstring(L, headers[i].value);
    else
      lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), headers[i].value);
    lua_setfield(L, -3, headers[i].name);
    lua_pop(L, 1);
  }
}

static void push_query(lua_State *L, const rs_http_target *target) {
  lua_createtable(L, target->n, 0);
  for (int i = 0; i < target->n; i++) {
    lua_createtable(L, 2, 0);
    lua_pushstring(L, target->query[i].name);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, target->query[i].value);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_request(lua_State *L, const rs_http_request *r) {
  const rs_http_target *target = rs_http_asked(r);
  const rs_http_pair *headers;
  size_t size;
  lua_createtable(L, 0, 8);
  rs_set_text(L, "method", rs_http_method(r));
  rs_set_text(L, "path", target->path);
  rs_set_text(L, "raw_path", target->raw);
  rs_set_text(L, "address", rs_http_client_address(r));
  push_query(L, target);
  lua_setfield(L, -2, "query");
  int n = rs_http_headers(r, &headers);
  push_headers(L, headers, n);
  lua_setfield(L, -2, "headers");
  if (rs_http_is_announced(r)) {
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "announced");
    return;
  }
  const char *body = rs_http_body(r, &size);
  if (body)
    lua_pushlstring(L, body, size);
  else
    lua_pushstring(L, rs_http_body_file(r));
  lua_setfield(L, -2, body ? "body" : "file");
}

/* The field 'headers' of the table at 'arg' as pairs, in scratch that stays on the stack, with the table. */
static const rs_http_pair *take_headers(lua_State *L, int arg, int *n) {
  *n = 0;
  if (lua_getfield(L, arg, "headers") == LUA_TNIL) return NULL;
  if (!lua_istable(L, -1)) luaL_error(L, "headers must be a table, name -> value");
  int table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "headers must be a table, name -> value, of strings");
    ++*n;
  }
  rs_http_pair *pairs = lua_newuserdatauv(L, sizeof *pairs * (size_t)(*n + 1), 0);
  int i = 0;
  for (lua_pushnil(L); i < *n && lua_next(L, table); lua_pop(L, 1))
    pairs[i++] = (rs_http_pair){lua_tostring(L, -2), lua_tostring(L, -1)};
  return pairs;
}

/* The response at the top of the stack. */
static rs_http_response take_response(lua_State *L) {
  int at = lua_gettop(L);
  if (!lua_istable(L, at)) luaL_error(L, "a handler must return a table, not a %s", luaL_typename(L, at));
  rs_http_response a = {.status = (int)rs_integer_field(L, at, "status", 200)};
  a.file = text_option(L, at, "file");
  if (lua_getfield(L, at, "body") != LUA_TNIL && lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "a body must be a string, not a %s", luaL_typename(L, -1));
  a.body = lua_tolstring(L, -1, &a.size);
  a.headers = take_headers(L, at, &a.n);
  return a;
}

/* Answer; what the world refuses, such as a file that is gone, the client is told. */
static void answer(lua_State *L, rs_http_request *r, const rs_http_response *a) {
  rs_status status = rs_http_answer(r, a);
  if (status == RS_EIO) {
    lua_pushfstring(L, "%s\n", rs_message());
    rs_http_response failed = {.status = 500};
    failed.body = lua_tolstring(L, -1, &failed.size);
    status = rs_http_answer(r, &failed);
  }
  rs_check(L, status);
}

/* server:step(timeout_ms, handler) -> how many requests were handled */
static int l_step(lua_State *L) {
  server *s = luaL_checkudata(L, 1, SERVER);
  check_server(L, 1);
  int timeout = (int)luaL_checkinteger(L, 2), handled = 0;
  luaL_checktype(L, 3, LUA_TFUNCTION);
  while (handled < BURST) {
    rs_http_request *r;
    rs_check(L, rs_http_step(*s, handled ? 0 : timeout, &r));
    if (!r) break;
    lua_settop(L, 3);
    lua_pushvalue(L, 3);
    push_request(L, r);
    rs_http_take(r); /* from here on an error is answered by 500 */
    handled++;
    lua_call(L, 1, 1);
    if (!*s) break; /* the handler closed it */
    if (lua_isnil(L, -1) && rs_http_is_announced(r)) {
      rs_http_admit(r);
      continue;
    }
    rs_http_response response = take_response(L);
    answer(L, r, &response);
  }
  lua_pushinteger(L, handled);
  return 1;
}

/* The client. */

static rs_http_client *check_client(lua_State *L, int arg) {
  client *c = luaL_checkudata(L, arg, CLIENT);
  luaL_argcheck(L, *c, arg, "the client is closed");
  return *c;
}

static int l_client_free(lua_State *L) {
  client *c = luaL_checkudata(L, 1, CLIENT);
  rs_http_client_free(*c);
  *c = NULL;
  return 0;
}

/* http.client { user, password, token, timeout_ms, ca, insecure, max_body } -> HttpClient | nil, message, code */
static int l_client(lua_State *L) {
  static const char *const known[] = {"user", "password", "token", "timeout_ms", "ca", "insecure", "max_body", NULL};
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    lua_newtable(L);
    lua_replace(L, 1);
  }
  rs_check_options(L, 1, known);
  rs_http_client_options options = {.user = text_option(L, 1, "user"),
                                    .password = text_option(L, 1, "password"),
                                    .token = text_option(L, 1, "token"),
                                    .ca = text_option(L, 1, "ca"),
                                    .insecure = rs_boolean_option(L, 1, "insecure", false),
                                    .timeout_ms = (int)rs_integer_option(L, 1, "timeout_ms", 0, 120000),
                                    .max_body = rs_integer_option(L, 1, "max_body", 0, 256 << 20)};
  client *c = rs_push_object(L, sizeof *c, CLIENT, 0);
  return rs_return(L, rs_http_client_new(c, &options), 1);
}

typedef struct call {
  client *client; /* NULL: over; the user value keeps it */
} call;

static int l_call_end(lua_State *L) {
  call *c = lua_touserdata(L, 1);
  if (c->client && *c->client) rs_http_stop(*c->client);
  c->client = NULL;
  return 0;
}

static void push_call(lua_State *L) {
  call *c = rs_push_object(L, sizeof *c, CALL, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  c->client = lua_touserdata(L, 1);
  lua_toclose(L, -1);
}

static void push_reply(lua_State *L, const rs_http_client *c) {
  const rs_http_pair *headers;
  size_t size;
  lua_createtable(L, 0, 3);
  rs_set_integer(L, "status", rs_http_status(c));
  int n = rs_http_reply_headers(c, &headers);
  push_headers(L, headers, n);
  lua_setfield(L, -2, "headers");
  const char *body = rs_http_reply(c, &size);
  lua_pushlstring(L, body, size);
  lua_setfield(L, -2, "body");
}

/* Wait for the answer, calling the function at 3, if there is one, between: what it gives is how many ms are waited until
 * the next time. It may yield. The request's own values reach up to 'top', where its call is; the collector may have ended
 * that of a coroutine that waits while the state is closed. */
static int wait_for(lua_State *L, int ignored, lua_KContext top) {
  (void)ignored;
  client *c = lua_touserdata(L, 1);
  bool called = lua_isfunction(L, 3), done = false;
  for (;;) {
    luaL_argcheck(L, *c, 1, "the client was closed while it waited");
    if (!((call *)lua_touserdata(L, (int)top))->client) return rs_return(L, rs_fail(RS_EIO, "the request was ended"), 1);
    int ms = !called ? 1000 : lua_gettop(L) == (int)top ? 0 : (int)luaL_optinteger(L, -1, 20);
    lua_settop(L, (int)top);
    rs_status status = rs_http_wait(*c, ms, &done);
    if (status == RS_OK && done) push_reply(L, *c);
    if (status != RS_OK || done) return rs_return(L, status, 1);
    if (!called) continue;
    lua_pushvalue(L, 3);
    lua_callk(L, 0, 1, top, wait_for);
  }
}

/* client:request { method, url, headers, body | file, into, wait } -> { status, headers, body } | nil, message, code */
static int l_request(lua_State *L) {
  static const char *const known[] = {"method", "url", "headers", "body", "file", "into", "wait", NULL};
  rs_http_client *c = check_client(L, 1);
  rs_check_options(L, 2, known);
  luaL_argcheck(L, !rs_http_busy(c), 1, "a request of this client is under way");
  lua_settop(L, 2);
  lua_getfield(L, 2, "wait"); /* at 3 */
  rs_http_call request = {.method = rs_string_option(L, 2, "method", "GET"),
                          .url = rs_string_option(L, 2, "url", NULL),
                          .file = text_option(L, 2, "file"),
                          .into = text_option(L, 2, "into")};
  if (text_option(L, 2, "body")) request.body = lua_tolstring(L, -1, &request.size);
  request.headers = take_headers(L, 2, &request.n);
  push_call(L);
  rs_status status = rs_http_start(c, &request);
  return status == RS_OK ? wait_for(L, LUA_OK, lua_gettop(L)) : rs_return(L, status, 1);
}

/* Asking at a constant rate. */

static rs_load *check_load(lua_State *L, int arg) {
  load *l = luaL_checkudata(L, arg, LOAD);
  luaL_argcheck(L, *l, arg, "the load is closed");
  return *l;
}

static int l_load_free(lua_State *L) {
  load *l = luaL_checkudata(L, 1, LOAD);
  rs_load_free(*l);
  *l = NULL;
  return 0;
}

/* The list of strings at 'arg', whose bytes it keeps, in scratch that stays on the stack. */
static const rs_load_request *take_requests(lua_State *L, int arg, int64_t n) {
  rs_load_request *requests = lua_newuserdatauv(L, sizeof *requests * (size_t)(n + 1), 1);
  lua_createtable(L, (int)n, 0);
  for (int64_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, arg, i + 1) != LUA_TSTRING) luaL_error(L, "option 'requests' must be a list of strings");
    requests[i].bytes = lua_tolstring(L, -1, &requests[i].size);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setiuservalue(L, -2, 1);
  return requests;
}

/* http.load { port, rate, seconds, requests, address, connections, timeout_ms } -> HttpLoad | nil, message, code */
static int l_load(lua_State *L) {
  static const char *const known[] = {"port", "rate", "seconds", "requests", "address", "connections", "timeout_ms", NULL};
  rs_check_options(L, 1, known);
  rs_load_options options = {.address = rs_string_option(L, 1, "address", "127.0.0.1"),
                             .port = (int)rs_integer_option(L, 1, "port", 1, 0),
                             .rate = rs_number_option(L, 1, "rate", 0),
                             .seconds = rs_number_option(L, 1, "seconds", 0),
                             .connections = (int)rs_integer_option(L, 1, "connections", 1, 16),
                             .timeout_ms = (int)rs_integer_option(L, 1, "timeout_ms", 1, 10000)};
  lua_settop(L, 1);
  if (lua_getfield(L, 1, "requests") != LUA_TTABLE) rs_wrong_option(L, 1, "requests", "a list of strings");
  options.n = (int64_t)lua_rawlen(L, 2);
  options.requests = take_requests(L, 2, options.n); /* at 3 */
  load *l = rs_push_object(L, sizeof *l, LOAD, 1);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, -2, 1);
  return rs_return(L, rs_load_new(l, &options), 1);
}

/* load:next() -> number, status, body, latency in seconds | nothing when all requests are over */
static int l_load_next(lua_State *L) {
  rs_load_answer answer;
  bool more;
  rs_load *l = check_load(L, 1);
  rs_check(L, rs_load_next(l, &answer, &more));
  if (!more) return 0;
  lua_pushinteger(L, answer.number + 1);
  lua_pushinteger(L, answer.status);
  lua_pushlstring(L, answer.body, answer.size);
  lua_pushnumber(L, (lua_Number)answer.latency / 1e9);
  return 4;
}

/* load:run() */
static int l_load_run(lua_State *L) {
  rs_check(L, rs_load_run(check_load(L, 1)));
  return 0;
}

/* load:summary() -> { due, fine, other, failed, waited, seconds, why } */
static int l_load_summary(lua_State *L) {
  rs_load_summary s = rs_load_summary_of(check_load(L, 1));
  lua_createtable(L, 0, 7);
  rs_set_integer(L, "due", s.due);
  rs_set_integer(L, "fine", s.fine);
  rs_set_integer(L, "other", s.other);
  rs_set_integer(L, "failed", s.failed);
  rs_set_integer(L, "waited", s.waited);
  lua_pushnumber(L, s.seconds);
  lua_setfield(L, -2, "seconds");
  rs_set_text(L, "why", s.why);
  return 1;
}

/* load:percentile(share) -> seconds | nil */
static int l_load_percentile(lua_State *L) {
  rs_load *l = check_load(L, 1);
  double share = luaL_checknumber(L, 2);
  luaL_argcheck(L, 0 <= share && share <= 1, 2, "must be 0 to 1");
  int64_t latency = rs_load_percentile(l, share);
  if (latency < 0) return 0;
  lua_pushnumber(L, (lua_Number)latency / 1e9);
  return 1;
}

int rs_open_http(lua_State *L) {
  static const luaL_Reg server_methods[] = {
      {"port", l_port}, {"step", l_step}, {"close", l_server_free}, {NULL, NULL}};
  static const luaL_Reg server_meta[] = {{"__gc", l_server_free}, {"__close", l_server_free}, {NULL, NULL}};
  static const luaL_Reg client_methods[] = {{"request", l_request}, {"close", l_client_free}, {NULL, NULL}};
  static const luaL_Reg client_meta[] = {{"__gc", l_client_free}, {"__close", l_client_free}, {NULL, NULL}};
  static const luaL_Reg load_methods[] = {{"next", l_load_next},       {"run", l_load_run},
                                          {"summary", l_load_summary}, {"percentile", l_load_percentile},
                                          {"close", l_load_free},      {NULL, NULL}};
  static const luaL_Reg load_meta[] = {{"__gc", l_load_free}, {"__close", l_load_free}, {NULL, NULL}};
  static const luaL_Reg call_meta[] = {{"__gc", l_call_end}, {"__close", l_call_end}, {NULL, NULL}};
  static const luaL_Reg none[] = {{NULL, NULL}};
  rs_new_type(L, SERVER, server_methods, server_meta);
  rs_new_type(L, CLIENT, client_methods, client_meta);
  rs_new_type(L, LOAD, load_methods, load_meta);
  rs_new_type(L, CALL, none, call_meta);
  static const luaL_Reg functions[] = {{"server", l_server}, {"client", l_client}, {"load", l_load}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
