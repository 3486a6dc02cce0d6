/* alloc.h - the counted allocator that everything in the core uses.
 *
 * Blocks are aligned to 64 bytes (a cache line, an AVX-512 register). The counts make leaks visible
 * (live blocks must be 0 when all is freed) and the fault hook makes every refusal reachable. */
#ifndef RS_ALLOC_H
#define RS_ALLOC_H
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { RS_ALIGN = 64 };

/* A block of at least 'bytes' bytes, not cleared; NULL when memory is refused. 0 bytes is a valid size. */
void *rs_alloc(size_t bytes);
/* The same, cleared to zero. */
void *rs_alloc_zero(size_t bytes);
/* Grow or shrink 'block' (NULL: allocate), keeping its first bytes; NULL on refusal, 'block' unharmed. */
void *rs_realloc(void *block, size_t bytes);
void rs_free(void *block); /* NULL is fine */

/* A copy of a C string in counted memory; NULL when memory is refused. */
char *rs_strdup(const char *text);

/* RS_ENOMEM with a message that names 'what' and how many bytes were asked for, and what to do when it was the folder
 * of rs_memory_limit that refused them. */
rs_status rs_nomem(const char *what, size_t bytes);

/* Keep about 'bytes' of blocks on the heap, from now on: past that, blocks of 1 MiB and more (of 64 KiB or a 64th of
 * the limit where that is less) lie in files without a name in 'folder', mapped (base/spill.h). What they hold is the
 * same. 0: no limit, 'folder' is not looked at. RS_EIO when no file can be made there. */
rs_status rs_memory_limit(int64_t bytes, const char *folder);

/* Give the freed blocks that are kept for the next of their size back to the kernel, and what malloc keeps. */
void rs_memory_release(void);

typedef struct rs_memory_use {
  int64_t limit;        /* bytes; 0: none */
  int64_t heap;         /* bytes of live blocks on the heap */
  int64_t spilled;      /* bytes of live blocks in files */
  int64_t most_spilled; /* the most that ever lay in files at once */
} rs_memory_use;

rs_memory_use rs_memory_used(void);

int64_t rs_alloc_bytes(void);  /* bytes in live blocks */
int64_t rs_alloc_blocks(void); /* live blocks */

/* Grant 'n' more allocations and refuse all later ones; n < 0 takes the limit off. For tests. */
void rs_alloc_fault(int64_t n);
/* How many allocations the hook has refused since rs_alloc_fault was last called. */
int64_t rs_alloc_refusals(void);

#endif
