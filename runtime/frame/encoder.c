/* encoder.c - run a parsed program, and what an encoder tells about itself; parsing is in encoder_parse.c. */
#include "frame/encoder.h"

#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/program.h"

enum { GRAIN = 1 << 14 };

static const char *const side_names[] = {"user", "event", "item"};

const char *rs_side_name(rs_side side) { return side_names[side]; }

void rs_each(int64_t n, rs_each_body *body, void *context) {
  if (n > GRAIN)
    rs_parallel_for(n, GRAIN, body, context);
  else if (n > 0)
    body(context, 0, n);
}

static bool is_ours(const rs_tensor *t, rs_dtype dtype, int ndim, const int64_t *size) {
  if (!t->storage || t->dtype != dtype || t->ndim != ndim || !t->storage->writable) return false;
  if (atomic_load(&t->storage->references) != 1 || !rs_tensor_is_contiguous(t)) return false;
  for (int i = 0; i < ndim; i++)
    if (t->size[i] != size[i]) return false;
  return true;
}

rs_status rs_value_reuse(rs_tensor *t, rs_dtype dtype, int ndim, const int64_t *size) {
  if (is_ours(t, dtype, ndim, size)) return RS_OK;
  rs_tensor_free(t);
  return rs_tensor_new(t, dtype, ndim, size);
}

rs_status rs_value_numbers(rs_column *out, int64_t n) { return rs_value_reuse(&out->values, RS_F64, 1, &n); }
rs_status rs_value_codes(rs_column *out, int64_t n) { return rs_value_reuse(&out->values, RS_I32, 1, &n); }

static void step_free(rs_step *s) {
  rs_free(s->inputs);
  rs_free(s->text);
  rs_tensor_free(&s->edges);
  rs_tensor_free(&s->idf);
  rs_tensor_free(&s->vectors);
}

static void program_free(rs_program *p) {
  for (int i = 0; i < p->n_steps; i++) step_free(&p->steps[i]);
  for (int i = 0; i < p->n_outputs; i++) rs_free(p->outputs[i].name);
  rs_free(p->steps);
  rs_free(p->outputs);
}

void rs_encoder_free(rs_encoder *e) {
  if (!e) return;
  for (int i = 0; i < 3; i++) program_free(&e->sides[i]);
  for (int i = 0; i < e->n_tables; i++) {
    rs_free(e->tables[i].name);
    rs_vocabulary_release(e->tables[i].vocabulary);
  }
  rs_free(e->tables);
  rs_filters_free(e);
  rs_tensors_free(&e->tensors);
  rs_buffer_free(&e->json);
  rs_free(e);
}

const char *rs_encoder_json(const rs_encoder *e, size_t *bytes) {
  *bytes = e->json.size;
  return e->json.data;
}

const rs_tensors *rs_encoder_tensors(const rs_encoder *e) { return &e->tensors; }

rs_vocabulary *rs_encoder_vocabulary(const rs_encoder *e, const char *table) {
  for (int i = 0; i < e->n_tables; i++)
    if (strcmp(e->tables[i].name, table) == 0) return e->tables[i].vocabulary;
  return NULL;
}

rs_output_kind rs_output_kind_of(rs_value_type type) {
  if (type == RS_V_LIST) return RS_CODE_LIST;
  return type == RS_V_CODES ? RS_CODES : type == RS_V_WEIGHTS ? RS_WEIGHT_LIST : RS_NUMBERS;
}

/* Whether a step counts events, itself or through its inputs. */
static bool moves(const rs_program *p, int step) {
  const rs_step *s = &p->steps[step];
  bool found = s->primitive == &rs_count_primitive;
  for (int i = 0; i < s->n_inputs && !found; i++) found = moves(p, s->inputs[i]);
  return found;
}

int rs_encoder_outputs(const rs_encoder *e, rs_side side) { return e->sides[side].n_outputs; }

rs_output_info rs_encoder_output(const rs_encoder *e, rs_side side, int i) {
  const rs_program *p = &e->sides[side];
  const rs_step *s = &p->steps[p->outputs[i].step];
  rs_output_kind kind = rs_output_kind_of(s->type);
  bool counts = side != RS_USER && moves(p, p->outputs[i].step);
  return (rs_output_info){p->outputs[i].name, kind, s->table, s->rows, s->width, counts};
}

const char *rs_encoder_column(const rs_encoder *e, rs_side side, int i, const char **type) {
  const rs_program *p = &e->sides[side];
  for (int k = 0, found = 0; k < p->n_steps; k++) {
    const rs_step *s = &p->steps[k];
    bool again = s->primitive != &rs_read_primitive;
    for (int j = 0; j < k && !again; j++)
      again = p->steps[j].primitive == s->primitive && strcmp(p->steps[j].text, s->text) == 0;
    if (again || found++ < i) continue;
    *type = s->type == RS_V_NUMBER ? "number" : s->type == RS_V_STRING ? "string" : "strings";
    return s->text;
  }
  return NULL;
}

/* ---- running ---- */

