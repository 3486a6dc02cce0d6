/* fields.h - named options of a binding: out of a Lua table, by name, checked.
 *
 * Tensors are taken as contiguous handles into memory that a userdata owns and its __gc frees, so that whatever raises
 * on the way leaks nothing. */
#ifndef RS_FIELDS_H
#define RS_FIELDS_H
#include "base/lists.h"
#include "bind/bind.h"

/* Options: what may be absent, of the table at argument 'arg'. Wrong ones raise "option 'name' must be ...". */

/* Raise unless there is a table whose keys are all in 'known' (ends with NULL): a typing error would silently do
 * something else. */
void rs_check_options(lua_State *L, int arg, const char *const *known);
/* Raise: the option must be 'expected'. */
int rs_wrong_option(lua_State *L, int arg, const char *name, const char *expected);
/* An integer of 'least' or more; 'standard' when absent, unless that is negative: then it must be there. */
int64_t rs_integer_option(lua_State *L, int arg, const char *name, int64_t least, int64_t standard);
double rs_number_option(lua_State *L, int arg, const char *name, double standard);
bool rs_boolean_option(lua_State *L, int arg, const char *name, bool standard);
/* A string, left on the stack so that it stays; 'standard' when absent, unless that is NULL: then it must be there. */
const char *rs_string_option(lua_State *L, int arg, const char *name, const char *standard);
/* The position in 'words' (ends with NULL) of a string option. */
int rs_choice_option(lua_State *L, int arg, const char *name, const char *const *words, const char *standard);
/* A Tensor, which stays on the stack; NULL when absent. */
const rs_tensor *rs_tensor_option(lua_State *L, int arg, const char *name);

/* Fields: what a call works on, as handles. */

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
