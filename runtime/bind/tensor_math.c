/* tensor_math.c - arithmetic of tensors for Lua: operators, reductions, order, rows.
 *
 * Two operands meet in the wider dtype: u8 < i32 < i64 < f32 < f64. A number takes the tensor's dtype when it fits
 * there; a float beside integers makes f64, an integer that does not fit makes i64. */
#include "bind/tensor_math.h"

#include "tensor/distinct.h"
#include "tensor/gemm.h"
#include "tensor/inverse.h"
#include "tensor/kernels.h"
#include "tensor/order.h"

static int rank(rs_dtype dtype) {
  static const int ranks[] = {[RS_U8] = 0, [RS_I32] = 1, [RS_I64] = 2, [RS_BF16] = 3, [RS_F32] = 4, [RS_F64] = 5};
  return ranks[dtype];
}

static bool is_float(rs_dtype dtype) { return dtype == RS_F32 || dtype == RS_F64; }

/* The dtype in which a tensor of 'dtype' meets the number at 'arg'. */
static rs_dtype meet_number(lua_State *L, rs_dtype dtype, int arg) {
  if (is_float(dtype)) return dtype;
  if (dtype == RS_BF16) return RS_F32;
  if (!lua_isinteger(L, arg)) return luaL_checknumber(L, arg), RS_F64;
  lua_Integer x = lua_tointeger(L, arg);
  bool fits = dtype == RS_I64 || (dtype == RS_I32 ? INT32_MIN <= x && x <= INT32_MAX : 0 <= x && x <= UINT8_MAX);
  return fits ? dtype : RS_I64;
}

/* The dtype in which the operands at a and b meet; at least one is a tensor. */
static rs_dtype meet(lua_State *L, int a, int b) {
  const rs_tensor *x = rs_test_tensor(L, a), *y = rs_test_tensor(L, b);
  if (!x && !y) x = rs_check_tensor(L, a);
  if (x && y) return rank(x->dtype) > rank(y->dtype) ? x->dtype : y->dtype;
  if (!y && !lua_isnumber(L, b)) rs_check_tensor(L, b);
  if (!x && !lua_isnumber(L, a)) rs_check_tensor(L, a);
  return x ? meet_number(L, x->dtype, b) : meet_number(L, y->dtype, a);
}

/* The operand at 'arg' as a tensor of 'dtype': itself, or a cast or a scalar pushed on the stack. */
static const rs_tensor *operand(lua_State *L, int arg, rs_dtype dtype) {
  const rs_tensor *t = rs_test_tensor(L, arg);
  if (t && t->dtype == dtype) return t;
  rs_tensor *made = rs_push_tensor(L);
  if (t) {
    rs_check_retry(L, rs_cast(made, t, dtype));
    rs_account(L, made);
    return made;
  }
  rs_check_retry(L, rs_tensor_new(made, dtype, 0, NULL));
  if (lua_isinteger(L, arg))
    rs_tensor_set_integer(made, NULL, lua_tointeger(L, arg));
  else
    rs_tensor_set(made, NULL, luaL_checknumber(L, arg));
  return made;
}

static int binary(lua_State *L, rs_binary_op op) {
  rs_dtype dtype = meet(L, 1, 2);
  if (dtype == RS_BF16) dtype = RS_F32;
  if (op == RS_DIV && !is_float(dtype)) dtype = RS_F64;
  const rs_tensor *a = operand(L, 1, dtype), *b = operand(L, 2, dtype);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_binary(out, op, a, b));
  rs_account(L, out);
  return 1;
}

static int l_add(lua_State *L) { return binary(L, RS_ADD); }
static int l_sub(lua_State *L) { return binary(L, RS_SUB); }
static int l_mul(lua_State *L) { return binary(L, RS_MUL); }
static int l_div(lua_State *L) { return binary(L, RS_DIV); }
static int l_idiv(lua_State *L) { return binary(L, RS_IDIV); }
static int l_mod(lua_State *L) { return binary(L, RS_MOD); }
static int l_maximum(lua_State *L) { return binary(L, RS_MAXIMUM); }
static int l_minimum(lua_State *L) { return binary(L, RS_MINIMUM); }
static int l_gt(lua_State *L) { return binary(L, RS_GT); }
static int l_ge(lua_State *L) { return binary(L, RS_GE); }
static int l_lt(lua_State *L) { return binary(L, RS_LT); }
static int l_le(lua_State *L) { return binary(L, RS_LE); }
static int l_eq(lua_State *L) { return binary(L, RS_EQ); }
static int l_ne(lua_State *L) { return binary(L, RS_NE); }

