/* tfidf_test.c - weights that are worked out by hand. spec/text_features_spec.lua compares with scikit-learn. */
#include "frame/tfidf.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"

enum { ROWS = 1000, WORDS = 50, MOST = 30 };

/* Lists of words w1 .. w50, up to 30 a row. */
static rs_column random_words(uint64_t seed) {
  rs_column c = {.type = RS_LIST};
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, 0);
  int64_t n = ROWS, total = ROWS * MOST;
  assert_int_equal(rs_tensor_new(&c.values, RS_I32, 1, &total), RS_OK);
  assert_int_equal(rs_tensor_new(&c.starts, RS_I64, 1, &n), RS_OK);
  assert_int_equal(rs_tensor_new(&c.lengths, RS_I32, 1, &n), RS_OK);
  assert_int_equal(rs_dictionary_new(&c.dictionary), RS_OK);
  for (int i = 0; i < WORDS; i++) {
    int32_t code;
    char text[2] = {(char)('A' + i / 10), (char)('0' + i % 10)};
    assert_int_equal(rs_dictionary_add(c.dictionary, text, 2, &code), RS_OK);
  }
  for (int64_t i = 0; i < total; i++) rs_i32(&c.values)[i] = 1 + (int32_t)rs_stream_below(&s, (uint64_t)i, WORDS);
  for (int64_t i = 0; i < n; i++) {
    rs_i64(&c.starts)[i] = i * MOST;
    rs_i32(&c.lengths)[i] = (int32_t)rs_stream_below(&s, (uint64_t)(total + i), MOST + 1);
  }
  return c;
}

/* Every document against its weights by a loop over all words. */
static void assert_weights(const rs_csr *m, const rs_column *texts, const rs_tfidf_rule *rule) {
  for (int64_t row = 0; row < m->rows; row++) {
    double sum[WORDS] = {0}, square = 0;
    for (int t = 0; t < rule->n_texts; t++) {
      double tf[WORDS] = {0}, own = 0;
      for (int32_t j = 0; j < rs_i32(&texts[t].lengths)[row]; j++)
        tf[rs_i32(&texts[t].values)[rs_i64(&texts[t].starts)[row] + j] - 1]++;
      for (int w = 0; w < WORDS; w++) {
        tf[w] = tf[w] > 0 && rule->sublinear ? 1 + log(tf[w]) : tf[w];
        own += pow(tf[w] * rule->idf[w], 2);
      }
      for (int w = 0; w < WORDS && own > 0; w++) sum[w] += rule->weights[t] * tf[w] * rule->idf[w] / sqrt(own);
    }
    for (int w = 0; w < WORDS; w++) square += sum[w] * sum[w];
    int64_t found = 0, last = -1;
    for (int64_t i = rs_i64(&m->starts)[row]; i < rs_i64(&m->starts)[row + 1]; i++) {
      int32_t word = rs_i32(&m->columns)[i];
      assert_true(word > last && fabs(rs_f64(&m->values)[i] - sum[word] / sqrt(square)) < 1e-12);
      last = word;
      found++;
    }
    for (int w = 0; w < WORDS; w++) found -= sum[w] > 0;
    assert_int_equal(found, 0);
  }
}

static rs_csr weigh(const rs_column *columns, const rs_tfidf_rule *rule, int threads) {
  rs_tfidf_text texts[2];
  rs_csr m;
  int before = rs_threads();
  for (int i = 0; i < rule->n_texts; i++)
    texts[i] = (rs_tfidf_text){rs_i32(&columns[i].values), rs_i64(&columns[i].starts), rs_i32(&columns[i].lengths)};
  rs_threads_set(threads);
  assert_int_equal(rs_tfidf_matrix(&m, rule, texts, ROWS), RS_OK);
  rs_threads_set(before);
  return m;
}

/* The dictionary is in byte order, so codes are those of the vocabulary. */
static void weights_are_those_of_the_formula_with_any_number_of_threads(void **state) {
  (void)state;
  rs_column columns[2] = {random_words(1), random_words(2)};
  rs_tfidf fit;
  rs_tfidf_limits limits = {.min_df = 1, .max_df = ROWS, .max_features = INT64_MAX};
  for (int n_texts = 1; n_texts <= 2; n_texts++) {
    assert_int_equal(rs_tfidf_fit(&fit, columns, n_texts, limits), RS_OK);
    assert_int_equal(fit.idf.size[0], WORDS);
    rs_tfidf_rule rule = {rs_f64(&fit.idf), WORDS, n_texts == 2, n_texts, {2, 0.5}};
    rs_csr one = weigh(columns, &rule, 1), many = weigh(columns, &rule, 3);
    assert_weights(&one, columns, &rule);
    assert_int_equal(rs_csr_entries(&one), rs_csr_entries(&many));
    assert_memory_equal(rs_f64(&one.values), rs_f64(&many.values), rs_tensor_bytes(&one.values));
    rs_csr_free(&one);
    rs_csr_free(&many);
    rs_tfidf_free(&fit);
  }
  rs_column_free(&columns[0]);
  rs_column_free(&columns[1]);
}

static void frequencies_count_documents_and_features_occurrences(void **state) {
  (void)state;
  rs_column c = random_words(3);
  rs_tfidf all, some;
  assert_int_equal(rs_tfidf_fit(&all, &c, 1, (rs_tfidf_limits){1, ROWS, INT64_MAX}), RS_OK);
  for (int w = 0; w < WORDS; w++) {
    int64_t df = 0, tf = 0;
    for (int64_t row = 0; row < ROWS; row++) {
      int64_t here = 0;
      for (int32_t j = 0; j < rs_i32(&c.lengths)[row]; j++) here += rs_i32(&c.values)[row * MOST + j] == w + 1;
      df += here > 0;
      tf += here;
    }
    assert_true(fabs(rs_f64(&all.idf)[w] - (log((1.0 + ROWS) / (1.0 + (double)df)) + 1)) < 1e-15);
    assert_int_equal(rs_i64(&all.counts)[w + 1], tf);
  }
  assert_int_equal(rs_tfidf_fit(&some, &c, 1, (rs_tfidf_limits){1, ROWS, 7}), RS_OK);
  assert_int_equal(some.idf.size[0], 7);
  int64_t least = INT64_MAX, above = 0;
  for (int i = 1; i <= 7; i++) least = rs_i64(&some.counts)[i] < least ? rs_i64(&some.counts)[i] : least;
  for (int w = 1; w <= WORDS; w++) above += rs_i64(&all.counts)[w] > least;
  assert_true(above < 7);
  rs_tfidf_free(&some);
  assert_int_equal(rs_tfidf_fit(&some, &c, 1, (rs_tfidf_limits){ROWS, ROWS, 7}), RS_OK);
  assert_int_equal(some.idf.size[0], 0);
  rs_tfidf_free(&some);
  rs_tfidf_free(&all);
  rs_column_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(weights_are_those_of_the_formula_with_any_number_of_threads),
      cmocka_unit_test(frequencies_count_documents_and_features_occurrences),
  };
  return cmocka_run_group_tests_name("tfidf", tests, NULL, no_blocks_remain);
}
