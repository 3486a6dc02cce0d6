/* bind.h - what the bindings share: statuses to Lua errors, positions, and the tensor userdata.
 *
 * The only folder besides main.c that sees lua.h. Order in every binding: check arguments, push the empty
 * userdata that __gc can already free, call the core, return. */
#ifndef RS_BIND_H
#define RS_BIND_H
#include <lauxlib.h>
#include <lua.h>

#include "base/buffer.h"
#include "base/status.h"
#include "tensor/tensor.h"
#include "tensor/tensors.h"

#define RS_TENSOR "recsys.Tensor"

/* Raise a failed status as a Lua error whose message is the core's: for wrong arguments and shapes. */
void rs_check(lua_State *L, rs_status status);

/* Collect all garbage, so that finalizers give memory back; false when there is too little memory even for that. */
bool rs_collect(lua_State *L);

/* rs_check for a call that makes something large: when memory is refused, collect and try once more. The call
 * must leave its output empty on failure. */
#define rs_check_retry(L, call)                                  \
  do {                                                           \
    rs_status status_ = (call);                                  \
    if (status_ == RS_ENOMEM && rs_collect(L)) status_ = (call); \
    rs_check(L, status_);                                        \
  } while (0)

/* For refusals of the world (io, format, ...): on RS_OK return 'results', the values already pushed; else push
 * nil, message, code word ("io", "format", "memory", ...) and return 3. */
int rs_return(lua_State *L, rs_status status, int results);

/* Push an empty userdata of 'bytes' zeroed bytes with the metatable 'type' and 'uservalues' user values. */
void *rs_push_object(lua_State *L, size_t bytes, const char *type, int uservalues);

/* The Lua position at 'arg', 1..n or -n..-1 from the end, as a C index; raises outside. */
int64_t rs_check_index(lua_State *L, int arg, int64_t n);

/* Register a type: a metatable called 'type' whose __index is a table of 'methods'; 'meta' holds __gc and the like. */
void rs_new_type(lua_State *L, const char *type, const luaL_Reg *methods, const luaL_Reg *meta);
/* Register a type that Lua code never sees, scratch that outlives whatever raises: nothing but its finalizer. */
void rs_new_scratch_type(lua_State *L, const char *type, lua_CFunction finalizer);

/* Scratch that the collector frees, empty: a list of tensors, a buffer. Freeing it before the call ends is allowed. */
rs_tensors *rs_push_list(lua_State *L);
rs_buffer *rs_push_buffer(lua_State *L);

/* table[key] = value, the table being on top of the stack. */
void rs_set_integer(lua_State *L, const char *key, int64_t value);
void rs_set_text(lua_State *L, const char *key, const char *value);
void rs_set_tensor(lua_State *L, const char *key, const rs_tensor *t); /* a handle on 't' */

rs_tensor *rs_push_tensor(lua_State *L); /* an empty one */
/* The open tensor at 'arg'; raises for anything else. */
rs_tensor *rs_check_tensor(lua_State *L, int arg);
rs_tensor *rs_test_tensor(lua_State *L, int arg); /* NULL when it is not a tensor */
/* What t:size([dim]) returns: the size of the dimension at argument 2, or without it a table of all. */
int rs_push_size(lua_State *L, const rs_tensor *t);
/* Tell Lua's collector about the bytes of a tensor just made; may collect. */
void rs_account(lua_State *L, const rs_tensor *t);

/* Fill 'list' from the Lua table at 'arg', name -> Tensor, in sorted order of names; raises for other contents.
 * 'list' must be reachable by __gc (inside a userdata), as this may raise half-way. */
void rs_check_tensors(lua_State *L, int arg, rs_tensors *list);
/* Push a table name -> Tensor. */
void rs_push_tensors(lua_State *L, const rs_tensors *list);

/* One opener a module; each pushes its module table. */
int rs_open_base(lua_State *L);
int rs_open_tensor(lua_State *L);
int rs_open_autograd(lua_State *L);
int rs_open_nn(lua_State *L);
int rs_open_optim(lua_State *L);
int rs_open_solve(lua_State *L);
int rs_open_frame(lua_State *L);
int rs_open_profile(lua_State *L);
int rs_open_feature(lua_State *L);
int rs_open_metrics(lua_State *L);
int rs_open_retrieval(lua_State *L);
int rs_open_bundle(lua_State *L);
int rs_open_serve(lua_State *L);
int rs_open_http(lua_State *L);
int rs_open_doctor(lua_State *L);
int rs_open_machine(lua_State *L);
int rs_open_process(lua_State *L);
int rs_open_trace(lua_State *L);
int rs_open_server(lua_State *L);
int rs_open_sql(lua_State *L);

/* The types of rs_push_list and rs_push_buffer: before any module. */
void rs_open_scratch(lua_State *L);

/* Pushes the table of all modules: what require "recsys.core" gives. */
int luaopen_recsys_core(lua_State *L);

#endif
