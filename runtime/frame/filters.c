/* filters.c - which events counts are of: sets of values of columns, as bits of an event's marks. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"
#include "frame/words.h"

enum { MAX_CONDITIONS = 16, MAX_VALUES = 1024, MAX_TEXT = 200 };

void rs_filters_free(rs_encoder *e) {
  for (int i = 0; i < e->n_filters; i++) {
    for (int j = 0; j < e->filters[i].n_conditions; j++) {
      rs_condition *c = &e->filters[i].conditions[j];
      for (int k = 0; k < c->n_values; k++) rs_free(c->values[k]);
      rs_free(c->values);
      rs_free(c->column);
    }
    rs_free(e->filters[i].conditions);
  }
  rs_free(e->filters);
  rs_free(e->weight);
}

/* A copy of a JSON string of 1 to MAX_TEXT bytes. */
static rs_status copy_text(char **out, const json_t *json, const char *what) {
  const char *text = json_string_value(json);
  if (!text || !*text || strlen(text) > MAX_TEXT || strlen(text) != json_string_length(json))
    return rs_fail(RS_EFORMAT, "encoder: %s is not a string of 1 to %d bytes", what, MAX_TEXT);
  *out = rs_strdup(text);
  return *out ? RS_OK : rs_nomem("encoder", strlen(text));
}

/* How many elements a JSON list has; RS_EFORMAT unless 1 to 'most'. */
static rs_status list_size(const json_t *json, const char *what, size_t most, size_t *n) {
  *n = json_array_size(json);
  return json_is_array(json) && *n >= 1 && *n <= most
             ? RS_OK
             : rs_fail(RS_EFORMAT, "encoder: %s is not a list of 1 to %zu", what, most);
}

static rs_status parse_condition(rs_condition *c, const json_t *json) {
  const json_t *values = json_object_get(json, "values");
  size_t n;
  rs_status status = copy_text(&c->column, json_object_get(json, "column"), "the column of a filter");
  if (status == RS_OK) status = list_size(values, "the values of a filter", MAX_VALUES, &n);
  if (status != RS_OK) return status;
  c->values = rs_alloc_zero(n * sizeof *c->values);
  if (!c->values) return rs_nomem("encoder", n * sizeof *c->values);
  c->n_values = (int)n;
  for (size_t i = 0; status == RS_OK && i < n; i++)
    status = copy_text(&c->values[i], json_array_get(values, i), "a value of a filter");
  return status;
}

static rs_status parse_filter(rs_filter *f, const json_t *json) {
  size_t n;
  rs_status status = list_size(json, "a filter", MAX_CONDITIONS, &n);
  if (status != RS_OK) return status;
  f->conditions = rs_alloc_zero(n * sizeof *f->conditions);
  if (!f->conditions) return rs_nomem("encoder", n * sizeof *f->conditions);
  f->n_conditions = (int)n;
  for (size_t i = 0; status == RS_OK && i < n; i++)
    status = parse_condition(&f->conditions[i], json_array_get(json, i));
  return status;
}

rs_status rs_filters_parse(rs_encoder *e, const json_t *document) {
  const json_t *filters = json_object_get(document, "filters"), *weight = json_object_get(document, "weight");
  size_t n = 0;
  rs_status status = weight ? copy_text(&e->weight, weight, "the weight") : RS_OK;
  const json_t *period = json_object_get(document, "period");
  double ms = json_number_value(period);
  if (period && (!json_is_number(period) || !(ms >= 1 && ms <= 1e15) || ms != floor(ms)))
    return rs_fail(RS_EFORMAT, "encoder: the period is not a whole number of ms");
  e->period = (int64_t)ms;
  if (status == RS_OK && filters) status = list_size(filters, "filters", RS_MAX_FILTERS, &n);
  if (status != RS_OK || n == 0) return status;
  e->filters = rs_alloc_zero(n * sizeof *e->filters);
  if (!e->filters) return rs_nomem("encoder", n * sizeof *e->filters);
  e->n_filters = (int)n;
  for (size_t i = 0; status == RS_OK && i < n; i++) status = parse_filter(&e->filters[i], json_array_get(filters, i));
  return status;
}

