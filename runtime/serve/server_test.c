/* server_test.c - routes, counts and what is refused, by calls that no service made. Answers of models are looked at in
 * spec/server_spec.lua. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "serve/endpoints.h"

static rs_server *server;
static rs_buffer body;
static rs_reply reply;

static int start(void **state) {
  (void)state;
  rs_server_options options = {.workers = 2, .runtime = "1.2.3", .commit = "abc", .openapi = "{}", .openapi_size = 2};
  return rs_server_new(&server, &options) == RS_OK ? 0 : -1;
}

static int stop(void **state) {
  (void)state;
  rs_server_free(server);
  rs_buffer_free(&body);
  return 0;
}

static int ask_as(const char *method, const char *raw, const char *principal, unsigned scopes) {
  rs_http_target target = {0};
  assert_int_equal(rs_http_target_parse(&target, raw), RS_OK);
  rs_call call = {.worker = 1, .method = method, .target = &target, .request_id = "r1", .client = "::1"};
  call.principal = principal, call.scopes = scopes, call.arrived = rs_clock();
  body.size = 0;
  reply = (rs_reply){.status = 200, .type = "application/json", .body = &body};
  rs_server_answer(server, &call, &reply);
  rs_http_target_free(&target);
  assert_int_equal(rs_buffer_append(&body, "", 1), RS_OK); /* terminated, for strstr */
  body.size--;
  return reply.status;
}

static int ask(const char *method, const char *raw) { return ask_as(method, raw, "", RS_SCOPE_ALL); }

static bool holds(const char *text) { return strstr(body.data, text) != NULL; }

static void every_route_is_found_by_its_own_path(void **state) {
  (void)state;
  rs_path_part parts[RS_PATH_PARTS];
  char allowed[64];
  int n = 0;
  for (const rs_route *route; (route = rs_route_at(n)); n++) {
    char path[256];
    strcpy(path, route->path);
    for (char *c = path; *c; c++)
      if (*c == '{' || *c == '}') *c = 'x';
    assert_ptr_equal(rs_route_find(route->method, path, parts, allowed), route);
    assert_int_equal(rs_route_number(route), n);
  }
  assert_in_range(n, 5, RS_ROUTES_LIMIT);
  assert_int_equal(rs_route_number(NULL), RS_ROUTES_LIMIT);
}

static void unknown_paths_are_404_and_wrong_methods_405(void **state) {
  (void)state;
  assert_int_equal(ask("GET", "/nothing"), 404);
  assert_true(holds("\"code\":\"not_found\"") && holds("there is no /nothing here"));
  assert_int_equal(ask("GET", "/ping/"), 404);
  assert_int_equal(ask("GET", "/pin"), 404);
  assert_int_equal(ask("GET", "/a%22b%01"), 404);
  assert_true(holds("/a\\\"b\\u0001"));
  assert_int_equal(ask("DELETE", "/ping"), 405);
  assert_int_equal(reply.n_headers, 1);
  assert_string_equal(reply.headers[0].name, "Allow");
  assert_string_equal(reply.headers[0].value, "GET, HEAD");
  assert_true(holds("\"code\":\"method_not_allowed\""));
  assert_int_equal(ask("GET", "/admin/reload"), 405);
  assert_string_equal(reply.headers[0].value, "POST");
}

static void without_a_model_it_is_not_ready(void **state) {
  (void)state;
  assert_int_equal(ask("GET", "/ping"), 503);
  assert_int_equal(ask("GET", "/ready"), 503);
  assert_true(holds("\"loading\""));
  assert_int_equal(ask("GET", "/version"), 200);
  assert_true(holds("\"live\":null") && holds("\"version\":\"1.2.3\""));
  assert_int_equal(ask("GET", "/openapi.json"), 200);
  assert_string_equal(body.data, "{}");
}

