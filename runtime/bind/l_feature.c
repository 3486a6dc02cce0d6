/* l_feature.c - recsys.core.feature: vocabularies, counters and statistics; feature_program.c has what encodes.
 * lua/recsys/feature.lua composes them into declarations and encoders. */
#include <string.h>

#include "bind/feature.h"
#include "frame/statistics.h"
#include "frame/vocabulary.h"
#include "frame/words.h"

#define COUNTER "recsys.Counter"
#define COLUMN "recsys feature column" /* scratch */

/* ---- arguments ---- */

static const rs_column *check_column(lua_State *L, int frame_arg, int name_arg) {
  const rs_frame *f = luaL_checkudata(L, frame_arg, RS_FRAME);
  const char *name = luaL_checkstring(L, name_arg);
  const rs_column *c = rs_frame_column(f, name);
  if (!c) luaL_argerror(L, name_arg, lua_pushfstring(L, "there is no column '%s'", name));
  return c;
}

rs_tensor *rs_check_vector(lua_State *L, int arg, rs_dtype dtype, int64_t n) {
  rs_tensor *t = rs_check_tensor(L, arg);
  if (t->dtype != dtype || t->ndim != 1 || !rs_tensor_is_contiguous(t) || (n >= 0 && t->size[0] != n))
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "a contiguous vector of %s expected, this is %s %s", rs_dtype_name(dtype),
                                  rs_dtype_name(t->dtype), rs_shape(t).text));
  return t;
}

const int64_t *rs_opt_rows(lua_State *L, int arg, int64_t *n) {
  *n = 0;
  if (lua_isnoneornil(L, arg)) return NULL;
  const rs_tensor *t = rs_check_vector(L, arg, RS_I64, -1);
  *n = t->size[0];
  return rs_i64(t);
}

static int l_column_free(lua_State *L) {
  rs_column_free(luaL_checkudata(L, 1, COLUMN));
  return 0;
}

/* A column that the collector frees, whatever raises. */
static rs_column *push_column(lua_State *L) { return rs_push_object(L, sizeof(rs_column), COLUMN, 0); }

/* A column as strings: number columns in decimal form, in a column pushed on the stack. */
static const rs_column *as_strings(lua_State *L, const rs_column *c) {
  if (c->type != RS_NUMBER) return c;
  rs_column *strings = push_column(L);
  rs_check(L, rs_words_of_numbers(strings, &c->values));
  return strings;
}

/* ---- vocabularies ---- */

rs_vocabulary *rs_check_vocabulary(lua_State *L, int arg) {
  rs_vocabulary **v = luaL_checkudata(L, arg, RS_VOCABULARY);
  luaL_argcheck(L, *v, arg, "vocabulary is closed");
  return *v;
}

static int l_vocabulary_free(lua_State *L) {
  rs_vocabulary **v = luaL_checkudata(L, 1, RS_VOCABULARY);
  rs_vocabulary_release(*v);
  *v = NULL;
  return 0;
}

/* feature.vocabulary(bytes, offsets) -> Vocabulary | nil, message, code */
static int l_vocabulary(lua_State *L) {
  const rs_tensor *bytes = rs_check_tensor(L, 1), *offsets = rs_check_tensor(L, 2);
  rs_vocabulary **v = rs_push_object(L, sizeof *v, RS_VOCABULARY, 0);
  return rs_return(L, rs_vocabulary_new(v, bytes, offsets), 1);
}

/* feature.index(frame, column) -> Vocabulary whose codes are rows + 1 */
static int l_index(lua_State *L) {
  const rs_column *c = as_strings(L, check_column(L, 1, 2));
  rs_vocabulary **v = rs_push_object(L, sizeof *v, RS_VOCABULARY, 0);
  rs_tensor *bytes = rs_push_tensor(L), *offsets = rs_push_tensor(L);
  rs_check(L, rs_vocabulary_of_rows(c, bytes, offsets));
  rs_check(L, rs_vocabulary_new(v, bytes, offsets));
  lua_pop(L, 2);
  return 1;
}

/* v:code(text) -> integer */
static int l_code(lua_State *L) {
  size_t length;
  const rs_vocabulary *v = rs_check_vocabulary(L, 1);
  const char *text = luaL_checklstring(L, 2, &length);
  lua_pushinteger(L, rs_vocabulary_find(v, text, length));
  return 1;
}

/* v:text(code) -> string | nil for 0 */
static int l_text(lua_State *L) {
  const rs_vocabulary *v = rs_check_vocabulary(L, 1);
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
  lua_pushinteger(L, rs_check_vocabulary(L, 1)->n);
  return 1;
}

/* v:tensors() -> { bytes, offsets } */
static int l_vocabulary_tensors(lua_State *L) {
  const rs_vocabulary *v = rs_check_vocabulary(L, 1);
  lua_createtable(L, 0, 2);
  rs_set_tensor(L, "bytes", &v->bytes);
  rs_set_tensor(L, "offsets", &v->offsets);
  return 1;
}

