/* small.c - see small.h. A kept block's first word leads to the next. */
#include "base/small.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"

enum { SIZES = 129, MOST = 512 << 10 }; /* blocks of 64 bytes to 8 KiB; bytes that a thread keeps */

typedef struct cache {
  void *first[SIZES]; /* by size / RS_ALIGN */
  size_t kept;
  bool known; /* the thread's end will find it */
} cache;

static _Thread_local cache mine;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t ends;
static bool watched;

static void give_back(void *of_thread) {
  cache *c = of_thread;
  for (int i = 0; i < SIZES; i++)
    while (c->first[i]) {
      void *block = c->first[i];
      c->first[i] = *(void **)block;
      free(block);
    }
  *c = (cache){0};
}

static void watch(void) { watched = pthread_key_create(&ends, give_back) == 0; }

static bool is_known(void) {
  if (mine.known) return true;
  pthread_once(&once, watch);
  return mine.known = watched && pthread_setspecific(ends, &mine) == 0;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* these watch what is freed */
enum { KEEPS = 0 };
#else
enum { KEEPS = 1 };
#endif

void *rs_small_take(size_t total) {
  size_t size = total / RS_ALIGN;
  if (size >= SIZES || !mine.first[size]) return NULL;
  void *block = mine.first[size];
  mine.first[size] = *(void **)block;
  mine.kept -= total;
  return block;
}

bool rs_small_keep(void *block, size_t total) {
  size_t size = total / RS_ALIGN;
  if (!KEEPS || size >= SIZES || mine.kept + total > MOST || !is_known()) return false;
  *(void **)block = mine.first[size];
  mine.first[size] = block;
  mine.kept += total;
  return true;
}
