/* row.c - see row.h. What is kept between calls is kept where the primitives look for it: in the values of the steps.
 * */
#include "frame/row.h"

#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"

/* A column of one row, filled or missing. */
typedef struct field {
  const char *name; /* the encoder's */
  rs_value_type type;
  rs_column column;
  bool present;
} field;

struct rs_row {
  field *fields;
  int n_fields;
  rs_column *present; /* [n_fields], room for the frame of a run */
  rs_run run;
  rs_features features;
};

/* ---- making ---- */

static rs_status find_fields(rs_row *row, const rs_encoder *e, rs_side side) {
  const rs_program *p = &e->sides[side];
  size_t n = 0;
  const char *type, *name;
  while (rs_encoder_column(e, side, (int)n, &type)) n++;
  row->fields = rs_alloc_zero(n * sizeof *row->fields);
  row->present = rs_alloc_zero(n * sizeof *row->present);
  if (!row->fields || !row->present) return rs_nomem("row", n * (sizeof *row->fields + sizeof *row->present));
  row->n_fields = (int)n;
  for (int i = 0; i < row->n_fields; i++) {
    field *f = &row->fields[i];
    name = f->name = rs_encoder_column(e, side, i, &type);
    f->type = strcmp(type, "number") == 0 ? RS_V_NUMBER : strcmp(type, "string") == 0 ? RS_V_STRING : RS_V_STRINGS;
    f->column.name = rs_strdup(name);
    if (!f->column.name) return rs_nomem("row", strlen(name));
  }
  size_t bytes = (size_t)p->n_steps * (sizeof(rs_column) + sizeof(rs_tensor));
  row->run = (rs_run){.program = p, .rows = 1, .values = rs_alloc_zero(bytes)};
  if (!row->run.values) return rs_nomem("row", bytes);
  row->run.offsets = (rs_tensor *)(row->run.values + p->n_steps);
  return RS_OK;
}

static rs_status name_outputs(rs_row *row) {
  const rs_program *p = row->run.program;
  row->features.outputs = rs_alloc_zero((size_t)p->n_outputs * sizeof *row->features.outputs);
  if (!row->features.outputs) return rs_nomem("row", (size_t)p->n_outputs * sizeof *row->features.outputs);
  row->features.rows = 1;
  for (int i = 0; i < p->n_outputs; i++) {
    rs_output *o = &row->features.outputs[i];
    row->features.n_outputs++;
    o->kind = rs_output_kind_of(p->steps[p->outputs[i].step].type);
    o->name = rs_strdup(p->outputs[i].name);
    if (!o->name) return rs_nomem("row", strlen(p->outputs[i].name));
  }
  return RS_OK;
}

rs_status rs_row_new(rs_row **out, const rs_encoder *e, rs_side side) {
  *out = NULL;
  rs_row *row = rs_alloc_zero(sizeof *row);
  if (!row) return rs_nomem("row", sizeof *row);
  rs_status status = find_fields(row, e, side);
  if (status == RS_OK) status = name_outputs(row);
  if (status == RS_OK)
    *out = row;
  else
    rs_row_free(row);
  return status;
}

void rs_row_free(rs_row *row) {
  if (!row) return;
  rs_features_free(&row->features);
  for (int i = 0; row->run.values && i < row->run.program->n_steps; i++) {
    rs_column_free(&row->run.values[i]);
    rs_tensor_free(&row->run.offsets[i]);
  }
  rs_free(row->run.values);
  for (int i = 0; i < row->n_fields; i++) rs_column_free(&row->fields[i].column);
  rs_free(row->fields);
  rs_free(row->present);
  rs_free(row);
}

/* ---- filling ---- */

int rs_row_columns(const rs_row *row) { return row->n_fields; }
const char *rs_row_column(const rs_row *row, int i) { return row->fields[i].name; }

/* Let go of what the last run shared, so that the memory of fields and steps is the row's alone again. */
static void let_go(rs_row *row) {
  for (int i = 0; i < row->features.n_outputs; i++) {
    rs_output *o = &row->features.outputs[i];
    rs_tensor_free(&o->values);
    rs_tensor_free(&o->starts);
    rs_tensor_free(&o->lengths);
  }
  for (int i = 0; i < row->run.program->n_steps; i++) {
    if (!rs_step_reuses(&row->run.program->steps[i])) rs_column_free(&row->run.values[i]);
    rs_tensor_free(&row->run.offsets[i]);
  }
}

void rs_row_clear(rs_row *row) {
  let_go(row);
  for (int i = 0; i < row->n_fields; i++) row->fields[i].present = false;
}

rs_status rs_row_refuse(const rs_row *row, int i, const char *what) {
  static const char *const wanted[] = {"a string or a number", "a list of strings", "a number"};
  return rs_fail(RS_EARG, "field '%.200s' is %s, not %s", row->fields[i].name, what, wanted[row->fields[i].type]);
}

rs_status rs_row_number(rs_row *row, int i, double x) {
  field *f = &row->fields[i];
  int64_t one = 1;
  if (f->type == RS_V_STRINGS) return rs_row_refuse(row, i, "a number");
  rs_status status = rs_value_reuse(&f->column.values, RS_F64, 1, &one);
  if (status != RS_OK) return status;
  rs_f64(&f->column.values)[0] = x;
  f->column.type = RS_NUMBER;
  f->present = true;
  return RS_OK;
}

