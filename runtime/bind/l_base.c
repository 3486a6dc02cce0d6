/* l_base.c - recsys.core.base: random streams, threads, clocks, and a view into the allocator. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/shortest.h"
#include "bind/bind.h"

#define STREAM "recsys.Stream"

static const char *const purposes[] = {"user",  "init",      "dropout",  "shuffle", "negatives",
                                       "split", "bootstrap", "baseline", NULL};

/* base.stream(seed, purpose, epoch, step) -> Stream */
static int l_stream(lua_State *L) {
  uint64_t seed = (uint64_t)luaL_checkinteger(L, 1);
  uint32_t purpose = (uint32_t)luaL_checkoption(L, 2, NULL, purposes);
  lua_Integer epoch = luaL_optinteger(L, 3, 0), step = luaL_optinteger(L, 4, 0);
  luaL_argcheck(L, 0 <= epoch && epoch <= UINT32_MAX, 3, "epoch out of range 0..4294967295");
  luaL_argcheck(L, 0 <= step && step <= UINT32_MAX, 4, "step out of range 0..4294967295");
  rs_stream *s = rs_push_object(L, sizeof *s, STREAM, 0);
  *s = rs_stream_at(seed, purpose, (uint32_t)epoch, (uint32_t)step);
  return 1;
}

static const rs_stream *check_stream(lua_State *L) { return luaL_checkudata(L, 1, STREAM); }

static uint64_t check_position(lua_State *L, int arg) {
  lua_Integer at = luaL_checkinteger(L, arg);
  luaL_argcheck(L, at >= 0, arg, "a stream's positions count from 0");
  return (uint64_t)at;
}

static uint64_t check_below(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 1, arg, "must be at least 1");
  return (uint64_t)n;
}

/* stream:uniform(position) -> number in [0, 1) */
static int l_uniform(lua_State *L) {
  lua_pushnumber(L, rs_stream_f64(check_stream(L), check_position(L, 2)));
  return 1;
}

/* stream:below(position, n) -> integer in 0 .. n-1 */
static int l_below(lua_State *L) {
  const rs_stream *s = check_stream(L);
  lua_pushinteger(L, (lua_Integer)rs_stream_below(s, check_position(L, 2), check_below(L, 3)));
  return 1;
}

/* stream:normal(position) -> number */
static int l_normal(lua_State *L) {
  lua_pushnumber(L, rs_stream_normal(check_stream(L), check_position(L, 2)));
  return 1;
}

/* An empty vector of the length at 'arg'. */
static rs_tensor *push_vector(lua_State *L, rs_dtype dtype, int arg) {
  int64_t n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0, arg, "must not be negative");
  rs_tensor *t = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(t, dtype, 1, &n));
  return t;
}

/* stream:permutation(n) -> Tensor i64 [n] of 0 .. n-1 */
static int l_permutation(lua_State *L) {
  const rs_stream *s = check_stream(L);
  rs_tensor *t = push_vector(L, RS_I64, 2);
  rs_stream_permutation(s, rs_i64(t), t->size[0]);
  rs_account(L, t);
  return 1;
}

typedef struct fill {
  const rs_stream *stream;
  uint64_t first, below;
  double *numbers;
  int64_t *integers;
} fill;

static void fill_uniform(void *context, int64_t begin, int64_t end) {
  const fill *f = context;
  for (int64_t i = begin; i < end; i++) f->numbers[i] = rs_stream_f64(f->stream, f->first + (uint64_t)i);
}

static void fill_normal(void *context, int64_t begin, int64_t end) {
  const fill *f = context;
  for (int64_t i = begin; i < end; i++) f->numbers[i] = rs_stream_normal(f->stream, f->first + (uint64_t)i);
}

static void fill_below(void *context, int64_t begin, int64_t end) {
  const fill *f = context;
  for (int64_t i = begin; i < end; i++)
    f->integers[i] = (int64_t)rs_stream_below(f->stream, f->first + (uint64_t)i, f->below);
}

enum { GRAIN = 8192 };

static int numbers(lua_State *L, rs_body *body) {
  fill f = {.stream = check_stream(L), .first = lua_isnoneornil(L, 3) ? 0 : check_position(L, 3)};
  rs_tensor *t = push_vector(L, RS_F64, 2);
  f.numbers = rs_f64(t);
  rs_parallel_for(t->size[0], GRAIN, body, &f);
  rs_account(L, t);
  return 1;
}

/* stream:uniforms(n, [first]) -> Tensor f64 [n]: the numbers at positions first .. first + n - 1 */
static int l_uniforms(lua_State *L) { return numbers(L, fill_uniform); }
/* stream:normals(n, [first]) -> Tensor f64 [n] */
static int l_normals(lua_State *L) { return numbers(L, fill_normal); }

