/* l_sql.c - recsys.core.sql: databases, their statements with parameters, rows as Lua tables.
 *
 * A statement that fails raises: as a string when it makes no sense, which is the caller's mistake, else as the table
 * { code = "busy", message = ... } that recsys.exit knows. Only sql.open returns its refusal. */
#include <math.h>
#include <stdio.h>

#include "bind/bind.h"
#include "bind/fields.h"
#include "sql/later.h"
#include "sql/sql.h"

#define DATABASE "recsys.Database"
#define STATEMENT "recsys sql statement"
#define BLOB "recsys.Blob"

typedef struct database {
  rs_sql *handle;  /* NULL: closed */
  rs_later *later; /* NULL before db:later was first called */
} database;

/* Raise what a statement met. */
static void check(lua_State *L, rs_status status) {
  if (status == RS_EARG) luaL_error(L, "%s", rs_message());
  if (status == RS_OK) return;
  lua_createtable(L, 0, 2);
  rs_set_text(L, "code", rs_status_word(status));
  rs_set_text(L, "message", rs_message());
  lua_error(L);
}

static database *check_database(lua_State *L) {
  database *db = luaL_checkudata(L, 1, DATABASE);
  luaL_argcheck(L, db->handle, 1, "the database is closed");
  return db;
}

static rs_sql *check_open(lua_State *L) { return check_database(L)->handle; }

/* The same, when all is there that db:later was given: what follows is to see it. Within a transaction the thread would
 * wait for us. */
static rs_sql *check_settled(lua_State *L) {
  database *db = check_database(L);
  if (db->later && !rs_sql_in_transaction(db->handle)) rs_later_wait(db->later);
  return db->handle;
}

static int l_free(lua_State *L) {
  database *db = luaL_checkudata(L, 1, DATABASE);
  rs_later_free(db->later);
  rs_sql_free(db->handle);
  *db = (database){0};
  return 0;
}

/* sql.open(path, [{ read_only, wal, busy_ms }]) -> Database | nil, message, code */
static int l_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  static const char *const known[] = {"read_only", "wal", "busy_ms", NULL};
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_newtable(L);
    lua_replace(L, 2);
  }
  rs_check_options(L, 2, known);
  rs_sql_options options = {.read_only = rs_boolean_option(L, 2, "read_only", false),
                            .no_wal = !rs_boolean_option(L, 2, "wal", true)};
  int64_t busy_ms = rs_integer_option(L, 2, "busy_ms", 0, 20000);
  luaL_argcheck(L, busy_ms <= INT32_MAX, 2, "option 'busy_ms' must be 2147483647 at the most");
  options.busy_ms = (int)busy_ms;
  database *db = rs_push_object(L, sizeof *db, DATABASE, 0);
  return rs_return(L, rs_sql_open(&db->handle, path, &options), 1);
}

/* db:execute(text) */
static int l_execute(lua_State *L) {
  rs_sql *db = check_settled(L);
  check(L, rs_sql_execute(db, luaL_checkstring(L, 2)));
  return 0;
}

/* A statement at work, which the collector gives back when something raises. It keeps its database as a user value, so
 * that this outlives it; a database that was closed has no statements any more. */
typedef struct working {
  rs_statement *statement;
  database *db;
} working;

static void finish(working *w) {
  if (w->db && w->db->handle) rs_sql_done(w->statement);
  w->statement = NULL;
}

static int l_finish(lua_State *L) {
  finish(luaL_checkudata(L, 1, STATEMENT));
  return 0;
}

/* The value at the top of the stack, as a parameter. */
static rs_sql_value value_at(lua_State *L, int arg, const char *name) {
  rs_sql_value value = {.type = RS_SQL_NULL};
  switch (lua_type(L, -1)) {
    case LUA_TNIL: break;
    case LUA_TLIGHTUSERDATA: /* sql.null */ break;
    case LUA_TBOOLEAN: return (rs_sql_value){.type = RS_SQL_INTEGER, .integer = lua_toboolean(L, -1)};
    case LUA_TNUMBER:
      if (lua_isinteger(L, -1)) return (rs_sql_value){.type = RS_SQL_INTEGER, .integer = lua_tointeger(L, -1)};
      value = (rs_sql_value){.type = RS_SQL_REAL, .real = lua_tonumber(L, -1)};
      if (!isfinite(value.real))
        luaL_argerror(L, arg, lua_pushfstring(L, "parameter %s is %f, which a database does not keep", name, value.real));
      break;
    case LUA_TSTRING:
      value.type = RS_SQL_TEXT;
      value.bytes = lua_tolstring(L, -1, &value.size);
      break;
    default:
      if (!luaL_testudata(L, -1, BLOB))
        luaL_argerror(L, arg, lua_pushfstring(L, "parameter %s is a %s", name, luaL_typename(L, -1)));
      lua_getiuservalue(L, -1, 1); /* the string stays referenced by the userdata */
      value.type = RS_SQL_BLOB;
      value.bytes = lua_tolstring(L, -1, &value.size);
      lua_pop(L, 1);
  }
  return value;
}

