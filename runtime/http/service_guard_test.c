/* service_guard_test.c - who may ask a service, how often and by what means, and what it writes down of that. */
#include "http/asking.h"

#include <curl/curl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

/* "METHOD path size", or "client ADDRESS.". */
static void echo(void *context, const rs_call *call, rs_reply *reply) {
  (void)context;
  reply->type = "text/plain";
  if (!strcmp(call->target->path, "/client")) {
    rs_buffer_printf(reply->body, "client %s.\n", call->client);
    return;
  }
  if (!strncmp(call->target->path, "/users/", 7)) reply->log_path = "/users/{id}";
  rs_buffer_printf(reply->body, "%s %s %zu\n", call->method, call->target->path, call->size);
}

static rs_service *serving_with(rs_service_options options) {
  rs_service *s = NULL;
  if (options.workers == 0) options.workers = 2;
  if (rs_service_start(&s, &options, echo, NULL) != RS_OK) fail_msg("%s", rs_message());
  return s;
}

static unsigned needs(void *context, const char *method, const char *path) {
  (void)context;
  if (!strcmp(path, "/ping")) return 0;
  return strcmp(method, "DELETE") ? RS_SCOPE_USE : RS_SCOPE_ADMIN;
}

static void tokens_open_what_they_are_for(void **state) {
  (void)state;
  static const char text[] = "shop use 0123456789abcdef\nops admin,use fedcba9876543210";
  rs_tokens *tokens = NULL;
  assert_int_equal(rs_tokens_parse(&tokens, text, sizeof text - 1, "tokens"), RS_OK);
  rs_service *s = serving_with((rs_service_options){.tokens = tokens, .needs = needs});
  answers(s, "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n", "GET /ping 0");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 401");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "\r\nWWW-Authenticate: Bearer\r\n");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdeF\r\n\r\n", "HTTP/1.1 401");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", "GET /a 0");
  answers(s, "DELETE /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", "HTTP/1.1 403");
  answers(s, "DELETE /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fedcba9876543210\r\n\r\n", "DELETE /a 0");
  /* the connection is kept where the body is small, and its bytes are no request */
  answers(s, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nGET GET /ping HTTP/1.1\r\nHost: h\r\n\r\n", "GET /ping 0");
  answers_and_closes(s, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n", "HTTP/1.1 401");
  assert_int_equal(rs_service_counts_of(s).refused[RS_REFUSED_ACCESS], 6);
  rs_service_free(s);
  rs_tokens_free(tokens);
}

static void rates_are_of_tokens_and_of_addresses(void **state) {
  (void)state;
  static const char text[] = "shop use 0123456789abcdef\nops admin,use fedcba9876543210";
  rs_tokens *tokens = NULL;
  assert_int_equal(rs_tokens_parse(&tokens, text, sizeof text - 1, "tokens"), RS_OK);
  rs_service *s = serving_with((rs_service_options){.tokens = tokens, .needs = needs, .rate = 0.01, .burst = 3});
  const char *shop = "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n";
  for (int i = 0; i < 3; i++) answers(s, shop, "GET /a 0"); /* of whatever worker */
  answers(s, shop, "HTTP/1.1 429");
  answers(s, shop, "\r\nRetry-After: 1");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fedcba9876543210\r\n\r\n", "GET /a 0");
  for (int i = 0; i < 3; i++) answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 401");
  answers(s, "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer guessed\r\n\r\n", "HTTP/1.1 429");
  for (int i = 0; i < 9; i++) answers(s, "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n", "GET /ping 0");
  assert_int_equal(rs_service_counts_of(s).refused[RS_REFUSED_RATE], 3);
  rs_service_free(s);
  rs_tokens_free(tokens);
}

/* What "GET /a" is told whose Host is this. */
static int told(const rs_service *s, const char *host) {
  char request[512], answer[4096];
  int status = 0, handle = connected(s);
  snprintf(request, sizeof request, "GET /a HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
  says(handle, request);
  hears(handle, answer, sizeof answer, NULL);
  close(handle);
  assert_int_equal(sscanf(answer, "HTTP/1.1 %d", &status), 1);
  return status;
}

static void a_host_must_be_a_name_of_ours_on_loopback_without_tokens(void **state) {
  (void)state;
  static const char *const ours[] = {"localhost", "LOCALHOST:80", "localhost.", "127.0.0.1", "127.0.0.1:8080",
                                     "127.8.0.1", "[::1]", "[::1]:5", "Shop.lan", "shop.LAN:80", "b"};
  static const char *const others[] = {"evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "lan",
                                       "shop.lan.evil", "shop", "localhost:x", "localhost:", "[::2]", "[::1", "[::1]x",
                                       "::1", "127.0.0.1.evil", "localhost,evil.example", "127.1", ":80", "[]"};
  rs_service *s = serving_with((rs_service_options){.names = "shop.lan  b"});
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    if (told(s, ours[i]) != 200) fail_msg("%s is refused", ours[i]);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (told(s, others[i]) != 403) fail_msg("%s is let in", others[i]);
  assert_int_equal(rs_service_counts_of(s).refused[RS_REFUSED_ACCESS], sizeof others / sizeof *others);
  answers_and_closes(s, "POST /a HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 3\r\n\r\nxxx", "--allow-host");
  answers(s, "GET /a HTTP/1.0\r\n\r\n", "GET /a 0"); /* no browser asks so */
  rs_service_free(s);
  rs_tokens *tokens = NULL;
  assert_int_equal(rs_tokens_parse(&tokens, "shop use 0123456789abcdef", 25, "tokens"), RS_OK);
  s = serving_with((rs_service_options){.tokens = tokens, .names = ""});
  assert_int_equal(told(s, "evil.example"), 401);
  rs_service_free(s);
  rs_tokens_free(tokens);
  s = serving_with((rs_service_options){.address = "0.0.0.0", .names = ""});
  assert_int_equal(told(s, "evil.example"), 200);
  rs_service_free(s);
}

static void an_address_has_so_many_connections(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.per_address = 2});
  int handles[2];
  char answer[4096];
  for (int i = 0; i < 2; i++) {
    handles[i] = connected(s);
    says(handles[i], "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    hears(handles[i], answer, sizeof answer, "GET /w 0");
  }
  answers_and_closes(s, "GET /w HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 503");
  close(handles[0]);
  while (rs_service_counts_of(s).open == 2) usleep(1000);
  answers(s, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n", "GET /again 0");
  close(handles[1]);
  rs_service_free(s);
}

/* Ask on a connection that is kept. */
static void told_on(int handle, const char *forwarded, const char *expected) {
  char request[512], answer[4096];
  snprintf(request, sizeof request, "GET /client HTTP/1.1\r\nHost: h\r\n%s\r\n", forwarded);
  says(handle, request);
  hears(handle, answer, sizeof answer, expected);
  if (!strstr(answer, expected)) fail_msg("to '%s' no '%s' in:\n%s", forwarded, expected, answer);
}

static void a_trusted_proxy_tells_the_client_of_each_request(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.proxies = "127.0.0.0/8,10.0.0.0/8"});
  int handle = connected(s);
  told_on(handle, "", "client 127.0.0.1.");
  told_on(handle, "X-Forwarded-For: 1.2.3.4, 203.0.113.7\r\n", "client 203.0.113.7.");
  told_on(handle, "X-FORWARDED-FOR: 1.2.3.4\r\nx-forwarded-for: [2001:db8::7]:9 , 10.1.1.1\r\n", "client 2001:db8::7.");
  told_on(handle, "X-Forwarded-For: 203.0.113.7, junk\r\n", "client 127.0.0.1.");
  told_on(handle, "Forwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n", "client 127.0.0.1.");
  close(handle);
  rs_service_free(s);
  s = serving_with((rs_service_options){.proxies = "10.0.0.0/8"}); /* who asks is none of them */
  answers(s, "GET /client HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n", "client 127.0.0.1.");
  rs_service_free(s);
  s = serving_with((rs_service_options){0});
  answers(s, "GET /client HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n", "client 127.0.0.1.");
  rs_service_free(s);
  s = NULL;
  assert_int_equal(rs_service_start(&s, &(rs_service_options){.proxies = "proxy.lan"}, echo, NULL), RS_EARG);
  assert_non_null(strstr(rs_message(), "'proxy.lan' is no address"));
  assert_null(s);
}

