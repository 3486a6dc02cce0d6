/* proxies_test.c - whom a request is from, by lists that proxies have added to and clients have made up. */
#include "base/testing.h"

#include <arpa/inet.h>
#include <string.h>

#include "http/proxies.h"

static rs_proxies *parsed(const char *words) {
  rs_proxies *p = NULL;
  if (rs_proxies_parse(&p, words) != RS_OK) fail_msg("%s", rs_message());
  return p;
}

static bool trusts(const rs_proxies *p, const char *text) {
  struct sockaddr_in four = {.sin_family = AF_INET};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6};
  if (inet_pton(AF_INET, text, &four.sin_addr) == 1) return rs_proxies_have(p, (struct sockaddr *)&four);
  assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
  return rs_proxies_have(p, (struct sockaddr *)&six);
}

static void proxies_are_addresses_and_networks(void **state) {
  (void)state;
  rs_proxies *p = parsed("127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.4.4/31,fd00::/9,2001:db8::5,::ffff:9.0.0.0/104");
  static const char *const in[] = {"127.0.0.1", "10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "172.16.0.0",
                                   "172.31.255.255", "192.168.4.5", "fd00::1", "fd7f:ffff::", "2001:db8::5", "9.1.2.3"};
  static const char *const out[] = {"127.0.0.2", "11.0.0.0", "9::1", "172.32.0.0", "172.15.255.255", "192.168.4.6",
                                    "192.168.4.3", "fd80::", "2001:db8::4", "::1", "8.0.0.1", "::10.0.0.1", "a00::"};
  for (size_t i = 0; i < sizeof in / sizeof *in; i++)
    if (!trusts(p, in[i])) fail_msg("%s is not trusted", in[i]);
  for (size_t i = 0; i < sizeof out / sizeof *out; i++)
    if (trusts(p, out[i])) fail_msg("%s is trusted", out[i]);
  rs_proxies_free(p);
  assert_false(trusts(NULL, "127.0.0.1"));
}

static void what_is_no_proxy_is_refused_with_its_word(void **state) {
  (void)state;
  static const char *const wrong[][2] = {
      {"", "''"}, {"10.0.0.1,", "''"}, {",10.0.0.1", "''"}, {"localhost", "'localhost'"}, {"10.0.0", "'10.0.0'"},
      {"10.0.0.01", "'10.0.0.01'"}, {"10.0.0.1 ", "'10.0.0.1 '"}, {"10.0.0.1:80", "'10.0.0.1:80'"},
      {"[::1]", "'[::1]'"}, {"fe80::1%eth0", "'fe80::1%eth0'"}, {"10.0.0.0/", "1 to 32"}, {"10.0.0.0/33", "1 to 32"},
      {"10.0.0.0/+8", "1 to 32"}, {"10.0.0.0/8/8", "1 to 32"}, {"fd00::/129", "1 to 128"}, {"/8", "'/8'"},
      {"0.0.0.0/0", "everybody"}, {"::1,::/0", "'::/0' is everybody"}, {"::ffff:0:0/96", "is everybody"}, {"::/8", "is everybody"}, {"10.0.0.1/8", "bits behind the 8"},
      {"fd00::1/64", "bits behind the 64"}, {"fe00::/6", "bits behind the 6"},
      {"1111111111111111111111111111111111111111111111111111111111111111", "'11111111111111111111...'"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    rs_proxies *p = NULL;
    if (rs_proxies_parse(&p, wrong[i][0]) != RS_EARG) fail_msg("'%s' is taken", wrong[i][0]);
    if (!strstr(rs_message(), wrong[i][1])) fail_msg("%s: no %s", rs_message(), wrong[i][1]);
    assert_null(p);
  }
}

static void there_are_a_hundred_at_the_most(void **state) {
  (void)state;
  char words[RS_PROXIES * 8 + 8] = "";
  for (int i = 0; i < RS_PROXIES; i++) strcat(words, i ? ",1.1.1.1" : "1.1.1.1");
  rs_proxies_free(parsed(words));
  strcat(words, ",1.1.1.1");
  rs_proxies *p = NULL;
  assert_int_equal(rs_proxies_parse(&p, words), RS_EARG);
  assert_non_null(strstr(rs_message(), "more than 100"));
}

/* Whom the headers tell, as a text; "" for nobody. */
static const char *client_of(const rs_proxies *p, const rs_http_pair *headers, int n) {
  static char text[INET6_ADDRSTRLEN];
  struct sockaddr_storage found;
  if (!rs_proxies_client(p, headers, n, &found)) return "";
  if (found.ss_family == AF_INET)
    inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)&found)->sin_addr, text, sizeof text);
  else
    inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)&found)->sin6_addr, text, sizeof text);
  return text;
}

