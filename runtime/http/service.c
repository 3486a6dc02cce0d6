/* service.c - see service.h: its start, its end and its counts. door.c accepts, worker.c has the loop of those that
 * answer, link.c their connections, request.c what is asked. */
#include "http/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/parallel.h"
#include "http/service_parts.h"

int64_t rs_service_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void rs_service_wake(int eventfd) {
  uint64_t one = 1;
  while (write(eventfd, &one, sizeof one) < 0 && errno == EINTR) {}
}

static void or_default(int *value, int otherwise) {
  if (*value == 0) *value = otherwise;
}

static rs_status fill_in(rs_service_options *o) {
  if (!o->address) o->address = "127.0.0.1";
  or_default(&o->workers, rs_threads());
  or_default(&o->connections, 1024);
  or_default(&o->per_address, o->connections);
  if (o->burst == 0) o->burst = o->rate > 1 ? o->rate : 1;
  if (o->max_body == 0) o->max_body = 1 << 20;
  or_default(&o->head_ms, 10000);
  or_default(&o->idle_ms, 75000);
  or_default(&o->body_rate, 1000);
  or_default(&o->write_rate, 1000);
  if (o->workers < 1 || o->workers > 1024) return rs_fail(RS_EARG, "workers must be 1..1024, not %d", o->workers);
  if (o->connections < 1 || o->connections > 1000000)
    return rs_fail(RS_EARG, "connections must be 1..1000000, not %d", o->connections);
  if (!o->certificate != !o->key) return rs_fail(RS_EARG, "a certificate needs its key, and a key its certificate");
  if (o->port < 0 || o->port > 65535) return rs_fail(RS_EARG, "port must be 0..65535, not %d", o->port);
  if (o->max_body < 1 || o->per_address < 1 || o->head_ms < 1 || o->idle_ms < 1 || o->body_rate < 1 ||
      o->write_rate < 1)
    return rs_fail(RS_EARG, "limits of a service must be greater than 0");
  return RS_OK;
}

static rs_status run_thread(pthread_t *thread, bool *running, void *(*body)(void *), void *context) {
  sigset_t all, before; /* signals are for the thread that began it */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  *running = pthread_create(thread, NULL, body, context) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return *running ? RS_OK : rs_fail(RS_EIO, "the system refuses a thread for the HTTP service");
}

/* What Host may name: whoever has to show a token, or can ask from elsewhere, is not kept out by it. */
static rs_status take_names(rs_service *s) {
  const rs_service_options *o = &s->options;
  if (!o->names || o->tokens || !s->at.loopback) return RS_OK;
  rs_status status = rs_buffer_printf(&s->names, "%s %s", o->address, o->names);
  return status == RS_OK ? rs_buffer_append(&s->names, "", 1) : status;
}

static rs_status make_parts(rs_service *s) {
  const rs_service_options *o = &s->options;
  rs_status status = take_names(s);
  if (status != RS_OK) return status;
  snprintf(s->too_large, sizeof s->too_large, "the body is larger than the %lld bytes that this service takes",
           (long long)o->max_body);
  if (o->proxies) status = rs_proxies_parse(&s->proxies, o->proxies);
  if (status == RS_OK && o->per_address < o->connections)
    status = rs_addresses_new(&s->addresses, o->connections, o->per_address);
  if (status == RS_OK && o->rate != 0) status = rs_rate_new(&s->rate, o->rate, o->burst);
  if (status == RS_OK && o->certificate) status = rs_tls_read(&s->tls, o->certificate, o->key);
  return status == RS_OK && o->access_log ? rs_access_log_open(&s->log, o->access_log, o->workers) : status;
}

static rs_status make_workers(rs_service *s) {
  s->workers = rs_alloc_zero(sizeof *s->workers * (size_t)s->options.workers);
  if (!s->workers) return rs_nomem("the workers of a service", sizeof *s->workers * (size_t)s->options.workers);
  for (int i = 0; i < s->options.workers; i++) s->workers[i].events = s->workers[i].wake = -1;
  rs_status status = RS_OK;
  for (int i = 0; i < s->options.workers && status == RS_OK; i++) {
    s->workers[i].service = s;
    s->workers[i].index = i;
    s->n = i + 1;
    status = rs_worker_init(&s->workers[i]);
  }
  return status;
}

static rs_status start_threads(rs_service *s) {
  rs_status status = RS_OK;
  for (rs_worker *w = s->workers; w < s->workers + s->n && status == RS_OK; w++) {
    atomic_fetch_add(&s->working, 1);
    status = run_thread(&w->thread, &w->running, rs_worker_run, w);
  }
  return status == RS_OK ? run_thread(&s->door, &s->door_running, rs_door_run, s) : status;
}