static void scopes_are_asked_for(void **state) {
  (void)state;
  assert_int_equal(ask_as("GET", "/ready", "", 0), 503); /* health is open */
  assert_int_equal(ask_as("GET", "/version", "", 0), 401);
  assert_string_equal(reply.headers[0].name, "WWW-Authenticate");
  assert_int_equal(ask_as("GET", "/version", "app", RS_SCOPE_METRICS), 403);
  assert_true(holds("this wants a token with the scope 'use'; 'app' lacks it"));
  assert_int_equal(ask_as("GET", "/metrics", "app", RS_SCOPE_METRICS), 200);
  assert_int_equal(ask_as("POST", "/admin/reload", "", RS_SCOPE_ALL), 401); /* a server without tokens has no admin */
  assert_int_equal(ask_as("POST", "/admin/reload", "app", RS_SCOPE_USE), 403);
  assert_int_equal(ask_as("DELETE", "/users/u1", "app", RS_SCOPE_USE), 403); /* who may ask may not erase */
  assert_true(holds("this wants a token with the scope 'write'; 'app' lacks it"));
  assert_int_equal(ask_as("DELETE", "/users/u1", "app", RS_SCOPE_WRITE), 501);
  assert_int_equal(rs_server_asked(server), 0);
  assert_int_equal(ask_as("POST", "/admin/reload", "ann", RS_SCOPE_ADMIN), 202);
  assert_int_equal(rs_server_asked(server), 1);
  assert_int_equal(rs_server_reloaded(server, 1, "it is \"damaged\""), RS_OK);
  ask("GET", "/version");
  assert_true(holds("\"asked\":1,\"done\":1,\"loaded\":0,\"failed\":1,\"failure\":\"it is \\\"damaged\\\"\""));
  assert_int_equal(rs_server_reloaded(server, 1, NULL), RS_OK);
  ask("GET", "/version");
  assert_true(holds("\"loaded\":1,\"failed\":1,\"failure\":null"));
}

static void metrics_add_up_what_was_asked(void **state) {
  (void)state;
  int64_t before = rs_server_counts_of(server).requests;
  for (int i = 0; i < 7; i++) ask("GET", "/none");
  assert_int_equal(rs_server_counts_of(server).requests, before + 7);
  assert_int_equal(ask("GET", "/metrics"), 200);
  assert_string_equal(reply.type, "text/plain; version=0.0.4; charset=utf-8");
  assert_true(holds("recsys_requests_total{route=\"none\",status=\"404\"}"));
  assert_true(holds("recsys_request_duration_seconds_bucket{route=\"none\",le=\"+Inf\"}"));
  assert_true(holds("recsys_build_info{version=\"1.2.3\",commit=\"abc\"} 1\n"));
  assert_true(holds("\nprocess_resident_memory_bytes "));
}

static void latencies_fall_into_their_buckets(void **state) {
  (void)state;
  rs_latency l = {0};
  rs_latency_add(&l, 0);
  rs_latency_add(&l, 50000);
  rs_latency_add(&l, 50001);
  rs_latency_add(&l, 2500000000);
  rs_latency_add(&l, 2500000001);
  assert_int_equal(l.buckets[0], 2);
  assert_int_equal(l.buckets[1], 1);
  assert_int_equal(l.buckets[RS_COUNTED_BUCKETS - 2], 1);
  assert_int_equal(l.buckets[RS_COUNTED_BUCKETS - 1], 1);
  assert_int_equal(l.nanoseconds, 5000100002);
}

static int bucket(const char *seed, const char *user) { return rs_server_bucket(seed, user, strlen(user)); }

/* The vectors of GrowthBook's SDK tests, and how even the shares are. */
static void users_fall_into_even_buckets(void **state) {
  (void)state;
  int counts[10] = {0};
  assert_int_equal(bucket("seed", "a"), 505);
  assert_int_equal(bucket("seed", "b"), 2696);
  assert_int_equal(bucket("foo", "ab"), 2575);
  assert_int_equal(bucket("foo", "def"), 2019);
  assert_int_equal(bucket("89123klj", "8952klfjas09ujkasdf"), 1240);
  assert_int_equal(bucket("90850943850283058242805", "123"), 7516);
  for (int i = 0; i < 100000; i++) {
    char user[16];
    snprintf(user, sizeof user, "u%d", i);
    counts[bucket("candidate", user) / 1000]++;
  }
  for (int i = 0; i < 10; i++) assert_in_range(counts[i], 9500, 10500);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_route_is_found_by_its_own_path),
                                     cmocka_unit_test(unknown_paths_are_404_and_wrong_methods_405),
                                     cmocka_unit_test(without_a_model_it_is_not_ready),
                                     cmocka_unit_test(scopes_are_asked_for),
                                     cmocka_unit_test(metrics_add_up_what_was_asked),
                                     cmocka_unit_test(latencies_fall_into_their_buckets),
                                     cmocka_unit_test(users_fall_into_even_buckets)};
  return cmocka_run_group_tests(tests, start, stop);
}
