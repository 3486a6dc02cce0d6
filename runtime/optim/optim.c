/* optim.c - see optim.h. A dense parameter is updated in chunks of GRAIN elements, a table in chunks of rows. */
#include "optim/optim.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/prefetch.h"
#include "base/rng.h"
#include "tensor/clones.h"
#include "tensor/half.h"

enum { GRAIN = 16384 };

/* What a rule needs in its loop, worked out once a step. */
typedef struct rule {
  rs_optimizer_kind kind;
  double rate, decay, scale, momentum, beta1, beta2, epsilon;
  double shrink;             /* of the value, AdamW: 1 - r d */
  double correct1, correct2; /* 1 / (1 - b^t) */
  bool row_wise;
} rule;

#define REAL float
#define OF(name) name##_f32
#define SQRT sqrtf
#include "optim/update_real.h"
#define REAL double
#define OF(name) name##_f64
#define SQRT sqrt
#include "optim/update_real.h"

static rule rule_of(const rs_optimizer *o, int64_t step) {
  rule u = {.kind = o->kind,
            .rate = o->learning_rate,
            .decay = o->weight_decay,
            .scale = o->gradient_scale,
            .momentum = o->momentum,
            .beta1 = o->beta1,
            .beta2 = o->beta2,
            .epsilon = o->epsilon,
            .shrink = 1,
            .row_wise = o->row_wise};
  u.correct1 = 1 / (1 - pow(o->beta1, (double)step));
  u.correct2 = 1 / (1 - pow(o->beta2, (double)step));
  if (o->kind == RS_ADAMW) {
    u.shrink = 1 - u.rate * u.decay;
    u.decay = 0;
  }
  return u;
}

int rs_optimizer_states(const rs_optimizer *o) {
  if (o->kind == RS_SGD) return o->momentum != 0;
  return o->kind == RS_ADAGRAD ? 1 : 2;
}

const char *rs_optimizer_state_name(const rs_optimizer *o, int which) {
  if (o->kind == RS_SGD) return "velocity";
  if (o->kind == RS_ADAGRAD) return "sum";
  return which == 0 ? "mean" : "variance";
}

/* Whether the state has one number a row: vectors and scalars have no rows. */
static bool by_row(const rs_optimizer *o, const rs_tensor *value) {
  return o->kind == RS_ADAGRAD && o->row_wise && value->ndim == 2;
}

/* The dtype of gradient, state and arithmetic. */
static rs_dtype dtype_of(const rs_tensor *value) { return value->dtype == RS_BF16 ? RS_F32 : value->dtype; }

rs_status rs_optimizer_state(rs_tensor *out, const rs_optimizer *o, int which, const rs_tensor *value) {
  (void)which;
  return rs_tensor_zeros(out, dtype_of(value), by_row(o, value) ? 1 : value->ndim, value->size);
}

static bool same_shape(const rs_tensor *a, const rs_tensor *b) {
  return dtype_of(a) == b->dtype && a->ndim == b->ndim &&
         memcmp(a->size, b->size, sizeof(int64_t) * (size_t)a->ndim) == 0 && rs_tensor_is_contiguous(b);
}

static rs_status check(const rs_optimizer *o, const rs_tensor *value, const rs_tensor *state) {
  if (dtype_of(value) != RS_F32 && value->dtype != RS_F64)
    return rs_fail(RS_EDTYPE, "optimizer: %s is not trained", rs_dtype_name(value->dtype));
  if (!rs_tensor_is_contiguous(value)) return rs_fail(RS_ESHAPE, "optimizer: the value is not contiguous");
  for (int i = 0; i < rs_optimizer_states(o); i++) {
    bool fits = by_row(o, value) ? state[i].dtype == dtype_of(value) && state[i].ndim == 1 &&
                                       state[i].size[0] == value->size[0] && rs_tensor_is_contiguous(&state[i])
                                 : same_shape(value, &state[i]);
    if (!fits)
      return rs_fail(RS_ESHAPE, "optimizer: state %s of a value %s", rs_shape(&state[i]).text, rs_shape(value).text);
  }
  return RS_OK;
}

