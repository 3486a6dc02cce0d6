/* frame_make.c - frame.from and f:with: columns out of Lua tables and tensors. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "bind/frame.h"
#include "tensor/half.h"

#define DRAFT "recsys frame column"

/* A column being made, where __gc finds it. */
typedef struct draft {
  rs_column column;
  rs_tensor scratch; /* starts of a list while it grows */
  rs_buffer members;
} draft;

static int l_free_draft(lua_State *L) {
  draft *d = luaL_checkudata(L, 1, DRAFT);
  rs_column_free(&d->column);
  rs_tensor_free(&d->scratch);
  rs_buffer_free(&d->members);
  return 0;
}

void rs_open_frame_make(lua_State *L) { rs_new_scratch_type(L, DRAFT, l_free_draft); }

static draft *push_draft(lua_State *L, const char *name, rs_column_type type) {
  draft *d = rs_push_object(L, sizeof *d, DRAFT, 0);
  d->column.type = type;
  d->column.name = rs_strdup(name);
  if (!d->column.name) rs_check(L, rs_nomem("frame", strlen(name)));
  if (type == RS_STRING || type == RS_LIST) rs_check(L, rs_dictionary_new(&d->column.dictionary));
  return d;
}

static int fail(lua_State *L, const draft *d, const char *what) {
  return luaL_error(L, "frame: column '%s': %s", d->column.name, what);
}

static void widen(double *to, const rs_tensor *t, int64_t n) {
  for (int64_t i = 0; i < n; i++) switch (t->dtype) {
      case RS_F32: to[i] = rs_f32(t)[i]; break;
      case RS_I32: to[i] = rs_i32(t)[i]; break;
      case RS_I64: to[i] = (double)rs_i64(t)[i]; break;
      case RS_BF16: to[i] = rs_bfloat_to_f32(rs_bf16(t)[i]); break;
      case RS_U8: to[i] = rs_u8(t)[i]; break;
      default: to[i] = rs_f64(t)[i];
    }
}

/* Numbers from a tensor of any dtype, times from an i64 tensor. */
static void take_tensor(lua_State *L, draft *d, const rs_tensor *t) {
  if (t->ndim != 1) fail(L, d, "a tensor of one dimension is expected");
  rs_column *c = &d->column;
  if (c->type == RS_TIME && t->dtype != RS_I64) fail(L, d, "times are an i64 tensor of milliseconds");
  if (c->type != RS_TIME && c->type != RS_NUMBER) fail(L, d, "a table is expected, or { codes = , strings = }");
  if (t->dtype == RS_I64 ? c->type == RS_TIME : t->dtype == RS_F64) {
    rs_check_retry(L, rs_tensor_contiguous(&c->values, t));
    return;
  }
  rs_check_retry(L, rs_tensor_contiguous(&d->scratch, t));
  rs_check_retry(L, rs_tensor_new(&c->values, RS_F64, 1, t->size));
  widen(rs_f64(&c->values), &d->scratch, t->size[0]);
}

/* The code of the string on top of the stack; 0 for false and nil. */
static int32_t take_text(lua_State *L, draft *d) {
  size_t length;
  int32_t code = 0;
  if (!lua_toboolean(L, -1)) return 0;
  if (lua_type(L, -1) != LUA_TSTRING) fail(L, d, "strings are expected, or false for missing");
  const char *text = lua_tolstring(L, -1, &length);
  rs_check_retry(L, rs_dictionary_add(d->column.dictionary, text, length, &code));
  return code;
}

/* One value of a number, time or string column. */
static void take_value(lua_State *L, draft *d, int64_t i) {
  rs_column *c = &d->column;
  bool missing = !lua_toboolean(L, -1);
  if (c->type == RS_STRING)
    rs_i32(&c->values)[i] = take_text(L, d);
  else if (c->type == RS_NUMBER) {
    if (!missing && lua_type(L, -1) != LUA_TNUMBER) fail(L, d, "numbers are expected, or false for missing");
    rs_f64(&c->values)[i] = missing ? NAN : lua_tonumber(L, -1);
  } else {
    int whole = 0;
    lua_Integer ms = lua_tointegerx(L, -1, &whole);
    if (!missing && (!whole || lua_type(L, -1) != LUA_TNUMBER))
      fail(L, d, "integers (milliseconds) are expected, or false for missing");
    rs_i64(&c->values)[i] = missing ? RS_TIME_MISSING : ms;
  }
}

static void take_table(lua_State *L, draft *d, int table) {
  static const rs_dtype dtypes[] = {RS_F64, RS_I64, RS_I32, RS_I32};
  int64_t n = (int64_t)lua_rawlen(L, table);
  rs_check_retry(L, rs_tensor_new(&d->column.values, dtypes[d->column.type], 1, &n));
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, table, i + 1);
    take_value(L, d, i);
    lua_pop(L, 1);
  }
}

/* Append the strings of the table on top of the stack; returns how many. */
static int32_t take_members(lua_State *L, draft *d) {
  if (!lua_toboolean(L, -1)) return 0;
  if (!lua_istable(L, -1)) fail(L, d, "tables of strings are expected, or false for missing");
  int32_t n = (int32_t)lua_rawlen(L, -1), kept = 0;
  for (int32_t i = 0; i < n; i++) {
    lua_rawgeti(L, -1, i + 1);
    int32_t code = take_text(L, d);
    if (code) {
      rs_check_retry(L, rs_buffer_append(&d->members, &code, sizeof code));
      kept++;
    }
    lua_pop(L, 1);
  }
  return kept;
}

