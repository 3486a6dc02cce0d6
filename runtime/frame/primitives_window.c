/* primitives_window.c - the user's last events as codes of an item output.
 *
 * The events that any row reads are turned into codes once, one after another; a window is then a slice of that, so
 * rows and windows of different lengths share one copy. */
#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"

static const rs_step *item_step(const rs_encoder *e, const char *name) {
  const rs_program *items = &e->sides[RS_ITEM];
  for (int i = 0; i < items->n_outputs; i++)
    if (strcmp(items->outputs[i].name, name) == 0) return &items->steps[items->outputs[i].step];
  return NULL;
}

static rs_status parse_window(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const char *of;
  step->type = RS_V_LIST;
  rs_status status = rs_step_text(p, "of", &of);
  if (status == RS_OK) status = rs_step_count(p, "length", 1, 1 << 20, &step->count);
  if (status == RS_OK) status = rs_step_drop(p, &step->drop);
  if (status != RS_OK) return status;
  if (p->side != RS_EVENT) return rs_fail(RS_EFORMAT, "window outside the event side");
  const rs_step *source = item_step(p->encoder, of);
  if (!source || (source->type != RS_V_CODES && source->type != RS_V_LIST))
    return rs_fail(RS_EFORMAT, "of '%.100s' is not an item output of codes", of);
  step->rows = source->rows;
  step->table = source->table;
  step->text = rs_strdup(of);
  return step->text ? RS_OK : rs_nomem("encoder", strlen(of));
}

/* The item output's codes of one item, -1 being an item outside the catalogue. */
static int64_t codes_of_item(const rs_output *o, int32_t item, const int32_t **codes) {
  static const int32_t unknown = 0;
  if (o->kind == RS_CODES) {
    *codes = item < 0 ? &unknown : &rs_i32(&o->values)[item];
    return 1;
  }
  *codes = item < 0 ? &unknown : rs_i32(&o->values) + rs_i64(&o->starts)[item];
  return item < 0 ? 0 : rs_i32(&o->lengths)[item];
}

/* offsets[e] = codes of the n events before e. */
static rs_status count_codes(const rs_step *step, const rs_output *o, const int32_t *events, int64_t n_events,
                             int64_t n_items, int64_t *offsets) {
  offsets[0] = 0;
  for (int64_t e = 0; e < n_events; e++) {
    if (events[e] < -1 || events[e] >= n_items)
      return rs_fail(RS_ERANGE, "window: item row %d of a catalogue of %lld", (int)events[e], (long long)n_items);
    const int32_t *codes;
    int64_t n = codes_of_item(o, events[e], &codes), kept = n;
    for (int64_t i = 0; step->drop && i < n; i++) kept -= codes[i] == 0;
    offsets[e + 1] = offsets[e] + kept;
  }
  return RS_OK;
}

typedef struct flatten_work {
  const rs_output *output;
  const int32_t *events;
  const int64_t *offsets;
  int32_t *to;
  bool drop;
} flatten_work;

static void copy_codes(void *context, int64_t begin, int64_t end) {
  const flatten_work *w = context;
  for (int64_t e = begin; e < end; e++) {
    const int32_t *codes;
    int64_t n = codes_of_item(w->output, w->events[e], &codes), at = w->offsets[e];
    for (int64_t i = 0; i < n; i++)
      if (codes[i] || !w->drop) w->to[at++] = codes[i];
  }
}

static rs_status flatten(const rs_step *step, const rs_run *run, rs_column *out, rs_tensor *offsets) {
  const rs_features *items = run->events->items;
  const int32_t *events = run->events->events + run->first;
  const rs_output *o = rs_features_output(items, step->text);
  if (!o || o->kind == RS_NUMBERS)
    return rs_fail(RS_EARG, "window: the catalogue's features lack '%s' as codes", step->text);
  int64_t n = run->last - run->first, size = n + 1;
  rs_status status = rs_tensor_new(offsets, RS_I64, 1, &size);
  if (status == RS_OK) status = count_codes(step, o, events, n, items->rows, rs_i64(offsets));
  if (status == RS_OK) status = rs_value_codes(out, rs_i64(offsets)[n]);
  if (status != RS_OK) return status;
  flatten_work w = {o, events, rs_i64(offsets), rs_i32(&out->values), step->drop};
  rs_each(n, copy_codes, &w);
  return RS_OK;
}

/* The codes that an earlier window over the same output made already. */
static bool share_flattened(const rs_step *step, int index, rs_run *run, rs_column *out) {
  for (int i = 0; i < index; i++) {
    const rs_step *other = &run->program->steps[i];
    if (other->primitive != step->primitive || other->drop != step->drop || strcmp(other->text, step->text) != 0)
      continue;
    rs_tensor_share(&out->values, &run->values[i].values);
    rs_tensor_share(&run->offsets[index], &run->offsets[i]);
    return true;
  }
  return false;
}

static rs_status slice(const rs_step *step, const rs_run *run, const int64_t *offsets, rs_column *out) {
  for (int64_t i = 0; i < run->rows; i++) {
    int64_t begin = run->events->begin[i] - run->first, end = run->events->end[i] - run->first;
    if (end - begin > step->count) begin = end - step->count;
    int64_t length = end > begin ? offsets[end] - offsets[begin] : 0;
    if (length > INT32_MAX) return rs_fail(RS_ERANGE, "window: too many codes in a row");
    rs_i64(&out->starts)[i] = length ? offsets[begin] : 0;
    rs_i32(&out->lengths)[i] = (int32_t)length;
  }
  return RS_OK;
}

static rs_status run_window(const rs_step *step, int index, rs_run *run, rs_column *out) {
  rs_status status = rs_tensor_zeros(&out->starts, RS_I64, 1, &run->rows);
  if (status == RS_OK) status = rs_tensor_zeros(&out->lengths, RS_I32, 1, &run->rows);
  if (status != RS_OK) return status;
  if (!run->events) return rs_value_codes(out, 0);
  if (!share_flattened(step, index, run, out)) status = flatten(step, run, out, &run->offsets[index]);
  return status == RS_OK ? slice(step, run, rs_i64(&run->offsets[index]), out) : status;
}

const rs_primitive rs_window_primitive = {"window", 0, parse_window, run_window};
