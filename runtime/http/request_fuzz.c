/* request_fuzz.c - any bytes on a connection of a service, in two pieces; without threads. Whatever reaches the handler
 * must be a request by a strict reading of the same bytes, written here a second time: the same method, target, number
 * of fields and body, in the same order, and nothing besides. */
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fuzzing.h"
#include "http/service_parts.h"

enum { MOST = 64, BODY = 4096 };

typedef struct request {
  const char *method, *target; /* not terminated */
  size_t method_size, target_size, body_size;
  int fields;
  bool last; /* nothing behind it is read */
} request;

static struct {
  request of[MOST];
  int n, answered;
} expected;

/* A strict reading. */

typedef struct reader {
  const char *at, *end;
} reader;

/* A line without CR, LF or zero bytes, up to its end. */
static bool read_line(reader *r, const char **line, size_t *size) {
  *line = r->at;
  while (r->at < r->end && *r->at != '\r' && *r->at != '\n' && *r->at != 0) r->at++;
  *size = (size_t)(r->at - *line);
  return *size > 0;
}

static bool skip(reader *r, bool is, size_t n) {
  r->at += is ? n : 0;
  return is;
}

/* CR LF, or what leaves the same bytes where the library was: a zero byte and LF. */
static bool ends_line(reader *r) {
  return skip(r, r->end - r->at >= 2 && (r->at[0] == '\r' || r->at[0] == 0) && r->at[1] == '\n', 2);
}

/* CR LF CR LF, or the same of it: zero bytes, a colon that is a line, and bare LFs, four in all. */
static bool ends_head(reader *r) {
  if (r->end - r->at < 4 || r->at[3] != '\n') return false;
  bool alike = memchr(r->at, 0, 4) || memchr(r->at, ':', 4);
  for (int i = 0; i < 4; i++) alike = alike && memchr("\r\n\0:", r->at[i], 4);
  return skip(r, alike || !memcmp(r->at, "\r\n\r\n", 4), 4);
}

static bool is_field(const char *line, size_t size, const char *name) {
  return size > strlen(name) && !strncasecmp(line, name, strlen(name)) && line[strlen(name)] == ':';
}

/* The blocks of a chunked body; lines within it may end as they like. */
static bool read_chunks(reader *r, size_t *total) {
  for (*total = 0;;) {
    size_t size = 0, digits = 0;
    for (; r->at < r->end && *r->at != '\n' && *r->at != ';' && *r->at != '\r'; r->at++, digits++) {
      int c = *r->at | 32, digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
      if (digit < 0 || size > BODY) return false;
      size = size * 16 + (size_t)digit;
    }
    r->at = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (!r->at || digits == 0) return false;
    r->at++;
    if (size == 0) return true; /* trailers follow */
    if ((size_t)(r->end - r->at) < size) return false;
    r->at += size;
    *total += size;
    if (r->at < r->end && *r->at == '\r') r->at++;
    if (r->at == r->end || *r->at++ != '\n') return false;
  }
}

/* Lines before a request that the library passes over: empty ones, and those that begin with a zero byte. */
static void pass_over(reader *r) {
  while (r->at < r->end) {
    bool empty = *r->at == '\n' || (r->end - r->at >= 2 && r->at[0] == '\r' && r->at[1] == '\n');
    const char *end = empty || *r->at == 0 ? memchr(r->at, '\n', (size_t)(r->end - r->at)) : NULL;
    if (!end) return;
    r->at = end + 1;
  }
}

static bool read_request_line(reader *r, request *q) {
  const char *line;
  size_t size;
  pass_over(r);
  if (!read_line(r, &line, &size)) return false;
  const char *first = memchr(line, ' ', size);
  const char *second = first ? memchr(first + 1, ' ', size - (size_t)(first + 1 - line)) : NULL;
  if (!second || line + size - second != 9 || memcmp(second, " HTTP/1.", 8)) return false;
  if (second[8] != '0' && second[8] != '1') return false;
  q->method = line;
  q->method_size = (size_t)(first - line);
  q->target = first + 1;
  q->target_size = (size_t)(second - q->target);
  q->last = second[8] == '0';
  return q->target_size > 0 && *q->target == '/';
}

