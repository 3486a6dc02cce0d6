/* tfidf.c - see tfidf.h. */
#include "frame/tfidf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { ROW_GRAIN = 128 };

/* ---- fitting ---- */

/* The words of all texts in one dictionary: how often each occurs and in how many documents, by code. */
typedef struct tally {
  rs_dictionary *dictionary;
  int32_t *maps[RS_TFIDF_MAX_TEXTS];  /* a text's codes to the dictionary's; NULL: the same */
  int64_t *counts, *documents, *last; /* last: 1 + the last document that has it */
} tally;

static void tally_free(tally *t) {
  rs_dictionary_release(t->dictionary);
  for (int i = 0; i < RS_TFIDF_MAX_TEXTS; i++) rs_free(t->maps[i]);
  rs_free(t->counts);
  rs_free(t->documents);
  rs_free(t->last);
}

static rs_status merge_dictionary(rs_dictionary *all, const rs_dictionary *d, int32_t **map) {
  size_t bytes = (size_t)(d->n + 1) * sizeof **map;
  *map = rs_alloc_zero(bytes);
  if (!*map) return rs_nomem("tf-idf", bytes);
  rs_status status = RS_OK;
  for (int32_t code = 1; status == RS_OK && code <= d->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(d, code, &length);
    status = rs_dictionary_add(all, text, length, &(*map)[code]);
  }
  return status;
}

static rs_status merge_dictionaries(tally *t, const rs_column *texts, int n_texts) {
  if (n_texts == 1) {
    rs_dictionary_retain(texts->dictionary);
    t->dictionary = texts->dictionary;
    return RS_OK;
  }
  rs_status status = rs_dictionary_new(&t->dictionary);
  for (int i = 0; status == RS_OK && i < n_texts; i++)
    status = merge_dictionary(t->dictionary, texts[i].dictionary, &t->maps[i]);
  return status;
}

static rs_status count_words(tally *t, const rs_column *texts, int n_texts) {
  size_t bytes = (size_t)(t->dictionary->n + 1) * sizeof(int64_t);
  t->counts = rs_alloc_zero(bytes);
  t->documents = rs_alloc_zero(bytes);
  t->last = rs_alloc_zero(bytes);
  if (!t->counts || !t->documents || !t->last) return rs_nomem("tf-idf", bytes);
  for (int64_t row = 0; row < texts->starts.size[0]; row++)
    for (int i = 0; i < n_texts; i++) {
      const int32_t *codes = rs_i32(&texts[i].values) + rs_i64(&texts[i].starts)[row];
      for (int32_t j = 0; j < rs_i32(&texts[i].lengths)[row]; j++) {
        int32_t code = t->maps[i] ? t->maps[i][codes[j]] : codes[j];
        t->counts[code]++;
        t->documents[code] += t->last[code] != row + 1;
        t->last[code] = row + 1;
      }
    }
  return RS_OK;
}

/* ln((1 + n) / (1 + df)) + 1 of each word of the vocabulary */
static rs_status weigh_words(rs_tfidf *out, const tally *t, int64_t n) {
  int64_t words = out->offsets.size[0] - 1;
  const int64_t *offsets = rs_i64(&out->offsets);
  rs_status status = rs_tensor_new(&out->idf, RS_F64, 1, &words);
  for (int64_t i = 0; status == RS_OK && i < words; i++) {
    const char *text = (const char *)rs_u8(&out->bytes) + offsets[i];
    int32_t code = rs_dictionary_find(t->dictionary, text, (size_t)(offsets[i + 1] - offsets[i]));
    rs_f64(&out->idf)[i] = log((double)(n + 1) / (double)(t->documents[code] + 1)) + 1;
  }
  return status;
}

rs_status rs_tfidf_fit(rs_tfidf *out, const rs_column *texts, int n_texts, rs_tfidf_limits limits) {
  tally t = {0};
  *out = (rs_tfidf){0};
  rs_status status = merge_dictionaries(&t, texts, n_texts);
  if (status == RS_OK) status = count_words(&t, texts, n_texts);
  if (status == RS_OK) {
    rs_counter counter = {.dictionary = t.dictionary, .counts = t.counts + 1};
    int64_t most = limits.max_features < INT32_MAX ? limits.max_features : INT32_MAX - 1;
    for (int64_t code = 1; code <= t.dictionary->n; code++)
      if ((double)t.documents[code] < limits.min_df || (double)t.documents[code] > limits.max_df) t.counts[code] = 0;
    status = rs_counter_vocabulary(&counter, 1, INT64_MAX, most, &out->bytes, &out->offsets, &out->counts);
  }
  if (status == RS_OK) status = weigh_words(out, &t, texts->starts.size[0]);
  if (status != RS_OK) rs_tfidf_free(out);
  tally_free(&t);
  return status;
}

