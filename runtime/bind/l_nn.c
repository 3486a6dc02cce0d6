/* l_nn.c - recsys.core.nn: layers and towers. Constructors take one table of named options; an option that is not
 * known is refused, since a typing error would train another model. */
#include <string.h>

#include "bind/fields.h"
#include "bind/l_autograd.h"
#include "bind/nn_pairwise.h"
#include "nn/catalogue.h"
#include "nn/in_batch_softmax.h"
#include "nn/panel_rate.h"
#include "nn/tower.h"

#define LAYER "recsys.Layer"
#define TOWER "recsys.Tower"

static rs_layer *check_layer(lua_State *L, int arg) {
  rs_layer **slot = luaL_checkudata(L, arg, LAYER);
  luaL_argcheck(L, *slot, arg, "layer is closed");
  return *slot;
}

static rs_start start_options(lua_State *L) {
  static const char *const dtypes[] = {"f32", "f64", NULL};
  return (rs_start){.seed = (uint64_t)rs_integer_option(L, 1, "seed", 0, 1),
                    .dtype = rs_choice_option(L, 1, "dtype", dtypes, "f32") ? RS_F64 : RS_F32};
}

static rs_layer **push_layer(lua_State *L) { return rs_push_object(L, sizeof(rs_layer *), LAYER, 0); }

/* nn.linear{name, inputs, outputs, bias, activation, seed, dtype} -> Layer */
static int l_linear(lua_State *L) {
  static const char *const known[] = {"name", "inputs", "outputs", "bias", "activation", "seed", "dtype", NULL};
  rs_check_options(L, 1, known);
  const char *name = rs_string_option(L, 1, "name", NULL);
  int64_t inputs = rs_integer_option(L, 1, "inputs", 1, -1), outputs = rs_integer_option(L, 1, "outputs", 1, -1);
  bool bias = rs_boolean_option(L, 1, "bias", true);
  int activation = rs_choice_option(L, 1, "activation", rs_activation_names, "none");
  rs_start start = start_options(L);
  rs_check(L, rs_linear_new(push_layer(L), name, inputs, outputs, bias, (rs_activation)activation, start));
  return 1;
}

/* nn.embedding{name, rows, width, scale, seed, dtype} -> Layer */
static int l_embedding(lua_State *L) {
  static const char *const known[] = {"name", "rows", "width", "scale", "seed", "dtype", NULL};
  rs_check_options(L, 1, known);
  const char *name = rs_string_option(L, 1, "name", NULL);
  int64_t rows = rs_integer_option(L, 1, "rows", 1, -1), width = rs_integer_option(L, 1, "width", 1, -1);
  double scale = rs_number_option(L, 1, "scale", 0.1);
  static const char *const dtypes[] = {"f32", "f64", "bf16", NULL};
  static const rs_dtype served[] = {RS_F32, RS_F64, RS_BF16};
  rs_start start = {.seed = (uint64_t)rs_integer_option(L, 1, "seed", 0, 1),
                    .dtype = served[rs_choice_option(L, 1, "dtype", dtypes, "f32")]};
  rs_check(L, rs_embedding_new(push_layer(L), name, rows, width, scale, start));
  return 1;
}

/* nn.embedding_bag{table, mode} -> Layer */
static int l_embedding_bag(lua_State *L) {
  static const char *const known[] = {"table", "mode", NULL};
  static const char *const modes[] = {"sum", "mean", NULL};
  rs_check_options(L, 1, known);
  int mode = rs_choice_option(L, 1, "mode", modes, "mean");
  lua_getfield(L, 1, "table");
  rs_layer **table = luaL_testudata(L, -1, LAYER);
  if (!table || !*table) rs_wrong_option(L, 1, "table", "an Embedding");
  rs_check(L, rs_embedding_bag_new(push_layer(L), *table, mode ? RS_BAG_MEAN : RS_BAG_SUM));
  return 1;
}

/* nn.layer_norm{name, width, epsilon, seed, dtype} -> Layer */
static int l_layer_norm(lua_State *L) {
  static const char *const known[] = {"name", "width", "epsilon", "seed", "dtype", NULL};
  rs_check_options(L, 1, known);
  const char *name = rs_string_option(L, 1, "name", NULL);
  int64_t width = rs_integer_option(L, 1, "width", 1, -1);
  double epsilon = rs_number_option(L, 1, "epsilon", 1e-5);
  rs_start start = start_options(L);
  rs_check(L, rs_layer_norm_new(push_layer(L), name, width, epsilon, start));
  return 1;
}

