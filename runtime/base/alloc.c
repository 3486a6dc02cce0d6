/* alloc.c - a header of one cache line before each block holds its size.
 *
 * Large freed blocks are kept in lists by size and given out again: a training step asks for the same sizes again
 * and again, and fresh pages from the kernel cost more than the arithmetic on them. Left to malloc's heap, small
 * blocks settle in the gaps that large ones leave, which then fit no more: a step with 20 MiB alive grew to 426 MiB
 * resident. So malloc maps each large block on its own, and what the lists cannot keep goes back to the kernel.
 *
 * The largest, tables of embeddings above all, ask for huge pages: rows at random places out of 256 MB came 1.5 times as
 * fast, and a first touch costs a 512th of the faults.
 *
 * Under a limit a large block that does not fit the heap any more comes from base/spill.h. The largest leave first: half
 * of the limit is for blocks below a 64th of it, so that columns, which are large and lie there for good, do not drive
 * out what each training step asks for. Freed blocks of files are kept as those of the heap are: scores by blocks of
 * 16 MiB took twice the time when each block was a new file. */
#include "base/alloc.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/small.h"
#include "base/spill.h"

typedef struct header {
  size_t bytes;
  size_t mapped;       /* bytes of the file that the block lies in, 0 when it lies on the heap */
  bool zero;           /* a new file: all bytes behind the header are zero */
  struct header *next; /* in a list of kept blocks */
} header;

static atomic_int_fast64_t live_bytes, live_blocks;
static atomic_int_fast64_t limit, spilled_bytes, most_spilled; /* limit 0: none */
static atomic_int_fast64_t grants = -1, refusals;
static pthread_once_t tuned = PTHREAD_ONCE_INIT;

/* What is larger than the last class, a column or the features of millions of rows, is made once and not kept. */
enum { LARGE_BITS = 17, LARGE = 1 << LARGE_BITS, CLASSES = 8 * 9 }; /* 128 KiB to 64 MiB, 8 sizes to a doubling */
enum { SMALL_PAGE = 4096, HUGE_PAGE = 2 << 20, HUGE_FROM = 4 << 20 };

/* Kept blocks by class: of the heap, and of files. */
typedef struct shelf {
  header *blocks[CLASSES];
  atomic_size_t bytes;
  size_t limit; /* of bytes */
} shelf;

static pthread_mutex_t keeping = PTHREAD_MUTEX_INITIALIZER;
static shelf heap_shelf = {.limit = (size_t)512 << 20}, file_shelf = {.limit = (size_t)128 << 20};

static void tune(void) { mallopt(M_MMAP_THRESHOLD, LARGE); }

/* The bytes, header included, to ask for; a large block's are rounded up to its class, which is -1 for others. */
static size_t place(size_t bytes, int *class) {
  size_t total = (bytes + RS_ALIGN - 1) / RS_ALIGN * RS_ALIGN + RS_ALIGN;
  *class = -1;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* these watch what is freed */
  if (total >= LARGE) {
    int bits = 63 - __builtin_clzll(total);
    size_t step = (size_t)1 << (bits - 3), steps = (total + step - 1) / step; /* 8 to 16 */
    int at = (bits - LARGE_BITS) * 8 + (int)steps - 8;
    if (at < CLASSES) {
      *class = at;
      total = steps * step;
    }
  }
#endif
  return total;
}

static header *take_kept(shelf *from, int class, size_t total) {
  if (class < 0) return NULL;
  pthread_mutex_lock(&keeping);
  header *h = from->blocks[class];
  if (h) {
    from->blocks[class] = h->next;
    from->bytes -= total;
  }
  pthread_mutex_unlock(&keeping);
  return h;
}

static int_fast64_t heap_bytes(void) { return atomic_load(&live_bytes) - atomic_load(&spilled_bytes); }

static bool keep(shelf *on, header *h, int class, size_t total) {
  if (class < 0) return false;
  int_fast64_t most = on == &heap_shelf ? atomic_load(&limit) : 0, room = most - heap_bytes();
  pthread_mutex_lock(&keeping);
  bool fits = on->bytes + total <= on->limit && (!most || (int_fast64_t)(on->bytes + total) <= room);
  if (fits) {
    h->next = on->blocks[class];
    on->blocks[class] = h;
    on->bytes += total;
  }
  pthread_mutex_unlock(&keeping);
  return fits;
}

static void give_back(header *h) {
  if (h->mapped)
    rs_spill_free(h, h->mapped);
  else
    free(h);
}

/* Give all blocks of a shelf back to the kernel. */
static void clear(shelf *s) {
  pthread_mutex_lock(&keeping);
  for (int i = 0; i < CLASSES; i++)
    for (header *h; (h = s->blocks[i]);) {
      s->blocks[i] = h->next;
      give_back(h);
    }
  s->bytes = 0;
  pthread_mutex_unlock(&keeping);
}

/* Whether a block of 'total' bytes is to lie in a file, see above; small ones never are. */
static bool must_spill(size_t total) {
  enum { SMALL = 64 << 10, LARGEST_SMALL = 1 << 20 };
  int_fast64_t most = atomic_load_explicit(&limit, memory_order_relaxed), bytes = (int_fast64_t)total;
  if (most == 0 || bytes < SMALL || (bytes < LARGEST_SMALL && bytes < most / 64)) return false;
  return heap_bytes() + bytes > (bytes > most / 64 ? most / 2 : most);
}

static void count_spilled(size_t bytes) {
  int_fast64_t now = atomic_fetch_add(&spilled_bytes, (int_fast64_t)bytes) + (int_fast64_t)bytes;
  int_fast64_t most = atomic_load(&most_spilled);
  while (now > most && !atomic_compare_exchange_weak(&most_spilled, &most, now)) {}
}

