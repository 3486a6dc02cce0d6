/* own.h - routes of whoever runs a server, beside the server's: a serve recipe's handlers. */
#ifndef RS_SERVE_OWN_H
#define RS_SERVE_OWN_H
#include "serve/server.h"

enum { RS_OWN_ROUTES = 64, RS_OWN_PARTS = 2 };

/* A part of a path that stands for {name} in its route; not terminated. */
typedef struct rs_own_part {
  const char *text;
  size_t length;
} rs_own_part;

struct rs_exchange;

/* A call of such a route. */
typedef struct rs_own_call {
  rs_server *server;
  const struct rs_exchange *outer; /* whose versions answer what the handler asks; NULL: those that are live then */
  const rs_call *call;
  rs_reply *reply;
  int route; /* its number among those that were given */
  rs_own_part parts[RS_OWN_PARTS];
} rs_own_call;

/* Answer in a worker's thread, outside of the gate: however long it takes, versions change meanwhile. */
typedef void rs_own_handler(void *context, const rs_own_call *own);

typedef struct rs_own_route {
  const char *method, *path; /* as in rs_route; one of the server's may be among them: it stands before that then */
} rs_own_route;

/* One that is POST /recommend stands before each request of /invocations, too (hooked.h): the call's body is that request.
 *
 * Before the first call. The texts are copied, the context must outlive the service. RS_EARG for more than
 * RS_OWN_ROUTES, or a path that is none; RS_ENOMEM. */
rs_status rs_server_own(rs_server *s, const rs_own_route *routes, int n, rs_own_handler *handle, void *context);

/* Ask one of the server's own routes from within a handler, as application/json; 'reply' is the caller's. By one version,
 * from its first byte to its last. No handler stands before what is asked here. */
void rs_server_inner(const rs_own_call *own, const char *method, const char *path, const char *body, size_t size,
                     rs_reply *reply);

#endif