static void the_last_entry_that_is_not_trusted_is_the_client(void **state) {
  (void)state;
  rs_proxies *p = parsed("127.0.0.1,10.0.0.0/8,fd00::/8");
  static const char *const lists[][2] = {
      {"203.0.113.7", "203.0.113.7"},
      {" 203.0.113.7 ", "203.0.113.7"},
      {"1.2.3.4, 203.0.113.7", "203.0.113.7"}, /* made up by the client */
      {"1.2.3.4,10.0.0.9,203.0.113.7", "203.0.113.7"},
      {"1.2.3.4, 203.0.113.7, 10.0.0.9", "203.0.113.7"}, /* by way of a second proxy */
      {"1.2.3.4, 203.0.113.7\t,\t10.0.0.9 , fd00::5", "203.0.113.7"},
      {"203.0.113.7:61234", "203.0.113.7"},
      {"2001:db8::7", "2001:db8::7"},
      {"[2001:db8::7]", "2001:db8::7"},
      {"[2001:db8::7]:443, [fd00::1]:9", "2001:db8::7"},
      {"::ffff:203.0.113.7", "203.0.113.7"},
      {"::ffff:10.0.0.9", "10.0.0.9"},
      {"10.0.0.8, 10.0.0.9", "10.0.0.8"}, /* none but proxies: where it began */
      {"junk, 203.0.113.7", "203.0.113.7"},
      {"'; DROP, ,,\"x, 203.0.113.7", "203.0.113.7"},
      /* nothing is taken from before what is no address */
      {"203.0.113.7, junk", ""},
      {"203.0.113.7, junk, 10.0.0.9", "10.0.0.9"},
      {"203.0.113.7, , 10.0.0.9", "10.0.0.9"},
      {"203.0.113.7,", ""},
      {"", ""},
      {" ", ""},
      {",", ""},
      {"unknown", ""},
      {"_hidden", ""},
      {"localhost", ""},
      {"203.0.113", ""},
      {"203.0.113.07", ""},
      {"203.0.113.256", ""},
      {"0xcb007107", ""},
      {"3405803783", ""},
      {"203.0.113.7:", ""},
      {"203.0.113.7:x", ""},
      {"203.0.113.7:65536", ""},
      {"203.0.113.7:+80", ""},
      {"203.0.113.7/32", ""},
      {"203.0.113.7 1.2.3.4", ""},
      {"[203.0.113.7]", ""},
      {"[2001:db8::7", ""},
      {"2001:db8::7]", ""},
      {"[2001:db8::7]x", ""},
      {"[2001:db8::7]:", ""},
      {"[2001:db8::7]:123456", ""},
      {"[]", ""},
      {"[", ""},
      {":80", ""},
      {":", ""},
      {"2001:db8::7%eth0", ""},
      {"2001:db8:::7", ""},
      {"for=203.0.113.7", ""},
      {"\"203.0.113.7\"", ""},
      {"\xff\xfe", ""},
      {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001", ""}};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    const rs_http_pair header = {"x-forwarded-for", lists[i][0]};
    if (strcmp(client_of(p, &header, 1), lists[i][1]))
      fail_msg("'%s' gives '%s', not '%s'", lists[i][0], client_of(p, &header, 1), lists[i][1]);
  }
  rs_proxies_free(p);
}

static void several_headers_are_one_list(void **state) {
  (void)state;
  rs_proxies *p = parsed("10.0.0.0/8");
  const rs_http_pair made_up[] = {{"x-forwarded-for", "1.2.3.4"}, {"host", "h"}, {"x-forwarded-for", "203.0.113.7"}};
  const rs_http_pair added[] = {{"x-forwarded-for", "1.2.3.4, 203.0.113.7"}, {"x-forwarded-for", "10.0.0.2, 10.0.0.3"}};
  const rs_http_pair broken[] = {{"x-forwarded-for", "1.2.3.4"}, {"x-forwarded-for", ""}, {"x-forwarded-for", "10.0.0.3"}};
  const rs_http_pair others[] = {{"forwarded", "for=1.2.3.4"}, {"x-real-ip", "1.2.3.4"}, {"x-forwarded-fo", "1.2.3.4"},
                                 {"x-forwarded-for2", "1.2.3.4"}, {"host", "1.2.3.4"}};
  assert_string_equal(client_of(p, made_up, 3), "203.0.113.7");
  assert_string_equal(client_of(p, added, 2), "203.0.113.7");
  assert_string_equal(client_of(p, broken, 3), "10.0.0.3");
  assert_string_equal(client_of(p, others, 5), "");
  assert_string_equal(client_of(p, NULL, 0), "");
  rs_proxies_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(proxies_are_addresses_and_networks),
      cmocka_unit_test(what_is_no_proxy_is_refused_with_its_word),
      cmocka_unit_test(there_are_a_hundred_at_the_most),
      cmocka_unit_test(the_last_entry_that_is_not_trusted_is_the_client),
      cmocka_unit_test(several_headers_are_one_list),
  };
  return cmocka_run_group_tests_name("proxies", tests, NULL, no_blocks_remain);
}