static void bind_at(lua_State *L, rs_statement *s, int arg, int parameter, const char *name) {
  rs_sql_value value = value_at(L, arg, name);
  check(L, rs_sql_bind(s, parameter, &value));
}

/* Bind the table at 'arg': string keys to :name, positions to ?. Names that the statement lacks are a mistake. */
static void bind_all(lua_State *L, rs_statement *s, int arg) {
  int n = rs_sql_parameters(s);
  if (lua_isnoneornil(L, arg)) return;
  luaL_checktype(L, arg, LUA_TTABLE);
  for (int i = 0; i < n; i++) {
    char place[16];
    snprintf(place, sizeof place, "%d", i + 1);
    lua_rawgeti(L, arg, i + 1);
    if (!lua_isnil(L, -1)) bind_at(L, s, arg, i, place);
    lua_pop(L, 1);
  }
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      const char *name = lua_tostring(L, -2);
      int parameter = rs_sql_parameter(s, name);
      if (parameter < 0) luaL_argerror(L, arg, lua_pushfstring(L, "the statement has no parameter :%s", name));
      bind_at(L, s, arg, parameter, name);
    } else if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > n) {
      luaL_argerror(L, arg, lua_pushfstring(L, "the statement has %d parameters", n));
    }
  }
}

/* Push the statement of text (2) with parameters (3). */
static working *start(lua_State *L) {
  rs_sql *db = check_settled(L);
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  lua_settop(L, 3);
  working *w = rs_push_object(L, sizeof *w, STATEMENT, 1);
  w->db = lua_touserdata(L, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  check(L, rs_sql_prepare(&w->statement, db, text, size));
  bind_all(L, w->statement, 3);
  return w;
}

static void push_row(lua_State *L, const rs_statement *s) {
  int n = rs_sql_columns(s);
  lua_createtable(L, 0, n);
  for (int c = 0; c < n; c++) {
    rs_sql_value value = rs_sql_column(s, c);
    switch (value.type) {
      case RS_SQL_NULL: continue;
      case RS_SQL_INTEGER: lua_pushinteger(L, value.integer); break;
      case RS_SQL_REAL: lua_pushnumber(L, value.real); break;
      case RS_SQL_TEXT:
      case RS_SQL_BLOB: lua_pushlstring(L, value.bytes ? value.bytes : "", value.size); break;
    }
    lua_setfield(L, -2, rs_sql_column_name(s, c));
  }
}

/* The next row, pushed; false behind the last. A statement that failed is finished. */
static bool next_row(lua_State *L, working *w) {
  bool row;
  rs_status status = rs_sql_step(w->statement, &row);
  if (status != RS_OK) finish(w);
  check(L, status);
  if (row) push_row(L, w->statement);
  return row;
}

/* db:run(text, [parameters]) -> rows that were changed */
static int l_run(lua_State *L) {
  working *w = start(L);
  while (next_row(L, w)) lua_pop(L, 1);
  lua_pushinteger(L, rs_sql_changes(w->db->handle));
  finish(w);
  return 1;
}

/* db:rows(text, [parameters]) -> list of rows */
static int l_rows(lua_State *L) {
  working *w = start(L);
  lua_newtable(L);
  for (lua_Integer n = 1; next_row(L, w); n++) lua_rawseti(L, -2, n);
  finish(w);
  return 1;
}

/* db:row(text, [parameters]) -> the first row, nil when there is none */
static int l_row(lua_State *L) {
  working *w = start(L);
  bool found = next_row(L, w);
  finish(w);
  if (!found) lua_pushnil(L);
  return 1;
}

/* The iterator: its upvalue is a statement. */
static int l_next(lua_State *L) {
  working *w = luaL_checkudata(L, lua_upvalueindex(1), STATEMENT);
  if (!w->statement || !w->db->handle) return 0;
  if (next_row(L, w)) return 1;
  finish(w);
  return 0;
}

/* db:each(text, [parameters]) -> iterator, nil, nil, what a loop closes when it is left */
static int l_each(lua_State *L) {
  start(L);
  int statement = lua_gettop(L);
  lua_pushvalue(L, statement);
  lua_pushcclosure(L, l_next, 1);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, statement);
  return 4;
}