/* nn.batch_norm{name, width, momentum, epsilon, seed, dtype} -> Layer */
static int l_batch_norm(lua_State *L) {
  static const char *const known[] = {"name", "width", "momentum", "epsilon", "seed", "dtype", NULL};
  rs_check_options(L, 1, known);
  const char *name = rs_string_option(L, 1, "name", NULL);
  int64_t width = rs_integer_option(L, 1, "width", 1, -1);
  double momentum = rs_number_option(L, 1, "momentum", 0.1), epsilon = rs_number_option(L, 1, "epsilon", 1e-5);
  rs_start start = start_options(L);
  rs_check(L, rs_batch_norm_new(push_layer(L), name, width, momentum, epsilon, start));
  return 1;
}

/* nn.dropout{name, rate} -> Layer */
static int l_dropout(lua_State *L) {
  static const char *const known[] = {"name", "rate", NULL};
  rs_check_options(L, 1, known);
  const char *name = rs_string_option(L, 1, "name", NULL);
  double rate = rs_number_option(L, 1, "rate", 0.5);
  rs_check(L, rs_dropout_new(push_layer(L), name, rate));
  return 1;
}

/* layer:forward(var, ...) -> Var */
static int l_forward(lua_State *L) {
  rs_node *inputs[4];
  const rs_layer *layer = check_layer(L, 1);
  int n = lua_gettop(L) - 1;
  luaL_argcheck(L, 1 <= n && n <= 4, 2, "1 to 4 inputs are expected");
  for (int i = 0; i < n; i++) {
    inputs[i] = rs_check_var(L, i + 2);
    luaL_argcheck(L, inputs[i]->tape == inputs[0]->tape, i + 2, "the inputs are on different tapes");
  }
  rs_node **out = rs_push_var(L, 2);
  rs_check(L, rs_layer_forward(layer, out, inputs, n));
  return rs_return_var(L);
}

/* Append the layer's parameters that the list on top lacks; 'seen' at index 'seen' maps names to true. */
static void append_parameters(lua_State *L, const rs_layer *layer, int list, int seen) {
  for (int i = 0; layer && i < RS_LAYER_PARAMETERS; i++) {
    rs_parameter *p = layer->parameter[i];
    if (!p || lua_getfield(L, seen, p->name) != LUA_TNIL) continue;
    lua_pushboolean(L, 1);
    lua_setfield(L, seen, p->name);
    rs_parameter **slot = rs_push_parameter(L);
    rs_parameter_retain(p);
    *slot = p;
    lua_seti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
    lua_settop(L, seen);
  }
  lua_settop(L, seen);
}

/* layer:parameters() -> Parameter[] */
static int l_parameters(lua_State *L) {
  const rs_layer *layer = check_layer(L, 1);
  lua_settop(L, 1);
  lua_newtable(L);
  lua_newtable(L);
  append_parameters(L, layer, 2, 3);
  lua_settop(L, 2);
  return 1;
}

/* Push the layer's parameter of this name, if it has one. */
static bool push_named(lua_State *L, const rs_layer *layer, const char *name) {
  for (int i = 0; layer && i < RS_LAYER_PARAMETERS; i++) {
    rs_parameter *p = layer->parameter[i];
    if (!p || strcmp(p->name, name) != 0) continue;
    rs_parameter **slot = rs_push_parameter(L);
    rs_parameter_retain(p);
    *slot = p;
    return true;
  }
  return false;
}

/* layer:parameter(name) -> Parameter */
static int l_parameter(lua_State *L) {
  const rs_layer *layer = check_layer(L, 1);
  const char *name = luaL_checkstring(L, 2);
  if (push_named(L, layer, name)) return 1;
  return luaL_argerror(L, 2, lua_pushfstring(L, "layer '%s' has no parameter '%s'", layer->name, name));
}

/* layer:name() -> string */
static int l_name(lua_State *L) {
  lua_pushstring(L, check_layer(L, 1)->name);
  return 1;
}

/* layer:train([on]) -> layer: with false as layer:eval() */
static int l_train(lua_State *L) {
  check_layer(L, 1)->evaluates = !(lua_isnoneornil(L, 2) || lua_toboolean(L, 2));
  lua_settop(L, 1);
  return 1;
}

