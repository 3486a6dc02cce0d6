/* l_tensor.c - recsys.core.tensor: making tensors, looking into them, and views. Arithmetic is in tensor_math.c. */
#include <math.h>
#include <string.h>

#include "bind/sparse.h"
#include "bind/tensor_math.h"
#include "tensor/kernels.h"

/* Sizes: integers from 'arg' on, or one table of them; then an optional dtype name. */
typedef struct sizes {
  int n;
  int64_t size[RS_MAX_DIMS];
  rs_dtype dtype;
} sizes;

static void add_size(lua_State *L, sizes *s, int arg, int64_t size, bool ok) {
  luaL_argcheck(L, ok, arg, "a size must be an integer");
  luaL_argcheck(L, s->n < RS_MAX_DIMS, arg, "at most 4 dimensions are served");
  s->size[s->n++] = size;
}

rs_dtype rs_opt_dtype(lua_State *L, int arg, rs_dtype standard) {
  rs_dtype dtype = standard;
  if (!lua_isnoneornil(L, arg) && rs_dtype_named(&dtype, luaL_checkstring(L, arg)) != RS_OK)
    luaL_argerror(L, arg, rs_message());
  return dtype;
}

static sizes check_sizes(lua_State *L, int arg, rs_dtype standard) {
  sizes s = {0};
  if (lua_istable(L, arg)) {
    for (int i = 1; lua_geti(L, arg, i) != LUA_TNIL; i++) {
      add_size(L, &s, arg, lua_tointeger(L, -1), lua_isinteger(L, -1));
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
    arg++;
  } else {
    for (; lua_type(L, arg) == LUA_TNUMBER; arg++) add_size(L, &s, arg, lua_tointeger(L, arg), lua_isinteger(L, arg));
  }
  s.dtype = rs_opt_dtype(L, arg, standard);
  return s;
}

/* tensor.zeros(size..., [dtype]) -> Tensor */
static int l_zeros(lua_State *L) {
  sizes s = check_sizes(L, 1, RS_F32);
  rs_tensor *t = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_zeros(t, s.dtype, s.n, s.size));
  rs_account(L, t);
  return 1;
}

/* Put the Lua number at 'arg' into the element at 'at': integers exactly. */
static void set_element(lua_State *L, rs_tensor *t, const int64_t *at, int arg) {
  if (lua_isinteger(L, arg))
    rs_tensor_set_integer(t, at, lua_tointeger(L, arg));
  else
    rs_tensor_set(t, at, luaL_checknumber(L, arg));
}

static void push_element(lua_State *L, const rs_tensor *t, const int64_t *at) {
  if (t->dtype == RS_F32 || t->dtype == RS_F64 || t->dtype == RS_BF16)
    lua_pushnumber(L, rs_tensor_get(t, at));
  else
    lua_pushinteger(L, rs_tensor_get_integer(t, at));
}

/* tensor.full(value, size..., [dtype]) -> Tensor */
static int l_full(lua_State *L) {
  luaL_checknumber(L, 1);
  sizes s = check_sizes(L, 2, RS_F32);
  rs_tensor *t = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(t, s.dtype, s.n, s.size));
  rs_tensor *value = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(value, s.dtype, 0, NULL));
  set_element(L, value, NULL, 1);
  rs_check(L, rs_copy_into(t, value));
  rs_tensor_free(value);
  lua_pop(L, 1);
  rs_account(L, t);
  return 1;
}

