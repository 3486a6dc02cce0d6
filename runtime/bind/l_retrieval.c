/* l_retrieval.c - recsys.core.retrieval: exact top-K. */
#include "bind/bind.h"
#include "bind/fields.h"
#include "retrieval/topk.h"

#define REQUEST "recsys.topk.request" /* never seen from Lua */

/* Handles on what a call was given, until the collector frees them; the call itself is done at once. */
typedef struct request {
  rs_tensor users, items, item_time, from, to;
  rs_list_tensors excluded;
} request;

static int l_request_free(lua_State *L) {
  request *r = luaL_checkudata(L, 1, REQUEST);
  rs_tensor_free(&r->users);
  rs_tensor_free(&r->items);
  rs_tensor_free(&r->item_time);
  rs_tensor_free(&r->from);
  rs_tensor_free(&r->to);
  rs_free_lists(&r->excluded);
  return 0;
}

static const int64_t *times(lua_State *L, const char *name, int64_t n, rs_tensor *out) {
  if (!rs_take_field(L, 1, name, RS_I64, 1, out)) return NULL;
  rs_need_rows(L, out, name, n);
  return rs_i64(out);
}

/* The users: [queries, d], or [queries, vectors, d]. */
static void need_users(lua_State *L, rs_tensor *out) {
  lua_getfield(L, 1, "users");
  const rs_tensor *given = luaL_testudata(L, -1, RS_TENSOR);
  rs_need_field(L, 1, "users", RS_F32, given && given->ndim == 3 ? 3 : 2, out);
  lua_pop(L, 1);
  if (out->ndim == 3 && out->size[1] < 1) luaL_error(L, "'users' has no vectors for a user");
}

/* retrieval.topk{ users, items, k, [excluded, item_time, from, to] }
 * -> rows i64 [queries, k], scores f32 [queries, k] */
static int l_topk(lua_State *L) {
  static const char *const known[] = {"users", "items", "k", "excluded", "item_time", "from", "to", NULL};
  rs_check_options(L, 1, known);
  lua_settop(L, 1);
  request *r = rs_push_object(L, sizeof *r, REQUEST, 0);
  lua_toclose(L, 2);
  need_users(L, &r->users);
  rs_need_field(L, 1, "items", RS_F32, 2, &r->items);
  rs_topk_request ask = {.users = rs_f32(&r->users),
                         .items = rs_f32(&r->items),
                         .queries = r->users.size[0],
                         .n_items = r->items.size[0],
                         .width = r->users.size[r->users.ndim - 1],
                         .vectors = r->users.ndim == 3 ? r->users.size[1] : 1,
                         .k = rs_integer_field(L, 1, "k", 10)};
  if (r->items.size[1] != ask.width)
    luaL_error(L, "'users' has %I dimensions and 'items' %I", (LUAI_UACINT)ask.width, (LUAI_UACINT)r->items.size[1]);
  ask.excluded = rs_take_lists(L, 1, "excluded", &r->excluded);
  ask.item_time = times(L, "item_time", ask.n_items, &r->item_time);
  ask.from = times(L, "from", ask.queries, &r->from);
  ask.to = times(L, "to", ask.queries, &r->to);
  rs_tensor *rows = rs_push_tensor(L), *scores = rs_push_tensor(L);
  rs_check_retry(L, rs_topk(rows, scores, &ask));
  rs_account(L, rows);
  return 2;
}

int rs_open_retrieval(lua_State *L) {
  static const luaL_Reg functions[] = {{"topk", l_topk}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_request_free}, {"__close", l_request_free}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{NULL, NULL}};
  rs_new_type(L, REQUEST, methods, meta);
  luaL_newlib(L, functions);
  return 1;
}
