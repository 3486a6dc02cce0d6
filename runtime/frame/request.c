/* request.c - a frame of one row from JSON fields: what a service gets instead of a table. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"

static const char *kind_of(const json_t *value) {
  static const char *const kinds[] = {"an object", "a list", "a string", "a number", "a number", "true", "false"};
  return kinds[json_typeof(value)];
}

static rs_status wrong(const char *column, const json_t *value, const char *wanted) {
  return rs_fail(RS_EARG, "field '%.200s' is %s, not %s", column, kind_of(value), wanted);
}

static rs_status number_column(rs_column *out, const json_t *value) {
  int64_t one = 1;
  if (!json_is_number(value)) return wrong(out->name, value, "a number");
  out->type = RS_NUMBER;
  rs_status status = rs_tensor_new(&out->values, RS_F64, 1, &one);
  if (status == RS_OK) rs_f64(&out->values)[0] = json_number_value(value);
  return status;
}

/* The code of a JSON string; 0 for an empty one, as in a file. */
static rs_status intern(rs_column *out, const json_t *value, int32_t *code) {
  *code = 0;
  size_t length = json_string_length(value);
  return length ? rs_dictionary_add(out->dictionary, json_string_value(value), length, code) : RS_OK;
}

static rs_status string_column(rs_column *out, const json_t *value) {
  int64_t one = 1;
  if (json_is_number(value)) return number_column(out, value);
  if (!json_is_string(value)) return wrong(out->name, value, "a string or a number");
  out->type = RS_STRING;
  rs_status status = rs_dictionary_new(&out->dictionary);
  if (status == RS_OK) status = rs_tensor_new(&out->values, RS_I32, 1, &one);
  return status == RS_OK ? intern(out, value, rs_i32(&out->values)) : status;
}

static rs_status list_column(rs_column *out, const json_t *value) {
  int64_t one = 1, n = (int64_t)json_array_size(value);
  if (json_is_string(value)) return string_column(out, value);
  if (!json_is_array(value)) return wrong(out->name, value, "a list of strings");
  out->type = RS_LIST;
  rs_status status = rs_dictionary_new(&out->dictionary);
  if (status == RS_OK) status = rs_tensor_zeros(&out->values, RS_I32, 1, &n);
  if (status == RS_OK) status = rs_tensor_zeros(&out->starts, RS_I64, 1, &one);
  if (status == RS_OK) status = rs_tensor_zeros(&out->lengths, RS_I32, 1, &one);
  int32_t kept = 0;
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    const json_t *piece = json_array_get(value, (size_t)i);
    if (!json_is_string(piece)) return wrong(out->name, value, "a list of strings");
    status = intern(out, piece, &rs_i32(&out->values)[kept]);
    if (status == RS_OK && rs_i32(&out->values)[kept] != 0) kept++;
  }
  if (status == RS_OK) rs_i32(&out->lengths)[0] = kept;
  return status;
}

static rs_status add_field(const rs_step *step, const json_t *value, rs_frame *out) {
  rs_column column = {.name = rs_strdup(step->text)};
  rs_status status = column.name ? RS_OK : rs_nomem("request", strlen(step->text));
  if (status == RS_OK && step->type == RS_V_NUMBER) status = number_column(&column, value);
  if (status == RS_OK && step->type == RS_V_STRING) status = string_column(&column, value);
  if (status == RS_OK && step->type == RS_V_STRINGS) status = list_column(&column, value);
  if (status == RS_OK) status = rs_frame_add(out, &column);
  rs_column_free(&column);
  return status;
}

rs_status rs_encoder_request(const rs_encoder *e, rs_side side, const json_t *fields, rs_frame *out) {
  const rs_program *p = &e->sides[side];
  rs_status status = RS_OK;
  if (fields && !json_is_object(fields)) return rs_fail(RS_EARG, "the fields of a request are no object");
  for (int i = 0; status == RS_OK && i < p->n_steps; i++) {
    const rs_step *step = &p->steps[i];
    if (step->primitive != &rs_read_primitive) continue;
    const json_t *value = json_object_get(fields, step->text);
    if (value && !json_is_null(value) && !rs_frame_column(out, step->text)) status = add_field(step, value, out);
  }
  if (status == RS_OK) out->rows = 1;
  if (status != RS_OK) rs_frame_free(out);
  return status;
}

static rs_status add_event_field(const char *name, const json_t *value, bool number, rs_frame *out) {
  if (!value || json_is_null(value) || rs_frame_column(out, name)) return RS_OK;
  rs_column column = {.name = rs_strdup(name)};
  rs_status status = column.name ? RS_OK : rs_nomem("request", strlen(name));
  if (status == RS_OK) status = number ? number_column(&column, value) : string_column(&column, value);
  if (status == RS_OK) status = rs_frame_add(out, &column);
  rs_column_free(&column);
  return status;
}

rs_status rs_encoder_event(const rs_encoder *e, const json_t *fields, rs_event *event) {
  rs_frame frame = {.rows = 1};
  rs_tensor marks = {0};
  rs_status status = RS_OK;
  event->weight = 1;
  event->marks = 0;
  if (fields && !json_is_object(fields)) return rs_fail(RS_EARG, "the fields of an event are no object");
  for (int k = 0; k < e->n_filters; k++)
    for (int j = 0; status == RS_OK && j < e->filters[k].n_conditions; j++) {
      const char *name = e->filters[k].conditions[j].column;
      status = add_event_field(name, json_object_get(fields, name), false, &frame);
    }
  if (status == RS_OK) status = rs_encoder_marks(e, &frame, &marks);
  if (status == RS_OK) event->marks = rs_i32(&marks)[0];
  rs_tensor_free(&marks);
  rs_frame_free(&frame);
  const json_t *weight = e->weight ? json_object_get(fields, e->weight) : NULL;
  if (status != RS_OK || !weight || json_is_null(weight)) return status;
  if (!json_is_number(weight)) return wrong(e->weight, weight, "a number");
  float number = (float)json_number_value(weight);
  if (isfinite(number)) event->weight = number;
  return RS_OK;
}
