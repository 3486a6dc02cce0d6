/* l_frame.c - recsys.core.frame: frames, their columns and operations. lua/recsys/frame.lua adds what needs no C. */
#include "bind/frame.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "frame/partition.h"
#include "frame/text.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

rs_frame *rs_push_frame(lua_State *L) { return rs_push_object(L, sizeof(rs_frame), RS_FRAME, 0); }

rs_frame *rs_check_frame(lua_State *L, int arg) {
  rs_frame *f = luaL_checkudata(L, arg, RS_FRAME);
  luaL_argcheck(L, f->n_columns > 0, arg, "frame is closed");
  return f;
}

void rs_account_frame(lua_State *L, const rs_frame *f) {
  for (int i = 0; i < f->n_columns; i++) rs_account(L, &f->columns[i].values);
}

const char **rs_check_names(lua_State *L, int arg, int *n) {
  bool single = lua_type(L, arg) == LUA_TSTRING;
  luaL_argcheck(L, single || lua_istable(L, arg), arg, "a column name or a table of them expected");
  *n = single ? 1 : (int)lua_rawlen(L, arg);
  luaL_argcheck(L, *n > 0, arg, "at least one name expected");
  const char **names = lua_newuserdatauv(L, (size_t)*n * sizeof *names, 0);
  for (int i = 0; i < *n; i++) {
    if (single)
      lua_pushvalue(L, arg);
    else
      lua_rawgeti(L, arg, i + 1);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_argerror(L, arg, "column names must be strings");
    names[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  return names;
}

static const rs_column *check_column(lua_State *L, int arg) {
  const rs_frame *f = rs_check_frame(L, 1);
  const rs_column *c = rs_frame_need(f, luaL_checkstring(L, arg));
  if (!c) luaL_argerror(L, arg, rs_message());
  return c;
}

/* The rows of the i64 tensor at 'arg'; pushes the contiguous tensor that holds them. */
static const int64_t *check_rows(lua_State *L, int arg, int64_t *n) {
  const rs_tensor *given = rs_check_tensor(L, arg);
  luaL_argcheck(L, given->dtype == RS_I64 && given->ndim == 1, arg, "an i64 [n] tensor of 0-based rows expected");
  rs_tensor *rows = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(rows, given));
  *n = rows->size[0];
  return rs_i64(rows);
}

/* Looking into a frame. */

static int l_rows(lua_State *L) {
  lua_pushinteger(L, rs_check_frame(L, 1)->rows);
  return 1;
}

static int l_names(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  lua_createtable(L, f->n_columns, 0);
  for (int i = 0; i < f->n_columns; i++) {
    lua_pushstring(L, f->columns[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int l_has(lua_State *L) {
  lua_pushboolean(L, rs_frame_column(rs_check_frame(L, 1), luaL_checkstring(L, 2)) != NULL);
  return 1;
}

static int l_type(lua_State *L) {
  lua_pushstring(L, rs_column_type_name(check_column(L, 2)->type));
  return 1;
}

/* f:column(name) -> values; of a list values, starts, lengths */
static int l_column(lua_State *L) {
  const rs_column *c = check_column(L, 2);
  rs_tensor_share(rs_push_tensor(L), &c->values);
  if (c->type != RS_LIST) return 1;
  rs_tensor_share(rs_push_tensor(L), &c->starts);
  rs_tensor_share(rs_push_tensor(L), &c->lengths);
  return 3;
}

static const rs_column *check_texts(lua_State *L, int arg) {
  const rs_column *c = check_column(L, arg);
  luaL_argcheck(L, c->dictionary, arg, "a string or list column expected");
  return c;
}

static void push_text(lua_State *L, const rs_column *c, int32_t code) {
  size_t length;
  const char *text = rs_dictionary_text(c->dictionary, code, &length);
  lua_pushlstring(L, text, length);
}

/* f:strings(name) -> the distinct texts; code c is the c-th */
static int l_strings(lua_State *L) {
  const rs_column *c = check_texts(L, 2);
  lua_createtable(L, (int)c->dictionary->n, 0);
  for (int32_t code = 1; code <= c->dictionary->n; code++) {
    push_text(L, c, code);
    lua_rawseti(L, -2, code);
  }
  return 1;
}

/* f:code(name, text) -> integer, 0 when there is none */
static int l_code(lua_State *L) {
  const rs_column *c = check_texts(L, 2);
  size_t length;
  const char *text = luaL_checklstring(L, 3, &length);
  lua_pushinteger(L, rs_dictionary_find(c->dictionary, text, length));
  return 1;
}

static void push_list(lua_State *L, const rs_column *c, int64_t row) {
  const int32_t *codes = rs_i32(&c->values) + rs_i64(&c->starts)[row];
  int32_t n = rs_i32(&c->lengths)[row];
  lua_createtable(L, n, 0);
  for (int32_t i = 0; i < n; i++) {
    push_text(L, c, codes[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_value(lua_State *L, const rs_column *c, int64_t row) {
  if (c->type == RS_LIST)
    push_list(L, c, row);
  else if (rs_column_is_missing(c, row))
    lua_pushnil(L);
  else if (c->type == RS_NUMBER)
    lua_pushnumber(L, rs_f64(&c->values)[row]);
  else if (c->type == RS_TIME)
    lua_pushinteger(L, rs_i64(&c->values)[row]);
  else
    push_text(L, c, rs_i32(&c->values)[row]);
}

/* f:value(name, row) -> number | integer | string | string[] | nil */
static int l_value(lua_State *L) {
  const rs_column *c = check_column(L, 2);
  push_value(L, c, rs_check_index(L, 3, rs_column_rows(c)));
  return 1;
}

/* f:text(name, row) -> string | string[] | nil */
static int l_text(lua_State *L) {
  const rs_column *c = check_texts(L, 2);
  push_value(L, c, rs_check_index(L, 3, rs_column_rows(c)));
  return 1;
}

/* Rows and columns. */

/* f:where(name, op, value) -> rows i64 */
static int l_where(lua_State *L) {
  static const char *const ops[] = {"==", "~=", "<", "<=", ">", ">=", "in", "not in", "missing", "present", NULL};
  const rs_frame *f = rs_check_frame(L, 1);
  const rs_column *c = check_column(L, 2);
  rs_comparison how = (rs_comparison)luaL_checkoption(L, 3, NULL, ops);
  double number = 0;
  int64_t time = 0;
  const char **texts = NULL;
  int n = 0;
  if (how != RS_IS_MISSING && how != RS_PRESENT) {
    size_t length;
    const char *text = lua_type(L, 4) == LUA_TSTRING ? lua_tolstring(L, 4, &length) : NULL;
    if (c->type == RS_NUMBER)
      number = luaL_checknumber(L, 4);
    else if (c->type == RS_TIME && text)
      luaL_argcheck(L, rs_parse_time(text, length, &time), 4, "an ISO 8601 time expected");
    else if (c->type == RS_TIME)
      time = luaL_checkinteger(L, 4);
    else if (!lua_istable(L, 4) || lua_rawlen(L, 4) > 0)
      texts = rs_check_names(L, 4, &n);
  }
  rs_tensor *rows = rs_push_tensor(L);
  rs_check_retry(L, rs_frame_where(rows, f, c->name, how, number, time, texts, n));
  rs_account(L, rows);
  return 1;
}

static int l_select(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  int n;
  const char **names = rs_check_names(L, 2, &n);
  rs_check_retry(L, rs_frame_select(rs_push_frame(L), f, names, n));
  return 1;
}

/* The rows where the mask at 'arg' is not 0; pushes the tensor that holds them. */
static const int64_t *rows_of_mask(lua_State *L, int arg, const rs_frame *f, int64_t *n) {
  const rs_tensor *given = rs_check_tensor(L, arg);
  luaL_argcheck(L, given->ndim == 1 && given->size[0] == f->rows, arg, "a u8 mask needs one element a row");
  rs_tensor *mask = rs_push_tensor(L), *rows = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(mask, given));
  rs_check_retry(L, rs_rows_of_mask(rows, rs_u8(mask), f->rows));
  *n = rows->size[0];
  return rs_i64(rows);
}

/* f:filter(u8 mask [rows] | i64 0-based rows) -> Frame */
static int l_filter(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  int64_t n;
  const int64_t *rows = rs_check_tensor(L, 2)->dtype == RS_U8 ? rows_of_mask(L, 2, f, &n) : check_rows(L, 2, &n);
  rs_frame *out = rs_push_frame(L);
  rs_check_retry(L, rs_frame_take(out, f, rows, n));
  rs_account_frame(L, out);
  return 1;
}

/* frame.concat(frames) -> Frame */
static int l_concat(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  int n = (int)lua_rawlen(L, 1);
  luaL_argcheck(L, n > 0, 1, "at least one frame expected");
  const rs_frame **frames = lua_newuserdatauv(L, (size_t)n * sizeof *frames, 0);
  for (int i = 0; i < n; i++) { /* the frames stay alive in the table */
    lua_rawgeti(L, 1, i + 1);
    frames[i] = luaL_testudata(L, -1, RS_FRAME);
    luaL_argcheck(L, frames[i] && frames[i]->n_columns > 0, 1, "a table of open frames expected");
    lua_pop(L, 1);
  }
  rs_frame *out = rs_push_frame(L);
  rs_check_retry(L, rs_frame_concat(out, frames, n));
  rs_account_frame(L, out);
  return 1;
}

/* Storing. */

/* f:tensors() -> table name -> Tensor */
static int l_tensors(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  rs_tensors *list = rs_push_list(L);
  rs_check_retry(L, rs_frame_tensors(f, list));
  rs_push_tensors(L, list);
  rs_tensors_free(list);
  return 1;
}

/* Names and types of the columns in the schema at 'arg': {{name = , type = }, ...}; pushes two scratches. */
static int check_schema(lua_State *L, int arg, const char ***names, rs_column_type **types) {
  luaL_checktype(L, arg, LUA_TTABLE);
  int n = (int)lua_rawlen(L, arg);
  luaL_argcheck(L, n > 0, arg, "a schema with at least one column expected");
  *names = lua_newuserdatauv(L, (size_t)n * sizeof **names, 0);
  *types = lua_newuserdatauv(L, (size_t)n * sizeof **types, 0);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, arg, i + 1);
    luaL_argcheck(L, lua_istable(L, -1), arg, "a table of {name = , type = } expected");
    lua_getfield(L, -1, "name");
    lua_getfield(L, -2, "type");
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING, arg,
                  "a table of {name = , type = } expected");
    (*names)[i] = lua_tostring(L, -2);
    if (rs_column_type_named(&(*types)[i], lua_tostring(L, -1)) != RS_OK) luaL_argerror(L, arg, rs_message());
    lua_pop(L, 3);
  }
  return n;
}

/* frame.from_tensors(tensors, schema) -> Frame | nil, message, code */
static int l_from_tensors(lua_State *L) {
  const char **names;
  rs_column_type *types;
  luaL_checktype(L, 1, LUA_TTABLE);
  int n = check_schema(L, 2, &names, &types);
  rs_tensors *list = rs_push_list(L);
  rs_check_tensors(L, 1, list);
  rs_frame *out = rs_push_frame(L);
  rs_status status = rs_frame_from_tensors(out, list, names, types, n);
  rs_tensors_free(list);
  return rs_return(L, status, 1);
}

/* Text and hashes. */

static int l_parse_time(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  int64_t ms;
  if (rs_parse_time(text, length, &ms))
    lua_pushinteger(L, ms);
  else
    lua_pushnil(L);
  return 1;
}

static int l_format_time(lua_State *L) {
  char text[RS_TEXT_MAX];
  lua_pushlstring(L, text, rs_format_time(text, luaL_checkinteger(L, 1)));
  return 1;
}

static void push_hash(lua_State *L, const void *bytes, size_t n) {
  XXH128_hash_t hash = XXH3_128bits(bytes, n);
  char text[33];
  for (int i = 0; i < 32; i++) {
    uint64_t word = i < 16 ? hash.high64 : hash.low64;
    text[i] = "0123456789abcdef"[word >> (60 - 4 * (i % 16)) & 15];
  }
  lua_pushlstring(L, text, 32);
}

/* frame.hash(text | tensor) -> string */
static int l_hash(lua_State *L) {
  size_t length;
  const rs_tensor *t = rs_test_tensor(L, 1);
  if (t) {
    rs_tensor *whole = rs_push_tensor(L);
    rs_check_retry(L, rs_tensor_contiguous(whole, t));
    push_hash(L, rs_tensor_data(whole), (size_t)rs_tensor_count(whole) * rs_dtype_size(whole->dtype));
    return 1;
  }
  const char *text = luaL_checklstring(L, 1, &length);
  push_hash(L, text, length);
  return 1;
}

#define MAPPING "recsys frame mapping"

static int l_free_mapping(lua_State *L) {
  rs_mapping_close(luaL_checkudata(L, 1, MAPPING));
  return 0;
}

/* frame.hash_file(path) -> string | nil, message, code */
static int l_hash_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  rs_mapping *map = rs_push_object(L, sizeof *map, MAPPING, 0);
  rs_status status = rs_mapping_open(map, path);
  if (status != RS_OK) return rs_return(L, status, 0);
  push_hash(L, map->data, map->size);
  rs_mapping_close(map);
  return 1;
}

/* __gc, __close and f:close(): in any order, any number of times. */
static int l_free(lua_State *L) {
  rs_frame_free(luaL_checkudata(L, 1, RS_FRAME));
  return 0;
}

int rs_open_frame(lua_State *L) {
  static const luaL_Reg methods[] = {{"rows", l_rows},       {"names", l_names},   {"has", l_has},
                                     {"type", l_type},       {"column", l_column}, {"strings", l_strings},
                                     {"code", l_code},       {"value", l_value},   {"text", l_text},
                                     {"where", l_where},     {"select", l_select}, {"filter", l_filter},
                                     {"with", rs_frame_with}, {"tensors", l_tensors}, {"close", l_free},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {"__len", l_rows}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"read_csv", rs_frame_read_csv},
                                       {"read_jsonl", rs_frame_read_jsonl},
                                       {"glob", rs_frame_glob},
                                       {"write_csv", rs_frame_write_csv},
                                       {"from", rs_frame_from_table},
                                       {"from_tensors", l_from_tensors},
                                       {"concat", l_concat},
                                       {"apply", rs_frame_apply},
                                       {"parse_time", l_parse_time},
                                       {"format_time", l_format_time},
                                       {"hash", l_hash},
                                       {"hash_file", l_hash_file},
                                       {NULL, NULL}};
  rs_new_type(L, RS_FRAME, methods, meta);
  rs_new_scratch_type(L, MAPPING, l_free_mapping);
  rs_open_frame_csv(L);
  rs_open_frame_make(L);
  rs_open_frame_expression(L);
  luaL_newlib(L, functions);
  rs_open_frame_shape(L);
  lua_pushinteger(L, RS_TIME_MISSING);
  lua_setfield(L, -2, "TIME_MISSING");
  return 1;
}
