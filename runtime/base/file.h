/* file.h - whole files: read, map, and replace atomically.
 *
 * A writer writes to a temporary file in the target's folder; commit flushes it to disk, renames it over
 * the target and flushes the folder. A process killed at any moment leaves the old file or the new one. */
#ifndef RS_FILE_H
#define RS_FILE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/status.h"

/* Append the whole of a regular file to 'out'. RS_EIO when it cannot be read, with the path and the system's
 * reason; RS_EFORMAT when it is larger than 'limit' bytes. */
rs_status rs_file_read(rs_buffer *out, const char *path, size_t limit);

/* A file mapped read-only. All-zero is a valid empty mapping. What others write into the file is seen in it, and where
 * they cut the file short, whoever looks ends the process (SIGBUS). */
typedef struct rs_mapping {
  const char *data;
  size_t size;
  int kept; /* 1 + the file's descriptor until rs_mapping_detach; 0: none */
} rs_mapping;

rs_status rs_mapping_open(rs_mapping *map, const char *path);
void rs_mapping_close(rs_mapping *map);

/* The same of a copy that nobody else can reach, which goes with the mapping: extents shared with the file (reflink)
 * where its file system can, else a file without a name in $TMPDIR, /tmp or /var/tmp, else memory. RS_EIO when the file
 * is cut short meanwhile. */
rs_status rs_mapping_open_copy(rs_mapping *map, const char *path);

/* The same, but the copy is made by rs_mapping_detach: it takes the file's place at the same addresses, while others
 * read there. Until then who opens the file to write into it is kept waiting, where the system grants a lease (to its
 * owner or root, of a local file system; for as long as /proc/sys/fs/lease-break-time says). */
rs_status rs_mapping_open_copied_later(rs_mapping *map, const char *path);
/* RS_OK also where it was done before, or is not to be. */
rs_status rs_mapping_detach(rs_mapping *map, const char *path);

/* A file being written. All-zero is a valid idle writer. */
typedef struct rs_writer {
  FILE *stream;
  char *path, *temporary;
  bool later; /* do not wait until the disk has it: after a power cut the file may be empty */
} rs_writer;

/* Start writing what is to become 'path', whose folder must exist. */
rs_status rs_writer_open(rs_writer *w, const char *path);
rs_status rs_writer_write(rs_writer *w, const void *bytes, size_t n);
/* Put the file in place. On failure the target is as it was; the writer is idle in either case. */
rs_status rs_writer_commit(rs_writer *w);
/* Throw away what was written; fine on an idle writer. */
void rs_writer_abort(rs_writer *w);

#endif
