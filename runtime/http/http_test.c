/* http_test.c - the server beside clients that are well and ill, all in one thread: libcurl's, and bare sockets that
 * send what no client would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "http/client.h"
#include "http/server.h"

static char folder[] = "/tmp/recsys-http-XXXXXX";
static char url[64];

static rs_http_server *listening_with(int timeout_s, bool announce) {
  rs_http_server *s = NULL;
  rs_http_options options = {.address = "127.0.0.1", .max_body = announce ? 40 << 20 : 1 << 20, .max_memory = 4096, .spool = folder,
                             .timeout_s = timeout_s, .connections = 32, .announce = announce};
  if (rs_http_listen(&s, &options) != RS_OK) fail_msg("%s", rs_message());
  snprintf(url, sizeof url, "http://127.0.0.1:%d/", rs_http_port(s));
  return s;
}

static rs_http_server *listening(void) { return listening_with(30, false); }

static int files_in_spool(void) {
  DIR *d = opendir(folder);
  int n = 0;
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

/* Answer whatever is ready with what was asked: "METHOD path size"; admit what is announced, but no PATCH. */
static int serve(rs_http_server *s) {
  rs_http_request *r;
  assert_int_equal(rs_http_step(s, 5, &r), RS_OK);
  if (!r) return 0;
  if (rs_http_is_announced(r)) {
    assert_null(rs_http_body_file(r));
    rs_http_take(r);
    rs_http_response refused = {.status = 403, .body = "not here", .size = 8};
    if (strcmp(rs_http_method(r), "PATCH") != 0) rs_http_admit(r);
    else assert_int_equal(rs_http_answer(r, &refused), RS_OK);
    return 1;
  }
  char text[4096];
  size_t size;
  const char *body = rs_http_body(r, &size);
  if (!body) {
    rs_mapping map = {0};
    assert_int_equal(rs_mapping_open(&map, rs_http_body_file(r)), RS_OK);
    size = map.size;
    for (size_t i = 0; i < size; i++) assert_int_equal(map.data[i], 'x');
    rs_mapping_close(&map);
  }
  int length = snprintf(text, sizeof text, "%s %s %zu", rs_http_method(r), rs_http_asked(r)->path, size);
  rs_http_take(r);
  rs_http_pair header = {"X-Of", "the server"};
  rs_http_response response = {.status = 200, .headers = &header, .n = 1, .body = text, .size = (size_t)length};
  assert_int_equal(rs_http_answer(r, &response), RS_OK);
  return 1;
}

static int connected(const rs_http_server *s) {
  int handle = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)rs_http_port(s))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(handle, (struct sockaddr *)&to, sizeof to) != 0) assert_int_equal(errno, EINPROGRESS);
  struct pollfd ready = {.fd = handle, .events = POLLOUT};
  assert_int_equal(poll(&ready, 1, 1000), 1);
  return handle;
}

/* Send the bytes, serve, and gather what comes back until the server closes, or all is still for so many turns. */
static void exchange_for(int turns, rs_http_server *s, int handle, const char *bytes, size_t n, char *answer,
                         size_t room) {
  size_t got = 0, sent = 0;
  for (int idle = 0; idle < turns; idle++) {
    if (sent < n) {
      ssize_t written = send(handle, bytes + sent, n - sent, MSG_NOSIGNAL);
      if (written > 0) sent += (size_t)written, idle = 0;
      if (written < 0 && errno != EAGAIN) n = sent;
    }
    if (serve(s)) idle = 0;
    ssize_t read = recv(handle, answer + got, room - 1 - got, 0);
    if (read > 0) got += (size_t)read, idle = 0;
    if (read == 0 || (read < 0 && errno != EAGAIN)) break;
  }
  answer[got] = 0;
}

static void exchange(rs_http_server *s, int handle, const char *bytes, size_t n, char *answer, size_t room) {
  exchange_for(20, s, handle, bytes, n, answer, room);
}

static void answers(rs_http_server *s, const char *bytes, const char *expected) {
  char answer[16384];
  int handle = connected(s);
  exchange(s, handle, bytes, strlen(bytes), answer, sizeof answer);
  close(handle);
  if (!strstr(answer, expected)) fail_msg("to:\n%.300s\nno '%s' in:\n%s", bytes, expected, answer);
}