/* Push the statements at 2, one or a list of them; how many. */
static int take_texts(lua_State *L, rs_sql_text *texts) {
  bool is_list = lua_istable(L, 2);
  lua_Unsigned n = is_list ? lua_rawlen(L, 2) : 1;
  luaL_argcheck(L, 1 <= n && n <= RS_LATER_TEXTS, 2, "one to four statements are expected");
  for (int i = 0; i < (int)n; i++) {
    if (is_list)
      lua_rawgeti(L, 2, i + 1);
    else
      lua_pushvalue(L, 2);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 2, "a statement is no string");
    texts[i].bytes = lua_tolstring(L, -1, &texts[i].size);
  }
  return (int)n;
}

/* Take a row, or where nothing can be put off do at once what it says. */
static rs_status put_off(database *db, const rs_sql_text *texts, int n_texts, const rs_sql_value *values, int n) {
  rs_status status = RS_OK;
  if (!rs_sql_path(db->handle) || rs_sql_in_transaction(db->handle)) {
    for (int i = 0; i < n_texts && status == RS_OK; i++) status = rs_sql_run(db->handle, texts[i], values, n);
    return status;
  }
  if (!db->later) status = rs_later_new(&db->later, db->handle);
  if (status == RS_OK) status = rs_later_add(db->later, texts, n_texts, values, n);
  return status == RS_OK ? rs_later_failure(db->later) : status;
}

/* db:later(statements, ...) -> true | nil, message, code */
static int l_later(lua_State *L) {
  database *db = check_database(L);
  rs_sql_text texts[RS_LATER_TEXTS];
  rs_sql_value values[RS_LATER_VALUES];
  int n = lua_gettop(L) - 2;
  luaL_argcheck(L, n <= RS_LATER_VALUES, 2, "16 parameters are the most");
  luaL_checkstack(L, RS_LATER_TEXTS + 2, NULL);
  for (int i = 0; i < n; i++) {
    char place[16];
    snprintf(place, sizeof place, "%d", i + 1);
    lua_pushvalue(L, i + 3);
    values[i] = value_at(L, i + 3, place);
    lua_pop(L, 1);
  }
  int n_texts = take_texts(L, texts);
  lua_pushboolean(L, 1);
  return rs_return(L, put_off(db, texts, n_texts, values, n), 1);
}

/* db:flush() -> true | nil, message, code */
static int l_flush(lua_State *L) {
  database *db = check_database(L);
  lua_pushboolean(L, 1);
  if (!db->later) return 1;
  rs_later_wait(db->later);
  return rs_return(L, rs_later_failure(db->later), 1);
}

/* db:waiting() -> rows that are not written, rows that were left out */
static int l_waiting(lua_State *L) {
  database *db = check_database(L);
  rs_later_counts counts = db->later ? rs_later_count(db->later) : (rs_later_counts){0};
  lua_pushinteger(L, counts.waiting);
  lua_pushinteger(L, counts.lost);
  return 2;
}

/* db:last_id() -> rowid of the last INSERT */
static int l_last_id(lua_State *L) {
  lua_pushinteger(L, rs_sql_last_id(check_open(L)));
  return 1;
}

/* db:in_transaction() -> boolean */
static int l_in_transaction(lua_State *L) {
  lua_pushboolean(L, rs_sql_in_transaction(check_open(L)));
  return 1;
}

/* sql.blob(bytes) -> Blob, a parameter that is no text */
static int l_blob(lua_State *L) {
  luaL_checkstring(L, 1);
  rs_push_object(L, 1, BLOB, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

static int l_blob_free(lua_State *L) {
  (void)L;
  return 0;
}

int rs_open_sql(lua_State *L) {
  static const luaL_Reg methods[] = {{"execute", l_execute}, {"run", l_run},
                                     {"row", l_row},         {"rows", l_rows},
                                     {"each", l_each},       {"last_id", l_last_id},
                                     {"close", l_free},      {"in_transaction", l_in_transaction},
                                     {"later", l_later},     {"flush", l_flush},
                                     {"waiting", l_waiting},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {"__close", l_free}, {NULL, NULL}};
  static const luaL_Reg finish_meta[] = {{"__gc", l_finish}, {"__close", l_finish}, {NULL, NULL}};
  static const luaL_Reg none[] = {{NULL, NULL}};
  rs_new_type(L, DATABASE, methods, meta);
  rs_new_type(L, STATEMENT, none, finish_meta);
  rs_new_scratch_type(L, BLOB, l_blob_free);
  static const luaL_Reg functions[] = {{"open", l_open}, {"blob", l_blob}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
