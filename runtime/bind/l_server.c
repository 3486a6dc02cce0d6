/* l_server.c - recsys.core.server: a server of models, and the service that listens for it. No Lua runs in its workers'
 * threads here. */
#include <string.h>

#include "bind/fields.h"
#include "bind/recipe_workers.h"
#include "bind/served.h"
#include "serve/media.h"
#include "serve/server.h"

#define SERVER "recsys.Server"

static const char *const slots[] = {"live", "candidate", "shadow", NULL};

typedef struct server {
  rs_server *server;   /* NULL: closed */
  rs_service *service; /* NULL: it does not listen */
  rs_recipe_workers *recipe; /* NULL: no handlers of a recipe's */
  rs_tokens *tokens;   /* of the service; NULL: it has none */
} server;

static int l_free(lua_State *L) {
  server *s = luaL_checkudata(L, 1, SERVER);
  server closing = *s;
  *s = (server){0};
  rs_service_free(closing.service); /* ends the workers, who use the server */
  rs_server_free(closing.server);
  rs_recipe_workers_free(closing.recipe);
  rs_tokens_free(closing.tokens);
  return 0;
}

static server *check_server(lua_State *L) {
  server *s = luaL_checkudata(L, 1, SERVER);
  luaL_argcheck(L, s->server, 1, "the server is closed");
  return s;
}

/* server.new { workers, runtime, commit, openapi, ... } -> Server */
static int l_new(lua_State *L) {
  static const char *const known[] = {"workers",   "runtime", "commit",      "openapi",
                                      "execution", "accept",  "models_root", "models_room", NULL};
  rs_check_options(L, 1, known);
  rs_server_options options = {.workers = (int)rs_integer_option(L, 1, "workers", 1, -1),
                               .runtime = rs_string_option(L, 1, "runtime", ""),
                               .commit = rs_string_option(L, 1, "commit", "")};
  luaL_argcheck(L, options.workers <= 1024, 1, "option 'workers' must be 1024 at the most");
  options.openapi = rs_string_option(L, 1, "openapi", "{}");
  options.openapi_size = lua_rawlen(L, -1);
  options.execution = rs_string_option(L, 1, "execution", "");
  options.accept = rs_string_option(L, 1, "accept", "");
  options.models_root = rs_string_option(L, 1, "models_root", "");
  options.models_room = rs_integer_option(L, 1, "models_room", 0, INT64_MAX);
  server *s = rs_push_object(L, sizeof *s, SERVER, 0);
  rs_check(L, rs_server_new(&s->server, &options));
  return 1;
}

/* server.answers(accept) -> boolean: whether an Accept wants a type that /invocations answers in */
static int l_answers(lua_State *L) {
  lua_pushboolean(L, rs_media_wanted(luaL_checkstring(L, 1), RS_MEDIA_JSON) != RS_MEDIA_OTHER);
  return 1;
}

/* server:put(slot, ServedModel, name, [share = 0]) -> true | nil, message, code */
static int l_put(lua_State *L) {
  server *s = check_server(L);
  int slot = luaL_checkoption(L, 2, NULL, slots);
  rs_server_model **m = luaL_checkudata(L, 3, RS_SERVED);
  luaL_argcheck(L, *m, 3, "model is closed");
  const char *name = luaL_checkstring(L, 4);
  lua_Integer share = luaL_optinteger(L, 5, 0);
  luaL_argcheck(L, 0 <= share && share <= 10000, 5, "a share is 0 to 10,000");
  rs_status status = rs_server_put(s->server, (rs_slot)slot, *m, name, (int)share);
  if (status == RS_OK) *m = NULL; /* it is the server's now */
  lua_pushboolean(L, true);
  return rs_return(L, status, 1);
}

/* server:keep(path, [days]) -> true | nil, message, code: keep events and items in a database; days 0: for ever, nil: as
 * long as they matter */
static int l_keep(lua_State *L) {
  server *s = check_server(L);
  const char *path = luaL_checkstring(L, 2);
  lua_Number days = luaL_optnumber(L, 3, -1);
  luaL_argcheck(L, !s->service, 1, "the server listens already");
  luaL_argcheck(L, days <= 36500, 3, "must be 36,500 days at the most");
  int64_t keep_ms = days < 0 ? RS_KEEP_AS_NEEDED : days == 0 ? -1 : (int64_t)(days * 86400000);
  rs_status status = rs_server_keep(s->server, path, keep_ms);
  lua_pushboolean(L, true);
  return rs_return(L, status, 1);
}

/* server:page(path, type, bytes) -> true: a file of the page at / */
static int l_page(lua_State *L) {
  server *s = check_server(L);
  size_t size = 0;
  const char *path = luaL_checkstring(L, 2), *type = luaL_checkstring(L, 3), *bytes = luaL_checklstring(L, 4, &size);
  luaL_argcheck(L, !s->service, 1, "the server listens already");
  rs_check(L, rs_server_page(s->server, path, type, bytes, size));
  lua_pushboolean(L, true);
  return 1;
}

