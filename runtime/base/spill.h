/* spill.h - blocks of memory that lie in files instead of the heap: base/alloc.h puts large blocks here once the heap
 * holds what it may.
 *
 * A block is a file without a name, mapped shared, so that the kernel can write its pages out and take them back. Its
 * space on the disk is reserved at once: a full disk refuses the block, and no later write to it can fail. The kernel
 * drops the file with the mapping, hence also when the process is killed. */
#ifndef RS_SPILL_H
#define RS_SPILL_H
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* From now on blocks lie in 'folder', which must exist. RS_EIO, with the folder and what to do, when no file can be
 * made there; the folder is then the one before. */
rs_status rs_spill_into(const char *folder);

/* A block of 'bytes' zeroed bytes, aligned to a page; NULL when the folder refuses it. */
void *rs_spill_alloc(size_t bytes);
void rs_spill_free(void *block, size_t bytes);

/* Whether this thread's last rs_spill_alloc was refused. Forgotten once rs_spill_failure has told it. */
bool rs_spill_failed(void);
/* RS_ENOMEM with a message of what was refused, by which folder, why, and what to do. */
rs_status rs_spill_failure(const char *what, size_t bytes);

#endif
