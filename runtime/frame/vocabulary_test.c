/* Vocabularies: counting, choosing, order, and tensors from strangers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "frame/vocabulary.h"

/* A string column of NULL-terminated 'texts', "" being missing. */
static rs_column strings(const char *const *texts) {
  rs_column c = {.name = rs_strdup("c"), .type = RS_STRING};
  int64_t n = 0;
  while (texts[n]) n++;
  assert_int_equal(rs_tensor_new(&c.values, RS_I32, 1, &n), RS_OK);
  assert_int_equal(rs_dictionary_new(&c.dictionary), RS_OK);
  for (int64_t i = 0; i < n; i++) {
    rs_i32(&c.values)[i] = 0;
    if (*texts[i])
      assert_int_equal(rs_dictionary_add(c.dictionary, texts[i], strlen(texts[i]), &rs_i32(&c.values)[i]), RS_OK);
  }
  return c;
}

static rs_vocabulary *fit(const rs_counter *counter, int64_t min_count, int64_t max_size, rs_tensor *counts) {
  rs_tensor bytes = {0}, offsets = {0};
  rs_vocabulary *v;
  assert_int_equal(rs_counter_vocabulary(counter, min_count, INT64_MAX, max_size, &bytes, &offsets, counts), RS_OK);
  assert_int_equal(rs_vocabulary_new(&v, &bytes, &offsets), RS_OK);
  rs_tensor_free(&bytes);
  rs_tensor_free(&offsets);
  return v;
}

static int32_t code(const rs_vocabulary *v, const char *text) { return rs_vocabulary_find(v, text, strlen(text)); }

