/* core.c - the table of all modules; generated/modules.inc has a line MODULE(x) for every bind/l_x.c. */
#include "bind/bind.h"

#define MODULE(name) int rs_open_##name(lua_State *);
#include "modules.inc"
#undef MODULE

int luaopen_recsys_core(lua_State *L) {
#define MODULE(name) {#name, rs_open_##name},
  static const luaL_Reg modules[] = {
#include "modules.inc"
  };
#undef MODULE
  lua_newtable(L);
  for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
    lua_pushcfunction(L, modules[i].func);
    lua_call(L, 0, 1);
    lua_setfield(L, -2, modules[i].name);
  }
  return 1;
}
