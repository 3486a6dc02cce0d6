/* autograd_ops.c - the operations on Vars: functions of recsys.core.autograd, methods and operators of Var. Each checks
 * its arguments, pushes the Var that is to hold the result, and calls the core. */
#include "bind/autograd_ops.h"

#include "autograd/ops.h"
#include "bind/fields.h"
#include "bind/l_autograd.h"
#include "bind/sparse.h"

#define UNARY(name)                          \
  static int l_##name(lua_State *L) {        \
    rs_node *x = rs_check_var(L, 1);         \
    rs_node **out = rs_push_var(L, 1);       \
    rs_check_retry(L, rs_ag_##name(out, x)); \
    return rs_return_var(L);                 \
  }

UNARY(relu)
UNARY(gelu)
UNARY(tanh)
UNARY(sigmoid)
UNARY(exp)
UNARY(log)
UNARY(softmax)
UNARY(log_softmax)

#define BINARY(name)                                          \
  static int l_##name(lua_State *L) {                         \
    rs_node *a = rs_check_var(L, 1), *b = rs_check_var(L, 2); \
    rs_node **out = rs_push_var(L, 1);                        \
    rs_check_retry(L, rs_ag_##name(out, a, b));               \
    return rs_return_var(L);                                  \
  }

BINARY(dot)
BINARY(embedding)
BINARY(bag_softmax)
BINARY(bag_first)
BINARY(bpr)

/* scale * x + shift of the Var at 'arg'. */
static int affine(lua_State *L, int arg, double scale, double shift) {
  rs_node *x = rs_check_var(L, arg);
  rs_node **out = rs_push_var(L, arg);
  rs_check_retry(L, rs_ag_affine(out, x, scale, shift));
  return rs_return_var(L);
}

/* autograd.affine(x, scale, [shift]) */
static int l_affine(lua_State *L) { return affine(L, 1, luaL_checknumber(L, 2), luaL_optnumber(L, 3, 0)); }

typedef rs_status binary_op(rs_node **out, rs_node *a, rs_node *b);

static int binary(lua_State *L, binary_op *op) {
  rs_node *a = rs_check_var(L, 1), *b = rs_check_var(L, 2);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, op(out, a, b));
  return rs_return_var(L);
}

/* A number on either side of + - * / is a constant. */
static int l_add(lua_State *L) {
  if (lua_type(L, 1) == LUA_TNUMBER) return affine(L, 2, 1, lua_tonumber(L, 1));
  if (lua_type(L, 2) == LUA_TNUMBER) return affine(L, 1, 1, lua_tonumber(L, 2));
  return binary(L, rs_ag_add);
}

static int l_sub(lua_State *L) {
  if (lua_type(L, 1) == LUA_TNUMBER) return affine(L, 2, -1, lua_tonumber(L, 1));
  if (lua_type(L, 2) == LUA_TNUMBER) return affine(L, 1, 1, -lua_tonumber(L, 2));
  return binary(L, rs_ag_sub);
}

static int l_mul(lua_State *L) {
  if (lua_type(L, 1) == LUA_TNUMBER) return affine(L, 2, lua_tonumber(L, 1), 0);
  if (lua_type(L, 2) == LUA_TNUMBER) return affine(L, 1, lua_tonumber(L, 2), 0);
  return binary(L, rs_ag_mul);
}

/* x / 4 multiplies by 1/4; 4 / x is refused, a constant Var says it. */
static int l_div(lua_State *L) {
  if (lua_type(L, 2) == LUA_TNUMBER) return affine(L, 1, 1 / lua_tonumber(L, 2), 0);
  return binary(L, rs_ag_div);
}

static int l_unm(lua_State *L) { return affine(L, 1, -1, 0); }

/* autograd.linear(x, w, [b], [activation], [rate]) */
static int l_linear(lua_State *L) {
  rs_node *x = rs_check_var(L, 1), *w = rs_check_var(L, 2), *b = rs_opt_var(L, 3);
  rs_activation activation = (rs_activation)luaL_checkoption(L, 4, "none", rs_activation_names);
  double rate = luaL_optnumber(L, 5, 0);
  luaL_argcheck(L, rate >= 0 && rate < 1, 5, "rate must be in [0, 1)");
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_linear_dropout(out, x, w, b, activation, rate));
  return rs_return_var(L);
}

