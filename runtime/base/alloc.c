/* alloc.c - a header of one cache line before each block holds its size.
 *
 * Large freed blocks stay with the process (mallopt): a training step asks for the same sizes again
 * and again, and fresh pages from the kernel cost more than the arithmetic on them. */
#include "base/alloc.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct header {
  size_t bytes;
} header;

static atomic_int_fast64_t live_bytes, live_blocks;
static atomic_int_fast64_t grants = -1, refusals;
static pthread_once_t tuned = PTHREAD_ONCE_INIT;

static void tune(void) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 16 << 20);
}

/* Whether the fault hook lets one more allocation through. */
static int granted(void) {
  int_fast64_t left = atomic_load_explicit(&grants, memory_order_relaxed);
  while (left > 0)
    if (atomic_compare_exchange_weak(&grants, &left, left - 1)) return 1;
  if (left == 0) atomic_fetch_add(&refusals, 1);
  return left < 0;
}

void *rs_alloc(size_t bytes) {
  pthread_once(&tuned, tune);
  if (bytes > SIZE_MAX / 2 || !granted()) return NULL;
  size_t rounded = (bytes + RS_ALIGN - 1) / RS_ALIGN * RS_ALIGN;
  char *raw = aligned_alloc(RS_ALIGN, RS_ALIGN + rounded);
  if (!raw) return NULL;
  ((header *)raw)->bytes = bytes;
  atomic_fetch_add(&live_bytes, (int_fast64_t)bytes);
  atomic_fetch_add(&live_blocks, 1);
  return raw + RS_ALIGN;
}

void *rs_alloc_zero(size_t bytes) {
  void *block = rs_alloc(bytes);
  if (block) memset(block, 0, bytes);
  return block;
}

static size_t size_of(const void *block) { return ((const header *)((const char *)block - RS_ALIGN))->bytes; }

void *rs_realloc(void *block, size_t bytes) {
  void *moved = rs_alloc(bytes);
  if (!moved || !block) return moved;
  size_t kept = size_of(block);
  memcpy(moved, block, kept < bytes ? kept : bytes);
  rs_free(block);
  return moved;
}

void rs_free(void *block) {
  if (!block) return;
  atomic_fetch_sub(&live_bytes, (int_fast64_t)size_of(block));
  atomic_fetch_sub(&live_blocks, 1);
  free((char *)block - RS_ALIGN);
}

char *rs_strdup(const char *text) {
  size_t bytes = strlen(text) + 1;
  char *copy = rs_alloc(bytes);
  return copy ? memcpy(copy, text, bytes) : NULL;
}

rs_status rs_nomem(const char *what, size_t bytes) {
  return rs_fail(RS_ENOMEM, "%s: out of memory (%zu bytes refused)", what, bytes);
}

int64_t rs_alloc_bytes(void) { return atomic_load(&live_bytes); }
int64_t rs_alloc_blocks(void) { return atomic_load(&live_blocks); }
int64_t rs_alloc_refusals(void) { return atomic_load(&refusals); }

void rs_alloc_fault(int64_t n) {
  atomic_store(&refusals, 0);
  atomic_store(&grants, n);
}
