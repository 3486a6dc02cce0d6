/* feature_batches.c - feature.batches: an epoch's batches, gathered one ahead by a thread of the core's. It sees
 * no Lua: it reads handles that the core keeps, whatever is collected here. */
#include "bind/feature.h"
#include "frame/batches.h"

#define BATCHES "recsys.Batches"

enum { MOST_PARTS = 16 };

static rs_batches *check_batches(lua_State *L) {
  rs_batches **slot = luaL_checkudata(L, 1, BATCHES);
  luaL_argcheck(L, *slot, 1, "batches are closed");
  return *slot;
}

/* Part 'i' of the list at 1, { Features, rows or nil }, left on the stack so that it stays. */
static rs_batch_part read_part(lua_State *L, int i) {
  rs_batch_part part = {0};
  lua_geti(L, 1, i);
  luaL_argcheck(L, lua_type(L, -1) == LUA_TTABLE, 1, "a list of { Features, rows } is expected");
  lua_geti(L, -1, 1);
  part.features = luaL_testudata(L, -1, RS_FEATURES);
  luaL_argcheck(L, part.features, 1, "a list of { Features, rows } is expected");
  if (lua_geti(L, -2, 2) != LUA_TNIL) part.rows = rs_check_vector(L, lua_gettop(L), RS_I64, -1);
  return part;
}

/* feature.batches(parts, order, bounds) -> Batches */
static int l_batches(lua_State *L) {
  rs_batch_part parts[MOST_PARTS];
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, 1);
  luaL_argcheck(L, 1 <= n && n <= MOST_PARTS, 1, "a list of 1 to 16 parts is expected");
  const rs_tensor *order = rs_check_vector(L, 2, RS_I64, -1), *bounds = rs_check_vector(L, 3, RS_I64, -1);
  luaL_checkstack(L, 3 * MOST_PARTS + 8, NULL);
  for (int i = 0; i < (int)n; i++) parts[i] = read_part(L, i + 1);
  rs_batches **out = rs_push_object(L, sizeof *out, BATCHES, 0);
  rs_check_retry(L, rs_batches_new(out, parts, (int)n, order, bounds));
  return 1;
}

/* batches:next() -> table name -> Tensor; nil behind the last one */
static int l_next(lua_State *L) {
  rs_batches *b = check_batches(L);
  rs_tensors *batch = rs_push_list(L);
  bool more = false;
  rs_check(L, rs_batches_next(b, batch, &more));
  if (!more) return lua_pushnil(L), 1;
  for (int64_t i = 0; i < batch->n; i++) rs_account(L, &batch->items[i].tensor);
  rs_push_tensors(L, batch);
  return 1;
}

/* __gc, __close and batches:close(): any number of times. */
static int l_free(lua_State *L) {
  rs_batches **slot = luaL_checkudata(L, 1, BATCHES);
  rs_batches_free(*slot);
  *slot = NULL;
  return 0;
}

void rs_open_feature_batches(lua_State *L) {
  static const luaL_Reg methods[] = {{"next", l_next}, {"close", l_free}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"batches", l_batches}, {NULL, NULL}};
  rs_new_type(L, BATCHES, methods, meta);
  luaL_setfuncs(L, functions, 0);
}
