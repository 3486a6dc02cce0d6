/* feature_program.c - programs, and what they make and read: features and histories. */
#include "base/json.h"
#include "bind/feature.h"
#include "frame/encoder.h"
#include "frame/history.h"
#include "frame/vocabulary.h"

#define PROGRAM "recsys.Program"
#define FEATURES "recsys.Features"
#define HISTORY "recsys.History"
#define REQUEST "recsys feature request" /* scratch */

/* ---- features ---- */

/* Push a table of the list's tensors, telling the collector about the bytes. */
static int push_tensors(lua_State *L, const rs_tensors *list) {
  for (int64_t i = 0; i < list->n; i++) rs_account(L, &list->items[i].tensor);
  rs_push_tensors(L, list);
  return 1;
}

static rs_features *push_features(lua_State *L) { return rs_push_object(L, sizeof(rs_features), FEATURES, 0); }
static rs_features *check_features(lua_State *L, int arg) { return luaL_checkudata(L, arg, FEATURES); }

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

static const char *const kind_words[] = {"codes", "numbers", "bag"};

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

/* ---- histories ---- */

static rs_history *check_history(lua_State *L, int arg) {
  rs_history *h = luaL_checkudata(L, arg, HISTORY);
  luaL_argcheck(L, h->starts.storage, arg, "history is closed");
  return h;
}

static int l_history_free(lua_State *L) {
  rs_history_free(luaL_checkudata(L, 1, HISTORY));
  return 0;
}

/* feature.new_history(users, items, user_rows, item_rows, times, [log]) -> History */
static int l_new_history(lua_State *L) {
  lua_Integer users = luaL_checkinteger(L, 1), items = luaL_checkinteger(L, 2);
  luaL_argcheck(L, users >= 0, 1, "must not be negative");
  luaL_argcheck(L, items >= 0, 2, "must not be negative");
  const rs_tensor *user_rows = rs_check_vector(L, 3, RS_I64, -1);
  int64_t n = user_rows->size[0], n_log;
  const rs_tensor *item_rows = rs_check_vector(L, 4, RS_I64, n), *times = rs_check_vector(L, 5, RS_I64, n);
  const int64_t *log = rs_opt_rows(L, 6, &n_log);
  rs_history *h = rs_push_object(L, sizeof *h, HISTORY, 0);
  rs_check_retry(L,
                 rs_history_new(h, users, items, n, rs_i64(user_rows), rs_i64(item_rows), rs_i64(times), log, n_log));
  rs_account(L, &h->times);
  return 1;
}

/* feature.load_history(tensors, n_items) -> History | nil, message, code */
static int l_load_history(lua_State *L) {
  lua_Integer n_items = luaL_checkinteger(L, 2);
  lua_settop(L, 2);
  rs_tensors *list = rs_push_list(L);
  rs_check_tensors(L, 1, list);
  rs_history *h = rs_push_object(L, sizeof *h, HISTORY, 0);
  return rs_return(L, rs_history_from(h, list, n_items), 1);
}

static int l_history_tensors(lua_State *L) {
  const rs_history *h = check_history(L, 1);
  rs_tensors *list = rs_push_list(L);
  rs_check(L, rs_history_tensors(h, list));
  rs_push_tensors(L, list);
  return 1;
}

/* history:users() -> integer */
static int l_history_users(lua_State *L) {
  lua_pushinteger(L, check_history(L, 1)->users);
  return 1;
}

/* history:events(user_row) -> Tensor i32 of item rows, newest last; 'user_row' is data and counts from 0 */
static int l_history_events(lua_State *L) {
  const rs_history *h = check_history(L, 1);
  lua_Integer u = luaL_checkinteger(L, 2);
  luaL_argcheck(L, u >= 0 && u < h->users, 2, "no such user row");
  const int64_t *starts = rs_i64(&h->starts);
  rs_check(L, rs_tensor_narrow(rs_push_tensor(L), &h->items, 0, starts[u], starts[u + 1] - starts[u]));
  return 1;
}

static int l_history_text(lua_State *L) {
  const rs_history *h = luaL_checkudata(L, 1, HISTORY);
  lua_pushfstring(L, "History [%I users, %I events]", (LUAI_UACINT)h->users,
                  (LUAI_UACINT)(h->items.storage ? h->items.size[0] : 0));
  return 1;
}

/* ---- programs ---- */

static rs_encoder *check_program(lua_State *L, int arg) {
  rs_encoder **e = luaL_checkudata(L, arg, PROGRAM);
  luaL_argcheck(L, *e, arg, "program is closed");
  return *e;
}

static int l_program_free(lua_State *L) {
  rs_encoder **e = luaL_checkudata(L, 1, PROGRAM);
  rs_encoder_free(*e);
  *e = NULL;
  return 0;
}

