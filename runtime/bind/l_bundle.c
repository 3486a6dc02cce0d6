/* l_bundle.c - recsys.core.bundle: bundles and safetensors files. */
#include <string.h>

#include "base/json.h"
#include "bind/bind.h"
#include "bundle/bundle.h"

#define BUNDLE "recsys.Bundle"

/* Metatables of what only this file holds in userdata, so that whatever raises leaks nothing. */
#define DRAFT "recsys bundle draft"
#define JSON "recsys json"

/* A wrong argument raises; a refusal of the world is returned. */
static int finish(lua_State *L, rs_status status, int results) {
  if (status == RS_EARG) luaL_error(L, "%s", rs_message());
  return rs_return(L, status, results);
}

/* What rs_bundle_write is told. The texts belong to the Lua table of members, which stays on the stack. */
typedef struct draft {
  int n;
  rs_bundle_source sources[RS_BUNDLE_MEMBER_LIMIT];
  rs_tensors tensors[RS_BUNDLE_MEMBER_LIMIT];
} draft;

static int l_draft_free(lua_State *L) {
  draft *d = luaL_checkudata(L, 1, DRAFT);
  for (int i = 0; i < d->n; i++) rs_tensors_free(&d->tensors[i]);
  d->n = 0;
  return 0;
}

/* Push a field of the table on top of the stack, past metamethods; returns its type. */
static int raw_field(lua_State *L, const char *key) {
  lua_pushstring(L, key);
  return lua_rawget(L, -2);
}

/* The member on top of the stack, { name, bytes = string } or { name, tensors = table }. */
static void take_source(lua_State *L, rs_bundle_source *source, rs_tensors *tensors) {
  if (!lua_istable(L, -1) || lua_rawgeti(L, -1, 1) != LUA_TSTRING)
    luaL_argerror(L, 3, "each member must be a table that starts with its name");
  source->name = lua_tostring(L, -1);
  lua_pop(L, 1);
  if (raw_field(L, "bytes") == LUA_TSTRING) source->data = lua_tolstring(L, -1, &source->size);
  lua_pop(L, 1);
  if (raw_field(L, "tensors") == LUA_TTABLE) {
    rs_check_tensors(L, -1, tensors);
    source->tensors = tensors;
  }
  lua_pop(L, 1);
  if (!source->data == !source->tensors)
    luaL_argerror(L, 3, lua_pushfstring(L, "member '%s' must have either bytes or tensors", source->name));
}

/* bundle.write(path, manifest_json, members) -> digest | nil, message, code */
static int l_write(lua_State *L) {
  size_t bytes = 0;
  const char *path = luaL_checkstring(L, 1), *manifest = luaL_checklstring(L, 2, &bytes);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, 3);
  luaL_argcheck(L, n <= RS_BUNDLE_MEMBER_LIMIT, 3, "too many members");
  draft *d = rs_push_object(L, sizeof *d, DRAFT, 0);
  for (int i = 0; i < (int)n; i++) {
    lua_rawgeti(L, 3, i + 1);
    d->n = i + 1;
    take_source(L, &d->sources[i], &d->tensors[i]);
    lua_pop(L, 1);
  }
  char digest[RS_SHA256_TEXT + 1] = "";
  rs_status status = rs_bundle_write(path, manifest, bytes, d->n, d->sources, digest);
  lua_pushstring(L, digest);
  return finish(L, status, 1);
}

/* Reading. */

static int l_free(lua_State *L) {
  rs_bundle **b = luaL_checkudata(L, 1, BUNDLE);
  rs_bundle_free(*b);
  *b = NULL;
  return 0;
}

static const rs_bundle *check_bundle(lua_State *L) {
  rs_bundle **b = luaL_checkudata(L, 1, BUNDLE);
  luaL_argcheck(L, *b, 1, "bundle is closed");
  return *b;
}

/* bundle.open(path, [verify = true]) -> Bundle | nil, message, code */
static int l_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  bool verify = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
  rs_bundle **b = rs_push_object(L, sizeof *b, BUNDLE, 0);
  return rs_return(L, rs_bundle_open(b, path, verify), 1);
}

/* b:manifest_text() -> string */
static int l_manifest_text(lua_State *L) {
  const rs_member *m = rs_bundle_manifest(check_bundle(L));
  lua_pushlstring(L, m->data, m->size);
  return 1;
}

static int l_json_free(lua_State *L) {
  json_t **value = luaL_checkudata(L, 1, JSON);
  json_decref(*value);
  *value = NULL;
  return 0;
}

static void push_json(lua_State *L, const json_t *value);

static void push_object(lua_State *L, const json_t *object) {
  const char *key;
  json_t *value;
  lua_createtable(L, 0, (int)json_object_size(object));
  json_object_foreach((json_t *)object, key, value) {
    push_json(L, value);
    lua_setfield(L, -2, key);
  }
}