/* The string at package[key], left on the stack. */
static const char *package_field(lua_State *L, const char *key) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "package");
  lua_getfield(L, -1, key);
  return luaL_checkstring(L, -1);
}

/* server:recipe{ path, workers, time_ms, memory } -> true | nil, message, code: the handlers of a serve recipe */
static int l_recipe(lua_State *L) {
  static const char *const known[] = {"path", "workers", "time_ms", "memory", NULL};
  server *s = check_server(L);
  rs_check_options(L, 2, known);
  luaL_argcheck(L, !s->service, 1, "the server listens already");
  luaL_argcheck(L, !s->recipe, 1, "the server has a recipe");
  rs_recipe_options options = {.recipe = rs_string_option(L, 2, "path", NULL),
                               .workers = (int)rs_integer_option(L, 2, "workers", 1, -1),
                               .time_ms = (int)rs_integer_option(L, 2, "time_ms", 1, 100),
                               .memory = (size_t)rs_integer_option(L, 2, "memory", 1 << 20, 64 << 20)};
  options.path = package_field(L, "path");
  options.cpath = package_field(L, "cpath");
  rs_status status = rs_recipe_workers_new(&s->recipe, &options);
  if (status == RS_OK) status = rs_recipe_workers_serve(s->recipe, s->server);
  lua_pushboolean(L, true);
  return rs_return(L, status, 1);
}

/* server:clear(slot) -> true */
static int l_clear(lua_State *L) {
  server *s = check_server(L);
  rs_check(L, rs_server_put(s->server, (rs_slot)luaL_checkoption(L, 2, NULL, slots), NULL, "", 0));
  lua_pushboolean(L, true);
  return 1;
}

/* server:verify(slot) -> true | nil, message, code */
static int l_verify(lua_State *L) {
  server *s = check_server(L);
  const rs_server_model *m = rs_server_model_in(s->server, (rs_slot)luaL_checkoption(L, 2, NULL, slots));
  luaL_argcheck(L, m, 2, "there is no version in that slot");
  lua_pushboolean(L, true);
  return rs_return(L, rs_server_model_verify(m), 1);
}

/* server:state(word) -> true */
static int l_state(lua_State *L) {
  static const char *const words[] = {"verifying", "ready", "draining", NULL};
  server *s = check_server(L);
  rs_server_state(s->server, words[luaL_checkoption(L, 2, NULL, words)]);
  lua_pushboolean(L, true);
  return 1;
}

/* server:asked() -> integer */
static int l_asked(lua_State *L) {
  lua_pushinteger(L, rs_server_asked(check_server(L)->server));
  return 1;
}

/* server:reloaded(asked, [failure]) -> true */
static int l_reloaded(lua_State *L) {
  server *s = check_server(L);
  rs_check(L, rs_server_reloaded(s->server, luaL_checkinteger(L, 2), luaL_optstring(L, 3, NULL)));
  lua_pushboolean(L, true);
  return 1;
}

/* server:counts() -> { requests, errors, live, candidate, shadow, reloads, failed_reloads, connections, ... } */
static int l_counts(lua_State *L) {
  server *s = check_server(L);
  rs_server_counts c = rs_server_counts_of(s->server);
  lua_createtable(L, 0, 12);
  rs_set_integer(L, "requests", c.requests);
  rs_set_integer(L, "errors", c.errors);
  for (int i = 0; i < RS_SLOTS; i++) rs_set_integer(L, slots[i], c.answers[i]);
  rs_set_integer(L, "reloads", c.reloads);
  rs_set_integer(L, "failed_reloads", c.failed_reloads);
  if (!s->service) return 1;
  rs_service_counts n = rs_service_counts_of(s->service);
  rs_set_integer(L, "connections", n.connections);
  rs_set_integer(L, "open", n.open);
  rs_set_integer(L, "in_flight", n.in_flight);
  return 1;
}

/* The service. */

/* An option that may be absent: NULL. */
static const char *text_option(lua_State *L, const char *name) {
  const char *text = rs_string_option(L, 2, name, "");
  return *text ? text : NULL;
}

static int small_option(lua_State *L, const char *name) {
  int64_t value = rs_integer_option(L, 2, name, 0, 0);
  if (value > INT32_MAX) rs_wrong_option(L, 2, name, "less than 2^31");
  return (int)value;
}

/* The tokens of a file, or of a text that somebody else was given. */
static rs_status take_tokens(lua_State *L, server *s) {
  const char *path = text_option(L, "tokens"), *text = text_option(L, "token_text");
  rs_tokens_free(s->tokens);
  s->tokens = NULL;
  if (path) return rs_tokens_read(&s->tokens, path);
  return text ? rs_tokens_parse(&s->tokens, text, strlen(text), "the tokens") : RS_OK;
}

