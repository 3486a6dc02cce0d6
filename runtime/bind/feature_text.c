/* feature_text.c - feature.tfidf: documents in columns of a frame, weighed by TF-IDF. */
#include "base/alloc.h"
#include "bind/feature.h"
#include "bind/fields.h"
#include "bind/sparse.h"
#include "frame/tfidf.h"
#include "frame/words.h"

#define DOCUMENTS "recsys feature documents" /* scratch */

enum { MAX_WORDS = 1 << 20, MAX_GRAM = 16 };

/* Documents at work: the collector frees them when something raises. */
typedef struct documents {
  rs_column words[RS_TFIDF_MAX_TEXTS]; /* lists, a column a text */
  rs_tensor codes[RS_TFIDF_MAX_TEXTS]; /* of 'words', in the vocabulary */
  int n_texts;
  rs_column strings, cut; /* one text on its way */
  rs_tfidf fit;
  rs_vocabulary *vocabulary;
} documents;

static int l_documents_free(lua_State *L) {
  documents *d = luaL_checkudata(L, 1, DOCUMENTS);
  for (int i = 0; i < RS_TFIDF_MAX_TEXTS; i++) {
    rs_column_free(&d->words[i]);
    rs_tensor_free(&d->codes[i]);
  }
  rs_column_free(&d->strings);
  rs_column_free(&d->cut);
  rs_tfidf_free(&d->fit);
  rs_vocabulary_release(d->vocabulary);
  d->vocabulary = NULL;
  return 0;
}

/* How a text becomes words. */
typedef struct text_rule {
  rs_token_rule tokens;
  int64_t max;
  const rs_vocabulary *stop; /* NULL: none */
  rs_ngram_rule ngrams;
} text_rule;

/* Replace the words on their way by what a step made of them. */
static void advance(documents *d, rs_column *next) {
  rs_column_free(&d->cut);
  d->cut = *next;
}

/* The words of a column of texts at 'rows' into d->words. */
static rs_status cut_text(documents *d, const rs_column *c, const int64_t *rows, int64_t n, const text_rule *rule) {
  rs_column next = {0};
  rs_status status = rows ? rs_column_take(&d->strings, c, rows, n) : rs_column_share(&d->strings, c, NULL);
  if (status == RS_OK) status = rs_words_tokenise(&d->cut, &d->strings, rule->tokens, rule->max);
  if (status == RS_OK && rule->stop) {
    status = rs_words_without(&next, &d->cut, rule->stop);
    if (status == RS_OK) advance(d, &next);
  }
  if (status == RS_OK && (rule->ngrams.high > 1 || rule->ngrams.characters)) {
    status = rs_words_ngrams(&next, &d->cut, rule->ngrams);
    if (status == RS_OK) advance(d, &next);
  }
  if (status != RS_OK) return status;
  d->words[d->n_texts++] = d->cut;
  d->cut = (rs_column){0};
  rs_column_free(&d->strings);
  return RS_OK;
}

/* The vocabulary's code of each word of a text. */
static rs_status code_words(rs_tensor *out, const rs_column *words, const rs_vocabulary *v) {
  int64_t n = words->values.size[0];
  size_t bytes = (size_t)(words->dictionary->n + 1) * sizeof(int32_t);
  int32_t *map = rs_alloc_zero(bytes);
  if (!map) return rs_nomem("tf-idf", bytes);
  for (int32_t code = 1; code <= words->dictionary->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(words->dictionary, code, &length);
    map[code] = rs_vocabulary_find(v, text, length);
  }
  rs_status status = rs_tensor_new(out, RS_I32, 1, &n);
  for (int64_t i = 0; status == RS_OK && i < n; i++) rs_i32(out)[i] = map[rs_i32(&words->values)[i]];
  rs_free(map);
  return status;
}

static rs_status fit_and_weigh(documents *d, rs_csr *matrix, rs_tfidf_limits limits, rs_tfidf_rule *rule) {
  rs_tfidf_text texts[RS_TFIDF_MAX_TEXTS];
  rs_status status = rs_tfidf_fit(&d->fit, d->words, d->n_texts, limits);
  if (status == RS_OK) status = rs_vocabulary_new(&d->vocabulary, &d->fit.bytes, &d->fit.offsets);
  for (int i = 0; status == RS_OK && i < d->n_texts; i++) {
    status = code_words(&d->codes[i], &d->words[i], d->vocabulary);
    if (status != RS_OK) return status;
    texts[i] = (rs_tfidf_text){rs_i32(&d->codes[i]), rs_i64(&d->words[i].starts), rs_i32(&d->words[i].lengths)};
  }
  if (status != RS_OK) return status;
  rule->idf = rs_f64(&d->fit.idf);
  rule->words = d->vocabulary->n;
  return rs_tfidf_matrix(matrix, rule, texts, d->words[0].starts.size[0]);
}

/* ---- arguments ---- */

/* The n-th name of the list at 2 as a column of strings. */
static const rs_column *check_text(lua_State *L, const rs_frame *f, int n) {
  if (lua_rawgeti(L, 2, n) != LUA_TSTRING) luaL_argerror(L, 2, "a list of column names expected");
  const char *name = lua_tostring(L, -1);
  const rs_column *c = rs_frame_column(f, name);
  if (!c) luaL_argerror(L, 2, lua_pushfstring(L, "there is no column '%s'", name));
  if (c->type != RS_STRING)
    luaL_argerror(
        L, 2, lua_pushfstring(L, "column '%s' holds no text: it is a %s column", name, rs_column_type_name(c->type)));
  lua_pop(L, 1);
  return c;
}

