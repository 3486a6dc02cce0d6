/* bind.c - see bind.h. */
#include "bind/bind.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void rs_check(lua_State *L, rs_status status) {
  if (status != RS_OK) luaL_error(L, "%s", rs_message());
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

enum { LOOK = 1 << 20, SLACK = 64 << 20 };

/* What live bytes, and those of them on the heap, may grow to before rs_account collects. */
static _Thread_local int64_t most_live = SLACK, most_heap;

static void collect(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  rs_memory_use use = rs_memory_used();
  int64_t live = use.heap + use.spilled, slack = use.limit / 16 > LOOK ? use.limit / 16 : LOOK;
  most_live = live + (live / 4 > SLACK ? live / 4 : SLACK);
  most_heap = use.heap + (slack < SLACK ? slack : SLACK);
}

/* A finalizer that cannot be called for want of memory is lost, and with it what it would free. The empty call
 * leaves the call record and the stack behind that a finalizer at this level needs. */
bool rs_collect(lua_State *L) {
  if (!lua_checkstack(L, 2 * LUA_MINSTACK)) return false;
  lua_pushcfunction(L, nothing);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    lua_pop(L, 1);
    return false;
  }
  collect(L);
  return true;
}

int rs_return(lua_State *L, rs_status status, int results) {
  if (status == RS_OK) return results;
  lua_pushnil(L);
  lua_pushstring(L, rs_message());
  lua_pushstring(L, rs_status_word(status));
  return 3;
}

void *rs_push_object(lua_State *L, size_t bytes, const char *type, int uservalues) {
  void *object = lua_newuserdatauv(L, bytes, uservalues);
  memset(object, 0, bytes);
  luaL_setmetatable(L, type);
  return object;
}

int64_t rs_check_index(lua_State *L, int arg, int64_t n) {
  lua_Integer i = luaL_checkinteger(L, arg), at = i < 0 ? i + n + 1 : i;
  if (at < 1 || at > n)
    luaL_argerror(L, arg, lua_pushfstring(L, "index %I out of range 1..%I", (LUAI_UACINT)i, (LUAI_UACINT)n));
  return at - 1;
}

void rs_new_type(lua_State *L, const char *type, const luaL_Reg *methods, const luaL_Reg *meta) {
  luaL_newmetatable(L, type);
  if (meta) luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void rs_new_scratch_type(lua_State *L, const char *type, lua_CFunction finalizer) {
  luaL_newmetatable(L, type);
  lua_pushcfunction(L, finalizer);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

/* Scratch. */

#define LIST "recsys tensor list"
#define BUFFER "recsys buffer"

static int l_list_free(lua_State *L) {
  rs_tensors_free(luaL_checkudata(L, 1, LIST));
  return 0;
}

static int l_buffer_free(lua_State *L) {
  rs_buffer_free(luaL_checkudata(L, 1, BUFFER));
  return 0;
}

void rs_open_scratch(lua_State *L) {
  rs_new_scratch_type(L, LIST, l_list_free);
  rs_new_scratch_type(L, BUFFER, l_buffer_free);
}

rs_tensors *rs_push_list(lua_State *L) { return rs_push_object(L, sizeof(rs_tensors), LIST, 0); }
rs_buffer *rs_push_buffer(lua_State *L) { return rs_push_object(L, sizeof(rs_buffer), BUFFER, 0); }

/* Fields. */

void rs_set_integer(lua_State *L, const char *key, int64_t value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, key);
}

void rs_set_text(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

void rs_set_tensor(lua_State *L, const char *key, const rs_tensor *t) {
  rs_tensor_share(rs_push_tensor(L), t);
  lua_setfield(L, -2, key);
}

/* Tensors. */

rs_tensor *rs_push_tensor(lua_State *L) { return rs_push_object(L, sizeof(rs_tensor), RS_TENSOR, 0); }

rs_tensor *rs_check_tensor(lua_State *L, int arg) {
  rs_tensor *t = luaL_checkudata(L, arg, RS_TENSOR);
  luaL_argcheck(L, t->storage, arg, "tensor is closed");
  return t;
}

rs_tensor *rs_test_tensor(lua_State *L, int arg) {
  rs_tensor *t = luaL_testudata(L, arg, RS_TENSOR);
  return t && t->storage ? t : NULL;
}

int rs_push_size(lua_State *L, const rs_tensor *t) {
  if (!lua_isnoneornil(L, 2)) {
    lua_pushinteger(L, t->size[rs_check_index(L, 2, t->ndim)]);
    return 1;
  }
  lua_createtable(L, t->ndim, 0);
  for (int d = 0; d < t->ndim; d++) {
    lua_pushinteger(L, t->size[d]);
    lua_rawseti(L, -2, d + 1);
  }
  return 1;
}

/* Collect whenever live bytes have grown by a quarter (and by SLACK at least) since the last time, or, under a memory
 * limit, those on the heap by a sixteenth of it. What a closed tape gives back early is no growth, so that training,
 * which closes its tapes, hardly ever stops for Lua's collector. */
void rs_account(lua_State *L, const rs_tensor *t) {
  static _Thread_local int64_t pending;
  pending += (int64_t)rs_tensor_bytes(t);
  if (pending < LOOK) return;
  pending = 0;
  rs_memory_use use = rs_memory_used();
  if (use.heap + use.spilled >= most_live || (use.limit > 0 && use.heap >= most_heap)) collect(L);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const rs_named_tensor *)a)->name, ((const rs_named_tensor *)b)->name);
}

void rs_check_tensors(lua_State *L, int arg, rs_tensors *list) {
  arg = lua_absindex(L, arg);
  luaL_checktype(L, arg, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) luaL_argerror(L, arg, "a table of names to tensors expected");
    const rs_tensor *t = rs_test_tensor(L, -1);
    if (!t) luaL_argerror(L, arg, lua_pushfstring(L, "'%s' is not an open tensor", lua_tostring(L, -2)));
    rs_check(L, rs_tensors_add(list, lua_tostring(L, -2), t));
  }
  if (list->n > 1) qsort(list->items, (size_t)list->n, sizeof *list->items, by_name);
}

void rs_push_tensors(lua_State *L, const rs_tensors *list) {
  lua_createtable(L, 0, (int)list->n);
  for (int64_t i = 0; i < list->n; i++) {
    rs_tensor_share(rs_push_tensor(L), &list->items[i].tensor);
    lua_setfield(L, -2, list->items[i].name);
  }
}
