/* server.c - see server.h.
 *
 * A complete request is suspended, so that libmicrohttpd leaves it alone, and resumed by its answer: no code of the
 * caller ever runs inside a callback. */
#include "http/server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "http/listen.h"

enum { HEADERS = 128 << 10 }; // of a connection; what is not used costs nothing. A query of 1,000 names takes 70 KiB

enum {
  LARGE = 64 << 10,   // bytes of a body that is announced
  PASSED = 16 << 20,  // bytes of a refused body that are read and forgotten
  WRITTEN = 8 << 20,  // bytes of a file between signs to the system to write them: who syncs it then waits for few
};

typedef enum stage { READING, READY, TAKEN, ADMITTED, ANSWERED } stage;

struct rs_http_request {
  rs_http_server *server;
  struct MHD_Connection *connection; /* NULL until its headers are there */
  const char *method;
  stage stage;
  bool announced; /* its headers are handed over, or it was refused by them */
  rs_http_target target;
  rs_http_pair *headers;
  char *header_text;
  int n_headers;
  rs_buffer body;
  int64_t size;
  int64_t written; /* of which the system was told to write as much */
  int file;        /* of the spool, when 'path' is there */
  char *path;
  char address[64];
  int refusal; /* the status that it has earned already; 0: none */
  const char *reason;
  struct MHD_Response *response;
  int status;
  rs_http_request *before, *after; /* among all */
  rs_http_request *next;           /* among those that are ready */
};

struct rs_http_server {
  struct MHD_Daemon *daemon;
  int port;
  int64_t max_body, max_memory;
  bool announce;
  char *spool;
  rs_http_request *all;
  rs_http_request *first, *last; /* ready */
  rs_http_request *taken;        /* and not answered yet */
};

/* Requests. */

static void forget(rs_http_request *r) {
  rs_http_server *s = r->server;
  if (r->before) r->before->after = r->after;
  if (r->after) r->after->before = r->before;
  if (s->all == r) s->all = r->after;
  if (s->taken == r) s->taken = NULL;
  if (r->path) {
    close(r->file);
    unlink(r->path);
  }
  if (r->response) MHD_destroy_response(r->response);
  rs_http_target_free(&r->target);
  rs_buffer_free(&r->body);
  rs_free(r->headers);
  rs_free(r->header_text);
  rs_free(r->path);
  rs_free(r);
}

static void refuse(rs_http_request *r, int status, const char *reason) {
  r->refusal = status;
  r->reason = reason;
}

/* A request's first sign, its line; what it returns is the context of all later calls. */
static void *on_line(void *context, const char *uri, struct MHD_Connection *connection) {
  (void)connection;
  rs_http_server *s = context;
  rs_http_request *r = rs_alloc_zero(sizeof *r);
  if (!r) return NULL;
  r->server = s;
  r->after = s->all;
  if (s->all) s->all->before = r;
  s->all = r;
  rs_status status = rs_http_target_parse(&r->target, uri);
  if (status == RS_EFORMAT) refuse(r, MHD_HTTP_BAD_REQUEST, "The address is no percent-encoded UTF-8.\n");
  if (status == RS_ENOMEM) refuse(r, MHD_HTTP_SERVICE_UNAVAILABLE, "Out of memory.\n");
  return r;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code) {
  (void)context, (void)connection, (void)code;
  if (*request) forget(*request);
  *request = NULL;
}

typedef struct filling {
  rs_http_request *request;
  size_t bytes;
  int n;
} filling;

static enum MHD_Result measure(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
  (void)kind;
  filling *f = context;
  f->n++;
  f->bytes += strlen(name) + (value ? strlen(value) : 0) + 2;
  return MHD_YES;
}

static enum MHD_Result fill(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
  (void)kind;
  filling *f = context;
  rs_http_request *r = f->request;
  char *to = r->header_text + f->bytes;
  r->headers[r->n_headers++] = (rs_http_pair){to, to + strlen(name) + 1};
  for (; *name; name++) *to++ = (char)tolower((unsigned char)*name);
  *to++ = 0;
  to = stpcpy(to, value ? value : "") + 1;
  f->bytes = (size_t)(to - r->header_text);
  return MHD_YES;
}

static bool copy_headers(rs_http_request *r) {
  filling f = {.request = r};
  MHD_get_connection_values(r->connection, MHD_HEADER_KIND, measure, &f);
  r->header_text = rs_alloc(f.bytes);
  r->headers = rs_alloc(sizeof *r->headers * (size_t)f.n);
  if (!r->header_text || !r->headers) return false;
  f.bytes = 0;
  MHD_get_connection_values(r->connection, MHD_HEADER_KIND, fill, &f);
  return true;
}

static void note_address(rs_http_request *r) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  const struct sockaddr *address = info ? info->client_addr : NULL;
  if (!address) return;
  if (address->sa_family == AF_INET)
    inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, r->address, sizeof r->address);
  else if (address->sa_family == AF_INET6)
    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, r->address, sizeof r->address);
}