void rs_tfidf_free(rs_tfidf *t) {
  rs_tensor_free(&t->bytes);
  rs_tensor_free(&t->offsets);
  rs_tensor_free(&t->counts);
  rs_tensor_free(&t->idf);
}

/* ---- weighing one document ---- */

int64_t rs_tfidf_bound(const rs_tfidf_rule *rule, const rs_tfidf_text *texts, int64_t row) {
  int64_t n = 0;
  for (int i = 0; i < rule->n_texts; i++) n += texts[i].lengths[row];
  return n;
}

/* Shell's sort with Ciura's gaps: the lists are short, and no memory is needed. */
static void sort_by_word(rs_tfidf_entry *entries, int64_t n) {
  static const int64_t gaps[] = {29524, 9841, 3280, 1750, 701, 301, 132, 57, 23, 10, 4, 1};
  for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
    for (int64_t i = gaps[g]; i < n; i++) {
      rs_tfidf_entry moved = entries[i];
      int64_t at = i;
      for (; at >= gaps[g] && entries[at - gaps[g]].word > moved.word; at -= gaps[g])
        entries[at] = entries[at - gaps[g]];
      entries[at] = moved;
    }
}

/* Make the squares of the weights add up to the square of 'length'; nothing for no entries. */
static void scale(rs_tfidf_entry *entries, int64_t n, double length) {
  double square = 0;
  for (int64_t i = 0; i < n; i++) square += entries[i].weight * entries[i].weight;
  double by = square > 0 ? length / sqrt(square) : 0;
  for (int64_t i = 0; i < n; i++) entries[i].weight *= by;
}

/* Sorted entries of one text from its codes. */
static int64_t weigh_text(const rs_tfidf_rule *rule, const int32_t *codes, int64_t n, rs_tfidf_entry *entries) {
  int64_t known = 0, kept = 0;
  for (int64_t i = 0; i < n; i++)
    if (codes[i] >= 1 && codes[i] <= rule->words) entries[known++] = (rs_tfidf_entry){codes[i] - 1, 1};
  sort_by_word(entries, known);
  for (int64_t i = 0; i < known; i++)
    if (kept && entries[kept - 1].word == entries[i].word)
      entries[kept - 1].weight++;
    else
      entries[kept++] = entries[i];
  for (int64_t i = 0; i < kept; i++) {
    double tf = rule->sublinear ? 1 + log(entries[i].weight) : entries[i].weight;
    entries[i].weight = tf * rule->idf[entries[i].word];
  }
  return kept;
}

/* Add the sorted a[0 .. m) to the sorted entries[0 .. n), which has room; a lies behind the room for both. */
static int64_t add_text(rs_tfidf_entry *entries, int64_t n, const rs_tfidf_entry *a, int64_t m) {
  for (int64_t i = 0; i < m; i++) entries[n + i] = a[i];
  sort_by_word(entries, n + m); /* of two equal words either may come first: a sum of two is the same */
  int64_t kept = 0;
  for (int64_t i = 0; i < n + m; i++)
    if (kept && entries[kept - 1].word == entries[i].word)
      entries[kept - 1].weight += entries[i].weight;
    else
      entries[kept++] = entries[i];
  return kept;
}

int64_t rs_tfidf_weigh(const rs_tfidf_rule *rule, const rs_tfidf_text *texts, int64_t row, rs_tfidf_entry *entries) {
  rs_tfidf_entry *one = entries + rs_tfidf_bound(rule, texts, row);
  int64_t n = 0;
  for (int i = 0; i < rule->n_texts; i++) {
    const int32_t *codes = texts[i].codes + texts[i].starts[row];
    int64_t m = weigh_text(rule, codes, texts[i].lengths[row], i ? one : entries);
    scale(i ? one : entries, m, rule->n_texts > 1 ? rule->weights[i] : 1);
    n = i ? add_text(entries, n, one, m) : m;
  }
  if (rule->n_texts > 1) scale(entries, n, 1);
  return n;
}

