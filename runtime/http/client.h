/* client.h - HTTP requests over libcurl, one at a time, over connections that are kept.
 *
 * A request is started and waited for in turns, so that the caller can look after other things, such as signals. Only
 * http and https are spoken; redirections are answers like others. */
#ifndef RS_HTTP_CLIENT_H
#define RS_HTTP_CLIENT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "http/target.h"

typedef struct rs_http_client rs_http_client;

typedef struct rs_http_client_options {
  const char *user, *password; /* sent with every request; NULL: none */
  const char *token;           /* a bearer token, where there is no user */
  const char *ca;              /* a file of certificates to trust instead of the system's */
  bool insecure;               /* trust any certificate */
  int timeout_ms;              /* how long to wait for an answer, see rs_http_wait; 0: for ever */
  int64_t max_body;            /* bytes of an answer kept in memory; more is RS_EFORMAT */
} rs_http_client_options;

rs_status rs_http_client_new(rs_http_client **out, const rs_http_client_options *options);
void rs_http_client_free(rs_http_client *client); /* NULL is fine */

typedef struct rs_http_call {
  const char *method, *url;
  const rs_http_pair *headers; /* copied */
  int n;
  const void *body; /* not copied: it must stay until the end; NULL: none */
  size_t size;
  const char *file; /* instead of a body: sent as it is read */
  const char *into; /* an answer of status 2xx is written to this file, which is replaced when all is there */
} rs_http_call;

/* Begin a request; one that is under way is abandoned. RS_EIO for a file that cannot be read or written, RS_EARG for an
 * address or header that makes no sense. */
rs_status rs_http_start(rs_http_client *client, const rs_http_call *call);

/* Go on with it for timeout_ms at the most. RS_EIO when there is no answer, with the reason, RS_EFORMAT for one that is
 * no HTTP or too long: it is over then.
 *
 * A request may take as long as the client's option says; one that sends or fetches a file any time, as long as no
 * silence is that long, or longer by a second for each 4 MiB sent, which the server puts away before it answers. What
 * counts is the time that is spent here, and of each pause between two calls a second at the most: a caller that was at
 * something else does not blame the server. */
rs_status rs_http_wait(rs_http_client *client, int timeout_ms, bool *done);

/* Abandon what is under way. */
void rs_http_stop(rs_http_client *client);
bool rs_http_busy(const rs_http_client *client);

/* The last answer, valid until the next start. Names of headers are in lower case. */
int rs_http_status(const rs_http_client *client);
int rs_http_reply_headers(const rs_http_client *client, const rs_http_pair **headers);
const char *rs_http_reply(const rs_http_client *client, size_t *size);

#endif
