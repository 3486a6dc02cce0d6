/* load.c - asking at a constant rate; see load.h. */
#include "http/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"

enum { SECOND = 1000000000, READ = 1 << 16, SLACK = 1000 /* ns that a wait may last too long */ };

typedef struct lane {
  int64_t number;    /* of the request under way; -1: none */
  int64_t sent_at;   /* ns */
  size_t sent;       /* bytes of it that have gone out */
  rs_buffer got;     /* of the answer */
  size_t head, size; /* of it, where the head is there; head 0: it is not */
  int status;
  bool closes;       /* behind this answer */
} lane;

struct rs_load {
  rs_load_options options;
  char address[INET6_ADDRSTRLEN];
  struct sockaddr_storage to;
  socklen_t to_size;
  lane *lanes;        /* [connections] */
  struct pollfd *fds; /* [connections]; fd -1: not connected */
  int at;             /* lanes from here on are to be looked at before the next wait */
  int64_t total, next, over; /* requests; sent; over */
  int64_t begun, last;       /* ns */
  int64_t *latencies; /* [fine] */
  bool sorted;
  rs_load_summary summary;
  char why[300];
  int slack;   /* of the caller's thread before */
};

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t due_at(const rs_load *l, int64_t number) {
  return l->begun + (int64_t)((double)number / l->options.rate * SECOND);
}

static rs_status check(const rs_load_options *o) {
  if (!(o->rate > 0) || !(o->seconds > 0) || !(o->rate * o->seconds <= 1e9))
    return rs_fail(RS_EARG, "load: %g requests a second for %g seconds", o->rate, o->seconds);
  if (o->connections < 1 || o->connections > 4096)
    return rs_fail(RS_EARG, "load: %d connections; there can be 1 to 4096", o->connections);
  if (o->timeout_ms < 1) return rs_fail(RS_EARG, "load: a timeout of %d ms", o->timeout_ms);
  if (o->n < 1) return rs_fail(RS_EARG, "load: there is no request");
  return RS_OK;
}

static rs_status set_address(rs_load *l, const rs_load_options *o) {
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)o->port)};
  snprintf(l->address, sizeof l->address, "%s", o->address);
  l->options.address = l->address;
  if (inet_pton(AF_INET, o->address, &four.sin_addr) == 1) {
    l->to_size = sizeof four;
    memcpy(&l->to, &four, sizeof four);
  } else if (inet_pton(AF_INET6, o->address, &six.sin6_addr) == 1) {
    l->to_size = sizeof six;
    memcpy(&l->to, &six, sizeof six);
  } else {
    return rs_fail(RS_EARG, "load: '%.100s' is not the number of an address", o->address);
  }
  return RS_OK;
}

/* Connections: a lane each, on which one request at a time is under way. */

static void disconnect(rs_load *l, int i) {
  if (l->fds[i].fd >= 0) close(l->fds[i].fd);
  l->fds[i].fd = -1;
}

