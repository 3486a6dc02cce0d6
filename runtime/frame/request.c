/* request.c - a frame of one row, or an event, from JSON fields: what a service gets instead of a table. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"
#include "frame/row.h"

rs_status rs_encoder_request(const rs_encoder *e, rs_side side, const json_t *fields, rs_frame *out) {
  rs_row *row;
  rs_status status = rs_row_new(&row, e, side);
  if (status == RS_OK) status = rs_row_fields(row, fields);
  if (status == RS_OK) status = rs_row_frame(row, out);
  rs_row_free(row);
  return status;
}

/* ---- events ---- */

static rs_status one_number(rs_column *out, const json_t *value) {
  int64_t one = 1;
  out->type = RS_NUMBER;
  rs_status status = rs_tensor_new(&out->values, RS_F64, 1, &one);
  if (status == RS_OK) rs_f64(&out->values)[0] = json_number_value(value);
  return status;
}

static rs_status one_string(rs_column *out, const json_t *value) {
  int64_t one = 1;
  out->type = RS_STRING;
  rs_status status = rs_dictionary_new(&out->dictionary);
  if (status == RS_OK) status = rs_tensor_zeros(&out->values, RS_I32, 1, &one);
  size_t length = json_string_length(value);
  if (status != RS_OK || length == 0) return status;
  return rs_dictionary_add(out->dictionary, json_string_value(value), length, rs_i32(&out->values));
}

static rs_status add_event_field(const char *name, const json_t *value, rs_frame *out) {
  if (!value || json_is_null(value) || rs_frame_column(out, name)) return RS_OK;
  if (!json_is_number(value) && !json_is_string(value))
    return rs_fail(RS_EARG, "field '%.200s' of the event is neither a string nor a number", name);
  rs_column column = {.name = rs_strdup(name)};
  rs_status status = column.name ? RS_OK : rs_nomem("request", strlen(name));
  if (status == RS_OK) status = json_is_number(value) ? one_number(&column, value) : one_string(&column, value);
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
      status = add_event_field(name, json_object_get(fields, name), &frame);
    }
  if (status == RS_OK) status = rs_encoder_marks(e, &frame, &marks);
  if (status == RS_OK) event->marks = rs_i32(&marks)[0];
  rs_tensor_free(&marks);
  rs_frame_free(&frame);
  const json_t *weight = e->weight ? json_object_get(fields, e->weight) : NULL;
  if (status != RS_OK || !weight || json_is_null(weight)) return status;
  if (!json_is_number(weight)) return rs_fail(RS_EARG, "field '%.200s' of the event is not a number", e->weight);
  float number = (float)json_number_value(weight);
  if (isfinite(number)) event->weight = number;
  return RS_OK;
}
