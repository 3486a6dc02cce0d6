/* process.h - what a program that another one started owes to it: to end with it, and to keep to its memory. */
#ifndef RS_PROCESS_H
#define RS_PROCESS_H
#include <stdint.h>

#include "base/status.h"

/* From here on this process, and all of its group where it leads one, end by SIGKILL as soon as the other end of the
 * pipe 'fd' is closed: by the one who holds it, or by the system when that one has died, however. A thread of its own
 * watches, so that it holds also while the others are busy in C. RS_EIO when 'fd' is no pipe, or no thread can be had;
 * 'fd' stays the caller's then, else it belongs to the thread. */
rs_status rs_process_follow(int fd);

/* How many bytes of memory that is this process's alone it may reserve from now on: the heap, stacks of threads,
 * whatever it may write and would not share (RLIMIT_DATA). Files that are mapped to be read, or shared, are not
 * counted. Whatever would go beyond is refused, as when there is none. RS_ERANGE unless bytes > 0. */
rs_status rs_process_limit(int64_t bytes);

/* The bytes that rs_process_limit counts, now; 0 where the system does not tell. */
int64_t rs_process_reserved(void);

/* Send a signal to all that this process's main thread has started, and that those have, as far as they are of its
 * group: who has left it looks after himself. May be called from a signal handler. */
void rs_process_signal_children(int signal_number);

#endif
