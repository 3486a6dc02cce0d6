/* frame_csv.c - frame.read_csv and frame.write_csv: options from Lua tables, reports into them. */
#include <string.h>

#include "bind/fields.h"
#include "bind/frame.h"
#include "frame/csv.h"

#define REPORT "recsys frame report"

/* Fetch field 'key' of the options at 'arg' and leave it on the stack, so that its strings stay; false when nil. */
static bool field(lua_State *L, int arg, const char *key, int type) {
  int found = lua_getfield(L, arg, key);
  if (found == LUA_TNIL) return false;
  if (found != type)
    luaL_argerror(
        L, arg,
        lua_pushfstring(L, "'%s' must be a %s, it is a %s", key, lua_typename(L, type), lua_typename(L, found)));
  return true;
}

static const char *string_field(lua_State *L, int arg, const char *key) {
  return field(L, arg, key, LUA_TSTRING) ? lua_tostring(L, -1) : NULL;
}

/* One of the words, by position; 'standard' when the field is nil. */
static int word_field(lua_State *L, int arg, const char *key, const char *const *words, int standard) {
  const char *word = string_field(L, arg, key);
  if (!word) return standard;
  for (int i = 0; words[i]; i++)
    if (strcmp(words[i], word) == 0) return i;
  return luaL_argerror(L, arg, lua_pushfstring(L, "'%s' cannot be '%s'", key, word));
}

static const char *const *names_field(lua_State *L, int arg, const char *key, int *n) {
  *n = 0;
  if (!field(L, arg, key, LUA_TTABLE) || lua_rawlen(L, -1) == 0) return NULL;
  return rs_check_names(L, lua_gettop(L), n);
}

static const char *const type_words[] = {"infer", "number", "string", "list", "time", "time_s", "time_ms", NULL};

/* The type on top of the stack: a word, or { "list", separator }. */
static void take_type(lua_State *L, int arg, rs_csv_column_type *type) {
  const char *word = NULL;
  if (lua_istable(L, -1)) {
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    if (lua_type(L, -2) == LUA_TSTRING) word = lua_tostring(L, -2);
    if (lua_type(L, -1) == LUA_TSTRING) type->separator = lua_tostring(L, -1);
    lua_pop(L, 2);
  } else if (lua_type(L, -1) == LUA_TSTRING)
    word = lua_tostring(L, -1);
  for (int i = 0; word && type_words[i]; i++)
    if (strcmp(type_words[i], word) == 0) {
      type->type = (rs_csv_type)i;
      return;
    }
  luaL_argerror(L, arg,
                lua_pushfstring(L,
                                "'%s' has an unknown type: number, string, time, time_s, time_ms, list or "
                                "{ \"list\", separator } expected",
                                type->name));
}

static const rs_csv_column_type *types_field(lua_State *L, int arg, int *n) {
  *n = 0;
  if (!field(L, arg, "types", LUA_TTABLE)) return NULL;
  int table = lua_gettop(L), count = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) count++;
  rs_csv_column_type *types = lua_newuserdatauv(L, (size_t)count * sizeof *types, 0);
  memset(types, 0, (size_t)count * sizeof *types);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, arg, "'types' maps column names to types");
    types[*n].name = lua_tostring(L, -2);
    take_type(L, arg, &types[(*n)++]);
  }
  return types;
}

static void take_quote(lua_State *L, int arg, rs_csv_options *o) {
  const char *quote = string_field(L, arg, "quote");
  if (!quote) return;
  luaL_argcheck(L, strlen(quote) <= 1 && !strchr("\\\r\n", quote[0] ? quote[0] : 'x'), arg,
                "'quote' must be one character, or \"\" for none");
  o->no_quotes = quote[0] == 0;
  o->quote = quote[0];
}

/* Everything that the options point to stays on the stack. */
static rs_csv_options check_options(lua_State *L, int arg) {
  static const char *const known[] = {"separator", "header",   "names",     "columns",    "types", "nulls", "escape",
                                      "quote",     "encoding", "bad_limit", "quarantine", "block", NULL};
  static const char *const escapes[] = {"", "doubled", "backslash", "mysql", NULL};
  static const char *const encodings[] = {"", "utf-8", "latin-1", NULL};
  rs_csv_options o = {.bad_limit = 0.01};
  if (lua_isnoneornil(L, arg)) return o;
  luaL_checkstack(L, 40, NULL);
  rs_check_options(L, arg, known);
  o.separator = string_field(L, arg, "separator");
  o.escape = (rs_csv_escape)word_field(L, arg, "escape", escapes, RS_CSV_DETECT);
  o.encoding = (rs_csv_encoding)word_field(L, arg, "encoding", encodings, RS_CSV_ANY_ENCODING);
  take_quote(L, arg, &o);
  o.names = names_field(L, arg, "names", &o.n_names);
  o.no_header = field(L, arg, "header", LUA_TBOOLEAN) ? !lua_toboolean(L, -1) : o.n_names > 0;
  o.keep = names_field(L, arg, "columns", &o.n_keep);
  o.types = types_field(L, arg, &o.n_types);
  o.nulls = names_field(L, arg, "nulls", &o.n_nulls);
  if (field(L, arg, "bad_limit", LUA_TNUMBER)) o.bad_limit = lua_tonumber(L, -1);
  luaL_argcheck(L, o.bad_limit >= 0 && o.bad_limit <= 1, arg, "'bad_limit' must be a share from 0 to 1");
  o.quarantine = string_field(L, arg, "quarantine");
  if (field(L, arg, "block", LUA_TNUMBER)) {
    luaL_argcheck(L, lua_isinteger(L, -1) && lua_tointeger(L, -1) > 0, arg, "'block' must be a number of bytes");
    o.block = (size_t)lua_tointeger(L, -1);
  }
  return o;
}