static void push_array(lua_State *L, const json_t *array) {
  size_t n = json_array_size(array);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    push_json(L, json_array_get(array, i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

/* null becomes nil; whole numbers stay whole. */
static void push_json(lua_State *L, const json_t *value) {
  luaL_checkstack(L, 4, "the manifest is nested too deeply");
  switch (json_typeof(value)) {
    case JSON_OBJECT: push_object(L, value); break;
    case JSON_ARRAY: push_array(L, value); break;
    case JSON_STRING: lua_pushlstring(L, json_string_value(value), json_string_length(value)); break;
    case JSON_INTEGER: lua_pushinteger(L, json_integer_value(value)); break;
    case JSON_REAL: lua_pushnumber(L, json_real_value(value)); break;
    case JSON_NULL: lua_pushnil(L); break;
    default: lua_pushboolean(L, json_is_true(value));
  }
}

/* b:manifest() -> table */
static int l_manifest(lua_State *L) {
  const rs_member *m = rs_bundle_manifest(check_bundle(L));
  json_t **value = rs_push_object(L, sizeof *value, JSON, 0);
  rs_check(L, rs_json_object(value, m->data, m->size, m->name));
  push_json(L, *value);
  json_decref(*value);
  *value = NULL;
  return 1;
}

/* b:digest() -> string: the SHA-256 of the manifest, which vouches for all the rest */
static int l_digest(lua_State *L) {
  lua_pushstring(L, rs_bundle_manifest(check_bundle(L))->sha256);
  return 1;
}

/* b:members() -> { { name, bytes, sha256 }, ... } in order */
static int l_members(lua_State *L) {
  const rs_bundle *b = check_bundle(L);
  lua_createtable(L, rs_bundle_count(b), 0);
  for (int i = 0; i < rs_bundle_count(b); i++) {
    const rs_member *m = rs_bundle_member(b, i);
    lua_createtable(L, 0, 3);
    rs_set_text(L, "name", m->name);
    rs_set_integer(L, "bytes", (int64_t)m->size);
    rs_set_text(L, "sha256", m->sha256);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* b:text(name) -> string, or nil when there is no such member */
static int l_text(lua_State *L) {
  const rs_member *m = rs_bundle_find(check_bundle(L), luaL_checkstring(L, 2));
  if (!m) return luaL_pushfail(L), 1;
  lua_pushlstring(L, m->data, m->size);
  return 1;
}

/* Tensors on their way into a Lua table: freed by whoever comes first, the call's end or the collector. */
static int return_list(lua_State *L, rs_status status, rs_tensors *list) {
  if (status == RS_OK) rs_push_tensors(L, list);
  rs_tensors_free(list);
  return rs_return(L, status, 1);
}

/* b:tensors(name) -> { name = Tensor, ... } | nil, message, code */
static int l_tensors(lua_State *L) {
  const rs_bundle *b = check_bundle(L);
  const char *name = luaL_checkstring(L, 2);
  rs_tensors *list = rs_push_list(L);
  return return_list(L, rs_bundle_tensors(b, name, list), list);
}

/* b:verify() -> true | nil, message, code: hashes every member as a whole */
static int l_verify(lua_State *L) {
  rs_status status = rs_bundle_verify(check_bundle(L));
  lua_pushboolean(L, 1);
  return rs_return(L, status, 1);
}

static int l_tostring(lua_State *L) {
  rs_bundle **b = luaL_checkudata(L, 1, BUNDLE);
  if (*b)
    lua_pushfstring(L, "Bundle of %d members", rs_bundle_count(*b));
  else
    lua_pushliteral(L, "Bundle (closed)");
  return 1;
}

/* bundle.write_safetensors(path, tensors, [later]) -> true | nil, message, code */
static int l_write_safetensors(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  rs_tensors *list = rs_push_list(L);
  rs_check_tensors(L, 2, list);
  rs_status status = rs_safetensors_write(path, list, lua_toboolean(L, 3));
  rs_tensors_free(list);
  lua_pushboolean(L, 1);
  return finish(L, status, 1);
}

/* bundle.read_safetensors(path) -> { name = Tensor, ... } mapped | nil, message, code */
static int l_read_safetensors(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  rs_tensors *list = rs_push_list(L);
  return return_list(L, rs_safetensors_open(list, path), list);
}

int rs_open_bundle(lua_State *L) {
  static const luaL_Reg methods[] = {{"manifest", l_manifest},
                                     {"manifest_text", l_manifest_text},
                                     {"digest", l_digest},
                                     {"members", l_members},
                                     {"text", l_text},
                                     {"tensors", l_tensors},
                                     {"verify", l_verify},
                                     {"close", l_free},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"write", l_write},
                                       {"open", l_open},
                                       {"write_safetensors", l_write_safetensors},
                                       {"read_safetensors", l_read_safetensors},
                                       {NULL, NULL}};
  rs_new_type(L, BUNDLE, methods, meta);
  rs_new_scratch_type(L, DRAFT, l_draft_free);
  rs_new_scratch_type(L, JSON, l_json_free);
  luaL_newlib(L, functions);
  return 1;
}
