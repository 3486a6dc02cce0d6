/* service_parts.h - what the pieces of a service share: its workers and their connections. Within the http folder. */
#ifndef RS_HTTP_SERVICE_PARTS_H
#define RS_HTTP_SERVICE_PARTS_H
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "http/access_log.h"
#include "http/addresses.h"
#include "http/head.h"
#include "http/linger.h"
#include "http/listen.h"
#include "http/proxies.h"
#include "http/rate.h"
#include "http/service.h"
#include "http/tls.h"

enum {
  RS_INBOX = 64,             /* connections on their way to a worker */
  RS_PASSED = 64 << 10,      /* bytes of a body that are passed over, to keep a connection whose request is refused */
  RS_KEPT = 64 << 10,        /* bytes of a buffer that are kept for the next request */
  RS_SMALL = 256 << 10,      /* bytes of a reply that there is always room for */
  RS_HELD = 256 << 20,       /* bytes of a worker's replies that are not taken yet, beyond which larger ones are refused */
  RS_LINE = 8 << 10,         /* bytes of a target or a header field at the most */
  RS_HEAD_BYTES = 16 << 10,  /* of all of a head */
  RS_REQUEST_ID = 128,       /* bytes of an X-Request-Id at the most */
  RS_STILL_NS = 250 * 1000000 /* after which a draining service closes a connection that waits for a request */
};

typedef struct rs_worker rs_worker;

typedef union rs_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} rs_address;

/* Bytes of a reply, until they are sent. */
typedef struct rs_sending {
  rs_buffer bytes;
  size_t held; /* bytes of it that count among the worker's */
  rs_worker *of;
  struct rs_sending *next; /* of those that are free */
} rs_sending;

/* What a connection is at. */
typedef enum rs_stage {
  RS_IDLE,     /* waits for a request */
  RS_HEAD,     /* a head comes in; a new connection begins here */
  RS_BODY,     /* a body comes in */
  RS_REPLYING, /* a reply goes out */
  RS_LEFT      /* was cut off */
} rs_stage;

/* A connection. Its buffers are kept for the next one. */
typedef struct rs_link {
  rs_worker *of;
  struct rs_link *before, *after; /* of the worker's open ones; 'after' alone of the free ones */
  int handle;
  uint64_t address; /* rs_address_key of the client */
  char client[INET6_ADDRSTRLEN];
  bool proxied; /* the client is told by each request, as a trusted proxy has connected */
  rs_stage stage;
  int64_t since;    /* ns, when it came to this stage */
  int64_t looked, taken; /* ns, when a reply was last looked at, 0: not yet; bytes that had been taken until then */
  int64_t received; /* bytes that had come from it when that was last looked at while it was idle; -1: not yet */
  /* the request at hand */
  bool called;     /* the first callback was there */
  bool handed;     /* it was handed to the handler */
  bool head_only;  /* HEAD */
  bool last;       /* no other request is taken behind it */
  bool lingers;    /* what the client sends behind it is passed over for a while */
  const char *line_target; /* where libmicrohttpd has its target */
  size_t target_size;
  rs_fault fault;   /* of the target; later what the request is answered by when all of it is there */
  char retry[16];   /* seconds, of a 429 */
  int token;        /* position of the one that was shown; -1: none */
  int64_t arrived; /* ns */
  int64_t size;    /* of its body, so far */
  size_t reply_size;
  int status; /* of its reply; 0: there was none of ours */
  const char *method; /* a literal; "" for one that is not known */
  rs_http_target target;
  const char *log_path; /* in place of the path in the log; NULL: it stands there */
  int n_headers;
  char id[RS_REQUEST_ID + 1];
  rs_buffer target_memory, head_memory, body;
} rs_link;

typedef struct rs_arrival {
  int handle;
  socklen_t size;
  rs_address from;
} rs_arrival;

/* Counted by the worker alone, read by others. */
typedef struct rs_tally {
  atomic_int_fast64_t requests, in_flight, body_bytes, reply_bytes, closed;
  atomic_int_fast64_t refused[RS_REFUSED_KINDS];
} rs_tally;