/* The most bytes that a body may have. */
static int64_t most(const rs_http_server *s) {
  return s->spool || s->max_memory > s->max_body ? s->max_body : s->max_memory;
}

static void begin(rs_http_request *r, struct MHD_Connection *connection, const char *method) {
  r->connection = connection;
  r->method = method;
  note_address(r);
  if (!copy_headers(r)) refuse(r, MHD_HTTP_SERVICE_UNAVAILABLE, "Out of memory.\n");
  const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  if (length && strtoll(length, NULL, 10) > most(r->server)) /* more digits than a number has are its maximum */
    refuse(r, MHD_HTTP_CONTENT_TOO_LARGE, "The body is larger than is allowed here.\n");
}

/* Move the body into a new file of the spool. */
static bool spool(rs_http_request *r) {
  size_t room = strlen(r->server->spool) + sizeof "/upload-XXXXXX";
  char *path = rs_alloc(room);
  if (!path) return false;
  snprintf(path, room, "%s/upload-XXXXXX", r->server->spool);
  r->file = mkostemp(path, O_CLOEXEC);
  if (r->file < 0) {
    rs_free(path);
    return false;
  }
  r->path = path;
  return true;
}

static bool write_all(int file, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t written = write(file, bytes, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    n -= (size_t)written;
  }
  return true;
}

static bool keep(rs_http_request *r, const char *bytes, size_t n) {
  if (!r->path && r->size <= r->server->max_memory) return rs_buffer_append(&r->body, bytes, n) == RS_OK;
  if (!r->path && (!spool(r) || !write_all(r->file, r->body.data, r->body.size))) return false;
  rs_buffer_free(&r->body);
  if (!write_all(r->file, bytes, n)) return false;
  if (r->size - r->written >= WRITTEN) {
    sync_file_range(r->file, r->written, 0, SYNC_FILE_RANGE_WRITE); /* where it cannot, nothing is lost */
    r->written = r->size;
  }
  return true;
}

static enum MHD_Result queue_refusal(struct MHD_Connection *connection, int status, const char *reason) {
  struct MHD_Response *response =
      MHD_create_response_from_buffer(strlen(reason), (void *)(uintptr_t)reason, MHD_RESPMEM_PERSISTENT);
  if (!response) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result hand_over(rs_http_request *r) {
  rs_http_server *s = r->server;
  r->stage = READY;
  if (s->last) s->last->next = r;
  s->last = r;
  if (!s->first) s->first = r;
  MHD_suspend_connection(r->connection);
  return MHD_YES;
}

/* The body is complete: hand the request over, or send its answer when it has one. */
static enum MHD_Result complete(rs_http_request *r) {
  if (r->response) return MHD_queue_response(r->connection, (unsigned)r->status, r->response);
  if (r->refusal) return queue_refusal(r->connection, r->refusal, r->reason);
  return hand_over(r);
}

static const char *header(const rs_http_request *r, const char *name) {
  return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* Bytes of the body by the headers; -1: they do not tell. */
static int64_t told_size(const rs_http_request *r) {
  const char *length = header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
  if (header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING)) return -1;
  return length ? strtoll(length, NULL, 10) : 0;
}

/* The headers are there. */
static enum MHD_Result on_headers(rs_http_request *r, struct MHD_Connection *connection, const char *method) {
  begin(r, connection, method);
  if (r->refusal) return queue_refusal(connection, r->refusal, r->reason);
  int64_t size = told_size(r);
  r->announced = r->server->announce && (size < 0 || size > LARGE);
  return r->announced ? hand_over(r) : MHD_YES;
}

/* An announced request was refused: at once, unless its client is to send the body before it reads the answer. */
static enum MHD_Result turn_away(rs_http_request *r) {
  r->announced = false;
  if (told_size(r) > PASSED || header(r, MHD_HTTP_HEADER_EXPECT)) return complete(r);
  return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **request) {
  (void)context, (void)url, (void)version;
  rs_http_request *r = *request;
  if (!r) return MHD_NO;
  if (!r->connection) return on_headers(r, connection, method);
  if (r->announced) return turn_away(r);
  if (r->stage == ADMITTED) { /* by the headers, with which it is called once more */
    r->stage = READING;
    return MHD_YES;
  }
  if (*size == 0) return complete(r);
  r->size += (int64_t)*size;
  if (r->size > (r->response ? PASSED : most(r->server))) return MHD_NO;
  if (!r->refusal && !r->response && !keep(r, data, *size))
    refuse(r, MHD_HTTP_INSUFFICIENT_STORAGE, "There is no room for the body.\n");
  *size = 0;
  return MHD_YES;
}

/* The server. */

static rs_status start(rs_http_server *s, const rs_http_options *o) {
  rs_listening at;
  rs_status status = rs_listen(&at, o->address, o->port);
  if (status != RS_OK) return status;
  s->port = at.port;
  unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (at.family == AF_INET6 ? MHD_USE_IPv6 : 0);
  s->daemon = MHD_start_daemon(
      flags, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, at.handle, MHD_OPTION_URI_LOG_CALLBACK, on_line, s,
      MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS,
      MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)o->timeout_s, MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->connections,
      MHD_OPTION_END);
  if (s->daemon) return RS_OK;
  close(at.handle);
  return rs_fail(RS_EIO, "the HTTP server cannot be started");
}

