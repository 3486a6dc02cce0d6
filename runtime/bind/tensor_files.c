/* tensor_files.c - tensor.load_npy and tensor.save_npy. */
#include "bind/tensor_math.h"
#include "tensor/npy.h"

/* tensor.load_npy(path) -> Tensor | nil, message, code */
static int l_load_npy(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  rs_tensor *t = rs_push_tensor(L);
  return rs_return(L, rs_npy_open(t, path), 1);
}

/* tensor.save_npy(path, tensor) -> true | nil, message, code */
static int l_save_npy(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  const rs_tensor *t = rs_check_tensor(L, 2);
  rs_status status = rs_npy_write(path, t);
  lua_pushboolean(L, true);
  return rs_return(L, status, 1);
}

const luaL_Reg rs_tensor_file_functions[] = {{"load_npy", l_load_npy}, {"save_npy", l_save_npy}, {NULL, NULL}};
