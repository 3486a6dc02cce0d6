/* l_autograd.c - recsys.core.autograd: parameters, tapes, Vars, plans. The operations are in autograd_ops.c.
 *
 * Userdata: Parameter holds a reference; Tape owns its rs_tape; Var points at a node and keeps its Tape in user
 * value 1, so that the node lives; Plan owns its rs_plan. A closed tape is NULL in its userdata, where every Var of
 * it looks. */
#include "bind/l_autograd.h"

#include <string.h>

#include "autograd/check.h"
#include "bind/autograd_ops.h"
#include "bind/fields.h"

/* Parameters. */

rs_parameter **rs_push_parameter(lua_State *L) { return rs_push_object(L, sizeof(rs_parameter *), RS_PARAMETER, 0); }

rs_parameter *rs_check_parameter(lua_State *L, int arg) {
  rs_parameter **p = luaL_checkudata(L, arg, RS_PARAMETER);
  luaL_argcheck(L, *p, arg, "parameter is empty");
  return *p;
}

static bool boolean_option(lua_State *L, int table, const char *key, bool standard) {
  if (lua_isnoneornil(L, table)) return standard;
  int type = lua_getfield(L, table, key);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    luaL_argerror(L, table, lua_pushfstring(L, "%s must be true or false", key));
  bool value = type == LUA_TNIL ? standard : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static lua_Integer integer_option(lua_State *L, int table, const char *key, lua_Integer most) {
  if (lua_isnoneornil(L, table)) return 0;
  int type = lua_getfield(L, table, key);
  lua_Integer value = type == LUA_TNIL ? 0 : lua_tointeger(L, -1);
  if (type != LUA_TNIL && (!lua_isinteger(L, -1) || value < 0 || value > most))
    luaL_argerror(L, table, lua_pushfstring(L, "%s must be an integer from 0 to %I", key, (LUAI_UACINT)most));
  lua_pop(L, 1);
  return value;
}

/* autograd.parameter(name, tensor, [options]) -> Parameter */
static int l_parameter(lua_State *L) {
  static const char *const keys[] = {"sparse", "trainable", NULL};
  const char *name = luaL_checkstring(L, 1);
  const rs_tensor *t = rs_check_tensor(L, 2);
  if (!lua_isnoneornil(L, 3)) rs_check_options(L, 3, keys);
  bool trainable = boolean_option(L, 3, "trainable", true), sparse = boolean_option(L, 3, "sparse", false);
  rs_parameter **out = rs_push_parameter(L);
  rs_check_retry(L, rs_parameter_new(out, name, t, trainable, sparse));
  return 1;
}

static int l_parameter_free(lua_State *L) {
  rs_parameter **p = luaL_checkudata(L, 1, RS_PARAMETER);
  rs_parameter_release(*p);
  *p = NULL;
  return 0;
}

/* p:name() -> string */
static int l_parameter_name(lua_State *L) {
  lua_pushstring(L, rs_check_parameter(L, 1)->name);
  return 1;
}

/* p:value() -> Tensor, sharing the parameter's memory */
static int l_parameter_value(lua_State *L) {
  const rs_parameter *p = rs_check_parameter(L, 1);
  rs_tensor_share(rs_push_tensor(L), &p->value);
  return 1;
}

static int push_grad(lua_State *L, rs_parameter *p) {
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_parameter_dense_grad(out, p));
  rs_account(L, out);
  return 1;
}

/* p:grad() -> Tensor, dense; zero where nothing was added */
static int l_parameter_grad(lua_State *L) { return push_grad(L, rs_check_parameter(L, 1)); }

/* p:rows() -> codes, rows of a sparse gradient */
static int l_parameter_rows(lua_State *L) {
  rs_parameter *p = rs_check_parameter(L, 1);
  rs_tensor *out_codes = rs_push_tensor(L), *out_rows = rs_push_tensor(L);
  const rs_tensor *codes = NULL, *rows = NULL;
  rs_check_retry(L, rs_parameter_merge(p, &codes, &rows));
  rs_tensor_share(out_codes, codes);
  rs_tensor_share(out_rows, rows);
  return 2;
}

/* p:zero_grad() -> p */
static int l_parameter_zero_grad(lua_State *L) {
  rs_parameter_zero_grad(rs_check_parameter(L, 1));
  lua_settop(L, 1);
  return 1;
}

/* p:size([dim]) -> {size...} or integer */
static int l_parameter_size(lua_State *L) { return rs_push_size(L, &rs_check_parameter(L, 1)->value); }

static int l_parameter_trainable(lua_State *L) {
  lua_pushboolean(L, rs_check_parameter(L, 1)->trainable);
  return 1;
}

static int l_parameter_sparse(lua_State *L) {
  lua_pushboolean(L, rs_check_parameter(L, 1)->sparse);
  return 1;
}