/* Share a step's value under an output's name. */
static rs_status emit(const rs_run *run, const rs_program_output *output, rs_features *out) {
  const rs_step *step = &run->program->steps[output->step];
  const rs_column *value = &run->values[output->step];
  rs_output o = {.kind = rs_output_kind_of(step->type), .name = rs_strdup(output->name)};
  if (!o.name) return rs_nomem("encoder", strlen(output->name));
  rs_tensor_share(&o.values, &value->values);
  if (rs_is_list(&o)) {
    rs_tensor_share(&o.starts, &value->starts);
    rs_tensor_share(&o.lengths, &value->lengths);
  }
  rs_status status = rs_features_add(out, &o);
  rs_output_free(&o);
  return status;
}

/* Check what each row reads and find the range of events that holds it all. */
static rs_status bound_events(rs_run *run) {
  const rs_events *events = run->events;
  for (int64_t i = 0; events && i < run->rows; i++) {
    int64_t begin = events->begin[i], end = events->end[i];
    if (begin < 0 || begin > end || end > events->n_events)
      return rs_fail(RS_ERANGE, "window: events %lld .. %lld of %lld", (long long)begin, (long long)end,
                     (long long)events->n_events);
    if (begin == end) continue;
    bool none = run->first == run->last;
    run->first = none || begin < run->first ? begin : run->first;
    run->last = none || end > run->last ? end : run->last;
  }
  return RS_OK;
}

/* Primitives that make their value by rs_value_numbers, rs_value_codes or rs_value_reuse alone. */
static const rs_primitive *const reusers[] = {
    &rs_log_primitive,    &rs_affine_primitive, &rs_clamp_primitive,      &rs_impute_primitive, &rs_missing_primitive,
    &rs_code_primitive,   &rs_time_part_primitive, &rs_bucketize_primitive, &rs_fourier_primitive, &rs_stack_primitive,
    &rs_count_primitive,  &rs_profile_primitive, &rs_ratio_primitive,      &rs_difference_primitive, &rs_pick_primitive,
    &rs_lookup_primitive, &rs_hash_primitive,
};

bool rs_step_reuses(const rs_step *step) {
  if (step->type == RS_V_LIST) return false;
  for (size_t i = 0; i < sizeof reusers / sizeof *reusers; i++)
    if (step->primitive == reusers[i]) return true;
  return false;
}

rs_status rs_run_steps(rs_run *run) {
  const rs_program *p = run->program;
  rs_status status = bound_events(run);
  for (int i = 0; status == RS_OK && i < p->n_steps; i++) {
    const rs_step *step = &p->steps[i];
    status = step->primitive->run(step, i, run, &run->values[i]);
  }
  return status;
}

static rs_status run_and_emit(rs_run *run, rs_features *out) {
  const rs_program *p = run->program;
  rs_status status = rs_run_steps(run);
  for (int i = 0; status == RS_OK && i < p->n_outputs; i++) status = emit(run, &p->outputs[i], out);
  return status;
}

/* 'body' over a run with room for all steps. */
static rs_status with_run(const rs_program *p, const rs_frame *frame, const rs_events *events,
                          rs_status (*body)(rs_run *run, rs_features *out), rs_features *out) {
  size_t n = (size_t)p->n_steps, bytes = n * (sizeof(rs_column) + sizeof(rs_tensor));
  void *block = rs_alloc_zero(bytes);
  if (!block) return rs_nomem("encoder", bytes);
  rs_run run = {.program = p, .frame = frame, .events = events, .rows = frame->rows, .values = block};
  run.offsets = (rs_tensor *)(run.values + n);
  out->rows = frame->rows;
  rs_status status = body(&run, out);
  for (size_t i = 0; i < n; i++) {
    rs_column_free(&run.values[i]);
    rs_tensor_free(&run.offsets[i]);
  }
  rs_free(block);
  if (status != RS_OK) rs_features_free(out);
  return status;
}

rs_status rs_encoder_run(const rs_encoder *e, rs_side side, const rs_frame *frame, const rs_events *events,
                         rs_features *out) {
  return with_run(&e->sides[side], frame, events, run_and_emit, out);
}

/* Run a step after its inputs, unless it has run. */
static rs_status run_needed(rs_run *run, int index) {
  const rs_step *step = &run->program->steps[index];
  rs_status status = RS_OK;
  if (run->values[index].values.storage) return RS_OK;
  if (step->primitive == &rs_read_primitive)
    return rs_fail(RS_EFORMAT, "encoder: an output that counts events reads the column '%s'", step->text);
  for (int i = 0; status == RS_OK && i < step->n_inputs; i++) status = run_needed(run, step->inputs[i]);
  return status == RS_OK ? step->primitive->run(step, index, run, &run->values[index]) : status;
}

static rs_status run_moving(rs_run *run, rs_features *out) {
  const rs_program *p = run->program;
  rs_status status = bound_events(run);
  for (int i = 0; status == RS_OK && i < p->n_outputs; i++) {
    if (!moves(p, p->outputs[i].step)) continue;
    status = run_needed(run, p->outputs[i].step);
    if (status == RS_OK) status = emit(run, &p->outputs[i], out);
  }
  return status;
}

rs_status rs_encoder_run_moving(const rs_encoder *e, int64_t rows, const rs_events *events, rs_features *out) {
  return with_run(&e->sides[RS_ITEM], &(rs_frame){.rows = rows}, events, run_moving, out);
}