struct rs_worker {
  _Alignas(RS_ALIGN) rs_service *service;
  int index;
  struct MHD_Daemon *daemon;
  int events, inner, wake; /* epoll over libmicrohttpd's own, the eventfd 'wake', and what lingers */
  pthread_t thread;
  bool running;
  rs_link *open, *free_links;
  rs_sending *free_sendings;
  size_t held; /* bytes of replies that are not sent yet */
  bool welcomed;      /* libmicrohttpd has told of the connection that is being added */
  rs_linger linger;
  char second[32]; /* the second of the log's last line, as a text */
  int64_t second_number;
  int64_t next_sweep; /* ns */
  uint64_t ids;       /* made so far */
  rs_tally tally;
  _Alignas(RS_ALIGN) atomic_int given; /* connections, with those in the inbox: the door adds, the worker takes off */
  atomic_uint filled, emptied;         /* of the inbox: by the door, by the worker */
  rs_arrival inbox[RS_INBOX];
};

/* CLOSING: the door is being shut; DRAINING: nobody comes in any more. */
typedef enum rs_phase { RS_SERVING, RS_CLOSING, RS_DRAINING, RS_STOPPED } rs_phase;

struct rs_service {
  rs_service_options options; /* with the defaults filled in */
  rs_handler *handler;
  void *context;
  rs_listening at;
  rs_buffer names; /* what Host may name, terminated; empty: anything */
  char too_large[100]; /* what is told of a body beyond the limit */
  int n; /* workers */
  rs_worker *workers;
  rs_addresses *addresses; /* NULL: they are not counted */
  rs_rate *rate;           /* NULL: no limit */
  rs_proxies *proxies;     /* NULL: none is trusted */
  rs_access_log *log;      /* NULL: none */
  rs_tls tls;
  pthread_t door;
  bool door_running;
  int door_events, door_wake; /* epoll over the listening socket and the eventfd */
  rs_linger door_linger;
  uint64_t seed;              /* of request ids */
  bool sees_lines;            /* the library at hand leaves heads where they came in: rs_head.end */
  atomic_int phase;
  atomic_int working; /* workers whose loop has not ended */
  atomic_int_fast64_t accepted, turned_away;
};

static inline void rs_tally_add(atomic_int_fast64_t *count, int64_t n) {
  atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

int64_t rs_service_now(void); /* ns of the monotonic clock */
void rs_service_wake(int eventfd);
/* By what the connections of an address are counted; 0: they are not. */
static inline uint64_t rs_counted_by(const rs_service *s, const struct sockaddr *from) {
  return s->addresses && !rs_proxies_have(s->proxies, from) ? rs_address_key(from) : 0;
}
/* A connection has gone, of which the door told w. */
void rs_worker_gone(rs_worker *w, const struct sockaddr *from);

/* door.c: a thread that accepts connections. */
rs_status rs_door_open(rs_service *s);
void *rs_door_run(void *service);
void rs_door_free(rs_service *s);

/* worker.c: the loop of a thread that answers. */
rs_status rs_worker_init(rs_worker *w);
void *rs_worker_run(void *worker);
void rs_worker_free(rs_worker *w);

/* link.c: connections, by libmicrohttpd's calls, and their deadlines. */
void rs_link_notify(void *worker, struct MHD_Connection *connection, void **link,
                    enum MHD_ConnectionNotificationCode code);
/* Whose connection it is: 'from', as long as no request of a proxy's tells otherwise. */
void rs_link_name(rs_link *l, const struct sockaddr *from);
void rs_link_sweep(rs_worker *w, int64_t now);
/* Send a refusal past libmicrohttpd, which has no way to at that moment, unless the connection is encrypted. */
void rs_link_say(const rs_link *l, int status, const char *reason, const char *message);
void rs_link_free(rs_link *l);

/* request.c: requests, by libmicrohttpd's calls. */
void *rs_request_line(void *worker, const char *target, struct MHD_Connection *connection);
enum MHD_Result rs_request_event(void *worker, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *size, void **link);
void rs_request_completed(void *worker, struct MHD_Connection *connection, void **link,
                          enum MHD_RequestTerminationCode code);

/* log_line.c: a line of the access log for a request that has ended. */
void rs_link_log(rs_link *l);

#endif