/* tensor.arange([start,] stop, [step], [dtype]) -> Tensor [n]: start (0), start + step, ... before stop */
static int l_arange(lua_State *L) {
  int n_numbers = 0;
  bool integers = true;
  while (n_numbers < 3 && lua_type(L, n_numbers + 1) == LUA_TNUMBER)
    integers = lua_isinteger(L, ++n_numbers) && integers;
  luaL_argcheck(L, n_numbers >= 1, 1, "a number expected");
  double start = n_numbers >= 2 ? lua_tonumber(L, 1) : 0, stop = lua_tonumber(L, n_numbers >= 2 ? 2 : 1);
  double step = n_numbers == 3 ? lua_tonumber(L, 3) : 1, n = ceil((stop - start) / step);
  luaL_argcheck(L, step != 0, 3, "the step must not be 0");
  luaL_argcheck(L, n < 0x1p62, n_numbers, "too many elements");
  int64_t first = n_numbers >= 2 ? (int64_t)start : 0, hop = (int64_t)step, count = n > 0 ? (int64_t)n : 0;
  rs_dtype dtype = rs_opt_dtype(L, n_numbers + 1, integers ? RS_I64 : RS_F32);
  rs_tensor *t = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(t, dtype, 1, &count));
  int64_t *plain = integers && dtype == RS_I64 ? rs_i64(t) : NULL;
  for (int64_t i = 0; i < count; i++)
    if (plain)
      plain[i] = first + i * hop;
    else if (integers)
      rs_tensor_set_integer(t, &i, first + i * hop);
    else
      rs_tensor_set(t, &i, start + (double)i * step);
  rs_account(L, t);
  return 1;
}

/* Copy the nested table on top of the stack into dimension 'd' on. */
static void fill_from(lua_State *L, rs_tensor *t, int d, int64_t *at) {
  if (d == t->ndim || d == RS_MAX_DIMS) {
    if (!lua_isnumber(L, -1)) luaL_error(L, "tensor.new: a number expected, got %s", luaL_typename(L, -1));
    set_element(L, t, at, -1);
    return;
  }
  if (!lua_istable(L, -1) || (int64_t)lua_rawlen(L, -1) != t->size[d])
    luaL_error(L, "tensor.new: the nested tables have different lengths");
  for (at[d] = 0; at[d] < t->size[d]; at[d]++) {
    lua_rawgeti(L, -1, at[d] + 1);
    fill_from(L, t, d + 1, at);
    lua_pop(L, 1);
  }
}

/* tensor.new(number | nested table, [dtype]) -> Tensor */
static int l_new(lua_State *L) {
  sizes s = {.dtype = rs_opt_dtype(L, 2, RS_F32)};
  lua_settop(L, 2);
  luaL_argcheck(L, lua_istable(L, 1) || lua_isnumber(L, 1), 1, "a number or a nested table of numbers expected");
  lua_pushvalue(L, 1);
  while (lua_istable(L, -1)) {
    add_size(L, &s, 1, (int64_t)lua_rawlen(L, -1), true);
    lua_rawgeti(L, -1, 1);
  }
  lua_settop(L, 2);
  rs_tensor *t = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(t, s.dtype, s.n, s.size));
  int64_t at[RS_MAX_DIMS] = {0};
  lua_pushvalue(L, 1);
  fill_from(L, t, 0, at);
  lua_pop(L, 1);
  rs_account(L, t);
  return 1;
}

/* tensor.from_string(bytes, dtype, size...) -> Tensor; without sizes a vector of them all */
static int l_from_string(lua_State *L) {
  size_t length;
  const char *bytes = luaL_checklstring(L, 1, &length);
  rs_dtype dtype = rs_opt_dtype(L, 2, RS_F32);
  sizes s = check_sizes(L, 3, dtype);
  if (s.n == 0) s = (sizes){1, {(int64_t)(length / rs_dtype_size(dtype))}, dtype};
  rs_tensor *t = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(t, dtype, s.n, s.size));
  if (rs_tensor_bytes(t) != length)
    luaL_error(L, "tensor.from_string: %s %s takes %I bytes, there are %I", rs_dtype_name(dtype), rs_shape(t).text,
               (LUAI_UACINT)rs_tensor_bytes(t), (LUAI_UACINT)length);
  memcpy(rs_tensor_data(t), bytes, length);
  rs_account(L, t);
  return 1;
}

