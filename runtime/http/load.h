/* load.h - a client that asks at a constant rate, whatever becomes of the answers: what a service's latency is told by.
 *
 * Request i is due i / rate seconds after the start. Where every connection is waiting for an answer it is sent late,
 * and its latency still counts from when it was due: a service that stalls is held to all that it should have been asked
 * meanwhile, which a client that waits for one answer before it asks again would leave out ("coordinated omission").
 *
 * There is no thread: the caller's asks and listens, in rs_load_next. What it does between two calls delays what is due
 * then, and counts as the service's latency: rs_load_run is for measuring, rs_load_next for looking at answers. */
#ifndef RS_HTTP_LOAD_H
#define RS_HTTP_LOAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct rs_load rs_load;

typedef struct rs_load_request {
  const char *bytes; /* head and body as they are sent; the answer must tell its Content-Length */
  size_t size;
} rs_load_request;

typedef struct rs_load_options {
  const char *address;             /* a number, such as "127.0.0.1" */
  int port;
  double rate, seconds;            /* requests a second, and for how long */
  int connections;                 /* kept alive; so many requests are under way at the most */
  int timeout_ms;                  /* for an answer, from when its request was sent; then it has failed */
  const rs_load_request *requests; /* request i asks requests[i % n]; they must outlive the load */
  int64_t n;
} rs_load_options;

/* Connect. RS_EARG for options that make no sense; RS_EIO. */
rs_status rs_load_new(rs_load **out, const rs_load_options *options);
void rs_load_free(rs_load *l); /* NULL is fine */

typedef struct rs_load_answer {
  int64_t number;       /* of the request, from 0 */
  int status;           /* of HTTP; 0: it failed, and 'body' says why */
  int64_t latency;      /* ns from when it was due to the answer's last byte */
  const char *body;     /* valid until the next call; not terminated */
  size_t size;
} rs_load_answer;

/* The next request that is over; *more = false when all are. The clock starts with the first call. RS_ENOMEM, RS_EIO when
 * the system refuses to wait. */
rs_status rs_load_next(rs_load *l, rs_load_answer *answer, bool *more);

/* All that are left. */
rs_status rs_load_run(rs_load *l);

typedef struct rs_load_summary {
  int64_t due;      /* so far */
  int64_t fine;     /* answered by a status 2xx */
  int64_t other;    /* answered by another status */
  int64_t failed;   /* not answered: connections that were refused, reset, closed or silent */
  int64_t waited;   /* most requests that were due at once and not sent, for want of a connection */
  double seconds;   /* from the start to the last answer */
  const char *why;  /* the first failure, or status and body of the first other answer; "" */
} rs_load_summary;

rs_load_summary rs_load_summary_of(const rs_load *l);

/* The latency in ns that a share 0 .. 1 of the fine answers did not exceed, by the nearest rank; -1 without any. */
int64_t rs_load_percentile(rs_load *l, double share);

#endif
