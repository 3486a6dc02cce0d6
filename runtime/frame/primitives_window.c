/* primitives_window.c - the user's last events, newest first: as codes of an item output, and beside each code the
 * event's weight, the gap to the event before it, or which kind of event it was.
 *
 * The events that any row reads are laid out once, in reverse, one after another; a window is then a slice of that
 * which begins at the row's newest event, so rows and windows of different lengths share one copy. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"

const rs_step *rs_item_step(const rs_encoder *e, const char *name) {
  const rs_program *items = &e->sides[RS_ITEM];
  for (int i = 0; i < items->n_outputs; i++)
    if (strcmp(items->outputs[i].name, name) == 0) return &items->steps[items->outputs[i].step];
  return NULL;
}

/* What the primitives have in common; *source is the item side's step. */
static rs_status parse_slices(rs_step *step, const rs_parsing *p, rs_value_type type, const rs_step **source) {
  const char *of;
  step->type = type;
  rs_status status = rs_step_text(p, "of", &of);
  if (status == RS_OK) status = rs_step_count(p, "length", 1, 1 << 20, &step->count);
  if (status == RS_OK) status = rs_step_drop(p, &step->drop);
  if (status == RS_OK && json_object_get(p->json, "each")) status = rs_step_count(p, "each", 1, 64, &step->each);
  if (status != RS_OK) return status;
  if (step->each && step->drop) return rs_fail(RS_EFORMAT, "each: codes of so many an event, and unknown ones dropped");
  if (p->side != RS_EVENT) return rs_fail(RS_EFORMAT, "%s outside the event side", step->primitive->name);
  *source = rs_item_step(p->encoder, of);
  if (!*source || ((*source)->type != RS_V_CODES && (*source)->type != RS_V_LIST))
    return rs_fail(RS_EFORMAT, "of '%.100s' is not an item output of codes", of);
  step->text = rs_strdup(of);
  return step->text ? RS_OK : rs_nomem("encoder", strlen(of));
}

static rs_status parse_window(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const rs_step *source = NULL;
  rs_status status = parse_slices(step, p, RS_V_LIST, &source);
  if (status != RS_OK) return status;
  step->rows = source->rows;
  step->table = source->table;
  return RS_OK;
}

static rs_status parse_weights(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const rs_step *source = NULL;
  return parse_slices(step, p, RS_V_WEIGHTS, &source);
}

static rs_status parse_gaps(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const rs_step *source = NULL;
  rs_status status = parse_slices(step, p, RS_V_LIST, &source);
  if (status == RS_OK) status = rs_step_edges(step, p);
  step->rows = status == RS_OK ? step->edges.size[0] + 2 : 0;
  return status;
}

/* "filters": the kinds of events that are told apart, by the filters that they pass. */
static rs_status parse_filters(rs_step *step, const rs_parsing *p) {
  const json_t *list = json_object_get(p->json, "filters");
  size_t n = json_array_size(list);
  if (n < 1 || n > RS_MAX_FILTERS)
    return rs_fail(RS_EFORMAT, "%s: filters is not a list of 1 to %d", step->primitive->name, RS_MAX_FILTERS);
  for (size_t i = 0; i < n; i++) {
    const json_t *filter = json_array_get(list, i);
    json_int_t bit = json_integer_value(filter);
    if (!json_is_integer(filter) || bit < 0 || bit >= p->encoder->n_filters)
      return rs_fail(RS_EFORMAT, "%s: filters names one that there is not", step->primitive->name);
    step->kinds[i] = (int)bit;
  }
  step->n_kinds = (int)n;
  return RS_OK;
}

static rs_status parse_kinds(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const rs_step *source = NULL;
  rs_status status = parse_slices(step, p, RS_V_LIST, &source);
  if (status == RS_OK) status = parse_filters(step, p);
  step->rows = step->n_kinds + 1;
  return status;
}

