/* access_log.h - lines that workers leave and a thread writes.
 *
 * Each worker has a ring of its own; it never waits: a line that finds no room, because the disk is slow or full, is
 * dropped and counted. */
#ifndef RS_HTTP_ACCESS_LOG_H
#define RS_HTTP_ACCESS_LOG_H
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct rs_access_log rs_access_log;

/* Append to a file, made where it is not; "-": to standard output. RS_EIO with the path. */
rs_status rs_access_log_open(rs_access_log **out, const char *path, int workers);

/* Write what was left, and close; NULL is fine. */
void rs_access_log_close(rs_access_log *log);

/* Leave a line, with its end, for the thread. */
void rs_access_log_add(rs_access_log *log, int worker, const char *line, size_t n);

/* Have the thread open the path again, when it has written what was left before: somebody has moved the file away. When
 * that fails, stderr is told why, and lines go on to the old one. May be called from any thread. */
void rs_access_log_reopen(rs_access_log *log);

/* Lines that were dropped. */
int64_t rs_access_log_dropped(const rs_access_log *log);

#endif