static int l_parameter_tostring(lua_State *L) {
  const rs_parameter *p = rs_check_parameter(L, 1);
  lua_pushfstring(L, "Parameter %s %s %s%s%s", p->name, rs_dtype_name(p->value.dtype), rs_shape(&p->value).text,
                  p->sparse ? ", sparse" : "", p->trainable ? "" : ", buffer");
  return 1;
}

/* Tapes and Vars. */

rs_tape *rs_check_tape(lua_State *L, int arg) {
  rs_tape **tape = luaL_checkudata(L, arg, RS_TAPE);
  luaL_argcheck(L, *tape, arg, "tape is closed");
  return *tape;
}

rs_node *rs_check_var(lua_State *L, int arg) {
  const rs_var *v = luaL_checkudata(L, arg, RS_VAR);
  luaL_argcheck(L, v->tape && *v->tape, arg, "the tape of this Var is closed");
  luaL_argcheck(L, v->node, arg, "Var is empty");
  return v->node;
}

rs_node *rs_opt_var(lua_State *L, int arg) { return lua_isnoneornil(L, arg) ? NULL : rs_check_var(L, arg); }

rs_node **rs_push_var(lua_State *L, int of) {
  of = lua_absindex(L, of);
  rs_var *v = rs_push_object(L, sizeof *v, RS_VAR, 1);
  if (luaL_testudata(L, of, RS_TAPE))
    lua_pushvalue(L, of);
  else
    lua_getiuservalue(L, of, 1);
  v->tape = lua_touserdata(L, -1);
  lua_setiuservalue(L, -2, 1);
  return &v->node;
}

int rs_return_var(lua_State *L) {
  const rs_var *v = lua_touserdata(L, -1);
  if (v->node->op) rs_account(L, &v->node->value);
  return 1;
}

/* autograd.tape([options]) -> Tape */
static int l_tape(lua_State *L) {
  static const char *const keys[] = {"train", "gradients", "seed", "epoch", "step", "rows_before", "check", NULL};
  if (!lua_isnoneornil(L, 1)) rs_check_options(L, 1, keys);
  rs_tape_options o = {.train = boolean_option(L, 1, "train", false)};
  o.gradients = boolean_option(L, 1, "gradients", o.train);
  o.seed = (uint64_t)integer_option(L, 1, "seed", LUA_MAXINTEGER);
  o.epoch = (uint32_t)integer_option(L, 1, "epoch", UINT32_MAX);
  o.step = (uint32_t)integer_option(L, 1, "step", UINT32_MAX);
  o.rows_before = integer_option(L, 1, "rows_before", INT64_C(1) << 40);
  rs_tape **out = rs_push_object(L, sizeof *out, RS_TAPE, 1);
  rs_check_retry(L, rs_tape_new(out, &o));
  if (boolean_option(L, 1, "check", false)) rs_tape_check(*out);
  return 1;
}

/* __gc, __close and tape:close(): any number of times. */
static int l_tape_free(lua_State *L) {
  rs_tape **tape = luaL_checkudata(L, 1, RS_TAPE);
  rs_tape_free(*tape);
  *tape = NULL;
  return 0;
}

/* tape:input(name | nil, tensor, [needs_grad]) -> Var */
static int l_input(lua_State *L) {
  rs_tape *tape = rs_check_tape(L, 1);
  const char *name = luaL_optstring(L, 2, NULL);
  if (name && lua_isnoneornil(L, 3)) luaL_argerror(L, 3, lua_pushfstring(L, "no tensor for the input '%s'", name));
  const rs_tensor *t = rs_check_tensor(L, 3);
  bool needs_grad = lua_toboolean(L, 4);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_tape_input(out, tape, name, t, needs_grad));
  return rs_return_var(L);
}

/* tape:parameter(parameter) -> Var */
static int l_tape_parameter(lua_State *L) {
  rs_tape *tape = rs_check_tape(L, 1);
  rs_parameter *p = rs_check_parameter(L, 2);
  rs_node **out = rs_push_var(L, 1);
  rs_check_retry(L, rs_tape_parameter(out, tape, p));
  return rs_return_var(L);
}

/* tape:backward(loss) */
static int l_backward(lua_State *L) {
  rs_tape *tape = rs_check_tape(L, 1);
  rs_node *loss = rs_check_var(L, 2);
  luaL_argcheck(L, loss->tape == tape, 2, "Var of another tape");
  rs_check(L, rs_tape_backward(loss));
  return 0;
}

/* tape:active_units() -> { name = Tensor } */
static int l_active_units(lua_State *L) {
  const rs_tape *tape = rs_check_tape(L, 1);
  rs_tensors *units = rs_push_list(L);
  rs_check_retry(L, rs_tape_active_units(units, tape));
  rs_push_tensors(L, units);
  return 1;
}