typedef struct job {
  rule rule;
  rs_dtype dtype;
  int64_t d, state_d;   /* elements of a row, of its state */
  const int32_t *codes; /* NULL: row i is i */
  char *value, *state[RS_MAX_STATES];
  const char *gradient;
  rs_stream rounding; /* of bf16 */
} job;

/* Ask for the value and the states of a row of the table. */
RS_PREFETCHES void prefetch(const job *j, int64_t row, int64_t w) {
  rs_prefetch_row_to_write(j->value + row * j->d * w, (size_t)(j->d * w));
  for (int s = 0; s < RS_MAX_STATES; s++)
    if (j->state[s]) rs_prefetch_row_to_write(j->state[s] + row * j->state_d * w, (size_t)(j->state_d * w));
}

RS_PREFETCHES void prefetch_narrow(const job *j, int64_t row) {
  rs_prefetch_row_to_write(j->value + row * j->d * (int64_t)sizeof(uint16_t), (size_t)j->d * sizeof(uint16_t));
  for (int s = 0; s < RS_MAX_STATES; s++)
    if (j->state[s])
      rs_prefetch_row_to_write(j->state[s] + row * j->state_d * (int64_t)sizeof(float),
                               (size_t)j->state_d * sizeof(float));
}

/* Rows (or elements, as rows of one) begin .. end-1; adjacent ones together where the rule allows it. */
static void run(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t w = (int64_t)rs_dtype_size(j->dtype), together = j->codes || j->rule.row_wise ? 1 : end - begin;
  for (int64_t i = begin; i < end; i += together) {
    int64_t row = j->codes ? j->codes[i] : i;
    if (j->codes && i + RS_AHEAD < end) prefetch(j, j->codes[i + RS_AHEAD], w);
    void *state[RS_MAX_STATES] = {0};
    for (int s = 0; s < RS_MAX_STATES; s++)
      if (j->state[s]) state[s] = j->state[s] + row * j->state_d * w;
    (j->dtype == RS_F32 ? apply_f32 : apply_f64)(&j->rule, j->value + row * j->d * w, j->gradient + i * j->d * w, state,
                                                 together * j->d);
  }
}

/* A bf16 row's new value from f32. One random number a row; of each element a mix of that and its place, which is
 * MurmurHash3's final one. */
RS_CLONES static void round_row(uint16_t *restrict to, const float *restrict from, int64_t d, uint32_t key) {
  for (int64_t k = 0; k < d; k++) {
    uint32_t h = key ^ (uint32_t)k * 0x9E3779B9u;
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    to[k] = rs_bfloat_with(from[k], (h ^ h >> 16) & 0xFFFF);
  }
}

/* Rows begin .. end-1 of a bf16 table. */
static void run_narrow(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  float wide[RS_OPTIM_WIDTH];
  for (int64_t i = begin; i < end; i++) {
    int64_t row = j->codes[i];
    uint16_t *value = (uint16_t *)j->value + row * j->d;
    void *state[RS_MAX_STATES] = {0};
    if (i + RS_AHEAD < end) prefetch_narrow(j, j->codes[i + RS_AHEAD]);
    for (int s = 0; s < RS_MAX_STATES; s++)
      if (j->state[s]) state[s] = (float *)j->state[s] + row * j->state_d;
    for (int64_t k = 0; k < j->d; k++) wide[k] = rs_bfloat_to_f32(value[k]);
    apply_f32(&j->rule, wide, (const float *)j->gradient + i * j->d, state, j->d);
    round_row(value, wide, j->d, rs_stream_u32(&j->rounding, (uint64_t)row));
  }
}

static void start(job *j, int64_t n) {
  int64_t grain = GRAIN / (j->d > 0 ? j->d : 1);
  if (grain < 1) grain = 1;
  rs_body *body = j->dtype == RS_BF16 ? run_narrow : run;
  if (n <= grain)
    body(j, 0, n);
  else
    rs_parallel_for(n, grain, body, j);
}

static job job_of(const rs_optimizer *o, int64_t step, rs_tensor *value, const rs_tensor *gradient, rs_tensor *state) {
  job j = {.rule = rule_of(o, step), .dtype = value->dtype, .d = 1, .state_d = 1};
  j.rule.row_wise = by_row(o, value);
  j.rounding = rs_stream_at(o->seed, RS_RNG_ROUNDING, o->table, (uint32_t)step);
  j.value = rs_tensor_data(value);
  j.gradient = rs_tensor_data(gradient);
  for (int i = 0; i < rs_optimizer_states(o); i++) j.state[i] = rs_tensor_data(&state[i]);
  return j;
}

