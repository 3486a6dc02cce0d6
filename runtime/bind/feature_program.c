/* feature_program.c - programs, and the features that they make; feature_history.c has what they read of the past. */
#include "base/json.h"
#include "bind/feature.h"
#include "frame/encoder.h"
#include "frame/history.h"
#include "frame/row.h"
#include "frame/vocabulary.h"

#define PROGRAM "recsys.Program"
#define REQUEST "recsys feature request" /* scratch */

/* ---- features ---- */

/* Push a table of the list's tensors, telling the collector about the bytes. */
static int push_tensors(lua_State *L, const rs_tensors *list) {
  for (int64_t i = 0; i < list->n; i++) rs_account(L, &list->items[i].tensor);
  rs_push_tensors(L, list);
  return 1;
}

static rs_features *push_features(lua_State *L) { return rs_push_object(L, sizeof(rs_features), RS_FEATURES, 0); }
static rs_features *check_features(lua_State *L, int arg) { return luaL_checkudata(L, arg, RS_FEATURES); }

static int l_features_free(lua_State *L) {
  rs_features_free(check_features(L, 1));
  return 0;
}

/* feature.load_features(tensors) -> Features | nil, message, code */
static int l_load_features(lua_State *L) {
  lua_settop(L, 1);
  rs_tensors *list = rs_push_list(L);
  rs_check_tensors(L, 1, list);
  rs_features *f = push_features(L);
  return rs_return(L, rs_features_from(f, list), 1);
}

/* features:gather(rows) -> table name -> Tensor */
static int l_gather(lua_State *L) {
  const rs_features *f = check_features(L, 1);
  const rs_tensor *rows = rs_check_vector(L, 2, RS_I64, -1);
  rs_tensors *batch = rs_push_list(L);
  rs_status status = rs_features_gather(f, rs_i64(rows), rows->size[0], batch);
  if (status == RS_ENOMEM && rs_collect(L)) {
    rs_tensors_free(batch);
    status = rs_features_gather(f, rs_i64(rows), rows->size[0], batch);
  }
  rs_check(L, status);
  return push_tensors(L, batch);
}

static int l_features_tensors(lua_State *L) {
  const rs_features *f = check_features(L, 1);
  rs_tensors *list = rs_push_list(L);
  rs_check(L, rs_features_tensors(f, list));
  rs_push_tensors(L, list);
  return 1;
}

/* features:difference(other) -> row (0-based) and output name, or nothing */
static int l_difference(lua_State *L) {
  const rs_features *a = check_features(L, 1), *b = check_features(L, 2);
  int64_t row;
  const char *name;
  rs_check(L, rs_features_difference(a, b, &row, &name));
  if (row < 0) return 0;
  lua_pushinteger(L, row);
  lua_pushstring(L, name);
  return 2;
}

static int l_features_rows(lua_State *L) {
  lua_pushinteger(L, check_features(L, 1)->rows);
  return 1;
}