/* layer:eval() -> layer */
static int l_eval(lua_State *L) {
  check_layer(L, 1)->evaluates = true;
  lua_settop(L, 1);
  return 1;
}

static int l_layer_free(lua_State *L) {
  rs_layer **slot = luaL_checkudata(L, 1, LAYER);
  rs_layer_release(*slot);
  *slot = NULL;
  return 0;
}

/* Push the text of 'buffer', which a userdata owns as Lua may raise, and free it. */
static int push_text(lua_State *L, rs_buffer *buffer, rs_status status) {
  rs_check(L, status);
  lua_pushlstring(L, buffer->data, buffer->size);
  rs_buffer_free(buffer);
  return 1;
}

static int l_layer_tostring(lua_State *L) {
  rs_layer **slot = luaL_checkudata(L, 1, LAYER);
  rs_buffer *text = rs_push_buffer(L);
  return push_text(L, text, *slot ? rs_layer_describe(*slot, text) : rs_buffer_append_text(text, "Layer (closed)"));
}

/* The input described by the table on top, whose strings and layers stay alive in it. */
static void read_input(lua_State *L, rs_tower_input *in, int at) {
  if (lua_type(L, -1) != LUA_TTABLE) rs_wrong_option(L, 1, "inputs", "a list of { name, layer or width }");
  if (lua_getfield(L, -1, "name") != LUA_TSTRING) luaL_argerror(L, 1, lua_pushfstring(L, "input %d has no name", at));
  in->name = lua_tostring(L, -1);
  lua_pop(L, 1);
  lua_getfield(L, -1, "layer");
  rs_layer **layer = luaL_testudata(L, -1, LAYER);
  in->layer = layer ? *layer : NULL;
  lua_pop(L, 1);
  lua_getfield(L, -1, "width");
  in->width = lua_tointeger(L, -1);
  lua_pop(L, 1);
  lua_getfield(L, -1, "weights");
  in->weights = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pop(L, 1);
}

/* The list in field 'field' on top of the stack; its length. */
static int push_list(lua_State *L, const char *field) {
  int type = lua_getfield(L, 1, field);
  if (type == LUA_TNIL) return 0;
  if (type != LUA_TTABLE) rs_wrong_option(L, 1, field, "a list");
  lua_Unsigned n = lua_rawlen(L, -1);
  if (n > 4096) rs_wrong_option(L, 1, field, "a list of at most 4096");
  return (int)n;
}

static rs_tower *check_tower(lua_State *L, int arg) {
  rs_tower **slot = luaL_checkudata(L, arg, TOWER);
  luaL_argcheck(L, *slot, arg, "tower is closed");
  return *slot;
}

/* nn.tower{name, inputs, hidden, outputs, activation, norm, dropout, normalize, seed, dtype} -> Tower */
static int l_tower(lua_State *L) {
  static const char *const known[] = {"name",    "inputs",    "hidden", "outputs", "activation", "norm",
                                      "dropout", "normalize", "seed",   "dtype",   NULL};
  static const char *const norms[] = {"none", "layer", "batch", NULL};
  rs_check_options(L, 1, known);
  const char *name = rs_string_option(L, 1, "name", NULL);
  int n = push_list(L, "inputs");
  rs_tower_input *inputs = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *inputs, 0);
  for (int i = 0; i < n; i++) {
    lua_geti(L, -2, i + 1);
    read_input(L, &inputs[i], i + 1);
    lua_pop(L, 1);
  }
  int n_hidden = push_list(L, "hidden");
  int64_t *hidden = lua_newuserdatauv(L, (size_t)(n_hidden + 1) * sizeof *hidden, 0);
  for (int i = 0; i < n_hidden; i++) {
    lua_geti(L, -2, i + 1);
    hidden[i] = lua_tointeger(L, -1);
    if (hidden[i] < 1) rs_wrong_option(L, 1, "hidden", "a list of sizes of 1 or more");
    lua_pop(L, 1);
  }
  rs_tower_shape shape = {.hidden = hidden, .n_hidden = n_hidden};
  shape.outputs = rs_integer_option(L, 1, "outputs", 0, 0);
  shape.activation = (rs_activation)rs_choice_option(L, 1, "activation", rs_activation_names, "relu");
  shape.norm = (rs_tower_norm)rs_choice_option(L, 1, "norm", norms, "none");
  shape.dropout = rs_number_option(L, 1, "dropout", 0);
  shape.normalize = rs_boolean_option(L, 1, "normalize", false);
  rs_start start = start_options(L);
  rs_tower **tower = rs_push_object(L, sizeof(rs_tower *), TOWER, 0);
  rs_check(L, rs_tower_new(tower, name, inputs, n, &shape, start));
  return 1;
}

