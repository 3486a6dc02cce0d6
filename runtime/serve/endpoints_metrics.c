/* endpoints_metrics.c - GET /metrics: the server's counts in Prometheus' text format, version 0.0.4. */
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "serve/endpoints.h"

enum { ROOM = 512 << 10 }; /* bytes, more than all routes need: with these reserved nothing fails half-way */

static const char *const slot_names[RS_SLOTS] = {"live", "candidate", "shadow"};

static void family(rs_buffer *b, const char *name, const char *type, const char *help) {
  rs_buffer_printf(b, "# HELP recsys_%s %s\n# TYPE recsys_%s %s\n", name, help, name, type);
}

static void single(rs_buffer *b, const char *name, const char *type, const char *help, double value) {
  family(b, name, type, help);
  rs_buffer_printf(b, "recsys_%s %.15g\n", name, value);
}

/* The sum over all workers of the count that is this one of the first. */
static int64_t sum_at(const rs_server *s, const rs_count *of_first) {
  return rs_counts_sum(s->counts, s->workers + 1, (size_t)((const char *)of_first - (const char *)&s->counts[0]));
}

/* A histogram, whose latency of the first worker is 'first'; 'labels' with a comma behind them, or "". */
static void histogram(rs_buffer *b, const rs_server *s, const char *name, const char *labels, const rs_latency *first) {
  int64_t n = 0;
  int length = (int)strlen(labels);
  for (int i = 0; i < RS_COUNTED_BUCKETS - 1; i++) {
    n += sum_at(s, &first->buckets[i]);
    rs_buffer_printf(b, "recsys_%s_bucket{%sle=\"%g\"} %lld\n", name, labels, rs_bucket_seconds[i], (long long)n);
  }
  n += sum_at(s, &first->buckets[RS_COUNTED_BUCKETS - 1]);
  rs_buffer_printf(b, "recsys_%s_bucket{%sle=\"+Inf\"} %lld\n", name, labels, (long long)n);
  if (length > 0) length--;
  const char *open = length ? "{" : "", *close = length ? "}" : "";
  rs_buffer_printf(b, "recsys_%s_sum%s%.*s%s %.9g\n", name, open, length, labels, close,
                   (double)sum_at(s, &first->nanoseconds) * 1e-9);
  rs_buffer_printf(b, "recsys_%s_count%s%.*s%s %lld\n", name, open, length, labels, close, (long long)n);
}

static const char *route_name(int number) {
  const rs_route *route = number == RS_ROUTES_LIMIT ? NULL : rs_route_at(number);
  return route ? route->name : number == RS_ROUTES_LIMIT ? "none" : NULL;
}

static bool was_asked(const rs_server *s, int route) { return sum_at(s, &s->counts[0].latency[route].nanoseconds) > 0; }

static void requests(rs_buffer *b, const rs_server *s) {
  family(b, "requests_total", "counter", "Requests that were answered, by route and status.");
  for (int r = 0; r < RS_COUNTED_ROUTES; r++) {
    bool asked = was_asked(s, r);
    for (int i = 0; asked && i < RS_COUNTED_STATUSES; i++) {
      int64_t n = sum_at(s, &s->counts[0].requests[r][i]);
      if (n > 0)
        rs_buffer_printf(b, "recsys_requests_total{route=\"%s\",status=\"%d\"} %lld\n", route_name(r),
                         rs_counted_status(i), (long long)n);
    }
  }
}

static void latencies(rs_buffer *b, const rs_server *s) {
  family(b, "request_duration_seconds", "histogram", "From a request's first byte to the end of its answer's making.");
  for (int r = 0; r < RS_COUNTED_ROUTES; r++) {
    char labels[64];
    if (!was_asked(s, r)) continue;
    snprintf(labels, sizeof labels, "route=\"%.40s\",", route_name(r));
    histogram(b, s, "request_duration_seconds", labels, &s->counts[0].latency[r]);
  }
}

