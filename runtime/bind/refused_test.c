/* refused_test.c - every script of spec/refused/ under refused memory: granted n allocations (Lua's and the core's
 * share one counter), for n = 0, 1, ... until nothing is refused, it works or raises, and leaves no live block.
 *
 * A script gets the path of an empty scratch folder as its argument. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <lualib.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "bind/bind.h"

/* lua-cjson 2.1 loses its buffer when it is loaded while Lua's memory is refused. A state that is never closed keeps it
 * mapped, as leaks of a library that is gone have no name to match. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:cjson.so\n"; }

static lua_State *keeper;

static void *counted(void *context, void *block, size_t had, size_t wanted) {
  (void)context;
  if (wanted == 0) return rs_free(block), NULL;
  if (block && wanted <= had) return block; /* Lua relies on shrinking */
  return rs_realloc(block, wanted);
}

/* A state in which require "recsys.core" works; what a script needs of lua/ is found too. */
static lua_State *new_state(void) {
  lua_State *L = lua_newstate(counted, NULL);
  assert_non_null(L);
  luaL_openlibs(L);
  luaL_requiref(L, "recsys.core", luaopen_recsys_core, 0);
  lua_pop(L, 1);
  assert_int_equal(luaL_dostring(L, "package.path = '" RECSYS_LUA_DIR "/?.lua;" RECSYS_LUA_DIR "/?/init.lua'"), 0);
  return L;
}

static char scratch[] = "/tmp/recsys-refused-XXXXXX";

/* A collector step that meets refused memory cannot call a finalizer, and Lua then drops the object with all it
 * holds: no binding's fault. So while memory is refused the collector runs only when a binding asks (rs_collect).
 *
 * Run the script with 'n' allocations granted; its error into 'message' (empty when it worked). Returns how
 * many allocations were refused. */
static int64_t run(const char *path, int64_t n, char *message, size_t size) {
  lua_State *L = new_state();
  int status = luaL_loadfile(L, path);
  lua_pushstring(L, scratch);
  lua_gc(L, LUA_GCSTOP);
  rs_alloc_fault(n);
  if (status == LUA_OK) status = lua_pcall(L, 1, 0, 0);
  int64_t refused = rs_alloc_refusals();
  rs_alloc_fault(-1);
  message[0] = 0;
  const char *error = status == LUA_OK ? NULL : lua_tostring(L, status == LUA_ERRSYNTAX ? -2 : -1);
  if (status != LUA_OK) snprintf(message, size, "%s", error ? error : "an error object");
  lua_close(L);
  return refused;
}

static void walk(const char *path) {
  char message[512];
  run(path, -1, message, sizeof message); /* also settles what is made once for the process */
  if (message[0]) fail_msg("%s fails with all the memory it wants: %s", path, message);
  int64_t before = rs_alloc_blocks();
  for (int64_t n = 0;; n += 1 + (n > 2000 ? n / 32 : 0)) {
    int64_t refused = run(path, n, message, sizeof message);
    if (rs_alloc_blocks() != before)
      fail_msg("%s leaves %lld live blocks after %lld allocations (%s)", path, (long long)(rs_alloc_blocks() - before),
               (long long)n, message);
    if (refused == 0 && message[0]) fail_msg("%s fails although nothing was refused: %s", path, message);
    if (refused == 0) break;
  }
}

static int is_script(const struct dirent *e) {
  size_t length = strlen(e->d_name);
  return length > 4 && strcmp(e->d_name + length - 4, ".lua") == 0;
}

static void bindings_leave_no_block_when_memory_is_refused(void **state) {
  (void)state;
  struct dirent **names;
  int n = scandir(RECSYS_REFUSED_DIR, &names, is_script, alphasort);
  assert_true(n > 0);
  for (int i = 0; i < n; i++) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", RECSYS_REFUSED_DIR, names[i]->d_name);
    walk(path);
    print_message("           %s\n", names[i]->d_name);
    free(names[i]);
  }
  free(names);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(bindings_leave_no_block_when_memory_is_refused)};
  setvbuf(stdout, NULL, _IOLBF, 0);
  keeper = luaL_newstate();
  if (!keeper) return 1;
  luaL_openlibs(keeper);
  if (luaL_dostring(keeper, "require 'cjson'")) return fprintf(stderr, "%s\n", lua_tostring(keeper, -1)), 1;
  rs_threads_set(1); /* thousands of tiny parallel loops: waiting for threads would be nearly all of the time */
  if (!mkdtemp(scratch)) return perror("mkdtemp"), 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", scratch);
  return system(command) != 0 || failed;
}