static void limits_are_of_the_client_behind_a_trusted_proxy(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.proxies = "127.0.0.1", .rate = 0.01, .burst = 2, .per_address = 1});
  int handle = connected(s), second = connected(s);
  for (int i = 0; i < 2; i++) {
    told_on(handle, "X-Forwarded-For: 203.0.113.7\r\n", "client 203.0.113.7.");
    told_on(second, "X-Forwarded-For: 203.0.113.7, 203.0.113.8\r\n", "client 203.0.113.8."); /* and not counted by address */
    told_on(second, "X-Forwarded-For: 2001:db8::7\r\n", "client 2001:db8::7.");
  }
  told_on(second, "X-Forwarded-For: 9.9.9.9, 203.0.113.7\r\n", "HTTP/1.1 429"); /* made up, by whatever connection */
  told_on(handle, "X-Forwarded-For: 2001:db8::8\r\n", "HTTP/1.1 429");          /* of the same /64 */
  told_on(handle, "X-Forwarded-For: 203.0.113.9\r\n", "client 203.0.113.9.");
  close(handle);
  close(second);
  rs_service_free(s);
  s = serving_with((rs_service_options){.rate = 0.01, .burst = 2}); /* else what they say buys nothing */
  handle = connected(s);
  told_on(handle, "X-Forwarded-For: 203.0.113.1\r\n", "client 127.0.0.1.");
  told_on(handle, "X-Forwarded-For: 203.0.113.2\r\n", "client 127.0.0.1.");
  told_on(handle, "X-Forwarded-For: 203.0.113.3\r\n", "HTTP/1.1 429");
  close(handle);
  rs_service_free(s);
}

