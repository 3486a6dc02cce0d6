/* service_test.c - a service of threads, asked over real sockets by clients that are well, many, slow, or gone. */
#include "http/asking.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_int pause_ms; /* that the handler takes */

/* "METHOD path size worker"; /big: so many bytes of x; /fail: an error. */
static void echo(void *context, const rs_call *call, rs_reply *reply) {
  (void)context;
  if (atomic_load(&pause_ms) > 0) usleep((unsigned)atomic_load(&pause_ms) * 1000);
  for (size_t i = 0; i < call->size; i++) assert_int_equal(call->body[i], 'x');
  if (!strcmp(call->target->path, "/fail")) {
    rs_reply_error(reply, 422, "odd", "a \"quoted\"\nmessage");
    return;
  }
  reply->type = "text/plain";
  if (!strcmp(call->target->path, "/big")) {
    size_t n = (size_t)atol(call->target->query[0].value);
    assert_int_equal(rs_buffer_reserve(reply->body, n), RS_OK);
    memset(reply->body->data, 'x', n);
    reply->body->size = n;
    return;
  }
  reply->headers[reply->n_headers++] = (rs_http_pair){"X-Of", "the service"};
  rs_buffer_printf(reply->body, "%s %s %zu %d\n", call->method, call->target->path, call->size, call->worker);
}

static rs_service *serving_with(rs_service_options options) {
  rs_service *s = NULL;
  if (options.workers == 0) options.workers = 2;
  if (rs_service_start(&s, &options, echo, NULL) != RS_OK) fail_msg("%s", rs_message());
  atomic_store(&pause_ms, 0);
  return s;
}

static rs_service *serving(void) { return serving_with((rs_service_options){0}); }

static void requests_are_answered(void **state) {
  (void)state;
  rs_service *s = serving();
  answers(s, "GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\nGET /a b 0");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "\r\nX-Of: the service\r\n");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nx-REQUEST-id: mine.1\r\n\r\n", "\r\nX-Request-Id: mine.1\r\n");
  answers(s, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxxx", "POST /p 3");
  answers(s, "PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n2\r\nxx\r\n0\r\n\r\n", "PUT /p 5");
  answers(s, "GET /fail HTTP/1.1\r\nHost: h\r\n\r\n",
          "{\"error\":{\"code\":\"odd\",\"message\":\"a \\u0022quoted\\u0022\\u000amessage\"}}\n");
  answers_and_closes(s, "GET /1 HTTP/1.0\r\n\r\n", "GET /1 0");
  answers_and_closes(s, "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET /1 0");
  answers(s, "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /2 0");
  rs_service_free(s);
}

