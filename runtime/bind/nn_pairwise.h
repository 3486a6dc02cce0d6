/* nn_pairwise.h - the part of recsys.core.nn that binds nn/pairwise.h. */
#ifndef RS_BIND_NN_PAIRWISE_H
#define RS_BIND_NN_PAIRWISE_H
#include "bind/bind.h"

/* Add bpr and warp to the table on top of the stack. */
void rs_open_pairwise(lua_State *L);

#endif
