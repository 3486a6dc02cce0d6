/* l_optim.c - recsys.core.optim: optimisers over Parameters.
 *
 * A step first merges all sparse gradients, which may want memory, and then updates, which wants none: a step that is
 * refused changes no parameter. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "bind/l_autograd.h"
#include "optim/optim.h"
#include "tensor/kernels.h"

#define OPTIMIZER "recsys.Optimizer"

typedef struct optimizer {
  rs_optimizer rule;
  int64_t step; /* steps taken */
  int64_t n;
  rs_parameter **parameters; /* [n], a reference each */
  rs_tensor *state;          /* [n, RS_MAX_STATES] */
} optimizer;

static const char *const kind_names[] = {
    [RS_SGD] = "sgd", [RS_ADAGRAD] = "adagrad", [RS_ADAM] = "adam", [RS_ADAMW] = "adamw"};

static optimizer *check_optimizer(lua_State *L) {
  optimizer *o = luaL_checkudata(L, 1, OPTIMIZER);
  luaL_argcheck(L, o->parameters, 1, "optimizer is closed");
  return o;
}

/* __gc, __close and opt:close(): any number of times. */
static int l_free(lua_State *L) {
  optimizer *o = luaL_checkudata(L, 1, OPTIMIZER);
  for (int64_t i = 0; i < o->n; i++) rs_parameter_release(o->parameters[i]);
  for (int64_t i = 0; o->state && i < o->n * RS_MAX_STATES; i++) rs_tensor_free(&o->state[i]);
  rs_free(o->parameters);
  rs_free(o->state);
  *o = (optimizer){0};
  return 0;
}

/* Options. */

typedef struct option {
  const char *name;
  double *value;
  double least, below; /* least <= value < below */
} option;

static void read_number(lua_State *L, int arg, const option *o) {
  if (lua_type(L, -1) != LUA_TNUMBER)
    luaL_argerror(L, arg, lua_pushfstring(L, "%s must be a number, not %s", o->name, luaL_typename(L, -1)));
  double x = lua_tonumber(L, -1);
  if (!(o->least <= x && x < o->below))
    luaL_argerror(
        L, arg,
        lua_pushfstring(L, "%s is %f; it must be at least %f and less than %f", o->name, x, o->least, o->below));
  *o->value = x;
}

/* Read the table of options at 'arg'; a key that is not among them raises and names what there is. */
static void read_options(lua_State *L, int arg, const option *options, bool *row_wise) {
  if (lua_isnoneornil(L, arg)) return;
  luaL_checktype(L, arg, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    const option *o = options;
    while (o->name && strcmp(o->name, key) != 0) o++;
    if (o->name) {
      read_number(L, arg, o);
    } else if (row_wise && strcmp(key, "row_wise") == 0) {
      *row_wise = lua_toboolean(L, -1);
    } else {
      luaL_Buffer b;
      luaL_buffinit(L, &b);
      for (o = options; o->name; o++) {
        luaL_addstring(&b, o == options ? "" : ", ");
        luaL_addstring(&b, o->name);
      }
      luaL_addstring(&b, row_wise ? ", row_wise" : "");
      luaL_pushresult(&b);
      luaL_argerror(L, arg, lua_pushfstring(L, "there is no option '%s' (%s)", key, lua_tostring(L, -1)));
    }
  }
}

/* Construction. */

/* How many parameters of the list at 1 are trainable; raises for what is no parameter and for names that come twice. */
static int64_t count_trainable(lua_State *L) {
  int64_t n = 0, length = luaL_len(L, 1);
  lua_newtable(L); /* names seen */
  for (int64_t i = 1; i <= length; i++) {
    lua_geti(L, 1, i);
    if (!luaL_testudata(L, -1, RS_PARAMETER))
      luaL_argerror(L, 1, lua_pushfstring(L, "element %I is no Parameter", (LUAI_UACINT)i));
    const rs_parameter *p = rs_check_parameter(L, -1);
    if (lua_getfield(L, -2, p->name) != LUA_TNIL)
      luaL_argerror(L, 1, lua_pushfstring(L, "two parameters are called '%s'", p->name));
    lua_pop(L, 1);
    lua_pushboolean(L, 1);
    lua_setfield(L, -3, p->name);
    lua_pop(L, 1);
    n += p->trainable;
  }
  lua_pop(L, 1);
  return n;
}

