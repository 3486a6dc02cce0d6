/* l_autograd.h - parameters, tapes and Vars for the other bindings (nn, optim, bundle). */
#ifndef RS_L_AUTOGRAD_H
#define RS_L_AUTOGRAD_H
#include "autograd/plan.h"
#include "autograd/tape.h"
#include "bind/bind.h"

#define RS_PARAMETER "recsys.Parameter"
#define RS_TAPE "recsys.Tape"
#define RS_VAR "recsys.Var"
#define RS_PLAN "recsys.Plan"

/* Push an empty Parameter userdata; store the reference that it is to own into *slot. */
rs_parameter **rs_push_parameter(lua_State *L);
rs_parameter *rs_check_parameter(lua_State *L, int arg);

/* The open tape at 'arg'; raises for anything else and for a closed one. */
rs_tape *rs_check_tape(lua_State *L, int arg);

/* The node of the Var at 'arg'; raises for anything else and when its tape is closed. */
rs_node *rs_check_var(lua_State *L, int arg);
rs_node *rs_opt_var(lua_State *L, int arg); /* NULL for nil or none */
/* Push a Var whose tape is that of the Var or Tape at index 'of', and return where its node goes: call this before
 * the core, so that nothing raises while a node is in flight. A Var keeps its tape alive. */
rs_node **rs_push_var(lua_State *L, int of);
/* After the core filled the node of the Var on top: tell Lua's collector its bytes. Returns 1, so that a binding ends
 * with rs_check_retry(L, rs_ag_relu(out, x)); return rs_return_var(L); */
int rs_return_var(lua_State *L);

rs_plan **rs_push_plan(lua_State *L);
rs_plan *rs_check_plan(lua_State *L, int arg);

#endif
