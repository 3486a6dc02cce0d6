/* retrieval_hnsw.c - building, saving and opening approximate indexes from Lua. */
#include "bind/retrieval_hnsw.h"

#include "bind/fields.h"
#include "retrieval/hnsw.h"

/* Push an Index without an engine yet. */
static rs_index **push_index(lua_State *L) { return rs_push_object(L, sizeof(rs_index *), RS_INDEX, 0); }

static const rs_hnsw *check_hnsw(lua_State *L) {
  rs_index **index = luaL_checkudata(L, 1, RS_INDEX);
  luaL_argcheck(L, *index, 1, "index is closed");
  return rs_hnsw_of(*index);
}

static rs_hnsw_options take_options(lua_State *L, int arg) {
  static const char *const known[] = {"m", "ef_construction", "seed", "codes", "direct", NULL};
  rs_hnsw_options o = {.seed = 1, .codes = true};
  if (lua_isnoneornil(L, arg)) return o;
  rs_check_options(L, arg, known);
  o.m = rs_integer_option(L, arg, "m", 2, RS_HNSW_M);
  o.ef_construction = rs_integer_option(L, arg, "ef_construction", 1, RS_HNSW_EF_CONSTRUCTION);
  o.seed = rs_integer_option(L, arg, "seed", 0, 1);
  o.codes = rs_boolean_option(L, arg, "codes", true);
  o.direct = rs_boolean_option(L, arg, "direct", false);
  return o;
}

int rs_retrieval_hnsw(lua_State *L) {
  const rs_tensor *items = rs_check_tensor(L, 1);
  rs_hnsw_options options = take_options(L, 2);
  rs_index **index = push_index(L);
  rs_hnsw *h = NULL;
  rs_check_retry(L, rs_hnsw_build(&h, items, &options));
  *index = rs_hnsw_index(h);
  return 1;
}

int rs_retrieval_load(lua_State *L) {
  const rs_tensor *items = rs_check_tensor(L, 2);
  rs_tensors *tensors = rs_push_list(L);
  rs_check_tensors(L, 1, tensors);
  rs_index **index = push_index(L);
  rs_hnsw *h = NULL;
  rs_status status = rs_hnsw_open(&h, tensors, items);
  rs_tensors_free(tensors);
  if (status == RS_OK) *index = rs_hnsw_index(h);
  return rs_return(L, status, 1);
}

int rs_retrieval_save(lua_State *L) {
  const rs_hnsw *h = check_hnsw(L);
  if (!h) return 0;
  rs_tensors *tensors = rs_push_list(L);
  rs_check(L, rs_hnsw_save(h, tensors));
  rs_push_tensors(L, tensors);
  rs_tensors_free(tensors);
  return 1;
}

static void set_boolean(lua_State *L, const char *key, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, key);
}

int rs_retrieval_facts(lua_State *L) {
  const rs_hnsw *h = check_hnsw(L);
  if (!h) return 0;
  rs_hnsw_facts f = rs_hnsw_facts_of(h);
  lua_createtable(L, 0, 8);
  rs_set_integer(L, "m", f.options.m);
  rs_set_integer(L, "ef_construction", f.options.ef_construction);
  rs_set_integer(L, "seed", f.options.seed);
  set_boolean(L, "codes", f.options.codes);
  set_boolean(L, "direct", f.options.direct);
  rs_set_integer(L, "deleted", f.dead);
  rs_set_integer(L, "levels", f.levels);
  rs_set_integer(L, "bytes", f.bytes);
  return 1;
}