static void a_head_is_answered_without_a_body(void **state) {
  (void)state;
  rs_service *s = serving();
  char answer[4096];
  int handle = connected(s);
  says(handle, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /then HTTP/1.1\r\nHost: h\r\n\r\n");
  hears(handle, answer, sizeof answer, "GET /then");
  assert_non_null(strstr(answer, "Content-Length: 11\r\n"));
  assert_null(strstr(answer, "GET /a"));
  close(handle);
  rs_service_free(s);
}

static void pipelined_requests_are_answered_in_order(void **state) {
  (void)state;
  rs_service *s = serving();
  enum { N = 500 };
  char *requests = malloc(N * 64), *answer = malloc(N * 256), *at = requests;
  for (int i = 0; i < N; i++)
    at += sprintf(at, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%.*s", i, i % 4, i % 4, "xxxx");
  int handle = connected(s);
  says(handle, requests);
  hears(handle, answer, N * 256, "POST /499 ");
  const char *from = answer;
  for (int i = 0; i < N; i++) {
    char expected[32];
    sprintf(expected, "\r\n\r\nPOST /%d %d ", i, i % 4);
    from = strstr(from, expected);
    if (!from) fail_msg("request %d is not answered in its turn", i);
  }
  close(handle);
  free(requests);
  free(answer);
  rs_service_free(s);
}

static void a_client_that_waits_is_told_to_continue(void **state) {
  (void)state;
  rs_service *s = serving();
  char answer[4096];
  int handle = connected(s);
  says(handle, "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  hears(handle, answer, sizeof answer, "\r\n\r\n");
  assert_string_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n");
  says(handle, "xxxx");
  hears(handle, answer, sizeof answer, "POST /e 4");
  close(handle);
  answers_and_closes(s, "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n", "HTTP/1.1 413");
  rs_service_free(s);
}

static void bodies_have_an_end(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.max_body = 200000});
  char *bytes = malloc(700000), answer[8192];
  for (int i = 0; i < 2; i++) {
    size_t n = 200000 + (size_t)i, head = (size_t)sprintf(bytes, "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
    memset(bytes + head, 'x', n);
    int handle = connected(s);
    sends(handle, bytes, head + (i == 0 ? n : 0));
    hears(handle, answer, sizeof answer, "\n\r\n");
    assert_non_null(strstr(answer, i == 0 ? "HTTP/1.1 200" : "HTTP/1.1 413"));
    if (i == 1) assert_non_null(strstr(answer, "larger than the 200000 bytes that this service takes"));
    if (i == 1) assert_true(closes(handle));
    close(handle);
  }
  size_t n = (size_t)sprintf(bytes, "PUT /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n30d41\r\n");
  memset(bytes + n, 'x', 200001);
  int handle = connected(s);
  sends(handle, bytes, n + 200001);
  assert_true(hears(handle, answer, sizeof answer, NULL));
  assert_non_null(strstr(answer, "HTTP/1.1 413"));
  assert_non_null(strstr(answer, "larger than the 200000 bytes that this service takes"));
  close(handle);
  free(bytes);
  assert_int_equal(rs_service_counts_of(s).refused[RS_REFUSED_LARGE], 2);
  rs_service_free(s);
}

static void ill_requests_are_refused(void **state) {
  (void)state;
  rs_service *s = serving();
  answers_and_closes(s, "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  answers_and_closes(s, "GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  answers_and_closes(s, "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 501");
  answers_and_closes(s, "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "HTTP/1.1 505");
  answers(s, "GET /still HTTP/1.1\r\nHost: h\r\n\r\n", "GET /still 0");
  rs_service_free(s);
}

static void connections_are_shared_out_evenly(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.workers = 3});
  int handles[12], of[3] = {0};
  char answer[4096];
  for (int i = 0; i < 12; i++) handles[i] = connected(s);
  for (int i = 0; i < 12; i++) {
    says(handles[i], "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    hears(handles[i], answer, sizeof answer, "GET /w 0 ");
    of[strstr(answer, "GET /w 0 ")[9] - '0']++;
  }
  for (int i = 0; i < 12; i++) close(handles[i]); /* not before: the last may not have been accepted yet */
  for (int i = 0; i < 3; i++) assert_int_equal(of[i], 4);
  rs_service_free(s);
}

static void a_crowd_that_comes_at_once_waits_for_its_turn(void **state) {
  (void)state;
  enum { CROWD = 600 };
  rs_service *s = serving_with((rs_service_options){.workers = 1});
  int *handles = malloc(CROWD * sizeof *handles);
  char answer[4096];
  atomic_store(&pause_ms, 300); /* of the first one */
  for (int i = 0; i < CROWD; i++) {
    handles[i] = connected(s);
    says(handles[i], "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    if (i == 0) usleep(100000);
    if (i == 0) atomic_store(&pause_ms, 0);
  }
  for (int i = 0; i < CROWD; i++) {
    hears(handles[i], answer, sizeof answer, "\n\r\n");
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    close(handles[i]);
  }
  free(handles);
  rs_service_free(s);
}

static void one_connection_too_many_is_told_so(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.connections = 3});
  int handles[3];
  for (int i = 0; i < 3; i++) {
    handles[i] = connected(s);
    char answer[4096];
    says(handles[i], "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    hears(handles[i], answer, sizeof answer, "GET /w 0");
  }
  answers_and_closes(s, "", "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n");
  assert_int_equal(rs_service_counts_of(s).open, 3);
  close(handles[0]);
  while (rs_service_counts_of(s).open == 3) usleep(1000);
  answers(s, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n", "GET /again 0");
  close(handles[1]);
  close(handles[2]);
  rs_service_counts c = rs_service_counts_of(s);
  assert_int_equal(c.refused[RS_REFUSED_FULL], 1);
  assert_int_equal(c.connections, 5);
  assert_int_equal(c.requests, 4);
  rs_service_free(s);
}

/* A client that says little or nothing, at a service with short deadlines. */
static void slow(const char *says_first, const char *drips, int expected_ms, const char *expected) {
  rs_service *s = serving_with((rs_service_options){.head_ms = 300, .idle_ms = 1200, .body_rate = 100000});
  char answer[4096];
  int handle = connected(s);
  says(handle, says_first);
  double began = seconds();
  struct pollfd heard = {.fd = handle, .events = POLLIN};
  if (!drips) assert_true(hears(handle, answer, sizeof answer, NULL));
  while (drips && poll(&heard, 1, 50) == 0) says(handle, drips);
  if (drips) assert_true(hears(handle, answer, sizeof answer, NULL));
  double ms = 1000 * (seconds() - began);
  if (ms < expected_ms || ms > expected_ms + 1500) fail_msg("left after %.0f ms, not some %d", ms, expected_ms);
  if (!strstr(answer, expected)) fail_msg("no '%s' in: %s", expected, answer);
  close(handle);
  rs_service_free(s);
}

static void slow_clients_are_left(void **state) {
  (void)state;
  slow("", NULL, 300, "");
  slow("GET / HT", NULL, 300, "HTTP/1.1 408");
  slow("GET / HTTP/1.1\r\nHost: h\r\n", "X: y\r\n", 300, "HTTP/1.1 408");
  slow("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n", "xxxx", 300, "HTTP/1.1 408");
  slow("GET / HTTP/1.1\r\nHost: h\r\n\r\n", NULL, 1200, "GET / 0"); /* idle */
}

static void a_slow_head_after_a_reply_is_left_too(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.head_ms = 300, .idle_ms = 60000});
  char answer[4096];
  int handle = connected(s);
  says(handle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  hears(handle, answer, sizeof answer, "GET / 0");
  struct pollfd heard = {.fd = handle, .events = POLLIN};
  double began = seconds();
  recv(handle, answer, sizeof answer, MSG_DONTWAIT);
  while (poll(&heard, 1, 50) == 0 && seconds() < began + 8) says(handle, "G");
  hears(handle, answer, sizeof answer, NULL);
  assert_non_null(strstr(answer, "HTTP/1.1 408"));
  close(handle);
  rs_service_free(s);
}

static void who_does_not_read_keeps_nobody_waiting_and_is_left(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.workers = 1, .head_ms = 300, .write_rate = 100000000});
  int handle = connected(s);
  says(handle, "GET /big?n=30000000 HTTP/1.1\r\nHost: h\r\n\r\n");
  double began = seconds();
  answers(s, "GET /fast HTTP/1.1\r\nHost: h\r\n\r\n", "GET /fast 0");
  assert_true(seconds() - began < 1.0);
  while (rs_service_counts_of(s).open > 1 || rs_service_counts_of(s).refused[RS_REFUSED_SLOW] == 0) {
    usleep(1000);
    if (seconds() > began + 10) fail_msg("still there after 10 s");
  }
  close(handle);
  rs_service_free(s);
}

/* How large a reply is grants no time: at 1,000 bytes a second this one would be held for eight hours. */
static void who_takes_nothing_of_a_large_reply_is_left(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.workers = 1, .head_ms = 300});
  int handle = connected(s);
  says(handle, "GET /big?n=30000000 HTTP/1.1\r\nHost: h\r\n\r\n");
  double began = seconds();
  while (rs_service_counts_of(s).open > 0 || rs_service_counts_of(s).refused[RS_REFUSED_SLOW] == 0) {
    usleep(1000);
    if (seconds() > began + 10) fail_msg("still there after 10 s");
  }
  close(handle);
  rs_service_free(s);
}

