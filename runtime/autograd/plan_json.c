/* plan_json.c - plans as JSON.
 *
 * Reading trusts nothing: keys are exactly the known ones, names are bounded, an operand lies below its own slot,
 * attributes fit their operation's schema. What remains (shapes, codes) the operations check as they run. */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "autograd/plan_parts.h"
#include "base/alloc.h"
#include "base/json.h"

#define FORMAT "recsys-plan"
enum { VERSION = 1 };
enum { MAX_BYTES = 16 << 20, MAX_NAME = 255, MAX_PORTS = 1 << 12, MAX_STEPS = 1 << 16, MAX_OPERANDS = 1 << 12 };

static const char *const part_names[] = {"inputs", "weights", "outputs"};

/* Writing. A NULL anywhere makes json_object_set_new and json_array_append_new fail, so memory refused shows. */

static bool set(json_t *object, const char *key, json_t *value) { return json_object_set_new(object, key, value) == 0; }

static json_t *sizes_json(int ndim, const int64_t *size) {
  json_t *list = json_array();
  for (int i = 0; i < ndim; i++)
    if (json_array_append_new(list, json_integer(size[i]))) return json_decref(list), NULL;
  return list;
}

static json_t *attr_json(const rs_attr_field *field, const rs_attr *attr) {
  switch (field->kind) {
    case RS_ATTR_REAL: return json_real(attr->real);
    case RS_ATTR_BOOL: return json_boolean(attr->integer);
    case RS_ATTR_CHOICE: return json_string(field->choices[attr->integer]);
    case RS_ATTR_SHAPE: return sizes_json(attr->shape.ndim, attr->shape.size);
    default: return json_integer(attr->integer);
  }
}

static json_t *attrs_json(const rs_step *step) {
  json_t *object = json_object();
  for (int i = 0; i < step->op->n_fields; i++)
    if (!set(object, step->op->fields[i].name, attr_json(&step->op->fields[i], &step->attr[i])))
      return json_decref(object), NULL;
  return object;
}

static json_t *step_json(const rs_step *step) {
  json_t *object = json_object(), *operands = json_array();
  bool ok = object && operands;
  for (int i = 0; i < step->n_operands && ok; i++)
    ok = json_array_append_new(operands, json_integer(step->operands[i])) == 0;
  ok = ok && set(object, "op", json_string(step->op->name));
  if (ok && json_object_set(object, "operands", operands)) ok = false;
  ok = ok && set(object, "attributes", attrs_json(step));
  json_decref(operands);
  if (ok) return object;
  json_decref(object);
  return NULL;
}

static json_t *port_json(const rs_port *port, rs_plan_part part) {
  json_t *object = json_object();
  bool ok = set(object, "name", json_string(port->name));
  if (part == RS_PLAN_OUTPUTS) {
    ok = ok && set(object, "slot", json_integer(port->slot));
  } else {
    ok = ok && set(object, "dtype", json_string(rs_dtype_name(port->dtype)));
    ok = ok && set(object, "shape", sizes_json(port->ndim, port->size));
  }
  if (ok) return object;
  json_decref(object);
  return NULL;
}

static json_t *plan_json(const rs_plan *plan) {
  json_t *root = json_object();
  bool ok = set(root, "format", json_string(FORMAT)) && set(root, "version", json_integer(VERSION));
  for (int part = 0; part < 3; part++) {
    json_t *list = json_array();
    for (int i = 0; i < plan->n_ports[part] && ok; i++)
      ok = json_array_append_new(list, port_json(&plan->ports[part][i], (rs_plan_part)part)) == 0;
    ok = set(root, part_names[part], list) && ok;
  }
  json_t *steps = json_array();
  for (int i = 0; i < plan->n_steps && ok; i++) ok = json_array_append_new(steps, step_json(&plan->steps[i])) == 0;
  ok = set(root, "steps", steps) && ok;
  if (ok) return root;
  json_decref(root);
  return NULL;
}

static int append(const char *bytes, size_t n, void *buffer) { return rs_buffer_append(buffer, bytes, n) != RS_OK; }

rs_status rs_plan_to_json(const rs_plan *plan, rs_buffer *json) {
  json_t *root = plan_json(plan);
  int failed = !root || json_dump_callback(root, append, json, JSON_COMPACT);
  json_decref(root);
  return failed ? rs_nomem("plan", 0) : RS_OK;
}

/* Reading. */

static rs_status __attribute__((format(printf, 1, 2))) wrong(const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return rs_fail(RS_EFORMAT, "plan: %s", text);
}

