/* server.h - an HTTP server over libmicrohttpd that the caller's thread drives: bytes in, bytes out.
 *
 * There is no other thread: rs_http_step looks after all connections and hands over requests one by one, each when its
 * last byte is there. A slow client therefore keeps nobody waiting. A body of more than max_memory bytes lies in a file
 * of the spool folder, which goes with the request; one of more than max_body is refused by 413, or cut off where its
 * size was not told before. Headers of more than 64 KiB are refused by 431, a connection that says nothing for
 * timeout_s seconds is closed.
 *
 * Who announces requests can refuse a body before it comes: one whose body is of more than 64 KiB, or of a size that is
 * not told, is handed over first by its headers alone, and comes again, whole, when it was admitted. */
#ifndef RS_HTTP_SERVER_H
#define RS_HTTP_SERVER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "http/target.h"

typedef struct rs_http_server rs_http_server;
typedef struct rs_http_request rs_http_request;

typedef struct rs_http_options {
  const char *address; /* a name or number of this machine; "" or "*": all of its addresses */
  int port;            /* 0: any that is free */
  int64_t max_body;    /* bytes */
  int64_t max_memory;  /* bytes of a body that are kept in memory; more need the spool */
  const char *spool;   /* a folder; NULL: bodies of more than max_memory are refused */
  int timeout_s;       /* a connection's silence that is borne; 0: for ever */
  int connections;     /* at once; more wait */
  bool announce;       /* requests with large bodies */
} rs_http_options;

/* Begin to listen. RS_EIO with the address, the port and the reason when that is refused. */
rs_status rs_http_listen(rs_http_server **out, const rs_http_options *options);

/* Close all connections and forget all requests; NULL is fine. */
void rs_http_server_free(rs_http_server *server);

int rs_http_port(const rs_http_server *server);

/* The next request that is complete; NULL when there is none after timeout_ms (-1: no limit) or a signal. It stays at
 * hand until it is taken; one that was taken and not answered by the next step is answered by 500. */
rs_status rs_http_step(rs_http_server *server, int timeout_ms, rs_http_request **ready);
void rs_http_take(rs_http_request *request);

/* Whether a request is announced: its body has not come yet. It is taken and then admitted, or answered; a body that was
 * refused so is kept nowhere: it is passed over when it is of 16 MiB at the most, so that its client comes to read the
 * answer, and else the connection is closed. */
bool rs_http_is_announced(const rs_http_request *request);
void rs_http_admit(rs_http_request *request);

/* What is asked, valid until the answer. */
const char *rs_http_method(const rs_http_request *request);
const rs_http_target *rs_http_asked(const rs_http_request *request);
/* Headers; names in lower case, the values of equal names joined by ", ". */
int rs_http_headers(const rs_http_request *request, const rs_http_pair **headers);
/* The body: bytes, or NULL and the path of the file it lies in, which may be moved away. */
const char *rs_http_body(const rs_http_request *request, size_t *size);
const char *rs_http_body_file(const rs_http_request *request);
/* The client's address as a number. */
const char *rs_http_client_address(const rs_http_request *request);

typedef struct rs_http_response {
  int status;
  const rs_http_pair *headers;
  int n;
  const void *body; /* copied */
  size_t size;
  const char *file; /* instead of a body: a regular file, sent as it is read */
} rs_http_response;

/* Answer a request that was taken. RS_EIO when the file cannot be read, RS_EARG for a header that cannot be sent,
 * RS_ENOMEM: it is unanswered then. */
rs_status rs_http_answer(rs_http_request *request, const rs_http_response *response);

#endif