static header *from_file(size_t bytes, int class, size_t total) {
  header *h = take_kept(&file_shelf, class, total);
  if (h) {
    h->zero = false;
  } else {
    h = rs_spill_alloc(total);
    if (!h) return NULL;
    h->mapped = total;
    h->zero = true;
  }
  count_spilled(bytes);
  return h;
}

/* Have the kernel hand out the pages of a block in one call, not at a fault each: a large block is new pages, and what
 * asks for one writes all of it. */
static void touch(char *block, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
  char *page = (char *)((uintptr_t)block / SMALL_PAGE * SMALL_PAGE);
  madvise(page, (size_t)(block + bytes - page), MADV_POPULATE_WRITE); /* a kernel that cannot leaves them to faults */
#else
  (void)block, (void)bytes;
#endif
}

/* A new block from malloc. */
static header *fresh(size_t total) {
  if (total < HUGE_FROM) {
    void *small = aligned_alloc(RS_ALIGN, total);
    if (small && total >= LARGE) touch(small, total);
    return small;
  }
  void *block = aligned_alloc(HUGE_PAGE, (total + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
  if (block) madvise(block, total, MADV_HUGEPAGE); /* a kernel without them has small pages, as before */
  return block;
}

/* A block from a kept one or from malloc. Under a limit kept blocks of other sizes make room first. */
static header *from_heap(int class, size_t total) {
  header *h = class < 0 ? rs_small_take(total) : take_kept(&heap_shelf, class, total);
  int_fast64_t most = atomic_load_explicit(&limit, memory_order_relaxed);
  if (!h && most && class >= 0 && heap_bytes() + (int_fast64_t)(heap_shelf.bytes + total) > most) clear(&heap_shelf);
  if (!h) h = fresh(total);
  if (!h) return NULL;
  h->mapped = 0;
  h->zero = false;
  return h;
}

/* Whether the fault hook lets one more allocation through. */
static int granted(void) {
  int_fast64_t left = atomic_load_explicit(&grants, memory_order_relaxed);
  while (left > 0)
    if (atomic_compare_exchange_weak(&grants, &left, left - 1)) return 1;
  if (left == 0) atomic_fetch_add(&refusals, 1);
  return left < 0;
}

static header *header_of(void *block) { return (header *)((char *)block - RS_ALIGN); }

void *rs_alloc(size_t bytes) {
  pthread_once(&tuned, tune);
  if (bytes > SIZE_MAX / 2 || !granted()) return NULL;
  int class;
  size_t total = place(bytes, &class);
  header *h = must_spill(total) ? from_file(bytes, class, total) : from_heap(class, total);
  if (!h) return NULL;
  h->bytes = bytes;
  atomic_fetch_add(&live_bytes, (int_fast64_t)bytes);
  atomic_fetch_add(&live_blocks, 1);
  return (char *)h + RS_ALIGN;
}

void *rs_alloc_zero(size_t bytes) {
  void *block = rs_alloc(bytes);
  if (block && !header_of(block)->zero) memset(block, 0, bytes);
  return block;
}

void *rs_realloc(void *block, size_t bytes) {
  void *moved = rs_alloc(bytes);
  if (!moved || !block) return moved;
  size_t had = header_of(block)->bytes;
  memcpy(moved, block, had < bytes ? had : bytes);
  rs_free(block);
  return moved;
}

void rs_free(void *block) {
  if (!block) return;
  header *h = header_of(block);
  atomic_fetch_sub(&live_bytes, (int_fast64_t)h->bytes);
  atomic_fetch_sub(&live_blocks, 1);
  if (h->mapped) atomic_fetch_sub(&spilled_bytes, (int_fast64_t)h->bytes);
  int class;
  size_t total = place(h->bytes, &class);
  if (h->mapped ? keep(&file_shelf, h, class, total)
      : class < 0 ? rs_small_keep(h, total)
                  : keep(&heap_shelf, h, class, total))
    return;
  give_back(h);
}

char *rs_strdup(const char *text) {
  size_t bytes = strlen(text) + 1;
  char *copy = rs_alloc(bytes);
  return copy ? memcpy(copy, text, bytes) : NULL;
}

rs_status rs_nomem(const char *what, size_t bytes) {
  if (rs_spill_failed()) return rs_spill_failure(what, bytes);
  return rs_fail(RS_ENOMEM, "%s: out of memory (%zu bytes refused)", what, bytes);
}

rs_status rs_memory_limit(int64_t bytes, const char *folder) {
  rs_status status = bytes > 0 ? rs_spill_into(folder) : RS_OK;
  if (status != RS_OK) return status;
  atomic_store(&limit, bytes);
  if (bytes > 0) clear(&heap_shelf);
  clear(&file_shelf);
  return RS_OK;
}

void rs_memory_release(void) {
  clear(&heap_shelf);
  clear(&file_shelf);
  malloc_trim(0);
}

rs_memory_use rs_memory_used(void) {
  return (rs_memory_use){atomic_load(&limit), heap_bytes(), atomic_load(&spilled_bytes), atomic_load(&most_spilled)};
}

int64_t rs_alloc_bytes(void) { return atomic_load(&live_bytes); }
int64_t rs_alloc_blocks(void) { return atomic_load(&live_blocks); }
int64_t rs_alloc_refusals(void) { return atomic_load(&refusals); }

void rs_alloc_fault(int64_t n) {
  atomic_store(&refusals, 0);
  atomic_store(&grants, n);
}