rs_status rs_http_listen(rs_http_server **out, const rs_http_options *o) {
  rs_http_server *s = rs_alloc_zero(sizeof *s);
  if (!s) return rs_fail(RS_ENOMEM, "no memory for an HTTP server");
  s->max_body = o->max_body;
  s->max_memory = o->max_memory;
  s->announce = o->announce;
  rs_status status = RS_OK;
  if (o->spool && !(s->spool = rs_strdup(o->spool))) status = rs_fail(RS_ENOMEM, "no memory for an HTTP server");
  if (status == RS_OK) status = start(s, o);
  if (status == RS_OK)
    *out = s;
  else
    rs_http_server_free(s);
  return status;
}

void rs_http_server_free(rs_http_server *s) {
  if (!s) return;
  for (rs_http_request *r = s->all; r; r = r->after)
    if (r->stage == READY || r->stage == TAKEN) MHD_resume_connection(r->connection);
  if (s->daemon) MHD_stop_daemon(s->daemon);
  while (s->all) forget(s->all);
  rs_free(s->spool);
  rs_free(s);
}

int rs_http_port(const rs_http_server *s) { return s->port; }

rs_status rs_http_step(rs_http_server *s, int timeout_ms, rs_http_request **ready) {
  static const char failed[] = "The server failed to answer.\n";
  *ready = NULL;
  if (s->taken) {
    rs_http_response response = {.status = MHD_HTTP_INTERNAL_SERVER_ERROR, .body = failed, .size = sizeof failed - 1};
    rs_status status = rs_http_answer(s->taken, &response);
    if (status != RS_OK) return status;
  }
  if (!s->first && MHD_run_wait(s->daemon, timeout_ms) == MHD_NO) return rs_fail(RS_EIO, "the HTTP server has failed");
  *ready = s->first;
  return RS_OK;
}

void rs_http_take(rs_http_request *r) {
  rs_http_server *s = r->server;
  s->first = r->next;
  if (!s->first) s->last = NULL;
  r->next = NULL;
  r->stage = TAKEN;
  s->taken = r;
}

bool rs_http_is_announced(const rs_http_request *r) { return r->announced; }

void rs_http_admit(rs_http_request *r) {
  r->announced = false;
  r->stage = ADMITTED;
  r->server->taken = NULL;
  MHD_resume_connection(r->connection);
}

const char *rs_http_method(const rs_http_request *r) { return r->method; }

const rs_http_target *rs_http_asked(const rs_http_request *r) { return &r->target; }

int rs_http_headers(const rs_http_request *r, const rs_http_pair **headers) {
  *headers = r->headers;
  return r->n_headers;
}

const char *rs_http_body(const rs_http_request *r, size_t *size) {
  *size = r->body.size;
  return r->path ? NULL : r->body.data ? r->body.data : "";
}

const char *rs_http_body_file(const rs_http_request *r) { return r->path; }

const char *rs_http_client_address(const rs_http_request *r) { return r->address; }

/* Answers. */

static rs_status of_file(struct MHD_Response **out, const char *path) {
  struct stat about;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return rs_fail(RS_EIO, "%s: %s", path, strerror(errno));
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
    close(file);
    return rs_fail(RS_EIO, "%s: not a file", path);
  }
  *out = MHD_create_response_from_fd64((uint64_t)about.st_size, file);
  if (*out) return RS_OK;
  close(file);
  return rs_fail(RS_ENOMEM, "no memory for an answer");
}

static rs_status of_bytes(struct MHD_Response **out, const void *bytes, size_t size) {
  void *copy = rs_alloc(size);
  if (copy) {
    if (size > 0) memcpy(copy, bytes, size);
    *out = MHD_create_response_from_buffer_with_free_callback(size, copy, rs_free);
    if (*out) return RS_OK;
    rs_free(copy);
  }
  return rs_nomem("an answer", size);
}

rs_status rs_http_answer(rs_http_request *r, const rs_http_response *a) {
  struct MHD_Response *response = NULL;
  if (a->status < 200 || a->status > 599) return rs_fail(RS_EARG, "no status of an answer: %d", a->status);
  rs_status status = a->file ? of_file(&response, a->file) : of_bytes(&response, a->body, a->size);
  if (status != RS_OK) return status;
  for (int i = 0; i < a->n; i++)
    if (MHD_add_response_header(response, a->headers[i].name, a->headers[i].value) == MHD_NO) {
      MHD_destroy_response(response);
      return rs_fail(RS_EARG, "the header '%.200s' cannot be sent", a->headers[i].name);
    }
  r->response = response;
  r->status = a->status;
  r->stage = ANSWERED;
  r->server->taken = NULL;
  MHD_resume_connection(r->connection);
  return RS_OK;
}