/* A certificate for localhost and its key, of a minute ago, in files. */
static void make_certificate(char *certificate, char *key, EVP_PKEY **out) {
  EVP_PKEY *pair = EVP_EC_gen("P-256");
  X509 *x = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -60);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  X509_set_pubkey(x, pair);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(x));
  assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
  FILE *f = fdopen(mkstemp(certificate), "w");
  PEM_write_X509(f, x);
  fclose(f);
  f = fdopen(mkstemp(key), "w");
  PEM_write_PrivateKey(f, pair, NULL, NULL, 0, NULL, NULL);
  fclose(f);
  X509_free(x);
  if (out) *out = pair;
  else EVP_PKEY_free(pair);
}

static size_t gather(char *bytes, size_t size, size_t n, void *answer) {
  strncat(answer, bytes, size * n);
  return size * n;
}

/* What libcurl gets of a service with the certificate; its code. */
static CURLcode fetch(const rs_service *s, const char *scheme, const char *path, const char *authority, const char *body,
                      char *answer) {
  char url[128];
  snprintf(url, sizeof url, "%s://localhost:%d%s", scheme, rs_service_port(s), path);
  CURL *c = curl_easy_init();
  *answer = 0;
  curl_easy_setopt(c, CURLOPT_URL, url);
  curl_easy_setopt(c, CURLOPT_CAINFO, authority);
  curl_easy_setopt(c, CURLOPT_IPRESOLVE, CURL_IPRESOLVE_V4);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, gather);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
  curl_easy_setopt(c, CURLOPT_TIMEOUT, 10L);
  if (body) curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
  CURLcode code = curl_easy_perform(c);
  curl_easy_cleanup(c);
  return code;
}

