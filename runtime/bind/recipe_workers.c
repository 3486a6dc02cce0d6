/* recipe_workers.c - see recipe_workers.h. What a request and an answer look like to a handler is up to
 * lua/recsys/serve/worker.lua: here are the states, their limits, and the way in and out. */
#include "bind/recipe_workers.h"

#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"

enum { INSTRUCTIONS = 5000, TYPE_LENGTH = 128, MESSAGE_LENGTH = 1024, RECIPE_LENGTH = 16 << 20 };

typedef struct worker {
  _Alignas(64) lua_State *L;
  size_t used, most; /* bytes */
  bool refused;      /* memory was, since the call began */
  bool over;         /* the time is, */
  char where[256];   /* and so it was at this line: "recipe.lua:7: " */
  int64_t deadline;  /* ns of the monotonic clock */
  int time_ms;
  const char *recipe; /* its file */
  const rs_own_call *own; /* what is being answered; NULL: nothing */
  rs_buffer inner;        /* the answer of one of the server's routes */
  char type[TYPE_LENGTH]; /* of the reply's body */
} worker;

struct rs_recipe_workers {
  char *recipe, *path, *cpath;
  rs_buffer text;  /* of the recipe */
  char *signature; /* the routes of the first state, one a line; NULL: there is none yet */
  size_t memory;
  int time_ms, n;
  worker *workers;
  pthread_mutex_t making; /* states are made one at a time: libraries are loaded */
};

static int64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- limits ---- */

static void *limited(void *context, void *block, size_t before, size_t bytes) {
  worker *w = context;
  if (!block) before = 0;
  if (bytes == 0) {
    free(block);
    w->used -= before;
    return NULL;
  }
  if (bytes > before && w->used - before + bytes > w->most) {
    w->refused = true;
    return NULL;
  }
  void *grown = realloc(block, bytes);
  if (grown) w->used += bytes - before;
  return grown;
}

static worker *worker_of(lua_State *L) { return *(worker **)lua_getextraspace(L); }

/* Note where a worker is: at the recipe's line, else at what that has called. */
static void note_place(lua_State *L, worker *w) {
  lua_Debug at;
  w->where[0] = '\0';
  for (int level = 0; lua_getstack(L, level, &at); level++) {
    lua_getinfo(L, "Sl", &at);
    bool own = at.source[0] == '@' && strcmp(at.source + 1, w->recipe) == 0;
    if (at.currentline > 0 && (own || !w->where[0]))
      snprintf(w->where, sizeof w->where, "%s:%d: ", at.short_src, at.currentline);
    if (own) return;
  }
}

static void watch(lua_State *L, lua_Debug *ar);

/* Raise when the time is over, and from here on at each instruction. */
static void check_time(lua_State *L) {
  worker *w = worker_of(L);
  if (!w->over && clock_ns() < w->deadline) return;
  lua_sethook(L, watch, LUA_MASKCOUNT, 1);
  if (!w->over) note_place(L, w);
  w->over = true;
  lua_pushliteral(L, "the time is over");
  lua_error(L);
}

/* Coroutines have the hook of the state that made them. */
static void watch(lua_State *L, lua_Debug *ar) {
  (void)ar;
  check_time(L);
}

static void begin(worker *w, lua_State *L) {
  w->deadline = clock_ns() + (int64_t)w->time_ms * 1000000;
  w->over = w->refused = false;
  lua_sethook(L, watch, LUA_MASKCOUNT, INSTRUCTIONS);
}

/* ---- what a handler can call ---- */

/* inner(method, path, [body], [free]) -> status, body; 'free': what it takes is not of the handler's time */
static int l_inner(lua_State *L) {
  worker *w = worker_of(L);
  size_t size = 0;
  const char *method = luaL_checkstring(L, 1), *path = luaL_checkstring(L, 2), *body = luaL_optlstring(L, 3, NULL, &size);
  if (!w->own) luaL_error(L, "the server answers only while a handler is at work");
  check_time(L); /* few instructions may ask for much */
  w->inner.size = 0;
  rs_reply reply = {.status = 200, .type = "application/json", .body = &w->inner};
  int64_t begun = clock_ns();
  rs_server_inner(w->own, method, path, body, size, &reply);
  if (lua_toboolean(L, 4)) w->deadline += clock_ns() - begun;
  lua_pushinteger(L, reply.status);
  lua_pushlstring(L, w->inner.data ? w->inner.data : "", w->inner.size);
  return 2;
}