static rs_status parse_kind_weights(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const rs_step *source = NULL;
  const json_t *weights = json_object_get(p->json, "weights");
  rs_status status = parse_slices(step, p, RS_V_WEIGHTS, &source);
  if (status == RS_OK) status = parse_filters(step, p);
  if (status == RS_OK && json_array_size(weights) != (size_t)step->n_kinds)
    return rs_fail(RS_EFORMAT, "%s: weights is not a list of a number for each filter", step->primitive->name);
  for (int i = 0; status == RS_OK && i < step->n_kinds; i++) {
    const json_t *weight = json_array_get(weights, (size_t)i);
    step->kind_weights[i] = (float)json_number_value(weight);
    if (!json_is_number(weight) || !isfinite(step->kind_weights[i]))
      return rs_fail(RS_EFORMAT, "%s: weights holds what is no finite number", step->primitive->name);
  }
  return status;
}

int64_t rs_codes_of_item(const rs_output *o, int32_t item, const int32_t **codes) {
  static const int32_t unknown = 0;
  if (o->kind == RS_CODES) {
    *codes = item < 0 ? &unknown : &rs_i32(&o->values)[item];
    return 1;
  }
  *codes = item < 0 ? &unknown : rs_i32(&o->values) + rs_i64(&o->starts)[item];
  return item < 0 ? 0 : rs_i32(&o->lengths)[item];
}

/* ---- where the codes of each event lie ---- */

bool rs_is_window(const rs_primitive *p) {
  return p == &rs_window_primitive || p == &rs_window_weights_primitive || p == &rs_window_gaps_primitive ||
         p == &rs_window_kinds_primitive || p == &rs_window_kind_weights_primitive;
}

static bool same_kinds(const rs_step *a, const rs_step *b) {
  return a->n_kinds == b->n_kinds && memcmp(a->kinds, b->kinds, sizeof a->kinds) == 0 &&
         memcmp(a->kind_weights, b->kind_weights, sizeof a->kind_weights) == 0;
}

static bool same_layout(const rs_step *a, const rs_step *b) {
  return rs_is_window(b->primitive) && a->drop == b->drop && a->each == b->each && strcmp(a->text, b->text) == 0;
}

static rs_status source_output(const rs_step *step, const rs_run *run, const rs_output **out) {
  *out = rs_features_output(run->events->items, step->text);
  return *out && ((*out)->kind == RS_CODES || (*out)->kind == RS_CODE_LIST)
             ? RS_OK
             : rs_fail(RS_EARG, "window: the catalogue's features lack '%s' as codes", step->text);
}

/* offsets[e] = codes of the events from e on, so that those of event e lie at offsets[e + 1] .. offsets[e] - 1. */
static rs_status count_codes(const rs_step *step, const rs_output *o, const rs_run *run, int64_t *offsets) {
  const int32_t *events = run->events->events + run->first;
  int64_t n_items = run->events->items->rows, n = run->last - run->first;
  offsets[n] = 0;
  for (int64_t e = n - 1; e >= 0; e--) {
    if (events[e] < -1 || events[e] >= n_items)
      return rs_fail(RS_ERANGE, "window: item row %d of a catalogue of %lld", (int)events[e], (long long)n_items);
    const int32_t *codes;
    int64_t all = rs_codes_of_item(o, events[e], &codes), kept = all;
    for (int64_t i = 0; step->drop && i < all; i++) kept -= codes[i] == 0;
    offsets[e] = offsets[e + 1] + (step->each ? step->each : kept);
  }
  return RS_OK;
}

/* The layout of an earlier step over the same output, or a new one. */
static rs_status lay_out(const rs_step *step, int index, rs_run *run) {
  for (int i = 0; i < index; i++)
    if (same_layout(step, &run->program->steps[i])) {
      rs_tensor_share(&run->offsets[index], &run->offsets[i]);
      return RS_OK;
    }
  const rs_output *o;
  int64_t size = run->last - run->first + 1;
  rs_status status = source_output(step, run, &o);
  if (status == RS_OK) status = rs_tensor_new(&run->offsets[index], RS_I64, 1, &size);
  return status == RS_OK ? count_codes(step, o, run, rs_i64(&run->offsets[index])) : status;
}

