/* nn_pairwise.c - nn.bpr and nn.warp, see nn/pairwise.h. */
#include "nn/pairwise.h"

#include "bind/fields.h"
#include "bind/l_autograd.h"
#include "bind/nn_pairwise.h"
#include "bind/sparse.h"

static rs_node *var_option(lua_State *L, const char *field) {
  lua_getfield(L, 1, field);
  if (!luaL_testudata(L, -1, RS_VAR)) rs_wrong_option(L, 1, field, "a Var");
  return rs_check_var(L, -1);
}

/* A tensor of codes that must be there. */
static const rs_tensor *codes_option(lua_State *L, const char *field) {
  const rs_tensor *t = rs_tensor_option(L, 1, field);
  if (!t) rs_wrong_option(L, 1, field, "a Tensor of codes");
  return t;
}

/* The fields users and items, tables on one tape; where the second of them lies is the top. */
static void table_options(lua_State *L, rs_node **users, rs_node **items) {
  *items = var_option(L, "items");
  *users = var_option(L, "users");
  luaL_argcheck(L, (*users)->tape == (*items)->tape, 1, "users and items are on different tapes");
}

/* nn.bpr{users, items, user_codes, positives, negatives, decay} -> Var */
static int l_bpr(lua_State *L) {
  static const char *const known[] = {"users", "items", "user_codes", "positives", "negatives", "decay", NULL};
  rs_check_options(L, 1, known);
  double decay = rs_number_option(L, 1, "decay", 0);
  const rs_tensor *codes = codes_option(L, "user_codes"), *positives = codes_option(L, "positives"),
                  *negatives = codes_option(L, "negatives");
  rs_node *users, *items;
  table_options(L, &users, &items);
  rs_node **out = rs_push_var(L, lua_gettop(L));
  rs_check_retry(L, rs_nn_bpr(out, users, items, codes, positives, negatives, decay));
  return rs_return_var(L);
}

/* nn.warp{users, items, user_codes, positives, pool, seen, margin, tries, decay} -> Var */
static int l_warp(lua_State *L) {
  static const char *const known[] = {"users", "items",  "user_codes", "positives", "pool",
                                      "seen",  "margin", "tries",      "decay",     NULL};
  rs_check_options(L, 1, known);
  rs_warp_options options = {.margin = rs_number_option(L, 1, "margin", 1),
                             .tries = rs_integer_option(L, 1, "tries", 1, 32),
                             .decay = rs_number_option(L, 1, "decay", 0),
                             .pool = codes_option(L, "pool")};
  const rs_tensor *codes = codes_option(L, "user_codes"), *positives = codes_option(L, "positives");
  if (lua_getfield(L, 1, "seen") != LUA_TNIL) {
    if (!luaL_testudata(L, -1, RS_CSR)) rs_wrong_option(L, 1, "seen", "a Csr");
    const rs_csr *seen = rs_check_csr(L, -1);
    options.seen_starts = &seen->starts;
    options.seen_columns = &seen->columns;
  }
  rs_node *users, *items;
  table_options(L, &users, &items);
  rs_node **out = rs_push_var(L, lua_gettop(L));
  rs_check_retry(L, rs_nn_warp(out, users, items, codes, positives, &options));
  return rs_return_var(L);
}

void rs_open_pairwise(lua_State *L) {
  static const luaL_Reg functions[] = {{"bpr", l_bpr}, {"warp", l_warp}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
