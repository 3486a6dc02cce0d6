/* serve_batch.c - see serve_batch.h. */
#include "bind/serve_batch.h"

#include "bind/fields.h"
#include "bind/served.h"
#include "serve/batch.h"

#define BATCH "recsys.ServedBatch"

static int l_free(lua_State *L) {
  rs_batch **b = luaL_checkudata(L, 1, BATCH);
  rs_batch_free(*b);
  *b = NULL;
  return 0;
}

/* The batch, whose model (its user value) must be open still. */
static rs_batch *check_batch(lua_State *L) {
  rs_batch **b = luaL_checkudata(L, 1, BATCH);
  luaL_argcheck(L, *b, 1, "batch is closed");
  lua_getiuservalue(L, 1, 1);
  rs_server_model **m = luaL_checkudata(L, -1, RS_SERVED);
  luaL_argcheck(L, *m, 1, "the batch's model is closed");
  lua_pop(L, 1);
  return *b;
}

/* m:batch{ users, out, format, to, key, request, most, every } -> Batch | nil, message, code */
int rs_serve_batch(lua_State *L) {
  static const char *const known[] = {"users", "out", "format", "to", "key", "request", "most", "every", NULL};
  static const char *const formats[] = {"ids", "csv", "jsonl", NULL}, *const outputs[] = {"jsonl", "csv", NULL};
  rs_server_model **m = luaL_checkudata(L, 1, RS_SERVED);
  luaL_argcheck(L, *m, 1, "model is closed");
  rs_check_options(L, 2, known);
  lua_settop(L, 2);
  rs_batch_options options = {.limits = rs_json_limits_standard()};
  options.users = rs_string_option(L, 2, "users", NULL);
  options.out = rs_string_option(L, 2, "out", NULL);
  options.key = rs_string_option(L, 2, "key", "-");
  options.standard = rs_string_option(L, 2, "request", "{}");
  options.format = (rs_users_format)rs_choice_option(L, 2, "format", formats, "ids");
  options.csv = rs_choice_option(L, 2, "to", outputs, "jsonl") == 1;
  options.limits.k = rs_integer_option(L, 2, "most", 1, options.limits.k);
  options.every_ms = rs_integer_option(L, 2, "every", 1, 1000);
  rs_batch **b = rs_push_object(L, sizeof *b, BATCH, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1); /* the batch reads the model */
  return rs_return(L, rs_batch_open(b, *m, &options), 1);
}

/* b:step() -> boolean | nil, message, code */
static int l_step(lua_State *L) {
  bool done = false;
  rs_status status = rs_batch_step(check_batch(L), &done);
  lua_pushboolean(L, done);
  return rs_return(L, status, 1);
}

void rs_push_names(lua_State *L, const rs_buffer *names) {
  lua_newtable(L);
  for (size_t at = 0; at < names->size; at += strlen(names->data + at) + 1) {
    lua_pushstring(L, names->data + at);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
}

/* b:facts() -> { bytes, read, users, items, fallbacks, short, refused, resumed, ignored } */
static int l_facts(lua_State *L) {
  const rs_batch *b = check_batch(L);
  rs_batch_facts f = rs_batch_facts_of(b);
  lua_createtable(L, 0, 9);
  rs_set_integer(L, "bytes", f.bytes);
  rs_set_integer(L, "read", f.read);
  rs_set_integer(L, "users", f.users);
  rs_set_integer(L, "items", f.items);
  rs_set_integer(L, "fallbacks", f.fallbacks);
  rs_set_integer(L, "short", f.short_of_k);
  rs_set_integer(L, "refused", f.refused);
  rs_set_integer(L, "resumed", f.resumed);
  rs_push_names(L, rs_batch_ignored(b));
  lua_setfield(L, -2, "ignored");
  return 1;
}

void rs_new_batch_type(lua_State *L) {
  static const luaL_Reg methods[] = {{"step", l_step}, {"facts", l_facts}, {"close", l_free}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {NULL, NULL}};
  rs_new_type(L, BATCH, methods, meta);
}
