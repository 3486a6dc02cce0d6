/* autograd_ops.h - what l_autograd.c and autograd_ops.c share. */
#ifndef RS_AUTOGRAD_OPS_H
#define RS_AUTOGRAD_OPS_H
#include "bind/l_autograd.h"

/* The userdata of a Var. */
typedef struct rs_var {
  rs_node *node;
  rs_tape **tape; /* in the Tape userdata, which user value 1 holds */
} rs_var;

extern const luaL_Reg rs_var_operations[]; /* functions of the module and methods of Var alike */
extern const luaL_Reg rs_var_operators[];  /* metamethods */
int rs_autograd_concat(lua_State *L);      /* autograd.concat({x, ...}) */

#endif