/* Of replies of 100 MB that nobody takes a worker holds two; small ones go on. */
static void large_replies_that_are_not_taken_leave_room_for_small_ones(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.workers = 1});
  char answer[4096];
  int clients[2];
  for (int i = 0; i < 2; i++) {
    says(clients[i] = connected(s), "GET /big?n=100000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(recv(clients[i], answer, sizeof answer, 0) > 0);
  }
  answers(s, "GET /big?n=100000000 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 503 Service Unavailable");
  answers(s, "GET /big?n=100000000 HTTP/1.1\r\nHost: h\r\n\r\n", "{\"error\":{\"code\":\"full\"");
  answers(s, "GET /small HTTP/1.1\r\nHost: h\r\n\r\n", "GET /small 0");
  assert_int_equal(rs_service_counts_of(s).refused[RS_REFUSED_FULL], 2);
  for (int i = 0; i < 2; i++) close(clients[i]);
  int handle = connected(s);
  for (double began = seconds(); seconds() < began + 5 && rs_service_counts_of(s).open > 1;) usleep(1000);
  says(handle, "GET /big?n=100000000 HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_true(recv(handle, answer, 15, 0) == 15 && !memcmp(answer, "HTTP/1.1 200 OK", 15));
  close(handle);
  rs_service_free(s);
}

static void who_takes_enough_of_a_large_reply_gets_all_of_it(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.workers = 1, .head_ms = 300, .write_rate = 100000});
  int handle = connected(s);
  says(handle, "GET /big?n=30000000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  size_t got = 0;
  char *chunk = malloc(1 << 20);
  for (ssize_t n; (n = recv(handle, chunk, 1 << 20, 0)) > 0; usleep(50000)) got += (size_t)n;
  assert_true(got > 30000000 && got < 30001000);
  free(chunk);
  close(handle);
  rs_service_free(s);
}

