/* words.h - primitives over columns of strings: cut, split, tokenise, n-grams. Each distinct string is cut once.
 *
 * Results are columns without a name and with a dictionary of their own; a missing string gives a missing string or
 * an empty list. 'out' must be empty and becomes the caller's. */
#ifndef RS_WORDS_H
#define RS_WORDS_H
#include "frame/vocabulary.h"

/* The first 'length' code points of each string; bytes that are not UTF-8 count one each. */
rs_status rs_words_prefix(rs_column *out, const rs_column *strings, int64_t length);

/* The pieces between 'separator's, without surrounding ASCII white space; empty ones are left out. */
rs_status rs_words_split(rs_column *out, const rs_column *strings, const char *separator);

typedef enum rs_token_rule {
  RS_TOKENS_WORDS,  /* runs of letters, marks and digits after NFKC, case folding and removal of what is ignorable
                       (joiners, soft hyphens): words of any script, whole */
  RS_TOKENS_SKLEARN /* runs of two or more of letters, digits and _ after Python's str.lower(): what scikit-learn's
                       token_pattern (?u)\b\w\w+\b finds. A mark ends a word, as Python's \w does not match it. */
} rs_token_rule;

/* The rule called "words" or "sklearn" into *out; RS_EFORMAT for another name. */
rs_status rs_token_rule_named(rs_token_rule *out, const char *name);

/* The first 'max' words of each text. Bytes that are not UTF-8 separate words. */
rs_status rs_words_tokenise(rs_column *out, const rs_column *strings, rs_token_rule tokens, int64_t max);

/* Of each list the strings that 'vocabulary' does not hold. */
rs_status rs_words_without(rs_column *out, const rs_column *lists, const rs_vocabulary *vocabulary);

typedef struct rs_ngram_rule {
  int64_t low, high; /* lengths n, 1 <= low <= high */
  bool characters; /* runs of n code points of each word between < and >, as "<ca" and "at>" of "cat" (Bojanowski et al.
                      2017, doi:10.1162/tacl_a_00051); else n words in a row, joined by spaces */
} rs_ngram_rule;

/* The n-grams of each list of words: all of the shortest length first. */
rs_status rs_words_ngrams(rs_column *out, const rs_column *lists, rs_ngram_rule rule);

/* The strings of a row in all 'n' columns, which have as many rows, one after another with a unit separator (0x1f)
 * between; missing where one of them is. */
rs_status rs_words_join(rs_column *out, const rs_column *const *columns, int n);

/* The shortest decimal form of each number of an f64 vector, "4" for 4.0; NaN is missing. */
rs_status rs_words_of_numbers(rs_column *out, const rs_tensor *numbers);

#endif