/* The operand at 2 for a change of the tensor at 1, whose dtype stays. */
static const rs_tensor *right_operand(lua_State *L, const rs_tensor *t) {
  rs_dtype dtype = meet(L, 1, 2);
  if (rank(dtype) > rank(t->dtype))
    luaL_argerror(L, 2, lua_pushfstring(L, "%s does not fit in %s", rs_dtype_name(dtype), rs_dtype_name(t->dtype)));
  return operand(L, 2, t->dtype);
}

static int binary_into(lua_State *L, rs_binary_op op) {
  rs_tensor *t = rs_check_writable(L, 1);
  lua_settop(L, 3); /* an absent scale is nil, and not what the operand pushes */
  const rs_tensor *b = right_operand(L, t);
  if (!lua_isnoneornil(L, 3) && (op == RS_ADD || op == RS_SUB)) { /* t:add_(b, scale) */
    const rs_tensor *scale = operand(L, 3, t->dtype);
    rs_tensor *scaled = rs_push_tensor(L);
    rs_check_retry(L, rs_binary(scaled, RS_MUL, b, scale));
    b = scaled;
  }
  rs_check_retry(L, rs_binary_into(t, op, b));
  lua_settop(L, 1);
  return 1;
}

static int l_add_into(lua_State *L) { return binary_into(L, RS_ADD); }
static int l_sub_into(lua_State *L) { return binary_into(L, RS_SUB); }
static int l_mul_into(lua_State *L) { return binary_into(L, RS_MUL); }
static int l_div_into(lua_State *L) { return binary_into(L, RS_DIV); }

/* t:fill_(number) and t:copy_(tensor): the value stretches to t. */
static int l_copy_into(lua_State *L) {
  rs_tensor *t = rs_check_writable(L, 1);
  const rs_tensor *src = right_operand(L, t);
  rs_check_retry(L, rs_copy_into(t, src));
  lua_settop(L, 1);
  return 1;
}

static int unary(lua_State *L, rs_unary_op op) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_unary(out, op, t));
  rs_account(L, out);
  return 1;
}

static int l_neg(lua_State *L) { return unary(L, RS_NEG); }
static int l_abs(lua_State *L) { return unary(L, RS_ABS); }
static int l_exp(lua_State *L) { return unary(L, RS_EXP); }
static int l_log(lua_State *L) { return unary(L, RS_LOG); }
static int l_sqrt(lua_State *L) { return unary(L, RS_SQRT); }
static int l_down(lua_State *L) { return unary(L, RS_FLOOR); }

/* t:clamp(low, high): either may be nil */
static int l_clamp(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  lua_settop(L, 3);
  for (int arg = 2; arg <= 3; arg++) {
    if (lua_isnil(L, arg)) continue;
    luaL_checknumber(L, arg);
    const rs_tensor *bound = operand(L, arg, t->dtype);
    rs_tensor *out = rs_push_tensor(L);
    rs_check_retry(L, rs_binary(out, arg == 2 ? RS_MAXIMUM : RS_MINIMUM, t, bound));
    t = out;
  }
  if (lua_gettop(L) == 3) rs_tensor_share(rs_push_tensor(L), t);
  return 1;
}

/* t:to(dtype): t itself when it is of that dtype */
static int l_to(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  luaL_checkstring(L, 2);
  rs_dtype dtype = rs_opt_dtype(L, 2, t->dtype);
  if (dtype == t->dtype) return lua_settop(L, 1), 1;
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_cast(out, t, dtype));
  rs_account(L, out);
  return 1;
}

/* tensor.where(mask, a, b) */
static int l_where(lua_State *L) {
  const rs_tensor *mask = rs_check_tensor(L, 1);
  rs_dtype dtype;
  if (rs_test_tensor(L, 2) || rs_test_tensor(L, 3)) {
    dtype = meet(L, 2, 3);
  } else {
    luaL_checknumber(L, 2), luaL_checknumber(L, 3);
    dtype = lua_isinteger(L, 2) && lua_isinteger(L, 3) ? RS_I64 : RS_F64;
  }
  const rs_tensor *a = operand(L, 2, dtype), *b = operand(L, 3, dtype);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_where(out, mask, a, b));
  rs_account(L, out);
  return 1;
}