static void take_parameters(lua_State *L, optimizer *o, int64_t n) {
  size_t bytes = (size_t)(n ? n : 1) * sizeof *o->parameters,
         state_bytes = (size_t)n * RS_MAX_STATES * sizeof *o->state;
  o->parameters = rs_alloc_zero(bytes);
  if (!o->parameters) rs_check(L, rs_nomem("optimizer", bytes));
  o->state = rs_alloc_zero(state_bytes);
  if (!o->state) rs_check(L, rs_nomem("optimizer", state_bytes));
  int64_t length = luaL_len(L, 1);
  for (int64_t i = 1; i <= length; i++) {
    lua_geti(L, 1, i);
    rs_parameter *p = rs_check_parameter(L, -1);
    if (p->trainable && o->n < n) {
      rs_parameter_retain(p);
      o->parameters[o->n++] = p;
    }
    lua_pop(L, 1);
  }
  for (int64_t i = 0; i < o->n; i++)
    for (int s = 0; s < rs_optimizer_states(&o->rule); s++) {
      rs_tensor *state = &o->state[i * RS_MAX_STATES + s];
      rs_check_retry(L, rs_optimizer_state(state, &o->rule, s, &o->parameters[i]->value));
      rs_account(L, state);
    }
}

/* optim.<kind>(parameters, [options]) -> Optimizer */
static int construct(lua_State *L, rs_optimizer rule) {
  bool adam = rule.kind == RS_ADAM || rule.kind == RS_ADAMW;
  double seed = 0;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  const option options[] = {{"learning_rate", &rule.learning_rate, 0, INFINITY},
                            {"weight_decay", &rule.weight_decay, 0, INFINITY},
                            {"seed", &seed, 0, 0x1p53},
                            rule.kind == RS_SGD ? (option){"momentum", &rule.momentum, 0, 1}
                                                : (option){"epsilon", &rule.epsilon, 0, INFINITY},
                            {adam ? "beta1" : NULL, &rule.beta1, 0, 1},
                            {"beta2", &rule.beta2, 0, 1},
                            {NULL, NULL, 0, 0}};
  read_options(L, 2, options, rule.kind == RS_ADAGRAD ? &rule.row_wise : NULL);
  rule.gradient_scale = 1;
  rule.seed = (uint64_t)seed;
  int64_t n = count_trainable(L);
  optimizer *o = rs_push_object(L, sizeof *o, OPTIMIZER, 0);
  o->rule = rule;
  take_parameters(L, o, n);
  return 1;
}

static int l_sgd(lua_State *L) { return construct(L, (rs_optimizer){.kind = RS_SGD, .learning_rate = 1e-2}); }

static int l_adagrad(lua_State *L) {
  return construct(L, (rs_optimizer){.kind = RS_ADAGRAD, .learning_rate = 1e-2, .epsilon = 1e-10});
}

static int l_adam(lua_State *L) {
  return construct(
      L, (rs_optimizer){.kind = RS_ADAM, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8});
}

static int l_adamw(lua_State *L) {
  return construct(L, (rs_optimizer){.kind = RS_ADAMW,
                                     .learning_rate = 1e-3,
                                     .beta1 = 0.9,
                                     .beta2 = 0.999,
                                     .epsilon = 1e-8,
                                     .weight_decay = 1e-2});
}

/* Methods. */

/* The gradient of a parameter that has one: rows of 'codes', or dense with *codes NULL. */
static rs_status gradient_of(rs_parameter *p, const rs_tensor **codes, const rs_tensor **rows) {
  *codes = NULL;
  *rows = &p->grad;
  return p->sparse ? rs_parameter_merge(p, codes, rows) : RS_OK;
}