/* autograd.linear_batch_norm(x, w, gain, bias, mean, variance, [options]) */
static int l_linear_batch_norm(lua_State *L) {
  static const char *const known[] = {"momentum", "epsilon", "activation", "rate", NULL};
  rs_node *p[6];
  for (int i = 0; i < 6; i++) p[i] = rs_check_var(L, i + 1);
  rs_norm_attrs attrs = {0.1, 1e-5, RS_IDENTITY, 0};
  if (!lua_isnoneornil(L, 7)) {
    rs_check_options(L, 7, known);
    attrs.momentum = rs_number_option(L, 7, "momentum", attrs.momentum);
    attrs.epsilon = rs_number_option(L, 7, "epsilon", attrs.epsilon);
    attrs.activation = (rs_activation)rs_choice_option(L, 7, "activation", rs_activation_names, "none");
    attrs.rate = rs_number_option(L, 7, "rate", 0);
    luaL_argcheck(L, attrs.rate >= 0 && attrs.rate < 1, 7, "rate must be in [0, 1)");
  }
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_linear_batch_norm(out, p[0], p[1], p[2], p[3], p[4], p[5], &attrs));
  return rs_return_var(L);
}

/* autograd.matmul(a, b, [transpose_a], [transpose_b]) */
static int l_matmul(lua_State *L) {
  rs_node *a = rs_check_var(L, 1), *b = rs_check_var(L, 2);
  bool ta = lua_toboolean(L, 3), tb = lua_toboolean(L, 4);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_matmul(out, a, ta, b, tb));
  return rs_return_var(L);
}

/* autograd.csr_matmul(x, m, [transposed]) */
static int l_csr_matmul(lua_State *L) {
  rs_node *x = rs_check_var(L, 1);
  const rs_csr *m = rs_check_csr(L, 2), *transposed = lua_isnoneornil(L, 3) ? m : rs_check_csr(L, 3);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_csr_matmul(out, m, transposed, x));
  return rs_return_var(L);
}

/* autograd.dropout(x, rate) */
static int l_dropout(lua_State *L) {
  rs_node *x = rs_check_var(L, 1);
  double rate = luaL_checknumber(L, 2);
  luaL_argcheck(L, rate >= 0 && rate < 1, 2, "rate must be in [0, 1)");
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_dropout(out, x, rate));
  return rs_return_var(L);
}

/* autograd.layer_norm(x, gain, bias, [epsilon]) */
static int l_layer_norm(lua_State *L) {
  rs_node *x = rs_check_var(L, 1), *gain = rs_check_var(L, 2), *bias = rs_check_var(L, 3);
  double epsilon = luaL_optnumber(L, 4, 1e-5);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_layer_norm(out, x, gain, bias, epsilon));
  return rs_return_var(L);
}

/* autograd.batch_norm(x, gain, bias, mean, variance, [momentum], [epsilon]) */
static int l_batch_norm(lua_State *L) {
  rs_node *x = rs_check_var(L, 1), *gain = rs_check_var(L, 2), *bias = rs_check_var(L, 3);
  rs_node *mean = rs_check_var(L, 4), *variance = rs_check_var(L, 5);
  double momentum = luaL_optnumber(L, 6, 0.1), epsilon = luaL_optnumber(L, 7, 1e-5);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_batch_norm(out, x, gain, bias, mean, variance, momentum, epsilon));
  return rs_return_var(L);
}

/* autograd.l2_normalize(x, [epsilon]) */
static int l_l2_normalize(lua_State *L) {
  rs_node *x = rs_check_var(L, 1);
  double epsilon = luaL_optnumber(L, 2, 1e-12);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_l2_normalize(out, x, epsilon));
  return rs_return_var(L);
}

/* autograd.concat({x, ...}) */
int rs_autograd_concat(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, 1);
  luaL_argcheck(L, n >= 1 && n <= 4096, 1, "a list of 1 to 4096 Vars expected");
  rs_node **inputs = lua_newuserdatauv(L, n * sizeof *inputs, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    const rs_var *v = luaL_testudata(L, -1, RS_VAR);
    luaL_argcheck(L, v && v->tape && *v->tape, 1, "a list of Vars of an open tape expected");
    inputs[i] = v->node;
    lua_pop(L, 1);
  }
  lua_rawgeti(L, 1, 1);
  rs_node **out = rs_push_var(L, -1);
  rs_check_retry(L, rs_ag_concat(out, (int)n, inputs));
  return rs_return_var(L);
}

/* autograd.narrow(x, dim, start, length) */
static int l_narrow(lua_State *L) {
  rs_node *x = rs_check_var(L, 1);
  int dim = (int)rs_check_index(L, 2, x->value.ndim);
  int64_t start = rs_check_index(L, 3, x->value.size[dim]), length = luaL_checkinteger(L, 4);
  luaL_argcheck(L, 1 <= length && length <= x->value.size[dim] - start, 4, "slice leaves the dimension");
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_narrow(out, x, dim, start, length));
  return rs_return_var(L);
}

