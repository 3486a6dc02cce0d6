/* frame_shape.c - operations that shape frames: sorting, joining, grouping, keeping one row of many. */
#include <math.h>
#include <string.h>

#include "bind/fields.h"
#include "bind/frame.h"
#include "frame/negatives.h"

/* Sorting. */

static rs_sort_key sort_key(const rs_frame *f, const char *name) {
  bool descending = name[0] == '-' && !rs_frame_column(f, name);
  return (rs_sort_key){name + descending, descending};
}

/* f:sort("a", "-b") -> Frame, rows i64 */
static int l_sort(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  int n = lua_gettop(L) - 1;
  luaL_argcheck(L, n > 0, 2, "a column name expected");
  for (int i = 0; i < n; i++) luaL_checkstring(L, 2 + i);
  rs_sort_key *keys = lua_newuserdatauv(L, (size_t)n * sizeof *keys, 0);
  for (int i = 0; i < n; i++) keys[i] = sort_key(f, lua_tostring(L, 2 + i));
  rs_frame *out = rs_push_frame(L);
  rs_tensor *rows = rs_push_tensor(L);
  rs_check_retry(L, rs_frame_sort(rows, f, keys, n));
  rs_check_retry(L, rs_frame_take(out, f, rs_i64(rows), f->rows));
  rs_account_frame(L, out);
  return 2;
}

/* The sort keys named at 'index', a string or a table of them that belongs to argument 'arg'; pushes scratch. */
static const rs_sort_key *check_sort_keys(lua_State *L, int index, int arg, const rs_frame *f, int *n) {
  bool single = lua_type(L, index) == LUA_TSTRING;
  *n = single ? 1 : (int)lua_rawlen(L, index);
  luaL_argcheck(L, *n > 0, arg, "at least one column to order by expected");
  rs_sort_key *keys = lua_newuserdatauv(L, (size_t)*n * sizeof *keys, 0);
  for (int i = 0; i < *n; i++) {
    if (single)
      lua_pushvalue(L, index);
    else
      lua_rawgeti(L, index, i + 1);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, arg, "columns to order by must be strings");
    keys[i] = sort_key(f, lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  return keys;
}

/* Joins. */

typedef struct join_keys {
  const char **left, **right;
  int n;
} join_keys;

static const char *name_at(lua_State *L, int at) {
  if (lua_type(L, at) != LUA_TSTRING) luaL_argerror(L, 3, "join keys must be column names");
  return lua_tostring(L, at);
}

/* "a", {"a", "b"}, or { a = "x" } for the left column a and the right column x; pushes the scratch. */
static join_keys check_join_keys(lua_State *L, int arg) {
  join_keys keys = {0};
  if (!lua_istable(L, arg) || lua_rawlen(L, arg) > 0) {
    const char **names = rs_check_names(L, arg, &keys.n);
    keys.left = keys.right = names;
    return keys;
  }
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) keys.n++;
  luaL_argcheck(L, keys.n > 0, arg, "at least one key expected");
  const char **names = lua_newuserdatauv(L, 2 * (size_t)keys.n * sizeof *names, 0);
  keys.left = names;
  keys.right = names + keys.n;
  int i = 0;
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1), i++) {
    keys.left[i] = name_at(L, -2);
    keys.right[i] = name_at(L, -1);
  }
  return keys;
}

/* f:join(other, keys, how) -> Frame */
static int l_join(lua_State *L) {
  static const char *const hows[] = {"inner", "left", "semi", "anti", NULL};
  const rs_frame *f = rs_check_frame(L, 1), *other = rs_check_frame(L, 2);
  rs_join how = (rs_join)luaL_checkoption(L, 4, "inner", hows);
  lua_settop(L, 4);
  join_keys keys = check_join_keys(L, 3);
  rs_frame *out = rs_push_frame(L);
  rs_check_retry(L, rs_frame_join(out, f, other, keys.left, keys.right, keys.n, how));
  rs_account_frame(L, out);
  return 1;
}

/* f:lookup(other, keys) -> rows i64 */
static int l_lookup(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1), *other = rs_check_frame(L, 2);
  lua_settop(L, 3);
  join_keys keys = check_join_keys(L, 3);
  rs_tensor *rows = rs_push_tensor(L);
  rs_check_retry(L, rs_frame_lookup(rows, f, other, keys.left, keys.right, keys.n));
  rs_account(L, rows);
  return 1;
}