static rs_status connect_lane(rs_load *l, int i) {
  int handle = socket(l->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (handle < 0 || connect(handle, (struct sockaddr *)&l->to, l->to_size) != 0) {
    int reason = errno;
    if (handle >= 0) close(handle);
    return rs_fail(RS_EIO, "cannot connect to %s port %d: %s", l->options.address, l->options.port, strerror(reason));
  }
  setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  l->fds[i] = (struct pollfd){.fd = handle, .events = POLLIN};
  return RS_OK;
}

rs_status rs_load_new(rs_load **out, const rs_load_options *options) {
  rs_status status = check(options);
  if (status != RS_OK) return status;
  size_t n = (size_t)options->connections, total = (size_t)ceil(options->rate * options->seconds);
  rs_load *l = rs_alloc_zero(sizeof *l);
  if (!l) return rs_nomem("load", sizeof *l);
  l->options = *options;
  l->total = (int64_t)total;
  l->summary.why = l->why;
  l->slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
  prctl(PR_SET_TIMERSLACK, SLACK, 0, 0, 0);
  l->lanes = rs_alloc_zero(n * sizeof *l->lanes);
  l->fds = rs_alloc_zero(n * sizeof *l->fds);
  l->latencies = rs_alloc(total * sizeof *l->latencies);
  if (!l->lanes || !l->fds || !l->latencies) status = rs_nomem("load", total * sizeof *l->latencies);
  for (size_t i = 0; l->fds && i < n; i++) l->fds[i].fd = -1;
  for (size_t i = 0; l->lanes && i < n; i++) l->lanes[i].number = -1;
  if (status == RS_OK) status = set_address(l, options);
  for (int i = 0; i < options->connections && status == RS_OK; i++) status = connect_lane(l, i);
  l->at = options->connections;
  if (status == RS_OK)
    *out = l;
  else
    rs_load_free(l);
  return status;
}

void rs_load_free(rs_load *l) {
  if (!l) return;
  for (int i = 0; i < l->options.connections; i++) {
    if (l->fds) disconnect(l, i);
    if (l->lanes) rs_buffer_free(&l->lanes[i].got);
  }
  rs_free(l->lanes);
  rs_free(l->fds);
  rs_free(l->latencies);
  prctl(PR_SET_TIMERSLACK, l->slack, 0, 0, 0);
  rs_free(l);
}

/* Asking. */

/* A lane's request is over: into the counts and, as an answer, to the caller. */
static void end(rs_load *l, int i, int status, const char *body, size_t size, rs_load_answer *answer) {
  lane *k = &l->lanes[i];
  rs_load_summary *s = &l->summary;
  l->last = now();
  *answer = (rs_load_answer){k->number, status, l->last - due_at(l, k->number), body, size};
  if (status / 100 == 2)
    l->latencies[s->fine++] = answer->latency, l->sorted = false;
  else if (status > 0)
    s->other++;
  else
    s->failed++;
  if (status / 100 != 2 && s->other + s->failed == 1)
    snprintf(l->why, sizeof l->why, "%s%.0d%s%.*s", status ? "status " : "", status, status ? ": " : "",
             (int)(size < 250 ? size : 250), body);
  l->over++;
  k->number = -1;
}

static bool fail_lane(rs_load *l, int i, const char *why, rs_load_answer *answer) {
  disconnect(l, i);
  if (l->lanes[i].number < 0) return false;
  end(l, i, 0, why, strlen(why), answer);
  return true;
}

/* Send what is left of a lane's request; whether it failed. */
static bool push_out(rs_load *l, int i, rs_load_answer *answer) {
  lane *k = &l->lanes[i];
  const rs_load_request *r = &l->options.requests[k->number % l->options.n];
  while (k->sent < r->size) {
    ssize_t n = send(l->fds[i].fd, r->bytes + k->sent, r->size - k->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n < 0) return fail_lane(l, i, strerror(errno), answer);
    k->sent += (size_t)n;
  }
  l->fds[i].events = k->sent < r->size ? POLLIN | POLLOUT : POLLIN;
  return false;
}

static int free_lane(const rs_load *l) {
  for (int i = 0; i < l->options.connections; i++)
    if (l->lanes[i].number < 0) return i;
  return -1;
}

/* Send what is due while there are connections for it; whether one failed. */
static bool ask(rs_load *l, rs_load_answer *answer) {
  int64_t moment = now(), waiting = 0;
  while (l->next < l->total && due_at(l, l->next) <= moment) {
    int i = free_lane(l);
    if (i < 0) break;
    lane *k = &l->lanes[i];
    rs_status status = l->fds[i].fd < 0 ? connect_lane(l, i) : RS_OK;
    k->number = l->next++;
    k->sent_at = moment;
    k->sent = k->head = k->got.size = 0;
    if (status != RS_OK ? fail_lane(l, i, rs_message(), answer) : push_out(l, i, answer)) return true;
  }
  if (l->next < l->total) waiting = (int64_t)((double)(moment - l->begun) / SECOND * l->options.rate) + 1 - l->next;
  if (waiting > l->total - l->next) waiting = l->total - l->next;
  if (waiting > l->summary.waited) l->summary.waited = waiting;
  return false;
}

/* Listening. */

/* The value of a header in the head of an answer, up to its end of line; NULL when it is not there. */
static const char *header(const char *head, const char *name) {
  size_t n = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
    if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') return line + 3 + n + strspn(line + 3 + n, " ");
  return NULL;
}

/* Read status, length and whether the connection ends from a head that is there; NULL, or what is wrong with it. */
static const char *read_head(lane *k) {
  char *behind = memmem(k->got.data, k->got.size, "\r\n\r\n", 4);
  if (!behind) return k->got.size > READ ? "the answer's head is too long" : NULL;
  behind[2] = 0; /* a text, whose last line has its end */
  const char *length = header(k->got.data, "content-length"), *connection = header(k->got.data, "connection");
  char *end = NULL;
  unsigned long size = length ? strtoul(length, &end, 10) : 0;
  if (sscanf(k->got.data, "HTTP/1.%*1d %3d ", &k->status) != 1) return "the answer is not HTTP/1";
  if (!end || end == length || size > (1ul << 30)) return "the answer does not tell its Content-Length";
  k->head = (size_t)(behind - k->got.data) + 4;
  k->size = size;
  k->closes = connection && strncasecmp(connection, "close", 5) == 0;
  return NULL;
}

/* Look at what has come for a lane; whether its request is over. */
static rs_status listen_to(rs_load *l, int i, rs_load_answer *answer, bool *over) {
  lane *k = &l->lanes[i];
  *over = false;
  for (;;) {
    rs_status status = rs_buffer_reserve(&k->got, READ);
    if (status != RS_OK) return status;
    ssize_t n = recv(l->fds[i].fd, k->got.data + k->got.size, READ, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return RS_OK;
    const char *why = n < 0 ? strerror(errno) : n == 0 ? "the connection was closed before the answer" : NULL;
    if (!why && k->number < 0) why = "something came that was not asked for";
    if (!why) k->got.size += (size_t)n;
    if (!why && k->head == 0) why = read_head(k);
    if (!why && k->head && k->got.size > k->head + k->size) why = "the answer is longer than it says";
    if (why) return *over = fail_lane(l, i, why, answer), RS_OK;
    if (k->head == 0 || k->got.size < k->head + k->size) continue;
    if (k->closes) disconnect(l, i);
    end(l, i, k->status, k->got.data + k->head, k->size, answer);
    *over = true;
    return RS_OK;
  }
}

/* ns until something is to be done besides listening: the next request, or the end of the longest wait. */
static int64_t patience(const rs_load *l) {
  int64_t moment = now(), until = INT64_MAX;
  for (int i = 0; i < l->options.connections; i++) {
    const lane *k = &l->lanes[i];
    int64_t limit = k->sent_at + (int64_t)l->options.timeout_ms * (SECOND / 1000);
    if (k->number >= 0 && limit < until) until = limit;
  }
  if (l->next < l->total && free_lane(l) >= 0 && due_at(l, l->next) < until) until = due_at(l, l->next);
  return until > moment ? until - moment : 0;
}

static rs_status wait_for_some(rs_load *l) {
  int64_t ns = patience(l);
  struct timespec most = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
  if (ppoll(l->fds, (nfds_t)l->options.connections, &most, NULL) < 0) {
    if (errno != EINTR) return rs_fail(RS_EIO, "load: cannot wait: %s", strerror(errno));
    for (int i = 0; i < l->options.connections; i++) l->fds[i].revents = 0;
  }
  l->at = 0;
  return RS_OK;
}

/* What the last wait said of lanes from 'at' on; whether a request is over. */
static rs_status look(rs_load *l, rs_load_answer *answer, bool *over) {
  *over = false;
  while (l->at < l->options.connections && !*over) {
    int i = l->at++, events = l->fds[i].revents;
    lane *k = &l->lanes[i];
    l->fds[i].revents = 0;
    if (l->fds[i].fd < 0) continue;
    if (events & POLLOUT && k->number >= 0) *over = push_out(l, i, answer);
    rs_status status = RS_OK;
    if (!*over && events & (POLLIN | POLLERR | POLLHUP)) status = listen_to(l, i, answer, over);
    if (status != RS_OK) return status;
    bool late = k->number >= 0 && now() - k->sent_at > (int64_t)l->options.timeout_ms * (SECOND / 1000);
    if (!*over && late) *over = fail_lane(l, i, "there was no answer in time", answer);
  }
  return RS_OK;
}

rs_status rs_load_next(rs_load *l, rs_load_answer *answer, bool *more) {
  bool over = false;
  if (l->begun == 0) l->begun = l->last = now();
  while ((*more = l->over < l->total)) {
    over = ask(l, answer);
    rs_status status = over ? RS_OK : look(l, answer, &over);
    if (over || status != RS_OK) return status;
    if (l->at == l->options.connections && (status = wait_for_some(l)) != RS_OK) return status;
  }
  return RS_OK;
}

rs_status rs_load_run(rs_load *l) {
  rs_load_answer answer;
  bool more = true;
  rs_status status = RS_OK;
  while (status == RS_OK && more) status = rs_load_next(l, &answer, &more);
  return status;
}

/* Figures. */

rs_load_summary rs_load_summary_of(const rs_load *l) {
  rs_load_summary s = l->summary;
  s.due = l->begun ? (int64_t)((double)(now() - l->begun) / SECOND * l->options.rate) + 1 : 0;
  if (s.due > l->total) s.due = l->total;
  s.seconds = (double)(l->last - l->begun) / SECOND;
  return s;
}

static int rising(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int64_t rs_load_percentile(rs_load *l, double share) {
  int64_t n = l->summary.fine;
  if (n == 0) return -1;
  if (!l->sorted) qsort(l->latencies, (size_t)n, sizeof *l->latencies, rising);
  l->sorted = true;
  int64_t rank = (int64_t)ceil(share * (double)n);
  return l->latencies[rank < 1 ? 0 : rank > n ? n - 1 : rank - 1];
}