/* Reductions: over all elements a Lua number, over a dimension a tensor without it. */
static int reduce(lua_State *L, rs_reduce_op op) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  bool all = lua_isnoneornil(L, 2);
  int dim = all ? RS_ALL : (int)rs_check_index(L, 2, t->ndim);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_reduce(out, op, t, dim));
  if (!all) {
    rs_account(L, out);
    return 1;
  }
  if (is_float(out->dtype))
    lua_pushnumber(L, rs_tensor_get(out, NULL));
  else
    lua_pushinteger(L, rs_tensor_get_integer(out, NULL) + (op == RS_ARGMAX || op == RS_ARGMIN));
  rs_tensor_free(out);
  return 1;
}

static int l_sum(lua_State *L) { return reduce(L, RS_SUM); }
static int l_mean(lua_State *L) { return reduce(L, RS_MEAN); }
static int l_max(lua_State *L) { return reduce(L, RS_MAX); }
static int l_min(lua_State *L) { return reduce(L, RS_MIN); }
static int l_argmax(lua_State *L) { return reduce(L, RS_ARGMAX); }
static int l_argmin(lua_State *L) { return reduce(L, RS_ARGMIN); }

/* a:matmul(b, [transpose_a], [transpose_b]) */
static int l_matmul(lua_State *L) {
  const rs_tensor *a = rs_check_tensor(L, 1), *b = rs_check_tensor(L, 2);
  bool ta = lua_toboolean(L, 3), tb = lua_toboolean(L, 4);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_matmul(out, a, ta, b, tb));
  rs_account(L, out);
  return 1;
}

/* t:inverse_definite_() -> t */
static int l_inverse_definite_into(lua_State *L) {
  rs_tensor *t = rs_check_writable(L, 1);
  rs_check_retry(L, rs_inverse_definite_in_place(t));
  lua_settop(L, 1);
  return 1;
}

/* t:inverse_definite() -> Tensor [n, n] */
static int l_inverse_definite(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_inverse_definite(out, t));
  rs_account(L, out);
  return 1;
}

/* Order. */

static int l_argsort(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  bool descending = lua_toboolean(L, 2);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_argsort(out, t, descending));
  rs_account(L, out);
  return 1;
}

static int l_sort(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  l_argsort(L);
  rs_tensor *rows = rs_check_tensor(L, -1), *out = rs_push_tensor(L);
  rs_check_retry(L, rs_index_select(out, t, rows));
  rs_tensor_free(rows);
  rs_account(L, out);
  return 1;
}

static int l_unique(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  rs_tensor *values = rs_push_tensor(L), *counts = rs_push_tensor(L);
  rs_check_retry(L, rs_unique(values, counts, t));
  return 2;
}

static int l_distinct(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  rs_tensor *whole = rs_push_tensor(L), *values = rs_push_tensor(L), *of = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(whole, t));
  rs_check_retry(L, rs_distinct(values, of, whole));
  rs_tensor_free(whole);
  rs_account(L, values);
  rs_account(L, of);
  return 2;
}

static int l_cumsum(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_cumsum(out, t));
  rs_account(L, out);
  return 1;
}

/* t:bincount([n], [weights]) */
static int l_bincount(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  int64_t n = luaL_optinteger(L, 2, -1);
  const rs_tensor *weights = lua_isnoneornil(L, 3) ? NULL : rs_check_tensor(L, 3);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_bincount(out, t, n, weights));
  return 1;
}

/* t:search_sorted(values, [right]) */
static int l_search_sorted(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1), *values = rs_check_tensor(L, 2);
  bool right = lua_toboolean(L, 3);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_search_sorted(out, t, values, right));
  rs_account(L, out);
  return 1;
}

/* Rows. */

static int l_nonzero(lua_State *L) {
  const rs_tensor *mask = rs_check_tensor(L, 1);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_nonzero(out, mask));
  rs_account(L, out);
  return 1;
}