/* The field 'name' of the options at 3 as join keys, left on the stack. */
static join_keys keys_option(lua_State *L, const char *name) {
  int type = lua_getfield(L, 3, name);
  if (type != LUA_TSTRING && type != LUA_TTABLE) rs_wrong_option(L, 3, name, "a column name, or a table of them");
  return check_join_keys(L, lua_gettop(L));
}

/* f:asof(other, { on = , by = , direction = , strict = , tolerance = }) -> Frame */
static int l_asof(lua_State *L) {
  static const char *const known[] = {"on", "by", "direction", "strict", "tolerance", NULL};
  static const char *const directions[] = {"backward", "forward", "nearest", NULL};
  const rs_frame *f = rs_check_frame(L, 1), *other = rs_check_frame(L, 2);
  lua_settop(L, 3);
  rs_check_options(L, 3, known);
  join_keys on = keys_option(L, "on"), by = {0};
  luaL_argcheck(L, on.n == 1, 3, "option 'on' must be one column");
  if (lua_getfield(L, 3, "by") != LUA_TNIL) by = keys_option(L, "by");
  rs_asof how = {.left_on = on.left[0], .right_on = on.right[0]};
  how.direction = (rs_direction)rs_choice_option(L, 3, "direction", directions, "backward");
  how.strict = rs_boolean_option(L, 3, "strict", false);
  how.tolerance = rs_number_option(L, 3, "tolerance", HUGE_VAL);
  if (!(how.tolerance >= 0)) rs_wrong_option(L, 3, "tolerance", "0 or more");
  rs_frame *out = rs_push_frame(L);
  rs_check_retry(L, rs_frame_asof(out, f, other, by.left, by.right, by.n, &how));
  rs_account_frame(L, out);
  return 1;
}

/* Groups. */

static const char *const aggregate_words[RS_AGGREGATES + 1] = {
    "count", "sum", "mean",     "min",  "max", "first", "last",    "n_distinct", "std",  "var",
    "median", "quantile", "mode", "any", "all", "arg_min", "arg_max", "list", "weighted_sum", "weighted_mean"};

/* The string at position 'i' of the table on top of the stack, which keeps it; NULL when nil. */
static const char *text_at(lua_State *L, int arg, int i) {
  int type = lua_rawgeti(L, -1, i);
  const char *text = type == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pop(L, 1);
  if (!text && type != LUA_TNIL)
    luaL_argerror(L, arg, "each aggregation is a table {name, what, column, ...} of strings");
  return text;
}

/* {name, what, column, by | share} on top of the stack. */
static rs_aggregation check_aggregation(lua_State *L, int arg) {
  luaL_argcheck(L, lua_istable(L, -1), arg, "each aggregation is a table {name, what, column}");
  rs_aggregation a = {.name = text_at(L, arg, 1), .column = text_at(L, arg, 3), .share = -1};
  const char *what = text_at(L, arg, 2);
  luaL_argcheck(L, a.name && what, arg, "each aggregation is a table {name, what, column}");
  while (a.what < RS_AGGREGATES && strcmp(aggregate_words[a.what], what) != 0) a.what++;
  if (a.what == RS_AGGREGATES) {
    luaL_Buffer list;
    luaL_buffinit(L, &list);
    for (int i = 0; i < RS_AGGREGATES; i++) {
      if (i) luaL_addstring(&list, ", ");
      luaL_addstring(&list, aggregate_words[i]);
    }
    luaL_pushresult(&list);
    luaL_argerror(L, arg, lua_pushfstring(L, "'%s' is no aggregation: %s", what, lua_tostring(L, -1)));
  }
  if (a.what != RS_QUANTILE) {
    a.by = text_at(L, arg, 4);
    return a;
  }
  if (lua_rawgeti(L, -1, 4) == LUA_TNUMBER) a.share = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return a;
}

/* f:group_by(keys, {{name, what, column}, ...}) -> Frame */
static int l_group_by(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  luaL_checktype(L, 3, LUA_TTABLE);
  int n, n_aggregations = (int)lua_rawlen(L, 3);
  const char **names = rs_check_names(L, 2, &n);
  rs_aggregation *aggregations = lua_newuserdatauv(L, (size_t)n_aggregations * sizeof *aggregations, 0);
  for (int i = 0; i < n_aggregations; i++) {
    lua_rawgeti(L, 3, i + 1);
    aggregations[i] = check_aggregation(L, 3);
    lua_pop(L, 1);
  }
  rs_frame *out = rs_push_frame(L);
  rs_check_retry(L, rs_frame_group_by(out, f, names, n, aggregations, n_aggregations));
  rs_account_frame(L, out);
  return 1;
}

