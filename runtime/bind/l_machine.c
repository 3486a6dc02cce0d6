/* l_machine.c - recsys.core.machine: rates that this machine's threads reach. */
#include "bind/bind.h"
#include "tensor/machine.h"

/* machine.sgemm(m, n, k, [transposed, rounds]) -> operations a second */
static int l_sgemm(lua_State *L) {
  double rate;
  rs_check_retry(L, rs_machine_sgemm(&rate, luaL_checkinteger(L, 1), luaL_checkinteger(L, 2), luaL_checkinteger(L, 3),
                                     lua_toboolean(L, 4), (int)luaL_optinteger(L, 5, 3)));
  lua_pushnumber(L, rate);
  return 1;
}

/* machine.copy(bytes, [rounds]) -> bytes a second */
static int l_copy(lua_State *L) {
  double rate;
  rs_check_retry(L, rs_machine_copy(&rate, luaL_checkinteger(L, 1), (int)luaL_optinteger(L, 2, 3)));
  lua_pushnumber(L, rate);
  return 1;
}

int rs_open_machine(lua_State *L) {
  static const luaL_Reg functions[] = {{"sgemm", l_sgemm}, {"copy", l_copy}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
