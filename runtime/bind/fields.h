/* fields.h - named options of a binding: tensors, lists and integers out of a Lua table.
 *
 * Tensors are taken as contiguous handles into memory that a userdata owns and its __gc frees, so that whatever raises
 * on the way leaks nothing. */
#ifndef RS_FIELDS_H
#define RS_FIELDS_H
#include "base/lists.h"
#include "bind/bind.h"

/* The tensor at 'index' into 'out', which is empty; raises, with 'name', unless it has the dtype and dimensions. */
void rs_take_tensor(lua_State *L, int index, const char *name, rs_dtype dtype, int ndim, rs_tensor *out);
/* The same for a field of the table at 'index' (absolute); false when it is nil. */
bool rs_take_field(lua_State *L, int index, const char *name, rs_dtype dtype, int ndim, rs_tensor *out);
/* The same; raises when it is nil. */
void rs_need_field(lua_State *L, int index, const char *name, rs_dtype dtype, int ndim, rs_tensor *out);
/* Raise unless the first size of 't', called 'name', is 'n'. */
void rs_need_rows(lua_State *L, const rs_tensor *t, const char *name, int64_t n);

/* A whole number of the table at 'index' (absolute); 'standard' when nil, raises for anything else. */
lua_Integer rs_integer_field(lua_State *L, int index, const char *name, lua_Integer standard);

/* What lists are made of. All-zero is valid and empty. */
typedef struct rs_list_tensors {
  rs_tensor starts, lengths, values;
} rs_list_tensors;

/* The field { starts = i64, lengths = i32, values = i32 } of the table at 'index' (absolute) as a view of 'out', which
 * is empty; no lists at all when it is nil. */
rs_lists rs_take_lists(lua_State *L, int index, const char *name, rs_list_tensors *out);
void rs_free_lists(rs_list_tensors *l);

#endif
