/* frame_csv.c - frame.read_csv, frame.read_jsonl and frame.write_csv: options from Lua tables, reports into them. */
#include <glob.h>
#include <string.h>

#include "bind/fields.h"
#include "bind/frame.h"
#include "frame/csv.h"
#include "frame/jsonl.h"

#define REPORTS "recsys frame reports"
#define GLOB "recsys frame glob"

/* What reading found in each of n files. */
typedef struct reports {
  int n;
  rs_csv_report of[];
} reports;

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
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i > 0; i--) {
    if (lua_rawgeti(L, -1, i) != LUA_TSTRING)
      luaL_argerror(L, arg, lua_pushfstring(L, "'%s' must hold strings, number %I is a %s", key, (LUAI_UACINT)i,
                                            luaL_typename(L, -1)));
    lua_pop(L, 1);
  }
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

/* A number of bytes, 0 when the field is nil. */
static lua_Integer bytes_field(lua_State *L, int arg, const char *key) {
  if (!field(L, arg, key, LUA_TNUMBER)) return 0;
  if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1)
    luaL_argerror(L, arg, lua_pushfstring(L, "'%s' must be a number of bytes", key));
  return lua_tointeger(L, -1);
}

/* The options that all readers know. */
static void take_common(lua_State *L, int arg, rs_csv_options *o) {
  o->keep = names_field(L, arg, "columns", &o->n_keep);
  o->types = types_field(L, arg, &o->n_types);
  if (field(L, arg, "bad_limit", LUA_TNUMBER)) o->bad_limit = lua_tonumber(L, -1);
  luaL_argcheck(L, o->bad_limit >= 0 && o->bad_limit <= 1, arg, "'bad_limit' must be a share from 0 to 1");
  o->quarantine = string_field(L, arg, "quarantine");
  o->block = (size_t)bytes_field(L, arg, "block");
  o->expand_limit = bytes_field(L, arg, "expand_limit");
}

/* Everything that the options point to stays on the stack. */
static rs_csv_options check_jsonl_options(lua_State *L, int arg) {
  static const char *const known[] = {"columns", "types", "bad_limit", "quarantine", "block", "expand_limit", NULL};
  rs_csv_options o = {.bad_limit = 0.01};
  if (lua_isnoneornil(L, arg)) return o;
  luaL_checkstack(L, 40, NULL);
  rs_check_options(L, arg, known);
  take_common(L, arg, &o);
  return o;
}

/* Everything that the options point to stays on the stack. */
static rs_csv_options check_options(lua_State *L, int arg) {
  static const char *const known[] = {"separator",  "header", "names",        "columns",  "types",
                                      "nulls",      "escape", "quote",        "encoding", "bad_limit",
                                      "quarantine", "block",  "expand_limit", NULL};
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
  o.nulls = names_field(L, arg, "nulls", &o.n_nulls);
  take_common(L, arg, &o);
  return o;
}

static int l_free_reports(lua_State *L) {
  reports *r = luaL_checkudata(L, 1, REPORTS);
  for (int i = 0; i < r->n; i++) rs_csv_report_free(&r->of[i]);
  return 0;
}

static int l_free_glob(lua_State *L) {
  globfree(luaL_checkudata(L, 1, GLOB));
  return 0;
}

void rs_open_frame_csv(lua_State *L) {
  rs_new_scratch_type(L, REPORTS, l_free_reports);
  rs_new_scratch_type(L, GLOB, l_free_glob);
}

static void set_boolean(lua_State *L, const char *key, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, key);
}

