/* linger.h - sockets that said their last and still listen for a while.
 *
 * A socket that is closed while bytes of its client wait in it, or come, resets the connection: the client may lose the
 * refusal that it was sent. So it is shut to one side, and what comes is passed over until the client closes too. */
#ifndef RS_HTTP_LINGER_H
#define RS_HTTP_LINGER_H
#include <stdbool.h>
#include <stdint.h>

enum { RS_LINGERING = 64 }; /* at once; more are closed at once */

typedef struct rs_linger {
  int n;
  struct {
    int handle;
    int64_t until; /* ns */
  } of[RS_LINGERING];
} rs_linger;

/* Take over a socket, and have 'epoll' tell of it, data.fd being the socket. */
void rs_linger_add(rs_linger *l, int epoll, int handle, int64_t now);
/* Something came for the socket. */
void rs_linger_read(rs_linger *l, int handle);
/* Close those whose time is over; all when 'now' is INT64_MAX. */
void rs_linger_sweep(rs_linger *l, int64_t now);

#endif