static bool read_request(reader *r, request *q) {
  const char *line;
  size_t size, length = 0;
  bool chunked = false, sized = false;
  if (!read_request_line(r, q)) return false;
  while (!ends_head(r)) {
    if (!ends_line(r) || !read_line(r, &line, &size)) return false;
    if (!memchr(line, ':', size) || *line == ' ' || *line == '\t' || *line == ':') return false;
    q->fields++;
    if (is_field(line, size, "transfer-encoding")) {
      if (chunked) return false;
      chunked = true;
    }
    if (!is_field(line, size, "content-length")) continue;
    if (sized) return false;
    sized = true;
    const char *at = line + 15, *end = line + size;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    if (at == end) return false;
    for (; at < end; at++) {
      if (*at < '0' || *at > '9' || length > BODY) return false;
      length = length * 10 + (size_t)(*at - '0');
    }
  }
  if (chunked) {
    q->last = true;
    return !sized && read_chunks(r, &q->body_size);
  }
  q->body_size = length;
  if ((size_t)(r->end - r->at) < length) return false;
  r->at += length;
  return true;
}

static void read_strictly(const char *bytes, size_t size) {
  reader r = {bytes, bytes + size};
  expected.n = expected.answered = 0;
  while (expected.n < MOST) {
    request *q = &expected.of[expected.n];
    *q = (request){0};
    if (!read_request(&r, q)) return;
    expected.n++;
    if (q->last && memcmp(q->target + q->target_size, " HTTP/1.0", 9)) return;
  }
}

/* The service. */

static bool is_text(const char *bytes, size_t size, const char *text) {
  return strlen(text) == size && !memcmp(text, bytes, size);
}

static void compare(void *context, const rs_call *call, rs_reply *reply) {
  (void)context;
  if (expected.answered == expected.n) {
    if (expected.n < MOST) __builtin_trap(); /* more than a strict reading finds */
    return;
  }
  const request *q = &expected.of[expected.answered++];
  bool head = is_text(q->method, q->method_size, "HEAD");
  if (head ? strcmp(call->method, "GET") : !is_text(q->method, q->method_size, call->method)) __builtin_trap();
  if (!is_text(q->target, q->target_size, call->target->raw)) __builtin_trap();
  if (call->size != q->body_size || call->n_headers != q->fields) __builtin_trap();
  for (int i = 0; i < call->n_headers; i++)
    for (const char *c = call->headers[i].value; *c; c++)
      if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) __builtin_trap();
  rs_buffer_append(reply->body, call->body, call->size);
}

static rs_service service = {.handler = compare, .n = 1, .sees_lines = true, .at.handle = -1,
                             .options = {.connections = 16, .max_body = BODY, .head_ms = 10000, .idle_ms = 10000,
                                         .body_rate = 1, .write_rate = 1}};

static rs_worker *working(void) {
  if (!service.workers) {
    service.workers = rs_alloc_zero(sizeof *service.workers);
    service.workers->service = &service;
    service.workers->events = service.workers->wake = -1;
    if (rs_worker_init(service.workers) != RS_OK) __builtin_trap();
  }
  return service.workers;
}

static void run(rs_worker *w) {
  for (int i = 0; i < 8; i++) MHD_run_wait(w->daemon, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  rs_worker *w = working();
  if (size < 1) return 0;
  const char *bytes = (const char *)data + 1;
  size_t n = size - 1, first = n * data[0] / 255;
  int pair[2];
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return 0;
  read_strictly(bytes, n);
  if (MHD_add_connection(w->daemon, pair[0], (struct sockaddr *)&from, sizeof from) == MHD_NO) __builtin_trap();
  char answer[65536];
  for (int piece = 0; piece < 2; piece++) {
    const char *part = piece ? bytes + first : bytes;
    if (send(pair[1], part, piece ? n - first : first, MSG_NOSIGNAL) < 0) break;
    run(w);
    while (recv(pair[1], answer, sizeof answer, MSG_DONTWAIT) > 0) run(w);
  }
  close(pair[1]);
  run(w);
  rs_linger_sweep(&w->linger, INT64_MAX);
  if (w->open || atomic_load(&w->tally.in_flight) != 0) __builtin_trap(); /* a connection that stays */
  return 0;
}
