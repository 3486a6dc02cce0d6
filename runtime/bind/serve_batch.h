/* serve_batch.h - the batch of a served model, as its methods in Lua. */
#ifndef RS_BIND_SERVE_BATCH_H
#define RS_BIND_SERVE_BATCH_H
#include "base/buffer.h"
#include "bind/bind.h"

/* m:batch{ ... } -> Batch; the model is the userdata at 1 (bind/served.h). */
int rs_serve_batch(lua_State *L);
void rs_new_batch_type(lua_State *L);

/* Push a list of names, each of which is terminated. */
void rs_push_names(lua_State *L, const rs_buffer *names);

#endif
