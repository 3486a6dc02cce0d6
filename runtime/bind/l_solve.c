/* l_solve.c - recsys.core.solve: least squares in closed form, and nearest neighbours. */
#include "bind/bind.h"
#include "bind/fields.h"
#include "bind/sparse.h"
#include "solve/basis.h"
#include "solve/elastic_net.h"
#include "solve/implicit.h"
#include "solve/neighbours.h"

/* solve.gram(factors) -> Tensor f64 [d, d] */
static int l_gram(lua_State *L) {
  const rs_tensor *y = rs_check_tensor(L, 1);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_gram(out, y));
  return 1;
}

/* solve.basis(factors) -> spectrum f32 [d], turn f32 [d, d] */
static int l_basis(lua_State *L) {
  const rs_tensor *y = rs_check_tensor(L, 1);
  rs_tensor *spectrum = rs_push_tensor(L), *turn = rs_push_tensor(L);
  rs_check_retry(L, rs_basis(spectrum, turn, y));
  return 2;
}

/* What a half sweep is asked for: the table at 1. The tensors stay reachable by it. */
typedef struct asked {
  const rs_csr *pairs;
  const rs_tensor *y;
  rs_tensor *x;
  rs_implicit_options o;
} asked;

static asked take_asked(lua_State *L) {
  static const char *const known[] = {"pairs", "factors", "into", "unobserved", "regularization", "scaling", "others",
                                      "confidence", "steps", NULL};
  rs_check_options(L, 1, known);
  lua_settop(L, 1);
  asked a = {.o = {.unobserved = rs_number_option(L, 1, "unobserved", 1),
                   .regularization = rs_number_option(L, 1, "regularization", 0.01),
                   .scaling = rs_number_option(L, 1, "scaling", 0),
                   .others = rs_integer_option(L, 1, "others", 0, 0),
                   .confidence = rs_boolean_option(L, 1, "confidence", false),
                   .steps = rs_integer_option(L, 1, "steps", 0, 0)}};
  lua_settop(L, 1);
  lua_getfield(L, 1, "pairs");
  if (!luaL_testudata(L, 2, RS_CSR)) rs_wrong_option(L, 1, "pairs", "a Csr");
  a.pairs = rs_check_csr(L, 2);
  lua_getfield(L, 1, "factors");
  lua_getfield(L, 1, "into");
  if (!(a.y = rs_test_tensor(L, 3)) || !a.y->storage) rs_wrong_option(L, 1, "factors", "an open Tensor");
  if (!(a.x = rs_test_tensor(L, 4)) || !a.x->storage) rs_wrong_option(L, 1, "into", "an open Tensor");
  return a;
}

/* solve.implicit{ pairs, factors, into, [unobserved, regularization, scaling, others, confidence, steps] } -> into */
static int l_implicit(lua_State *L) {
  asked a = take_asked(L);
  luaL_argcheck(L, a.x->storage->writable, 1, "'into' is read-only");
  rs_check_retry(L, rs_implicit(a.x, a.pairs, a.y, &a.o));
  return 1;
}

/* solve.implicit_loss{ the same } -> number */
static int l_implicit_loss(lua_State *L) {
  asked a = take_asked(L);
  double loss;
  rs_check_retry(L, rs_implicit_loss(&loss, a.x, a.pairs, a.y, &a.o));
  lua_pushnumber(L, loss);
  return 1;
}

/* How entries are weighed: the options at 'arg', which may be nil. */
static rs_weigh_options take_weighing(lua_State *L, int arg) {
  rs_weigh_options o = {.k1 = 1.2, .b = 0.75};
  if (lua_isnoneornil(L, arg)) return o;
  o.weighting = (rs_weighting)rs_choice_option(L, arg, "weighting", rs_weighting_names, "cosine");
  o.k1 = rs_number_option(L, arg, "K1", o.k1);
  o.b = rs_number_option(L, arg, "B", o.b);
  return o;
}

/* solve.weigh(m, [options]) -> Csr */
static int l_weigh(lua_State *L) {
  static const char *const known[] = {"weighting", "K1", "B", "unit", NULL};
  const rs_csr *m = rs_check_csr(L, 1);
  if (!lua_isnoneornil(L, 2)) rs_check_options(L, 2, known);
  rs_weigh_options o = take_weighing(L, 2);
  if (!lua_isnoneornil(L, 2)) o.unit = rs_boolean_option(L, 2, "unit", false);
  rs_csr *out = rs_push_csr(L);
  rs_check_retry(L, rs_weigh(out, m, &o));
  rs_account(L, &out->values);
  return 1;
}

/* solve.neighbours(m, k, [options]) -> Csr */
static int l_neighbours(lua_State *L) {
  static const char *const known[] = {"weighting", "K1", "B", "alpha", "shrink", "normalize",
                                      NULL};
  const rs_csr *m = rs_check_csr(L, 1);
  lua_Integer k = luaL_checkinteger(L, 2);
  luaL_argcheck(L, k >= 1, 2, "1 or more neighbours are expected");
  if (!lua_isnoneornil(L, 3)) rs_check_options(L, 3, known);
  rs_weigh_options weigh = take_weighing(L, 3);
  rs_neighbours_options o = {.k = k, .weighting = weigh.weighting, .k1 = weigh.k1, .b = weigh.b,
                             .alpha = 0.5};
  if (!lua_isnoneornil(L, 3)) o.alpha = rs_number_option(L, 3, "alpha", 0.5);
  if (!lua_isnoneornil(L, 3)) o.shrink = rs_number_option(L, 3, "shrink", 0);
  if (!lua_isnoneornil(L, 3)) o.normalize = rs_boolean_option(L, 3, "normalize", false);
  rs_csr *out = rs_push_csr(L);
  rs_check_retry(L, rs_neighbours(out, m, &o));
  rs_account(L, &out->values);
  return 1;
}

/* solve.elastic_net(m, options) -> Csr */
static int l_elastic_net(lua_State *L) {
  static const char *const known[] = {"l1", "l2", "neighbours", "sweeps", "tolerance", "positive", NULL};
  const rs_csr *m = rs_check_csr(L, 1);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_newtable(L);
    lua_replace(L, 2);
  }
  rs_check_options(L, 2, known);
  rs_elastic_net_options o = {.l1 = rs_number_option(L, 2, "l1", 1),
                              .l2 = rs_number_option(L, 2, "l2", 1),
                              .neighbours = rs_integer_option(L, 2, "neighbours", 1, 100),
                              .sweeps = rs_integer_option(L, 2, "sweeps", 1, 100),
                              .tolerance = rs_number_option(L, 2, "tolerance", 1e-4),
                              .positive = rs_boolean_option(L, 2, "positive", true)};
  rs_csr *out = rs_push_csr(L);
  rs_check_retry(L, rs_elastic_net(out, m, &o));
  rs_account(L, &out->values);
  return 1;
}

int rs_open_solve(lua_State *L) {
  static const luaL_Reg functions[] = {{"gram", l_gram},
                                       {"basis", l_basis},
                                       {"implicit", l_implicit},
                                       {"implicit_loss", l_implicit_loss},
                                       {"elastic_net", l_elastic_net},
                                       {"weigh", l_weigh},
                                       {"neighbours", l_neighbours},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
