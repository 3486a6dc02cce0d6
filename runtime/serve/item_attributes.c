/* item_attributes.c - see item_attributes.h. */
#include "serve/item_attributes.h"

#include <math.h>
#include <string.h>

static const json_t *field_of(const rs_column *c, const json_t *fields) {
  const json_t *value = json_object_get(fields, c->name);
  return json_is_null(value) ? NULL : value;
}

/* ---- checking ---- */

static bool is_list_of_strings(const json_t *value) {
  for (size_t i = 0; i < json_array_size(value); i++)
    if (!json_is_string(json_array_get(value, i))) return false;
  return json_is_array(value) || json_is_string(value);
}

static bool fits(const rs_column *c, const json_t *value) {
  switch (c->type) {
    case RS_NUMBER: return json_is_number(value);
    case RS_TIME: return json_is_integer(value);
    case RS_STRING: return json_is_string(value);
    default: return is_list_of_strings(value);
  }
}

rs_status rs_item_attributes_check(const rs_server_model *m, const json_t *fields) {
  static const char *const wanted[] = {"a number", "a time in ms", "a string", "a list of strings"};
  for (int i = 0; i < m->attributes.n_columns; i++) {
    const rs_column *c = &m->attributes.columns[i];
    const json_t *value = field_of(c, fields);
    if (value && !fits(c, value)) return rs_fail(RS_EARG, "attribute '%.200s' is not %s", c->name, wanted[c->type]);
  }
  return RS_OK;
}

/* ---- strings ---- */

/* String i of a value that is a string or a list of them; NULL behind the last. Empty ones are none. */
static const char *string_at(const json_t *value, size_t i, size_t *length) {
  const json_t *one = json_is_array(value) ? json_array_get(value, i) : i == 0 ? value : NULL;
  *length = json_string_length(one);
  return json_string_value(one);
}

int64_t rs_item_attribute_values(const rs_server_model *m, int c, const json_t *fields) {
  const json_t *value = field_of(&m->attributes.columns[c], fields);
  size_t length;
  int64_t n = 0;
  for (size_t i = 0; value && string_at(value, i, &length); i++) n += length > 0;
  return n;
}

static bool has_codes(const rs_column *c) { return c->type == RS_STRING || c->type == RS_LIST; }

int64_t rs_item_attribute_codes(const rs_server_model *m, const json_t *fields) {
  int64_t n = 0;
  for (int i = 0; i < m->attributes.n_columns; i++)
    if (has_codes(&m->attributes.columns[i])) n += rs_item_attribute_values(m, i, fields);
  return n;
}

rs_status rs_item_attributes_code(rs_server_model *m, const json_t *fields, int32_t *codes) {
  rs_status status = RS_OK;
  for (int c = 0; c < m->attributes.n_columns; c++) {
    rs_column *column = &m->attributes.columns[c];
    const json_t *value = has_codes(column) ? field_of(column, fields) : NULL;
    const char *text;
    size_t length;
    for (size_t i = 0; value && status == RS_OK && (text = string_at(value, i, &length)); i++)
      if (length > 0) status = rs_dictionary_add(column->dictionary, text, length, codes++);
  }
  return status;
}

/* ---- writing ---- */

static void put(rs_tensor *t, int64_t row, const void *value) {
  size_t bytes = rs_dtype_size(t->dtype);
  memcpy((char *)rs_tensor_data(t) + (size_t)row * bytes, value, bytes);
  if (row >= t->size[0]) t->size[0] = row + 1;
}

static void put_list(rs_column *c, int64_t row, const int32_t *codes, int64_t n) {
  int64_t start = c->values.size[0];
  int32_t length = (int32_t)n;
  for (int64_t i = 0; i < n; i++) put(&c->values, start + i, &codes[i]);
  put(&c->starts, row, &start);
  put(&c->lengths, row, &length);
}

void rs_item_attributes_write(rs_server_model *m, int64_t row, const json_t *fields, const int32_t *codes) {
  for (int i = 0; i < m->attributes.n_columns; i++) {
    rs_column *c = &m->attributes.columns[i];
    const json_t *value = field_of(c, fields);
    int64_t n = has_codes(c) ? rs_item_attribute_values(m, i, fields) : 0;
    if (c->type == RS_NUMBER) put(&c->values, row, &(double){value ? json_number_value(value) : NAN});
    if (c->type == RS_TIME) put(&c->values, row, &(int64_t){value ? json_integer_value(value) : RS_TIME_MISSING});
    if (c->type == RS_STRING) put(&c->values, row, &(int32_t){n ? *codes : 0});
    if (c->type == RS_LIST) put_list(c, row, codes, n);
    codes += n;
  }
  if (row >= m->attributes.rows && m->attributes.n_columns > 0) m->attributes.rows = row + 1;
}