static void a_large_reply_arrives_whole(void **state) {
  (void)state;
  rs_service *s = serving();
  int handle = connected(s);
  says(handle, "GET /big?n=30000000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  size_t got = 0;
  char *chunk = malloc(1 << 16);
  for (ssize_t n; (n = recv(handle, chunk, 1 << 16, 0)) > 0;) got += (size_t)n;
  assert_true(got > 30000000 && got < 30001000);
  free(chunk);
  close(handle);
  rs_service_free(s);
}

static void *asks_many_times(void *service) {
  char answer[4096], request[128], expected[64];
  for (int round = 0; round < 20; round++) {
    int handle = connected(service);
    for (int i = 0; i < 50; i++) {
      sprintf(request, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%.*s", i, i % 4, i % 4, "xxxx");
      sprintf(expected, "POST /%d %d ", i, i % 4);
      says(handle, request);
      hears(handle, answer, sizeof answer, expected);
    }
    close(handle);
  }
  return NULL;
}

static void many_clients_are_answered_at_once(void **state) {
  (void)state;
  rs_service *s = serving();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, asks_many_times, s);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  while (rs_service_counts_of(s).open > 0) usleep(1000);
  rs_service_counts c = rs_service_counts_of(s);
  assert_int_equal(c.requests, 4000);
  assert_int_equal(c.in_flight, 0);
  assert_int_equal(c.connections, 80);
  rs_service_free(s);
}

static void *drains(void *service) {
  rs_service_drain(service, 5000);
  return NULL;
}

static void a_drain_answers_what_has_come(void **state) {
  (void)state;
  rs_service *s = serving();
  char answer[4096];
  int busy = connected(s), idle = connected(s), unused = connected(s);
  says(idle, "GET /idle HTTP/1.1\r\nHost: h\r\n\r\n");
  hears(idle, answer, sizeof answer, "GET /idle 0");
  recv(idle, answer, sizeof answer, MSG_DONTWAIT);
  atomic_store(&pause_ms, 400);
  says(busy, "GET /busy HTTP/1.1\r\nHost: h\r\n\r\n");
  usleep(100000);
  pthread_t thread;
  double began = seconds();
  pthread_create(&thread, NULL, drains, s);
  usleep(50000);
  assert_int_equal(connected(s), -1);
  says(idle, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n"); /* crosses the drain on its way */
  assert_true(hears(busy, answer, sizeof answer, NULL));
  assert_non_null(strstr(answer, "GET /busy 0"));
  assert_non_null(strstr(answer, "Connection: close\r\n"));
  assert_true(hears(idle, answer, sizeof answer, NULL));
  assert_non_null(strstr(answer, "GET /late 0"));
  assert_true(closes(unused));
  pthread_join(thread, NULL);
  assert_true(seconds() - began < 4);
  assert_int_equal(rs_service_counts_of(s).open, 0);
  close(busy);
  close(idle);
  close(unused);
  rs_service_free(s);
}

/* One worker's inbox takes 64 of them while it is busy; the others have not been accepted yet. */
static void a_drain_answers_those_who_wait_to_be_accepted(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.workers = 1});
  enum { CLIENTS = 100 };
  int clients[CLIENTS], busy = connected(s);
  char answer[4096];
  atomic_store(&pause_ms, 300);
  says(busy, "GET /busy HTTP/1.1\r\nHost: h\r\n\r\n");
  usleep(100000);
  for (int i = 0; i < CLIENTS; i++) says(clients[i] = connected(s), "GET /waits HTTP/1.1\r\nHost: h\r\n\r\n");
  pthread_t thread;
  pthread_create(&thread, NULL, drains, s);
  usleep(50000);
  atomic_store(&pause_ms, 0);
  for (int i = 0; i < CLIENTS; i++) {
    assert_true(hears(clients[i], answer, sizeof answer, NULL));
    assert_non_null(strstr(answer, "GET /waits 0"));
    close(clients[i]);
  }
  pthread_join(thread, NULL);
  close(busy);
  rs_service_free(s);
}

