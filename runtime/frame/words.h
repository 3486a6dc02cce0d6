/* words.h - primitives over columns of strings: cut, split, tokenise. Each distinct string is worked on once.
 *
 * Results are columns without a name and with a dictionary of their own; a missing string gives a missing string or
 * an empty list. 'out' must be empty and becomes the caller's. */
#ifndef RS_WORDS_H
#define RS_WORDS_H
#include "frame/column.h"

/* The first 'length' code points of each string; bytes that are not UTF-8 count one each. */
rs_status rs_words_prefix(rs_column *out, const rs_column *strings, int64_t length);

/* The pieces between 'separator's, without surrounding ASCII white space; empty ones are left out. */
rs_status rs_words_split(rs_column *out, const rs_column *strings, const char *separator);

/* The first 'max' words: runs of letters, marks and digits after NFKC, case folding and removal of what is ignorable
 * (joiners, soft hyphens). Bytes that are not UTF-8 separate words. */
rs_status rs_words_tokenise(rs_column *out, const rs_column *strings, int64_t max);

/* The strings of a row in all 'n' columns, which have as many rows, one after another with a unit separator (0x1f)
 * between; missing where one of them is. */
rs_status rs_words_join(rs_column *out, const rs_column *const *columns, int n);

/* The shortest decimal form of each number of an f64 vector, "4" for 4.0; NaN is missing. */
rs_status rs_words_of_numbers(rs_column *out, const rs_tensor *numbers);

#endif