enum { MAX_GIVEN = 64 };

/* The Vars by name of the table at 'arg', if there is one; the names and nodes stay alive in it. */
static int read_given(lua_State *L, int arg, const rs_tape *tape, rs_tower_given *given) {
  int n = 0;
  if (lua_isnoneornil(L, arg)) return 0;
  luaL_checktype(L, arg, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1), n++) {
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && n < MAX_GIVEN, arg, "up to 64 Vars by name are expected");
    rs_node *node = rs_check_var(L, -1);
    luaL_argcheck(L, node->tape == tape, arg, "a Var is on another tape");
    given[n] = (rs_tower_given){lua_tostring(L, -2), node};
  }
  return n;
}

/* tower:forward(tape, batch, [vars]) -> Var [n, width] */
static int l_tower_forward(lua_State *L) {
  rs_tower_given given[MAX_GIVEN];
  const rs_tower *tower = check_tower(L, 1);
  rs_tape *tape = rs_check_tape(L, 2);
  int n = read_given(L, 4, tape, given);
  rs_tensors *batch = rs_push_list(L);
  rs_check_tensors(L, 3, batch);
  rs_node **out = rs_push_var(L, 2);
  rs_check(L, rs_tower_forward(tower, out, tape, batch, given, n));
  return rs_return_var(L);
}

/* tower:parameter(name) -> Parameter */
static int l_tower_parameter(lua_State *L) {
  const rs_tower *tower = check_tower(L, 1);
  const char *name = luaL_checkstring(L, 2);
  for (int i = 0; i < rs_tower_layers(tower); i++)
    if (push_named(L, rs_tower_layer(tower, i), name)) return 1;
  return luaL_argerror(L, 2, lua_pushfstring(L, "the tower has no parameter '%s'", name));
}

/* tower:parameters() -> Parameter[], those of its inputs' tables included */
static int l_tower_parameters(lua_State *L) {
  const rs_tower *tower = check_tower(L, 1);
  lua_settop(L, 1);
  lua_newtable(L);
  lua_newtable(L);
  for (int i = 0; i < rs_tower_layers(tower); i++) append_parameters(L, rs_tower_layer(tower, i), 2, 3);
  lua_settop(L, 2);
  return 1;
}

/* tower:width() -> integer */
static int l_tower_width(lua_State *L) {
  lua_pushinteger(L, rs_tower_width(check_tower(L, 1)));
  return 1;
}

/* Put all layers of the tower at 1 into a mode and return the tower. */
static int set_tower_mode(lua_State *L, bool evaluates) {
  const rs_tower *tower = check_tower(L, 1);
  for (int i = 0; i < rs_tower_layers(tower); i++)
    if (rs_tower_layer(tower, i)) rs_tower_layer(tower, i)->evaluates = evaluates;
  lua_settop(L, 1);
  return 1;
}

/* tower:train([on]) -> tower: with false as tower:eval() */
static int l_tower_train(lua_State *L) { return set_tower_mode(L, !(lua_isnoneornil(L, 2) || lua_toboolean(L, 2))); }

/* tower:eval() -> tower */
static int l_tower_eval(lua_State *L) { return set_tower_mode(L, true); }

static int l_tower_free(lua_State *L) {
  rs_tower **slot = luaL_checkudata(L, 1, TOWER);
  rs_tower_free(*slot);
  *slot = NULL;
  return 0;
}

static int l_tower_tostring(lua_State *L) {
  rs_tower **slot = luaL_checkudata(L, 1, TOWER);
  rs_buffer *text = rs_push_buffer(L);
  return push_text(L, text, *slot ? rs_tower_describe(*slot, text) : rs_buffer_append_text(text, "Tower (closed)"));
}

static rs_node *var_option(lua_State *L, const char *field) {
  lua_getfield(L, 1, field);
  if (!luaL_testudata(L, -1, RS_VAR)) rs_wrong_option(L, 1, field, "a Var");
  return rs_check_var(L, -1);
}