static int l_index_select(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1), *rows = rs_check_tensor(L, 2);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_index_select(out, t, rows));
  rs_account(L, out);
  return 1;
}

static int l_gather(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1), *columns = rs_check_tensor(L, 2);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_gather_columns(out, t, columns));
  rs_account(L, out);
  return 1;
}

static int l_index_add_into(lua_State *L) {
  rs_tensor *t = rs_check_writable(L, 1);
  const rs_tensor *rows = rs_check_tensor(L, 2), *src = rs_check_tensor(L, 3);
  rs_check_retry(L, rs_index_add_into(t, rows, src));
  lua_settop(L, 1);
  return 1;
}

static int l_index_copy_into(lua_State *L) {
  rs_tensor *t = rs_check_writable(L, 1);
  const rs_tensor *rows = rs_check_tensor(L, 2), *src = rs_check_tensor(L, 3);
  rs_check_retry(L, rs_index_copy_into(t, rows, src));
  lua_settop(L, 1);
  return 1;
}

/* tensor.concat(list, [dim]) */
static int l_concat(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  int n = (int)lua_rawlen(L, 1);
  luaL_argcheck(L, n >= 1, 1, "a list of at least one tensor expected");
  const rs_tensor **list = lua_newuserdatauv(L, (size_t)n * sizeof *list, 0);
  for (int i = 0; i < n; i++) { /* the table keeps the tensors */
    lua_rawgeti(L, 1, i + 1);
    list[i] = rs_test_tensor(L, -1);
    if (!list[i]) luaL_argerror(L, 1, lua_pushfstring(L, "element %d is not an open tensor", i + 1));
    lua_pop(L, 1);
  }
  int dim = lua_isnoneornil(L, 2) ? 0 : (int)rs_check_index(L, 2, list[0]->ndim);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_concat(out, n, list, dim));
  rs_account(L, out);
  return 1;
}

const luaL_Reg rs_tensor_math_methods[] = {{"add", l_add},
                                           {"sub", l_sub},
                                           {"mul", l_mul},
                                           {"div", l_div},
                                           {"maximum", l_maximum},
                                           {"minimum", l_minimum},
                                           {"gt", l_gt},
                                           {"ge", l_ge},
                                           {"lt", l_lt},
                                           {"le", l_le},
                                           {"eq", l_eq},
                                           {"ne", l_ne},
                                           {"add_", l_add_into},
                                           {"sub_", l_sub_into},
                                           {"mul_", l_mul_into},
                                           {"div_", l_div_into},
                                           {"fill_", l_copy_into},
                                           {"copy_", l_copy_into},
                                           {"abs", l_abs},
                                           {"exp", l_exp},
                                           {"log", l_log},
                                           {"sqrt", l_sqrt},
                                           {"floor", l_down},
                                           {"clamp", l_clamp},
                                           {"to", l_to},
                                           {"sum", l_sum},
                                           {"mean", l_mean},
                                           {"max", l_max},
                                           {"min", l_min},
                                           {"argmax", l_argmax},
                                           {"argmin", l_argmin},
                                           {"matmul", l_matmul},
                                           {"inverse_definite", l_inverse_definite},
                                           {"inverse_definite_", l_inverse_definite_into},
                                           {"argsort", l_argsort},
                                           {"sort", l_sort},
                                           {"unique", l_unique},
                                           {"distinct", l_distinct},
                                           {"cumsum", l_cumsum},
                                           {"bincount", l_bincount},
                                           {"search_sorted", l_search_sorted},
                                           {"nonzero", l_nonzero},
                                           {"index_select", l_index_select},
                                           {"gather", l_gather},
                                           {"index_add_", l_index_add_into},
                                           {"index_copy_", l_index_copy_into},
                                           {NULL, NULL}};

const luaL_Reg rs_tensor_math_operators[] = {{"__add", l_add},   {"__sub", l_sub}, {"__mul", l_mul}, {"__div", l_div},
                                             {"__idiv", l_idiv}, {"__mod", l_mod}, {"__unm", l_neg}, {NULL, NULL}};

const luaL_Reg rs_tensor_math_functions[] = {{"matmul", l_matmul},   {"where", l_where},     {"concat", l_concat},
                                             {"maximum", l_maximum}, {"minimum", l_minimum}, {NULL, NULL}};