static int l_vocabulary_text(lua_State *L) {
  rs_vocabulary **v = luaL_checkudata(L, 1, RS_VOCABULARY);
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
  const rs_vocabulary *v = rs_check_vocabulary(L, 3);
  int64_t n;
  const int64_t *at = rs_opt_rows(L, 4, &n);
  c = as_strings(L, c);
  luaL_argcheck(L, c->type == RS_STRING, 2, "a column of strings expected");
  int64_t rows_there = rs_column_rows(c), size = c->dictionary->n + 1;
  if (!at) n = rows_there;
  rs_tensor *rows = rs_push_tensor(L), *map = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(rows, RS_I64, 1, &n));
  rs_check_retry(L, rs_tensor_new(map, RS_I32, 1, &size));
  map_rows(c, v, rs_i32(map));
  const int32_t *codes = rs_i32(&c->values), *row_of = rs_i32(map);
  int64_t *out = rs_i64(rows);
  for (int64_t i = 0; i < n; i++) {
    int64_t from = at ? at[i] : i;
    if (from < 0 || from >= rows_there)
      return luaL_error(L, "row %I of %I", (LUAI_UACINT)from, (LUAI_UACINT)rows_there);
    int32_t code = codes[from];
    if (row_of[code] < 0) {
      size_t length = 0;
      const char *text = code ? rs_dictionary_text(c->dictionary, code, &length) : "";
      return luaL_error(L, "row %I of column '%s' holds '%s', which has no row of its own", (LUAI_UACINT)(from + 1),
                        lua_tostring(L, 2), lua_pushlstring(L, text, length));
    }
    out[i] = row_of[code];
  }
  lua_pop(L, 1);
  rs_account(L, rows);
  return 1;
}

/* feature.distinct(rows, n) -> Tensor i64: the distinct rows among 'rows', which lie in 0 .. n-1, rising */
static int l_distinct(lua_State *L) {
  const rs_tensor *rows = rs_check_vector(L, 1, RS_I64, -1);
  int64_t n = luaL_checkinteger(L, 2), found = 0;
  luaL_argcheck(L, n >= 0, 2, "must not be negative");
  rs_tensor *out = rs_push_tensor(L), *all = rs_push_tensor(L), *seen = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(all, RS_I64, 1, &n));
  rs_check_retry(L, rs_tensor_zeros(seen, RS_U8, 1, &n));
  const int64_t *given = rs_i64(rows);
  int64_t *out_rows = rs_i64(all);
  uint8_t *is_seen = rs_u8(seen);
  for (int64_t i = 0; i < rows->size[0]; i++) {
    luaL_argcheck(L, given[i] >= 0 && given[i] < n, 1, "a row lies outside");
    is_seen[given[i]] = 1;
  }
  for (int64_t i = 0; i < n; i++)
    if (is_seen[i]) out_rows[found++] = i;
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
  int64_t *numbers = rs_i64(out);
  for (int64_t i = 0; i < n; i++) numbers[i] = i;
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

/* The columns that the list at 'arg' names, of the frame at 2, joined row by row. */
static const rs_column *joined(lua_State *L, int arg) {
  const rs_column *parts[256];
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_Integer n = luaL_len(L, arg);
  luaL_argcheck(L, n >= 1 && n <= 256, arg, "1 to 256 columns can be joined");
  luaL_checkstack(L, 2 * (int)n + 4, "joined columns");
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, arg, i); /* stays, as the scratch columns do, until the call ends */
    parts[i - 1] = as_strings(L, check_column(L, 2, lua_gettop(L)));
    if (parts[i - 1]->type != RS_STRING) luaL_error(L, "column '%s' holds no strings to join", parts[i - 1]->name);
  }
  rs_column *out = push_column(L);
  rs_check(L, rs_words_join(out, parts, (int)n));
  return out;
}

/* The column cut by "prefix", "split" or "tokenise" with the argument behind it, or by "join" the columns that it
 * lists; the column itself for nil. */
static const rs_column *cut(lua_State *L, const rs_column *c, int arg) {
  static const char *const words[] = {"prefix", "split", "tokenise", "join", NULL};
  if (lua_isnoneornil(L, arg)) return c;
  int op = luaL_checkoption(L, arg, NULL, words);
  if (op == 3) return joined(L, arg + 1);
  const char *separator = op == 1 ? luaL_checkstring(L, arg + 1) : "";
  lua_Integer count = op == 1 ? 1 : luaL_checkinteger(L, arg + 1);
  luaL_argcheck(L, count > 0 && (op != 1 || *separator), arg + 1, "must be at least 1");
  if (c->type != RS_STRING) luaL_error(L, "column '%s' holds no strings to %s", c->name, words[op]);
  rs_column *out = push_column(L);
  if (op == 0) rs_check(L, rs_words_prefix(out, c, count));
  if (op == 1) rs_check(L, rs_words_split(out, c, separator));
  if (op == 2) rs_check(L, rs_words_tokenise(out, c, RS_TOKENS_WORDS, count));
  return out;
}

