/* primitives_words.c - lists of words: without some, as n-grams, and as points by TF-IDF and a projection; points that
 * come with an id. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/program.h"
#include "tensor/clones.h"

enum { ROW_GRAIN = 256, MAX_GRAM = 16, MAX_WIDTH = 4096 };

/* ---- without, ngrams ---- */

static rs_status parse_without(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  step->type = RS_V_STRINGS;
  return rs_step_table(step, p);
}

static rs_status run_without(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return rs_words_without(out, &run->values[step->inputs[0]], step->vocabulary);
}

const rs_primitive rs_without_primitive = {"without", 1 << RS_V_STRINGS, parse_without, run_without};

static rs_status parse_ngrams(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const char *level;
  step->type = RS_V_STRINGS;
  rs_status status = rs_step_text(p, "level", &level);
  if (status == RS_OK) status = rs_step_count(p, "low", 1, MAX_GRAM, &step->ngrams.low);
  if (status == RS_OK) status = rs_step_count(p, "high", step->ngrams.low, MAX_GRAM, &step->ngrams.high);
  if (status != RS_OK) return status;
  step->ngrams.characters = strcmp(level, "char") == 0;
  if (!step->ngrams.characters && strcmp(level, "word") != 0)
    return rs_fail(RS_EFORMAT, "level is '%.40s', not word or char", level);
  return RS_OK;
}

static rs_status run_ngrams(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return rs_words_ngrams(out, &run->values[step->inputs[0]], step->ngrams);
}

const rs_primitive rs_ngrams_primitive = {"ngrams", 1 << RS_V_STRINGS, parse_ngrams, run_ngrams};

/* ---- vector ---- */

static rs_status parse_vector(rs_step *step, const rs_program *program, const rs_parsing *p) {
  step->type = RS_V_MATRIX;
  rs_status status = rs_step_tensor(p, "vectors", RS_F32, 2, &step->vectors);
  if (status != RS_OK) return status;
  int64_t rows = program->steps[step->inputs[0]].rows;
  step->width = step->vectors.size[1] + 1;
  if (step->vectors.size[0] != rows - 1 || step->width > MAX_WIDTH)
    return rs_fail(RS_EFORMAT, "vectors are %s for %lld codes above 0", rs_shape(&step->vectors).text,
                   (long long)rows - 1);
  return RS_OK;
}

typedef struct vector_work {
  const rs_step *step;
  const int32_t *codes;
  float *to;
} vector_work;

/* The code's vector and 0, or zeros and 1. */
static void take_vectors(void *context, int64_t begin, int64_t end) {
  const vector_work *w = context;
  int64_t width = w->step->width;
  size_t bytes = (size_t)(width - 1) * sizeof *w->to;
  for (int64_t i = begin; i < end; i++) {
    float *to = w->to + i * width;
    if (w->codes[i] > 0)
      memcpy(to, rs_f32(&w->step->vectors) + (w->codes[i] - 1) * (width - 1), bytes);
    else
      memset(to, 0, bytes);
    to[width - 1] = w->codes[i] > 0 ? 0 : 1;
  }
}

static rs_status run_vector(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  rs_status status = rs_tensor_new(&out->values, RS_F32, 2, (int64_t[]){run->rows, step->width});
  if (status != RS_OK) return status;
  vector_work w = {step, rs_i32(&run->values[step->inputs[0]].values), rs_f32(&out->values)};
  rs_each(run->rows, take_vectors, &w);
  return RS_OK;
}

const rs_primitive rs_vector_primitive = {"vector", 1 << RS_V_CODES, parse_vector, run_vector};

/* ---- project ---- */

static rs_status check_reals(const rs_tensor *t, const char *what, bool above_zero) {
  for (int64_t i = 0; i < t->size[0]; i++)
    if (!isfinite(rs_f64(t)[i]) || (above_zero && !(rs_f64(t)[i] > 0)))
      return rs_fail(RS_EFORMAT, "%s %lld is %g", what, (long long)i, rs_f64(t)[i]);
  return RS_OK;
}

