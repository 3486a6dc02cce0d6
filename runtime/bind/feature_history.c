/* feature_history.c - what features read of the past: histories, and the accumulators that events advance. */
#include <string.h>

#include "bind/feature.h"
#include "frame/accumulator.h"

#define HISTORY "recsys.History"
#define ACCUMULATOR "recsys.Accumulator"

/* ---- histories ---- */

rs_history *rs_check_history(lua_State *L, int arg) {
  rs_history *h = luaL_checkudata(L, arg, HISTORY);
  luaL_argcheck(L, h->starts.storage, arg, "history is closed");
  return h;
}

static int l_history_free(lua_State *L) {
  rs_history_free(luaL_checkudata(L, 1, HISTORY));
  return 0;
}

/* feature.new_history(users, items, user_rows, item_rows, times, [log, weights, marks]) -> History */
static int l_new_history(lua_State *L) {
  lua_Integer users = luaL_checkinteger(L, 1), items = luaL_checkinteger(L, 2);
  luaL_argcheck(L, users >= 0, 1, "must not be negative");
  luaL_argcheck(L, items >= 0, 2, "must not be negative");
  const rs_tensor *user_rows = rs_check_vector(L, 3, RS_I64, -1);
  int64_t n = user_rows->size[0];
  rs_interactions x = {.n_rows = n, .user_rows = rs_i64(user_rows)};
  x.item_rows = rs_i64(rs_check_vector(L, 4, RS_I64, n));
  x.times = rs_i64(rs_check_vector(L, 5, RS_I64, n));
  x.log = rs_opt_rows(L, 6, &x.n);
  if (!lua_isnoneornil(L, 7)) x.weights = rs_f32(rs_check_vector(L, 7, RS_F32, n));
  if (!lua_isnoneornil(L, 8)) x.marks = rs_i32(rs_check_vector(L, 8, RS_I32, n));
  rs_history *h = rs_push_object(L, sizeof *h, HISTORY, 0);
  rs_check_retry(L, rs_history_new(h, users, items, &x));
  rs_account(L, &h->times);
  return 1;
}

/* feature.load_history(tensors, n_items) -> History | nil, message, code */
static int l_load_history(lua_State *L) {
  lua_Integer n_items = luaL_checkinteger(L, 2);
  lua_settop(L, 2);
  rs_tensors *list = rs_push_list(L);
  rs_check_tensors(L, 1, list);
  rs_history *h = rs_push_object(L, sizeof *h, HISTORY, 0);
  return rs_return(L, rs_history_from(h, list, n_items), 1);
}

static int l_history_tensors(lua_State *L) {
  const rs_history *h = rs_check_history(L, 1);
  rs_tensors *list = rs_push_list(L);
  rs_check(L, rs_history_tensors(h, list));
  rs_push_tensors(L, list);
  return 1;
}

/* history:users() -> integer */
static int l_history_users(lua_State *L) {
  lua_pushinteger(L, rs_check_history(L, 1)->users);
  return 1;
}

/* history:events(user_row) -> Tensor i32 of item rows, newest last; 'user_row' is data and counts from 0 */
static int l_history_events(lua_State *L) {
  const rs_history *h = rs_check_history(L, 1);
  lua_Integer u = luaL_checkinteger(L, 2);
  luaL_argcheck(L, u >= 0 && u < h->users, 2, "no such user row");
  const int64_t *starts = rs_i64(&h->starts);
  rs_check(L, rs_tensor_narrow(rs_push_tensor(L), &h->items, 0, starts[u], starts[u + 1] - starts[u]));
  return 1;
}

static int l_history_text(lua_State *L) {
  const rs_history *h = luaL_checkudata(L, 1, HISTORY);
  lua_pushfstring(L, "History [%I users, %I events]", (LUAI_UACINT)h->users,
                  (LUAI_UACINT)(h->items.storage ? h->items.size[0] : 0));
  return 1;
}

/* ---- accumulators ---- */

static rs_accumulator *check_accumulator(lua_State *L, int arg) {
  rs_accumulator *a = luaL_checkudata(L, arg, ACCUMULATOR);
  luaL_argcheck(L, a->tails, arg, "accumulator is closed");
  return a;
}

static int l_accumulator_free(lua_State *L) {
  rs_accumulator_free(luaL_checkudata(L, 1, ACCUMULATOR));
  return 0;
}

/* Another handle on a history's tensors. */
static void share_history(rs_history *out, const rs_history *h) {
  *out = (rs_history){.users = h->users};
  rs_tensor_share(&out->starts, &h->starts);
  rs_tensor_share(&out->items, &h->items);
  rs_tensor_share(&out->times, &h->times);
  rs_tensor_share(&out->orders, &h->orders);
  if (h->weights.storage) rs_tensor_share(&out->weights, &h->weights);
  if (h->marks.storage) rs_tensor_share(&out->marks, &h->marks);
}