/* feature.program(json, tensors) -> Program | nil, message, code */
static int l_program(lua_State *L) {
  size_t bytes;
  const char *json = luaL_checklstring(L, 1, &bytes);
  lua_settop(L, 2);
  rs_tensors *list = rs_push_list(L);
  rs_check_tensors(L, 2, list);
  rs_encoder **e = rs_push_object(L, sizeof *e, PROGRAM, 0);
  return rs_return(L, rs_encoder_parse(e, json, bytes, list), 1);
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
    const rs_history *h = check_history(L, 5);
    const rs_tensor *users = rs_check_vector(L, 6, RS_I64, n), *times = rs_check_vector(L, 7, RS_I64, n);
    if (!lua_isnil(L, 8)) rs_check_vector(L, 8, RS_I64, n);
    const int64_t *orders = rs_opt_rows(L, 8, &n_orders);
    rs_tensor *begin = rs_push_tensor(L), *end = rs_push_tensor(L);
    rs_check_retry(L, rs_tensor_new(begin, RS_I64, 1, &n));
    rs_check_retry(L, rs_tensor_new(end, RS_I64, 1, &n));
    rs_check(L, rs_history_read(h, n, rs_i64(users), rs_i64(times), orders, rs_i64(begin), rs_i64(end)));
    events = (rs_events){check_features(L, 4), rs_i32(&h->items), h->items.size[0], rs_i64(begin), rs_i64(end)};
  }
  rs_features *f = push_features(L);
  rs_check_retry(L, rs_encoder_run(e, side, frame, events.items ? &events : NULL, f));
  for (int i = 0; i < f->n_outputs; i++) rs_account(L, &f->outputs[i].values);
  return 1;
}

/* What a request is while it is worked on: the collector frees it when something raises. */
typedef struct request {
  json_t *fields;
  rs_frame frame;
} request;

static int l_request_free(lua_State *L) {
  request *r = luaL_checkudata(L, 1, REQUEST);
  json_decref(r->fields);
  r->fields = NULL;
  rs_frame_free(&r->frame);
  return 0;
}

static rs_status run_request(const rs_encoder *e, rs_side side, const char *json, size_t bytes, request *r,
                             const rs_events *events, rs_features *f) {
  rs_status status = rs_json_object(&r->fields, json, bytes, "request");
  if (status == RS_OK) status = rs_encoder_request(e, side, r->fields, &r->frame);
  return status == RS_OK ? rs_encoder_run(e, side, &r->frame, events, f) : status;
}

/* program:request(side, json, [items, rows]) -> Features | nil, message, code. On the event side: item Features and
 * the i32 item rows of the events, newest last, -1 for an item that the catalogue lacks. */
static int l_request(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_side side = check_side(L, 2);
  size_t bytes;
  const char *json = luaL_checklstring(L, 3, &bytes);
  int64_t begin = 0, end = 0;
  rs_events events = {.begin = &begin, .end = &end};
  if (!lua_isnoneornil(L, 4)) {
    const rs_tensor *rows = rs_check_vector(L, 5, RS_I32, -1);
    events.items = check_features(L, 4);
    events.events = rs_i32(rows);
    events.n_events = end = rows->size[0];
  }
  request *r = rs_push_object(L, sizeof *r, REQUEST, 0);
  rs_features *f = push_features(L);
  return rs_return(L, run_request(e, side, json, bytes, r, events.items ? &events : NULL, f), 1);
}

/* program:outputs(side) -> list of { name, kind, table, rows, width } */
static int l_outputs(lua_State *L) {
  const rs_encoder *e = check_program(L, 1);
  rs_side side = check_side(L, 2);
  int n = rs_encoder_outputs(e, side);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    rs_output_info info = rs_encoder_output(e, side, i);
    lua_createtable(L, 0, 5);
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

static const luaL_Reg history_methods[] = {{"tensors", l_history_tensors},
                                           {"users", l_history_users},
                                           {"events", l_history_events},
                                           {"close", l_history_free},
                                           {NULL, NULL}};
static const luaL_Reg history_meta[] = {
    {"__gc", l_history_free}, {"__close", l_history_free}, {"__tostring", l_history_text}, {NULL, NULL}};

static const luaL_Reg program_methods[] = {{"run", l_run},
                                           {"request", l_request},
                                           {"outputs", l_outputs},
                                           {"vocabulary", l_program_vocabulary},
                                           {"save", l_save},
                                           {"close", l_program_free},
                                           {NULL, NULL}};
static const luaL_Reg program_meta[] = {{"__gc", l_program_free}, {"__close", l_program_free}, {NULL, NULL}};

void rs_open_feature_program(lua_State *L) {
  static const luaL_Reg functions[] = {{"new_history", l_new_history},
                                       {"load_history", l_load_history},
                                       {"program", l_program},
                                       {"load_features", l_load_features},
                                       {NULL, NULL}};
  rs_new_type(L, FEATURES, features_methods, features_meta);
  rs_new_type(L, HISTORY, history_methods, history_meta);
  rs_new_type(L, PROGRAM, program_methods, program_meta);
  rs_new_scratch_type(L, REQUEST, l_request_free);
  luaL_setfuncs(L, functions, 0);
}