/* t:to_string() -> the elements' bytes, row-major, little-endian */
static int l_to_string(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  rs_tensor *c = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(c, t));
  lua_pushlstring(L, rs_tensor_data(c), rs_tensor_bytes(c));
  return 1;
}

/* t:size() -> {size...}; t:size(dim) -> integer */
static int l_size(lua_State *L) { return rs_push_size(L, rs_check_tensor(L, 1)); }

static int l_dim(lua_State *L) {
  lua_pushinteger(L, rs_check_tensor(L, 1)->ndim);
  return 1;
}

static int l_count(lua_State *L) {
  lua_pushinteger(L, rs_tensor_count(rs_check_tensor(L, 1)));
  return 1;
}

static int l_dtype(lua_State *L) {
  lua_pushstring(L, rs_dtype_name(rs_check_tensor(L, 1)->dtype));
  return 1;
}

/* #t: the first size */
static int l_len(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  if (t->ndim == 0) return luaL_error(L, "a scalar tensor has no length");
  lua_pushinteger(L, t->size[0]);
  return 1;
}

static void check_position(lua_State *L, const rs_tensor *t, int64_t *at) {
  for (int d = 0; d < t->ndim; d++) at[d] = rs_check_index(L, 2 + d, t->size[d]);
}

/* t:get(i, j, ...) -> number */
static int l_get(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  int64_t at[RS_MAX_DIMS];
  check_position(L, t, at);
  luaL_argcheck(L, lua_isnoneornil(L, 2 + t->ndim), 2 + t->ndim, "more positions than dimensions");
  push_element(L, t, at);
  return 1;
}

rs_tensor *rs_check_writable(lua_State *L, int arg) {
  rs_tensor *t = rs_check_tensor(L, arg);
  luaL_argcheck(L, t->storage->writable, arg, "tensor is a read-only mapping");
  return t;
}

/* t:set(i, j, ..., value) -> t */
static int l_set(lua_State *L) {
  rs_tensor *t = rs_check_writable(L, 1);
  int64_t at[RS_MAX_DIMS];
  check_position(L, t, at);
  luaL_checknumber(L, 2 + t->ndim);
  set_element(L, t, at, 2 + t->ndim);
  lua_settop(L, 1);
  return 1;
}

/* t:item() -> number: the one element of a tensor with one */
static int l_item(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  luaL_argcheck(L, rs_tensor_count(t) == 1, 1, "tensor has more than one element, or none");
  push_element(L, t, (int64_t[RS_MAX_DIMS]){0});
  return 1;
}

/* Push dimension 'd' on as nested tables. */
static void push_from(lua_State *L, const rs_tensor *t, int d, int64_t *at) {
  if (d == t->ndim || d == RS_MAX_DIMS) {
    push_element(L, t, at);
    return;
  }
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, t->size[d] < INT_MAX ? (int)t->size[d] : 0, 0);
  for (at[d] = 0; at[d] < t->size[d]; at[d]++) {
    push_from(L, t, d + 1, at);
    lua_rawseti(L, -2, at[d] + 1);
  }
}

/* t:tolist() -> nested table of numbers; a number for a scalar */
static int l_tolist(lua_State *L) {
  int64_t at[RS_MAX_DIMS] = {0};
  push_from(L, rs_check_tensor(L, 1), 0, at);
  return 1;
}

/* t:narrow(dim, start, length) -> Tensor, a view that shares t's storage */
static int l_narrow(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  int dim = (int)rs_check_index(L, 2, t->ndim);
  int64_t length = luaL_checkinteger(L, 4), start = luaL_checkinteger(L, 3);
  if (!(length == 0 && start == t->size[dim] + 1)) start = rs_check_index(L, 3, t->size[dim]) + 1;
  luaL_argcheck(L, 0 <= length && length <= t->size[dim] - (start - 1), 4, "slice leaves the dimension");
  rs_check(L, rs_tensor_narrow(rs_push_tensor(L), t, dim, start - 1, length));
  return 1;
}