rs_status rs_service_start(rs_service **out, const rs_service_options *options, rs_handler *handler, void *context) {
  rs_service_options o = *options;
  rs_status status = fill_in(&o);
  if (status != RS_OK) return status;
  rs_service *s = rs_alloc_zero(sizeof *s);
  if (!s) return rs_nomem("a service", sizeof *s);
  *s = (rs_service){.options = o, .handler = handler, .context = context};
  s->at.handle = s->door_events = s->door_wake = -1;
  if (getrandom(&s->seed, sizeof s->seed, 0) != (ssize_t)sizeof s->seed) s->seed = (uint64_t)rs_service_now();
  s->sees_lines = !strcmp(MHD_get_version(), "0.9.75");
  status = rs_listen(&s->at, o.address, o.port);
  if (status == RS_OK) status = rs_door_open(s);
  if (status == RS_OK) status = make_parts(s);
  if (status == RS_OK) status = make_workers(s);
  if (status == RS_OK) status = start_threads(s);
  s->options.address = s->options.names = s->options.access_log = NULL; /* the caller's */
  s->options.certificate = s->options.key = s->options.proxies = NULL;
  if (status == RS_OK)
    *out = s;
  else
    rs_service_free(s);
  return status;
}

int rs_service_port(const rs_service *s) { return s->at.port; }

int rs_service_workers(const rs_service *s) { return s->n; }

static void wake_all(rs_service *s) {
  for (rs_worker *w = s->workers; w < s->workers + s->n; w++)
    if (w->wake >= 0) rs_service_wake(w->wake);
}

static void shut_door(rs_service *s) {
  atomic_store(&s->phase, RS_CLOSING);
  if (s->door_running) {
    rs_service_wake(s->door_wake);
    pthread_join(s->door, NULL);
    s->door_running = false;
  }
  rs_door_free(s);
}

void rs_service_drain(rs_service *s, int timeout_ms) {
  if (atomic_load(&s->phase) == RS_STOPPED) return;
  int64_t end = rs_service_now() + timeout_ms * (int64_t)1000000;
  shut_door(s);
  atomic_store(&s->phase, RS_DRAINING);
  wake_all(s);
  while (atomic_load(&s->working) > 0 && rs_service_now() < end) usleep(1000);
  atomic_store(&s->phase, RS_STOPPED);
  wake_all(s);
  for (rs_worker *w = s->workers; w < s->workers + s->n; w++) {
    if (w->running) pthread_join(w->thread, NULL);
    w->running = false;
  }
}

void rs_service_free(rs_service *s) {
  if (!s) return;
  rs_service_drain(s, 0);
  for (rs_worker *w = s->workers; w < s->workers + s->n; w++) rs_worker_free(w);
  rs_free(s->workers);
  rs_addresses_free(s->addresses);
  rs_rate_free(s->rate);
  rs_proxies_free(s->proxies);
  rs_access_log_close(s->log);
  rs_tls_free(&s->tls);
  rs_buffer_free(&s->names);
  rs_free(s);
}

void rs_service_reopen_log(rs_service *s) {
  if (s->log) rs_access_log_reopen(s->log);
}

const char *rs_refused_word(rs_refused reason) {
  static const char *const words[RS_REFUSED_KINDS] = {"format", "large", "slow", "full", "access", "rate"};
  return words[reason];
}

static int64_t look(const atomic_int_fast64_t *count) { return atomic_load_explicit(count, memory_order_relaxed); }

rs_service_counts rs_service_counts_of(const rs_service *s) {
  rs_service_counts c = {.connections = look(&s->accepted)};
  int64_t closed = c.refused[RS_REFUSED_FULL] = look(&s->turned_away);
  for (const rs_worker *w = s->workers; w < s->workers + s->n; w++) {
    closed += look(&w->tally.closed);
    c.requests += look(&w->tally.requests);
    c.in_flight += look(&w->tally.in_flight);
    c.body_bytes += look(&w->tally.body_bytes);
    c.reply_bytes += look(&w->tally.reply_bytes);
    for (int i = 0; i < RS_REFUSED_KINDS; i++) c.refused[i] += look(&w->tally.refused[i]);
  }
  c.open = c.connections - closed;
  c.log_dropped = s->log ? rs_access_log_dropped(s->log) : 0;
  return c;
}