static const char *const window_words[] = {"row_number", "rank",    "dense_rank", "count", "cum_count", "cum_sum",
                                           "cum_min",    "cum_max", "share",      "lag",   "lead",      "session",
                                           NULL};

/* {name, what, column, offset} on top of the stack. */
static rs_window check_window(lua_State *L, int arg) {
  luaL_argcheck(L, lua_istable(L, -1), arg, "each window is a table {name, what, column, offset}");
  rs_window w = {.name = text_at(L, arg, 1), .column = text_at(L, arg, 3), .offset = 1};
  const char *what = text_at(L, arg, 2);
  luaL_argcheck(L, w.name && what, arg, "each window is a table {name, what, column, offset}");
  while (window_words[w.what] && strcmp(window_words[w.what], what) != 0) w.what++;
  if (!window_words[w.what])
    luaL_argerror(L, arg, lua_pushfstring(L, "'%s' is no window: row_number, rank, dense_rank, count, cum_count, "
                                             "cum_sum, cum_min, cum_max, share, lag, lead, session", what));
  if (lua_rawgeti(L, -1, 4) != LUA_TNIL) {
    luaL_argcheck(L, lua_isinteger(L, -1), arg, "the offset of a window is an integer");
    w.offset = lua_tointeger(L, -1);
  }
  lua_pop(L, 1);
  return w;
}

/* f:window(keys | nil, order | nil, {{name, what, column, offset}, ...}) -> Frame */
static int l_window(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_settop(L, 4);
  bool whole = lua_isnil(L, 2) || (lua_istable(L, 2) && lua_rawlen(L, 2) == 0);
  int n = 0, n_order = 0, n_windows = (int)lua_rawlen(L, 4);
  const char **names = whole ? NULL : rs_check_names(L, 2, &n);
  luaL_argcheck(L, lua_isnoneornil(L, 3) || lua_isstring(L, 3) || lua_istable(L, 3), 3, "columns to order by expected");
  const rs_sort_key *order = lua_isnil(L, 3) ? NULL : check_sort_keys(L, 3, 3, f, &n_order);
  rs_window *windows = lua_newuserdatauv(L, (size_t)n_windows * sizeof *windows, 0);
  for (int i = 0; i < n_windows; i++) {
    lua_rawgeti(L, 4, i + 1);
    windows[i] = check_window(L, 4);
    lua_pop(L, 1);
  }
  rs_frame *out = rs_push_frame(L);
  rs_check_retry(L, rs_frame_window(out, f, names, n, order, n_order, windows, n_windows));
  rs_account_frame(L, out);
  return 1;
}

/* f:groups(keys) -> i64 [rows], n */
static int l_groups(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  int n;
  int64_t n_groups = 0;
  const char **names = rs_check_names(L, 2, &n);
  rs_tensor *groups = rs_push_tensor(L);
  rs_check_retry(L, rs_frame_groups(groups, &n_groups, f, names, n));
  rs_account(L, groups);
  lua_pushinteger(L, n_groups);
  return 2;
}

/* Return 'out', filled with these rows of 'f'. */
static int take_rows(lua_State *L, rs_frame *out, const rs_frame *f, const rs_tensor *rows) {
  rs_check_retry(L, rs_frame_take(out, f, rs_i64(rows), rows->size[0]));
  rs_account_frame(L, out);
  return 1;
}

/* f:distinct(keys, "first" | "last" | { best = "-a" | {"-a", "b"} }) -> Frame */
static int l_distinct(lua_State *L) {
  static const char *const keeps[] = {"first", "last", NULL}, *const known[] = {"best", NULL};
  const rs_frame *f = rs_check_frame(L, 1);
  bool chosen = lua_istable(L, 3), last = !chosen && luaL_checkoption(L, 3, "first", keeps) == 1;
  int n, n_best = 0;
  lua_settop(L, 3);
  const char **names = rs_check_names(L, 2, &n);
  const rs_sort_key *best = NULL;
  if (chosen) {
    rs_check_options(L, 3, known);
    lua_getfield(L, 3, "best");
    if (lua_type(L, -1) != LUA_TSTRING && !lua_istable(L, -1))
      rs_wrong_option(L, 3, "best", "a column name, with '-' before it for the greatest, or a table of them");
    best = check_sort_keys(L, lua_gettop(L), 3, f, &n_best);
  }
  rs_tensor *rows = rs_push_tensor(L);
  rs_frame *out = rs_push_frame(L);
  rs_check_retry(L, rs_frame_distinct(rows, f, names, n, last, best, n_best));
  return take_rows(L, out, f, rows);
}