static void take_lists(lua_State *L, draft *d, int table) {
  rs_column *c = &d->column;
  int64_t n = (int64_t)lua_rawlen(L, table), total = 0;
  rs_check_retry(L, rs_tensor_new(&c->starts, RS_I64, 1, &n));
  rs_check_retry(L, rs_tensor_new(&c->lengths, RS_I32, 1, &n));
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, table, i + 1);
    rs_i64(&c->starts)[i] = total;
    total += rs_i32(&c->lengths)[i] = take_members(L, d);
    lua_pop(L, 1);
  }
  rs_check_retry(L, rs_tensor_new(&c->values, RS_I32, 1, &total));
  if (total) memcpy(rs_i32(&c->values), d->members.data, (size_t)total * sizeof(int32_t));
}

/* { codes = i32 tensor, strings = table }: the field codes is on top of the stack, its tensor given. */
static void take_codes(lua_State *L, draft *d, int table, const rs_tensor *codes) {
  rs_column *c = &d->column;
  if (codes->dtype != RS_I32 || codes->ndim != 1) fail(L, d, "codes are an i32 tensor [n]");
  rs_check_retry(L, rs_tensor_contiguous(&c->values, codes));
  if (lua_getfield(L, table, "strings") != LUA_TTABLE) fail(L, d, "strings are a table");
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    if (take_text(L, d) != i) fail(L, d, "the strings are not distinct");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  for (int64_t i = 0; i < c->values.size[0]; i++)
    if (rs_i32(&c->values)[i] < 0 || rs_i32(&c->values)[i] > n) fail(L, d, "a code has no string");
}

/* Push a draft of the column called 'name' from the type and values at these stack places. */
static draft *make_column(lua_State *L, const char *name, int type_at, int values_at) {
  rs_column_type type;
  luaL_argcheck(L, lua_type(L, type_at) == LUA_TSTRING, 1, "a column is {name, type, values}");
  if (rs_column_type_named(&type, lua_tostring(L, type_at)) != RS_OK) rs_check(L, RS_EARG);
  draft *d = push_draft(L, name, type);
  const rs_tensor *t = rs_test_tensor(L, values_at);
  if (t)
    take_tensor(L, d, t);
  else if (!lua_istable(L, values_at))
    fail(L, d, "the values are neither a table nor an open tensor");
  else if (type == RS_LIST)
    take_lists(L, d, values_at);
  else {
    lua_getfield(L, values_at, "codes");
    const rs_tensor *codes = rs_test_tensor(L, -1);
    if (codes && type == RS_STRING)
      take_codes(L, d, values_at, codes);
    else
      take_table(L, d, values_at);
    lua_pop(L, 1);
  }
  return d;
}

/* frame.from{ {name, type, values}, ... } -> Frame */
int rs_frame_from_table(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  luaL_argcheck(L, n > 0, 1, "at least one column {name, type, values} expected");
  rs_frame *f = rs_push_frame(L);
  for (lua_Integer i = 1; i <= n; i++) {
    luaL_argcheck(L, lua_rawgeti(L, 1, i) == LUA_TTABLE, 1, "a column is {name, type, values}");
    for (int part = 1; part <= 3; part++) lua_rawgeti(L, 3, part);
    luaL_argcheck(L, lua_type(L, 4) == LUA_TSTRING, 1, "a column is {name, type, values}");
    draft *d = make_column(L, lua_tostring(L, 4), 5, 6);
    rs_check_retry(L, rs_frame_add(f, &d->column));
    lua_settop(L, 2);
  }
  rs_account_frame(L, f);
  return 1;
}

/* A handle on a column of another frame, under a new name. */
static draft *share_column(lua_State *L, const char *name, int frame_at, int name_at) {
  const rs_frame *other = rs_check_frame(L, frame_at);
  const rs_column *c = rs_frame_need(other, luaL_checkstring(L, name_at));
  if (!c) luaL_argerror(L, name_at, rs_message());
  draft *d = push_draft(L, name, RS_NUMBER);
  rs_column_free(&d->column);
  rs_check_retry(L, rs_column_share(&d->column, c, name));
  return d;
}

/* f:with(name, type, values) or f:with(name, frame, column) -> Frame */
int rs_frame_with(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  const char *name = luaL_checkstring(L, 2);
  lua_settop(L, 4);
  draft *d = luaL_testudata(L, 3, RS_FRAME) ? share_column(L, name, 3, 4) : make_column(L, name, 3, 4);
  draft *old = push_draft(L, name, RS_NUMBER);
  rs_frame *out = rs_push_frame(L);
  for (int i = 0; i < f->n_columns; i++) {
    bool replaced = strcmp(f->columns[i].name, name) == 0;
    if (!replaced) {
      rs_column_free(&old->column);
      rs_check_retry(L, rs_column_share(&old->column, &f->columns[i], NULL));
    }
    rs_check_retry(L, rs_frame_add(out, replaced ? &d->column : &old->column));
  }
  if (!rs_frame_column(f, name)) rs_check_retry(L, rs_frame_add(out, &d->column));
  return 1;
}