static void tls_is_spoken_with_a_certificate(void **state) {
  (void)state;
  char certificate[] = "/tmp/recsys-cert-XXXXXX", key[] = "/tmp/recsys-key-XXXXXX", answer[4096];
  make_certificate(certificate, key, NULL);
  rs_service *s = serving_with((rs_service_options){.certificate = certificate, .key = key, .head_ms = 300});
  for (int i = 0; i < 4; i++) {
    assert_int_equal(fetch(s, "https", "/a", certificate, "xxxx", answer), CURLE_OK);
    assert_non_null(strstr(answer, "POST /a 4"));
  }
  assert_int_equal(fetch(s, "https", "/%2e%2e/a%00", certificate, NULL, answer), CURLE_OK);
  assert_non_null(strstr(answer, "\"code\":\"target\""));
  assert_int_not_equal(fetch(s, "http", "/a", certificate, NULL, answer), CURLE_OK);
  assert_null(strstr(answer, "GET /a"));
  int silent = connected(s); /* begins no handshake */
  assert_true(closes(silent));
  close(silent);
  rs_service_free(s);
  unlink(certificate);
  unlink(key);
}

static void a_certificate_that_is_none_is_refused_by_name(void **state) {
  (void)state;
  char certificate[] = "/tmp/recsys-cert-XXXXXX", key[] = "/tmp/recsys-key-XXXXXX";
  char other[] = "/tmp/recsys-cert-XXXXXX", other_key[] = "/tmp/recsys-key-XXXXXX", secret[] = "/tmp/recsys-key-XXXXXX";
  EVP_PKEY *pair;
  make_certificate(certificate, key, &pair);
  make_certificate(other, other_key, NULL);
  FILE *f = fdopen(mkstemp(secret), "w");
  PEM_write_PrivateKey(f, pair, EVP_aes_256_cbc(), (const unsigned char *)"word", 4, NULL, NULL);
  fclose(f);
  EVP_PKEY_free(pair);
  const struct {
    const char *certificate, *key, *message, *named;
  } wrong[] = {{certificate, "/gone/key", "No such file", "/gone/key"},
               {"/gone/cert", key, "No such file", "/gone/cert"},
               {key, key, "no certificate", key},
               {certificate, certificate, "no private key", certificate},
               {certificate, secret, "without a passphrase", secret},
               {certificate, other_key, "not the key of the certificate", other_key},
               {certificate, NULL, "needs its key", "certificate"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    rs_service *s = NULL;
    rs_service_options options = {.workers = 1, .certificate = wrong[i].certificate, .key = wrong[i].key};
    assert_int_not_equal(rs_service_start(&s, &options, echo, NULL), RS_OK);
    if (!strstr(rs_message(), wrong[i].message) || !strstr(rs_message(), wrong[i].named)) fail_msg("%s", rs_message());
  }
  const char *paths[] = {certificate, key, other, other_key, secret};
  for (int i = 0; i < 5; i++) unlink(paths[i]);
}

static bool has_ipv6(void) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6};
  int handle = socket(AF_INET6, SOCK_STREAM, 0);
  bool has = handle >= 0 && bind(handle, (struct sockaddr *)&any, sizeof any) == 0;
  if (handle >= 0) close(handle);
  return has;
}

/* The log's lines, once there are so many. */
static void logged(const char *path, int lines, char *text, size_t room) {
  for (double end = seconds() + 5; seconds() < end; usleep(10000)) {
    FILE *f = fopen(path, "r");
    if (!f) continue;
    size_t n = fread(text, 1, room - 1, f);
    fclose(f);
    text[n] = 0;
    int found = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++) found++;
    if (found == lines) return;
  }
  fail_msg("%s has not %d lines after 5 s: %s", path, lines, text);
}