/* A whole number is one of documents, a float a share of them, as scikit-learn has it. */
static double check_frequency(lua_State *L, const char *name, int64_t n, double standard) {
  lua_getfield(L, 4, name);
  double value = lua_isnil(L, -1) ? standard : lua_tonumber(L, -1);
  if (!lua_isnil(L, -1) && !lua_isnumber(L, -1)) rs_wrong_option(L, 4, name, "a number");
  bool share = !lua_isnil(L, -1) && !lua_isinteger(L, -1);
  if (!(value >= 0) || (share && value > 1))
    rs_wrong_option(L, 4, name, "a number of documents, or a share of them from 0.0 to 1.0");
  lua_pop(L, 1);
  return share ? value * (double)n : value;
}

static text_rule check_rule(lua_State *L) {
  static const char *const tokens[] = {"words", "sklearn", NULL};
  text_rule rule = {.tokens = rs_choice_option(L, 4, "tokens", tokens, "words") ? RS_TOKENS_SKLEARN : RS_TOKENS_WORDS};
  rule.max = rs_integer_option(L, 4, "max", 1, MAX_WORDS);
  rule.ngrams.low = rs_integer_option(L, 4, "low", 1, 1);
  rule.ngrams.high = rs_integer_option(L, 4, "high", rule.ngrams.low, rule.ngrams.low);
  if (rule.max > MAX_WORDS) rs_wrong_option(L, 4, "max", "1048576 or less");
  if (rule.ngrams.high > MAX_GRAM) rs_wrong_option(L, 4, "high", "16 or less");
  if (lua_getfield(L, 4, "stop_words") != LUA_TNIL) rule.stop = rs_check_vocabulary(L, -1);
  return rule; /* the vocabulary stays on the stack */
}

static void check_weights(lua_State *L, rs_tfidf_rule *rule) {
  for (int i = 0; i < rule->n_texts; i++) rule->weights[i] = 1;
  if (lua_getfield(L, 4, "weights") == LUA_TNIL) return;
  if (!lua_istable(L, -1)) rs_wrong_option(L, 4, "weights", "a list of numbers");
  for (int i = 0; i < rule->n_texts; i++) {
    lua_rawgeti(L, -1, i + 1);
    rule->weights[i] = lua_tonumber(L, -1);
    if (!(rule->weights[i] > 0 && rule->weights[i] < 1e9)) rs_wrong_option(L, 4, "weights", "numbers above 0");
    lua_pop(L, 1);
  }
}

/* feature.tfidf(frame, columns, [rows], options) -> { bytes, offsets, counts, idf, matrix } */
static int l_tfidf(lua_State *L) {
  static const char *const known[] = {"tokens", "max",     "low",          "high",      "stop_words", "min_df",
                                      "max_df", "weights", "max_features", "sublinear", NULL};
  const rs_frame *f = luaL_checkudata(L, 1, RS_FRAME);
  luaL_checktype(L, 2, LUA_TTABLE);
  int64_t n, n_texts = (int64_t)lua_rawlen(L, 2);
  const int64_t *rows = rs_opt_rows(L, 3, &n);
  luaL_argcheck(L, n_texts >= 1 && n_texts <= RS_TFIDF_MAX_TEXTS, 2, "1 to 16 columns are served");
  lua_settop(L, 4);
  rs_check_options(L, 4, known);
  if (!rows) n = f->rows;
  for (int64_t i = 0; rows && i < n; i++)
    luaL_argcheck(L, rows[i] >= 0 && rows[i] < f->rows, 3, "a row lies outside the frame");
  text_rule rule = check_rule(L);
  rs_tfidf_rule weighing = {.n_texts = (int)n_texts, .sublinear = rs_boolean_option(L, 4, "sublinear", false)};
  check_weights(L, &weighing);
  rs_tfidf_limits limits = {check_frequency(L, "min_df", n, 1), check_frequency(L, "max_df", n, (double)n),
                            rs_integer_option(L, 4, "max_features", 1, INT32_MAX - 1)};
  if (limits.min_df > limits.max_df)
    luaL_argerror(L, 4, lua_pushfstring(L, "max_df stands for %I of %I texts, fewer than min_df, which stands for %I",
                                        (LUAI_UACINT)limits.max_df, (LUAI_UACINT)n, (LUAI_UACINT)limits.min_df));
  documents *d = rs_push_object(L, sizeof *d, DOCUMENTS, 0);
  for (int i = 0; i < weighing.n_texts; i++) rs_check(L, cut_text(d, check_text(L, f, i + 1), rows, n, &rule));
  lua_createtable(L, 0, 5);
  rs_csr *matrix = rs_push_csr(L);
  rs_check(L, fit_and_weigh(d, matrix, limits, &weighing));
  rs_account(L, &matrix->values);
  lua_setfield(L, -2, "matrix");
  rs_set_tensor(L, "bytes", &d->fit.bytes);
  rs_set_tensor(L, "offsets", &d->fit.offsets);
  rs_set_tensor(L, "counts", &d->fit.counts);
  rs_set_tensor(L, "idf", &d->fit.idf);
  return 1;
}

void rs_open_feature_text(lua_State *L) {
  static const luaL_Reg functions[] = {{"tfidf", l_tfidf}, {NULL, NULL}};
  rs_new_scratch_type(L, DOCUMENTS, l_documents_free);
  luaL_setfuncs(L, functions, 0);
}
