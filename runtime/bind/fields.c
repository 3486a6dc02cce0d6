/* fields.c - see fields.h. */
#include "bind/fields.h"

#include <string.h>

/* Options. */

void rs_check_options(lua_State *L, int arg, const char *const *known) {
  luaL_checktype(L, arg, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "a list element";
    int i = 0;
    while (known[i] && strcmp(known[i], key) != 0) i++;
    if (!known[i]) luaL_argerror(L, arg, lua_pushfstring(L, "there is no option '%s'", key));
  }
}

int rs_wrong_option(lua_State *L, int arg, const char *name, const char *expected) {
  return luaL_argerror(L, arg, lua_pushfstring(L, "option '%s' must be %s", name, expected));
}

int64_t rs_integer_option(lua_State *L, int arg, const char *name, int64_t least, int64_t standard) {
  int type = lua_getfield(L, arg, name), ok = 0;
  int64_t value = type == LUA_TNIL ? standard : lua_tointegerx(L, -1, &ok);
  if (value < least || (type == LUA_TNIL ? standard < 0 : !ok))
    rs_wrong_option(L, arg, name, lua_pushfstring(L, "an integer of %I or more", (LUAI_UACINT)least));
  lua_pop(L, 1);
  return value;
}

double rs_number_option(lua_State *L, int arg, const char *name, double standard) {
  int type = lua_getfield(L, arg, name), ok = 1;
  double value = type == LUA_TNIL ? standard : lua_tonumberx(L, -1, &ok);
  if (!ok) rs_wrong_option(L, arg, name, "a number");
  lua_pop(L, 1);
  return value;
}

bool rs_boolean_option(lua_State *L, int arg, const char *name, bool standard) {
  int type = lua_getfield(L, arg, name);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN) rs_wrong_option(L, arg, name, "true or false");
  bool value = type == LUA_TNIL ? standard : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

const char *rs_string_option(lua_State *L, int arg, const char *name, const char *standard) {
  int type = lua_getfield(L, arg, name);
  if (type == LUA_TNIL && standard) return standard;
  if (type != LUA_TSTRING) rs_wrong_option(L, arg, name, "a string");
  return lua_tostring(L, -1);
}

int rs_choice_option(lua_State *L, int arg, const char *name, const char *const *words, const char *standard) {
  const char *value = rs_string_option(L, arg, name, standard);
  for (int i = 0; words[i]; i++)
    if (strcmp(words[i], value) == 0) return i;
  lua_pushliteral(L, "one of");
  for (int i = 0; words[i]; i++) lua_pushfstring(L, "%s%s '%s'", lua_tostring(L, -1), i ? "," : "", words[i]);
  return rs_wrong_option(L, arg, name, lua_tostring(L, -1));
}

const rs_tensor *rs_tensor_option(lua_State *L, int arg, const char *name) {
  if (lua_getfield(L, arg, name) == LUA_TNIL) return NULL;
  const rs_tensor *t = rs_test_tensor(L, -1);
  if (!t) rs_wrong_option(L, arg, name, "a Tensor");
  return t;
}

/* Fields. */

void rs_take_tensor(lua_State *L, int index, const char *name, rs_dtype dtype, int ndim, rs_tensor *out) {
  const rs_tensor *t = rs_test_tensor(L, index);
  if (!t || t->dtype != dtype || t->ndim != ndim)
    luaL_error(L, "'%s' must be a tensor %s with %d dimension%s, not %s", name, rs_dtype_name(dtype), ndim,
               ndim == 1 ? "" : "s", luaL_tolstring(L, index, NULL));
  rs_check_retry(L, rs_tensor_contiguous(out, t));
}

bool rs_take_field(lua_State *L, int index, const char *name, rs_dtype dtype, int ndim, rs_tensor *out) {
  bool given = lua_getfield(L, index, name) != LUA_TNIL;
  if (given) rs_take_tensor(L, -1, name, dtype, ndim, out);
  lua_pop(L, 1);
  return given;
}

void rs_need_field(lua_State *L, int index, const char *name, rs_dtype dtype, int ndim, rs_tensor *out) {
  if (!rs_take_field(L, index, name, dtype, ndim, out)) luaL_error(L, "'%s' is missing", name);
}

void rs_need_rows(lua_State *L, const rs_tensor *t, const char *name, int64_t n) {
  if (t->size[0] != n) luaL_error(L, "'%s' has %I elements, not %I", name, (LUAI_UACINT)t->size[0], (LUAI_UACINT)n);
}

lua_Integer rs_integer_field(lua_State *L, int index, const char *name, lua_Integer standard) {
  lua_getfield(L, index, name);
  int whole = 1;
  lua_Integer value = lua_isnil(L, -1) ? standard : lua_tointegerx(L, -1, &whole);
  if (!whole) luaL_error(L, "'%s' must be an integer, not %s", name, luaL_tolstring(L, -1, NULL));
  lua_pop(L, 1);
  return value;
}

rs_lists rs_take_lists(lua_State *L, int index, const char *name, rs_list_tensors *out) {
  int type = lua_getfield(L, index, name), lists = lua_gettop(L);
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    return (rs_lists){0};
  }
  if (type != LUA_TTABLE) luaL_error(L, "'%s' must be a table of starts, lengths and values", name);
  rs_need_field(L, lists, "starts", RS_I64, 1, &out->starts);
  rs_need_field(L, lists, "lengths", RS_I32, 1, &out->lengths);
  rs_need_field(L, lists, "values", RS_I32, 1, &out->values);
  rs_need_rows(L, &out->lengths, "lengths", out->starts.size[0]);
  lua_pop(L, 1);
  return (rs_lists){out->starts.size[0], rs_i64(&out->starts), rs_i32(&out->lengths), rs_i32(&out->values),
                    out->values.size[0]};
}

void rs_free_lists(rs_list_tensors *l) {
  rs_tensor_free(&l->starts);
  rs_tensor_free(&l->lengths);
  rs_tensor_free(&l->values);
}