static rs_status merge_all(const optimizer *o) {
  const rs_tensor *codes, *rows;
  rs_status status = RS_OK;
  for (int64_t i = 0; i < o->n && status == RS_OK; i++)
    if (o->parameters[i]->has_grad) status = gradient_of(o->parameters[i], &codes, &rows);
  return status;
}

static rs_status take_step(optimizer *o) {
  rs_status status = RS_OK;
  for (int64_t i = 0; i < o->n && status == RS_OK; i++) {
    rs_parameter *p = o->parameters[i];
    const rs_tensor *codes, *rows;
    rs_tensor *state = &o->state[i * RS_MAX_STATES];
    if (!p->has_grad) continue;
    status = gradient_of(p, &codes, &rows);
    o->rule.table = (uint32_t)i;
    if (status == RS_OK && codes)
      status = rs_optimizer_update_rows(&o->rule, o->step + 1, &p->value, codes, rows, state);
    else if (status == RS_OK)
      status = rs_optimizer_update(&o->rule, o->step + 1, &p->value, rows, state);
  }
  if (status == RS_OK) o->step++;
  return status;
}

/* opt:step() -> opt */
static int l_step(lua_State *L) {
  optimizer *o = check_optimizer(L);
  for (int64_t i = 0; i < o->n; i++)
    if (!o->parameters[i]->value.storage->writable)
      luaL_error(L, "parameter '%s' is a read-only mapping", o->parameters[i]->name);
  rs_check_retry(L, merge_all(o));
  rs_check(L, take_step(o));
  o->rule.gradient_scale = 1;
  lua_settop(L, 1);
  return 1;
}

/* opt:zero_grad() -> opt */
static int l_zero_grad(lua_State *L) {
  optimizer *o = check_optimizer(L);
  for (int64_t i = 0; i < o->n; i++) rs_parameter_zero_grad(o->parameters[i]);
  o->rule.gradient_scale = 1;
  lua_settop(L, 1);
  return 1;
}

static rs_status global_norm(const optimizer *o, double *norm) {
  double total = 0;
  rs_status status = RS_OK;
  for (int64_t i = 0; i < o->n && status == RS_OK; i++) {
    const rs_tensor *codes, *rows;
    double squares = 0;
    if (!o->parameters[i]->has_grad) continue;
    status = gradient_of(o->parameters[i], &codes, &rows);
    if (status == RS_OK) status = rs_sum_of_squares(&squares, rows);
    total += squares;
  }
  *norm = sqrt(total);
  return status;
}

/* opt:norm() -> norm of all gradients, which stay */
static int l_norm(lua_State *L) {
  double norm = 0;
  rs_check_retry(L, global_norm(check_optimizer(L), &norm));
  lua_pushnumber(L, norm);
  return 1;
}

/* opt:clip(max_norm) -> norm: the next step scales all gradients so that their global norm is at most max_norm */
static int l_clip(lua_State *L) {
  optimizer *o = check_optimizer(L);
  double most = luaL_checknumber(L, 2), norm = 0;
  luaL_argcheck(L, most > 0, 2, "must be greater than 0");
  rs_check_retry(L, global_norm(o, &norm));
  o->rule.gradient_scale = norm > most ? most / norm : 1;
  lua_pushnumber(L, norm);
  return 1;
}

/* opt:learning_rate() -> number */
static int l_learning_rate(lua_State *L) {
  lua_pushnumber(L, check_optimizer(L)->rule.learning_rate);
  return 1;
}

/* opt:set_learning_rate(rate) -> opt */
static int l_set_learning_rate(lua_State *L) {
  optimizer *o = check_optimizer(L);
  double rate = luaL_checknumber(L, 2);
  luaL_argcheck(L, rate >= 0 && rate < INFINITY, 2, "must be 0 or more");
  o->rule.learning_rate = rate;
  lua_settop(L, 1);
  return 1;
}

/* State. */

#define STEP "optimizer.step"