/* ---- all documents ---- */

typedef struct work {
  const rs_tfidf_rule *rule;
  const rs_tfidf_text *texts;
  int64_t room;            /* entries a thread */
  rs_tfidf_entry *scratch; /* by thread */
  int64_t *starts;         /* first the bound on each row's entries, where it writes them, then how many it has */
  int32_t *columns;
  double *values;
} work;

static void weigh_rows(void *context, int64_t begin, int64_t end) {
  work *w = context;
  rs_tfidf_entry *entries = w->scratch + rs_thread_index() * w->room;
  for (int64_t row = begin; row < end; row++) {
    int64_t n = rs_tfidf_weigh(w->rule, w->texts, row, entries), at = w->starts[row];
    for (int64_t i = 0; i < n; i++) {
      w->columns[at + i] = entries[i].word;
      w->values[at + i] = entries[i].weight;
    }
    w->starts[row] = n;
  }
}

/* Close the gaps between rows: 'from' holds where each began, starts how many entries it has. */
static int64_t close_gaps(work *w, const int64_t *from, int64_t rows) {
  int64_t at = 0;
  for (int64_t row = 0; row < rows; row++) {
    int64_t n = w->starts[row];
    memmove(w->columns + at, w->columns + from[row], (size_t)n * sizeof *w->columns);
    memmove(w->values + at, w->values + from[row], (size_t)n * sizeof *w->values);
    w->starts[row] = at;
    at += n;
  }
  w->starts[rows] = at;
  return at;
}

static rs_status weigh_all(rs_csr *loose, const rs_tfidf_rule *rule, const rs_tfidf_text *texts, int64_t rows) {
  int64_t total = 0, longest = 0, bounds = rows + 1;
  rs_tensor from = {0};
  rs_status status = rs_tensor_new(&loose->starts, RS_I64, 1, &bounds);
  for (int64_t row = 0; status == RS_OK && row < rows; row++) {
    int64_t bound = rs_tfidf_bound(rule, texts, row);
    rs_i64(&loose->starts)[row] = total;
    total += bound;
    longest = bound > longest ? bound : longest;
  }
  work w = {.rule = rule, .texts = texts, .room = 2 * longest};
  size_t bytes = (size_t)(w.room * rs_threads()) * sizeof *w.scratch;
  if (status == RS_OK) status = rs_tensor_copy_of(&from, &loose->starts);
  if (status == RS_OK) status = rs_tensor_new(&loose->columns, RS_I32, 1, &total);
  if (status == RS_OK) status = rs_tensor_new(&loose->values, RS_F64, 1, &total);
  if (status == RS_OK) w.scratch = rs_alloc(bytes);
  if (status == RS_OK && !w.scratch) status = rs_nomem("tf-idf", bytes);
  if (status == RS_OK) {
    w.starts = rs_i64(&loose->starts);
    w.columns = rs_i32(&loose->columns);
    w.values = rs_f64(&loose->values);
    rs_parallel_for(rows, ROW_GRAIN, weigh_rows, &w);
    close_gaps(&w, rs_i64(&from), rows);
  }
  rs_free(w.scratch);
  rs_tensor_free(&from);
  return status;
}

rs_status rs_tfidf_matrix(rs_csr *out, const rs_tfidf_rule *rule, const rs_tfidf_text *texts, int64_t rows) {
  rs_csr loose = {0};
  rs_tensor columns = {0}, values = {0};
  *out = (rs_csr){0};
  rs_status status = weigh_all(&loose, rule, texts, rows);
  int64_t n = status == RS_OK ? rs_i64(&loose.starts)[rows] : 0;
  if (status == RS_OK) status = rs_tensor_narrow(&columns, &loose.columns, 0, 0, n);
  if (status == RS_OK) status = rs_tensor_narrow(&values, &loose.values, 0, 0, n);
  if (status == RS_OK) status = rs_csr_from(out, &loose.starts, &columns, &values, rule->words);
  rs_tensor_free(&columns);
  rs_tensor_free(&values);
  rs_csr_free(&loose);
  return status;
}