static int l_free_report(lua_State *L) {
  rs_csv_report_free(luaL_checkudata(L, 1, REPORT));
  return 0;
}

static void push_report(lua_State *L, const rs_csv_report *report, const char *path, const rs_frame *f) {
  static const char *const escapes[] = {"", "doubled", "backslash", "mysql"};
  static const char *const encodings[] = {"", "utf-8", "latin-1"};
  char quote[2] = {report->quote, 0};
  lua_createtable(L, 0, 12);
  rs_set_text(L, "path", path);
  rs_set_integer(L, "rows", report->rows);
  rs_set_integer(L, "quarantined", report->quarantined);
  rs_set_text(L, "separator", report->separator);
  rs_set_text(L, "quote", quote);
  rs_set_text(L, "escape", escapes[report->escape]);
  lua_pushboolean(L, report->header);
  lua_setfield(L, -2, "header");
  lua_pushboolean(L, report->unterminated);
  lua_setfield(L, -2, "unterminated");
  rs_set_text(L, "encoding", encodings[report->encoding]);
  lua_createtable(L, 0, f->n_columns);
  for (int i = 0; i < f->n_columns; i++) rs_set_text(L, f->columns[i].name, rs_column_type_name(f->columns[i].type));
  lua_setfield(L, -2, "types");
  if (report->quarantined == 0) return;
  lua_createtable(L, 0, 2);
  rs_set_integer(L, "line", report->first_bad_line);
  lua_pushlstring(L, report->first_bad.data, report->first_bad.size);
  lua_setfield(L, -2, "reason");
  lua_setfield(L, -2, "first_bad");
  if (report->torn == 0) return;
  rs_set_integer(L, "torn", report->torn);
  rs_set_integer(L, "torn_line", report->torn_line);
}

void rs_open_frame_csv(lua_State *L) { rs_new_scratch_type(L, REPORT, l_free_report); }

/* frame.read_csv(path, options) -> Frame, report | nil, message, code */
int rs_frame_read_csv(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_settop(L, 2);
  rs_csv_options options = check_options(L, 2);
  rs_csv_report *report = rs_push_object(L, sizeof *report, REPORT, 0);
  rs_frame *f = rs_push_frame(L);
  rs_status status = rs_csv_read(f, report, path, &options);
  if (status == RS_ENOMEM && rs_collect(L)) {
    rs_csv_report_free(report);
    status = rs_csv_read(f, report, path, &options);
  }
  if (status == RS_EARG) luaL_argerror(L, 2, rs_message());
  if (status != RS_OK) return rs_return(L, status, 0);
  rs_account_frame(L, f);
  push_report(L, report, path, f);
  rs_csv_report_free(report);
  return 2;
}

/* frame.write_csv(path, f, options) -> true | nil, message, code */
int rs_frame_write_csv(lua_State *L) {
  static const char *const known[] = {"separator", "header", "escape", "times", "list", "null", NULL};
  static const char *const escapes[] = {"", "doubled", "backslash", NULL};
  static const char *const times[] = {"iso", "s", "ms", NULL};
  const char *path = luaL_checkstring(L, 1);
  const rs_frame *f = rs_check_frame(L, 2);
  rs_csv_style style = {0};
  lua_settop(L, 3);
  if (!lua_isnil(L, 3)) {
    rs_check_options(L, 3, known);
    style.separator = string_field(L, 3, "separator");
    luaL_argcheck(L, !style.separator || *style.separator, 3, "'separator' must not be empty");
    style.no_header = field(L, 3, "header", LUA_TBOOLEAN) && !lua_toboolean(L, -1);
    style.escape = (rs_csv_escape)word_field(L, 3, "escape", escapes, RS_CSV_DOUBLED);
    style.times = (rs_csv_times)word_field(L, 3, "times", times, RS_CSV_ISO);
    style.list_separator = string_field(L, 3, "list");
    style.null = string_field(L, 3, "null");
  }
  rs_status status = rs_csv_write(path, f, &style);
  lua_pushboolean(L, 1);
  return rs_return(L, status, 1);
}