/* autograd.reshape(x, size...) */
static int l_reshape(lua_State *L) {
  rs_node *x = rs_check_var(L, 1);
  int ndim = lua_gettop(L) - 1;
  int64_t size[RS_MAX_DIMS];
  luaL_argcheck(L, ndim <= RS_MAX_DIMS, RS_MAX_DIMS + 2, "at most 4 dimensions are served");
  for (int i = 0; i < ndim; i++) size[i] = luaL_checkinteger(L, i + 2);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_reshape(out, x, ndim, size));
  return rs_return_var(L);
}

/* All elements, or the dimension at argument 2. A dimension is recorded from the last, as the rows come first. */
static int reduce(lua_State *L, rs_status (*all)(rs_node **, rs_node *),
                  rs_status (*along)(rs_node **, rs_node *, int)) {
  rs_node *x = rs_check_var(L, 1);
  int dim = lua_isnoneornil(L, 2) ? -1 : (int)rs_check_index(L, 2, x->value.ndim);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, dim < 0 ? all(out, x) : along(out, x, dim));
  return rs_return_var(L);
}

/* autograd.sum(x, [dim]) */
static int l_sum(lua_State *L) { return reduce(L, rs_ag_sum, rs_ag_sum_dim); }
/* autograd.mean(x, [dim]) */
static int l_mean(lua_State *L) { return reduce(L, rs_ag_mean, rs_ag_mean_dim); }

/* autograd.embedding_bag(table, codes, offsets, [weights], [mode]) */
static int l_embedding_bag(lua_State *L) {
  static const char *const modes[] = {"sum", "mean", NULL};
  rs_node *table = rs_check_var(L, 1), *codes = rs_check_var(L, 2), *offsets = rs_check_var(L, 3);
  rs_node *weights = rs_opt_var(L, 4);
  rs_bag_mode mode = (rs_bag_mode)luaL_checkoption(L, 5, "sum", modes);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_embedding_bag(out, table, codes, offsets, weights, mode));
  return rs_return_var(L);
}

/* autograd.bag_positions(codes, offsets, limit) */
static int l_bag_positions(lua_State *L) {
  rs_node *codes = rs_check_var(L, 1), *offsets = rs_check_var(L, 2);
  lua_Integer limit = luaL_checkinteger(L, 3);
  luaL_argcheck(L, 1 <= limit && limit <= 1 << 20, 3, "a limit from 1 to 1048576 is expected");
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_bag_positions(out, codes, offsets, limit));
  return rs_return_var(L);
}

/* autograd.bag_distinct(codes, offsets) */
static int l_bag_distinct(lua_State *L) {
  rs_node *codes = rs_check_var(L, 1), *offsets = rs_check_var(L, 2);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_bag_distinct(out, codes, offsets));
  return rs_return_var(L);
}

/* autograd.bag_sum(x, offsets, weights) */
static int l_bag_sum(lua_State *L) {
  rs_node *x = rs_check_var(L, 1), *offsets = rs_check_var(L, 2), *weights = rs_check_var(L, 3);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_bag_sum(out, x, offsets, weights));
  return rs_return_var(L);
}

/* autograd.csr_bag(starts, columns, values, width, codes, offsets, [weights]) */
static int l_csr_bag(lua_State *L) {
  rs_node *starts = rs_check_var(L, 1), *columns = rs_check_var(L, 2), *values = rs_check_var(L, 3);
  lua_Integer width = luaL_checkinteger(L, 4);
  luaL_argcheck(L, 1 <= width && width <= INT32_MAX, 4, "a width of 1 or more is expected");
  rs_node *codes = rs_check_var(L, 5), *offsets = rs_check_var(L, 6), *weights = rs_opt_var(L, 7);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_csr_bag(out, starts, columns, values, width, codes, offsets, weights));
  return rs_return_var(L);
}

/* autograd.fold_in(items, spectrum, codes, offsets, weights or nil, options) */
static int l_fold_in(lua_State *L) {
  static const char *const known[] = {"unobserved", "regularization", "scaling", "others", "confidence", NULL};
  rs_node *items = rs_check_var(L, 1), *spectrum = rs_check_var(L, 2), *codes = rs_check_var(L, 3);
  rs_node *offsets = rs_check_var(L, 4), *weights = rs_opt_var(L, 5);
  rs_check_options(L, 6, known);
  lua_settop(L, 6);
  rs_fold_in o = {.unobserved = rs_number_option(L, 6, "unobserved", 1),
                  .regularization = rs_number_option(L, 6, "regularization", 0.01),
                  .scaling = rs_number_option(L, 6, "scaling", 0),
                  .others = rs_integer_option(L, 6, "others", 0, 0),
                  .confidence = rs_boolean_option(L, 6, "confidence", false)};
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_fold_in(out, items, spectrum, codes, offsets, weights, o));
  return rs_return_var(L);
}

