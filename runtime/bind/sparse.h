/* sparse.h - the Csr userdata: sparse matrices in Lua. */
#ifndef RS_BIND_SPARSE_H
#define RS_BIND_SPARSE_H
#include "bind/bind.h"
#include "tensor/csr.h"

#define RS_CSR "recsys.Csr"

/* Push an empty matrix that the collector frees. */
rs_csr *rs_push_csr(lua_State *L);
/* The open matrix at 'arg'. */
const rs_csr *rs_check_csr(lua_State *L, int arg);

/* Registers the type and adds its constructor to the table on top of the stack. */
void rs_open_sparse(lua_State *L);

#endif