static void requests_stand_in_the_log_without_whose_they_are(void **state) {
  (void)state;
  char path[] = "/tmp/recsys-log-XXXXXX", moved[64], text[8192];
  close(mkstemp(path));
  snprintf(moved, sizeof moved, "%s.1", path);
  rs_service *s = serving_with((rs_service_options){.access_log = path});
  answers(s, "POST /a%20b?user=alice HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine\r\nContent-Length: 3\r\n\r\nxxx", "POST /a b 3");
  answers(s, "GET /a\"\\b HTTP/1.1\r\nHost: h\r\nX-Request-Id: a\"b\r\n\r\n", "HTTP/1.1 400");
  answers(s, "B\"EW /a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400");
  logged(path, 3, text, sizeof text);
  assert_non_null(strstr(text, "\"method\":\"POST\",\"path\":\"/a%20b\",\"status\":200,\"bytes\":"));
  assert_non_null(strstr(text, "\"request_id\":\"mine\",\"worker\":"));
  assert_null(strstr(text, "alice"));
  assert_null(strstr(text, "127.0.0.1"));
  assert_null(strstr(text, "a\"b"));
  const char *at = text;
  for (int i = 0; i < 3; i++) { /* each line is JSON */
    json_t *line = NULL;
    assert_int_equal(rs_json_object(&line, at, (size_t)(strchr(at, '\n') - at), "line"), RS_OK);
    assert_int_equal(strlen(json_string_value(json_object_get(line, "time"))), 24);
    assert_true(json_is_number(json_object_get(line, "ms")));
    json_decref(line);
    at = strchr(at, '\n') + 1;
  }
  assert_int_equal(rename(path, moved), 0); /* as logrotate does */
  rs_service_reopen_log(s);
  for (double end = seconds() + 5; access(path, F_OK) != 0 && seconds() < end;) usleep(10000);
  answers(s, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", "GET /later 0");
  answers(s, "GET /users/alice HTTP/1.1\r\nHost: h\r\n\r\n", "GET /users/alice 0");
  answers(s, "POST /users/alice HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 400");
  answers(s, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", "GET /later 0");
  rs_service_free(s);
  logged(path, 4, text, sizeof text);
  assert_non_null(strstr(text, "/later"));
  assert_non_null(strstr(text, "\"path\":\"/users/{id}\",\"status\":200"));
  assert_non_null(strstr(text, "\"path\":\"/users\",\"status\":400"));
  assert_null(strstr(text, "alice"));
  logged(moved, 3, text, sizeof text);
  s = serving_with((rs_service_options){.access_log = path, .log_addresses = true, .address = has_ipv6() ? "::" : NULL});
  answers(s, "GET /who HTTP/1.1\r\nHost: h\r\n\r\n", "GET /who 0");
  rs_service_free(s);
  logged(path, 5, text, sizeof text);
  assert_non_null(strstr(text, ",\"client\":\"127.0.0.1\"}\n"));
  unlink(path);
  unlink(moved);
}

static void a_log_that_cannot_be_written_keeps_nobody_waiting(void **state) {
  (void)state;
  rs_service *s = serving_with((rs_service_options){.access_log = "/dev/full"});
  for (int i = 0; i < 5; i++) answers(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a 0");
  for (double end = seconds() + 5; rs_service_counts_of(s).log_dropped < 5 && seconds() < end;) usleep(10000);
  assert_int_equal(rs_service_counts_of(s).log_dropped, 5);
  rs_service_free(s);
  rs_service_options options = {.access_log = "/gone/access.log"};
  assert_int_equal(rs_service_start(&s, &options, echo, NULL), RS_EIO);
  assert_non_null(strstr(rs_message(), "/gone/access.log: No such file"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tokens_open_what_they_are_for),
      cmocka_unit_test(rates_are_of_tokens_and_of_addresses),
      cmocka_unit_test(a_host_must_be_a_name_of_ours_on_loopback_without_tokens),
      cmocka_unit_test(an_address_has_so_many_connections),
      cmocka_unit_test(a_trusted_proxy_tells_the_client_of_each_request),
      cmocka_unit_test(limits_are_of_the_client_behind_a_trusted_proxy),
      cmocka_unit_test(tls_is_spoken_with_a_certificate),
      cmocka_unit_test(a_certificate_that_is_none_is_refused_by_name),
      cmocka_unit_test(requests_stand_in_the_log_without_whose_they_are),
      cmocka_unit_test(a_log_that_cannot_be_written_keeps_nobody_waiting),
  };
  return cmocka_run_group_tests_name("service_guard", tests, NULL, no_blocks_remain);
}
