/* l_serve.c - recsys.core.serve: a bundle's model that answers requests, without the Lua model. */
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "bind/fields.h"
#include "bind/served.h"
#include "serve/items.h"

#define CALL "recsys serve call" /* what one call holds, so that whatever raises leaks nothing */

static int l_free(lua_State *L) {
  rs_server_model **m = luaL_checkudata(L, 1, RS_SERVED);
  rs_server_model_free(*m);
  *m = NULL;
  return 0;
}

static const rs_server_model *check_model(lua_State *L) {
  rs_server_model **m = luaL_checkudata(L, 1, RS_SERVED);
  luaL_argcheck(L, *m, 1, "model is closed");
  return *m;
}

/* A request of another world's making is refused; a wrong argument of the caller raises. */
static int finish(lua_State *L, rs_status status, int results) {
  if (status == RS_EARG || status == RS_ERANGE) luaL_error(L, "%s", rs_message());
  return rs_return(L, status, results);
}

/* serve.open(path) -> ServedModel | nil, message, code */
static int l_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  rs_server_model **m = rs_push_object(L, sizeof *m, RS_SERVED, 0);
  return rs_return(L, rs_server_model_open(m, path), 1);
}

/* serve.map(path) -> ServedModel | nil, message, code */
static int l_map(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  rs_server_model **m = rs_push_object(L, sizeof *m, RS_SERVED, 0);
  return rs_return(L, rs_server_model_map(m, path), 1);
}

/* m:verify() -> true | nil, message, code */
static int l_verify(lua_State *L) {
  const rs_server_model *m = check_model(L);
  lua_pushboolean(L, true);
  return rs_return(L, rs_server_model_verify(m), 1);
}

/* m:digest() -> string */
static int l_digest(lua_State *L) {
  lua_pushstring(L, rs_server_model_digest(check_model(L)));
  return 1;
}

/* m:facts() -> { users, items, events, width, as_of, window } */
static int l_facts(lua_State *L) {
  rs_server_facts facts = rs_server_model_facts(check_model(L));
  lua_createtable(L, 0, 6);
  rs_set_integer(L, "users", facts.users);
  rs_set_integer(L, "items", facts.items);
  rs_set_integer(L, "events", facts.events);
  rs_set_integer(L, "width", facts.width);
  rs_set_integer(L, "as_of", facts.as_of);
  if (facts.window >= 0) rs_set_integer(L, "window", facts.window);
  return 1;
}

/* m:user(position) -> id */
static int l_user(lua_State *L) {
  const rs_server_model *m = check_model(L);
  size_t length = 0;
  const char *text = rs_server_model_user(m, rs_check_index(L, 2, rs_server_model_facts(m).users), &length);
  lua_pushlstring(L, text, length);
  return 1;
}

/* m:item(position) -> id, title */
static int l_item(lua_State *L) {
  const rs_server_model *m = check_model(L);
  int64_t row = rs_check_index(L, 2, rs_server_model_facts(m).items);
  size_t length = 0;
  const char *text = rs_server_model_item(m, row, &length);
  lua_pushlstring(L, text, length);
  text = rs_server_model_title(m, row, &length);
  lua_pushlstring(L, text, length);
  return 2;
}

/* Requests. */

typedef struct call {
  json_t *fields;
  rs_past_event *history; /* the strings belong to the request's Lua table */
  int64_t n_history;      /* of them */
  rs_answer answer;
  rs_new_item *item;
} call;

static int l_call_free(lua_State *L) {
  call *c = luaL_checkudata(L, 1, CALL);
  json_decref(c->fields);
  for (int64_t i = 0; i < c->n_history; i++) json_decref((json_t *)c->history[i].fields);
  rs_free(c->history);
  rs_answer_free(&c->answer);
  rs_new_item_free(c->item);
  *c = (call){0};
  return 0;
}

/* The integer field 'key' of the table at 2, or 'standard'. */
static int64_t integer_field(lua_State *L, const char *key, int64_t standard) {
  int whole = 1;
  int64_t value = standard;
  if (lua_getfield(L, 2, key) != LUA_TNIL) value = lua_tointegerx(L, -1, &whole);
  if (!whole) luaL_argerror(L, 2, lua_pushfstring(L, "field '%s' must be a whole number", key));
  lua_pop(L, 1);
  return value;
}

