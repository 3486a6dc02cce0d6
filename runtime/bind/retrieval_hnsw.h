/* retrieval_hnsw.h - the approximate engine's functions of recsys.core.retrieval. */
#ifndef RS_BIND_RETRIEVAL_HNSW_H
#define RS_BIND_RETRIEVAL_HNSW_H
#include "bind/bind.h"
#include "retrieval/index.h"

#define RS_INDEX "recsys.Index" /* an rs_index *, NULL once it is closed */

/* retrieval.hnsw(items, [options]) -> Index */
int rs_retrieval_hnsw(lua_State *L);
/* retrieval.load(tensors, items) -> Index | nil, message, code */
int rs_retrieval_load(lua_State *L);
/* index:save() -> tensors | nil */
int rs_retrieval_save(lua_State *L);
/* index:facts() -> table | nil */
int rs_retrieval_facts(lua_State *L);

#endif