/* The values of an earlier step of the same kind and layout. */
static bool share_values(const rs_step *step, int index, const rs_run *run, rs_column *out) {
  for (int i = 0; i < index; i++) {
    const rs_step *other = &run->program->steps[i];
    if (other->primitive != step->primitive || !same_layout(step, other) || !same_kinds(step, other)) continue;
    if (step->edges.storage && rs_tensor_data(&step->edges) != rs_tensor_data(&other->edges)) continue;
    rs_tensor_share(&out->values, &run->values[i].values);
    return true;
  }
  return false;
}

/* The row's last 'count' events as a slice. */
static rs_status slice(const rs_step *step, const rs_run *run, const int64_t *offsets, rs_column *out) {
  for (int64_t i = 0; i < run->rows; i++) {
    int64_t begin = run->events->begin[i] - run->first, end = run->events->end[i] - run->first;
    if (end - begin > step->count) begin = end - step->count;
    int64_t length = end > begin ? offsets[begin] - offsets[end] : 0;
    if (length > INT32_MAX) return rs_fail(RS_ERANGE, "window: too many codes in a row");
    rs_i64(&out->starts)[i] = length ? offsets[end] : 0;
    rs_i32(&out->lengths)[i] = (int32_t)length;
  }
  return RS_OK;
}

/* ---- what lies there ---- */

typedef struct fill_work {
  const rs_run *run;
  const rs_step *step;
  const rs_output *output;
  const int64_t *offsets;
  const uint8_t *first; /* gaps: whether an event is its user's first */
  void *to;
} fill_work;

static void fill_codes(void *context, int64_t begin, int64_t end) {
  const fill_work *w = context;
  for (int64_t e = begin; e < end; e++) {
    const int32_t *codes;
    int64_t n = rs_codes_of_item(w->output, w->run->events->events[w->run->first + e], &codes), at = w->offsets[e + 1];
    for (int64_t i = 0; i < n && at < w->offsets[e]; i++)
      if (codes[i] || !w->step->drop) ((int32_t *)w->to)[at++] = codes[i];
    while (at < w->offsets[e]) ((int32_t *)w->to)[at++] = 0; /* fewer than 'each' */
  }
}

static void fill_weights(void *context, int64_t begin, int64_t end) {
  const fill_work *w = context;
  const float *weights = w->run->events->weights;
  for (int64_t e = begin; e < end; e++)
    for (int64_t at = w->offsets[e + 1]; at < w->offsets[e]; at++)
      ((float *)w->to)[at] = weights ? weights[w->run->first + e] : 1;
}

/* 1 + the edges at or below the gap; 0 where there is none. */
static int32_t gap_code(const fill_work *w, int64_t e) {
  const int64_t *times = w->run->events->times ? w->run->events->times + w->run->first : NULL;
  const double *edges = rs_f64(&w->step->edges);
  if (w->first[e] || !times || times[e] == RS_TIME_MISSING || times[e - 1] == RS_TIME_MISSING) return 0;
  double gap = (double)times[e] - (double)times[e - 1];
  int32_t code = 1;
  for (int64_t k = 0; k < w->step->edges.size[0] && edges[k] <= gap; k++) code++;
  return code;
}

static void fill_gaps(void *context, int64_t begin, int64_t end) {
  const fill_work *w = context;
  for (int64_t e = begin; e < end; e++) {
    int32_t code = gap_code(w, e);
    for (int64_t at = w->offsets[e + 1]; at < w->offsets[e]; at++) ((int32_t *)w->to)[at] = code;
  }
}

/* 1 + the place of the event's kind among those of the step; 0 for any other. */
static int32_t kind_of(const fill_work *w, int64_t e) {
  const int32_t *marks = w->run->events->marks;
  for (int k = 0; marks && k < w->step->n_kinds; k++)
    if (marks[w->run->first + e] >> w->step->kinds[k] & 1) return k + 1;
  return 0;
}

