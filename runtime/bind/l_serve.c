/* l_serve.c - recsys.core.serve: a bundle's model that answers requests, without the Lua model. */
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "bind/fields.h"
#include "bind/serve_batch.h"
#include "bind/served.h"
#include "serve/items.h"
#include "serve/json_out.h"

#define SCRATCH "recsys serve scratch"
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

/* What a model answers its state with. */
typedef struct desk {
  rs_serve_scratch *scratch;
  rs_json_in *in;
  rs_answer answer;
  rs_buffer out;
} desk;

static int l_desk_free(lua_State *L) {
  desk *d = luaL_checkudata(L, 1, SCRATCH);
  rs_serve_scratch_free(d->scratch);
  rs_json_in_free(d->in);
  rs_answer_free(&d->answer);
  rs_buffer_free(&d->out);
  *d = (desk){0};
  return 0;
}

/* That of the model at 1, kept as its user value: made for the first request. */
static desk *take_desk(lua_State *L) {
  if (lua_getiuservalue(L, 1, 1) == LUA_TUSERDATA) return luaL_checkudata(L, -1, SCRATCH);
  desk *d = rs_push_object(L, sizeof *d, SCRATCH, 0);
  rs_json_limits limits = rs_json_limits_standard();
  rs_check(L, rs_serve_scratch_new(&d->scratch));
  rs_check(L, rs_json_in_new(&d->in, &limits));
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, 1);
  return d;
}

/* A request of another world's making is refused; a wrong argument of the caller raises. */
static int finish(lua_State *L, rs_status status, int results) {
  if (status == RS_EARG || status == RS_ERANGE) luaL_error(L, "%s", rs_message());
  return rs_return(L, status, results);
}

/* serve.open(path, [copy = false]) -> ServedModel | nil, message, code */
static int l_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  bool copy = lua_toboolean(L, 2);
  rs_server_model **m = rs_push_object(L, sizeof *m, RS_SERVED, 1);
  return rs_return(L, (copy ? rs_server_model_open_copy : rs_server_model_open)(m, path), 1);
}

