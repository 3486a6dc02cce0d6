/* l_process.c - recsys.core.process: what a program that another one started owes to it. */
#include "base/process.h"
#include "bind/bind.h"

/* process.follow(fd) -> true | nil, message, code */
static int l_follow(lua_State *L) {
  lua_Integer fd = luaL_checkinteger(L, 1);
  luaL_argcheck(L, INT32_MIN <= fd && fd <= INT32_MAX, 1, "no file has this number");
  lua_pushboolean(L, 1);
  return rs_return(L, rs_process_follow((int)fd), 1);
}

/* process.limit(bytes) -> true | nil, message, code */
static int l_limit(lua_State *L) {
  lua_Integer bytes = luaL_checkinteger(L, 1);
  luaL_argcheck(L, bytes > 0, 1, "must be positive");
  lua_pushboolean(L, 1);
  return rs_return(L, rs_process_limit(bytes), 1);
}

/* process.reserved() -> bytes */
static int l_reserved(lua_State *L) {
  lua_pushinteger(L, rs_process_reserved());
  return 1;
}

int rs_open_process(lua_State *L) {
  static const luaL_Reg functions[] = {{"follow", l_follow}, {"limit", l_limit}, {"reserved", l_reserved}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