int rs_encoder_filters(const rs_encoder *e) { return e->n_filters; }
const char *rs_encoder_weight(const rs_encoder *e) { return e->weight; }
int64_t rs_encoder_period(const rs_encoder *e) { return e->period; }

rs_keep rs_encoder_keep(const rs_encoder *e) {
  rs_keep keep = {0};
  for (int i = 0; i < e->sides[RS_EVENT].n_steps; i++) {
    const rs_step *s = &e->sides[RS_EVENT].steps[i];
    bool gaps = s->primitive == &rs_window_gaps_primitive; /* the oldest one's gap needs the event before it */
    bool slices = rs_is_window(s->primitive);
    if (slices && s->count + gaps > keep.events) keep.events = s->count + gaps;
    if (s->span > keep.span) keep.span = s->span;
  }
  for (int i = 0; i < e->sides[RS_ITEM].n_steps; i++) {
    int64_t span = e->sides[RS_ITEM].steps[i].span;
    if (span > 0 && span + e->period > keep.span) keep.span = span + e->period;
  }
  return keep;
}

/* ---- marking events ---- */

static bool is_among(const rs_condition *c, const char *text, size_t length) {
  for (int i = 0; i < c->n_values; i++)
    if (strlen(c->values[i]) == length && memcmp(c->values[i], text, length) == 0) return true;
  return false;
}

/* Take the bit from the rows whose string is not among the condition's values; 'good' is a byte a distinct string. */
static void drop_others(const rs_condition *c, const rs_column *strings, uint8_t *good, int32_t bit, int32_t *marks) {
  good[0] = 0;
  for (int32_t code = 1; code <= strings->dictionary->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(strings->dictionary, code, &length);
    good[code] = is_among(c, text, length);
  }
  const int32_t *codes = rs_i32(&strings->values);
  for (int64_t i = 0, n = strings->values.size[0]; i < n; i++)
    if (!good[codes[i]]) marks[i] &= ~bit;
}

static rs_status apply(const rs_condition *c, const rs_frame *events, int32_t bit, int32_t *marks) {
  const rs_column *column = rs_frame_column(events, c->column);
  rs_column words = {0};
  rs_status status = RS_OK;
  if (!column) {
    for (int64_t i = 0; i < events->rows; i++) marks[i] &= ~bit;
    return RS_OK;
  }
  if (column->type != RS_STRING && column->type != RS_NUMBER)
    return rs_fail(RS_EARG, "column '%s' is a %s column; a filter of events compares strings and numbers", c->column,
                   rs_column_type_name(column->type));
  if (column->type == RS_NUMBER) status = rs_words_of_numbers(&words, &column->values);
  const rs_column *strings = column->type == RS_NUMBER ? &words : column;
  size_t bytes = status == RS_OK ? (size_t)strings->dictionary->n + 1 : 0;
  uint8_t *good = status == RS_OK ? rs_alloc(bytes) : NULL;
  if (good)
    drop_others(c, strings, good, bit, marks);
  else if (status == RS_OK)
    status = rs_nomem("encoder", bytes);
  rs_free(good);
  rs_column_free(&words);
  return status;
}

rs_status rs_encoder_marks(const rs_encoder *e, const rs_frame *events, rs_tensor *marks) {
  rs_status status = rs_tensor_new(marks, RS_I32, 1, &events->rows);
  int32_t all = (int32_t)(((uint32_t)1 << e->n_filters) - 1);
  for (int64_t i = 0; status == RS_OK && i < events->rows; i++) rs_i32(marks)[i] = all;
  for (int k = 0; status == RS_OK && k < e->n_filters; k++)
    for (int j = 0; status == RS_OK && j < e->filters[k].n_conditions; j++)
      status = apply(&e->filters[k].conditions[j], events, 1 << k, rs_i32(marks));
  if (status != RS_OK) rs_tensor_free(marks);
  return status;
}
