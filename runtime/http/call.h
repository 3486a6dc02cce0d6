/* call.h - one request to a service and its reply, as a handler sees them.
 *
 * What is asked belongs to the service and is valid until the handler returns. The reply's body is the worker's buffer,
 * emptied before each call and used again for the next one: in the steady state nothing is allocated. */
#ifndef RS_HTTP_CALL_H
#define RS_HTTP_CALL_H
#include <stdint.h>

#include "base/buffer.h"
#include "http/target.h"

enum { RS_REPLY_HEADERS = 8 };

/* What a token allows: to ask; what is an admin's; to read metrics; to change or see what is kept of people and items. A
 * token with the admin's scope has all of them. */
enum { RS_SCOPE_USE = 1, RS_SCOPE_ADMIN = 2, RS_SCOPE_METRICS = 4, RS_SCOPE_WRITE = 8, RS_SCOPE_ALL = 15 };

typedef struct rs_call {
  int worker;                   /* 0-based: who answers; a handler keeps its scratch memory by it */
  const char *method;           /* "GET", "POST", ...; HEAD is handed over as GET, and what is answered not sent */
  const rs_http_target *target; /* path and query, decoded */
  const rs_http_pair *headers;  /* names in lower case */
  int n_headers;
  const char *body; /* not terminated; NULL when there is none */
  size_t size;
  const char *request_id; /* the client's X-Request-Id where it is one, else a new one */
  const char *client;     /* its address as a number */
  const char *principal;  /* name of the token that was shown; "" for none */
  unsigned scopes;        /* what that token allows, RS_SCOPE_...; all where the service has no tokens; 0 where none is needed */
  int64_t arrived;        /* ns of the monotonic clock, when its first byte was read */
} rs_call;

typedef struct rs_reply {
  int status;       /* 200 when the handler is called */
  const char *type; /* of the body: "application/json" when the handler is called; a literal or the worker's memory */
  rs_buffer *body;  /* append to it */
  rs_http_pair headers[RS_REPLY_HEADERS]; /* more headers; literals or the worker's memory */
  int n_headers;
  const char *log_path; /* what the access log calls the path, which may tell who the user is; NULL: the path. Plain text
                         * that lasts as long as the service */
} rs_reply;

/* Answer one call. Runs in a worker's thread: no Lua, no lock that others hold for long, no parallel region. */
typedef void rs_handler(void *context, const rs_call *call, rs_reply *reply);

/* The value of a header by its name in lower case; NULL when it was not sent. */
const char *rs_call_header(const rs_call *call, const char *name);

/* Answer by a status and {"error":{"code":"...","message":"..."}} in place of what the body holds. */
void rs_reply_error(rs_reply *reply, int status, const char *code, const char *message);

#endif