/* tape:training() -> boolean */
static int l_training(lua_State *L) {
  lua_pushboolean(L, rs_tape_options_of(rs_check_tape(L, 1))->train);
  return 1;
}

static int l_tape_tostring(lua_State *L) {
  rs_tape **tape = luaL_checkudata(L, 1, RS_TAPE);
  if (*tape)
    lua_pushfstring(L, "Tape (%s, %d nodes)", rs_tape_options_of(*tape)->train ? "training" : "evaluation",
                    rs_tape_size(*tape));
  else
    lua_pushliteral(L, "Tape (closed)");
  return 1;
}

/* var:value() -> Tensor */
static int l_value(lua_State *L) {
  const rs_node *node = rs_check_var(L, 1);
  rs_tensor_share(rs_push_tensor(L), &node->value);
  return 1;
}

/* var:item() -> number */
static int l_item(lua_State *L) {
  const rs_node *node = rs_check_var(L, 1);
  const rs_tensor *t = &node->value;
  if (rs_tensor_count(t) != 1) luaL_error(L, "item: %s has not exactly one element", rs_shape(t).text);
  const int64_t at[RS_MAX_DIMS] = {0};
  if (t->dtype == RS_F32 || t->dtype == RS_F64)
    lua_pushnumber(L, rs_tensor_get(t, at));
  else
    lua_pushinteger(L, rs_tensor_get_integer(t, at));
  return 1;
}

/* var:grad() -> Tensor | nil */
static int l_grad(lua_State *L) {
  rs_node *node = rs_check_var(L, 1);
  if (node->parameter) return push_grad(L, node->parameter);
  if (!node->grad.storage) return lua_pushnil(L), 1;
  rs_tensor_share(rs_push_tensor(L), &node->grad);
  return 1;
}

/* var:size([dim]) -> {size...} or integer */
static int l_size(lua_State *L) { return rs_push_size(L, &rs_check_var(L, 1)->value); }

/* var:dtype() -> string */
static int l_dtype(lua_State *L) {
  lua_pushstring(L, rs_dtype_name(rs_check_var(L, 1)->value.dtype));
  return 1;
}

/* var:tape() -> Tape */
static int l_var_tape(lua_State *L) {
  rs_check_var(L, 1);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

static int l_var_tostring(lua_State *L) {
  const rs_var *v = luaL_checkudata(L, 1, RS_VAR);
  if (!v->tape || !*v->tape || !v->node)
    lua_pushliteral(L, "Var (closed)");
  else
    lua_pushfstring(L, "Var %s %s (%s)", rs_dtype_name(v->node->value.dtype), rs_shape(&v->node->value).text,
                    rs_node_label(v->node));
  return 1;
}

/* Plans. */

rs_plan **rs_push_plan(lua_State *L) { return rs_push_object(L, sizeof(rs_plan *), RS_PLAN, 0); }

rs_plan *rs_check_plan(lua_State *L, int arg) {
  rs_plan **plan = luaL_checkudata(L, arg, RS_PLAN);
  luaL_argcheck(L, *plan, arg, "plan is closed");
  return *plan;
}

static int l_plan_free(lua_State *L) {
  rs_plan **plan = luaL_checkudata(L, 1, RS_PLAN);
  rs_plan_free(*plan);
  *plan = NULL;
  return 0;
}

/* Put 'name' with its node into place: 'names' ascend. */
static void insert(const char **names, rs_node **nodes, int n, const char *name, rs_node *node) {
  for (; n > 0 && strcmp(names[n - 1], name) > 0; n--) {
    names[n] = names[n - 1];
    nodes[n] = nodes[n - 1];
  }
  names[n] = name;
  nodes[n] = node;
}

/* tape:plan{ name = var, ... } -> Plan */
static int l_tape_plan(lua_State *L) {
  enum { MOST = 64 };
  const char *names[MOST];
  rs_node *nodes[MOST];
  int n = 0;
  const rs_tape *tape = rs_check_tape(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    const rs_var *v = luaL_testudata(L, -1, RS_VAR);
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && v && v->node, 2, "a table of names to Vars expected");
    luaL_argcheck(L, *v->tape == tape, 2, "Var of another tape");
    luaL_argcheck(L, n < MOST, 2, "too many outputs");
    insert(names, nodes, n++, lua_tostring(L, -2), v->node);
  }
  rs_plan **out = rs_push_plan(L);
  rs_check_retry(L, rs_plan_record(out, n, nodes, names));
  return 1;
}