/* frame.k_core(f, user, item, k) -> Frame */
static int l_k_core(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  const char *user = luaL_checkstring(L, 2), *item = luaL_checkstring(L, 3);
  lua_Integer k = luaL_checkinteger(L, 4);
  luaL_argcheck(L, k >= 1, 4, "k must be at least 1");
  rs_tensor *rows = rs_push_tensor(L);
  rs_frame *out = rs_push_frame(L);
  rs_check_retry(L, rs_frame_k_core(rows, f, user, item, k));
  return take_rows(L, out, f, rows);
}

/* Negatives. */

/* What a call works on, where __gc finds it. */
typedef struct negatives_call {
  rs_tensor users, known_users, known_items, weights;
} negatives_call;

#define NEGATIVES "recsys frame negatives"

static int l_free_negatives(lua_State *L) {
  negatives_call *call = luaL_checkudata(L, 1, NEGATIVES);
  rs_tensor_free(&call->users);
  rs_tensor_free(&call->known_users);
  rs_tensor_free(&call->known_items);
  rs_tensor_free(&call->weights);
  return 0;
}

/* frame.negatives{ users = , known_users = , known_items = , weights = , n_users = , n_items = , n = , seed = , epoch = }
 * -> i64 [rows, n] */
static int l_negatives(lua_State *L) {
  static const char *const known[] = {"users",   "known_users", "known_items", "weights", "n_users",
                                      "n_items", "n",           "seed",        "epoch",   NULL};
  rs_check_options(L, 1, known);
  lua_settop(L, 1);
  negatives_call *call = rs_push_object(L, sizeof *call, NEGATIVES, 0);
  rs_need_field(L, 1, "users", RS_I64, 1, &call->users);
  rs_need_field(L, 1, "known_users", RS_I64, 1, &call->known_users);
  rs_need_field(L, 1, "known_items", RS_I64, 1, &call->known_items);
  rs_need_rows(L, &call->known_items, "known_items", call->known_users.size[0]);
  rs_negatives n = {.users = rs_i64(&call->users), .rows = call->users.size[0], .n_known = call->known_users.size[0]};
  n.known_users = rs_i64(&call->known_users);
  n.known_items = rs_i64(&call->known_items);
  n.per_row = rs_integer_option(L, 1, "n", 1, -1);
  n.n_users = rs_integer_option(L, 1, "n_users", 0, -1);
  n.n_items = rs_integer_option(L, 1, "n_items", 0, -1);
  if (rs_take_field(L, 1, "weights", RS_F64, 1, &call->weights)) {
    rs_need_rows(L, &call->weights, "weights", n.n_items);
    n.weights = rs_f64(&call->weights);
  }
  /* No training step has this number: the streams of losses are others. */
  n.stream = rs_stream_at((uint64_t)rs_integer_option(L, 1, "seed", 0, 0), RS_RNG_NEGATIVES,
                          (uint32_t)rs_integer_option(L, 1, "epoch", 0, 0), UINT32_MAX);
  rs_tensor *items = rs_push_tensor(L);
  rs_check_retry(L, rs_negatives_draw(items, &n));
  rs_account(L, items);
  return 1;
}

void rs_open_frame_shape(lua_State *L) {
  static const luaL_Reg methods[] = {{"sort", l_sort},         {"join", l_join},     {"lookup", l_lookup},
                                     {"asof", l_asof},         {"groups", l_groups}, {"distinct", l_distinct},
                                     {"group_by", l_group_by}, {"window", l_window}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"k_core", l_k_core}, {"negatives", l_negatives}, {NULL, NULL}};
  rs_new_scratch_type(L, NEGATIVES, l_free_negatives);
  luaL_setfuncs(L, functions, 0);
  luaL_getmetatable(L, RS_FRAME);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, methods, 0);
  lua_pop(L, 2);
}
