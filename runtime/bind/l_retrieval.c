/* l_retrieval.c - recsys.core.retrieval: exact top-K, and indexes to search. */
#include "bind/bind.h"
#include "base/alloc.h"
#include "bind/fields.h"
#include "bind/retrieval_hnsw.h"
#include "retrieval/columns.h"
#include "retrieval/scan.h"
#include "retrieval/topk.h"

#define INDEX RS_INDEX
#define REQUEST "recsys.topk.request" /* these are never seen from Lua */
#define PARTS "recsys.index.parts"
#define ASKED "recsys.index.asked"

/* Handles on what a call was given, until the collector frees them; the call itself is done at once. */
typedef struct request {
  rs_tensor users, items, columns, item_time, from, to;
  rs_list_tensors excluded;
} request;

static int l_request_free(lua_State *L) {
  request *r = luaL_checkudata(L, 1, REQUEST);
  rs_tensor_free(&r->users);
  rs_tensor_free(&r->items);
  rs_tensor_free(&r->columns);
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

/* The items' vectors, or their columns. */
static void need_items(lua_State *L, request *r, rs_topk_request *ask) {
  if (rs_take_field(L, 1, "columns", RS_I32, 1, &r->columns)) {
    if (rs_take_field(L, 1, "items", RS_F32, 2, &r->items)) luaL_error(L, "'items' and 'columns' exclude each other");
    ask->columns = rs_i32(&r->columns);
    ask->n_items = r->columns.size[0];
    return;
  }
  rs_need_field(L, 1, "items", RS_F32, 2, &r->items);
  if (r->items.size[1] != ask->width)
    luaL_error(L, "'users' has %I dimensions and 'items' %I", (LUAI_UACINT)ask->width, (LUAI_UACINT)r->items.size[1]);
  ask->items = rs_f32(&r->items);
  ask->n_items = r->items.size[0];
}

/* retrieval.topk{ users, items or columns, k, [excluded, item_time, from, to] }
 * -> rows i64 [queries, k], scores f32 [queries, k] */
static int l_topk(lua_State *L) {
  static const char *const known[] = {"users", "items", "columns", "k", "excluded", "item_time", "from", "to", NULL};
  rs_check_options(L, 1, known);
  lua_settop(L, 1);
  request *r = rs_push_object(L, sizeof *r, REQUEST, 0);
  lua_toclose(L, 2);
  need_users(L, &r->users);
  rs_topk_request ask = {.users = rs_f32(&r->users),
                         .queries = r->users.size[0],
                         .width = r->users.size[r->users.ndim - 1],
                         .vectors = r->users.ndim == 3 ? r->users.size[1] : 1,
                         .k = rs_integer_field(L, 1, "k", 10)};
  need_items(L, r, &ask);
  ask.excluded = rs_take_lists(L, 1, "excluded", &r->excluded);
  ask.item_time = times(L, "item_time", ask.n_items, &r->item_time);
  ask.from = times(L, "from", ask.queries, &r->from);
  ask.to = times(L, "to", ask.queries, &r->to);
  rs_tensor *rows = rs_push_tensor(L), *scores = rs_push_tensor(L);
  rs_check_retry(L, rs_topk(rows, scores, &ask));
  rs_account(L, rows);
  return 2;
}

/* Indexes. */

static int l_index_free(lua_State *L) {
  rs_index **index = luaL_checkudata(L, 1, INDEX);
  rs_index_free(*index);
  *index = NULL;
  return 0;
}

static const rs_index *check_index(lua_State *L) {
  rs_index **index = luaL_checkudata(L, 1, INDEX);
  luaL_argcheck(L, *index, 1, "index is closed");
  return *index;
}

/* What an index is made of, until the collector frees it. */
typedef struct index_parts {
  rs_tensor items, values, scales, bounds;
  rs_codes codes;
} index_parts;

static int l_parts_free(lua_State *L) {
  index_parts *p = luaL_checkudata(L, 1, PARTS);
  rs_tensor_free(&p->items);
  rs_tensor_free(&p->values);
  rs_tensor_free(&p->scales);
  rs_tensor_free(&p->bounds);
  rs_codes_free(&p->codes);
  return 0;
}

/* retrieval.exact(items, [codes]) -> Index */
static int l_exact(lua_State *L) {
  bool chosen = lua_isboolean(L, 2), forced = chosen && lua_toboolean(L, 2), given = lua_istable(L, 2);
  luaL_argcheck(L, lua_isnoneornil(L, 2) || chosen || given, 2, "codes of an Index, or a boolean, expected");
  lua_settop(L, 2);
  index_parts *p = rs_push_object(L, sizeof *p, PARTS, 0);
  lua_toclose(L, 3);
  rs_take_tensor(L, 1, "items", RS_F32, 2, &p->items);
  if (given) {
    rs_need_field(L, 2, "values", RS_U8, 4, &p->values);
    rs_need_field(L, 2, "scales", RS_F32, 2, &p->scales);
    rs_need_field(L, 2, "bounds", RS_F32, 3, &p->bounds);
    rs_check(L, rs_codes_over(&p->codes, p->items.size[0], p->items.size[1], &p->values, &p->scales, &p->bounds));
  }
  if (forced && p->items.size[1] <= RS_CODES_WIDEST)
    rs_check_retry(L, rs_codes_new(&p->codes, rs_f32(&p->items), p->items.size[0], p->items.size[1]));
  rs_index **index = rs_push_object(L, sizeof *index, INDEX, 0);
  if (given || chosen)
    rs_check(L, rs_scan_with(index, &p->items, &p->codes));
  else
    rs_check_retry(L, rs_scan_new(index, &p->items));
  return 1;
}

/* retrieval.columns(columns, width) -> Index */
static int l_columns(lua_State *L) {
  lua_Integer width = luaL_checkinteger(L, 2);
  luaL_argcheck(L, width >= 1, 2, "a width of 1 or more is expected");
  lua_settop(L, 2);
  index_parts *p = rs_push_object(L, sizeof *p, PARTS, 0);
  lua_toclose(L, 3);
  rs_take_tensor(L, 1, "columns", RS_I32, 1, &p->items);
  rs_index **index = rs_push_object(L, sizeof *index, INDEX, 0);
  rs_check_retry(L, rs_columns_new(index, &p->items, width));
  return 1;
}

/* index:codes() -> { values, scales, bounds } | nil */
static int l_codes(lua_State *L) {
  const rs_codes *codes = rs_scan_codes(check_index(L));
  if (!codes || !codes->values.storage) return 0;
  lua_createtable(L, 0, 3);
  rs_set_tensor(L, "values", &codes->values);
  rs_set_tensor(L, "scales", &codes->scales);
  rs_set_tensor(L, "bounds", &codes->bounds);
  return 1;
}

static int l_engine(lua_State *L) {
  lua_pushstring(L, rs_index_engine_name(check_index(L)));
  return 1;
}

static int l_items(lua_State *L) {
  lua_pushinteger(L, rs_index_items(check_index(L)));
  return 1;
}

static int l_width(lua_State *L) {
  lua_pushinteger(L, rs_index_width(check_index(L)));
  return 1;
}

/* What a search was given, until the collector frees it. */
typedef struct asked {
  rs_tensor users, allow, item_time, from, to;
  rs_list_tensors excluded;
  uint64_t *bits;
  rs_index_query *queries;
} asked;

static int l_asked_free(lua_State *L) {
  asked *a = luaL_checkudata(L, 1, ASKED);
  for (rs_tensor **t = (rs_tensor *[]){&a->users, &a->allow, &a->item_time, &a->from, &a->to, NULL}; *t; t++)
    rs_tensor_free(*t);
  rs_free_lists(&a->excluded);
  rs_free(a->bits);
  rs_free(a->queries);
  *a = (asked){0};
  return 0;
}

/* retrieval.bitmap(u8 [n]) -> i64 [words] */
static int l_bitmap(lua_State *L) {
  const rs_tensor *given = rs_check_tensor(L, 1);
  luaL_argcheck(L, given->dtype == RS_U8 && given->ndim == 1, 1, "u8 [n] expected");
  int64_t n = given->size[0], words = rs_bitmap_words(n);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_zeros(out, RS_I64, 1, &words));
  uint64_t *bits = (uint64_t *)rs_i64(out);
  const uint8_t *flags = rs_tensor_data(given);
  for (int64_t i = 0; i < n; i++)
    if (flags[i * given->stride[0]]) rs_bitmap_set(bits, i);
  rs_account(L, out);
  return 1;
}