/* stream:integers(n, below, [first]) -> Tensor i64 [n], each in 0 .. below-1 */
static int l_integers(lua_State *L) {
  fill f = {.stream = check_stream(L), .below = check_below(L, 3)};
  f.first = lua_isnoneornil(L, 4) ? 0 : check_position(L, 4);
  rs_tensor *t = push_vector(L, RS_I64, 2);
  f.integers = rs_i64(t);
  rs_parallel_for(t->size[0], GRAIN, fill_below, &f);
  rs_account(L, t);
  return 1;
}

/* base.threads([n]) -> integer: how many a parallel loop uses, after setting it when n is given */
static int l_threads(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, 1 <= n && n <= 4096, 1, "threads out of range 1..4096");
    rs_threads_set((int)n);
  }
  lua_pushinteger(L, rs_threads());
  return 1;
}

/* base.alloc_fault(n): grant n more allocations of the core, then refuse; negative: no limit */
static int l_alloc_fault(lua_State *L) {
  rs_alloc_fault(luaL_checkinteger(L, 1));
  return 0;
}

/* base.alloc_counts() -> blocks, bytes: live in the core */
static int l_alloc_counts(lua_State *L) {
  lua_pushinteger(L, rs_alloc_blocks());
  lua_pushinteger(L, rs_alloc_bytes());
  return 2;
}

/* base.memory_limit([bytes, folder]) -> limit, spilled, most_spilled | nil, message, code; with arguments it is set */
static int l_memory_limit(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer bytes = luaL_checkinteger(L, 1);
    luaL_argcheck(L, bytes >= 0, 1, "must not be negative");
    const char *folder = bytes ? luaL_checkstring(L, 2) : NULL;
    rs_status status = rs_memory_limit(bytes, folder);
    if (status != RS_OK) return rs_return(L, status, 0);
  }
  rs_memory_use use = rs_memory_used();
  lua_pushinteger(L, use.limit);
  lua_pushinteger(L, use.spilled);
  lua_pushinteger(L, use.most_spilled);
  return 3;
}

/* The value in bytes of a line "Name:   123 kB" in the text, 0 when it is not there. */
static lua_Integer status_line(const char *text, const char *name) {
  const char *line = strstr(text, name);
  long long kib = 0;
  if (!line || sscanf(line + strlen(name), ": %lld kB", &kib) != 1) return 0;
  return (lua_Integer)kib * 1024;
}

/* What the kernel says of the process; "" when it does not. */
static void read_status(char *text, size_t size) {
  FILE *f = fopen("/proc/self/status", "re");
  size_t got = f ? fread(text, 1, size - 1, f) : 0;
  text[got] = 0;
  if (f) fclose(f);
}

/* base.memory() -> peak, resident: bytes of the process */
static int l_memory(lua_State *L) {
  char text[4096];
  read_status(text, sizeof text);
  lua_pushinteger(L, status_line(text, "VmHWM"));
  lua_pushinteger(L, status_line(text, "VmRSS"));
  return 2;
}

/* base.release([least]): collect all garbage, and give what is free back to the system; nothing is done while less than
 * 'least' bytes are resident, default 0 */
static int l_release(lua_State *L) {
  lua_Integer least = luaL_optinteger(L, 1, 0);
  char text[4096];
  if (least > 0) {
    read_status(text, sizeof text);
    if (status_line(text, "VmRSS") < least) return 0;
  }
  rs_collect(L);
  rs_memory_release();
  return 0;
}

/* base.clock() -> number: seconds since some fixed moment, never going back */
static int l_clock(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (double)now.tv_sec + (double)now.tv_nsec * 1e-9);
  return 1;
}

/* base.shortest(x) -> string */
static int l_shortest(lua_State *L) {
  char text[RS_SHORTEST_MAX];
  lua_pushlstring(L, text, rs_shortest_f32(text, (float)luaL_checknumber(L, 1)));
  return 1;
}

int rs_open_base(lua_State *L) {
  static const luaL_Reg stream_methods[] = {
      {"uniform", l_uniform},   {"below", l_below},     {"normal", l_normal},     {"permutation", l_permutation},
      {"uniforms", l_uniforms}, {"normals", l_normals}, {"integers", l_integers}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"stream", l_stream},
                                       {"threads", l_threads},
                                       {"alloc_fault", l_alloc_fault},
                                       {"alloc_counts", l_alloc_counts},
                                       {"memory", l_memory},
                                       {"memory_limit", l_memory_limit},
                                       {"release", l_release},
                                       {"clock", l_clock},
                                       {"shortest", l_shortest},
                                       {NULL, NULL}};
  rs_new_type(L, STREAM, stream_methods, NULL);
  luaL_newlib(L, functions);
  return 1;
}