static rs_http_client *patient(int ms) {
  rs_http_client *c = NULL;
  rs_http_client_options options = {.timeout_ms = ms, .max_body = 1 << 20};
  assert_int_equal(rs_http_client_new(&c, &options), RS_OK);
  return c;
}

static rs_http_client *client(void) { return patient(5000); }

/* A call of the client, the server beside it. */
static rs_status called(rs_http_server *s, rs_http_client *c, const rs_http_call *call) {
  rs_status status = rs_http_start(c, call);
  bool done = false;
  while (status == RS_OK && !done) {
    status = rs_http_wait(c, 1, &done);
    if (s) serve(s);
  }
  return status;
}

static void a_request_is_answered(void **state) {
  (void)state;
  rs_http_server *s = listening();
  answers(s, "GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\nGET /a b 0");
  answers(s, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxxx", "POST /p 3");
  answers(s, "PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n2\r\nxx\r\n0\r\n\r\n", "PUT /p 5");
  answers(s, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /2 0");
  rs_http_server_free(s);
}

static void ill_requests_are_refused(void **state) {
  (void)state;
  rs_http_server *s = listening();
  answers(s, "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  answers(s, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  answers(s, "GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  answers(s, "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\n", "HTTP/1.1 413");
  answers(s, "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n", "HTTP/1.1 4");
  answers(s, "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 4");
  answers(s, "GET /still HTTP/1.1\r\nHost: h\r\n\r\n", "GET /still 0");
  rs_http_server_free(s);
}

static void noise_harms_nobody(void **state) {
  (void)state;
  rs_http_server *s = listening();
  unsigned seed = 1;
  char bytes[2048], answer[4096];
  for (int round = 0; round < 40; round++) {
    size_t n = 1 + (size_t)(rand_r(&seed) % (int)sizeof bytes);
    for (size_t i = 0; i < n; i++) bytes[i] = (char)(rand_r(&seed) % 256);
    if (round % 2) memcpy(bytes, "PUT / HTTP/1.1\r\n", n < 16 ? n : 16);
    bytes[n - 1] = '\n';
    int handle = connected(s);
    size_t sent = (size_t)send(handle, bytes, n, MSG_NOSIGNAL);
    assert_int_equal(sent, n);
    for (int i = 0; i < 3; i++) serve(s);
    if (recv(handle, answer, sizeof answer, 0) < 0) assert_true(errno == EAGAIN || errno == ECONNRESET);
    close(handle);
  }
  answers(s, "GET /still HTTP/1.1\r\nHost: h\r\n\r\n", "GET /still 0");
  rs_http_server_free(s);
}

static void headers_have_an_end(void **state) {
  (void)state;
  rs_http_server *s = listening();
  size_t n = 200000;
  char *bytes = malloc(n + 100);
  int head = sprintf(bytes, "GET / HTTP/1.1\r\nHost: h\r\nX-Long: ");
  memset(bytes + head, 'x', n - (size_t)head);
  strcpy(bytes + n, "\r\n\r\n");
  char answer[4096];
  int handle = connected(s);
  exchange(s, handle, bytes, n + 4, answer, sizeof answer);
  close(handle); /* what it has not read makes the kernel drop its answer at times */
  assert_true(!*answer || strstr(answer, "HTTP/1.1 431"));
  answers(s, "GET /still HTTP/1.1\r\nHost: h\r\n\r\n", "GET /still 0");
  free(bytes);
  rs_http_server_free(s);
}

static void a_large_body_lies_in_the_spool_while_it_is_wanted(void **state) {
  (void)state;
  rs_http_server *s = listening();
  size_t n = 300000;
  char *bytes = malloc(n + 200), answer[4096];
  int head = sprintf(bytes, "PUT /big HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
  memset(bytes + head, 'x', n);
  int handle = connected(s);
  exchange(s, handle, bytes, (size_t)head + n, answer, sizeof answer);
  assert_non_null(strstr(answer, "PUT /big 300000"));
  assert_int_equal(files_in_spool(), 0);
  close(handle);

  handle = connected(s); /* one that breaks off */
  exchange(s, handle, bytes, n / 2, answer, sizeof answer);
  assert_int_equal(files_in_spool(), 1);
  close(handle);
  for (int i = 0; i < 100 && files_in_spool() > 0; i++) assert_int_equal(serve(s), 0);
  assert_int_equal(files_in_spool(), 0);

  handle = connected(s); /* one whose server ends */
  exchange(s, handle, bytes, n / 2, answer, sizeof answer);
  free(bytes);
  rs_http_server_free(s);
  close(handle);
  assert_int_equal(files_in_spool(), 0);
}

/* A request with a body of n bytes, and its answer. */
static void announced(rs_http_server *s, const char *headers, size_t n, const char *expected) {
  char *bytes = malloc(n + 300), answer[4096];
  size_t head = (size_t)sprintf(bytes, "%s\r\nHost: h\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", headers, n);
  memset(bytes + head, 'x', n);
  int handle = connected(s);
  exchange_for(2000, s, handle, bytes, head + n, answer, sizeof answer);
  close(handle);
  free(bytes);
  if (!strstr(answer, expected)) fail_msg("to %s with %zu bytes: no '%s' in:\n%s", headers, n, expected, answer);
}

static void a_large_body_comes_when_it_was_admitted_by_its_headers(void **state) {
  (void)state;
  rs_http_server *s = listening_with(30, true);
  announced(s, "PUT /small HTTP/1.1", 65536, "PUT /small 65536");
  announced(s, "PUT /big HTTP/1.1", 65537, "PUT /big 65537");
  announced(s, "PUT /big HTTP/1.1\r\nExpect: 100-continue", 9 << 20, "PUT /big 9437184");
  answers(s, "PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n0\r\n\r\n", "PUT /p 3");
  answers(s, "PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "PUT /p 0");
  assert_int_equal(files_in_spool(), 0);
  rs_http_server_free(s);
}

static void a_body_that_is_refused_by_its_headers_is_kept_nowhere(void **state) {
  (void)state;
  rs_http_server *s = listening_with(30, true);
  announced(s, "PATCH /small HTTP/1.1", 65536, "PATCH /small 65536");
  announced(s, "PATCH /big HTTP/1.1", 65537, "HTTP/1.1 403");
  announced(s, "PATCH /big HTTP/1.1", 16 << 20, "HTTP/1.1 403"); /* which is read to its end */
  answers(s, "PATCH /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n", "HTTP/1.1 403");
  answers(s, "PATCH /p HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n", "HTTP/1.1 403"); /* before it comes */
  answers(s, "PATCH /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n0\r\n\r\n", "HTTP/1.1 403");

  size_t n = 300000; /* a client that stays in the middle of such a body */
  char *bytes = malloc(n), answer[4096];
  int head = sprintf(bytes, "PATCH /big HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
  memset(bytes + head, 'x', n - (size_t)head);
  int handle = connected(s);
  exchange(s, handle, bytes, n / 2, answer, sizeof answer);
  free(bytes);
  assert_int_equal(files_in_spool(), 0);
  rs_http_server_free(s);
  close(handle);
}

static void what_is_announced_and_not_answered_is_answered_by_500(void **state) {
  (void)state;
  rs_http_server *s = listening_with(30, true);
  static const char bytes[] = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n";
  char answer[4096];
  for (int ends = 0; ends < 2; ends++) {
    int handle = connected(s);
    assert_int_equal(send(handle, bytes, sizeof bytes - 1, 0), sizeof bytes - 1);
    rs_http_request *r = NULL;
    while (!r) assert_int_equal(rs_http_step(s, 5, &r), RS_OK);
    assert_true(rs_http_is_announced(r));
    rs_http_take(r);
    if (ends) rs_http_server_free(s);
    else exchange(s, handle, "", 0, answer, sizeof answer);
    close(handle);
  }
  assert_non_null(strstr(answer, "HTTP/1.1 500"));
}

static void a_body_that_grows_past_the_limit_is_cut_off(void **state) {
  (void)state;
  rs_http_server *s = listening();
  size_t n = 0, most = 3 << 20;
  char *bytes = malloc(most + 20000), answer[4096], chunk[8200];
  n += (size_t)sprintf(bytes, "PUT /big HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  memset(chunk, 'x', sizeof chunk);
  memcpy(chunk, "2000\r\n", 6);
  memcpy(chunk + 6 + 8192, "\r\n", 2);
  for (; n < most; n += 8200) memcpy(bytes + n, chunk, 8200);
  int handle = connected(s);
  exchange(s, handle, bytes, n, answer, sizeof answer);
  assert_string_equal(answer, "");
  close(handle);
  free(bytes);
  for (int i = 0; i < 100 && files_in_spool() > 0; i++) assert_int_equal(serve(s), 0);
  assert_int_equal(files_in_spool(), 0);
  rs_http_server_free(s);
}

static void a_slow_client_keeps_nobody_waiting_and_is_left(void **state) {
  (void)state;
  rs_http_server *s = listening_with(1, false);
  int slow = connected(s);
  assert_int_equal(send(slow, "GET /slow HTT", 13, 0), 13);
  serve(s);
  answers(s, "GET /fast HTTP/1.1\r\nHost: h\r\n\r\n", "GET /fast 0");
  char byte;
  ssize_t got = -1;
  for (int i = 0; i < 800 && (got = recv(slow, &byte, 1, 0)) < 0; i++) serve(s);
  assert_int_equal(got, 0);
  close(slow);
  rs_http_server_free(s);
}

static void what_is_taken_and_not_answered_is_answered_by_500(void **state) {
  (void)state;
  rs_http_server *s = listening();
  int handle = connected(s);
  static const char bytes[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  assert_int_equal(send(handle, bytes, sizeof bytes - 1, 0), sizeof bytes - 1);
  rs_http_request *r = NULL;
  while (!r) assert_int_equal(rs_http_step(s, 5, &r), RS_OK);
  rs_http_take(r);
  const rs_http_pair *headers;
  assert_int_equal(rs_http_headers(r, &headers), 1);
  assert_string_equal(headers[0].name, "host");
  assert_string_equal(rs_http_client_address(r), "127.0.0.1");
  rs_http_pair wrong = {"X", "a\r\nSet-Cookie: b"};
  rs_http_response response = {.status = 200, .headers = &wrong, .n = 1};
  assert_int_equal(rs_http_answer(r, &response), RS_EARG);
  response = (rs_http_response){.status = 200, .file = "/gone"};
  assert_int_equal(rs_http_answer(r, &response), RS_EIO);
  response = (rs_http_response){.status = 20};
  assert_int_equal(rs_http_answer(r, &response), RS_EARG);
  char answer[4096];
  exchange(s, handle, "", 0, answer, sizeof answer);
  assert_non_null(strstr(answer, "HTTP/1.1 500"));
  close(handle);
  handle = connected(s); /* and one that the server's end leaves unanswered */
  assert_int_equal(send(handle, bytes, sizeof bytes - 1, 0), sizeof bytes - 1);
  for (r = NULL; !r;) assert_int_equal(rs_http_step(s, 5, &r), RS_OK);
  rs_http_server_free(s);
  close(handle);
}

static void a_taken_port_is_refused_by_name(void **state) {
  (void)state;
  rs_http_server *s = listening(), *other = NULL;
  rs_http_options options = {.address = "127.0.0.1", .port = rs_http_port(s), .connections = 1};
  assert_int_equal(rs_http_listen(&other, &options), RS_EIO);
  assert_non_null(strstr(rs_message(), "Address already in use"));
  options.address = "no.such.host.invalid";
  assert_int_equal(rs_http_listen(&other, &options), RS_EIO);
  assert_non_null(strstr(rs_message(), "no.such.host.invalid"));
  assert_null(other);
  rs_http_server_free(s);
}

static void the_client_speaks_over_one_connection(void **state) {
  (void)state;
  rs_http_server *s = listening();
  rs_http_client *c = client();
  rs_http_call call = {.method = "PATCH", .url = url, .body = "xxxx", .size = 4};
  size_t size;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(called(s, c, &call), RS_OK);
    assert_int_equal(rs_http_status(c), 200);
    assert_memory_equal(rs_http_reply(c, &size), "PATCH / 4", 9);
  }
  const rs_http_pair *headers;
  int n = rs_http_reply_headers(c, &headers), found = 0;
  for (int i = 0; i < n; i++) found += strcmp(headers[i].name, "x-of") == 0 && strcmp(headers[i].value, "the server") == 0;
  assert_int_equal(found, 1);
  call = (rs_http_call){.method = "HEAD", .url = url};
  assert_int_equal(called(s, c, &call), RS_OK);
  rs_http_reply(c, &size);
  assert_int_equal(size, 0);
  rs_http_client_free(c);
  rs_http_server_free(s);
}

static void files_are_sent_and_fetched(void **state) {
  (void)state;
  rs_http_server *s = listening();
  rs_http_client *c = client();
  char path[64], into[64];
  snprintf(path, sizeof path, "%s.sent", folder);
  snprintf(into, sizeof into, "%s.got", folder);
  FILE *f = fopen(path, "w");
  for (int i = 0; i < 100000; i++) fputc('x', f);
  fclose(f);
  rs_http_call call = {.method = "PUT", .url = url, .file = path, .into = into};
  assert_int_equal(called(s, c, &call), RS_OK);
  rs_buffer got = {0};
  assert_int_equal(rs_file_read(&got, into, 100), RS_OK);
  assert_memory_equal(got.data, "PUT / 100000", 12);
  rs_buffer_free(&got);
  unlink(path);
  unlink(into);
  assert_int_equal(called(s, c, &call), RS_EIO);
  assert_non_null(strstr(rs_message(), path));
  rs_http_client_free(c);
  rs_http_server_free(s);
}

/* Time that the caller spends elsewhere is a second at the most of what counts. */
static void a_silent_server_is_left(void **state) {
  (void)state;
  rs_http_server *s = listening();
  rs_http_client *c = patient(60);
  rs_http_call call = {.method = "GET", .url = url};
  assert_int_equal(called(NULL, c, &call), RS_EIO);
  assert_non_null(strstr(rs_message(), "no answer for 0."));
  assert_false(rs_http_busy(c));
  rs_http_client_free(c);
  c = patient(1100);
  bool done = false;
  assert_int_equal(rs_http_start(c, &call), RS_OK);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(rs_http_wait(c, 1, &done), RS_OK);
    serve(s);
    if (i == 3) usleep(1300000);
    if (done) break;
  }
  assert_true(done);
  rs_http_client_free(c);
  rs_http_server_free(s);
}

static void what_is_no_answer_is_said(void **state) {
  (void)state;
  rs_http_server *s = listening();
  rs_http_client *c = client();
  rs_http_pair wrong = {"X", "a\r\nY: b"};
  rs_http_call call = {.method = "GET", .url = url, .headers = &wrong, .n = 1};
  assert_int_equal(called(s, c, &call), RS_EARG);
  call = (rs_http_call){.method = "GET", .url = "file:///etc/passwd"};
  assert_int_equal(called(s, c, &call), RS_EARG);
  call.url = "no url at all";
  assert_int_equal(called(s, c, &call), RS_EARG);
  call.url = url;
  rs_http_server_free(s);
  assert_int_equal(called(NULL, c, &call), RS_EIO);
  assert_non_null(strstr(rs_message(), "onnect"));
  bool done;
  assert_int_equal(rs_http_wait(c, 0, &done), RS_EARG);
  rs_http_client_free(c);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_request_is_answered),
      cmocka_unit_test(ill_requests_are_refused),
      cmocka_unit_test(noise_harms_nobody),
      cmocka_unit_test(headers_have_an_end),
      cmocka_unit_test(a_large_body_lies_in_the_spool_while_it_is_wanted),
      cmocka_unit_test(a_large_body_comes_when_it_was_admitted_by_its_headers),
      cmocka_unit_test(a_body_that_is_refused_by_its_headers_is_kept_nowhere),
      cmocka_unit_test(what_is_announced_and_not_answered_is_answered_by_500),
      cmocka_unit_test(a_body_that_grows_past_the_limit_is_cut_off),
      cmocka_unit_test(a_slow_client_keeps_nobody_waiting_and_is_left),
      cmocka_unit_test(what_is_taken_and_not_answered_is_answered_by_500),
      cmocka_unit_test(a_taken_port_is_refused_by_name),
      cmocka_unit_test(the_client_speaks_over_one_connection),
      cmocka_unit_test(files_are_sent_and_fetched),
      cmocka_unit_test(a_silent_server_is_left),
      cmocka_unit_test(what_is_no_answer_is_said),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  rmdir(folder);
  return failed ? failed : rs_alloc_blocks() != 0;
}
