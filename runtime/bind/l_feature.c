/* l_feature.c - recsys.core.feature: counters, statistics, programs, features and histories.
 * lua/recsys/feature.lua composes them into declarations and encoders. */
#include <string.h>

#include "bind/bind.h"
#include "frame/encoder.h"
#include "frame/history.h"
#include "frame/statistics.h"
#include "frame/words.h"

#define FRAME "recsys.Frame"
#define VOCABULARY "recsys.Vocabulary"
#define COUNTER "recsys.Counter"
#define PROGRAM "recsys.Program"
#define FEATURES "recsys.Features"
#define HISTORY "recsys.History"
#define TENSORS "recsys.FeatureTensors"
#define COLUMN "recsys.FeatureColumn"
#define REQUEST "recsys.FeatureRequest"

/* ---- arguments ---- */

static rs_frame *check_frame(lua_State *L, int arg) { return luaL_checkudata(L, arg, FRAME); }

static const rs_column *check_column(lua_State *L, int frame_arg, int name_arg) {
  const rs_frame *f = check_frame(L, frame_arg);
  const char *name = luaL_checkstring(L, name_arg);
  const rs_column *c = rs_frame_column(f, name);
  if (!c) luaL_argerror(L, name_arg, lua_pushfstring(L, "there is no column '%s'", name));
  return c;
}

/* A vector of that dtype; of 'n' elements unless n < 0. */
static rs_tensor *check_vector(lua_State *L, int arg, rs_dtype dtype, int64_t n) {
  rs_tensor *t = rs_check_tensor(L, arg);
  if (t->dtype != dtype || t->ndim != 1 || !rs_tensor_is_contiguous(t) || (n >= 0 && t->size[0] != n))
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "a contiguous vector of %s expected, this is %s %s", rs_dtype_name(dtype),
                                  rs_dtype_name(t->dtype), rs_shape(t).text));
  return t;
}

/* i64 rows at 'arg', or NULL for nil: all. */
static const int64_t *opt_rows(lua_State *L, int arg, int64_t *n) {
  *n = 0;
  if (lua_isnoneornil(L, arg)) return NULL;
  const rs_tensor *t = check_vector(L, arg, RS_I64, -1);
  *n = t->size[0];
  return rs_i64(t);
}

/* A list of tensors or a column on the stack, freed by the collector whatever raises. */
static int l_tensors_free(lua_State *L) {
  rs_tensors_free(luaL_checkudata(L, 1, TENSORS));
  return 0;
}

static rs_tensors *push_list(lua_State *L) { return rs_push_object(L, sizeof(rs_tensors), TENSORS, 0); }

static int l_column_free(lua_State *L) {
  rs_column_free(luaL_checkudata(L, 1, COLUMN));
  return 0;
}

static rs_column *push_column(lua_State *L) { return rs_push_object(L, sizeof(rs_column), COLUMN, 0); }

/* A column as strings: number columns in decimal form, in a column pushed on the stack. */
static const rs_column *as_strings(lua_State *L, const rs_column *c) {
  if (c->type != RS_NUMBER) return c;
  rs_column *strings = push_column(L);
  rs_check(L, rs_words_of_numbers(strings, &c->values));
  return strings;
}

/* Push a table of the list's tensors, telling the collector about the bytes. */
static int push_tensors(lua_State *L, const rs_tensors *list) {
  for (int64_t i = 0; i < list->n; i++) rs_account(L, &list->items[i].tensor);
  rs_push_tensors(L, list);
  return 1;
}

/* ---- vocabularies ---- */

static rs_vocabulary *check_vocabulary(lua_State *L, int arg) {
  rs_vocabulary **v = luaL_checkudata(L, arg, VOCABULARY);
  luaL_argcheck(L, *v, arg, "vocabulary is closed");
  return *v;
}

static int l_vocabulary_free(lua_State *L) {
  rs_vocabulary **v = luaL_checkudata(L, 1, VOCABULARY);
  rs_vocabulary_release(*v);
  *v = NULL;
  return 0;
}

/* feature.vocabulary(bytes, offsets) -> Vocabulary | nil, message, code */
static int l_vocabulary(lua_State *L) {
  const rs_tensor *bytes = rs_check_tensor(L, 1), *offsets = rs_check_tensor(L, 2);
  rs_vocabulary **v = rs_push_object(L, sizeof *v, VOCABULARY, 0);
  return rs_return(L, rs_vocabulary_new(v, bytes, offsets), 1);
}