static void answers(rs_buffer *b, const rs_server *s) {
  const rs_counts *first = &s->counts[0];
  family(b, "answers_total", "counter", "Recommendations that were given, by the version's slot.");
  for (int i = 0; i < RS_SHADOW; i++)
    rs_buffer_printf(b, "recsys_answers_total{slot=\"%s\"} %lld\n", slot_names[i],
                     (long long)sum_at(s, &first->answers[i]));
  single(b, "fallbacks_total", "counter", "Of these: some of whose items are of last resort.",
         (double)sum_at(s, &first->fallbacks));
  single(b, "refused_lines_total", "counter", "Lines of /invocations that were answered by an error in their place.",
         (double)sum_at(s, &first->refused_lines));
}

/* What the service tells of its connections. */
static void connections(rs_buffer *b, const rs_service *service) {
  rs_service_counts n = rs_service_counts_of(service);
  single(b, "connections_total", "counter", "Connections that were accepted.", (double)n.connections);
  single(b, "connections_open", "gauge", "Connections that are open.", (double)n.open);
  single(b, "requests_in_flight", "gauge", "Requests that were begun and whose answer is not sent.",
         (double)n.in_flight);
  single(b, "body_bytes_total", "counter", "Bytes of requests' bodies.", (double)n.body_bytes);
  single(b, "reply_bytes_total", "counter", "Bytes of answers' bodies.", (double)n.reply_bytes);
  family(b, "refused_total", "counter", "Requests and connections that were refused before a route saw them.");
  for (int i = 0; i < RS_REFUSED_KINDS; i++)
    rs_buffer_printf(b, "recsys_refused_total{reason=\"%s\"} %lld\n", rs_refused_word((rs_refused)i),
                     (long long)n.refused[i]);
  single(b, "access_log_dropped_total", "counter", "Lines of the access log that were dropped, so as not to wait.",
         (double)n.log_dropped);
}

/* What the shadow would have answered, beside what was answered. */
static void shadow(rs_buffer *b, const rs_server *s) {
  const rs_counts *first = &s->counts[0];
  int64_t n = 0, shared = sum_at(s, &first->shadow_shared);
  family(b, "shadow_overlap", "histogram", "Share of an answer's items that the shadow gives, too.");
  for (int i = 0; i < RS_COUNTED_SHARES; i++) {
    n += sum_at(s, &first->shadow_overlap[i]);
    rs_buffer_printf(b, "recsys_shadow_overlap_bucket{le=\"%g\"} %lld\n", i / 10.0, (long long)n);
  }
  rs_buffer_printf(b, "recsys_shadow_overlap_bucket{le=\"+Inf\"} %lld\nrecsys_shadow_overlap_sum %.9g\n", (long long)n,
                   (double)sum_at(s, &first->shadow_sum) * 1e-6);
  rs_buffer_printf(b, "recsys_shadow_overlap_count %lld\n", (long long)n);
  single(b, "shadow_shared_items_total", "counter", "Items that both the answer and the shadow's had.", (double)shared);
  single(b, "shadow_skipped_total", "counter", "Requests that the shadow's queue had no room for.",
         (double)sum_at(s, &first->shadow_skipped));
  single(b, "shadow_failed_total", "counter", "Requests that the shadow could not answer.",
         (double)sum_at(s, &first->shadow_failed));
  family(b, "shadow_duration_seconds", "histogram", "What the shadow's answers took.");
  histogram(b, s, "shadow_duration_seconds", "", &first->shadow_latency);
}

static void models(rs_buffer *b, rs_version *const *versions) {
  family(b, "model_info", "gauge", "The versions that are served: 1.");
  for (int i = 0; i < RS_SLOTS; i++)
    if (versions[i])
      rs_buffer_printf(b, "recsys_model_info{slot=\"%s\",version=\"%s\",digest=\"%s\",index=\"%s\"} 1\n",
                       slot_names[i], versions[i]->name, rs_server_model_digest(versions[i]->model),
                       rs_server_model_facts(versions[i]->model).index);
  family(b, "model_age_seconds", "gauge", "Since when a version is served.");
  for (int i = 0; i < RS_SLOTS; i++)
    if (versions[i])
      rs_buffer_printf(b, "recsys_model_age_seconds{slot=\"%s\"} %.3f\n", slot_names[i],
                       (double)(rs_wall_clock() - versions[i]->loaded) / 1000);
  family(b, "model_as_of_seconds", "gauge", "The moment just after the last event that a version knows, since 1970.");
  for (int i = 0; i < RS_SLOTS; i++)
    if (versions[i])
      rs_buffer_printf(b, "recsys_model_as_of_seconds{slot=\"%s\"} %.3f\n", slot_names[i],
                       (double)rs_server_model_facts(versions[i]->model).as_of / 1000);
}

