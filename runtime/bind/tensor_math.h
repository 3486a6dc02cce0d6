/* tensor_math.h - the two halves of recsys.core.tensor: l_tensor.c registers what tensor_math.c defines. */
#ifndef RS_TENSOR_MATH_H
#define RS_TENSOR_MATH_H
#include "bind/bind.h"

extern const luaL_Reg rs_tensor_math_methods[];   /* of Tensor */
extern const luaL_Reg rs_tensor_math_operators[]; /* of its metatable */
extern const luaL_Reg rs_tensor_math_functions[]; /* of the module */
extern const luaL_Reg rs_tensor_file_functions[]; /* of the module, in tensor_files.c */

/* The dtype named at 'arg', or 'standard' when there is none; raises for a name that is no dtype. */
rs_dtype rs_opt_dtype(lua_State *L, int arg, rs_dtype standard);
/* The open tensor at 'arg' whose storage may be written to. */
rs_tensor *rs_check_writable(lua_State *L, int arg);

#endif