/* feature.index(frame, column) -> Vocabulary whose codes are rows + 1 */
static int l_index(lua_State *L) {
  const rs_column *c = as_strings(L, check_column(L, 1, 2));
  rs_vocabulary **v = rs_push_object(L, sizeof *v, VOCABULARY, 0);
  rs_tensor *bytes = rs_push_tensor(L), *offsets = rs_push_tensor(L);
  rs_check(L, rs_vocabulary_of_rows(c, bytes, offsets));
  rs_check(L, rs_vocabulary_new(v, bytes, offsets));
  lua_pop(L, 2);
  return 1;
}

/* v:code(text) -> integer */
static int l_code(lua_State *L) {
  size_t length;
  const rs_vocabulary *v = check_vocabulary(L, 1);
  const char *text = luaL_checklstring(L, 2, &length);
  lua_pushinteger(L, rs_vocabulary_find(v, text, length));
  return 1;
}

/* v:text(code) -> string | nil for 0 */
static int l_text(lua_State *L) {
  const rs_vocabulary *v = check_vocabulary(L, 1);
  lua_Integer code = luaL_checkinteger(L, 2);
  luaL_argcheck(L, code >= 0 && code <= v->n, 2, "code outside the vocabulary");
  size_t length = 0;
  const char *text = code ? rs_vocabulary_text(v, (int32_t)code, &length) : NULL;
  if (text)
    lua_pushlstring(L, text, length);
  else
    lua_pushnil(L);
  return 1;
}

static int l_vocabulary_size(lua_State *L) {
  lua_pushinteger(L, check_vocabulary(L, 1)->n);
  return 1;
}

/* v:tensors() -> { bytes, offsets } */
static int l_vocabulary_tensors(lua_State *L) {
  const rs_vocabulary *v = check_vocabulary(L, 1);
  lua_createtable(L, 0, 2);
  rs_tensor_share(rs_push_tensor(L), &v->bytes);
  lua_setfield(L, -2, "bytes");
  rs_tensor_share(rs_push_tensor(L), &v->offsets);
  lua_setfield(L, -2, "offsets");
  return 1;
}

static int l_vocabulary_text(lua_State *L) {
  rs_vocabulary **v = luaL_checkudata(L, 1, VOCABULARY);
  if (*v)
    lua_pushfstring(L, "Vocabulary of %I", (LUAI_UACINT)(*v)->n);
  else
    lua_pushliteral(L, "Vocabulary (closed)");
  return 1;
}

/* The vocabulary code of each dictionary code of 'c', less one, into 'map'; -1 where there is none. */
static void map_rows(const rs_column *c, const rs_vocabulary *v, int32_t *map) {
  map[0] = -1;
  for (int32_t code = 1; code <= c->dictionary->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(c->dictionary, code, &length);
    map[code] = rs_vocabulary_find(v, text, length) - 1;
  }
}

/* feature.positions(frame, column, vocabulary, [rows]) -> Tensor i64: code - 1 of the values at 'rows' (all); raises
 * where there is none */
static int l_positions(lua_State *L) {
  const rs_column *c = check_column(L, 1, 2);
  const rs_vocabulary *v = check_vocabulary(L, 3);
  int64_t n;
  const int64_t *at = opt_rows(L, 4, &n);
  c = as_strings(L, c);
  luaL_argcheck(L, c->type == RS_STRING, 2, "a column of strings expected");
  int64_t rows_there = rs_column_rows(c), size = c->dictionary->n + 1;
  if (!at) n = rows_there;
  rs_tensor *rows = rs_push_tensor(L), *map = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(rows, RS_I64, 1, &n));
  rs_check_retry(L, rs_tensor_new(map, RS_I32, 1, &size));
  map_rows(c, v, rs_i32(map));
  for (int64_t i = 0; i < n; i++) {
    int64_t from = at ? at[i] : i;
    if (from < 0 || from >= rows_there)
      return luaL_error(L, "row %I of %I", (LUAI_UACINT)from, (LUAI_UACINT)rows_there);
    int32_t code = rs_i32(&c->values)[from], row = rs_i32(map)[code];
    size_t length = 0;
    const char *text = code ? rs_dictionary_text(c->dictionary, code, &length) : "";
    if (row < 0)
      return luaL_error(L, "row %I of column '%s' holds '%s', which has no row of its own", (LUAI_UACINT)(from + 1),
                        lua_tostring(L, 2), lua_pushlstring(L, text, length));
    rs_i64(rows)[i] = row;
  }
  lua_pop(L, 1);
  rs_account(L, rows);
  return 1;
}

