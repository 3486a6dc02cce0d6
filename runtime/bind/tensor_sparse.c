/* tensor_sparse.c - sparse matrices for Lua: tensor.csr and the methods of Csr. */
#include "bind/fields.h"
#include "bind/sparse.h"
#include "tensor/svd.h"

rs_csr *rs_push_csr(lua_State *L) { return rs_push_object(L, sizeof(rs_csr), RS_CSR, 0); }

const rs_csr *rs_check_csr(lua_State *L, int arg) {
  const rs_csr *m = luaL_checkudata(L, arg, RS_CSR);
  luaL_argcheck(L, m->starts.storage, arg, "matrix is closed");
  return m;
}

static int l_free(lua_State *L) {
  rs_csr_free(luaL_checkudata(L, 1, RS_CSR));
  return 0;
}

/* tensor.csr(starts, columns, values, width) -> Csr */
static int l_csr(lua_State *L) {
  const rs_tensor *starts = rs_check_tensor(L, 1), *columns = rs_check_tensor(L, 2), *values = rs_check_tensor(L, 3);
  int64_t width = luaL_checkinteger(L, 4);
  rs_check(L, rs_csr_from(rs_push_csr(L), starts, columns, values, width));
  return 1;
}

/* m:size() -> rows, width */
static int l_size(lua_State *L) {
  const rs_csr *m = rs_check_csr(L, 1);
  lua_pushinteger(L, m->rows);
  lua_pushinteger(L, m->width);
  return 2;
}

/* m:tensors() -> { starts, columns, values } */
static int l_tensors(lua_State *L) {
  const rs_csr *m = rs_check_csr(L, 1);
  lua_createtable(L, 0, 3);
  rs_set_tensor(L, "starts", &m->starts);
  rs_set_tensor(L, "columns", &m->columns);
  rs_set_tensor(L, "values", &m->values);
  return 1;
}

/* m:transpose() -> Csr, a copy */
static int l_transpose(lua_State *L) {
  const rs_csr *m = rs_check_csr(L, 1);
  rs_csr *out = rs_push_csr(L);
  rs_check_retry(L, rs_csr_transpose(out, m));
  rs_account(L, &out->values);
  return 1;
}

/* m:to(dtype) -> Csr */
static int l_to(lua_State *L) {
  const rs_csr *m = rs_check_csr(L, 1);
  rs_dtype dtype;
  rs_check(L, rs_dtype_named(&dtype, luaL_checkstring(L, 2)));
  rs_csr *out = rs_push_csr(L);
  rs_check_retry(L, rs_csr_cast(out, m, dtype));
  rs_account(L, &out->values);
  return 1;
}

/* Push a new tensor made of the matrix at 1 and the tensor at 2. */
static int product(lua_State *L, rs_status (*multiply)(rs_tensor *, const rs_csr *, const rs_tensor *)) {
  const rs_csr *m = rs_check_csr(L, 1);
  const rs_tensor *b = rs_check_tensor(L, 2);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, multiply(out, m, b));
  rs_account(L, out);
  return 1;
}

static int l_matmul(lua_State *L) { return product(L, rs_csr_matmul); }
static int l_matmul_transposed(lua_State *L) { return product(L, rs_csr_matmul_transposed); }

/* m:matmul_left(a) -> Tensor [n, width] */
static int l_matmul_left(lua_State *L) {
  const rs_csr *m = rs_check_csr(L, 1);
  const rs_tensor *a = rs_check_tensor(L, 2);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_csr_matmul_left(out, a, m));
  rs_account(L, out);
  return 1;
}

/* m:dense() -> Tensor [rows, width] */
static int l_dense(lua_State *L) {
  const rs_csr *m = rs_check_csr(L, 1);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_csr_dense(out, m));
  rs_account(L, out);
  return 1;
}

/* m:svd(d, [options]) -> values, vectors */
static int l_svd(lua_State *L) {
  static const char *const known[] = {"oversampling", "iterations", "seed", NULL};
  const rs_csr *m = rs_check_csr(L, 1);
  rs_svd_options o = {.d = luaL_checkinteger(L, 2), .oversampling = -1, .iterations = -1};
  lua_settop(L, 3);
  if (!lua_isnil(L, 3)) {
    rs_check_options(L, 3, known);
    if (lua_getfield(L, 3, "oversampling") != LUA_TNIL) o.oversampling = rs_integer_option(L, 3, "oversampling", 0, 0);
    if (lua_getfield(L, 3, "iterations") != LUA_TNIL) o.iterations = rs_integer_option(L, 3, "iterations", 0, 0);
    o.seed = (uint64_t)rs_integer_option(L, 3, "seed", INT64_MIN, 0);
  }
  rs_tensor *values = rs_push_tensor(L), *vectors = rs_push_tensor(L);
  rs_check_retry(L, rs_truncated_svd(values, vectors, m, o));
  rs_account(L, vectors);
  return 2;
}

static int l_tostring(lua_State *L) {
  const rs_csr *m = luaL_checkudata(L, 1, RS_CSR);
  if (m->starts.storage)
    lua_pushfstring(L, "Csr %s [%I, %I], %I entries", rs_dtype_name(m->values.dtype), (LUAI_UACINT)m->rows,
                    (LUAI_UACINT)m->width, (LUAI_UACINT)rs_csr_entries(m));
  else
    lua_pushliteral(L, "Csr (closed)");
  return 1;
}

void rs_open_sparse(lua_State *L) {
  static const luaL_Reg methods[] = {{"size", l_size},     {"tensors", l_tensors},
                                     {"to", l_to},         {"transpose", l_transpose},
                                     {"matmul", l_matmul}, {"matmul_transposed", l_matmul_transposed},
                                     {"dense", l_dense},   {"matmul_left", l_matmul_left},
                                     {"svd", l_svd},       {"close", l_free},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"csr", l_csr}, {NULL, NULL}};
  rs_new_type(L, RS_CSR, methods, meta);
  luaL_setfuncs(L, functions, 0);
}