static bool boolean_field(lua_State *L, const char *key, bool standard) {
  bool value = lua_getfield(L, 2, key) == LUA_TNIL ? standard : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

/* The string field 'key', anchored by the table at 2; NULL when absent. */
static const char *string_field(lua_State *L, const char *key, size_t *length) {
  lua_pushstring(L, key);
  int type = lua_rawget(L, 2);
  if (type != LUA_TNIL && type != LUA_TSTRING)
    luaL_argerror(L, 2, lua_pushfstring(L, "field '%s' must be a string", key));
  const char *text = lua_tolstring(L, -1, length);
  lua_pop(L, 1);
  return text;
}

static const char *const history_words = "field 'history' must be a list of item ids, or of { item, time, fields }";

/* An event of the history: the value on top of the stack, which the request's table holds. */
static void past_event(lua_State *L, rs_past_event *event) {
  size_t length;
  int whole = 1;
  event->time = RS_TIME_MISSING;
  if (lua_type(L, -1) == LUA_TSTRING) {
    event->item = lua_tostring(L, -1);
    return;
  }
  if (lua_type(L, -1) != LUA_TTABLE) luaL_argerror(L, 2, history_words);
  static const char *const names[] = {"item", "time", "fields"};
  for (int i = 0; i < 3; i++) {
    lua_pushstring(L, names[i]);
    lua_rawget(L, -2 - i);
  }
  event->item = lua_type(L, -3) == LUA_TSTRING ? lua_tostring(L, -3) : NULL;
  if (!lua_isnil(L, -2)) event->time = lua_tointegerx(L, -2, &whole);
  if (!event->item || !whole) luaL_argerror(L, 2, history_words);
  const char *fields = lua_tolstring(L, -1, &length);
  json_t *parsed = NULL;
  if (fields) rs_check(L, rs_json_object(&parsed, fields, length, "the event's fields"));
  event->fields = parsed;
  lua_pop(L, 3);
}

static void history_field(lua_State *L, call *c, rs_request *request) {
  lua_pushliteral(L, "history");
  int type = lua_rawget(L, 2);
  if (type != LUA_TNIL && type != LUA_TTABLE) luaL_argerror(L, 2, history_words);
  if (type == LUA_TTABLE) {
    int64_t n = (int64_t)lua_rawlen(L, -1);
    request->history = c->history = rs_alloc_zero((size_t)n * sizeof *c->history);
    if (!c->history) rs_check(L, rs_nomem("request", (size_t)n * sizeof *c->history));
    request->n_history = c->n_history = n;
  }
  for (int64_t i = 0; i < request->n_history; i++) {
    lua_rawgeti(L, -1, i + 1);
    past_event(L, &c->history[i]);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static rs_request check_request(lua_State *L, call *c) {
  rs_request request = {.now = integer_field(L, "now", RS_TIME_MISSING), .k = integer_field(L, "k", 10)};
  size_t length = 0;
  request.exclude_seen = boolean_field(L, "exclude_seen", true);
  request.user = string_field(L, "user", &request.user_length);
  const char *fields = string_field(L, "fields", &length);
  if (fields) rs_check(L, rs_json_object(&c->fields, fields, length, "the request's fields"));
  request.fields = c->fields;
  history_field(L, c, &request);
  return request;
}

static void push_result(lua_State *L, const rs_server_model *m, int64_t row, double score) {
  size_t length = 0;
  lua_createtable(L, 0, 3);
  const char *text = rs_server_model_item(m, row, &length);
  lua_pushlstring(L, text, length);
  lua_setfield(L, -2, "item");
  text = rs_server_model_title(m, row, &length);
  if (length > 0) {
    lua_pushlstring(L, text, length);
    lua_setfield(L, -2, "title");
  }
  lua_pushnumber(L, score);
  lua_setfield(L, -2, "score");
}

static void push_answer(lua_State *L, const rs_server_model *m, const rs_answer *answer) {
  int64_t n = answer->rows.size[0];
  lua_createtable(L, 0, 4);
  lua_pushboolean(L, answer->known);
  lua_setfield(L, -2, "known");
  rs_set_integer(L, "now", answer->now);
  rs_set_integer(L, "foreign", answer->foreign);
  lua_createtable(L, (int)n, 0);
  for (int64_t i = 0; i < n; i++) {
    push_result(L, m, rs_i64(&answer->rows)[i], (double)rs_f32(&answer->scores)[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "items");
}

/* m:recommend{ user, history, fields, now, k, exclude_seen } -> { known, now, foreign, items } | nil, message, code */
static int l_recommend(lua_State *L) {
  static const char *const known[] = {"user", "history", "fields", "now", "k", "exclude_seen", NULL};
  const rs_server_model *m = check_model(L);
  rs_check_options(L, 2, known);
  lua_settop(L, 2);
  call *c = rs_push_object(L, sizeof *c, CALL, 0);
  rs_request request = check_request(L, c);
  rs_status status = rs_recommend(m, &request, &c->answer);
  if (status == RS_OK) push_answer(L, m, &c->answer);
  return finish(L, status, 1);
}

/* m:advance{ user, item, time, fields } -> true | nil, message, code */
static int l_advance(lua_State *L) {
  static const char *const known[] = {"user", "item", "time", "fields", NULL};
  check_model(L);
  rs_server_model *m = *(rs_server_model **)lua_touserdata(L, 1);
  rs_check_options(L, 2, known);
  lua_settop(L, 2);
  call *c = rs_push_object(L, sizeof *c, CALL, 0);
  rs_posted posted = {.time = integer_field(L, "time", RS_TIME_MISSING)};
  size_t length = 0;
  posted.user = string_field(L, "user", &posted.user_length);
  posted.item = string_field(L, "item", &posted.item_length);
  if (!posted.user || !posted.item) luaL_argerror(L, 2, "an event has a user and an item");
  const char *fields = string_field(L, "fields", &length);
  if (fields) rs_check(L, rs_json_object(&c->fields, fields, length, "the event's fields"));
  posted.fields = c->fields;
  rs_status status = rs_server_model_advance(m, &posted);
  lua_pushboolean(L, true);
  return rs_return(L, status, 1);
}

/* m:put{ item, title, created, fields } -> true | nil, message, code */
static int l_put(lua_State *L) {
  static const char *const known[] = {"item", "title", "created", "fields", NULL};
  check_model(L);
  rs_server_model *m = *(rs_server_model **)lua_touserdata(L, 1);
  rs_check_options(L, 2, known);
  lua_settop(L, 2);
  call *c = rs_push_object(L, sizeof *c, CALL, 0);
  rs_item item = {.created = integer_field(L, "created", RS_TIME_MISSING)};
  size_t length = 0;
  item.id = string_field(L, "item", &item.id_length);
  item.title = string_field(L, "title", &item.title_length);
  if (!item.id) luaL_argerror(L, 2, "an item has an id");
  const char *fields = string_field(L, "fields", &length);
  if (fields) rs_check(L, rs_json_object(&c->fields, fields, length, "the item's fields"));
  item.fields = c->fields;
  rs_status status = rs_server_model_make_item(&c->item, m, &item);
  if (status == RS_OK) status = rs_server_model_put_item(m, c->item);
  lua_pushboolean(L, true);
  return rs_return(L, status, 1);
}

/* m:refresh([now]) -> true | nil, message, code */
static int l_refresh(lua_State *L) {
  check_model(L);
  rs_server_model *m = *(rs_server_model **)lua_touserdata(L, 1);
  rs_status status = rs_server_model_refresh(m, luaL_optinteger(L, 2, RS_TIME_MISSING));
  lua_pushboolean(L, true);
  return rs_return(L, status, 1);
}

/* m:recommend_users{ first, n, now, k, exclude_seen } -> rows, scores | nil, message, code */
static int l_recommend_users(lua_State *L) {
  static const char *const known[] = {"first", "n", "now", "k", "exclude_seen", NULL};
  const rs_server_model *m = check_model(L);
  rs_check_options(L, 2, known);
  int64_t first = integer_field(L, "first", 1) - 1;
  int64_t n = integer_field(L, "n", rs_server_model_facts(m).users - first);
  int64_t now = integer_field(L, "now", RS_TIME_MISSING), k = integer_field(L, "k", 10);
  bool exclude_seen = boolean_field(L, "exclude_seen", true);
  rs_tensor *rows = rs_push_tensor(L), *scores = rs_push_tensor(L);
  rs_status status = rs_recommend_users(m, first, n, now, k, exclude_seen, rows, scores);
  if (status == RS_OK) rs_account(L, rows);
  return finish(L, status, 2);
}

static int l_tostring(lua_State *L) {
  rs_server_model **m = luaL_checkudata(L, 1, RS_SERVED);
  if (!*m) return lua_pushliteral(L, "ServedModel (closed)"), 1;
  rs_server_facts facts = rs_server_model_facts(*m);
  lua_pushfstring(L, "ServedModel of %I users x %I items", (LUAI_UACINT)facts.users, (LUAI_UACINT)facts.items);
  return 1;
}

int rs_open_serve(lua_State *L) {
  static const luaL_Reg methods[] = {{"digest", l_digest},
                                     {"verify", l_verify},
                                     {"facts", l_facts},
                                     {"user", l_user},
                                     {"item", l_item},
                                     {"recommend", l_recommend},
                                     {"recommend_users", l_recommend_users},
                                     {"advance", l_advance},
                                     {"put", l_put},
                                     {"refresh", l_refresh},
                                     {"close", l_free},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", l_open}, {"map", l_map}, {NULL, NULL}};
  rs_new_type(L, RS_SERVED, methods, meta);
  rs_new_scratch_type(L, CALL, l_call_free);
  luaL_newlib(L, functions);
  return 1;
}
