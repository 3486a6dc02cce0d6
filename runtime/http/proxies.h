/* proxies.h - proxies whose word counts: of a request that comes from one, X-Forwarded-For tells whom it is from.
 *
 * Each proxy adds the address that it was asked from at the end of that list, so that the end alone can be believed, as
 * far as those are trusted who wrote it; what stands before it is the client's own. Forwarded (RFC 7239) is not read: a
 * proxy that writes the one header hands on the other as the client made it up. */
#ifndef RS_HTTP_PROXIES_H
#define RS_HTTP_PROXIES_H
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "http/target.h"

enum { RS_PROXIES = 100 }; /* at the most */

typedef struct rs_proxies rs_proxies;

/* "ADDRESS,ADDRESS/PREFIX,...", of IPv4 and IPv6. RS_EARG with the word that is none, RS_ENOMEM. */
rs_status rs_proxies_parse(rs_proxies **out, const char *words);
void rs_proxies_free(rs_proxies *p); /* NULL is fine */

/* Whether the address is a trusted proxy's; with no proxies (NULL) none is. */
bool rs_proxies_have(const rs_proxies *p, const struct sockaddr *address);

/* The client of a request that a trusted proxy has sent with these headers, names in lower case: the last entry that is
 * no trusted proxy's, else the first one. What is no address ends the search: the client is then the proxy that handed
 * it on. An IPv4 address is given as one, also where it was mapped. False: it is whoever has connected. */
bool rs_proxies_client(const rs_proxies *p, const rs_http_pair *headers, int n, struct sockaddr_storage *client);

#endif
