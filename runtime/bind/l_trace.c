/* l_trace.c - recsys.core.trace: where the time of training steps goes.
 *
 * A watched tape keeps its Trace in user value 1, so that the trace outlives the tape's operations. */
#include "bind/l_autograd.h"
#include "nn/trace.h"

#define TRACE "recsys.Trace"

static rs_trace *check_trace(lua_State *L, int arg) {
  rs_trace **trace = luaL_checkudata(L, arg, TRACE);
  luaL_argcheck(L, *trace, arg, "trace is closed");
  return *trace;
}

/* trace.new([most_events]) -> Trace */
static int l_new(lua_State *L) {
  lua_Integer most = luaL_optinteger(L, 1, 100000);
  luaL_argcheck(L, most >= 0, 1, "0 or more events");
  rs_trace **out = rs_push_object(L, sizeof *out, TRACE, 0);
  rs_check_retry(L, rs_trace_new(out, most));
  return 1;
}

/* __gc: not while a tape that it watches is in use. */
static int l_free(lua_State *L) {
  rs_trace **trace = luaL_checkudata(L, 1, TRACE);
  rs_trace_free(*trace);
  *trace = NULL;
  return 0;
}

/* trace:open(name) -> trace */
static int l_open(lua_State *L) {
  rs_check(L, rs_trace_open(check_trace(L, 1), luaL_checkstring(L, 2)));
  lua_settop(L, 1);
  return 1;
}

/* trace:close([flops, bytes]) -> trace */
static int l_close(lua_State *L) {
  rs_check(L, rs_trace_close(check_trace(L, 1), luaL_optnumber(L, 2, 0), luaL_optnumber(L, 3, 0)));
  lua_settop(L, 1);
  return 1;
}

/* trace:depth() -> integer */
static int l_depth(lua_State *L) {
  lua_pushinteger(L, rs_trace_depth(check_trace(L, 1)));
  return 1;
}

/* trace:watch(tape) -> trace */
static int l_watch(lua_State *L) {
  rs_trace *trace = check_trace(L, 1);
  rs_tape *tape = rs_check_tape(L, 2);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 2, 1);
  rs_trace_watch(trace, tape);
  lua_settop(L, 1);
  return 1;
}

static void set_number(lua_State *L, const char *key, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, key);
}

/* trace:rows() -> { { name, kind, calls, seconds, flops, bytes }, ... } */
static int l_rows(lua_State *L) {
  static const char *const kinds[] = {"span", "forward", "backward"};
  const rs_trace_row *rows;
  int n = rs_trace_rows(check_trace(L, 1), &rows);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_createtable(L, 0, 6);
    rs_set_text(L, "name", rows[i].name);
    rs_set_text(L, "kind", kinds[rows[i].kind]);
    rs_set_integer(L, "calls", rows[i].calls);
    set_number(L, "seconds", rows[i].seconds);
    set_number(L, "flops", rows[i].flops);
    set_number(L, "bytes", rows[i].bytes);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* trace:events() -> { { row, start, seconds }, ... } */
static int l_events(lua_State *L) {
  const rs_trace_event *events;
  int64_t n = rs_trace_events(check_trace(L, 1), &events);
  lua_newtable(L);
  for (int64_t i = 0; i < n; i++) {
    lua_createtable(L, 0, 3);
    rs_set_integer(L, "row", events[i].row + 1);
    set_number(L, "start", events[i].start);
    set_number(L, "seconds", events[i].seconds);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

int rs_open_trace(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", l_new}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"open", l_open},   {"close", l_close}, {"depth", l_depth},   {"watch", l_watch},
                                     {"rows", l_rows}, {"events", l_events}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_free}, {NULL, NULL}};
  rs_new_type(L, TRACE, methods, meta);
  luaL_newlib(L, functions);
  return 1;
}
