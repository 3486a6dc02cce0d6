#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "frame/column.h"

static int32_t add(rs_dictionary *d, const char *text) {
  int32_t code = -1;
  assert_int_equal(rs_dictionary_add(d, text, strlen(text), &code), RS_OK);
  return code;
}

static void codes_follow_first_appearance(void **state) {
  (void)state;
  rs_dictionary *d;
  assert_int_equal(rs_dictionary_new(&d), RS_OK);
  assert_int_equal(rs_dictionary_find(d, "b", 1), 0);
  assert_int_equal(add(d, "b"), 1);
  assert_int_equal(add(d, ""), 2);
  assert_int_equal(add(d, "a"), 3);
  assert_int_equal(add(d, "b"), 1);
  assert_int_equal(add(d, ""), 2);
  size_t length;
  const char *text = rs_dictionary_text(d, 3, &length);
  assert_int_equal(length, 1);
  assert_int_equal(text[0], 'a');
  rs_dictionary_text(d, 2, &length);
  assert_int_equal(length, 0);
  assert_int_equal(rs_dictionary_find(d, "c", 1), 0);
  rs_dictionary_release(d);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void bytes_with_zeros_are_told_apart(void **state) {
  (void)state;
  rs_dictionary *d;
  int32_t one, two;
  assert_int_equal(rs_dictionary_new(&d), RS_OK);
  assert_int_equal(rs_dictionary_add(d, "a\0b", 3, &one), RS_OK);
  assert_int_equal(rs_dictionary_add(d, "a\0c", 3, &two), RS_OK);
  assert_int_not_equal(one, two);
  rs_dictionary_release(d);
}

static void many_strings_keep_their_codes(void **state) {
  (void)state;
  rs_dictionary *d;
  char text[32];
  assert_int_equal(rs_dictionary_new(&d), RS_OK);
  for (int i = 0; i < 50000; i++) {
    snprintf(text, sizeof text, "string %d", i * 7919);
    assert_int_equal(add(d, text), i + 1);
  }
  for (int i = 0; i < 50000; i++) {
    snprintf(text, sizeof text, "string %d", i * 7919);
    assert_int_equal(rs_dictionary_find(d, text, strlen(text)), i + 1);
    size_t length;
    const char *kept = rs_dictionary_text(d, i + 1, &length);
    assert_int_equal(length, strlen(text));
    assert_memory_equal(kept, text, length);
  }
  rs_dictionary_release(d);
}

static void refused_memory_leaves_the_dictionary_usable(void **state) {
  (void)state;
  rs_dictionary *d;
  char text[32];
  assert_int_equal(rs_dictionary_new(&d), RS_OK);
  int32_t expected = 0, code;
  for (int i = 0; i < 2000; i++) {
    snprintf(text, sizeof text, "%d", i);
    rs_alloc_fault(i % 3);
    rs_status status = rs_dictionary_add(d, text, strlen(text), &code);
    rs_alloc_fault(-1);
    if (status == RS_OK)
      assert_int_equal(code, ++expected);
    else {
      assert_int_equal(status, RS_ENOMEM);
      assert_int_equal(rs_dictionary_find(d, text, strlen(text)), 0);
      assert_int_equal(add(d, text), ++expected);
    }
  }
  rs_dictionary_release(d);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(codes_follow_first_appearance),
      cmocka_unit_test(bytes_with_zeros_are_told_apart),
      cmocka_unit_test(many_strings_keep_their_codes),
      cmocka_unit_test(refused_memory_leaves_the_dictionary_usable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
