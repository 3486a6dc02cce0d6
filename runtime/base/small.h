/* small.h - small blocks that a thread has freed, for its next requests: within the allocator.
 *
 * A request makes and frees hundreds of blocks of a few sizes. aligned_alloc splits and joins the heap's chunks for
 * each of them, which cost more than the request's own work, and leaves pieces behind that fit nothing: 200,000
 * requests grew to 630 MiB. A thread keeps up to 512 KiB of blocks of up to 8 KiB, and gives them back when it ends. */
#ifndef RS_SMALL_H
#define RS_SMALL_H
#include <stdbool.h>
#include <stddef.h>

/* A block of 'total' bytes (a multiple of RS_ALIGN) that this thread kept, or NULL. */
void *rs_small_take(size_t total);
/* Keep a freed block from aligned_alloc; false: it is too large, or there are enough of its size. */
bool rs_small_keep(void *block, size_t total);

#endif