/* The keys of 'object' must be those listed, all of them. */
static rs_status only_keys(const json_t *object, const char *where, int n, const char *const *keys) {
  if (!json_is_object(object)) return wrong("%s is not an object", where);
  for (int i = 0; i < n; i++)
    if (!json_object_get(object, keys[i])) return wrong("%s has no '%s'", where, keys[i]);
  if (json_object_size(object) != (size_t)n) return wrong("%s has a key that is not known", where);
  return RS_OK;
}

static rs_status read_integer(int64_t *out, const json_t *value, int64_t least, int64_t most, const char *where) {
  if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > most)
    return wrong("%s is not a whole number from %lld to %lld", where, (long long)least, (long long)most);
  *out = json_integer_value(value);
  return RS_OK;
}

static rs_status read_name(char **out, const json_t *value, const char *where) {
  const char *text = json_string_value(value);
  size_t length = json_string_length(value);
  if (!text || length == 0 || length > MAX_NAME || strlen(text) != length)
    return wrong("%s is not a name of 1 to %d bytes", where, MAX_NAME);
  *out = rs_strdup(text);
  return *out ? RS_OK : rs_nomem("plan", length + 1);
}

static rs_status read_sizes(int *ndim, int64_t *size, const json_t *list, const char *where) {
  size_t n = json_array_size(list);
  if (!json_is_array(list) || n > RS_MAX_DIMS) return wrong("%s is not a list of up to %d sizes", where, RS_MAX_DIMS);
  *ndim = (int)n;
  for (size_t i = 0; i < n; i++) {
    rs_status status = read_integer(&size[i], json_array_get(list, i), -1, INT64_C(1) << 40, where);
    if (status != RS_OK) return status;
  }
  return RS_OK;
}

/* A list of objects with room for n of them. */
static rs_status read_count(int *n, const json_t *root, const char *key, int most) {
  const json_t *list = json_object_get(root, key);
  if (!json_is_array(list) || json_array_size(list) > (size_t)most)
    return wrong("%s is not a list of up to %d objects", key, most);
  *n = (int)json_array_size(list);
  return RS_OK;
}

static rs_status read_port(rs_plan *plan, rs_plan_part part, int i, const json_t *json) {
  static const char *const leaf_keys[] = {"name", "dtype", "shape"}, *const output_keys[] = {"name", "slot"};
  char where[64];
  snprintf(where, sizeof where, "%s[%d]", part_names[part], i);
  rs_port *port = &plan->ports[part][i];
  bool is_output = part == RS_PLAN_OUTPUTS;
  rs_status status = only_keys(json, where, is_output ? 2 : 3, is_output ? output_keys : leaf_keys);
  if (status == RS_OK) status = read_name(&port->name, json_object_get(json, "name"), where);
  for (int j = 0; j < i && status == RS_OK; j++)
    if (!strcmp(plan->ports[part][j].name, port->name)) status = wrong("%s is the second '%s'", where, port->name);
  if (status != RS_OK) return status;
  if (is_output) {
    int64_t slot = 0;
    status = read_integer(&slot, json_object_get(json, "slot"), 0, rs_plan_leaves(plan) + plan->n_steps - 1, where);
    port->slot = (int)slot;
    return status;
  }
  const char *dtype = json_string_value(json_object_get(json, "dtype"));
  if (!dtype || rs_dtype_named(&port->dtype, dtype) != RS_OK) return wrong("%s has no known dtype", where);
  return read_sizes(&port->ndim, port->size, json_object_get(json, "shape"), where);
}

static rs_status read_choice(rs_attr *attr, const rs_attr_field *field, const json_t *json, const char *where) {
  const char *text = json_string_value(json);
  for (int i = 0; text && field->choices[i]; i++)
    if (!strcmp(field->choices[i], text)) return attr->integer = i, RS_OK;
  return wrong("%s: %s is none of its choices", where, field->name);
}

static rs_status read_attr(rs_attr *attr, const rs_attr_field *field, const json_t *json, const char *where) {
  switch (field->kind) {
    case RS_ATTR_REAL:
      if (!json_is_number(json)) return wrong("%s: %s is not a number", where, field->name);
      attr->real = json_number_value(json);
      return RS_OK;
    case RS_ATTR_BOOL:
      if (!json_is_boolean(json)) return wrong("%s: %s is not true or false", where, field->name);
      attr->integer = json_is_true(json);
      return RS_OK;
    case RS_ATTR_CHOICE: return read_choice(attr, field, json, where);
    case RS_ATTR_SHAPE: return read_sizes(&attr->shape.ndim, attr->shape.size, json, where);
    default: return read_integer(&attr->integer, json, -(INT64_C(1) << 53), INT64_C(1) << 53, where);
  }
}