/* The malformed rows of a file, into the report on top of the stack. */
static void set_bad(lua_State *L, const rs_csv_report *report) {
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

static void push_report(lua_State *L, const rs_csv_report *report, const char *path) {
  static const char *const escapes[] = {"", "doubled", "backslash", "mysql"};
  static const char *const encodings[] = {"", "utf-8", "latin-1"};
  static const char *const compressions[] = {"none", "gzip", "zstd"};
  char quote[2] = {report->quote, 0};
  lua_createtable(L, 0, 14);
  rs_set_text(L, "path", path);
  rs_set_integer(L, "rows", report->rows);
  rs_set_integer(L, "quarantined", report->quarantined);
  if (*report->separator) { /* of a CSV file */
    rs_set_text(L, "separator", report->separator);
    rs_set_text(L, "quote", quote);
    rs_set_text(L, "escape", escapes[report->escape]);
    set_boolean(L, "header", report->header);
  }
  rs_set_text(L, "encoding", encodings[report->encoding]);
  rs_set_text(L, "compression", compressions[report->compression]);
  set_boolean(L, "unterminated", report->unterminated);
  set_bad(L, report);
}

/* What was found in several files. */
static void push_reports(lua_State *L, const reports *r, const char *const *paths) {
  int64_t rows = 0, quarantined = 0;
  lua_createtable(L, 0, 4);
  lua_createtable(L, r->n, 0);
  for (int i = 0; i < r->n; i++) {
    push_report(L, &r->of[i], paths[i]);
    lua_rawseti(L, -2, i + 1);
    rows += r->of[i].rows;
    quarantined += r->of[i].quarantined;
  }
  lua_setfield(L, -2, "files");
  rs_set_integer(L, "rows", rows);
  rs_set_integer(L, "quarantined", quarantined);
}

/* The types of the columns, into the report on top of the stack. */
static void set_types(lua_State *L, const rs_frame *f) {
  lua_createtable(L, 0, f->n_columns);
  for (int i = 0; i < f->n_columns; i++) rs_set_text(L, f->columns[i].name, rs_column_type_name(f->columns[i].type));
  lua_setfield(L, -2, "types");
}

typedef rs_status reader(rs_frame *out, rs_csv_report *reports, const char *const *paths, int n,
                         const rs_csv_options *options);

/* Read the file or files at 1; the options lie on the stack from 2 on. Pushes what Lua gets. */
static int read_files(lua_State *L, const rs_csv_options *options, reader *read) {
  int n;
  bool one = lua_type(L, 1) == LUA_TSTRING;
  luaL_argcheck(L, one || lua_istable(L, 1), 1, "the path of a file, or a table of them, expected");
  for (lua_Integer i = one ? 0 : (lua_Integer)lua_rawlen(L, 1); i > 0; i--) {
    luaL_argcheck(L, lua_rawgeti(L, 1, i) == LUA_TSTRING, 1, "paths must be strings");
    lua_pop(L, 1);
  }
  const char *const *paths = rs_check_names(L, 1, &n);
  reports *r = rs_push_object(L, sizeof *r + (size_t)n * sizeof *r->of, REPORTS, 0);
  r->n = n;
  rs_frame *f = rs_push_frame(L);
  rs_status status = read(f, r->of, paths, n, options);
  if (status == RS_ENOMEM && rs_collect(L)) {
    for (int i = 0; i < n; i++) rs_csv_report_free(&r->of[i]);
    status = read(f, r->of, paths, n, options);
  }
  if (status == RS_EARG) luaL_argerror(L, 2, rs_message());
  if (status != RS_OK) return rs_return(L, status, 0);
  rs_account_frame(L, f);
  if (lua_istable(L, 1))
    push_reports(L, r, paths);
  else
    push_report(L, r->of, paths[0]);
  set_types(L, f);
  return 2;
}

/* frame.read_csv(path or paths, options) -> Frame, report | nil, message, code */
int rs_frame_read_csv(lua_State *L) {
  lua_settop(L, 2);
  rs_csv_options options = check_options(L, 2);
  return read_files(L, &options, rs_csv_read);
}

/* frame.read_jsonl(path or paths, options) -> Frame, report | nil, message, code */
int rs_frame_read_jsonl(lua_State *L) {
  lua_settop(L, 2);
  rs_csv_options options = check_jsonl_options(L, 2);
  return read_files(L, &options, rs_jsonl_read);
}

/* frame.glob(pattern) -> paths in order, none when nothing fits */
int rs_frame_glob(lua_State *L) {
  const char *pattern = luaL_checkstring(L, 1);
  glob_t *found = rs_push_object(L, sizeof *found, GLOB, 0);
  int result = glob(pattern, 0, NULL, found);
  if (result != 0 && result != GLOB_NOMATCH)
    return rs_return(L, rs_fail(RS_EIO, "cannot look for files like %s", pattern), 0);
  lua_createtable(L, (int)found->gl_pathc, 0);
  for (size_t i = 0; i < found->gl_pathc; i++) {
    lua_pushstring(L, found->gl_pathv[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
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
    luaL_argcheck(L, !style.separator || (strlen(style.separator) <= 7 && !strpbrk(style.separator, "\r\n\"\\")), 3,
                  "'separator' must be 1 to 7 bytes without newlines, quotes and backslashes");
    style.no_header = field(L, 3, "header", LUA_TBOOLEAN) && !lua_toboolean(L, -1);
    style.escape = (rs_csv_escape)word_field(L, 3, "escape", escapes, RS_CSV_DOUBLED);
    style.times = (rs_csv_times)word_field(L, 3, "times", times, RS_CSV_ISO);
    style.list_separator = string_field(L, 3, "list");
    luaL_argcheck(L, !style.list_separator || *style.list_separator, 3, "'list' must not be empty");
    style.null = string_field(L, 3, "null");
  }
  rs_status status = rs_csv_write(path, f, &style);
  lua_pushboolean(L, 1);
  return rs_return(L, status, 1);
}