static void a_drain_cuts_off_who_stays(void **state) {
  (void)state;
  rs_service *s = serving();
  int handle = connected(s);
  says(handle, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nxx");
  usleep(50000);
  double began = seconds();
  rs_service_drain(s, 200);
  assert_true(seconds() - began < 2);
  assert_true(closes(handle));
  close(handle);
  rs_service_free(s);
}

static void what_cannot_be_is_refused_by_name(void **state) {
  (void)state;
  rs_service *s = serving(), *other = NULL;
  rs_service_options options = {.port = rs_service_port(s)};
  assert_int_equal(rs_service_start(&other, &options, echo, NULL), RS_EIO);
  assert_non_null(strstr(rs_message(), "Address already in use"));
  options = (rs_service_options){.workers = -1};
  assert_int_equal(rs_service_start(&other, &options, echo, NULL), RS_EARG);
  assert_null(other);
  rs_service_free(s);
  for (int n = 0; n < 3; n++) {
    options = (rs_service_options){.workers = 2};
    rs_alloc_fault(n);
    rs_status status = rs_service_start(&other, &options, echo, NULL);
    rs_alloc_fault(-1);
    assert_int_equal(status, n < 2 ? RS_ENOMEM : RS_OK);
    if (status == RS_OK) rs_service_free(other);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_are_answered),
      cmocka_unit_test(a_head_is_answered_without_a_body),
      cmocka_unit_test(pipelined_requests_are_answered_in_order),
      cmocka_unit_test(a_client_that_waits_is_told_to_continue),
      cmocka_unit_test(bodies_have_an_end),
      cmocka_unit_test(ill_requests_are_refused),
      cmocka_unit_test(connections_are_shared_out_evenly),
      cmocka_unit_test(a_crowd_that_comes_at_once_waits_for_its_turn),
      cmocka_unit_test(one_connection_too_many_is_told_so),
      cmocka_unit_test(slow_clients_are_left),
      cmocka_unit_test(a_slow_head_after_a_reply_is_left_too),
      cmocka_unit_test(who_does_not_read_keeps_nobody_waiting_and_is_left),
      cmocka_unit_test(who_takes_nothing_of_a_large_reply_is_left),
      cmocka_unit_test(large_replies_that_are_not_taken_leave_room_for_small_ones),
      cmocka_unit_test(who_takes_enough_of_a_large_reply_gets_all_of_it),
      cmocka_unit_test(a_large_reply_arrives_whole),
      cmocka_unit_test(many_clients_are_answered_at_once),
      cmocka_unit_test(a_drain_answers_what_has_come),
      cmocka_unit_test(a_drain_answers_those_who_wait_to_be_accepted),
      cmocka_unit_test(a_drain_cuts_off_who_stays),
      cmocka_unit_test(what_cannot_be_is_refused_by_name),
  };
  return cmocka_run_group_tests_name("service", tests, NULL, no_blocks_remain);
}
