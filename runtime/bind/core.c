/* core.c - recsys.core: the table of all C modules, with the runtime's version, the commit it was built at and a
 * hash of the sources that read files.
 *
 * generated/modules.inc has a line MODULE(x) for every bind/l_x.c: a new module is a new file. */
#include "bind/bind.h"
#include "tensor/blas.h"
#include "version.h"

#define MODULE(name) int rs_open_##name(lua_State *);
#include "modules.inc"
#undef MODULE

int luaopen_recsys_core(lua_State *L) {
#define MODULE(name) {#name, rs_open_##name},
  static const luaL_Reg modules[] = {
#include "modules.inc"
  };
#undef MODULE
  rs_blas_prepare();
  rs_open_scratch(L);
  lua_newtable(L);
  rs_set_text(L, "version", RS_VERSION);
  rs_set_text(L, "commit", RS_COMMIT);
  rs_set_text(L, "reader", RS_READER);
  for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
    lua_pushcfunction(L, modules[i].func);
    lua_call(L, 0, 1);
    lua_setfield(L, -2, modules[i].name);
  }
  return 1;
}