/* autograd.causal_attention(q, k, v, offsets, heads, [rate]) */
static int l_causal_attention(lua_State *L) {
  rs_node *q = rs_check_var(L, 1), *k = rs_check_var(L, 2), *v = rs_check_var(L, 3), *offsets = rs_check_var(L, 4);
  lua_Integer heads = luaL_checkinteger(L, 5);
  luaL_argcheck(L, 1 <= heads && heads <= 1 << 16, 5, "1 to 65536 heads are expected");
  double rate = luaL_optnumber(L, 6, 0);
  luaL_argcheck(L, rate >= 0 && rate < 1, 6, "rate must be in [0, 1)");
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_causal_attention(out, q, k, v, offsets, heads, rate));
  return rs_return_var(L);
}

/* autograd.csr_product(x, starts, columns, values, width) */
static int l_csr_product(lua_State *L) {
  rs_node *x = rs_check_var(L, 1), *starts = rs_check_var(L, 2), *columns = rs_check_var(L, 3);
  rs_node *values = rs_check_var(L, 4);
  lua_Integer width = luaL_checkinteger(L, 5);
  luaL_argcheck(L, 1 <= width && width <= INT32_MAX, 5, "a width of 1 or more is expected");
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_csr_product(out, x, starts, columns, values, width));
  return rs_return_var(L);
}

/* autograd.keep_largest(x, k) */
static int l_keep_largest(lua_State *L) {
  rs_node *x = rs_check_var(L, 1);
  lua_Integer k = luaL_checkinteger(L, 2);
  luaL_argcheck(L, 1 <= k && k <= 1 << 30, 2, "a number of 1 or more is expected");
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_keep_largest(out, x, k));
  return rs_return_var(L);
}

/* autograd.mse(x, target, [weights]) */
static int l_mse(lua_State *L) {
  rs_node *x = rs_check_var(L, 1), *target = rs_check_var(L, 2), *weights = rs_opt_var(L, 3);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_mse(out, x, target, weights));
  return rs_return_var(L);
}

/* autograd.bce(logits, target, [weights]) */
static int l_bce(lua_State *L) {
  rs_node *x = rs_check_var(L, 1), *target = rs_check_var(L, 2), *weights = rs_opt_var(L, 3);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_ag_bce(out, x, target, weights));
  return rs_return_var(L);
}

const luaL_Reg rs_var_operations[] = {{"linear", l_linear},
                                      {"linear_batch_norm", l_linear_batch_norm},
                                      {"matmul", l_matmul},
                                      {"add", l_add},
                                      {"sub", l_sub},
                                      {"mul", l_mul},
                                      {"div", l_div},
                                      {"affine", l_affine},
                                      {"relu", l_relu},
                                      {"gelu", l_gelu},
                                      {"tanh", l_tanh},
                                      {"sigmoid", l_sigmoid},
                                      {"exp", l_exp},
                                      {"log", l_log},
                                      {"softmax", l_softmax},
                                      {"log_softmax", l_log_softmax},
                                      {"dropout", l_dropout},
                                      {"layer_norm", l_layer_norm},
                                      {"batch_norm", l_batch_norm},
                                      {"l2_normalize", l_l2_normalize},
                                      {"narrow", l_narrow},
                                      {"reshape", l_reshape},
                                      {"sum", l_sum},
                                      {"mean", l_mean},
                                      {"csr_matmul", l_csr_matmul},
                                      {"dot", l_dot},
                                      {"embedding", l_embedding},
                                      {"embedding_bag", l_embedding_bag},
                                      {"bag_distinct", l_bag_distinct},
                                      {"bag_positions", l_bag_positions},
                                      {"bag_softmax", l_bag_softmax},
                                      {"bag_sum", l_bag_sum},
                                      {"csr_bag", l_csr_bag},
                                      {"csr_product", l_csr_product},
                                      {"keep_largest", l_keep_largest},
                                      {"bag_first", l_bag_first},
                                      {"fold_in", l_fold_in},
                                      {"causal_attention", l_causal_attention},
                                      {"mse", l_mse},
                                      {"bce", l_bce},
                                      {"bpr", l_bpr},
                                      {NULL, NULL}};

const luaL_Reg rs_var_operators[] = {{"__add", l_add}, {"__sub", l_sub}, {"__mul", l_mul},
                                     {"__div", l_div}, {"__unm", l_unm}, {NULL, NULL}};