/* A character of a log's line at 'text': how many bytes it has; '*plain': it is printed as it is. Control characters, also
 * those of two bytes in UTF-8, would forge lines and drive terminals. */
static size_t log_character(const unsigned char *text, size_t left, bool *plain) {
  *plain = text[0] >= 0x20 && text[0] != 0x7f;
  if (text[0] != 0xc2 || left < 2 || text[1] < 0x80 || text[1] > 0x9f) return 1;
  *plain = false;
  return 2;
}

/* A text as a part of one line, into 'line', which has room for 4 * size + 1. It is written in one go by who calls: a
 * stream without a buffer has a call of the system for each character otherwise. */
static size_t plain_line(char *line, const char *text, size_t size) {
  const unsigned char *bytes = (const unsigned char *)text;
  size_t length = 0;
  bool plain;
  for (size_t at = 0, n; at < size; at += n) {
    n = log_character(bytes + at, size - at, &plain);
    if (plain) line[length++] = text[at];
    for (size_t i = 0; !plain && i < n; i++) length += (size_t)snprintf(line + length, 5, "\\x%02x", bytes[at + i]);
  }
  line[length] = '\0';
  return length;
}

/* log(text): a line on standard error. */
static int l_log(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  luaL_Buffer b;
  char *line = luaL_buffinitsize(L, &b, 4 * size + 1);
  luaL_pushresultsize(&b, plain_line(line, text, size));
  fprintf(stderr, "recsys-run: %s\n", lua_tostring(L, -1));
  return 0;
}

/* ---- states ---- */

/* The routes at the top of the stack are those of the states before, of which the first one says what they are. */
static void check_signature(lua_State *L, rs_recipe_workers *all) {
  const char *signature = luaL_checkstring(L, -1);
  if (!all->signature) {
    all->signature = rs_strdup(signature);
    if (!all->signature) rs_check(L, rs_nomem("recipe", strlen(signature)));
  } else if (strcmp(signature, all->signature) != 0) {
    luaL_error(L, "%s has other handlers than when the server started: start it anew", all->recipe);
  }
  lua_pop(L, 1);
}

/* In protected mode: leaves routes and answer(), as recsys.serve.worker gives them for the recipe. */
static int set_up(lua_State *L) {
  rs_recipe_workers *all = lua_touserdata(L, 1);
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_recsys_core);
  lua_setfield(L, -2, "recsys.core");
  lua_getglobal(L, "package");
  lua_pushstring(L, all->path);
  lua_setfield(L, -2, "path");
  lua_pushstring(L, all->cpath);
  lua_setfield(L, -2, "cpath");
  lua_getglobal(L, "require");
  lua_pushliteral(L, "recsys.serve.worker");
  lua_call(L, 1, 1);
  lua_pushstring(L, all->recipe);
  lua_pushlstring(L, all->text.data ? all->text.data : "", all->text.size);
  lua_pushcfunction(L, l_inner);
  lua_pushcfunction(L, l_log);
  lua_call(L, 4, 3);
  check_signature(L, all);
  lua_setfield(L, LUA_REGISTRYINDEX, "recsys answer");
  lua_setfield(L, LUA_REGISTRYINDEX, "recsys routes");
  return 0;
}

/* A message of what is on top of the stack, which is taken off; of { message } as recipes' refusals have it. */
static void take_message(lua_State *L, char message[MESSAGE_LENGTH]) {
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "message");
    lua_rawget(L, -2);
    lua_replace(L, -2);
    text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  }
  snprintf(message, MESSAGE_LENGTH, "%s", text ? text : "an error without a message");
  lua_pop(L, 1);
}