/* The bitmap 'allow', or one made of its u8 numbers; NULL when there is none. */
static const uint64_t *take_allow(lua_State *L, asked *a, int64_t n) {
  lua_getfield(L, 2, "allow");
  const rs_tensor *given = luaL_testudata(L, -1, RS_TENSOR);
  bool packed = given && given->dtype == RS_I64;
  lua_pop(L, 1);
  if (!rs_take_field(L, 2, "allow", packed ? RS_I64 : RS_U8, 1, &a->allow)) return NULL;
  rs_need_rows(L, &a->allow, "allow", packed ? rs_bitmap_words(n) : n);
  if (packed) return (const uint64_t *)rs_i64(&a->allow);
  size_t bytes = (size_t)rs_bitmap_words(n) * sizeof *a->bits;
  a->bits = rs_alloc_zero(bytes);
  if (!a->bits) rs_check(L, rs_nomem("top-k", bytes));
  for (int64_t i = 0; i < n; i++)
    if (rs_u8(&a->allow)[i]) rs_bitmap_set(a->bits, i);
  return a->bits;
}

static const int64_t *take_times(lua_State *L, const char *name, int64_t n, rs_tensor *out) {
  if (!rs_take_field(L, 2, name, RS_I64, 1, out)) return NULL;
  rs_need_rows(L, out, name, n);
  return rs_i64(out);
}