/* feature.accumulator(history, [events, span]) -> Accumulator */
static int l_accumulator(lua_State *L) {
  const rs_history *h = rs_check_history(L, 1);
  rs_keep keep = {luaL_optinteger(L, 2, -1), luaL_optinteger(L, 3, 0)};
  luaL_argcheck(L, keep.span >= 0, 3, "must not be negative");
  rs_history *mine = rs_push_object(L, sizeof *mine, HISTORY, 0);
  share_history(mine, h);
  rs_accumulator *a = rs_push_object(L, sizeof *a, ACCUMULATOR, 0);
  rs_check_retry(L, rs_accumulator_new(a, mine, keep));
  return 1;
}

/* accumulator:advance(user_row, item_row, time, [weight, marks]) */
static int l_advance(lua_State *L) {
  rs_accumulator *a = check_accumulator(L, 1);
  rs_event event = {luaL_checkinteger(L, 3), luaL_checkinteger(L, 4), (float)luaL_optnumber(L, 5, 1),
                    (int32_t)luaL_optinteger(L, 6, 0)};
  rs_check(L, rs_accumulator_advance(a, luaL_checkinteger(L, 2), &event));
  return 0;
}

/* A new tensor of n elements copied from 'data', as table[key]. */
static void set_copy(lua_State *L, const char *key, rs_dtype dtype, int64_t n, const void *data) {
  rs_tensor *t = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(t, dtype, 1, &n));
  if (n > 0) memcpy(rs_tensor_data(t), data, rs_tensor_bytes(t));
  lua_setfield(L, -2, key);
}

/* accumulator:before(user_row, time) -> { items, times, weights, marks } of the user's events before the moment */
static int l_before(lua_State *L) {
  const rs_accumulator *a = check_accumulator(L, 1);
  rs_sequence mine = rs_accumulator_of(a, luaL_checkinteger(L, 2));
  int64_t n = rs_sequence_before(&mine, luaL_checkinteger(L, 3), -1);
  lua_createtable(L, 0, 4);
  set_copy(L, "items", RS_I32, n, mine.items);
  set_copy(L, "times", RS_I64, n, mine.times);
  if (mine.weights) set_copy(L, "weights", RS_F32, n, mine.weights);
  if (mine.marks) set_copy(L, "marks", RS_I32, n, mine.marks);
  return 1;
}

/* accumulator:users() -> integer */
static int l_accumulator_users(lua_State *L) {
  lua_pushinteger(L, check_accumulator(L, 1)->users);
  return 1;
}

/* accumulator:history() -> History as of the last event */
static int l_accumulator_history(lua_State *L) {
  const rs_accumulator *a = check_accumulator(L, 1);
  rs_history *h = rs_push_object(L, sizeof *h, HISTORY, 0);
  rs_check_retry(L, rs_accumulator_history(a, h));
  return 1;
}

static int l_accumulator_text(lua_State *L) {
  const rs_accumulator *a = luaL_checkudata(L, 1, ACCUMULATOR);
  lua_pushfstring(L, "Accumulator [%I users]", (LUAI_UACINT)a->users);
  return 1;
}

/* ---- registration ---- */

static const luaL_Reg history_methods[] = {{"tensors", l_history_tensors},
                                           {"users", l_history_users},
                                           {"events", l_history_events},
                                           {"close", l_history_free},
                                           {NULL, NULL}};
static const luaL_Reg history_meta[] = {
    {"__gc", l_history_free}, {"__close", l_history_free}, {"__tostring", l_history_text}, {NULL, NULL}};

static const luaL_Reg accumulator_methods[] = {{"advance", l_advance},
                                               {"before", l_before},
                                               {"users", l_accumulator_users},
                                               {"history", l_accumulator_history},
                                               {"close", l_accumulator_free},
                                               {NULL, NULL}};
static const luaL_Reg accumulator_meta[] = {
    {"__gc", l_accumulator_free}, {"__close", l_accumulator_free}, {"__tostring", l_accumulator_text}, {NULL, NULL}};

void rs_open_feature_history(lua_State *L) {
  static const luaL_Reg functions[] = {{"new_history", l_new_history},
                                       {"load_history", l_load_history},
                                       {"accumulator", l_accumulator},
                                       {NULL, NULL}};
  rs_new_type(L, HISTORY, history_methods, history_meta);
  rs_new_type(L, ACCUMULATOR, accumulator_methods, accumulator_meta);
  luaL_setfuncs(L, functions, 0);
}