static void codes_follow_the_bytes_not_the_rows(void **state) {
  (void)state;
  rs_counter counter = {0};
  rs_column c = strings((const char *[]){"pear", "apple", "", "pear", "fig", "app", NULL});
  rs_tensor counts = {0};
  assert_int_equal(rs_counter_add(&counter, &c, NULL, 0), RS_OK);
  rs_vocabulary *v = fit(&counter, 1, 100, &counts);
  assert_int_equal(v->n, 4);
  assert_int_equal(code(v, "app"), 1);
  assert_int_equal(code(v, "apple"), 2);
  assert_int_equal(code(v, "fig"), 3);
  assert_int_equal(code(v, "pear"), 4);
  assert_int_equal(code(v, "plum"), 0);
  assert_int_equal(code(v, ""), 0);
  assert_int_equal(rs_i64(&counts)[0], 1); /* the missing one */
  assert_int_equal(rs_i64(&counts)[4], 2);
  assert_int_equal(counter.missing, 1);
  assert_int_equal(counter.rows, 6);
  rs_vocabulary_release(v);
  rs_tensor_free(&counts);
  rs_counter_free(&counter);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void rare_strings_share_code_0(void **state) {
  (void)state;
  rs_counter counter = {0};
  rs_column c = strings((const char *[]){"a", "b", "b", "c", "c", "c", "d", "d", NULL});
  rs_tensor counts = {0};
  assert_int_equal(rs_counter_add(&counter, &c, (int64_t[]){0, 1, 2, 3, 4, 5, 6, 7}, 8), RS_OK);
  rs_vocabulary *v = fit(&counter, 2, 2, &counts); /* of b and d, equally frequent, b comes first */
  assert_int_equal(v->n, 2);
  assert_int_equal(code(v, "b"), 1);
  assert_int_equal(code(v, "c"), 2);
  assert_int_equal(code(v, "d"), 0);
  assert_int_equal(rs_i64(&counts)[0], 3);
  assert_int_equal(rs_counter_add(&counter, &c, (int64_t[]){8}, 1), RS_ERANGE);
  rs_vocabulary_release(v);
  rs_tensor_free(&counts);
  rs_counter_free(&counter);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void an_index_gives_rows_and_refuses_repeats(void **state) {
  (void)state;
  rs_column c = strings((const char *[]){"z", "a", "m", NULL}), twice = strings((const char *[]){"z", "z", NULL});
  rs_column gap = strings((const char *[]){"z", "", NULL});
  rs_tensor bytes = {0}, offsets = {0};
  rs_vocabulary *v;
  assert_int_equal(rs_vocabulary_of_rows(&c, &bytes, &offsets), RS_OK);
  assert_int_equal(rs_vocabulary_new(&v, &bytes, &offsets), RS_OK);
  assert_int_equal(code(v, "a"), 2);
  assert_int_equal(code(v, "m"), 3);
  rs_vocabulary_release(v);
  rs_tensor_free(&bytes);
  rs_tensor_free(&offsets);
  assert_int_equal(rs_vocabulary_of_rows(&twice, &bytes, &offsets), RS_EARG);
  assert_int_equal(rs_vocabulary_of_rows(&gap, &bytes, &offsets), RS_EARG);
  rs_column_free(&c);
  rs_column_free(&twice);
  rs_column_free(&gap);
  assert_int_equal(rs_alloc_blocks(), 0);
}

/* As many as several threads fill in at once; then with one of them a second time, far behind. */
static void many_strings_are_all_found_and_a_repeat_is_told(void **state) {
  (void)state;
  enum { N = 100000, LENGTH = 7 };
  rs_tensor bytes = {0}, offsets = {0};
  rs_vocabulary *v;
  char text[16];
  assert_int_equal(rs_tensor_new(&bytes, RS_U8, 1, &(int64_t){N * LENGTH}), RS_OK);
  assert_int_equal(rs_tensor_new(&offsets, RS_I64, 1, &(int64_t){N + 1}), RS_OK);
  for (int64_t i = 0; i <= N; i++) rs_i64(&offsets)[i] = i * LENGTH;
  for (int i = 0; i < N; i++) {
    snprintf(text, sizeof text, "i%06d", i);
    memcpy(rs_u8(&bytes) + i * LENGTH, text, LENGTH);
  }
  assert_int_equal(rs_vocabulary_new(&v, &bytes, &offsets), RS_OK);
  for (int i = 0; i < N; i++) {
    snprintf(text, sizeof text, "i%06d", i);
    assert_int_equal(rs_vocabulary_find(v, text, LENGTH), i + 1);
  }
  assert_int_equal(rs_vocabulary_find(v, "i100000", LENGTH), 0);
  rs_vocabulary_release(v);
  memcpy(rs_u8(&bytes) + 90000 * LENGTH, "i000005", LENGTH);
  assert_int_equal(rs_vocabulary_new(&v, &bytes, &offsets), RS_EFORMAT);
  assert_string_equal(rs_message(), "vocabulary: 'i000005' occurs twice");
  rs_tensor_free(&bytes);
  rs_tensor_free(&offsets);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static rs_status try_tensors(const char *text, int64_t n, const int64_t *offsets) {
  rs_tensor bytes = {0}, at = {0};
  int64_t total = (int64_t)strlen(text);
  rs_vocabulary *v;
  assert_int_equal(rs_tensor_new(&bytes, RS_U8, 1, &total), RS_OK);
  memcpy(rs_u8(&bytes), text, (size_t)total);
  assert_int_equal(rs_tensor_new(&at, RS_I64, 1, &n), RS_OK);
  if (n) memcpy(rs_i64(&at), offsets, (size_t)n * sizeof *offsets);
  rs_status status = rs_vocabulary_new(&v, &bytes, &at);
  rs_vocabulary_release(v);
  rs_tensor_free(&bytes);
  rs_tensor_free(&at);
  return status;
}

static void tensors_from_strangers_are_checked(void **state) {
  (void)state;
  assert_int_equal(try_tensors("abcab", 3, (int64_t[]){0, 3, 5}), RS_OK);
  assert_int_equal(try_tensors("", 1, (int64_t[]){0}), RS_OK);
  assert_int_equal(try_tensors("abcab", 3, (int64_t[]){0, 3, 6}), RS_EFORMAT);
  assert_int_equal(try_tensors("abcab", 3, (int64_t[]){0, 3, 4}), RS_EFORMAT);
  assert_int_equal(try_tensors("abcab", 4, (int64_t[]){0, 4, 3, 5}), RS_EFORMAT);
  assert_int_equal(try_tensors("abcab", 3, (int64_t[]){-1, 3, 5}), RS_EFORMAT);
  assert_int_equal(try_tensors("abab", 3, (int64_t[]){0, 2, 4}), RS_EFORMAT); /* twice "ab" */
  assert_int_equal(try_tensors("abab", 0, NULL), RS_EFORMAT);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(codes_follow_the_bytes_not_the_rows),
      cmocka_unit_test(rare_strings_share_code_0),
      cmocka_unit_test(an_index_gives_rows_and_refuses_repeats),
      cmocka_unit_test(many_strings_are_all_found_and_a_repeat_is_told),
      cmocka_unit_test(tensors_from_strangers_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