/* plan:run(weights, inputs) -> outputs, tables name -> Tensor */
static int l_run(lua_State *L) {
  const rs_plan *plan = rs_check_plan(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  rs_tensors *weights = rs_push_list(L), *inputs = rs_push_list(L), *outputs = rs_push_list(L);
  rs_check_tensors(L, 2, weights);
  rs_check_tensors(L, 3, inputs);
  rs_check_retry(L, rs_plan_run(plan, weights, inputs, outputs));
  for (int64_t i = 0; i < outputs->n; i++) rs_account(L, &outputs->items[i].tensor);
  rs_push_tensors(L, outputs);
  return 1;
}

/* plan:json() -> string */
static int l_json(lua_State *L) {
  const rs_plan *plan = rs_check_plan(L, 1);
  rs_buffer *json = rs_push_buffer(L);
  rs_check(L, rs_plan_to_json(plan, json));
  lua_pushlstring(L, json->data, json->size);
  return 1;
}

static int push_names(lua_State *L, rs_plan_part part) {
  const rs_plan *plan = rs_check_plan(L, 1);
  int n = rs_plan_count(plan, part);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, rs_plan_name(plan, part, i));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* plan:inputs(), plan:weights(), plan:outputs() -> {name, ...} */
static int l_inputs(lua_State *L) { return push_names(L, RS_PLAN_INPUTS); }
static int l_weights(lua_State *L) { return push_names(L, RS_PLAN_WEIGHTS); }
static int l_outputs(lua_State *L) { return push_names(L, RS_PLAN_OUTPUTS); }

static int l_plan_tostring(lua_State *L) {
  rs_plan **plan = luaL_checkudata(L, 1, RS_PLAN);
  if (*plan)
    lua_pushfstring(L, "Plan (%d inputs, %d weights, %d outputs)", rs_plan_count(*plan, RS_PLAN_INPUTS),
                    rs_plan_count(*plan, RS_PLAN_WEIGHTS), rs_plan_count(*plan, RS_PLAN_OUTPUTS));
  else
    lua_pushliteral(L, "Plan (closed)");
  return 1;
}

/* autograd.plan_from_json(text) -> Plan | nil, message, code */
static int l_plan_from_json(lua_State *L) {
  size_t bytes = 0;
  const char *text = luaL_checklstring(L, 1, &bytes);
  rs_plan **out = rs_push_plan(L);
  return rs_return(L, rs_plan_from_json(out, text, bytes), 1);
}

static void open_parameter(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"name", l_parameter_name},           {"value", l_parameter_value},         {"grad", l_parameter_grad},
      {"rows", l_parameter_rows},           {"zero_grad", l_parameter_zero_grad}, {"size", l_parameter_size},
      {"trainable", l_parameter_trainable}, {"sparse", l_parameter_sparse},       {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_parameter_free}, {"__tostring", l_parameter_tostring}, {NULL, NULL}};
  rs_new_type(L, RS_PARAMETER, methods, meta);
}

static void open_tape(lua_State *L) {
  static const luaL_Reg methods[] = {{"input", l_input},    {"parameter", l_tape_parameter}, {"backward", l_backward},
                                     {"plan", l_tape_plan}, {"training", l_training},        {"active_units", l_active_units},
                                     {"close", l_tape_free}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", l_tape_free}, {"__close", l_tape_free}, {"__tostring", l_tape_tostring}, {NULL, NULL}};
  rs_new_type(L, RS_TAPE, methods, meta);
}

static void open_var(lua_State *L) {
  static const luaL_Reg methods[] = {{"value", l_value}, {"item", l_item},     {"grad", l_grad}, {"size", l_size},
                                     {"dtype", l_dtype}, {"tape", l_var_tape}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__tostring", l_var_tostring}, {NULL, NULL}};
  rs_new_type(L, RS_VAR, methods, meta);
  luaL_getmetatable(L, RS_VAR);
  luaL_setfuncs(L, rs_var_operators, 0);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, rs_var_operations, 0);
  lua_pop(L, 2);
}

static void open_plan(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"run", l_run},         {"json", l_json},       {"inputs", l_inputs}, {"weights", l_weights},
      {"outputs", l_outputs}, {"close", l_plan_free}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", l_plan_free}, {"__close", l_plan_free}, {"__tostring", l_plan_tostring}, {NULL, NULL}};
  rs_new_type(L, RS_PLAN, methods, meta);
}

int rs_open_autograd(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"parameter", l_parameter}, {"tape", l_tape}, {"plan_from_json", l_plan_from_json}, {NULL, NULL}};
  open_parameter(L);
  open_tape(L);
  open_var(L);
  open_plan(L);
  luaL_newlib(L, functions);
  luaL_setfuncs(L, rs_var_operations, 0);
  lua_pushcfunction(L, rs_autograd_concat);
  lua_setfield(L, -2, "concat");
  return 1;
}
