/* primitives_pair.c - several values to one: ratios, differences, joined strings; and a code's number. */
#include <math.h>
#include <string.h>

#include "base/buffer.h"
#include "frame/program.h"
#include "frame/words.h"

enum { NUMBER_BIT = 1 << RS_V_NUMBER };

/* ---- two numbers to one ---- */

typedef struct pair_work {
  const rs_step *step;
  const double *left, *right;
  double *to;
} pair_work;

static rs_status run_pair(const rs_step *step, rs_run *run, rs_column *out, rs_each_body *body) {
  rs_status status = rs_value_numbers(out, run->rows);
  if (status != RS_OK) return status;
  pair_work w = {step, rs_f64(&run->values[step->inputs[0]].values), rs_f64(&run->values[step->inputs[1]].values),
                 rs_f64(&out->values)};
  rs_each(run->rows, body, &w);
  return RS_OK;
}

/* (left + prior weight x prior) / (right + prior weight), the mean of a beta distribution's posterior. */
static rs_status parse_ratio(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  step->type = RS_V_NUMBER;
  rs_status status = rs_step_number(p, "prior", &step->a);
  if (status == RS_OK) status = rs_step_number(p, "weight", &step->b);
  return status == RS_OK && !(step->b > 0) ? rs_fail(RS_EFORMAT, "weight is not above 0") : status;
}

static void ratios(void *context, int64_t begin, int64_t end) {
  const pair_work *w = context;
  double prior = w->step->a * w->step->b, weight = w->step->b;
  for (int64_t i = begin; i < end; i++) w->to[i] = (w->left[i] + prior) / (w->right[i] + weight);
}

static rs_status run_ratio(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_pair(step, run, out, ratios);
}

const rs_primitive rs_ratio_primitive = {"ratio", NUMBER_BIT, parse_ratio, run_ratio};

static rs_status parse_difference(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program, (void)p;
  step->type = RS_V_NUMBER;
  return RS_OK;
}

static void differences(void *context, int64_t begin, int64_t end) {
  const pair_work *w = context;
  for (int64_t i = begin; i < end; i++) w->to[i] = w->left[i] - w->right[i];
}

static rs_status run_difference(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_pair(step, run, out, differences);
}

const rs_primitive rs_difference_primitive = {"difference", NUMBER_BIT, parse_difference, run_difference};

/* ---- strings to one ---- */

static rs_status parse_join(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program, (void)p;
  step->type = RS_V_STRING;
  return RS_OK;
}

static rs_status run_join(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  const rs_column *parts[256];
  for (int i = 0; i < step->n_inputs; i++) parts[i] = &run->values[step->inputs[i]];
  return rs_words_join(out, parts, step->n_inputs);
}

const rs_primitive rs_join_primitive = {"join", 1 << RS_V_STRING, parse_join, run_join};

/* ---- a code's number ---- */

static rs_status parse_pick(rs_step *step, const rs_program *program, const rs_parsing *p) {
  const char *name;
  step->type = RS_V_NUMBER;
  rs_status status = rs_step_text(p, "values", &name);
  if (status != RS_OK) return status;
  const rs_tensor *values = rs_tensors_find(p->tensors, name);
  int64_t rows = program->steps[step->inputs[0]].rows;
  if (!values || values->dtype != RS_F64 || values->ndim != 1 || !rs_tensor_is_contiguous(values) ||
      values->size[0] != rows)
    return rs_fail(RS_EFORMAT, "'%.100s' is not a vector of f64 with a number for each of %lld codes", name,
                   (long long)rows);
  rs_tensor_share(&step->edges, values);
  return rs_tensors_find(&p->encoder->tensors, name) ? RS_OK : rs_tensors_add(&p->encoder->tensors, name, values);
}

typedef struct pick_work {
  const int32_t *from;
  const double *values;
  double *to;
} pick_work;

static void pick(void *context, int64_t begin, int64_t end) {
  const pick_work *w = context;
  for (int64_t i = begin; i < end; i++) w->to[i] = w->values[w->from[i]];
}

static rs_status run_pick(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  rs_status status = rs_value_numbers(out, run->rows);
  if (status != RS_OK) return status;
  pick_work w = {rs_i32(&run->values[step->inputs[0]].values), rs_f64(&step->edges), rs_f64(&out->values)};
  rs_each(run->rows, pick, &w);
  return RS_OK;
}

const rs_primitive rs_pick_primitive = {"pick", 1 << RS_V_CODES, parse_pick, run_pick};
