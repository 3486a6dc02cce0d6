/* frame_expression.c - frame.apply: one operation over columns. lua/recsys/frame/expression.lua builds the trees. */
#include <math.h>
#include <string.h>

#include "bind/frame.h"
#include "frame/expression.h"

#define VALUE "recsys frame value"

static int l_free_value(lua_State *L) {
  rs_column_free(luaL_checkudata(L, 1, VALUE));
  return 0;
}

/* A table on top of the stack: { "time", ms }, or { type } for a missing value. */
static rs_operand check_constant(lua_State *L, int arg) {
  rs_operand a = {.number = NAN, .time = RS_TIME_MISSING};
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2);
  const char *type = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
  if (rs_column_type_named(&a.type, type) != RS_OK || a.type == RS_LIST)
    luaL_argerror(L, arg, "a constant is { \"time\", ms } or, missing, { \"number\" }, { \"time\" } or { \"string\" }");
  a.missing = lua_isnil(L, -1);
  if (!a.missing) {
    luaL_argcheck(L, a.type == RS_TIME && lua_isinteger(L, -1), arg, "a constant time is an integer of ms");
    a.time = lua_tointeger(L, -1);
  }
  lua_pop(L, 2);
  return a;
}

/* The operand on top of the stack; what it points to stays in the table at 'arg'. */
static rs_operand check_operand(lua_State *L, int arg, int64_t rows) {
  rs_operand a = {0};
  const rs_frame *f = luaL_testudata(L, -1, RS_FRAME);
  if (f) {
    luaL_argcheck(L, f->n_columns > 0 && f->rows == rows, arg, "an operand has another number of rows, or is closed");
    a.column = &f->columns[0];
  } else if (lua_type(L, -1) == LUA_TNUMBER) {
    a.number = lua_tonumber(L, -1);
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    a.type = RS_STRING;
    a.text = lua_tolstring(L, -1, &a.length);
  } else {
    luaL_argcheck(L, lua_istable(L, -1), arg, "operands are frames, numbers, strings or constants");
    a = check_constant(L, arg);
  }
  return a;
}

/* frame.apply(op, rows, operands) -> Frame */
int rs_frame_apply(lua_State *L) {
  rs_call call = {.op = luaL_checkstring(L, 1), .rows = luaL_checkinteger(L, 2)};
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_argcheck(L, call.rows >= 0, 2, "a number of rows expected");
  call.n = (int)lua_rawlen(L, 3);
  rs_operand *args = lua_newuserdatauv(L, (size_t)call.n * sizeof *args, 0);
  for (int i = 0; i < call.n; i++) {
    lua_rawgeti(L, 3, i + 1);
    args[i] = check_operand(L, 3, call.rows);
    lua_pop(L, 1);
  }
  call.args = args;
  rs_column *made = rs_push_object(L, sizeof *made, VALUE, 0);
  rs_frame *out = rs_push_frame(L);
  rs_status status = rs_column_apply(made, &call);
  if (status == RS_ENOMEM && rs_collect(L)) {
    rs_column_free(made);
    status = rs_column_apply(made, &call);
  }
  rs_check(L, status);
  rs_check_retry(L, rs_frame_add(out, made));
  rs_account_frame(L, out);
  return 1;
}

void rs_open_frame_expression(lua_State *L) { rs_new_scratch_type(L, VALUE, l_free_value); }
