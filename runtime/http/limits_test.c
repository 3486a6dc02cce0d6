/* limits_test.c - tokens, rates and counts by address, without sockets. */
#include "base/testing.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/addresses.h"
#include "http/call.h"
#include "http/rate.h"
#include "http/tokens.h"

static rs_tokens *parsed(const char *text) {
  rs_tokens *t = NULL;
  if (rs_tokens_parse(&t, text, strlen(text), "TOKENS") != RS_OK) fail_msg("%s", rs_message());
  return t;
}

static void tokens_are_found_by_what_is_shown(void **state) {
  (void)state;
  rs_tokens *t = parsed("# who may what\nshop use 0123456789abcdef\n\n ops\tadmin,metrics  fedcba9876543210 \r\n"
                        "hashed all sha256:62249369389075490555a758353aec61500c6218fa597252d52dc4bd0148f12d\n");
  assert_int_equal(rs_tokens_find(t, "Bearer 0123456789abcdef"), 0);
  assert_int_equal(rs_tokens_find(t, "bearer  fedcba9876543210"), 1);
  assert_int_equal(rs_tokens_find(t, "Bearer 0123456789abcde"), -1);
  assert_int_equal(rs_tokens_find(t, "Bearer correct-horse-battery"), 2); /* printf ... | sha256sum */
  assert_int_equal(rs_tokens_find(t, "Bearer "), -1);
  assert_int_equal(rs_tokens_find(t, "Basic 0123456789abcdef"), -1);
  assert_int_equal(rs_tokens_find(t, ""), -1);
  assert_string_equal(rs_tokens_name(t, 1), "ops");
  assert_int_equal(rs_tokens_scopes(t, 0), RS_SCOPE_USE);
  assert_int_equal(rs_tokens_scopes(t, 1), RS_SCOPE_ALL); /* an admin's */
  assert_int_equal(rs_tokens_scopes(t, 2), RS_SCOPE_ALL);
  rs_tokens_free(t);
  t = parsed("a use 0123456789abcdef; b write,metrics 0123456789abcdeg");
  assert_int_equal(rs_tokens_find(t, "Bearer 0123456789abcdeg"), 1);
  assert_int_equal(rs_tokens_scopes(t, 1), RS_SCOPE_WRITE | RS_SCOPE_METRICS);
  assert_string_equal(rs_scope_word(RS_SCOPE_WRITE), "write");
  assert_string_equal(rs_scope_word(RS_SCOPE_ADMIN), "admin");
  rs_tokens_free(t);
}