/* feature.distinct(rows, n) -> Tensor i64: the distinct rows among 'rows', which lie in 0 .. n-1, rising */
static int l_distinct(lua_State *L) {
  const rs_tensor *rows = check_vector(L, 1, RS_I64, -1);
  int64_t n = luaL_checkinteger(L, 2), found = 0;
  luaL_argcheck(L, n >= 0, 2, "must not be negative");
  rs_tensor *out = rs_push_tensor(L), *all = rs_push_tensor(L), *seen = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(all, RS_I64, 1, &n));
  rs_check_retry(L, rs_tensor_zeros(seen, RS_U8, 1, &n));
  for (int64_t i = 0; i < rows->size[0]; i++) {
    int64_t row = rs_i64(rows)[i];
    luaL_argcheck(L, row >= 0 && row < n, 1, "a row lies outside");
    rs_u8(seen)[row] = 1;
  }
  for (int64_t i = 0; i < n; i++)
    if (rs_u8(seen)[i]) rs_i64(all)[found++] = i;
  rs_check(L, rs_tensor_narrow(out, all, 0, 0, found));
  lua_pop(L, 2);
  return 1;
}

/* feature.range(n) -> Tensor i64: 0, 1, .. n-1 */
static int l_range(lua_State *L) {
  int64_t n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0, 1, "must not be negative");
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(out, RS_I64, 1, &n));
  for (int64_t i = 0; i < n; i++) rs_i64(out)[i] = i;
  return 1;
}

/* ---- counters and statistics ---- */

/* feature.counter() -> Counter */
static int l_counter(lua_State *L) {
  rs_push_object(L, sizeof(rs_counter), COUNTER, 0);
  return 1;
}

static int l_counter_free(lua_State *L) {
  rs_counter_free(luaL_checkudata(L, 1, COUNTER));
  return 0;
}

/* The column cut by "prefix", "split" or "tokenise" with the argument behind it; the column itself for nil. */
static const rs_column *cut(lua_State *L, const rs_column *c, int arg) {
  static const char *const words[] = {"prefix", "split", "tokenise", NULL};
  if (lua_isnoneornil(L, arg)) return c;
  int op = luaL_checkoption(L, arg, NULL, words);
  const char *separator = op == 1 ? luaL_checkstring(L, arg + 1) : "";
  lua_Integer count = op == 1 ? 1 : luaL_checkinteger(L, arg + 1);
  luaL_argcheck(L, count > 0 && (op != 1 || *separator), arg + 1, "must be at least 1");
  if (c->type != RS_STRING) luaL_error(L, "column '%s' holds no strings to %s", c->name, words[op]);
  rs_column *out = push_column(L);
  if (op == 0) rs_check(L, rs_words_prefix(out, c, count));
  if (op == 1) rs_check(L, rs_words_split(out, c, separator));
  if (op == 2) rs_check(L, rs_words_tokenise(out, c, count));
  return out;
}

/* counter:add(frame, column, [rows], [cut, argument]) */
static int l_counter_add(lua_State *L) {
  rs_counter *counter = luaL_checkudata(L, 1, COUNTER);
  const rs_column *c = check_column(L, 2, 3);
  int64_t n;
  const int64_t *rows = opt_rows(L, 4, &n);
  lua_settop(L, 6);
  c = cut(L, as_strings(L, c), 5);
  luaL_argcheck(L, c->type == RS_STRING || c->type == RS_LIST, 3, "a column of strings, lists or numbers expected");
  rs_check(L, rs_counter_add(counter, c, rows, n));
  return 0;
}

/* counter:vocabulary([min_count], [max_size]) -> bytes, offsets, counts */
static int l_counter_vocabulary(lua_State *L) {
  const rs_counter *counter = luaL_checkudata(L, 1, COUNTER);
  lua_Integer min_count = luaL_optinteger(L, 2, 1), max_size = luaL_optinteger(L, 3, INT32_MAX - 1);
  luaL_argcheck(L, max_size >= 0 && max_size < INT32_MAX, 3, "size out of range");
  rs_tensor *bytes = rs_push_tensor(L), *offsets = rs_push_tensor(L), *counts = rs_push_tensor(L);
  rs_check_retry(L, rs_counter_vocabulary(counter, min_count, max_size, bytes, offsets, counts));
  rs_account(L, bytes);
  return 3;
}

