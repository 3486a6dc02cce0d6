/* service.h - an HTTP service over libmicrohttpd: threads that each answer the requests of their own connections.
 *
 * One thread, the door, accepts connections and gives each to the worker that has fewest; from then on nothing of it is
 * shared. A worker parses, calls the handler when a request is whole, and sends the reply out of the buffer that the
 * handler wrote: no lock, no queue, no copy between them. A client that sends nothing, or takes nothing, costs its
 * connection alone and is left by deadlines of the whole head, body and reply, not of single reads. */
#ifndef RS_HTTP_SERVICE_H
#define RS_HTTP_SERVICE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "http/call.h"
#include "http/tokens.h"

enum { RS_SERVICE_HEADERS = 100 }; /* header fields of a request at the most; more are told 431 */

typedef struct rs_service rs_service;

/* What a request needs to be allowed, RS_SCOPE_...; 0: it is everybody's, and not counted against a rate, as that for the
 * service's health. 'context' is the handler's; HEAD is asked for as GET. Runs in a worker's thread. */
typedef unsigned rs_needs(void *context, const char *method, const char *path);

/* 0 and NULL stand for what is said in brackets. */
typedef struct rs_service_options {
  const char *address; /* a name or number of this machine ["127.0.0.1"]; "*": all of its addresses */
  int port;            /* [any that is free] */
  const char *names;   /* words with a blank between: what Host may name beside loopback and 'address', where the service
                          listens on loopback and has no tokens: other names are told 403 [any name may be there] */
  int workers;         /* threads that answer [as many as rs_threads()] */
  int connections;     /* at once, in all [1024]: one more is told 503 */
  int per_address;     /* of one client's address, or /64 of IPv6 [as many as in all]: one more is told 503 */
  double rate;         /* requests a second of a token, or of an address that shows none [no limit]: more are told 429 */
  double burst;        /* of them at once [as many as a second, 1 at the least] */
  const char *proxies; /* addresses and networks with commas between, http/proxies.h: of what comes from these
                          X-Forwarded-For tells the client, of whom the rate, the log and the handler hear; how many
                          connections they have is not counted by address [none] */
  const rs_tokens *tokens; /* who may ask [everybody]: others are told 401, or 403; it must outlive the service */
  rs_needs *needs;     /* [RS_SCOPE_USE for every request] */
  const char *certificate, *key; /* PEM files [HTTP without TLS] */
  const char *access_log; /* a file that a line of JSON a request is appended to, "-": standard output [none] */
  bool log_addresses;  /* and the clients' addresses stand in it [no] */
  int64_t max_body;    /* bytes [1 MiB]: more is told 413 */
  int head_ms;         /* for the whole head of a request [10,000] */
  int idle_ms;         /* between two requests of a connection [75,000] */
  int body_rate;       /* bytes a second that a body comes in at the least, after head_ms [1,000] */
  int write_rate;      /* bytes a second that a reply is taken at the least, in each head_ms [1,000] */
} rs_service_options;

/* Listen, and answer from now on. RS_EIO with the address, the port or the file, and the reason, when that is refused;
 * RS_EFORMAT for a file that is not what it should be; RS_EARG. */
rs_status rs_service_start(rs_service **out, const rs_service_options *options, rs_handler *handler, void *context);

int rs_service_port(const rs_service *s);
int rs_service_workers(const rs_service *s);

/* Accept no more, answer what has come with "Connection: close", and return when all connections are closed, or after
 * timeout_ms those that are left are cut off. A connection that waits for a request is closed when it has been still
 * for a quarter of a second, so that one that is on its way is answered. The handler is not called after it. */
void rs_service_drain(rs_service *s, int timeout_ms);

/* Drain within no time unless that was done, and free; NULL is fine. */
void rs_service_free(rs_service *s);

/* The log's file was moved away: open its path anew. For any thread; no signal handler. */
void rs_service_reopen_log(rs_service *s);

/* Why a request or a connection was refused before a handler saw it. */
typedef enum rs_refused {
  RS_REFUSED_FORMAT,  /* 400, 405, 417, 501, 505: no request as we take them */
  RS_REFUSED_LARGE,   /* 413, 414, 431 */
  RS_REFUSED_SLOW,    /* 408, or a reply that was not taken */
  RS_REFUSED_FULL,    /* 503: too many connections, in all or of an address */
  RS_REFUSED_ACCESS,  /* 401, 403 */
  RS_REFUSED_RATE,    /* 429 */
  RS_REFUSED_KINDS
} rs_refused;

/* "format", "large", "slow", "full", "access", "rate". */
const char *rs_refused_word(rs_refused reason);

/* Since the start, summed over the workers; taken while they work, so that sums may differ by what is at hand. */
typedef struct rs_service_counts {
  int64_t connections, open; /* accepted; of them not closed yet */
  int64_t requests;          /* that were handed to the handler */
  int64_t in_flight;         /* requests whose head was begun and whose reply is not sent */
  int64_t body_bytes, reply_bytes;
  int64_t refused[RS_REFUSED_KINDS];
  int64_t log_dropped; /* lines of the access log that were dropped, so as not to wait */
} rs_service_counts;

rs_service_counts rs_service_counts_of(const rs_service *s);

#endif
