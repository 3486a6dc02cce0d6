/* addresses.h - how many connections each client's address has: a table of a fixed size behind a lock, which is taken
 * when a connection comes and when it goes. A /64 of IPv6, which one client may well have, counts as one address. */
#ifndef RS_HTTP_ADDRESSES_H
#define RS_HTTP_ADDRESSES_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/status.h"

typedef struct rs_addresses rs_addresses;

/* For up to 'connections' at once, up to 'each' of an address. RS_ENOMEM. */
rs_status rs_addresses_new(rs_addresses **out, int connections, int each);
void rs_addresses_free(rs_addresses *a); /* NULL is fine */

/* What counts as one address; 0 is none. */
uint64_t rs_address_key(const struct sockaddr *address);

/* One more, unless it has as many as it may; one less. */
bool rs_addresses_take(rs_addresses *a, uint64_t key);
void rs_addresses_drop(rs_addresses *a, uint64_t key);

#endif
