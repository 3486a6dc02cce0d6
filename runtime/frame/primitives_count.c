/* primitives_count.c - how many events came in the span before a moment: [now - span, now), of those that the read
 * gave.
 *
 * Counts are whole numbers, so that the differences of running sums that many rows share and the walk that one row
 * makes give the same bits. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"

enum { MAX_PROFILE = 1024 };

static bool passes(const rs_step *step, const rs_events *events, int64_t event) {
  return step->filter < 0 || (events->marks && events->marks[event] >> step->filter & 1);
}

/* The first of the row's events within the span; its end when there is none. */
static int64_t first_within(const rs_step *step, const rs_events *events, int64_t row) {
  int64_t low = events->begin[row], high = events->end[row], from;
  if (!events->times) return high;
  if (__builtin_sub_overflow(events->now[row], step->span, &from)) from = RS_TIME_MISSING + 1;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (events->times[middle] < from)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool has_moment(const rs_events *events, int64_t row) {
  return events && events->now && events->now[row] != RS_TIME_MISSING;
}

/* "span" in ms, and "filter" where events are filtered. */
static rs_status parse_span(rs_step *step, const rs_parsing *p) {
  int64_t filter = -1;
  rs_status status = rs_step_count(p, "span", 1, (int64_t)1 << 52, &step->span);
  if (status == RS_OK && json_object_get(p->json, "filter"))
    status = rs_step_count(p, "filter", 0, p->encoder->n_filters - 1, &filter);
  step->filter = (int)filter;
  return status;
}

/* ---- count ---- */

static rs_status parse_count(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  step->type = RS_V_NUMBER;
  if (p->side == RS_USER) return rs_fail(RS_EFORMAT, "count on the user side, which knows no moment");
  return parse_span(step, p);
}

/* Running sums of the events that pass: of an earlier count with that filter, or new ones. */
static rs_status sums(const rs_step *step, int index, rs_run *run) {
  for (int i = 0; i < index; i++) {
    const rs_step *other = &run->program->steps[i];
    if (other->primitive != step->primitive || other->filter != step->filter || !run->offsets[i].storage) continue;
    rs_tensor_share(&run->offsets[index], &run->offsets[i]);
    return RS_OK;
  }
  int64_t n = run->last - run->first, size = n + 1;
  rs_status status = rs_tensor_new(&run->offsets[index], RS_I64, 1, &size);
  if (status != RS_OK) return status;
  int64_t *sum = rs_i64(&run->offsets[index]);
  sum[0] = 0;
  for (int64_t i = 0; i < n; i++) sum[i + 1] = sum[i] + passes(step, run->events, run->first + i);
  return RS_OK;
}

typedef struct count_work {
  const rs_step *step;
  const rs_run *run;
  const int64_t *sums; /* NULL: walk, or no filter */
  double *to;
} count_work;

static int64_t count_row(const count_work *w, int64_t row) {
  const rs_events *events = w->run->events;
  int64_t begin = first_within(w->step, events, row), end = events->end[row], n = 0;
  if (w->step->filter < 0 || begin == end) return end - begin;
  if (w->sums) return w->sums[end - w->run->first] - w->sums[begin - w->run->first];
  for (int64_t e = begin; e < end; e++) n += passes(w->step, events, e);
  return n;
}

static void count_rows(void *context, int64_t begin, int64_t end) {
  const count_work *w = context;
  for (int64_t i = begin; i < end; i++) w->to[i] = has_moment(w->run->events, i) ? (double)count_row(w, i) : NAN;
}

static rs_status run_count(const rs_step *step, int index, rs_run *run, rs_column *out) {
  rs_status status = rs_value_numbers(out, run->rows);
  if (status == RS_OK && step->filter >= 0 && run->rows > 1 && run->events) status = sums(step, index, run);
  if (status != RS_OK) return status;
  count_work w = {step, run, run->offsets[index].storage ? rs_i64(&run->offsets[index]) : NULL, rs_f64(&out->values)};
  rs_each(run->rows, count_rows, &w);
  return RS_OK;
}

const rs_primitive rs_count_primitive = {"count", 0, parse_count, run_count};

/* ---- profile: a count for each code of an item output ---- */

static rs_status parse_scale(rs_step *step, const rs_parsing *p) {
  static const char *const words[] = {"none", "log", "share"};
  const char *word;
  rs_status status = rs_step_text(p, "scale", &word);
  if (status != RS_OK) return status;
  for (int i = 0; i < 3; i++)
    if (strcmp(words[i], word) == 0) {
      step->scale = (rs_scale)i;
      return RS_OK;
    }
  return rs_fail(RS_EFORMAT, "scale is '%.40s', not none, log or share", word);
}

static rs_status parse_profile(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const char *of;
  step->type = RS_V_MATRIX;
  rs_status status = rs_step_text(p, "of", &of);
  if (status == RS_OK) status = parse_span(step, p);
  if (status == RS_OK) status = parse_scale(step, p);
  if (status != RS_OK) return status;
  if (p->side != RS_EVENT) return rs_fail(RS_EFORMAT, "profile outside the event side");
  const rs_step *source = rs_item_step(p->encoder, of);
  if (!source || (source->type != RS_V_CODES && source->type != RS_V_LIST) || source->rows > MAX_PROFILE)
    return rs_fail(RS_EFORMAT, "of '%.100s' is not an item output of at most %d codes", of, MAX_PROFILE);
  step->width = source->rows;
  step->text = rs_strdup(of);
  return step->text ? RS_OK : rs_nomem("encoder", strlen(of));
}

typedef struct profile_work {
  const rs_step *step;
  const rs_events *events;
  const rs_output *output;
  float *to;
} profile_work;

/* Whole numbers up to 2^24 are exact in f32. */
static void scale_row(const rs_step *step, float *row) {
  float sum = 0;
  for (int64_t k = 0; k < step->width; k++) sum += row[k];
  for (int64_t k = 0; k < step->width; k++) {
    if (step->scale == RS_LOG) row[k] = (float)log1p((double)row[k]);
    if (step->scale == RS_SHARE && sum > 0) row[k] /= sum;
  }
}

static void profile_rows(void *context, int64_t begin, int64_t end) {
  const profile_work *w = context;
  int64_t width = w->step->width;
  memset(w->to + begin * width, 0, (size_t)((end - begin) * width) * sizeof *w->to);
  for (int64_t i = begin; i < end; i++) {
    float *row = w->to + i * width;
    if (!has_moment(w->events, i)) continue;
    for (int64_t e = first_within(w->step, w->events, i); e < w->events->end[i]; e++) {
      const int32_t *codes;
      int64_t n = passes(w->step, w->events, e) ? rs_codes_of_item(w->output, w->events->events[e], &codes) : 0;
      for (int64_t j = 0; j < n; j++)
        if (0 <= codes[j] && codes[j] < width) row[codes[j]]++;
    }
    scale_row(w->step, row);
  }
}

static rs_status check_items(const rs_run *run, const rs_output *output) {
  int64_t rows = output->kind == RS_CODES ? output->values.size[0] : output->starts.size[0];
  for (int64_t e = run->first; e < run->last; e++)
    if (run->events->events[e] < -1 || run->events->events[e] >= rows)
      return rs_fail(RS_ERANGE, "profile: item row %d of a catalogue of %lld", (int)run->events->events[e],
                     (long long)rows);
  return RS_OK;
}

static rs_status run_profile(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  const rs_output *output = NULL;
  if (run->events) {
    output = rs_features_output(run->events->items, step->text);
    if (!output || output->kind == RS_NUMBERS)
      return rs_fail(RS_EARG, "profile: the catalogue's features lack '%s' as codes", step->text);
    rs_status status = check_items(run, output);
    if (status != RS_OK) return status;
  }
  rs_status status = rs_value_reuse(&out->values, RS_F32, 2, (int64_t[]){run->rows, step->width});
  if (status != RS_OK) return status;
  profile_work w = {step, run->events, output, rs_f32(&out->values)};
  rs_each(run->rows, profile_rows, &w);
  return RS_OK;
}

const rs_primitive rs_profile_primitive = {"profile", 0, parse_profile, run_profile};