/* The lists of option 'left_out', { starts, lengths, values }, whose tensors stay on the stack. */
static void read_left_out(lua_State *L, rs_in_batch_softmax_options *options) {
  static const char *const known[] = {"starts", "lengths", "values", NULL};
  if (lua_getfield(L, 1, "left_out") == LUA_TNIL) return;
  int at = lua_gettop(L);
  rs_check_options(L, at, known);
  options->starts = rs_tensor_option(L, at, "starts");
  options->lengths = rs_tensor_option(L, at, "lengths");
  options->lists = rs_tensor_option(L, at, "values");
}

/* nn.in_batch_softmax{users, items, rows, columns, temperature, log_q, positive, codes, hits, ...} -> Var */
static int l_in_batch_softmax(lua_State *L) {
  static const char *const known[] = {"users",    "items",   "rows", "columns", "temperature", "log_q", "codes",
                                      "now",      "from",    "to",   "weights", "smoothing",   "hits",  "positive",
                                      "left_out", "beside", NULL};
  static const char *const hits[] = {"masked", "kept", NULL}, *const positives[] = {"corrected", "uncorrected", NULL};
  rs_check_options(L, 1, known);
  rs_in_batch_softmax_options options = {
      .temperature = rs_number_option(L, 1, "temperature", 1),
      .smoothing = rs_number_option(L, 1, "smoothing", 0),
      .keep_hits = rs_choice_option(L, 1, "hits", hits, "masked") == 1,
      .uncorrected = rs_choice_option(L, 1, "positive", positives, "corrected") == 1,
      .log_q = rs_tensor_option(L, 1, "log_q"),
      .codes = rs_tensor_option(L, 1, "codes"),
      .now = rs_tensor_option(L, 1, "now"),
      .from = rs_tensor_option(L, 1, "from"),
      .to = rs_tensor_option(L, 1, "to"),
      .rows = rs_tensor_option(L, 1, "rows"),
      .columns = rs_tensor_option(L, 1, "columns"),
      .weights = rs_tensor_option(L, 1, "weights")};
  read_left_out(L, &options);
  if (lua_getfield(L, 1, "beside") != LUA_TNIL) options.beside = var_option(L, "beside");
  rs_node *items = var_option(L, "items"), *users = var_option(L, "users");
  luaL_argcheck(L, users->tape == items->tape, 1, "users and items are on different tapes");
  luaL_argcheck(L, !options.beside || options.beside->tape == users->tape, 1, "users and beside are on different tapes");
  rs_node **out = rs_push_var(L, lua_gettop(L));
  rs_check_retry(L, rs_nn_in_batch_softmax(out, users, items, &options));
  return rs_return_var(L);
}

/* The options that all losses over a catalogue share. */
#define CATALOGUE_OPTIONS                                                                                    \
  "users", "items", "starts", "positives", "weights", "log_q", "codes", "first", "excluded_starts", "excluded"
static const char *const softmax_names[] = {CATALOGUE_OPTIONS, "temperature", "rivals", "smoothing", NULL};
static const char *const bilateral_names[] = {
    CATALOGUE_OPTIONS, "temperature", "rivals", "positive_temperature", "emphasis", NULL};
static const char *const contrastive_names[] = {CATALOGUE_OPTIONS, "margin", "emphasis", NULL};
static const char *const gbce_names[] = {CATALOGUE_OPTIONS, "temperature", "beta", "column_weights", NULL};

/* A loss of users against a table of items, from the options at 1. */
static int push_catalogue(lua_State *L, rs_catalogue_loss loss, const char *const *known) {
  static const char *const rivals[] = {"all", "negatives", NULL};
  rs_check_options(L, 1, known);
  rs_catalogue_options o = {.loss = loss,
                            .temperature = rs_number_option(L, 1, "temperature", 1),
                            .smoothing = rs_number_option(L, 1, "smoothing", 0),
                            .margin = rs_number_option(L, 1, "margin", 0),
                            .beta = rs_number_option(L, 1, "beta", 1),
                            .first = rs_integer_option(L, 1, "first", 1, 1) - 1,
                            .starts = rs_tensor_option(L, 1, "starts"),
                            .positives = rs_tensor_option(L, 1, "positives"),
                            .weights = rs_tensor_option(L, 1, "weights"),
                            .column_weights = rs_tensor_option(L, 1, "column_weights"),
                            .log_q = rs_tensor_option(L, 1, "log_q"),
                            .codes = rs_tensor_option(L, 1, "codes"),
                            .excluded_starts = rs_tensor_option(L, 1, "excluded_starts"),
                            .excluded = rs_tensor_option(L, 1, "excluded")};
  const char *usual = loss == RS_CATALOGUE_SOFTMAX ? "all" : "negatives";
  o.rivals = rs_choice_option(L, 1, "rivals", rivals, usual) ? RS_NEGATIVES : RS_ALL_ITEMS;
  o.positive_temperature = rs_number_option(L, 1, "positive_temperature", o.temperature);
  double standard = loss == RS_CATALOGUE_BILATERAL ? o.temperature / o.positive_temperature : 1;
  o.emphasis = rs_number_option(L, 1, "emphasis", standard);
  rs_node *items = var_option(L, "items"), *users = var_option(L, "users");
  luaL_argcheck(L, users->tape == items->tape, 1, "users and items are on different tapes");
  rs_node **out = rs_push_var(L, lua_gettop(L));
  rs_check_retry(L, rs_nn_catalogue(out, users, items, &o));
  return rs_return_var(L);
}

