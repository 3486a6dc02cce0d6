/* blas.c - a second choice of kernels through the loader functions that every DYNAMIC_ARCH OpenBLAS exports.
 *
 * They are no public interface, hence weak: absent, OpenBLAS's choice stays. */
#include "tensor/blas.h"

#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));

/* Whether OpenBLAS chose kernels that use AVX2 and FMA. */
static int modern(const char *core) {
  static const char *const cores[] = {"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"};
  for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
    if (strcasecmp(core, cores[i]) == 0) return 1;
  return 0;
}

/* The best kernel set for the CPU's features; NULL when OpenBLAS's own choice cannot be improved. */
static const char *wanted(void) {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return NULL;
}

static void choose(void) {
  const char *core = wanted();
  if (!core || !gotoblas_dynamic_quit || !gotoblas_dynamic_init) return;
  if (getenv("OPENBLAS_CORETYPE") || modern(openblas_get_corename())) return;
  setenv("OPENBLAS_CORETYPE", core, 1);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  unsetenv("OPENBLAS_CORETYPE"); /* a child's OpenBLAS may be another one, which knows this CPU */
}

void rs_blas_prepare(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose);
}

const char *rs_blas_core(void) { return openblas_get_corename(); }