/* Push the name of a state tensor. */
static const char *push_state_name(lua_State *L, const optimizer *o, int64_t i, int which) {
  return lua_pushfstring(L, "%s.%s", o->parameters[i]->name, rs_optimizer_state_name(&o->rule, which));
}

/* opt:state() -> { name = Tensor }, sharing the optimiser's memory */
static int l_state(lua_State *L) {
  const optimizer *o = check_optimizer(L);
  lua_newtable(L);
  rs_tensor *step = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(step, RS_I64, 1, (int64_t[]){1}));
  rs_i64(step)[0] = o->step;
  lua_setfield(L, -2, STEP);
  for (int64_t i = 0; i < o->n; i++)
    for (int s = 0; s < rs_optimizer_states(&o->rule); s++) {
      push_state_name(L, o, i, s);
      rs_tensor_share(rs_push_tensor(L), &o->state[i * RS_MAX_STATES + s]);
      lua_rawset(L, -3);
    }
  return 1;
}

/* The field 'name' (on top, popped) of the table at 2, of the same kind as 'like'; stays on the stack. */
static const rs_tensor *need_state(lua_State *L, const char *name, rs_dtype dtype, int ndim, const int64_t *size) {
  lua_pushvalue(L, -1);
  lua_gettable(L, 2);
  const rs_tensor *t = rs_test_tensor(L, -1);
  if (!t) luaL_argerror(L, 2, lua_pushfstring(L, "there is no tensor '%s'", name));
  if (t->dtype != dtype || t->ndim != ndim || memcmp(t->size, size, sizeof *size * (size_t)ndim) != 0)
    luaL_argerror(
        L, 2, lua_pushfstring(L, "'%s' is %s %s, which does not fit", name, rs_dtype_name(t->dtype), rs_shape(t).text));
  lua_remove(L, -2);
  return t;
}

/* opt:load_state(state) -> opt: all is checked before anything changes */
static int l_load_state(lua_State *L) {
  optimizer *o = check_optimizer(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_pushliteral(L, STEP);
  const int64_t step = rs_tensor_get_integer(need_state(L, STEP, RS_I64, 1, (int64_t[]){1}), &(int64_t){0});
  for (int pass = 0; pass < 2; pass++)
    for (int64_t i = 0; i < o->n; i++)
      for (int s = 0; s < rs_optimizer_states(&o->rule); s++) {
        rs_tensor *state = &o->state[i * RS_MAX_STATES + s];
        const rs_tensor *from = need_state(L, push_state_name(L, o, i, s), state->dtype, state->ndim, state->size);
        if (pass) rs_check_retry(L, rs_copy_into(state, from));
        lua_pop(L, 1);
      }
  o->step = step;
  lua_settop(L, 1);
  return 1;
}

static int l_steps(lua_State *L) {
  lua_pushinteger(L, check_optimizer(L)->step);
  return 1;
}

static int l_tostring(lua_State *L) {
  const optimizer *o = luaL_checkudata(L, 1, OPTIMIZER);
  if (o->parameters)
    lua_pushfstring(L, "Optimizer %s (%I parameters, learning rate %f, step %I)", kind_names[o->rule.kind],
                    (LUAI_UACINT)o->n, o->rule.learning_rate, (LUAI_UACINT)o->step);
  else
    lua_pushliteral(L, "Optimizer (closed)");
  return 1;
}

int rs_open_optim(lua_State *L) {
  static const luaL_Reg methods[] = {{"step", l_step},
                                     {"zero_grad", l_zero_grad},
                                     {"clip", l_clip},
                                     {"norm", l_norm},
                                     {"learning_rate", l_learning_rate},
                                     {"set_learning_rate", l_set_learning_rate},
                                     {"state", l_state},
                                     {"load_state", l_load_state},
                                     {"steps", l_steps},
                                     {"close", l_free},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {"__tostring", l_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"sgd", l_sgd}, {"adagrad", l_adagrad}, {"adam", l_adam}, {"adamw", l_adamw}, {NULL, NULL}};
  rs_new_type(L, OPTIMIZER, methods, meta);
  luaL_newlib(L, functions);
  return 1;
}