/* t:select(dim, index) -> Tensor without that dimension, a view */
static int l_select(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  int dim = (int)rs_check_index(L, 2, t->ndim);
  int64_t index = rs_check_index(L, 3, t->size[dim]);
  rs_check(L, rs_tensor_select(rs_push_tensor(L), t, dim, index));
  return 1;
}

/* t:transpose([dim0, dim1]) -> Tensor, a view with two dimensions exchanged; 1 and 2 when not given */
static int l_transpose(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  luaL_argcheck(L, t->ndim >= 2, 1, "a tensor of at least 2 dimensions expected");
  int dim0 = lua_isnoneornil(L, 2) ? 0 : (int)rs_check_index(L, 2, t->ndim);
  int dim1 = lua_isnoneornil(L, 3) ? 1 : (int)rs_check_index(L, 3, t->ndim);
  rs_check(L, rs_tensor_transpose(rs_push_tensor(L), t, dim0, dim1));
  return 1;
}

/* t:reshape(size...) -> Tensor; one size may be -1 */
static int l_reshape(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  sizes s = check_sizes(L, 2, t->dtype);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_reshape(out, t, s.n, s.size));
  return 1;
}

static int l_contiguous(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(out, t));
  return 1;
}

static int l_is_contiguous(lua_State *L) {
  lua_pushboolean(L, rs_tensor_is_contiguous(rs_check_tensor(L, 1)));
  return 1;
}

static int l_clone(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_copy_of(out, t));
  rs_account(L, out);
  return 1;
}

static int l_tostring(lua_State *L) {
  const rs_tensor *t = luaL_checkudata(L, 1, RS_TENSOR);
  if (t->storage)
    lua_pushfstring(L, "Tensor %s %s", rs_dtype_name(t->dtype), rs_shape(t).text);
  else
    lua_pushliteral(L, "Tensor (closed)");
  return 1;
}

/* __gc, __close and t:close(): in any order, any number of times. */
static int l_free(lua_State *L) {
  rs_tensor_free(luaL_checkudata(L, 1, RS_TENSOR));
  return 0;
}

/* tensor.is(value) -> boolean: whether it is an open tensor */
static int l_is(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, rs_test_tensor(L, 1) != NULL);
  return 1;
}

static void register_all(lua_State *L, const char *field) {
  luaL_getmetatable(L, RS_TENSOR);
  if (field) lua_getfield(L, -1, field);
  luaL_setfuncs(L, field ? rs_tensor_math_methods : rs_tensor_math_operators, 0);
  lua_pop(L, field ? 2 : 1);
}

int rs_open_tensor(lua_State *L) {
  static const luaL_Reg methods[] = {{"to_string", l_to_string},
                                     {"size", l_size},
                                     {"dim", l_dim},
                                     {"count", l_count},
                                     {"dtype", l_dtype},
                                     {"get", l_get},
                                     {"set", l_set},
                                     {"item", l_item},
                                     {"tolist", l_tolist},
                                     {"narrow", l_narrow},
                                     {"select", l_select},
                                     {"transpose", l_transpose},
                                     {"reshape", l_reshape},
                                     {"contiguous", l_contiguous},
                                     {"is_contiguous", l_is_contiguous},
                                     {"clone", l_clone},
                                     {"close", l_free},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", l_free}, {"__close", l_free}, {"__tostring", l_tostring}, {"__len", l_len}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"zeros", l_zeros}, {"full", l_full}, {"arange", l_arange},
                                       {"new", l_new},     {"is", l_is},     {"from_string", l_from_string},
                                       {NULL, NULL}};
  rs_new_type(L, RS_TENSOR, methods, meta);
  register_all(L, "__index");
  register_all(L, NULL);
  luaL_newlib(L, functions);
  luaL_setfuncs(L, rs_tensor_math_functions, 0);
  luaL_setfuncs(L, rs_tensor_file_functions, 0);
  rs_open_sparse(L);
  return 1;
}