static rs_status read_attrs(rs_step *step, const json_t *json, const char *where) {
  const char *keys[RS_MAX_ATTRS];
  for (int i = 0; i < step->op->n_fields; i++) keys[i] = step->op->fields[i].name;
  rs_status status = only_keys(json, where, step->op->n_fields, keys);
  for (int i = 0; i < step->op->n_fields && status == RS_OK; i++)
    status = read_attr(&step->attr[i], &step->op->fields[i], json_object_get(json, keys[i]), where);
  if (status != RS_OK) return status;
  return rs_op_check_attrs(step->op, step->attr) == RS_OK ? RS_OK : wrong("%s: an attribute is out of range", where);
}

static rs_status read_operands(rs_step *step, const json_t *list, int slot, const char *where) {
  size_t n = json_array_size(list);
  if (!json_is_array(list) || n > MAX_OPERANDS || (int)n < step->op->min_inputs ||
      (step->op->max_inputs >= 0 && (int)n > step->op->max_inputs))
    return wrong("%s: %s does not take %zu operands", where, step->op->name, n);
  step->operands = rs_alloc_zero(n * sizeof(int));
  if (!step->operands) return rs_nomem("plan", n * sizeof(int));
  step->n_operands = (int)n;
  for (size_t i = 0; i < n; i++) {
    int64_t operand = 0;
    rs_status status = read_integer(&operand, json_array_get(list, i), 0, slot - 1, where);
    if (status != RS_OK) return status;
    step->operands[i] = (int)operand;
  }
  return RS_OK;
}

static rs_status read_step(rs_plan *plan, int i, const json_t *json) {
  static const char *const keys[] = {"op", "operands", "attributes"};
  char where[32];
  snprintf(where, sizeof where, "steps[%d]", i);
  rs_step *step = &plan->steps[i];
  rs_status status = only_keys(json, where, 3, keys);
  if (status != RS_OK) return status;
  const char *name = json_string_value(json_object_get(json, "op"));
  step->op = name ? rs_op_find(name) : NULL;
  if (!step->op) return wrong("%s: there is no operation '%.64s'", where, name ? name : "");
  if (step->op->training_only) return wrong("%s: %s is for training", where, step->op->name);
  status = read_operands(step, json_object_get(json, "operands"), rs_plan_leaves(plan) + i, where);
  return status == RS_OK ? read_attrs(step, json_object_get(json, "attributes"), where) : status;
}

static rs_status read_parts(rs_plan *plan, const json_t *root) {
  rs_status status = RS_OK;
  for (int part = 0; part < 3 && status == RS_OK; part++) {
    const json_t *list = json_object_get(root, part_names[part]);
    for (int i = 0; i < plan->n_ports[part] && status == RS_OK; i++)
      status = read_port(plan, (rs_plan_part)part, i, json_array_get(list, (size_t)i));
  }
  for (int i = 0; i < plan->n_steps && status == RS_OK; i++)
    status = read_step(plan, i, json_array_get(json_object_get(root, "steps"), (size_t)i));
  return status == RS_OK ? rs_plan_finish(plan) : status;
}

static rs_status read_plan(rs_plan **out, const json_t *root) {
  static const char *const keys[] = {"format", "version", "inputs", "weights", "outputs", "steps"};
  rs_status status = only_keys(root, "the plan", 6, keys);
  if (status != RS_OK) return status;
  const char *format = json_string_value(json_object_get(root, "format"));
  int64_t version = 0;
  if (!format || strcmp(format, FORMAT)) return wrong("the format is not " FORMAT);
  status = read_integer(&version, json_object_get(root, "version"), VERSION, VERSION, "the version");
  int n[3] = {0}, steps = 0;
  for (int part = 0; part < 3 && status == RS_OK; part++)
    status = read_count(&n[part], root, part_names[part], MAX_PORTS);
  if (status == RS_OK) status = read_count(&steps, root, "steps", MAX_STEPS);
  rs_plan *plan = NULL;
  if (status == RS_OK) status = rs_plan_new(&plan, n[0], n[1], n[2], steps);
  if (status == RS_OK) status = read_parts(plan, root);
  if (status == RS_OK)
    *out = plan;
  else
    rs_plan_free(plan);
  return status;
}

rs_status rs_plan_from_json(rs_plan **out, const char *json, size_t bytes) {
  if (bytes > MAX_BYTES) return wrong("%zu bytes are more than %d", bytes, MAX_BYTES);
  json_t *root = NULL;
  rs_status status = rs_json_parse(&root, json, bytes, "plan");
  if (status == RS_OK) status = read_plan(out, root);
  json_decref(root);
  return status;
}