static rs_status make_state(rs_recipe_workers *all, worker *w) {
  char message[MESSAGE_LENGTH];
  w->most = all->memory;
  w->time_ms = all->time_ms;
  w->recipe = all->recipe;
  w->used = 0;
  lua_State *L = lua_newstate(limited, w);
  if (!L) return rs_nomem("a worker's Lua state", all->memory);
  *(worker **)lua_getextraspace(L) = w;
  lua_pushcfunction(L, set_up);
  lua_pushlightuserdata(L, all);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) {
    w->L = L;
    return RS_OK;
  }
  take_message(L, message);
  lua_close(L);
  return rs_fail(RS_EARG, "%s", message);
}

static void drop_state(worker *w) {
  if (w->L) lua_close(w->L);
  w->L = NULL;
}

rs_status rs_recipe_workers_new(rs_recipe_workers **out, const rs_recipe_options *options) {
  rs_recipe_workers *all = rs_alloc_zero(sizeof *all);
  *out = NULL;
  if (!all) return rs_nomem("recipe", sizeof *all);
  pthread_mutex_init(&all->making, NULL);
  all->recipe = rs_strdup(options->recipe);
  all->path = rs_strdup(options->path);
  all->cpath = rs_strdup(options->cpath);
  all->memory = options->memory;
  all->time_ms = options->time_ms;
  all->workers = rs_alloc_zero((size_t)options->workers * sizeof *all->workers);
  if (all->workers) all->n = options->workers;
  bool whole = all->recipe && all->path && all->cpath && all->workers;
  rs_status status = whole ? RS_OK : rs_nomem("recipe", (size_t)options->workers * sizeof *all->workers);
  if (status == RS_OK) status = rs_file_read(&all->text, options->recipe, RECIPE_LENGTH);
  for (int i = 0; status == RS_OK && i < all->n; i++) status = make_state(all, &all->workers[i]);
  if (status == RS_OK)
    *out = all;
  else
    rs_recipe_workers_free(all);
  return status;
}

void rs_recipe_workers_free(rs_recipe_workers *all) {
  if (!all) return;
  for (int i = 0; i < all->n; i++) {
    drop_state(&all->workers[i]);
    rs_buffer_free(&all->workers[i].inner);
  }
  rs_free(all->workers);
  rs_free(all->recipe);
  rs_free(all->path);
  rs_free(all->cpath);
  rs_free(all->signature);
  rs_buffer_free(&all->text);
  pthread_mutex_destroy(&all->making);
  rs_free(all);
}

/* ---- a call ---- */

static void set_pairs(lua_State *L, const char *key, const rs_http_pair *pairs, int n) {
  lua_createtable(L, 0, n);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, pairs[i].value);
    lua_setfield(L, -2, pairs[i].name);
  }
  lua_setfield(L, -2, key);
}

static void push_request(lua_State *L, const rs_own_call *own) {
  const rs_call *call = own->call;
  lua_createtable(L, 0, 9);
  rs_set_text(L, "method", call->method);
  rs_set_text(L, "path", call->target->path);
  rs_set_text(L, "request_id", call->request_id ? call->request_id : "");
  rs_set_text(L, "principal", call->principal ? call->principal : "");
  set_pairs(L, "query", call->target->query, call->target->n);
  set_pairs(L, "headers", call->headers, call->n_headers);
  lua_pushlstring(L, call->body ? call->body : "", call->size);
  lua_setfield(L, -2, "body");
  lua_createtable(L, RS_OWN_PARTS, 0);
  for (int i = 0; i < RS_OWN_PARTS && own->parts[i].text; i++) {
    lua_pushlstring(L, own->parts[i].text, own->parts[i].length);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "parts");
}