static void fill_kinds(void *context, int64_t begin, int64_t end) {
  const fill_work *w = context;
  for (int64_t e = begin; e < end; e++) {
    int32_t kind = kind_of(w, e);
    for (int64_t at = w->offsets[e + 1]; at < w->offsets[e]; at++) ((int32_t *)w->to)[at] = kind;
  }
}

static void fill_kind_weights(void *context, int64_t begin, int64_t end) {
  const fill_work *w = context;
  for (int64_t e = begin; e < end; e++) {
    int32_t kind = kind_of(w, e);
    float weight = kind ? w->step->kind_weights[kind - 1] : 0;
    for (int64_t at = w->offsets[e + 1]; at < w->offsets[e]; at++) ((float *)w->to)[at] = weight;
  }
}

/* What fills a step's values. */
static void (*filler(const rs_primitive *p))(void *, int64_t, int64_t) {
  return p == &rs_window_weights_primitive        ? fill_weights
         : p == &rs_window_gaps_primitive         ? fill_gaps
         : p == &rs_window_kinds_primitive        ? fill_kinds
         : p == &rs_window_kind_weights_primitive ? fill_kind_weights
                                                  : fill_codes;
}

/* A byte an event: whether some row's events begin with it. */
static rs_status mark_first(const rs_run *run, uint8_t **first) {
  size_t bytes = (size_t)(run->last - run->first + 1);
  *first = rs_alloc_zero(bytes);
  if (!*first) return rs_nomem("window", bytes);
  if (run->last > run->first) (*first)[0] = 1;
  for (int64_t i = 0; i < run->rows; i++)
    if (run->events->begin[i] < run->events->end[i]) (*first)[run->events->begin[i] - run->first] = 1;
  return RS_OK;
}

static rs_status fill(const rs_step *step, int index, rs_run *run, rs_column *out) {
  int64_t n = run->last - run->first, total = rs_i64(&run->offsets[index])[0];
  fill_work w = {.run = run, .step = step, .offsets = rs_i64(&run->offsets[index])};
  uint8_t *first = NULL;
  bool gaps = step->primitive == &rs_window_gaps_primitive, weights = step->type == RS_V_WEIGHTS;
  rs_status status = rs_tensor_new(&out->values, weights ? RS_F32 : RS_I32, 1, &total);
  if (status == RS_OK && gaps) status = mark_first(run, &first);
  if (status == RS_OK) status = source_output(step, run, &w.output);
  w.to = status == RS_OK ? rs_tensor_data(&out->values) : NULL;
  w.first = first;
  if (status == RS_OK) rs_each(n, filler(step->primitive), &w);
  rs_free(first);
  return status;
}

static rs_status run_slices(const rs_step *step, int index, rs_run *run, rs_column *out) {
  int64_t none = 0;
  rs_status status = rs_tensor_zeros(&out->starts, RS_I64, 1, &run->rows);
  if (status == RS_OK) status = rs_tensor_zeros(&out->lengths, RS_I32, 1, &run->rows);
  if (status != RS_OK) return status;
  if (!run->events) return rs_tensor_new(&out->values, step->type == RS_V_WEIGHTS ? RS_F32 : RS_I32, 1, &none);
  status = lay_out(step, index, run);
  if (status == RS_OK && !share_values(step, index, run, out)) status = fill(step, index, run, out);
  return status == RS_OK ? slice(step, run, rs_i64(&run->offsets[index]), out) : status;
}

const rs_primitive rs_window_primitive = {"window", 0, parse_window, run_slices};
const rs_primitive rs_window_weights_primitive = {"window_weights", 0, parse_weights, run_slices};
const rs_primitive rs_window_gaps_primitive = {"window_gaps", 0, parse_gaps, run_slices};
const rs_primitive rs_window_kinds_primitive = {"window_kinds", 0, parse_kinds, run_slices};
const rs_primitive rs_window_kind_weights_primitive = {"window_kind_weights", 0, parse_kind_weights, run_slices};