/* counter:add(frame, column, [rows], [cut, argument]) */
static int l_counter_add(lua_State *L) {
  rs_counter *counter = luaL_checkudata(L, 1, COUNTER);
  const rs_column *c = check_column(L, 2, 3);
  int64_t n;
  const int64_t *rows = rs_opt_rows(L, 4, &n);
  lua_settop(L, 6);
  c = cut(L, as_strings(L, c), 5);
  luaL_argcheck(L, c->type == RS_STRING || c->type == RS_LIST, 3, "a column of strings, lists or numbers expected");
  rs_check(L, rs_counter_add(counter, c, rows, n));
  return 0;
}

/* counter:vocabulary([min_count], [max_size], [max_count]) -> bytes, offsets, counts */
static int l_counter_vocabulary(lua_State *L) {
  const rs_counter *counter = luaL_checkudata(L, 1, COUNTER);
  lua_Integer min_count = luaL_optinteger(L, 2, 1), max_size = luaL_optinteger(L, 3, INT32_MAX - 1);
  lua_Integer max_count = luaL_optinteger(L, 4, INT64_MAX);
  luaL_argcheck(L, max_size >= 0 && max_size < INT32_MAX, 3, "size out of range");
  rs_tensor *bytes = rs_push_tensor(L), *offsets = rs_push_tensor(L), *counts = rs_push_tensor(L);
  rs_check_retry(L, rs_counter_vocabulary(counter, min_count, max_count, max_size, bytes, offsets, counts));
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
  const int64_t *rows = rs_opt_rows(L, 3, &n);
  rs_moments m;
  rs_check_retry(L, rs_moments_of(&m, c, rows, n, lua_toboolean(L, 4)));
  lua_pushnumber(L, m.mean);
  lua_pushnumber(L, m.deviation);
  lua_pushinteger(L, m.missing);
  lua_pushinteger(L, m.rows);
  return 4;
}

/* feature.percentiles(frame, column, rows, shares, [log]) -> a number for each share; NaN where there is no value */
static int l_percentiles(lua_State *L) {
  enum { MOST = 32 };
  const rs_column *c = check_numbers(L, 1, 2);
  int64_t n;
  const int64_t *rows = rs_opt_rows(L, 3, &n);
  double shares[MOST], values[MOST];
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_Integer wanted = luaL_len(L, 4);
  luaL_argcheck(L, wanted >= 1 && wanted <= MOST, 4, "1 to 32 shares are served");
  for (lua_Integer i = 0; i < wanted; i++) {
    lua_rawgeti(L, 4, i + 1);
    shares[i] = lua_tonumber(L, -1);
    luaL_argcheck(L, shares[i] >= 0 && shares[i] <= 1, 4, "a share lies outside 0 .. 1");
    lua_pop(L, 1);
  }
  rs_check_retry(L, rs_percentiles_of(values, shares, (int)wanted, c, rows, n, lua_toboolean(L, 5)));
  luaL_checkstack(L, MOST, "percentiles");
  for (lua_Integer i = 0; i < wanted; i++) lua_pushnumber(L, values[i]);
  return (int)wanted;
}

/* feature.quantiles(frame, column, rows, buckets) -> Tensor f64 of edges, missing */
static int l_quantiles(lua_State *L) {
  const rs_column *c = check_numbers(L, 1, 2);
  int64_t n, missing = 0;
  const int64_t *rows = rs_opt_rows(L, 3, &n);
  lua_Integer buckets = luaL_checkinteger(L, 4);
  luaL_argcheck(L, buckets >= 1 && buckets <= 1 << 20, 4, "1 to 1048576 buckets are served");
  rs_tensor *edges = rs_push_tensor(L);
  rs_check_retry(L, rs_quantile_edges(edges, &missing, c, rows, n, buckets));
  lua_pushinteger(L, missing);
  return 2;
}

/* ---- registration ---- */

static const luaL_Reg functions[] = {{"vocabulary", l_vocabulary}, {"index", l_index},     {"positions", l_positions},
                                     {"counter", l_counter},       {"moments", l_moments}, {"quantiles", l_quantiles},
                                     {"percentiles", l_percentiles},
                                     {"distinct", l_distinct},     {"range", l_range},     {NULL, NULL}};

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

int rs_open_feature(lua_State *L) {
  rs_new_type(L, RS_VOCABULARY, vocabulary_methods, vocabulary_meta);
  rs_new_type(L, COUNTER, counter_methods, counter_meta);
  rs_new_scratch_type(L, COLUMN, l_column_free);
  luaL_newlib(L, functions);
  rs_open_feature_program(L);
  rs_open_feature_history(L);
  rs_open_feature_text(L);
  rs_open_feature_batches(L);
  return 1;
}