/* serve.map(path, [copy = false]) -> ServedModel | nil, message, code */
static int l_map(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  bool copy = lua_toboolean(L, 2);
  rs_server_model **m = rs_push_object(L, sizeof *m, RS_SERVED, 1);
  return rs_return(L, (copy ? rs_server_model_map_copy : rs_server_model_map)(m, path), 1);
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

/* m:member(name) -> string | nil */
static int l_member(lua_State *L) {
  const rs_member *found = rs_server_model_member(check_model(L), luaL_checkstring(L, 2));
  if (!found) return lua_pushnil(L), 1;
  lua_pushlstring(L, found->data, found->size);
  return 1;
}

/* m:facts() -> { users, items, events, width, as_of, window, index } */
static int l_facts(lua_State *L) {
  rs_server_facts facts = rs_server_model_facts(check_model(L));
  lua_createtable(L, 0, 8);
  rs_set_text(L, "index", facts.index);
  rs_set_integer(L, "users", facts.users);
  rs_set_integer(L, "items", facts.items);
  rs_set_integer(L, "events", facts.events);
  rs_set_integer(L, "width", facts.width);
  if (facts.columns)
    rs_set_text(L, "columns", facts.columns);
  else
    rs_set_integer(L, "likeness", facts.likeness);
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
  rs_past_event *history; /* the strings belong to the request's Lua table, here and below */
  rs_span *exclude;
  rs_cap *caps;
  rs_answer answer;
  rs_new_item *item;
} call;

static int l_call_free(lua_State *L) {
  call *c = luaL_checkudata(L, 1, CALL);
  json_decref(c->fields);
  rs_free(c->history);
  rs_free(c->exclude);
  rs_free(c->caps);
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

/* The same as a span. */
static rs_span span_field(lua_State *L, const char *key) {
  rs_span span = {0};
  span.text = string_field(L, key, &span.length);
  return span;
}

/* The list or table 'key' on the stack, and room for its n entries of 'size' bytes in *out; NULL when absent. */
static void *list_field(lua_State *L, const char *key, const char *words, int64_t n, size_t size, void **out) {
  int type = lua_getfield(L, 2, key);
  if (type != LUA_TNIL && type != LUA_TTABLE) luaL_argerror(L, 2, words);
  if (type == LUA_TNIL) return NULL;
  if (n < 0) n = (int64_t)lua_rawlen(L, -1);
  *out = rs_alloc_zero((size_t)(n + 1) * size);
  if (!*out) rs_check(L, rs_nomem("request", (size_t)n * size));
  return *out;
}

static const char *const history_words = "field 'history' must be a list of item ids, or of { item, time, fields }";

/* An event of the history: the value on top of the stack, which the request's table holds. */
static void past_event(lua_State *L, rs_past_event *event) {
  int whole = 1;
  event->time = RS_TIME_MISSING;
  if (lua_type(L, -1) == LUA_TSTRING) {
    event->item.text = lua_tolstring(L, -1, &event->item.length);
    return;
  }
  if (lua_type(L, -1) != LUA_TTABLE) luaL_argerror(L, 2, history_words);
  static const char *const names[] = {"item", "time", "fields"};
  for (int i = 0; i < 3; i++) {
    lua_pushstring(L, names[i]);
    lua_rawget(L, -2 - i);
  }
  if (lua_type(L, -3) == LUA_TSTRING) event->item.text = lua_tolstring(L, -3, &event->item.length);
  if (!lua_isnil(L, -2)) event->time = lua_tointegerx(L, -2, &whole);
  if (lua_type(L, -1) == LUA_TSTRING) event->fields.text = lua_tolstring(L, -1, &event->fields.length);
  if (!event->item.text || !whole || (!lua_isnil(L, -1) && !event->fields.text)) luaL_argerror(L, 2, history_words);
  lua_pop(L, 3);
}

static void history_field(lua_State *L, call *c, rs_request *request) {
  request->history = list_field(L, "history", history_words, -1, sizeof *c->history, (void **)&c->history);
  if (c->history) request->n_history = (int64_t)lua_rawlen(L, -1);
  for (int64_t i = 0; i < request->n_history; i++) {
    lua_rawgeti(L, -1, i + 1);
    past_event(L, &c->history[i]);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void exclude_field(lua_State *L, call *c, rs_request *request) {
  static const char words[] = "field 'exclude' must be a list of item ids";
  request->exclude = list_field(L, "exclude", words, -1, sizeof *c->exclude, (void **)&c->exclude);
  if (c->exclude) request->n_exclude = (int64_t)lua_rawlen(L, -1);
  for (int64_t i = 0; i < request->n_exclude; i++) {
    if (lua_rawgeti(L, -1, i + 1) != LUA_TSTRING) luaL_argerror(L, 2, words);
    c->exclude[i].text = lua_tolstring(L, -1, &c->exclude[i].length);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void caps_field(lua_State *L, call *c, rs_request *request) {
  enum { MOST = 64 };
  static const char words[] = "field 'caps' must be a table: attribute = number of items";
  request->caps = list_field(L, "caps", words, MOST, sizeof *c->caps, (void **)&c->caps);
  for (lua_pushnil(L); c->caps && lua_next(L, -2);) {
    int whole = 0;
    rs_cap *cap = &c->caps[request->n_caps];
    if (lua_type(L, -2) == LUA_TSTRING) cap->attribute.text = lua_tolstring(L, -2, &cap->attribute.length);
    cap->most = lua_tointegerx(L, -1, &whole);
    if (!whole || !cap->attribute.text || request->n_caps == MOST) luaL_argerror(L, 2, words);
    request->n_caps++;
    lua_pop(L, 1);
  }
  lua_pop(L, c->caps ? 1 : 2);
}

/* The number 'name' of the table on top of the stack; 'standard' when absent. */
static double number_in(lua_State *L, const char *key, const char *name, double standard) {
  int fine = 1;
  double number = standard;
  if (lua_getfield(L, -1, name) != LUA_TNIL) number = lua_tonumberx(L, -1, &fine);
  if (!fine) luaL_argerror(L, 2, lua_pushfstring(L, "field '%s.%s' must be a number", key, name));
  lua_pop(L, 1);
  return number;
}

/* Two numbers of the table 'key', the second a whole one; as they were when it is absent. */
static void pair_field(lua_State *L, const char *key, const char *first, double *x, const char *second, int64_t *n) {
  int type = lua_getfield(L, 2, key);
  if (type != LUA_TNIL && type != LUA_TTABLE)
    luaL_argerror(L, 2, lua_pushfstring(L, "field '%s' must be a table { %s, %s }", key, first, second));
  if (type == LUA_TTABLE) {
    *x = number_in(L, key, first, 1);
    *n = (int64_t)number_in(L, key, second, 0);
  }
  lua_pop(L, 1);
}

static rs_request check_request(lua_State *L, call *c) {
  rs_request request = {.now = integer_field(L, "now", RS_TIME_MISSING), .k = integer_field(L, "k", 10)};
  request.exclude_seen = boolean_field(L, "exclude_seen", true);
  request.model_only = !boolean_field(L, "fallback", true);
  request.user = span_field(L, "user");
  request.fields = span_field(L, "fields");
  request.filter = span_field(L, "filter");
  pair_field(L, "diversity", "lambda", &request.lambda, "pool", &request.pool);
  pair_field(L, "freshness", "boost", &request.boost, "half_life", &request.half_life);
  history_field(L, c, &request);
  exclude_field(L, c, &request);
  caps_field(L, c, &request);
  return request;
}

/* table[key] = text, unless there is none. */
static void set_word(lua_State *L, const char *key, const char *text, size_t length) {
  if (!text) return;
  lua_pushlstring(L, text, length);
  lua_setfield(L, -2, key);
}

static void push_reason(lua_State *L, const rs_server_model *m, const rs_reason *reason) {
  static const char *const kinds[] = {"like", "fresh", "popular"}, *const values[] = {"cosine", "boost", "place"};
  rs_span column, value;
  size_t length = 0;
  lua_createtable(L, 0, 3);
  rs_set_text(L, "kind", kinds[reason->kind]);
  lua_pushnumber(L, (double)reason->value);
  bool by_score = reason->kind == RS_LIKE && rs_server_model_facts(m).columns;
  lua_setfield(L, -2, by_score ? "score" : values[reason->kind]);
  if (reason->kind == RS_LIKE) {
    const char *id = rs_server_model_item(m, reason->row, &length);
    set_word(L, "item", id, length);
  } else if (reason->kind == RS_POPULAR && reason->row >= 0) {
    rs_server_model_segment(m, (int)reason->row, &column, &value);
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, column.text, column.length);
    lua_pushlstring(L, value.text, value.length);
    lua_rawset(L, -3);
    lua_setfield(L, -2, "segment");
  }
}

static void push_found(lua_State *L, const rs_server_model *m, const rs_found *found, int64_t rank) {
  size_t length = 0;
  lua_createtable(L, 0, 6);
  const char *text = rs_server_model_item(m, found->row, &length);
  set_word(L, "item", text, length);
  text = rs_server_model_title(m, found->row, &length);
  if (length > 0) set_word(L, "title", text, length);
  lua_pushnumber(L, (double)found->score);
  lua_setfield(L, -2, "score");
  rs_set_integer(L, "rank", rank);
  rs_set_text(L, "source", rs_source_word(found->source));
  lua_createtable(L, found->n_reasons, 0);
  for (int i = 0; i < found->n_reasons; i++) {
    push_reason(L, m, &found->reasons[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "reasons");
}

static void push_answer(lua_State *L, const rs_server_model *m, const rs_answer *answer) {
  const char *fallback = rs_fallback_word(answer->fallback), *missing = rs_missing_word(answer->missing);
  lua_createtable(L, 0, 8);
  lua_pushboolean(L, answer->known);
  lua_setfield(L, -2, "known");
  rs_set_integer(L, "now", answer->now);
  rs_set_integer(L, "foreign", answer->foreign);
  rs_set_integer(L, "unknown", answer->unknown);
  if (fallback) rs_set_text(L, "fallback", fallback);
  if (missing) rs_set_text(L, "missing", missing);
  if (answer->ignored.size > 0) rs_push_names(L, &answer->ignored), lua_setfield(L, -2, "ignored");
  lua_createtable(L, 0, 2);
  rs_set_integer(L, "seen", answer->seen);
  rs_set_integer(L, "rule", answer->rule);
  lua_setfield(L, -2, "filtered");
  lua_createtable(L, (int)answer->n, 0);
  for (int64_t i = 0; i < answer->n; i++) {
    push_found(L, m, &answer->items[i], i + 1);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "items");
}

/* m:recommend{ user, history, fields, now, k, exclude_seen, exclude, filter, caps, diversity, freshness, fallback }
 * -> { known, now, foreign, unknown, ignored, filtered, fallback, missing, items } | nil, message, code */
static int l_recommend(lua_State *L) {
  static const char *const known[] = {"user",   "history", "fields",    "now",       "k",        "exclude_seen", "exclude",
                                      "filter", "caps",    "diversity", "freshness", "fallback", NULL};
  const rs_server_model *m = check_model(L);
  rs_check_options(L, 2, known);
  lua_settop(L, 2);
  desk *d = take_desk(L);
  call *c = rs_push_object(L, sizeof *c, CALL, 0);
  rs_request request = check_request(L, c);
  rs_status status = rs_recommend(m, d->scratch, &request, &c->answer);
  if (status == RS_OK) push_answer(L, m, &c->answer);
  return finish(L, status, 1);
}

/* m:answer(json, [call]) -> json | nil, message, code */
static int l_answer(lua_State *L) {
  static const char *const calls[] = {"recommend", "similar", "score", "embed", NULL};
  const rs_server_model *m = check_model(L);
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  rs_question question = (rs_question)luaL_checkoption(L, 3, "recommend", calls);
  lua_settop(L, 2);
  desk *d = take_desk(L);
  rs_asked asked;
  d->out.size = 0;
  rs_status status = rs_json_in_ask(d->in, question, text, size, &asked);
  if (status == RS_OK) status = rs_json_reply(&d->out, question, m, d->scratch, &d->answer, &asked, NULL);
  if (status == RS_OK) lua_pushlstring(L, d->out.data, d->out.size);
  return rs_return(L, status, 1);
}

/* m:advance{ user, item, time, fields } -> true | nil, message, code */
static int l_advance(lua_State *L) {
  static const char *const known[] = {"user", "item", "time", "fields", NULL};
  rs_server_model *m = (rs_server_model *)check_model(L);
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
  rs_server_model *m = (rs_server_model *)check_model(L);
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
  rs_server_model *m = (rs_server_model *)check_model(L);
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
                                     {"member", l_member},
                                     {"verify", l_verify},
                                     {"facts", l_facts},
                                     {"user", l_user},
                                     {"item", l_item},
                                     {"recommend", l_recommend},
                                     {"answer", l_answer},
                                     {"batch", rs_serve_batch},
                                     {"recommend_users", l_recommend_users},
                                     {"advance", l_advance},
                                     {"put", l_put},
                                     {"refresh", l_refresh},
                                     {"close", l_free},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", l_open}, {"map", l_map}, {NULL, NULL}};
  rs_new_type(L, RS_SERVED, methods, meta);
  rs_new_scratch_type(L, SCRATCH, l_desk_free);
  rs_new_batch_type(L);
  rs_new_scratch_type(L, CALL, l_call_free);
  luaL_newlib(L, functions);
  return 1;
}
