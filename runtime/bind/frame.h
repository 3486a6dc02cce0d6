/* frame.h - frames as Lua userdata: what l_frame.c shares with the bindings that take or give frames. */
#ifndef RS_BIND_FRAME_H
#define RS_BIND_FRAME_H
#include "bind/bind.h"
#include "frame/frame.h"

#define RS_FRAME "recsys.Frame"

rs_frame *rs_push_frame(lua_State *L); /* an empty one */
/* The open frame at 'arg'; raises for anything else. A frame without columns is a closed one. */
rs_frame *rs_check_frame(lua_State *L, int arg);
/* Tell Lua's collector about the columns of a frame just made. */
void rs_account_frame(lua_State *L, const rs_frame *f);

/* The strings of the table at 'arg', or the one string there: pushes the scratch that holds the array (the strings stay
 * the table's). Raises unless there is at least one and all are strings. */
const char **rs_check_names(lua_State *L, int arg, int *n);

/* Functions of recsys.core.frame that live in files of their own, and the types that those need. */
void rs_open_frame_csv(lua_State *L);
void rs_open_frame_make(lua_State *L);
/* Add the shaping operations to the type and to the module table on top of the stack. */
void rs_open_frame_shape(lua_State *L);
void rs_open_frame_expression(lua_State *L);
int rs_frame_apply(lua_State *L);
int rs_frame_read_csv(lua_State *L);
int rs_frame_read_jsonl(lua_State *L);
int rs_frame_glob(lua_State *L);
int rs_frame_write_csv(lua_State *L);
int rs_frame_from_table(lua_State *L);
int rs_frame_with(lua_State *L);

#endif