/* counter:rows() -> rows looked at, rows without a value */
static int l_counter_rows(lua_State *L) {
  const rs_counter *counter = luaL_checkudata(L, 1, COUNTER);
  lua_pushinteger(L, counter->rows);
  lua_pushinteger(L, counter->missing);
  return 2;
}

static const rs_column *check_numbers(lua_State *L, int frame_arg, int name_arg) {
  const rs_column *c = check_column(L, frame_arg, name_arg);
  if (c->type != RS_NUMBER && c->type != RS_TIME)
    luaL_argerror(
        L, name_arg,
        lua_pushfstring(L, "column '%s' holds no numbers: it is a %s column", c->name, rs_column_type_name(c->type)));
  return c;
}

/* feature.moments(frame, column, [rows], [log]) -> mean, deviation, missing, rows */
static int l_moments(lua_State *L) {
  const rs_column *c = check_numbers(L, 1, 2);
  int64_t n;
  const int64_t *rows = opt_rows(L, 3, &n);
  rs_moments m;
  rs_check_retry(L, rs_moments_of(&m, c, rows, n, lua_toboolean(L, 4)));
  lua_pushnumber(L, m.mean);
  lua_pushnumber(L, m.deviation);
  lua_pushinteger(L, m.missing);
  lua_pushinteger(L, m.rows);
  return 4;
}

/* feature.quantiles(frame, column, rows, buckets) -> Tensor f64 of edges, missing */
static int l_quantiles(lua_State *L) {
  const rs_column *c = check_numbers(L, 1, 2);
  int64_t n, missing = 0;
  const int64_t *rows = opt_rows(L, 3, &n);
  lua_Integer buckets = luaL_checkinteger(L, 4);
  luaL_argcheck(L, buckets >= 1 && buckets <= 1 << 20, 4, "1 to 1048576 buckets are served");
  rs_tensor *edges = rs_push_tensor(L);
  rs_check_retry(L, rs_quantile_edges(edges, &missing, c, rows, n, buckets));
  lua_pushinteger(L, missing);
  return 2;
}

/* ---- features ---- */

static rs_features *push_features(lua_State *L) { return rs_push_object(L, sizeof(rs_features), FEATURES, 0); }
static rs_features *check_features(lua_State *L, int arg) { return luaL_checkudata(L, arg, FEATURES); }

static int l_features_free(lua_State *L) {
  rs_features_free(check_features(L, 1));
  return 0;
}

/* feature.load_features(tensors) -> Features | nil, message, code */
static int l_load_features(lua_State *L) {
  lua_settop(L, 1);
  rs_tensors *list = push_list(L);
  rs_check_tensors(L, 1, list);
  rs_features *f = push_features(L);
  return rs_return(L, rs_features_from(f, list), 1);
}

/* features:gather(rows) -> table name -> Tensor */
static int l_gather(lua_State *L) {
  const rs_features *f = check_features(L, 1);
  const rs_tensor *rows = check_vector(L, 2, RS_I64, -1);
  rs_tensors *batch = push_list(L);
  rs_status status = rs_features_gather(f, rs_i64(rows), rows->size[0], batch);
  if (status == RS_ENOMEM && rs_collect(L)) {
    rs_tensors_free(batch);
    status = rs_features_gather(f, rs_i64(rows), rows->size[0], batch);
  }
  rs_check(L, status);
  return push_tensors(L, batch);
}

static int l_features_tensors(lua_State *L) {
  const rs_features *f = check_features(L, 1);
  rs_tensors *list = push_list(L);
  rs_check(L, rs_features_tensors(f, list));
  rs_push_tensors(L, list);
  return 1;
}

static int l_features_rows(lua_State *L) {
  lua_pushinteger(L, check_features(L, 1)->rows);
  return 1;
}