rs_status rs_optimizer_update(const rs_optimizer *o, int64_t step, rs_tensor *value, const rs_tensor *gradient,
                              rs_tensor *state) {
  rs_status status = check(o, value, state);
  if (status == RS_OK && value->dtype == RS_BF16)
    status = rs_fail(RS_EDTYPE, "optimizer: bf16 is trained by rows, as sparse tables are");
  if (status == RS_OK && !same_shape(value, gradient))
    status = rs_fail(RS_ESHAPE, "optimizer: gradient %s %s of a value %s %s", rs_dtype_name(gradient->dtype),
                     rs_shape(gradient).text, rs_dtype_name(value->dtype), rs_shape(value).text);
  if (status != RS_OK) return status;
  job j = job_of(o, step, value, gradient, state);
  if (j.rule.row_wise) j.d = value->size[1];
  start(&j, j.rule.row_wise ? value->size[0] : rs_tensor_count(value));
  return RS_OK;
}

rs_status rs_optimizer_update_rows(const rs_optimizer *o, int64_t step, rs_tensor *value, const rs_tensor *codes,
                                   const rs_tensor *rows, rs_tensor *state) {
  rs_status status = check(o, value, state);
  if (status != RS_OK) return status;
  if (value->ndim != 2 || codes->dtype != RS_I32 || codes->ndim != 1 || rows->ndim != 2 ||
      rows->dtype != dtype_of(value) || rows->size[0] != codes->size[0] || rows->size[1] != value->size[1] ||
      !rs_tensor_is_contiguous(codes) || !rs_tensor_is_contiguous(rows))
    return rs_fail(RS_ESHAPE, "optimizer: codes %s and rows %s of a table %s", rs_shape(codes).text,
                   rs_shape(rows).text, rs_shape(value).text);
  if (value->dtype == RS_BF16 && value->size[1] > RS_OPTIM_WIDTH)
    return rs_fail(RS_ESHAPE, "optimizer: a bf16 table %s, rows of %d are served", rs_shape(value).text,
                   RS_OPTIM_WIDTH);
  for (int64_t i = 0; i < codes->size[0]; i++)
    if (rs_i32(codes)[i] < 0 || rs_i32(codes)[i] >= value->size[0])
      return rs_fail(RS_ERANGE, "optimizer: code %d of a table of %lld rows", rs_i32(codes)[i],
                     (long long)value->size[0]);
  job j = job_of(o, step, value, rows, state);
  j.codes = rs_i32(codes);
  j.d = value->size[1];
  if (!j.rule.row_wise) j.state_d = j.d;
  start(&j, codes->size[0]);
  return RS_OK;
}

typedef struct norm_job {
  const rs_tensor *t;
  double *parts;
} norm_job;

static void sum_chunk(void *context, int64_t begin, int64_t end) {
  const norm_job *j = context;
  j->parts[begin / GRAIN] = j->t->dtype == RS_F32 ? squares_f32(rs_f32(j->t) + begin, end - begin)
                                                  : squares_f64(rs_f64(j->t) + begin, end - begin);
}

rs_status rs_sum_of_squares(double *out, const rs_tensor *t) {
  if ((t->dtype != RS_F32 && t->dtype != RS_F64) || !rs_tensor_is_contiguous(t))
    return rs_fail(RS_EDTYPE, "norm: a contiguous f32 or f64 tensor expected");
  int64_t n = rs_tensor_count(t), chunks = (n + GRAIN - 1) / GRAIN;
  double one = 0, *parts = chunks <= 1 ? &one : rs_alloc((size_t)chunks * sizeof *parts);
  if (!parts) return rs_nomem("norm", (size_t)chunks * sizeof *parts);
  norm_job j = {t, parts};
  if (chunks > 1)
    rs_parallel_for(n, GRAIN, sum_chunk, &j);
  else if (n > 0)
    sum_chunk(&j, 0, n);
  *out = 0;
  for (int64_t c = 0; c < chunks; c++) *out += parts[c];
  if (chunks > 1) rs_free(parts);
  return RS_OK;
}