static void lines_that_are_none_are_refused_without_being_shown(void **state) {
  (void)state;
  const char *wrong[][2] = {{"", "no token in it"},
                            {"# nothing", "no token in it"},
                            {"a use", "line 1 is not NAME"},
                            {"secret-of-mine-only", "line 1 is not NAME"},
                            {"\na use 0123456789abcdef more", "line 2 is not NAME"},
                            {"a read 0123456789abcdef", "scopes"},
                            {"a use,,admin 0123456789abcdef", "scopes"},
                            {"a use 0123456789abcde", "fewer than 16"},
                            {"a use sha256:00", "64 hexadecimal"},
                            {"\"a\" use 0123456789abcdef", "name"},
                            {"a use 0123456789abcdef\na admin 0123456789abcdeg", "line 2 has the name of another"},
                            {"a use 0123456789abcdef\nb admin 0123456789abcdef", "line 2 has the token of another"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    rs_tokens *t = NULL;
    assert_int_equal(rs_tokens_parse(&t, wrong[i][0], strlen(wrong[i][0]), "TOKENS"), RS_EFORMAT);
    if (!strstr(rs_message(), wrong[i][1]) || strncmp(rs_message(), "TOKENS: ", 8)) fail_msg("%s", rs_message());
    assert_null(strstr(rs_message(), "0123456789abcde"));
    assert_null(strstr(rs_message(), "secret"));
    assert_null(t);
  }
}

static void a_file_of_tokens_is_its_owners(void **state) {
  (void)state;
  char path[] = "/tmp/recsys-tokens-XXXXXX";
  int handle = mkstemp(path);
  assert_int_equal(write(handle, "a use 0123456789abcdef\n", 23), 23);
  close(handle);
  rs_tokens *t = NULL;
  assert_int_equal(rs_tokens_read(&t, path), RS_OK);
  rs_tokens_free(t);
  t = NULL;
  chmod(path, 0622);
  assert_int_equal(rs_tokens_read(&t, path), RS_EIO);
  assert_non_null(strstr(rs_message(), "chmod go-w"));
  unlink(path);
  assert_int_equal(rs_tokens_read(&t, path), RS_EIO);
  assert_non_null(strstr(rs_message(), path));
  assert_null(t);
}

static void a_rate_grants_a_burst_and_then_so_many_a_second(void **state) {
  (void)state;
  rs_rate *r = NULL;
  assert_int_equal(rs_rate_new(&r, 10, 3), RS_OK);
  int64_t now = 5000000000, second = 1000000000;
  for (int i = 0; i < 3; i++) assert_int_equal(rs_rate_take(r, "a", 1, now), 0);
  assert_int_equal(rs_rate_take(r, "a", 1, now), second / 10);
  assert_int_equal(rs_rate_take(r, "b", 1, now), 0); /* another key has its own */
  assert_int_equal(rs_rate_take(r, "a", 1, now + second / 20), second / 20);
  assert_int_equal(rs_rate_take(r, "a", 1, now + second / 10), 0);
  assert_true(rs_rate_take(r, "a", 1, now + second / 10) > 0);
  now += 10 * second; /* in which no more than the burst is saved */
  for (int i = 0; i < 3; i++) assert_int_equal(rs_rate_take(r, "a", 1, now), 0);
  assert_true(rs_rate_take(r, "a", 1, now) > 0);
  int granted = 0;
  for (int64_t t = 20 * second; t < 30 * second; t += second / 100) granted += rs_rate_take(r, "c", 1, t) == 0;
  assert_in_range(granted, 102, 103);
  rs_rate_free(r);
  assert_int_equal(rs_rate_new(&r, 0, 1), RS_EARG);
  assert_int_equal(rs_rate_new(&r, 1, 0.5), RS_EARG);
  assert_int_equal(rs_rate_new(&r, 1.0 / 0.0, 1), RS_EARG);
}

static void many_keys_keep_their_own_buckets(void **state) {
  (void)state;
  rs_rate *r = NULL;
  assert_int_equal(rs_rate_new(&r, 1, 1), RS_OK);
  int granted = 0, again = 0;
  for (int i = 0; i < 4000; i++) granted += rs_rate_take(r, &i, sizeof i, 1000000000) == 0;
  for (int i = 0; i < 4000; i++) again += rs_rate_take(r, &i, sizeof i, 1000000001) == 0;
  assert_int_equal(granted, 4000);
  assert_true(again < 100); /* of a place that five keys share */
  rs_rate_free(r);
}

static uint64_t key_of(const char *text) {
  struct sockaddr_in four = {.sin_family = AF_INET};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6};
  if (inet_pton(AF_INET, text, &four.sin_addr) == 1) return rs_address_key((struct sockaddr *)&four);
  assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
  return rs_address_key((struct sockaddr *)&six);
}

static void an_address_is_a_number_or_a_network_of_ipv6(void **state) {
  (void)state;
  assert_int_equal(key_of("10.1.2.3"), key_of("::ffff:10.1.2.3"));
  assert_int_equal(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:2:ff::9"));
  assert_int_not_equal(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:3::1"));
  assert_int_not_equal(key_of("10.1.2.3"), key_of("10.1.2.4"));
  assert_int_not_equal(key_of("::1"), 0);
}

static void addresses_are_counted(void **state) {
  (void)state;
  rs_addresses *a = NULL;
  assert_int_equal(rs_addresses_new(&a, 2000, 3), RS_OK);
  for (int i = 0; i < 3; i++) assert_true(rs_addresses_take(a, key_of("10.0.0.1")));
  assert_false(rs_addresses_take(a, key_of("10.0.0.1")));
  rs_addresses_drop(a, key_of("10.0.0.1"));
  assert_true(rs_addresses_take(a, key_of("10.0.0.1")));
  /* against a plain table */
  unsigned seed = 1;
  int counts[200] = {0}, all = 0;
  for (int step = 0; step < 100000; step++) {
    int at = rand_r(&seed) % 200;
    if (rand_r(&seed) % 2) {
      bool taken = rs_addresses_take(a, 1000 + (uint64_t)at);
      assert_int_equal(taken, counts[at] < 3);
      counts[at] += taken;
    } else if (counts[at] > 0) {
      rs_addresses_drop(a, 1000 + (uint64_t)at);
      counts[at]--;
    }
  }
  for (int i = 0; i < 200; i++) all += counts[i];
  assert_true(all > 0);
  rs_addresses_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tokens_are_found_by_what_is_shown),
      cmocka_unit_test(lines_that_are_none_are_refused_without_being_shown),
      cmocka_unit_test(a_file_of_tokens_is_its_owners),
      cmocka_unit_test(a_rate_grants_a_burst_and_then_so_many_a_second),
      cmocka_unit_test(many_keys_keep_their_own_buckets),
      cmocka_unit_test(an_address_is_a_number_or_a_network_of_ipv6),
      cmocka_unit_test(addresses_are_counted),
  };
  return cmocka_run_group_tests_name("limits", tests, NULL, no_blocks_remain);
}
