/* load_test.c - asking a service at a constant rate: what is due is asked, and what is late is told. */
#include "base/testing.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "http/load.h"
#include "http/service.h"

static const char plain[] = "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n";
static const char posted[] = "POST /posted HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nfour";
static const char refused[] = "GET /refused HTTP/1.1\r\nHost: x\r\n\r\n";
static const char slow[] = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
static const char last[] = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#define REQUEST(text) {text, sizeof text - 1}

static atomic_int asked;

/* "METHOD path size"; /refused: 404; /slow takes 100 ms. */
static void answer_call(void *context, const rs_call *call, rs_reply *reply) {
  (void)context;
  atomic_fetch_add(&asked, 1);
  if (!strcmp(call->target->path, "/refused")) reply->status = 404;
  if (!strcmp(call->target->path, "/slow")) usleep(100000);
  rs_buffer_printf(reply->body, "%s %s %zu", call->method, call->target->path, call->size);
}

static rs_service *serving(int workers) {
  rs_service *s = NULL;
  rs_service_options options = {.workers = workers};
  if (rs_service_start(&s, &options, answer_call, NULL) != RS_OK) fail_msg("%s", rs_message());
  atomic_store(&asked, 0);
  return s;
}

static rs_load *loading(const rs_service *s, rs_load_options options) {
  rs_load *l = NULL;
  options.address = "127.0.0.1";
  options.port = rs_service_port(s);
  if (options.connections == 0) options.connections = 4;
  if (options.timeout_ms == 0) options.timeout_ms = 10000;
  if (rs_load_new(&l, &options) != RS_OK) fail_msg("%s", rs_message());
  return l;
}

static void each_request_is_asked_once_and_its_answer_shown(void **state) {
  (void)state;
  rs_service *s = serving(2);
  rs_load_request requests[] = {REQUEST(plain), REQUEST(posted), REQUEST(last)};
  rs_load *l = loading(s, (rs_load_options){.rate = 2000, .seconds = 0.15, .requests = requests, .n = 3});
  const char *expected[] = {"GET /plain 0", "POST /posted 4", "GET /last 0"};
  bool more = true, seen[300] = {false};
  rs_load_answer a;
  while (rs_load_next(l, &a, &more) == RS_OK && more) {
    assert_int_equal(a.status, 200);
    assert_false(seen[a.number]);
    seen[a.number] = true;
    assert_int_equal(a.size, strlen(expected[a.number % 3]));
    assert_memory_equal(a.body, expected[a.number % 3], a.size);
    assert_true(a.latency > 0);
  }
  rs_load_summary summary = rs_load_summary_of(l);
  assert_int_equal(summary.due, 300);
  assert_int_equal(summary.fine, 300);
  assert_int_equal(summary.other + summary.failed, 0);
  assert_int_equal(atomic_load(&asked), 300);
  assert_true(summary.seconds >= 0.149);
  assert_true(0 < rs_load_percentile(l, 0.5) && rs_load_percentile(l, 0.5) <= rs_load_percentile(l, 0.99));
  assert_true(rs_load_percentile(l, 0.99) <= rs_load_percentile(l, 1));
  rs_load_free(l);
  rs_service_free(s);
}

/* One connection, 100 requests a second, each of which takes 100 ms: the second is asked 90 ms late, and the tenth 810. A
 * client that measures from when it sends would tell 100 ms of each. */
static void what_waits_for_a_connection_is_late_from_when_it_was_due(void **state) {
  (void)state;
  rs_service *s = serving(1);
  rs_load_request requests[] = {REQUEST(slow)};
  rs_load *l = loading(s, (rs_load_options){.rate = 100, .seconds = 0.1, .requests = requests, .n = 1,
                                            .connections = 1});
  assert_int_equal(rs_load_run(l), RS_OK);
  assert_int_equal(rs_load_summary_of(l).fine, 10);
  assert_true(rs_load_summary_of(l).waited >= 8);
  for (int i = 0; i < 10; i++) assert_true(rs_load_percentile(l, (i + 1) / 10.0) >= (100 + 90 * i) * 1000000L - 1000000L);
  rs_load_free(l);
  rs_service_free(s);
}

static void other_answers_and_failures_are_told_apart(void **state) {
  (void)state;
  rs_service *s = serving(1);
  rs_load_request requests[] = {REQUEST(refused), REQUEST(plain)};
  rs_load *l = loading(s, (rs_load_options){.rate = 1000, .seconds = 0.01, .requests = requests, .n = 2});
  assert_int_equal(rs_load_run(l), RS_OK);
  assert_int_equal(rs_load_summary_of(l).fine, 5);
  assert_int_equal(rs_load_summary_of(l).other, 5);
  assert_string_equal(rs_load_summary_of(l).why, "status 404: GET /refused 0");
  rs_load_free(l);
  rs_load_request slowly[] = {REQUEST(slow)};
  l = loading(s, (rs_load_options){.rate = 1000, .seconds = 0.001, .requests = slowly, .n = 1, .timeout_ms = 20});
  assert_int_equal(rs_load_run(l), RS_OK);
  assert_int_equal(rs_load_summary_of(l).failed, 1);
  assert_string_equal(rs_load_summary_of(l).why, "there was no answer in time");
  rs_load_free(l);
  rs_load_request plainly[] = {REQUEST(plain)};
  l = loading(s, (rs_load_options){.rate = 1000, .seconds = 0.01, .requests = plainly, .n = 1});
  rs_service_free(s);
  assert_int_equal(rs_load_run(l), RS_OK);
  assert_int_equal(rs_load_summary_of(l).failed, 10);
  assert_int_equal(rs_load_percentile(l, 0.5), -1);
  rs_load_free(l);
}

static void options_that_make_no_sense_are_refused(void **state) {
  (void)state;
  rs_load *l = NULL;
  rs_load_request request[] = {REQUEST(plain)};
  rs_load_options sound = {.address = "127.0.0.1", .port = 1, .rate = 1, .seconds = 1, .connections = 1,
                           .timeout_ms = 1, .requests = request, .n = 1};
  assert_int_equal(rs_load_new(&l, &sound), RS_EIO);
  assert_non_null(strstr(rs_message(), "cannot connect to 127.0.0.1 port 1: Connection refused"));
  rs_load_options odd = sound;
  odd.rate = 0;
  assert_int_equal(rs_load_new(&l, &odd), RS_EARG);
  odd = sound, odd.address = "localhost";
  assert_int_equal(rs_load_new(&l, &odd), RS_EARG);
  assert_string_equal(rs_message(), "load: 'localhost' is not the number of an address");
  odd = sound, odd.connections = 0;
  assert_int_equal(rs_load_new(&l, &odd), RS_EARG);
  odd = sound, odd.n = 0;
  assert_int_equal(rs_load_new(&l, &odd), RS_EARG);
  odd = sound, odd.timeout_ms = 0;
  assert_int_equal(rs_load_new(&l, &odd), RS_EARG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_request_is_asked_once_and_its_answer_shown),
      cmocka_unit_test(what_waits_for_a_connection_is_late_from_when_it_was_due),
      cmocka_unit_test(other_answers_and_failures_are_told_apart),
      cmocka_unit_test(options_that_make_no_sense_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