static int l_features_names(lua_State *L) {
  const rs_features *f = check_features(L, 1);
  lua_createtable(L, f->n_outputs, 0);
  for (int i = 0; i < f->n_outputs; i++) {
    lua_pushstring(L, f->outputs[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static void set_tensor(lua_State *L, const char *key, const rs_tensor *t) {
  if (!t->storage) return;
  rs_tensor_share(rs_push_tensor(L), t);
  lua_setfield(L, -2, key);
}

static const char *const kind_words[] = {"codes", "numbers", "bag"};

/* features:output(name) -> { kind, values, starts, lengths } | nil */
static int l_output(lua_State *L) {
  const rs_output *o = rs_features_output(check_features(L, 1), luaL_checkstring(L, 2));
  if (!o) return lua_pushnil(L), 1;
  lua_createtable(L, 0, 4);
  lua_pushstring(L, kind_words[o->kind]);
  lua_setfield(L, -2, "kind");
  set_tensor(L, "values", &o->values);
  set_tensor(L, "starts", &o->starts);
  set_tensor(L, "lengths", &o->lengths);
  return 1;
}

static int l_features_text(lua_State *L) {
  const rs_features *f = check_features(L, 1);
  lua_pushfstring(L, "Features [%I rows, %d outputs]", (LUAI_UACINT)f->rows, f->n_outputs);
  return 1;
}

/* ---- histories ---- */

static rs_history *check_history(lua_State *L, int arg) {
  rs_history *h = luaL_checkudata(L, arg, HISTORY);
  luaL_argcheck(L, h->starts.storage, arg, "history is closed");
  return h;
}

static int l_history_free(lua_State *L) {
  rs_history_free(luaL_checkudata(L, 1, HISTORY));
  return 0;
}

/* feature.new_history(users, items, user_rows, item_rows, times, [log]) -> History */
static int l_new_history(lua_State *L) {
  lua_Integer users = luaL_checkinteger(L, 1), items = luaL_checkinteger(L, 2);
  luaL_argcheck(L, users >= 0, 1, "must not be negative");
  luaL_argcheck(L, items >= 0, 2, "must not be negative");
  const rs_tensor *user_rows = check_vector(L, 3, RS_I64, -1);
  int64_t n = user_rows->size[0], n_log;
  const rs_tensor *item_rows = check_vector(L, 4, RS_I64, n), *times = check_vector(L, 5, RS_I64, n);
  const int64_t *log = opt_rows(L, 6, &n_log);
  rs_history *h = rs_push_object(L, sizeof *h, HISTORY, 0);
  rs_check_retry(L,
                 rs_history_new(h, users, items, n, rs_i64(user_rows), rs_i64(item_rows), rs_i64(times), log, n_log));
  rs_account(L, &h->times);
  return 1;
}

/* feature.load_history(tensors, n_items) -> History | nil, message, code */
static int l_load_history(lua_State *L) {
  lua_Integer n_items = luaL_checkinteger(L, 2);
  lua_settop(L, 2);
  rs_tensors *list = push_list(L);
  rs_check_tensors(L, 1, list);
  rs_history *h = rs_push_object(L, sizeof *h, HISTORY, 0);
  return rs_return(L, rs_history_from(h, list, n_items), 1);
}

static int l_history_tensors(lua_State *L) {
  const rs_history *h = check_history(L, 1);
  rs_tensors *list = push_list(L);
  rs_check(L, rs_history_tensors(h, list));
  rs_push_tensors(L, list);
  return 1;
}

/* history:users() -> integer */
static int l_history_users(lua_State *L) {
  lua_pushinteger(L, check_history(L, 1)->users);
  return 1;
}

/* history:events(user_row) -> Tensor i32 of item rows, newest last; 'user_row' is data and counts from 0 */
static int l_history_events(lua_State *L) {
  const rs_history *h = check_history(L, 1);
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

/* ---- programs ---- */

static rs_encoder *check_program(lua_State *L, int arg) {
  rs_encoder **e = luaL_checkudata(L, arg, PROGRAM);
  luaL_argcheck(L, *e, arg, "program is closed");
  return *e;
}

static int l_program_free(lua_State *L) {
  rs_encoder **e = luaL_checkudata(L, 1, PROGRAM);
  rs_encoder_free(*e);
  *e = NULL;
  return 0;
}

/* feature.program(json, tensors) -> Program | nil, message, code */
static int l_program(lua_State *L) {
  size_t bytes;
  const char *json = luaL_checklstring(L, 1, &bytes);
  lua_settop(L, 2);
  rs_tensors *list = push_list(L);
  rs_check_tensors(L, 2, list);
  rs_encoder **e = rs_push_object(L, sizeof *e, PROGRAM, 0);
  return rs_return(L, rs_encoder_parse(e, json, bytes, list), 1);
}

static rs_side check_side(lua_State *L, int arg) {
  static const char *const sides[] = {"user", "event", "item", NULL};
  return (rs_side)luaL_checkoption(L, arg, NULL, sides);
}

/* program:run(side, frame, [items, history, users, times, [orders]]) -> Features. The last five are for the event
 * side: item Features of the catalogue, and for each row of the frame its user row, time and, to let equal times be
 * decided by order, its row in the interactions. */
static int l_run(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_side side = check_side(L, 2);
  const rs_frame *frame = check_frame(L, 3);
  int64_t n = frame->rows, n_orders;
  rs_events events = {0};
  lua_settop(L, 8);
  if (!lua_isnil(L, 4)) {
    const rs_history *h = check_history(L, 5);
    const rs_tensor *users = check_vector(L, 6, RS_I64, n), *times = check_vector(L, 7, RS_I64, n);
    if (!lua_isnil(L, 8)) check_vector(L, 8, RS_I64, n);
    const int64_t *orders = opt_rows(L, 8, &n_orders);
    rs_tensor *begin = rs_push_tensor(L), *end = rs_push_tensor(L);
    rs_check_retry(L, rs_tensor_new(begin, RS_I64, 1, &n));
    rs_check_retry(L, rs_tensor_new(end, RS_I64, 1, &n));
    rs_check(L, rs_history_read(h, n, rs_i64(users), rs_i64(times), orders, rs_i64(begin), rs_i64(end)));
    events = (rs_events){check_features(L, 4), rs_i32(&h->items), h->items.size[0], rs_i64(begin), rs_i64(end)};
  }
  rs_features *f = push_features(L);
  rs_check_retry(L, rs_encoder_run(e, side, frame, events.items ? &events : NULL, f));
  for (int i = 0; i < f->n_outputs; i++) rs_account(L, &f->outputs[i].values);
  return 1;
}

/* What a request is while it is worked on: the collector frees it when something raises. */
typedef struct request {
  json_t *fields;
  rs_frame frame;
} request;

static int l_request_free(lua_State *L) {
  request *r = luaL_checkudata(L, 1, REQUEST);
  json_decref(r->fields);
  r->fields = NULL;
  rs_frame_free(&r->frame);
  return 0;
}

static rs_status run_request(const rs_encoder *e, rs_side side, const char *json, size_t bytes, request *r,
                             const rs_events *events, rs_features *f) {
  json_error_t error;
  r->fields = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &error);
  if (!r->fields) return rs_fail(RS_EFORMAT, "request: %s", error.text);
  rs_status status = rs_encoder_request(e, side, r->fields, &r->frame);
  return status == RS_OK ? rs_encoder_run(e, side, &r->frame, events, f) : status;
}

/* program:request(side, json, [items, rows]) -> Features | nil, message, code. On the event side: item Features and
 * the i32 item rows of the events, newest last, -1 for an item that the catalogue lacks. */
static int l_request(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_side side = check_side(L, 2);
  size_t bytes;
  const char *json = luaL_checklstring(L, 3, &bytes);
  int64_t begin = 0, end = 0;
  rs_events events = {.begin = &begin, .end = &end};
  if (!lua_isnoneornil(L, 4)) {
    const rs_tensor *rows = check_vector(L, 5, RS_I32, -1);
    events.items = check_features(L, 4);
    events.events = rs_i32(rows);
    events.n_events = end = rows->size[0];
  }
  request *r = rs_push_object(L, sizeof *r, REQUEST, 0);
  rs_features *f = push_features(L);
  return rs_return(L, run_request(e, side, json, bytes, r, events.items ? &events : NULL, f), 1);
}

/* program:outputs(side) -> list of { name, kind, table, rows, width } */
static int l_outputs(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_side side = check_side(L, 2);
  int n = rs_encoder_outputs(e, side);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    rs_output_info info = rs_encoder_output(e, side, i);
    lua_createtable(L, 0, 5);
    lua_pushstring(L, info.name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, kind_words[info.kind]);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, info.table);
    lua_setfield(L, -2, "table");
    lua_pushinteger(L, info.rows);
    lua_setfield(L, -2, "rows");
    lua_pushinteger(L, info.width);
    lua_setfield(L, -2, "width");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* program:vocabulary(table) -> Vocabulary | nil */
static int l_program_vocabulary(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  const char *table = luaL_checkstring(L, 2);
  rs_vocabulary *found = rs_encoder_vocabulary(e, table);
  if (!found) return lua_pushnil(L), 1;
  rs_vocabulary **v = rs_push_object(L, sizeof *v, VOCABULARY, 0);
  rs_vocabulary_retain(found);
  *v = found;
  return 1;
}

/* program:save() -> json, tensors */
static int l_save(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  size_t bytes;
  const char *json = rs_encoder_json(e, &bytes);
  lua_pushlstring(L, json, bytes);
  rs_push_tensors(L, rs_encoder_tensors(e));
  return 2;
}

/* ---- registration ---- */

static const luaL_Reg functions[] = {{"vocabulary", l_vocabulary},
                                     {"index", l_index},
                                     {"positions", l_positions},
                                     {"counter", l_counter},
                                     {"moments", l_moments},
                                     {"quantiles", l_quantiles},
                                     {"new_history", l_new_history},
                                     {"load_history", l_load_history},
                                     {"program", l_program},
                                     {"load_features", l_load_features},
                                     {"distinct", l_distinct},
                                     {"range", l_range},
                                     {NULL, NULL}};

static const luaL_Reg vocabulary_methods[] = {
    {"code", l_code}, {"text", l_text}, {"tensors", l_vocabulary_tensors}, {"close", l_vocabulary_free}, {NULL, NULL}};
static const luaL_Reg vocabulary_meta[] = {{"__gc", l_vocabulary_free},
                                           {"__close", l_vocabulary_free},
                                           {"__len", l_vocabulary_size},
                                           {"__tostring", l_vocabulary_text},
                                           {NULL, NULL}};

static const luaL_Reg counter_methods[] = {{"add", l_counter_add},
                                           {"vocabulary", l_counter_vocabulary},
                                           {"rows", l_counter_rows},
                                           {"close", l_counter_free},
                                           {NULL, NULL}};
static const luaL_Reg counter_meta[] = {{"__gc", l_counter_free}, {"__close", l_counter_free}, {NULL, NULL}};

static const luaL_Reg features_methods[] = {
    {"gather", l_gather}, {"rows", l_features_rows},       {"names", l_features_names},
    {"output", l_output}, {"tensors", l_features_tensors}, {"close", l_features_free},
    {NULL, NULL}};
static const luaL_Reg features_meta[] = {{"__gc", l_features_free},
                                         {"__close", l_features_free},
                                         {"__len", l_features_rows},
                                         {"__tostring", l_features_text},
                                         {NULL, NULL}};

static const luaL_Reg history_methods[] = {{"tensors", l_history_tensors},
                                           {"users", l_history_users},
                                           {"events", l_history_events},
                                           {"close", l_history_free},
                                           {NULL, NULL}};
static const luaL_Reg history_meta[] = {
    {"__gc", l_history_free}, {"__close", l_history_free}, {"__tostring", l_history_text}, {NULL, NULL}};

static const luaL_Reg program_methods[] = {{"run", l_run},
                                           {"request", l_request},
                                           {"outputs", l_outputs},
                                           {"vocabulary", l_program_vocabulary},
                                           {"save", l_save},
                                           {"close", l_program_free},
                                           {NULL, NULL}};
static const luaL_Reg program_meta[] = {{"__gc", l_program_free}, {"__close", l_program_free}, {NULL, NULL}};

/* A type that Lua code never sees: nothing but a finalizer. */
static void new_scratch_type(lua_State *L, const char *type, lua_CFunction finalizer) {
  luaL_newmetatable(L, type);
  lua_pushcfunction(L, finalizer);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

int rs_open_feature(lua_State *L) {
  rs_new_type(L, VOCABULARY, vocabulary_methods, vocabulary_meta);
  rs_new_type(L, COUNTER, counter_methods, counter_meta);
  rs_new_type(L, FEATURES, features_methods, features_meta);
  rs_new_type(L, HISTORY, history_methods, history_meta);
  rs_new_type(L, PROGRAM, program_methods, program_meta);
  new_scratch_type(L, TENSORS, l_tensors_free);
  new_scratch_type(L, COLUMN, l_column_free);
  new_scratch_type(L, REQUEST, l_request_free);
  luaL_newlib(L, functions);
  return 1;
}