/* a->queries [n] from the table at 2. */
static int64_t take_queries(lua_State *L, const rs_index *index, asked *a) {
  lua_getfield(L, 2, "users");
  const rs_tensor *given = luaL_testudata(L, -1, RS_TENSOR);
  rs_need_field(L, 2, "users", RS_F32, given && given->ndim == 3 ? 3 : 2, &a->users);
  lua_pop(L, 1);
  int64_t n = a->users.size[0], items = rs_index_items(index), width = a->users.size[a->users.ndim - 1];
  if (width != rs_index_width(index))
    luaL_error(L, "'users' has %I dimensions and the index %I", (LUAI_UACINT)width, (LUAI_UACINT)rs_index_width(index));
  rs_index_query q = {.k = rs_integer_field(L, 2, "k", 10), .ef = rs_integer_field(L, 2, "ef", 0)};
  q.vectors = a->users.ndim == 3 ? a->users.size[1] : 1;
  if (q.vectors < 1) luaL_error(L, "'users' has no vectors for a user");
  rs_lists excluded = rs_take_lists(L, 2, "excluded", &a->excluded);
  if (excluded.n > 0 && excluded.n != n)
    luaL_error(L, "'excluded' has %I lists for %I users", (LUAI_UACINT)excluded.n, (LUAI_UACINT)n);
  rs_check(L, rs_lists_check(&excluded, "excluded items", items));
  q.allow = take_allow(L, a, items);
  q.item_time = take_times(L, "item_time", items, &a->item_time);
  const int64_t *from = take_times(L, "from", n, &a->from), *to = take_times(L, "to", n, &a->to);
  if (!q.item_time != !from || !from != !to) luaL_error(L, "'item_time', 'from' and 'to' go together");
  a->queries = rs_alloc((size_t)n * sizeof *a->queries);
  if (!a->queries) rs_check(L, rs_nomem("top-k", (size_t)n * sizeof *a->queries));
  for (int64_t i = 0; i < n; i++) {
    a->queries[i] = q;
    a->queries[i].query = rs_f32(&a->users) + i * q.vectors * width;
    if (from) a->queries[i].from = from[i], a->queries[i].to = to[i];
    if (excluded.n > 0) a->queries[i].excluded = rs_lists_at(&excluded, i, &a->queries[i].n_excluded);
  }
  return n;
}

/* index:search{ users, [k, allow, excluded, item_time, from, to, ef] } -> rows i64 [n, k], scores f32 [n, k], stats */
static int l_search(lua_State *L) {
  static const char *const known[] = {"users", "k", "allow", "excluded", "item_time", "from", "to", "ef", NULL};
  const rs_index *index = check_index(L);
  rs_check_options(L, 2, known);
  lua_settop(L, 2);
  asked *a = rs_push_object(L, sizeof *a, ASKED, 0);
  lua_toclose(L, 3);
  int64_t n = take_queries(L, index, a);
  rs_tensor *rows = rs_push_tensor(L), *scores = rs_push_tensor(L);
  rs_index_stats stats;
  rs_check_retry(L, rs_index_search_many(index, a->queries, n, rows, scores, &stats));
  rs_account(L, rows);
  lua_createtable(L, 0, 2);
  rs_set_integer(L, "looked", stats.looked);
  rs_set_integer(L, "scored", stats.scored);
  return 3;
}

static void open_index(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", l_index_free}, {"__close", l_index_free}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"search", l_search}, {"engine", l_engine}, {"items", l_items},   {"width", l_width},
                                     {"codes", l_codes},   {"save", rs_retrieval_save}, {"facts", rs_retrieval_facts},
                                     {"close", l_index_free}, {NULL, NULL}};
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg parts_meta[] = {{"__gc", l_parts_free}, {"__close", l_parts_free}, {NULL, NULL}};
  static const luaL_Reg asked_meta[] = {{"__gc", l_asked_free}, {"__close", l_asked_free}, {NULL, NULL}};
  rs_new_type(L, INDEX, methods, meta);
  rs_new_type(L, PARTS, none, parts_meta);
  rs_new_type(L, ASKED, none, asked_meta);
}

int rs_open_retrieval(lua_State *L) {
  static const luaL_Reg functions[] = {{"topk", l_topk},           {"exact", l_exact},          {"bitmap", l_bitmap}, {"columns", l_columns},
                                       {"hnsw", rs_retrieval_hnsw}, {"load", rs_retrieval_load}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_request_free}, {"__close", l_request_free}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{NULL, NULL}};
  rs_new_type(L, REQUEST, methods, meta);
  open_index(L);
  luaL_newlib(L, functions);
  return 1;
}