/* In protected mode: answer(route, request) -> status, type, body, into the reply. */
static int answer_call(lua_State *L) {
  const rs_own_call *own = lua_touserdata(L, 1);
  worker *w = worker_of(L);
  size_t size = 0;
  lua_getfield(L, LUA_REGISTRYINDEX, "recsys answer");
  lua_pushinteger(L, own->route + 1);
  push_request(L, own);
  lua_call(L, 2, 3);
  const char *type = luaL_checkstring(L, -2), *body = luaL_checklstring(L, -1, &size);
  own->reply->status = (int)luaL_checkinteger(L, -3);
  snprintf(w->type, sizeof w->type, "%s", type);
  own->reply->type = w->type;
  rs_check(L, rs_buffer_append(own->reply->body, body, size));
  return 0;
}

static void reply_error(rs_reply *reply, int status, const char *code, const char *message) {
  reply->status = status;
  reply->type = "application/json";
  reply->body->size = 0;
  if (rs_buffer_printf(reply->body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, message))
    reply->body->size = 0;
}

/* What a handler's failure is to the caller: never its message, which is the recipe's own matter and goes to the log. */
static void fail(worker *w, const rs_own_call *own) {
  char message[MESSAGE_LENGTH], line[4 * MESSAGE_LENGTH + 1];
  take_message(w->L, message);
  if (w->over)
    snprintf(message, sizeof message, "%sit takes more than the %d ms that it has", w->where, w->time_ms);
  plain_line(line, message, strlen(message));
  fprintf(stderr, "recsys-run: %s %s, request %s: %s\n", own->call->method, own->call->target->path,
          own->call->request_id ? own->call->request_id : "-", line);
  if (w->over)
    reply_error(own->reply, 504, "handler_time", "the handler of this path took too long");
  else
    reply_error(own->reply, 500, w->refused ? "handler_memory" : "handler_failed", "the handler of this path failed");
  if (!w->over && !w->refused) return;
  drop_state(w); /* what it was at is half done */
  rs_memory_release();
}

static rs_status need_state(rs_recipe_workers *all, worker *w) {
  if (w->L) return RS_OK;
  pthread_mutex_lock(&all->making);
  rs_status status = make_state(all, w);
  pthread_mutex_unlock(&all->making);
  return status;
}

static void handle(void *context, const rs_own_call *own) {
  rs_recipe_workers *all = context;
  worker *w = &all->workers[own->call->worker];
  if (need_state(all, w) != RS_OK) {
    fprintf(stderr, "recsys-run: %s\n", rs_message());
    reply_error(own->reply, 500, "handler_failed", "the handler of this path failed");
    return;
  }
  w->own = own;
  begin(w, w->L);
  lua_pushcfunction(w->L, answer_call);
  lua_pushlightuserdata(w->L, (void *)own);
  if (lua_pcall(w->L, 1, 0, 0) != LUA_OK) fail(w, own);
  w->own = NULL;
}

/* ---- routes ---- */

/* In protected mode: the routes of the first state to the server of all. */
static int give_routes(lua_State *L) {
  rs_recipe_workers *all = lua_touserdata(L, 1);
  rs_server *server = lua_touserdata(L, 2);
  rs_own_route routes[RS_OWN_ROUTES];
  lua_getfield(L, LUA_REGISTRYINDEX, "recsys routes");
  lua_Integer n = luaL_len(L, -1);
  if (n > RS_OWN_ROUTES) luaL_error(L, "a serve recipe has at most %d handlers", RS_OWN_ROUTES);
  luaL_checkstack(L, 3 * RS_OWN_ROUTES, NULL);
  for (lua_Integer i = 0; i < n; i++) {
    lua_geti(L, 3, i + 1);
    lua_getfield(L, -1, "method");
    lua_getfield(L, -2, "path");
    routes[i] = (rs_own_route){luaL_checkstring(L, -2), luaL_checkstring(L, -1)};
  }
  rs_check(L, rs_server_own(server, routes, (int)n, handle, all));
  return 0;
}

rs_status rs_recipe_workers_serve(rs_recipe_workers *all, rs_server *server) {
  char message[MESSAGE_LENGTH];
  lua_State *L = all->workers[0].L;
  lua_pushcfunction(L, give_routes);
  lua_pushlightuserdata(L, all);
  lua_pushlightuserdata(L, server);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) return RS_OK;
  take_message(L, message);
  return rs_fail(RS_EARG, "%s", message);
}
