/* l_doctor.c - what this build is and what it is linked with: for --version, doctor and manifests. */
#include <archive.h>
#include <cblas.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <jansson.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "bind/bind.h"
#include "version.h"

static void set_text(lua_State *L, const char *key, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, key);
}

/* doctor.build() -> { version, commit, compiler, type, sanitize }: how the runtime was built. */
static int l_build(lua_State *L) {
  lua_newtable(L);
  set_text(L, "version", RS_VERSION);
  set_text(L, "commit", RS_COMMIT);
  set_text(L, "compiler", "gcc " __VERSION__);
  set_text(L, "type", RS_BUILD_TYPE);
  set_text(L, "sanitize", RS_SANITIZE);
  return 1;
}

/* doctor.libraries() -> { name = version }: the C libraries in use, as they name themselves at run time. */
static int l_libraries(lua_State *L) {
  unsigned xxhash = XXH_versionNumber();
  lua_newtable(L);
  set_text(L, "lua", LUA_RELEASE);
  set_text(L, "openblas", openblas_get_config());
  set_text(L, "libarchive", archive_version_string());
  set_text(L, "jansson", jansson_version_str());
  set_text(L, "openssl", OpenSSL_version(OPENSSL_VERSION));
  lua_pushfstring(L, "%d.%d.%d", (int)(xxhash / 10000), (int)(xxhash / 100 % 100), (int)(xxhash % 100));
  lua_setfield(L, -2, "xxhash");
  lua_pushstring(L, zlibVersion());
  lua_setfield(L, -2, "zlib");
  lua_pushstring(L, ZSTD_versionString());
  lua_setfield(L, -2, "zstd");
  set_text(L, "utf8proc", utf8proc_version());
  set_text(L, "sqlite", sqlite3_libversion());
  set_text(L, "libcurl", curl_version_info(CURLVERSION_NOW)->version);
  set_text(L, "libmicrohttpd", MHD_get_version());
  return 1;
}

/* doctor.blas() -> { parallel = "openmp"|"pthreads"|"sequential", core, threads, library }: the BLAS that
 * products really call, the kernels it chose for this CPU, and the file it was loaded from. */
static int l_blas(lua_State *L) {
  static const char *const kinds[] = {"sequential", "pthreads", "openmp"};
  int kind = openblas_get_parallel();
  Dl_info info;
  lua_newtable(L);
  set_text(L, "parallel", kind >= 0 && kind <= 2 ? kinds[kind] : "unknown");
  set_text(L, "core", openblas_get_corename());
  lua_pushinteger(L, openblas_get_num_threads());
  lua_setfield(L, -2, "threads");
  if (dladdr((void *)(uintptr_t)openblas_get_config, &info)) set_text(L, "library", info.dli_fname);
  return 1;
}

int rs_open_doctor(lua_State *L) {
  static const luaL_Reg functions[] = {{"build", l_build}, {"libraries", l_libraries}, {"blas", l_blas}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
