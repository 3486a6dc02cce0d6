/* Words: splitting, tokenising, prefixes, numbers as strings. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "frame/words.h"

static rs_column one_string(const char *text, size_t length) {
  rs_column c = {.type = RS_STRING};
  int64_t n = 2; /* a missing one behind it */
  assert_int_equal(rs_tensor_zeros(&c.values, RS_I32, 1, &n), RS_OK);
  assert_int_equal(rs_dictionary_new(&c.dictionary), RS_OK);
  assert_int_equal(rs_dictionary_add(c.dictionary, text, length, &rs_i32(&c.values)[0]), RS_OK);
  return c;
}

/* Row 0 of a list, its pieces joined by '|'; row 1 must be empty. */
static void assert_pieces(const rs_column *list, const char *expected) {
  rs_buffer joined = {0};
  assert_int_equal(rs_i32(&list->lengths)[1], 0);
  for (int32_t i = 0; i < rs_i32(&list->lengths)[0]; i++) {
    size_t length;
    const char *text =
        rs_dictionary_text(list->dictionary, rs_i32(&list->values)[rs_i64(&list->starts)[0] + i], &length);
    if (i) rs_buffer_append(&joined, "|", 1);
    rs_buffer_append(&joined, text, length);
  }
  rs_buffer_append(&joined, "", 1);
  assert_string_equal(joined.data, expected);
  rs_buffer_free(&joined);
}