static int l_features_names(lua_State *L) {
  const rs_features *f = check_features(L, 1);
  lua_createtable(L, f->n_outputs, 0);
  for (int i = 0; i < f->n_outputs; i++) {
    lua_pushstring(L, f->outputs[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const char *const kind_words[] = {"codes", "numbers", "bag", "weights"};

/* features:output(name) -> { kind, values, starts, lengths } | nil */
static int l_output(lua_State *L) {
  const rs_output *o = rs_features_output(check_features(L, 1), luaL_checkstring(L, 2));
  if (!o) return lua_pushnil(L), 1;
  lua_createtable(L, 0, 4);
  rs_set_text(L, "kind", kind_words[o->kind]);
  rs_set_tensor(L, "values", &o->values);
  if (o->starts.storage) rs_set_tensor(L, "starts", &o->starts);
  if (o->lengths.storage) rs_set_tensor(L, "lengths", &o->lengths);
  return 1;
}

static int l_features_text(lua_State *L) {
  const rs_features *f = check_features(L, 1);
  lua_pushfstring(L, "Features [%I rows, %d outputs]", (LUAI_UACINT)f->rows, f->n_outputs);
  return 1;
}

/* ---- programs ---- */

/* An encoder, and the rows that requests fill, made when first asked for. */
typedef struct program {
  rs_encoder *encoder;
  rs_row *rows[3]; /* by rs_side */
} program;

static rs_encoder *check_program(lua_State *L, int arg) {
  program *p = luaL_checkudata(L, arg, PROGRAM);
  luaL_argcheck(L, p->encoder, arg, "program is closed");
  return p->encoder;
}

static int l_program_free(lua_State *L) {
  program *p = luaL_checkudata(L, 1, PROGRAM);
  for (int i = 0; i < 3; i++) rs_row_free(p->rows[i]);
  rs_encoder_free(p->encoder);
  *p = (program){0};
  return 0;
}

/* feature.program(json, tensors) -> Program | nil, message, code */
static int l_program(lua_State *L) {
  size_t bytes;
  const char *json = luaL_checklstring(L, 1, &bytes);
  lua_settop(L, 2);
  rs_tensors *list = rs_push_list(L);
  rs_check_tensors(L, 2, list);
  program *p = rs_push_object(L, sizeof *p, PROGRAM, 0);
  return rs_return(L, rs_encoder_parse(&p->encoder, json, bytes, list), 1);
}

static rs_side check_side(lua_State *L, int arg) {
  static const char *const sides[] = {"user", "event", "item", NULL};
  return (rs_side)luaL_checkoption(L, arg, NULL, sides);
}

/* program:run(side, frame, [items, history, users, times, [orders]]) -> Features. The last five are for the event
 * side: item Features of the catalogue, and for each row of the frame its user row, time and, to let equal times be
 * decided by order, its row in the interactions. */
static int l_run(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_side side = check_side(L, 2);
  const rs_frame *frame = luaL_checkudata(L, 3, RS_FRAME);
  int64_t n = frame->rows, n_orders;
  rs_events events = {0};
  lua_settop(L, 8);
  if (!lua_isnil(L, 4)) {
    const rs_history *h = rs_check_history(L, 5);
    const rs_tensor *users = rs_check_vector(L, 6, RS_I64, n), *times = rs_check_vector(L, 7, RS_I64, n);
    if (!lua_isnil(L, 8)) rs_check_vector(L, 8, RS_I64, n);
    luaL_argcheck(L, rs_encoder_filters(e) == 0 || h->marks.storage, 5,
                  "its events have no marks: take encoder:sequences(dataset)");
    const int64_t *orders = rs_opt_rows(L, 8, &n_orders);
    rs_tensor *begin = rs_push_tensor(L), *end = rs_push_tensor(L);
    rs_check_retry(L, rs_tensor_new(begin, RS_I64, 1, &n));
    rs_check_retry(L, rs_tensor_new(end, RS_I64, 1, &n));
    rs_check(L, rs_history_read(h, n, rs_i64(users), rs_i64(times), orders, rs_i64(begin), rs_i64(end)));
    events = (rs_events){.items = check_features(L, 4),
                         .events = rs_i32(&h->items),
                         .n_events = h->items.size[0],
                         .begin = rs_i64(begin),
                         .end = rs_i64(end),
                         .times = rs_i64(&h->times),
                         .weights = h->weights.storage ? rs_f32(&h->weights) : NULL,
                         .marks = h->marks.storage ? rs_i32(&h->marks) : NULL,
                         .now = rs_i64(times)};
  }
  rs_features *f = push_features(L);
  rs_check_retry(L, rs_encoder_run(e, side, frame, events.items ? &events : NULL, f));
  for (int i = 0; i < f->n_outputs; i++) rs_account(L, &f->outputs[i].values);
  return 1;
}

/* JSON fields while they are worked on: the collector frees them when something raises. */
static int l_request_free(lua_State *L) {
  json_t **fields = luaL_checkudata(L, 1, REQUEST);
  json_decref(*fields);
  *fields = NULL;
  return 0;
}

/* Fill field i of the row with the list on top of the stack. */
static rs_status fill_list(lua_State *L, rs_row *row, int i) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  rs_status status = rs_row_list(row, i, n);
  for (lua_Integer j = 1; status == RS_OK && j <= n; j++) {
    size_t length;
    if (lua_rawgeti(L, -1, j) != LUA_TSTRING) return rs_row_refuse(row, i, "a list");
    const char *text = lua_tolstring(L, -1, &length);
    status = rs_row_add(row, i, text, length);
    lua_pop(L, 1);
  }
  return status;
}

/* Fill the row from the table at 'arg'; nil and a library's null (a light userdata) are missing. */
static rs_status fill_row(lua_State *L, rs_row *row, int arg) {
  rs_status status = RS_OK;
  rs_row_clear(row);
  for (int i = 0, n = rs_row_columns(row); status == RS_OK && i < n; i++) {
    size_t length;
    lua_pushstring(L, rs_row_column(row, i));
    switch (lua_rawget(L, arg)) {
      case LUA_TNIL:
      case LUA_TLIGHTUSERDATA: break;
      case LUA_TNUMBER: status = rs_row_number(row, i, lua_tonumber(L, -1)); break;
      case LUA_TSTRING: {
        const char *text = lua_tolstring(L, -1, &length);
        status = rs_row_text(row, i, text, length);
        break;
      }
      case LUA_TTABLE: status = fill_list(L, row, i); break;
      case LUA_TBOOLEAN: status = rs_row_refuse(row, i, lua_toboolean(L, -1) ? "true" : "false"); break;
      default: status = rs_row_refuse(row, i, luaL_typename(L, -1));
    }
    lua_settop(L, arg > 9 ? arg : 9);
  }
  return status;
}

/* The program's row of a side, filled from the table or the JSON object at 3. */
static rs_status request_row(lua_State *L, rs_side side, rs_row **row) {
  program *p = luaL_checkudata(L, 1, PROGRAM);
  rs_status status = p->rows[side] ? RS_OK : rs_row_new(&p->rows[side], p->encoder, side);
  *row = p->rows[side];
  if (status != RS_OK || lua_istable(L, 3)) return status == RS_OK ? fill_row(L, *row, 3) : status;
  size_t bytes;
  const char *json = lua_tolstring(L, 3, &bytes);
  json_t **fields = rs_push_object(L, sizeof *fields, REQUEST, 0);
  status = rs_json_object(fields, json, bytes, "request");
  if (status == RS_OK) status = rs_row_fields(*row, *fields);
  json_decref(*fields);
  *fields = NULL;
  return status;
}

/* The vector of that dtype at 'arg' with a value for each of the n events, or NULL for nil. */
static const rs_tensor *opt_events(lua_State *L, int arg, rs_dtype dtype, int64_t n) {
  return lua_isnoneornil(L, arg) ? NULL : rs_check_vector(L, arg, dtype, n);
}

/* What the events at 5 .. 8 are; 'end' becomes their number. */
static void check_events(lua_State *L, rs_events *events, int64_t *end) {
  const rs_tensor *rows = rs_check_vector(L, 5, RS_I32, -1);
  int64_t n = *end = events->n_events = rows->size[0];
  const rs_tensor *times = opt_events(L, 6, RS_I64, n), *weights = opt_events(L, 7, RS_F32, n);
  const rs_tensor *marks = opt_events(L, 8, RS_I32, n);
  events->items = check_features(L, 4);
  events->events = rs_i32(rows);
  events->times = times ? rs_i64(times) : NULL;
  events->weights = weights ? rs_f32(weights) : NULL;
  events->marks = marks ? rs_i32(marks) : NULL;
}

/* program:request(side, fields, [items, rows, times, weights, marks], now) -> Features | nil, message, code. 'fields'
 * is a table or a JSON object. On the event side: item Features and the i32 item rows of the events, newest last, -1
 * for an item that the catalogue lacks, with what is known of each; the moment in ms. */
static int l_request(lua_State *L) {
  check_program(L, 1);
  rs_side side = check_side(L, 2);
  if (!lua_istable(L, 3)) luaL_checkstring(L, 3);
  int64_t begin = 0, end = 0, now = luaL_optinteger(L, 9, RS_TIME_MISSING);
  rs_events events = {.begin = &begin, .end = &end, .now = &now};
  lua_settop(L, 9);
  if (!lua_isnil(L, 4)) check_events(L, &events, &end);
  rs_row *row = NULL;
  const rs_features *made;
  rs_status status = request_row(L, side, &row);
  if (status == RS_OK) status = rs_row_run(row, events.items ? &events : NULL, &made);
  rs_features *f = push_features(L);
  if (status == RS_OK) status = rs_features_share(f, made);
  return rs_return(L, status, 1);
}

/* program:moving(history, rows, times) -> Features: the item outputs that count, of rows at times; the history's
 * "users" are the catalogue's rows */
static int l_moving(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  const rs_history *h = rs_check_history(L, 2);
  const rs_tensor *rows = rs_check_vector(L, 3, RS_I64, -1);
  int64_t n = rows->size[0];
  const rs_tensor *times = rs_check_vector(L, 4, RS_I64, n);
  luaL_argcheck(L, rs_encoder_filters(e) == 0 || h->marks.storage, 2, "its events have no marks");
  rs_tensor *begin = rs_push_tensor(L), *end = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(begin, RS_I64, 1, &n));
  rs_check_retry(L, rs_tensor_new(end, RS_I64, 1, &n));
  rs_check(L, rs_history_read(h, n, rs_i64(rows), rs_i64(times), NULL, rs_i64(begin), rs_i64(end)));
  rs_events events = {.events = rs_i32(&h->items),
                      .n_events = h->items.size[0],
                      .begin = rs_i64(begin),
                      .end = rs_i64(end),
                      .times = rs_i64(&h->times),
                      .marks = h->marks.storage ? rs_i32(&h->marks) : NULL,
                      .now = rs_i64(times)};
  rs_features *f = push_features(L);
  rs_check_retry(L, rs_encoder_run_moving(e, n, &events, f));
  return 1;
}

/* program:marks(frame) -> Tensor i32 */
static int l_marks(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  const rs_frame *frame = luaL_checkudata(L, 2, RS_FRAME);
  rs_check_retry(L, rs_encoder_marks(e, frame, rs_push_tensor(L)));
  return 1;
}

/* program:event(json) -> weight, marks | nil, message, code */
static int l_event(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  size_t bytes;
  const char *json = luaL_checklstring(L, 2, &bytes);
  json_t **fields = rs_push_object(L, sizeof *fields, REQUEST, 0);
  rs_event event = {0};
  rs_status status = rs_json_object(fields, json, bytes, "event");
  if (status == RS_OK) status = rs_encoder_event(e, *fields, &event);
  lua_pushnumber(L, (lua_Number)event.weight);
  lua_pushinteger(L, event.marks);
  return rs_return(L, status, 2);
}

/* program:past() -> { filters, weight, events, span } */
static int l_past(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_keep keep = rs_encoder_keep(e);
  lua_createtable(L, 0, 4);
  rs_set_integer(L, "filters", rs_encoder_filters(e));
  rs_set_text(L, "weight", rs_encoder_weight(e));
  rs_set_integer(L, "events", keep.events);
  rs_set_integer(L, "span", keep.span);
  return 1;
}

/* program:columns(side) -> list of { name, type } */
static int l_columns(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_side side = check_side(L, 2);
  const char *type, *name;
  lua_newtable(L);
  for (int i = 0; (name = rs_encoder_column(e, side, i, &type)); i++) {
    lua_createtable(L, 0, 2);
    rs_set_text(L, "name", name);
    rs_set_text(L, "type", type);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* program:outputs(side) -> list of { name, kind, table, rows, width } */
static int l_outputs(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_side side = check_side(L, 2);
  int n = rs_encoder_outputs(e, side);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    rs_output_info info = rs_encoder_output(e, side, i);
    lua_createtable(L, 0, 6);
    if (info.moving) lua_pushboolean(L, true), lua_setfield(L, -2, "moving");
    rs_set_text(L, "name", info.name);
    rs_set_text(L, "kind", kind_words[info.kind]);
    rs_set_text(L, "table", info.table);
    rs_set_integer(L, "rows", info.rows);
    rs_set_integer(L, "width", info.width);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* program:vocabulary(table) -> Vocabulary | nil */
static int l_program_vocabulary(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  const char *table = luaL_checkstring(L, 2);
  rs_vocabulary *found = rs_encoder_vocabulary(e, table);
  if (!found) return lua_pushnil(L), 1;
  rs_vocabulary **v = rs_push_object(L, sizeof *v, RS_VOCABULARY, 0);
  rs_vocabulary_retain(found);
  *v = found;
  return 1;
}

/* program:save() -> json, tensors */
static int l_save(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  size_t bytes;
  const char *json = rs_encoder_json(e, &bytes);
  lua_pushlstring(L, json, bytes);
  rs_push_tensors(L, rs_encoder_tensors(e));
  return 2;
}

/* ---- registration ---- */

static const luaL_Reg features_methods[] = {
    {"difference", l_difference},
    {"gather", l_gather}, {"rows", l_features_rows}, {"names", l_features_names},
    {"output", l_output}, {"tensors", l_features_tensors}, {"close", l_features_free},
    {NULL, NULL}};
static const luaL_Reg features_meta[] = {{"__gc", l_features_free},
                                         {"__close", l_features_free},
                                         {"__len", l_features_rows},
                                         {"__tostring", l_features_text},
                                         {NULL, NULL}};

static const luaL_Reg program_methods[] = {{"run", l_run},
                                           {"request", l_request},
                                           {"outputs", l_outputs},
                                           {"columns", l_columns},
                                           {"marks", l_marks},
                                           {"moving", l_moving},
                                           {"event", l_event},
                                           {"past", l_past},
                                           {"vocabulary", l_program_vocabulary},
                                           {"save", l_save},
                                           {"close", l_program_free},
                                           {NULL, NULL}};
static const luaL_Reg program_meta[] = {{"__gc", l_program_free}, {"__close", l_program_free}, {NULL, NULL}};

void rs_open_feature_program(lua_State *L) {
  static const luaL_Reg functions[] = {{"program", l_program},
                                       {"load_features", l_load_features},
                                       {NULL, NULL}};
  rs_new_type(L, RS_FEATURES, features_methods, features_meta);
  rs_new_type(L, PROGRAM, program_methods, program_meta);
  rs_new_scratch_type(L, REQUEST, l_request_free);
  luaL_setfuncs(L, functions, 0);
}