/* An empty dictionary of the field's own. */
static rs_status fresh_dictionary(field *f) {
  if (f->column.dictionary && atomic_load(&f->column.dictionary->references) == 1) {
    rs_dictionary_clear(f->column.dictionary);
    return RS_OK;
  }
  rs_dictionary_release(f->column.dictionary);
  return rs_dictionary_new(&f->column.dictionary);
}

rs_status rs_row_text(rs_row *row, int i, const char *text, size_t length) {
  field *f = &row->fields[i];
  int64_t one = 1;
  if (f->type == RS_V_NUMBER) return rs_row_refuse(row, i, "a string");
  rs_status status = fresh_dictionary(f);
  if (status == RS_OK) status = rs_value_reuse(&f->column.values, RS_I32, 1, &one);
  if (status != RS_OK) return status;
  int32_t *code = rs_i32(&f->column.values);
  *code = 0;
  if (length > 0) status = rs_dictionary_add(f->column.dictionary, text, length, code);
  f->column.type = RS_STRING;
  f->present = status == RS_OK;
  return status;
}

rs_status rs_row_list(rs_row *row, int i, int64_t n) {
  field *f = &row->fields[i];
  int64_t one = 1;
  if (f->type != RS_V_STRINGS) return rs_row_refuse(row, i, "a list");
  rs_status status = fresh_dictionary(f);
  if (status == RS_OK) status = rs_value_reuse(&f->column.values, RS_I32, 1, &n);
  if (status == RS_OK) status = rs_value_reuse(&f->column.starts, RS_I64, 1, &one);
  if (status == RS_OK) status = rs_value_reuse(&f->column.lengths, RS_I32, 1, &one);
  if (status != RS_OK) return status;
  if (n > 0) memset(rs_i32(&f->column.values), 0, (size_t)n * sizeof(int32_t));
  rs_i64(&f->column.starts)[0] = 0;
  rs_i32(&f->column.lengths)[0] = 0;
  f->column.type = RS_LIST;
  f->present = true;
  return RS_OK;
}

rs_status rs_row_add(rs_row *row, int i, const char *text, size_t length) {
  rs_column *c = &row->fields[i].column;
  int32_t *n = rs_i32(&c->lengths);
  if (length == 0) return RS_OK;
  return rs_dictionary_add(c->dictionary, text, length, &rs_i32(&c->values)[(*n)++]);
}

/* ---- from JSON ---- */

static const char *kind_of(const json_t *value) {
  static const char *const kinds[] = {"an object", "a list", "a string", "a number", "a number", "true", "false"};
  return kinds[json_typeof(value)];
}

static rs_status fill_list(rs_row *row, int i, const json_t *list) {
  size_t n = json_array_size(list);
  rs_status status = rs_row_list(row, i, (int64_t)n);
  for (size_t j = 0; status == RS_OK && j < n; j++) {
    const json_t *piece = json_array_get(list, j);
    if (!json_is_string(piece)) return rs_row_refuse(row, i, "a list");
    status = rs_row_add(row, i, json_string_value(piece), json_string_length(piece));
  }
  return status;
}

static rs_status fill(rs_row *row, int i, const json_t *value) {
  if (!value || json_is_null(value)) return RS_OK;
  if (json_is_number(value)) return rs_row_number(row, i, json_number_value(value));
  if (json_is_string(value)) return rs_row_text(row, i, json_string_value(value), json_string_length(value));
  return json_is_array(value) ? fill_list(row, i, value) : rs_row_refuse(row, i, kind_of(value));
}

rs_status rs_row_fields(rs_row *row, const json_t *fields) {
  rs_status status = RS_OK;
  rs_row_clear(row);
  if (fields && !json_is_object(fields)) return rs_fail(RS_EARG, "the fields of a request are no object");
  for (int i = 0; fields && status == RS_OK && i < row->n_fields; i++)
    status = fill(row, i, json_object_get(fields, row->fields[i].name));
  return status;
}

/* ---- running ---- */

static void share_outputs(rs_row *row) {
  const rs_program *p = row->run.program;
  for (int i = 0; i < p->n_outputs; i++) {
    rs_output *o = &row->features.outputs[i];
    const rs_column *value = &row->run.values[p->outputs[i].step];
    rs_tensor_share(&o->values, &value->values);
    if (!rs_is_list(o)) continue;
    rs_tensor_share(&o->starts, &value->starts);
    rs_tensor_share(&o->lengths, &value->lengths);
  }
}

rs_status rs_row_run(rs_row *row, const rs_events *events, const rs_features **out) {
  rs_frame frame = {.columns = row->present, .rows = 1};
  let_go(row);
  for (int i = 0; i < row->n_fields; i++)
    if (row->fields[i].present) row->present[frame.n_columns++] = row->fields[i].column;
  row->run.frame = &frame;
  row->run.events = events;
  row->run.first = row->run.last = 0;
  rs_status status = rs_run_steps(&row->run);
  row->run.frame = NULL;
  row->run.events = NULL;
  if (status == RS_OK) share_outputs(row);
  *out = status == RS_OK ? &row->features : NULL;
  return status;
}

rs_status rs_row_frame(rs_row *row, rs_frame *out) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < row->n_fields; i++) {
    rs_column c = {0};
    if (!row->fields[i].present) continue;
    status = rs_column_share(&c, &row->fields[i].column, NULL);
    if (status == RS_OK) status = rs_frame_add(out, &c);
    rs_column_free(&c);
  }
  out->rows = 1;
  rs_row_clear(row);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
