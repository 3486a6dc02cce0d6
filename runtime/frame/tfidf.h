/* tfidf.h - TF-IDF weights of lists of words, with scikit-learn's formulas (TfidfVectorizer and its defaults).
 *
 * A word of a text weighs tf x idf, tf how often it occurs there (1 + ln tf when sublinear), idf = ln((1 + n) / (1 +
 * df)) + 1 over n documents of which df have it; a text's weights have length 1. A document is one text or several:
 * then its weights are the sum of its texts' times theirs, once more of length 1. The longer text so counts no more
 * than it is told to. A document without a known word weighs nothing. */
#ifndef RS_TFIDF_H
#define RS_TFIDF_H
#include "frame/vocabulary.h"
#include "tensor/csr.h"

typedef struct rs_tfidf_limits {
  double min_df, max_df; /* documents that have the word: at least, at most */
  int64_t max_features;  /* the words that occur most often so many; of equals those first in byte order */
} rs_tfidf_limits;

/* The words of documents. All-zero is empty. */
typedef struct rs_tfidf {
  rs_tensor bytes, offsets, counts; /* as rs_counter_vocabulary gives them; counts are occurrences */
  rs_tensor idf;                    /* f64 [words], of code c at c - 1 */
} rs_tfidf;

/* Fit on documents whose texts are 'texts', n_texts columns of lists of words over the same rows. */
rs_status rs_tfidf_fit(rs_tfidf *out, const rs_column *texts, int n_texts, rs_tfidf_limits limits);
void rs_tfidf_free(rs_tfidf *t);

enum { RS_TFIDF_MAX_TEXTS = 16 };

/* How documents are weighed. */
typedef struct rs_tfidf_rule {
  const double *idf;
  int64_t words;
  bool sublinear;
  int n_texts;                        /* 1 .. RS_TFIDF_MAX_TEXTS */
  double weights[RS_TFIDF_MAX_TEXTS]; /* one each, above 0; of a single text without effect */
} rs_tfidf_rule;

/* One text of all documents as codes; codes outside 1 .. words are left out. */
typedef struct rs_tfidf_text {
  const int32_t *codes;
  const int64_t *starts;
  const int32_t *lengths;
} rs_tfidf_text;

/* A word of a document and its weight. */
typedef struct rs_tfidf_entry {
  int32_t word; /* code - 1 */
  double weight;
} rs_tfidf_entry;

/* How many entries document 'row' has at most. */
int64_t rs_tfidf_bound(const rs_tfidf_rule *rule, const rs_tfidf_text *texts, int64_t row);
/* The entries of document 'row', rising by word, into 'entries', which has room for twice the bound; returns how many.
 * The result is a function of the document alone. */
int64_t rs_tfidf_weigh(const rs_tfidf_rule *rule, const rs_tfidf_text *texts, int64_t row, rs_tfidf_entry *entries);

/* All documents: [rows, words], f64. */
rs_status rs_tfidf_matrix(rs_csr *out, const rs_tfidf_rule *rule, const rs_tfidf_text *texts, int64_t rows);

#endif