/* The weights of the texts; all alike when there are none. */
static rs_status parse_weights(rs_step *step, const rs_parsing *p) {
  step->tfidf.n_texts = step->n_inputs;
  for (int i = 0; i < step->n_inputs; i++) step->tfidf.weights[i] = 1;
  if (!json_object_get(p->json, "weights")) return RS_OK;
  rs_tensor weights = {0};
  rs_status status = rs_step_tensor(p, "weights", RS_F64, 1, &weights);
  if (status == RS_OK && weights.size[0] != step->n_inputs)
    status = rs_fail(RS_EFORMAT, "%lld weights of %d texts", (long long)weights.size[0], step->n_inputs);
  if (status == RS_OK) status = check_reals(&weights, "weight", true);
  for (int i = 0; status == RS_OK && i < step->n_inputs; i++) step->tfidf.weights[i] = rs_f64(&weights)[i];
  rs_tensor_free(&weights);
  return status;
}

static rs_status parse_project(rs_step *step, const rs_program *program, const rs_parsing *p) {
  step->type = RS_V_MATRIX;
  rs_status status = rs_step_tensor(p, "idf", RS_F64, 1, &step->idf);
  if (status == RS_OK) status = rs_step_tensor(p, "vectors", RS_F32, 2, &step->vectors);
  if (status != RS_OK) return status;
  int64_t words = step->idf.size[0];
  step->width = step->vectors.size[1];
  if (step->vectors.size[0] != words || step->width < 1 || step->width > MAX_WIDTH)
    return rs_fail(RS_EFORMAT, "vectors are %s for %lld words", rs_shape(&step->vectors).text, (long long)words);
  for (int i = 0; i < step->n_inputs; i++)
    if (program->steps[step->inputs[i]].rows != words + 1)
      return rs_fail(RS_EFORMAT, "input %d has codes below %lld for %lld words", i,
                     (long long)program->steps[step->inputs[i]].rows, (long long)words);
  status = check_reals(&step->idf, "idf", false);
  if (status == RS_OK) status = parse_weights(step, p);
  step->tfidf.sublinear = json_is_true(json_object_get(p->json, "sublinear"));
  step->tfidf.idf = rs_f64(&step->idf);
  step->tfidf.words = words;
  return status;
}

typedef struct project_work {
  const rs_step *step;
  rs_tfidf_text texts[RS_TFIDF_MAX_TEXTS];
  int64_t room;            /* entries a thread */
  rs_tfidf_entry *scratch; /* by thread */
  float *to;
} project_work;

/* to [d] = the sum of the entries' vectors times their weights */
RS_CLONES static void add_vectors(float *restrict to, const rs_tfidf_entry *entries, int64_t n, const float *vectors,
                                  int64_t d) {
  memset(to, 0, (size_t)d * sizeof *to);
  for (int64_t i = 0; i < n; i++) {
    const float *from = vectors + entries[i].word * d, weight = (float)entries[i].weight;
    for (int64_t j = 0; j < d; j++) to[j] += weight * from[j];
  }
}

static void project_rows(void *context, int64_t begin, int64_t end) {
  const project_work *w = context;
  int64_t d = w->step->width;
  rs_tfidf_entry *entries = w->scratch + rs_thread_index() * w->room;
  for (int64_t row = begin; row < end; row++) {
    int64_t n = rs_tfidf_weigh(&w->step->tfidf, w->texts, row, entries);
    add_vectors(w->to + row * d, entries, n, rs_f32(&w->step->vectors), d);
  }
}

static rs_status run_project(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  project_work w = {.step = step};
  for (int i = 0; i < step->n_inputs; i++) {
    const rs_column *in = &run->values[step->inputs[i]];
    w.texts[i] = (rs_tfidf_text){rs_i32(&in->values), rs_i64(&in->starts), rs_i32(&in->lengths)};
  }
  for (int64_t row = 0; row < run->rows; row++) {
    int64_t bound = 2 * rs_tfidf_bound(&step->tfidf, w.texts, row);
    w.room = bound > w.room ? bound : w.room;
  }
  rs_status status = rs_tensor_new(&out->values, RS_F32, 2, (int64_t[]){run->rows, step->width});
  if (status != RS_OK) return status;
  size_t bytes = (size_t)(w.room * (run->rows > ROW_GRAIN ? rs_threads() : 1)) * sizeof *w.scratch;
  w.scratch = rs_alloc(bytes);
  if (!w.scratch) return rs_nomem("project", bytes);
  w.to = rs_f32(&out->values);
  rs_parallel_for(run->rows, ROW_GRAIN, project_rows, &w);
  rs_free(w.scratch);
  return RS_OK;
}

const rs_primitive rs_project_primitive = {"project", 1 << RS_V_LIST, parse_project, run_project};