static rs_service_options service_options(lua_State *L) {
  rs_service_options o = {.address = rs_string_option(L, 2, "host", "127.0.0.1")};
  o.port = small_option(L, "port");
  luaL_argcheck(L, o.port <= 65535, 2, "option 'port' must be 65535 at the most");
  o.names = rs_string_option(L, 2, "names", "");
  o.workers = (int)rs_integer_option(L, 2, "workers", 1, -1);
  o.connections = small_option(L, "connections");
  o.per_address = small_option(L, "per_address");
  o.proxies = text_option(L, "proxies");
  o.rate = rs_number_option(L, 2, "rate", 0);
  o.burst = rs_number_option(L, 2, "burst", 0);
  o.certificate = text_option(L, "certificate");
  o.key = text_option(L, "key");
  o.access_log = text_option(L, "access_log");
  o.log_addresses = rs_boolean_option(L, 2, "log_addresses", false);
  o.max_body = rs_integer_option(L, 2, "max_body", 0, 0);
  o.head_ms = small_option(L, "head_ms");
  o.idle_ms = small_option(L, "idle_ms");
  o.body_rate = small_option(L, "body_rate");
  o.write_rate = small_option(L, "write_rate");
  o.needs = rs_server_needs;
  return o;
}

/* server:start { host, port, ... } -> true | nil, message, code */
static int l_start(lua_State *L) {
  static const char *const known[] = {"host",       "port",          "workers",     "connections", "per_address",
                                      "rate",       "burst",         "tokens",      "token_text",  "certificate",
                                      "key",        "access_log",    "log_addresses", "max_body",  "head_ms",
                                      "idle_ms",    "body_rate",     "write_rate",  "names",       "proxies",     NULL};
  server *s = check_server(L);
  luaL_argcheck(L, !s->service, 1, "the server listens already");
  rs_check_options(L, 2, known);
  rs_service_options options = service_options(L);
  rs_status status = take_tokens(L, s);
  options.tokens = s->tokens;
  if (status == RS_OK) status = rs_service_start(&s->service, &options, rs_server_answer, s->server);
  if (status == RS_OK) rs_server_attend(s->server, s->service);
  lua_pushboolean(L, true);
  return rs_return(L, status, 1);
}

static rs_service *check_service(lua_State *L) {
  server *s = check_server(L);
  luaL_argcheck(L, s->service, 1, "the server does not listen");
  return s->service;
}

/* server:port() -> integer */
static int l_port(lua_State *L) {
  lua_pushinteger(L, rs_service_port(check_service(L)));
  return 1;
}

/* server:reopen_log() -> true */
static int l_reopen_log(lua_State *L) {
  rs_service_reopen_log(check_service(L));
  lua_pushboolean(L, true);
  return 1;
}

/* server:drain(timeout_ms) -> true */
static int l_drain(lua_State *L) {
  rs_service *service = check_service(L);
  rs_service_drain(service, (int)luaL_checkinteger(L, 2));
  lua_pushboolean(L, true);
  return 1;
}

/* server:trouble() -> message | nil: why the last attempt to write or read what is kept has failed */
static int l_trouble(lua_State *L) {
  rs_status status = rs_server_trouble(check_server(L)->server);
  if (status == RS_OK) return lua_pushnil(L), 1;
  lua_pushstring(L, rs_message());
  return 1;
}

/* server:finish(timeout_ms) -> lost, message */
static int l_finish(lua_State *L) {
  server *s = check_server(L);
  int64_t lost = rs_server_finish(s->server, (int)luaL_checkinteger(L, 2));
  lua_pushinteger(L, lost);
  if (lost == 0) return 1;
  lua_pushstring(L, rs_message());
  return 2;
}

static int l_tostring(lua_State *L) {
  server *s = luaL_checkudata(L, 1, SERVER);
  if (!s->server) return lua_pushliteral(L, "Server (closed)"), 1;
  if (!s->service) return lua_pushliteral(L, "Server (does not listen)"), 1;
  lua_pushfstring(L, "Server (port %d)", rs_service_port(s->service));
  return 1;
}

int rs_open_server(lua_State *L) {
  static const luaL_Reg methods[] = {{"start", l_start},   {"port", l_port},         {"put", l_put},
                                     {"keep", l_keep},     {"page", l_page},         {"recipe", l_recipe},
                                     {"clear", l_clear},   {"verify", l_verify},     {"state", l_state},
                                     {"asked", l_asked},   {"reloaded", l_reloaded}, {"counts", l_counts},
                                     {"drain", l_drain},   {"finish", l_finish},     {"reopen_log", l_reopen_log},
                                     {"trouble", l_trouble}, {"close", l_free},    {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"new", l_new}, {"answers", l_answers}, {NULL, NULL}};
  rs_new_type(L, SERVER, methods, meta);
  luaL_newlib(L, functions);
  return 1;
}