/* nn.catalogue_softmax{users, items, starts, positives, ..., temperature, rivals, smoothing} -> Var */
static int l_catalogue_softmax(lua_State *L) { return push_catalogue(L, RS_CATALOGUE_SOFTMAX, softmax_names); }

/* nn.bilateral_softmax{users, items, starts, positives, ..., temperature, rivals, positive_temperature, emphasis}
 * -> Var */
static int l_bilateral_softmax(lua_State *L) { return push_catalogue(L, RS_CATALOGUE_BILATERAL, bilateral_names); }

/* nn.cosine_contrastive{users, items, starts, positives, ..., margin, emphasis} -> Var */
static int l_cosine_contrastive(lua_State *L) {
  return push_catalogue(L, RS_CATALOGUE_CONTRASTIVE, contrastive_names);
}

/* nn.gbce{users, items, starts, positives, ..., temperature, beta, column_weights} -> Var */
static int l_gbce(lua_State *L) { return push_catalogue(L, RS_CATALOGUE_GBCE, gbce_names); }

/* nn.exponential_rate([n, rounds]) -> exponentials a second */
static int l_exponential_rate(lua_State *L) {
  double rate;
  rs_check_retry(L, rs_panel_exponential_rate(&rate, luaL_optinteger(L, 1, 4096), (int)luaL_optinteger(L, 2, 3)));
  lua_pushnumber(L, rate);
  return 1;
}

int rs_open_nn(lua_State *L) {
  static const luaL_Reg layer_methods[] = {{"forward", l_forward},
                                           {"parameters", l_parameters},
                                           {"parameter", l_parameter},
                                           {"name", l_name},
                                           {"train", l_train},
                                           {"eval", l_eval},
                                           {NULL, NULL}};
  static const luaL_Reg layer_meta[] = {
      {"__gc", l_layer_free}, {"__close", l_layer_free}, {"__tostring", l_layer_tostring}, {NULL, NULL}};
  static const luaL_Reg tower_methods[] = {{"forward", l_tower_forward},
                                           {"parameters", l_tower_parameters},
                                           {"parameter", l_tower_parameter},
                                           {"width", l_tower_width},
                                           {"train", l_tower_train},
                                           {"eval", l_tower_eval},
                                           {NULL, NULL}};
  static const luaL_Reg tower_meta[] = {
      {"__gc", l_tower_free}, {"__close", l_tower_free}, {"__tostring", l_tower_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"linear", l_linear},
                                       {"embedding", l_embedding},
                                       {"embedding_bag", l_embedding_bag},
                                       {"layer_norm", l_layer_norm},
                                       {"batch_norm", l_batch_norm},
                                       {"dropout", l_dropout},
                                       {"tower", l_tower},
                                       {"in_batch_softmax", l_in_batch_softmax},
                                       {"exponential_rate", l_exponential_rate},
                                       {"catalogue_softmax", l_catalogue_softmax},
                                       {"bilateral_softmax", l_bilateral_softmax},
                                       {"cosine_contrastive", l_cosine_contrastive},
                                       {"gbce", l_gbce},
                                       {NULL, NULL}};
  rs_new_type(L, LAYER, layer_methods, layer_meta);
  rs_new_type(L, TOWER, tower_methods, tower_meta);
  luaL_newlib(L, functions);
  rs_open_pairwise(L);
  return 1;
}
