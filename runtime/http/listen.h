/* listen.h - a socket that listens at an address of this machine. */
#ifndef RS_HTTP_LISTEN_H
#define RS_HTTP_LISTEN_H
#include <stdbool.h>

#include "base/status.h"

typedef struct rs_listening {
  int handle; /* not blocking; the caller closes it */
  int family; /* AF_INET or AF_INET6 */
  int port;   /* the one that it got */
  bool loopback; /* from this machine alone it is reached */
} rs_listening;

/* 'address' is a name or number; "" or "*": all of this machine's, of IPv6 and IPv4. 'port' 0: any that is free. RS_EIO with the
 * address, the port and the system's reason. */
rs_status rs_listen(rs_listening *out, const char *address, int port);

#endif