static void reloads(rs_buffer *b, const rs_server *s) {
  family(b, "reloads_total", "counter", "Versions that were to be served: those that are, and those that were refused.");
  rs_buffer_printf(b, "recsys_reloads_total{outcome=\"loaded\"} %lld\nrecsys_reloads_total{outcome=\"failed\"} %lld\n",
                   (long long)s->reloads, (long long)s->failures);
  single(b, "ready", "gauge", "1 when /ready is 200.", !strcmp(s->state, "ready"));
}

/* Entries of /proc/self/fd, without the one that looks; -1 when it cannot be told. */
static int open_files(void) {
  DIR *folder = opendir("/proc/self/fd");
  int n = -3; /* ".", ".." and the folder itself */
  if (!folder) return -1;
  while (readdir(folder)) n++;
  closedir(folder);
  return n;
}

static int64_t resident_bytes(void) {
  long long total = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file) return -1;
  int read = fscanf(file, "%lld %lld", &total, &resident);
  fclose(file);
  return read == 2 ? resident * (int64_t)sysconf(_SC_PAGESIZE) : -1;
}

static void process(rs_buffer *b, const rs_server *s) {
  family(b, "build_info", "gauge", "The program: 1.");
  rs_buffer_printf(b, "recsys_build_info{version=\"%s\",commit=\"%s\"} 1\n", s->runtime, s->commit);
  single(b, "workers", "gauge", "Threads that answer.", s->workers);
  rs_buffer_printf(b, "# HELP process_start_time_seconds Start of the server, since 1970.\n"
                   "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f\n"
                   "# HELP process_resident_memory_bytes Resident memory.\n"
                   "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %lld\n"
                   "# HELP process_open_fds Open descriptors.\n"
                   "# TYPE process_open_fds gauge\nprocess_open_fds %d\n",
                   (double)s->started / 1000, (long long)resident_bytes(), open_files());
}

static void posts(rs_buffer *b, rs_online *online) {
  rs_online_counts c = rs_online_counts_of(online);
  family(b, "posts_total", "counter", "Posted events and items, by what came of them.");
  rs_buffer_printf(b, "recsys_posts_total{outcome=\"taken\"} %lld\nrecsys_posts_total{outcome=\"known\"} %lld\n",
                   (long long)c.taken, (long long)c.known);
  single(b, "posts_waiting", "gauge", "Posts that wait to be committed.", (double)c.waiting);
  single(b, "posts_commits_total", "counter", "Transactions of posts that were committed.", (double)c.commits);
  single(b, "posts_failures_total", "counter", "Transactions of posts that failed.", (double)c.failures);
}

static void metrics(rs_exchange *x) {
  rs_buffer *b = x->reply->body;
  if (rs_buffer_reserve(b, ROOM) != RS_OK) {
    rs_refuse_status(x->reply, RS_ENOMEM);
    return;
  }
  x->reply->type = "text/plain; version=0.0.4; charset=utf-8";
  requests(b, x->server);
  latencies(b, x->server);
  answers(b, x->server);
  if (x->server->service) connections(b, x->server->service);
  if (x->versions[RS_SHADOW]) shadow(b, x->server);
  models(b, x->versions);
  reloads(b, x->server);
  if (x->server->online) posts(b, x->server->online);
  process(b, x->server);
}

const rs_route rs_routes_metrics[] = {{"metrics", "GET", "/metrics", RS_SCOPE_METRICS, metrics},
                                      {NULL, NULL, NULL, 0, NULL}};
