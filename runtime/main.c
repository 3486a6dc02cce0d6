/* main.c - the host program recsys-run: one Lua state with the bindings preloaded, handed to recsys.cli.
 *
 * The Lua tree is found from the executable alone, so a build tree and an installed prefix both work:
 * beside a built program lies the link recsys-run.tree to its sources; an installed bin/recsys-run has
 * ../share/recsys-run. Lua's own blocks come from malloc, uncounted: aligned and counted they would cost 2.4 times
 * the time and 2.7 times the memory in a table-heavy script. All is given back before the end. */
#include <limits.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/process.h"
#include "bind/bind.h"

static lua_State *running;            /* the state that a signal stops */
static volatile sig_atomic_t stopped; /* the signal that asked to stop, 0 while none has */
static volatile sig_atomic_t held;    /* Lua asks for the signal itself: lua/recsys/signals.lua */
static volatile sig_atomic_t patience; /* seconds that the first signal leaves for an end of one's own; 0: for ever */
static bool raised;                   /* the interruption was raised */

/* Raise { code = "interrupted", signal = n } at a point where Lua may raise; once, so that __close and
 * __gc run undisturbed on the way out. */
static void interrupt(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (held) return; /* since the signal */
  raised = true;
  lua_createtable(L, 0, 3);
  lua_pushliteral(L, "interrupted");
  lua_setfield(L, -2, "code");
  lua_pushinteger(L, stopped);
  lua_setfield(L, -2, "signal");
  lua_pushfstring(L, "stopped by signal %d", (int)stopped);
  lua_setfield(L, -2, "message");
  lua_error(L);
}

static void stop_soon(void) {
  lua_sethook(running, interrupt, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* The first signal stops at the next safe point; its second coming, handled by default, kills. */
static void on_signal(int signal_number) {
  stopped = signal_number;
  if (patience) alarm((unsigned)patience);
  if (!held) stop_soon();
}

/* The grace time is over, and no safe point was reached: end as the signal would have it by itself, with the programs
 * that a task has started and perhaps waits for. */
static void on_alarm(int signal_number) {
  (void)signal_number;
  rs_process_signal_children(stopped);
  signal(stopped, SIG_DFL);
  raise(stopped);
}

static void watch_signals(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* hold(): from here on a signal raises nothing, it waits. */
static int l_hold(lua_State *L) {
  (void)L;
  held = 1;
  return 0;
}

/* release(): a signal that waits, or comes, raises again; at a safe point behind this one. */
static int l_release(lua_State *L) {
  (void)L;
  held = 0;
  if (stopped && !raised) stop_soon();
  return 0;
}

/* grace(seconds): a signal that comes ends the program after so long, also in the middle of C; 0: it does not. */
static int l_grace(lua_State *L) {
  lua_Integer seconds = luaL_checkinteger(L, 1);
  luaL_argcheck(L, 0 <= seconds && seconds <= 86400, 1, "must be 0 to 86400 seconds");
  signal(SIGALRM, on_alarm);
  patience = (sig_atomic_t)seconds;
  if (stopped) alarm((unsigned)seconds);
  return 0;
}

/* obeyed() -> the signal that asked to stop. It ended the work as it should, so that the exit code is the program's own
 * again; a second one kills. */
static int l_obeyed(lua_State *L) {
  lua_pushinteger(L, stopped);
  stopped = 0;
  return 1;
}

/* stopped() -> the signal that asked to stop | nil */
static int l_stopped(lua_State *L) {
  if (!stopped) return lua_pushnil(L), 1;
  lua_pushinteger(L, stopped);
  return 1;
}

static int open_signals(lua_State *L) {
  static const luaL_Reg functions[] = {{"hold", l_hold},       {"release", l_release}, {"grace", l_grace},
                                       {"stopped", l_stopped}, {"obeyed", l_obeyed},   {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

/* Push the folder that holds lua/, recipes/ and models/; raises when there is none. */
static void push_root(lua_State *L) {
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0 || n == sizeof path) luaL_error(L, "cannot read /proc/self/exe");
  path[n] = '\0';
  *strrchr(path, '/') = '\0';
  static const char *const places[] = {"%s/recsys-run.tree", "%s/../share/recsys-run"};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    const char *root = lua_pushfstring(L, places[i], path);
    if (access(lua_pushfstring(L, "%s/lua/recsys/cli.lua", root), R_OK) == 0) {
      lua_pop(L, 1);
      return;
    }
  }
  luaL_error(L, "the Lua library is neither in %s/recsys-run.tree nor in %s/../share/recsys-run; install again", path,
             path);
}

/* Put the tree's folders in front of package.path. */
static void set_path(lua_State *L) {
  push_root(L);
  const char *root = lua_tostring(L, -1);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;%s", root, root, root, lua_tostring(L, -1));
  lua_setfield(L, -3, "path");
}

/* Push a list of the program's arguments, with its own name at 0. */
static void push_arguments(lua_State *L, char **argv) {
  lua_newtable(L);
  for (int i = 0; argv[i]; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
}

/* The protected main: open everything and return recsys.cli.main(arg). */
static int run(lua_State *L) {
  char **argv = lua_touserdata(L, 1);
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_recsys_core);
  lua_setfield(L, -2, "recsys.core");
  lua_pushcfunction(L, open_signals);
  lua_setfield(L, -2, "recsys.host_signals");
  set_path(L);
  push_arguments(L, argv);
  lua_pushvalue(L, -1);
  lua_setglobal(L, "arg");
  lua_getglobal(L, "require");
  lua_pushliteral(L, "recsys.cli");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "main");
  lua_pushvalue(L, -3);
  lua_call(L, 1, 1);
  return 1;
}

/* Message handler: a string gets a traceback; a table is a refusal that its thrower described. */
static int explain(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING) luaL_traceback(L, L, lua_tostring(L, 1), 1);
  return 1;
}

/* Run to the end; the exit code. Whatever swallowed an interrupt, its exit code stays 128 + signal. */
static int guarded(lua_State *L, char **argv) {
  int code = 1;
  lua_pushcfunction(L, explain);
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 1, 1, 1) == LUA_OK)
    code = (int)lua_tointeger(L, -1);
  else if (!stopped)
    fprintf(stderr, "recsys-run: %s\n", lua_isstring(L, -1) ? lua_tostring(L, -1) : "an error without a message");
  return stopped ? 128 + stopped : code;
}

/* With RECSYS_LEAK_CHECK in the environment, a block that was never freed fails the run. */
static int check_leaks(int code) {
  if (!getenv("RECSYS_LEAK_CHECK") || rs_alloc_blocks() == 0) return code;
  fprintf(stderr, "recsys-run: %lld blocks (%lld bytes) were never freed\n", (long long)rs_alloc_blocks(),
          (long long)rs_alloc_bytes());
  return code ? code : 1;
}

int main(int argc, char **argv) {
  (void)argc;
  running = luaL_newstate();
  if (!running) {
    fputs("recsys-run: out of memory\n", stderr);
    return 1;
  }
  watch_signals();
  int code = guarded(running, argv);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  lua_close(running);
  return check_leaks(code);
}
