/* feature.h - what l_feature.c shares with feature_program.c. */
#ifndef RS_BIND_FEATURE_H
#define RS_BIND_FEATURE_H
#include "bind/frame.h"
#include "frame/history.h"
#include "frame/vocabulary.h"

#define RS_VOCABULARY "recsys.Vocabulary" /* an rs_vocabulary * that it holds a reference on */

/* The contiguous vector of that dtype at 'arg', of 'n' elements unless n < 0; raises for anything else. */
rs_tensor *rs_check_vector(lua_State *L, int arg, rs_dtype dtype, int64_t n);
/* The open vocabulary at 'arg'. */
rs_vocabulary *rs_check_vocabulary(lua_State *L, int arg);
/* The i64 rows at 'arg' and how many; NULL and 0 for nil: all. */
const int64_t *rs_opt_rows(lua_State *L, int arg, int64_t *n);

#define RS_FEATURES "recsys.Features" /* an rs_features */

/* Adds feature.batches to the table on top of the stack. */
void rs_open_feature_batches(lua_State *L);
/* Adds feature.tfidf to the table on top of the stack. */
void rs_open_feature_text(lua_State *L);

/* The open History at 'arg'. */
rs_history *rs_check_history(lua_State *L, int arg);

/* Register the types Program and Features, and History and Accumulator; add their functions to the table on top. */
void rs_open_feature_program(lua_State *L);
void rs_open_feature_history(lua_State *L);

#endif