static void check_tokens(const char *text, size_t length, int64_t max, const char *expected) {
  rs_column c = one_string(text, length), out = {0};
  assert_int_equal(rs_words_tokenise(&out, &c, RS_TOKENS_WORDS, max), RS_OK);
  assert_pieces(&out, expected);
  rs_column_free(&out);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void tokens(const char *text, const char *expected) { check_tokens(text, strlen(text), 100, expected); }

static void words_are_folded_runs_of_letters_and_digits(void **state) {
  (void)state;
  tokens("The Cat-Sat, on 3 mats!", "the|cat|sat|on|3|mats");
  tokens("", "");
  tokens("  --  ", "");
  tokens("Straße ÉCOLE e\xcc\x81t\xc3\xa9", "strasse|école|été"); /* folded, composed */
  tokens("ﬁve ２０２４", "five|2024");                            /* compatibility forms */
  tokens("नमस्ते दुनिया", "नमस्ते|दुनिया");                             /* vowel signs and virama belong to words */
  tokens("क्\xe2\x80\x8dष", "क्ष");                                 /* a joiner is ignored */
}

static void check_sklearn_tokens(const char *text, size_t length, int64_t max, const char *expected) {
  rs_column c = one_string(text, length), out = {0};
  assert_int_equal(rs_words_tokenise(&out, &c, RS_TOKENS_SKLEARN, max), RS_OK);
  assert_pieces(&out, expected);
  rs_column_free(&out);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void words_by_the_other_rule_are_those_of_a_regular_expression(void **state) {
  (void)state;
  check_sklearn_tokens("The c_1 -a-  bc, I'm 10x", 24, 9, "the|c_1|bc|10x");
  check_sklearn_tokens("one two three", 13, 2, "one|two");
  check_sklearn_tokens("\u0130stanbul DI\u0307 Stra\u00dfe", strlen("\u0130stanbul DI\u0307 Stra\u00dfe"), 9,
                       "stanbul|di|straße");
  check_sklearn_tokens("ΟΔΟΣ ΟΔΟΣ' ΟΔΟΣ'Α ΣΑ", strlen("ΟΔΟΣ ΟΔΟΣ' ΟΔΟΣ'Α ΣΑ"), 9, "οδος|οδος|οδοσ|σα");
  check_sklearn_tokens("नमस्ते x² ﬁ", strlen("नमस्ते x² ﬁ"), 9, "नमस|x²");
  check_sklearn_tokens(
      "ab\xff"
      "cd \xc3",
      7, 9, "ab|cd");
  check_sklearn_tokens("", 0, 9, "");
}

/* Lists of words, row after row, of texts 0, 1, ... over several blocks. */
static rs_column many_lists(int64_t n) {
  rs_column c = {.type = RS_STRING}, out = {0};
  assert_int_equal(rs_tensor_zeros(&c.values, RS_I32, 1, &n), RS_OK);
  assert_int_equal(rs_dictionary_new(&c.dictionary), RS_OK);
  for (int64_t i = 0; i < n; i++) {
    char text[64];
    int length = snprintf(text, sizeof text, "common w%d w%d x%d", (int)i, (int)(i + 3), (int)(i % 7));
    assert_int_equal(rs_dictionary_add(c.dictionary, text, (size_t)length, &rs_i32(&c.values)[n - 1 - i]), RS_OK);
  }
  assert_int_equal(rs_words_tokenise(&out, &c, RS_TOKENS_SKLEARN, 99), RS_OK);
  rs_column_free(&c);
  return out;
}

static void blocks_of_texts_are_merged_as_if_cut_one_after_another(void **state) {
  (void)state;
  enum { N = 2000 };
  rs_column lists = many_lists(N);
  int32_t newest = 0;
  for (int64_t row = 0; row < N; row++) {
    char expected[64];
    size_t length, all = 0;
    assert_int_equal(rs_i32(&lists.lengths)[row], 4);
    const int32_t *codes = rs_i32(&lists.values) + rs_i64(&lists.starts)[row];
    int i = (int)(N - 1 - row);
    snprintf(expected, sizeof expected, "commonw%dw%dx%d", i, i + 3, i % 7);
    for (int j = 0; j < 4; j++) {
      const char *text = rs_dictionary_text(lists.dictionary, codes[j], &length);
      assert_memory_equal(text, expected + all, length);
      all += length;
      assert_true(codes[j] <= newest + 1); /* codes by first appearance */
      newest = codes[j] > newest ? codes[j] : newest;
    }
    assert_int_equal(all, strlen(expected));
  }
  rs_column_free(&lists);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void check_ngrams(const char *text, rs_ngram_rule rule, const char *expected) {
  rs_column c = one_string(text, strlen(text)), words = {0}, out = {0};
  assert_int_equal(rs_words_tokenise(&words, &c, RS_TOKENS_WORDS, 99), RS_OK);
  assert_int_equal(rs_words_ngrams(&out, &words, rule), RS_OK);
  assert_pieces(&out, expected);
  rs_column_free(&out);
  rs_column_free(&words);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void ngrams_are_of_words_or_of_the_characters_of_a_word(void **state) {
  (void)state;
  check_ngrams("a b c", (rs_ngram_rule){.low = 1, .high = 2}, "a|b|c|a b|b c");
  check_ngrams("a b c", (rs_ngram_rule){.low = 3, .high = 4}, "a b c");
  check_ngrams("a", (rs_ngram_rule){.low = 2, .high = 2}, "");
  check_ngrams("cat é", (rs_ngram_rule){.low = 3, .high = 4, .characters = true}, "<ca|cat|at>|<é>|<cat|cat>");
}

static void words_of_a_vocabulary_are_left_out(void **state) {
  (void)state;
  rs_column stop = one_string("the", 3), c = one_string("the cat the end", 15), words = {0}, out = {0};
  rs_tensor bytes = {0}, offsets = {0}, counts = {0};
  rs_counter counter = {0};
  rs_vocabulary *v;
  assert_int_equal(rs_counter_add(&counter, &stop, NULL, 0), RS_OK);
  assert_int_equal(rs_counter_vocabulary(&counter, 1, INT64_MAX, 9, &bytes, &offsets, &counts), RS_OK);
  assert_int_equal(rs_vocabulary_new(&v, &bytes, &offsets), RS_OK);
  assert_int_equal(rs_words_tokenise(&words, &c, RS_TOKENS_WORDS, 99), RS_OK);
  assert_int_equal(rs_words_without(&out, &words, v), RS_OK);
  assert_pieces(&out, "cat|end");
  rs_column *columns[] = {&stop, &c, &words, &out};
  for (int i = 0; i < 4; i++) rs_column_free(columns[i]);
  rs_tensor_free(&bytes);
  rs_tensor_free(&offsets);
  rs_tensor_free(&counts);
  rs_counter_free(&counter);
  rs_vocabulary_release(v);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void bytes_that_are_no_utf8_separate_words(void **state) {
  (void)state;
  tokens(
      "ab\xff"
      "cd",
      "ab|cd");
  tokens("\xc3", "");
  check_tokens("a\0b", 3, 100, "a|b");
}

static void at_most_max_words_are_taken(void **state) {
  (void)state;
  check_tokens("one two three", 13, 2, "one|two");
  check_tokens("eins zwei dreiß", strlen("eins zwei dreiß"), 2, "eins|zwei");
}

/* An ASCII text, and the same with a letter outside ASCII behind it, take the two paths. */
static void the_ascii_path_equals_the_general_one(void **state) {
  (void)state;
  char text[256] = {0}, longer[260];
  for (int c = 1; c < 128; c++) text[c - 1] = (char)c;
  rs_column a = one_string(text, 127), x = {0}, y = {0};
  memcpy(longer, text, 127);
  memcpy(longer + 127, " \xc3\xa9", 3);
  rs_column b = one_string(longer, 130);
  assert_int_equal(rs_words_tokenise(&x, &a, RS_TOKENS_WORDS, 100), RS_OK);
  assert_int_equal(rs_words_tokenise(&y, &b, RS_TOKENS_WORDS, 100), RS_OK);
  int32_t n = rs_i32(&x.lengths)[0];
  assert_int_equal(rs_i32(&y.lengths)[0], n + 1);
  for (int32_t i = 0; i < n; i++) {
    size_t p, q;
    const char *left = rs_dictionary_text(x.dictionary, rs_i32(&x.values)[i], &p);
    const char *right = rs_dictionary_text(y.dictionary, rs_i32(&y.values)[i], &q);
    assert_int_equal(p, q);
    assert_memory_equal(left, right, p);
  }
  rs_column_free(&a);
  rs_column_free(&b);
  rs_column_free(&x);
  rs_column_free(&y);
}

static void pieces_are_trimmed_and_never_empty(void **state) {
  (void)state;
  const char *text = " Drama| Comedy ||War|";
  rs_column c = one_string(text, strlen(text)), out = {0};
  assert_int_equal(rs_words_split(&out, &c, "|"), RS_OK);
  assert_pieces(&out, "Drama|Comedy|War");
  rs_column_free(&out);
  assert_int_equal(rs_words_split(&out, &c, "||"), RS_OK);
  assert_pieces(&out, "Drama| Comedy|War|");
  rs_column_free(&out);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void a_prefix_counts_code_points(void **state) {
  (void)state;
  rs_column c = one_string("éàü!", strlen("éàü!")), out = {0};
  size_t length;
  assert_int_equal(rs_words_prefix(&out, &c, 2), RS_OK);
  const char *text = rs_dictionary_text(out.dictionary, rs_i32(&out.values)[0], &length);
  assert_int_equal(length, 4);
  assert_memory_equal(text, "éà", 4);
  assert_int_equal(rs_i32(&out.values)[1], 0);
  rs_column_free(&out);
  rs_column_free(&c);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void numbers_become_their_shortest_decimal_form(void **state) {
  (void)state;
  const double values[] = {4, 0.1, -0.0, NAN, 1e300, 4};
  const char *const expected[] = {"4", "0.1", "0", NULL, "1e+300", "4"};
  int64_t n = 6;
  rs_tensor numbers = {0};
  rs_column out = {0};
  assert_int_equal(rs_tensor_new(&numbers, RS_F64, 1, &n), RS_OK);
  memcpy(rs_f64(&numbers), values, sizeof values);
  assert_int_equal(rs_words_of_numbers(&out, &numbers), RS_OK);
  for (int i = 0; i < 6; i++) {
    int32_t code = rs_i32(&out.values)[i];
    size_t length;
    if (!expected[i]) {
      assert_int_equal(code, 0);
      continue;
    }
    const char *text = rs_dictionary_text(out.dictionary, code, &length);
    assert_int_equal(length, strlen(expected[i]));
    assert_memory_equal(text, expected[i], length);
  }
  rs_column_free(&out);
  rs_tensor_free(&numbers);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_are_folded_runs_of_letters_and_digits),
      cmocka_unit_test(words_by_the_other_rule_are_those_of_a_regular_expression),
      cmocka_unit_test(blocks_of_texts_are_merged_as_if_cut_one_after_another),
      cmocka_unit_test(ngrams_are_of_words_or_of_the_characters_of_a_word),
      cmocka_unit_test(words_of_a_vocabulary_are_left_out),
      cmocka_unit_test(bytes_that_are_no_utf8_separate_words),
      cmocka_unit_test(at_most_max_words_are_taken),
      cmocka_unit_test(the_ascii_path_equals_the_general_one),
      cmocka_unit_test(pieces_are_trimmed_and_never_empty),
      cmocka_unit_test(a_prefix_counts_code_points),
      cmocka_unit_test(numbers_become_their_shortest_decimal_form),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
