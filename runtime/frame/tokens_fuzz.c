/* tokens_fuzz.c - any bytes as a text: words by either rule and their n-grams, whatever a request sends. */
#include "base/fuzzing.h"
#include "frame/words.h"

static void cut(const rs_column *text, rs_token_rule rule, rs_ngram_rule grams) {
  rs_column words = {0}, pieces = {0};
  if (rs_words_tokenise(&words, text, rule, 64) != RS_OK) return;
  if (rs_words_ngrams(&pieces, &words, grams) == RS_OK) rs_column_free(&pieces);
  rs_column_free(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  rs_column text = {.type = RS_STRING};
  int64_t one = 1;
  if (size == 0 || rs_tensor_new(&text.values, RS_I32, 1, &one) != RS_OK) return -1;
  if (rs_dictionary_new(&text.dictionary) == RS_OK &&
      rs_dictionary_add(text.dictionary, (const char *)data, size, rs_i32(&text.values)) == RS_OK) {
    cut(&text, RS_TOKENS_WORDS, (rs_ngram_rule){.low = 1, .high = 3});
    cut(&text, RS_TOKENS_SKLEARN, (rs_ngram_rule){.low = 3, .high = 5, .characters = true});
  }
  rs_column_free(&text);
  return 0;
}
