/* encoder_parse.c - an encoder from untrusted JSON and tensors: everything is checked once, here, so that running
 * needs no checks of the program. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "frame/program.h"
#include "frame/text.h"

enum { MAX_JSON = 16 << 20, MAX_STEPS = 4096, MAX_INPUTS = 256, MAX_TABLES = 1024, MAX_NAME = 200 };

static const rs_primitive *const primitives[] = {
    &rs_read_primitive,      &rs_prefix_primitive, &rs_split_primitive,   &rs_tokenise_primitive,
    &rs_lookup_primitive,    &rs_hash_primitive,   &rs_log_primitive,     &rs_affine_primitive,
    &rs_clamp_primitive,     &rs_impute_primitive, &rs_missing_primitive, &rs_bucketize_primitive,
    &rs_time_part_primitive, &rs_code_primitive,   &rs_fourier_primitive, &rs_stack_primitive,
    &rs_window_primitive,    &rs_count_primitive,  &rs_profile_primitive, &rs_ratio_primitive,
    &rs_difference_primitive, &rs_join_primitive,  &rs_pick_primitive,    &rs_window_weights_primitive,
    &rs_window_kinds_primitive, &rs_window_kind_weights_primitive,
    &rs_window_gaps_primitive, &rs_without_primitive, &rs_ngrams_primitive, &rs_project_primitive,
    &rs_vector_primitive,
};

/* Primitives of more than one input. */
static size_t most_inputs(const rs_primitive *p) {
  if (p == &rs_stack_primitive || p == &rs_join_primitive) return MAX_INPUTS;
  if (p == &rs_project_primitive) return RS_TFIDF_MAX_TEXTS;
  return p == &rs_ratio_primitive || p == &rs_difference_primitive ? 2 : p->accepts != 0;
}

/* ---- parameters of a step ---- */

rs_status rs_step_text(const rs_parsing *p, const char *key, const char **out) {
  const json_t *value = json_object_get(p->json, key);
  *out = json_string_value(value);
  if (!*out || strlen(*out) > MAX_NAME || strlen(*out) != json_string_length(value))
    return rs_fail(RS_EFORMAT, "%s is not a string of at most %d bytes", key, MAX_NAME);
  return RS_OK;
}

rs_status rs_step_count(const rs_parsing *p, const char *key, int64_t low, int64_t high, int64_t *out) {
  const json_t *value = json_object_get(p->json, key);
  double x = json_is_number(value) ? json_number_value(value) : NAN;
  if (!(x >= (double)low && x <= (double)high) || x != floor(x))
    return rs_fail(RS_EFORMAT, "%s is not an integer from %lld to %lld", key, (long long)low, (long long)high);
  *out = (int64_t)x;
  return RS_OK;
}

rs_status rs_step_number(const rs_parsing *p, const char *key, double *out) {
  const json_t *value = json_object_get(p->json, key);
  bool good = json_is_number(value);
  *out = json_number_value(value);
  if (json_is_string(value)) good = rs_parse_number(json_string_value(value), json_string_length(value), out);
  return good && isfinite(*out) ? RS_OK : rs_fail(RS_EFORMAT, "%s is not a finite number", key);
}

rs_status rs_step_drop(const rs_parsing *p, bool *out) {
  const char *word = "keep";
  if (json_object_get(p->json, "unknown")) {
    rs_status status = rs_step_text(p, "unknown", &word);
    if (status != RS_OK) return status;
  }
  *out = strcmp(word, "drop") == 0;
  return *out || strcmp(word, "keep") == 0 ? RS_OK : rs_fail(RS_EFORMAT, "unknown is '%.40s', not keep or drop", word);
}

rs_status rs_step_tensor(const rs_parsing *p, const char *key, rs_dtype dtype, int ndim, rs_tensor *out) {
  const char *name;
  rs_status status = rs_step_text(p, key, &name);
  if (status != RS_OK) return status;
  const rs_tensor *t = rs_tensors_find(p->tensors, name);
  if (!t) return rs_fail(RS_EFORMAT, "there is no tensor '%.100s'", name);
  if (t->dtype != dtype || t->ndim != ndim || !rs_tensor_is_contiguous(t))
    return rs_fail(RS_EFORMAT, "%s are %s %s, not %s of %d dimensions", key, rs_dtype_name(t->dtype), rs_shape(t).text,
                   rs_dtype_name(dtype), ndim);
  rs_tensor_share(out, t);
  return rs_tensors_find(&p->encoder->tensors, name) ? RS_OK : rs_tensors_add(&p->encoder->tensors, name, t);
}

rs_status rs_step_table(rs_step *step, const rs_parsing *p) {
  const char *table;
  rs_status status = rs_step_text(p, "table", &table);
  if (status != RS_OK) return status;
  for (int i = 0; i < p->encoder->n_tables; i++)
    if (strcmp(p->encoder->tables[i].name, table) == 0) {
      step->vocabulary = p->encoder->tables[i].vocabulary;
      step->table = p->encoder->tables[i].name;
      return RS_OK;
    }
  return rs_fail(RS_EFORMAT, "there is no table '%.100s'", table);
}

/* ---- tables ---- */

static rs_status share_tensor(rs_encoder *e, const rs_tensors *from, const char *table, const char *part, bool needed,
                              const rs_tensor **out) {
  rs_buffer name = {0};
  rs_status status = rs_buffer_printf(&name, "table.%s.%s", table, part);
  if (status == RS_OK) status = rs_buffer_append(&name, "", 1);
  if (status == RS_OK) {
    *out = rs_tensors_find(from, name.data);
    if (*out)
      status = rs_tensors_add(&e->tensors, name.data, *out);
    else if (needed)
      status = rs_fail(RS_EFORMAT, "encoder: there is no tensor '%s'", name.data);
  }
  rs_buffer_free(&name);
  return status;
}

static rs_status parse_table(rs_encoder *e, const json_t *json, const rs_tensors *tensors) {
  const char *name = json_string_value(json);
  const rs_tensor *bytes, *offsets, *counts;
  if (!name || !*name || strlen(name) > MAX_NAME || strlen(name) != json_string_length(json))
    return rs_fail(RS_EFORMAT, "encoder: a table's name is not a string of 1 to %d bytes", MAX_NAME);
  if (rs_encoder_vocabulary(e, name)) return rs_fail(RS_EFORMAT, "encoder: the table '%s' occurs twice", name);
  rs_status status = share_tensor(e, tensors, name, "bytes", true, &bytes);
  if (status == RS_OK) status = share_tensor(e, tensors, name, "offsets", true, &offsets);
  if (status == RS_OK) status = share_tensor(e, tensors, name, "counts", false, &counts);
  if (status != RS_OK) return status;
  rs_table *table = &e->tables[e->n_tables];
  table->name = rs_strdup(name);
  if (!table->name) return rs_nomem("encoder", strlen(name));
  e->n_tables++;
  status = rs_vocabulary_new(&table->vocabulary, bytes, offsets);
  if (status == RS_OK && counts &&
      (counts->dtype != RS_I64 || counts->ndim != 1 || counts->size[0] != table->vocabulary->n + 1))
    return rs_fail(RS_EFORMAT, "encoder: the counts of table '%s' are %s %s", name, rs_dtype_name(counts->dtype),
                   rs_shape(counts).text);
  return status;
}

static rs_status parse_tables(rs_encoder *e, const json_t *json, const rs_tensors *tensors) {
  size_t n = json_array_size(json);
  if (!json_is_array(json) || n > MAX_TABLES)
    return rs_fail(RS_EFORMAT, "encoder: tables is not a list of at most %d", MAX_TABLES);
  e->tables = rs_alloc_zero(n * sizeof *e->tables);
  if (!e->tables) return rs_nomem("encoder", n * sizeof *e->tables);
  rs_status status = RS_OK;
  for (size_t i = 0; status == RS_OK && i < n; i++) status = parse_table(e, json_array_get(json, i), tensors);
  return status;
}

/* ---- steps and outputs ---- */

static rs_status find_primitive(rs_step *step, const char *name) {
  for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
    if (strcmp(primitives[i]->name, name) == 0) {
      step->primitive = primitives[i];
      return RS_OK;
    }
  return rs_fail(RS_EFORMAT, "there is no primitive '%.40s'", name);
}

/* The inputs: earlier steps of a type that the primitive accepts. */
static rs_status parse_inputs(rs_step *step, const rs_program *program, const json_t *json) {
  static const char *const words[] = {"none", "one", "two"};
  size_t n = json_array_size(json), most = most_inputs(step->primitive);
  if ((json && !json_is_array(json)) || n > most || (most > 0 && n == 0) || (most == 2 && n != 2))
    return rs_fail(RS_EFORMAT, "%s takes %s, not %zu inputs", step->primitive->name,
                   most < 3 ? words[most] : "several", n);
  step->inputs = rs_alloc(n * sizeof *step->inputs);
  if (!step->inputs) return rs_nomem("encoder", n * sizeof *step->inputs);
  step->n_inputs = (int)n;
  for (size_t i = 0; i < n; i++) {
    const json_t *index = json_array_get(json, i);
    double x = json_number_value(index);
    if (!json_is_number(index) || !(x >= 0 && x < program->n_steps) || x != floor(x))
      return rs_fail(RS_EFORMAT, "input %zu is no earlier step", i);
    int at = (int)x;
    if (!(step->primitive->accepts >> program->steps[at].type & 1))
      return rs_fail(RS_EFORMAT, "step %d (%s) gives nothing that %s takes", at, program->steps[at].primitive->name,
                     step->primitive->name);
    step->inputs[i] = at;
  }
  return RS_OK;
}

static rs_status parse_step(rs_program *program, const rs_parsing *p) {
  rs_step *step = &program->steps[program->n_steps];
  const char *op;
  *step = (rs_step){.width = 1};
  rs_status status = json_is_object(p->json) ? rs_step_text(p, "op", &op) : rs_fail(RS_EFORMAT, "it is no object");
  if (status == RS_OK) status = find_primitive(step, op);
  if (status == RS_OK) status = parse_inputs(step, program, json_object_get(p->json, "input"));
  if (status == RS_OK) status = step->primitive->parse(step, program, p);
  program->n_steps++;
  return status;
}

/* The failure of a part of the program, with where it is. */
static rs_status located(rs_status status, rs_side side, const char *what, size_t index) {
  if (status == RS_OK || status == RS_ENOMEM) return status;
  char reason[512];
  strncpy(reason, rs_message(), sizeof reason - 1);
  reason[sizeof reason - 1] = 0;
  return rs_fail(RS_EFORMAT, "encoder: %s side, %s %zu: %s", rs_side_name(side), what, index, reason);
}

static rs_status parse_steps(rs_program *program, rs_parsing *p, const json_t *json) {
  size_t n = json_array_size(json);
  if (!json_is_array(json) || n > MAX_STEPS)
    return rs_fail(RS_EFORMAT, "encoder: the steps of the %s side are not a list of at most %d", rs_side_name(p->side),
                   MAX_STEPS);
  program->steps = rs_alloc_zero(n * sizeof *program->steps);
  if (!program->steps) return rs_nomem("encoder", n * sizeof *program->steps);
  rs_status status = RS_OK;
  for (size_t i = 0; status == RS_OK && i < n; i++) {
    p->json = json_array_get(json, i);
    status = located(parse_step(program, p), p->side, "step", i);
  }
  return status;
}

static bool is_output_name(const char *name, rs_side side) {
  size_t length = strlen(rs_side_name(side));
  if (strncmp(name, rs_side_name(side), length) != 0 || name[length] != '.' || !name[length + 1]) return false;
  for (const char *c = name + length + 1; *c; c++)
    if (!(*c == '_' || (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'))) return false;
  return true;
}

static rs_status parse_output(rs_program *program, const rs_parsing *p) {
  const char *name;
  int64_t step;
  rs_status status = rs_step_text(p, "name", &name);
  if (status == RS_OK) status = rs_step_count(p, "step", 0, program->n_steps - 1, &step);
  if (status != RS_OK) return status;
  if (!is_output_name(name, p->side)) return rs_fail(RS_EFORMAT, "'%s' is no name on this side", name);
  for (int i = 0; i < program->n_outputs; i++)
    if (strcmp(program->outputs[i].name, name) == 0) return rs_fail(RS_EFORMAT, "'%s' occurs twice", name);
  rs_value_type type = program->steps[step].type;
  if (type != RS_V_CODES && type != RS_V_LIST && type != RS_V_MATRIX && type != RS_V_WEIGHTS)
    return rs_fail(RS_EFORMAT, "'%s' is neither codes nor a list nor a matrix", name);
  rs_program_output *o = &program->outputs[program->n_outputs];
  *o = (rs_program_output){rs_strdup(name), (int)step};
  if (!o->name) return rs_nomem("encoder", strlen(name));
  program->n_outputs++;
  return RS_OK;
}

static rs_status parse_outputs(rs_program *program, rs_parsing *p, const json_t *json) {
  size_t n = json_array_size(json);
  if (!json_is_array(json) || n > MAX_STEPS)
    return rs_fail(RS_EFORMAT, "encoder: the outputs of the %s side are not a list of at most %d",
                   rs_side_name(p->side), MAX_STEPS);
  program->outputs = rs_alloc_zero(n * sizeof *program->outputs);
  if (!program->outputs) return rs_nomem("encoder", n * sizeof *program->outputs);
  rs_status status = RS_OK;
  for (size_t i = 0; status == RS_OK && i < n; i++) {
    p->json = json_array_get(json, i);
    status = located(parse_output(program, p), p->side, "output", i);
  }
  return status;
}

/* The item side first: windows on the event side name its outputs. */
static rs_status parse_sides(rs_encoder *e, const json_t *json, const rs_tensors *tensors) {
  static const rs_side order[] = {RS_ITEM, RS_USER, RS_EVENT};
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < 3; i++) {
    const json_t *side = json_object_get(json, rs_side_name(order[i]));
    rs_parsing p = {.encoder = e, .tensors = tensors, .side = order[i]};
    if (!json_is_object(side)) return rs_fail(RS_EFORMAT, "encoder: there is no %s side", rs_side_name(order[i]));
    status = parse_steps(&e->sides[order[i]], &p, json_object_get(side, "steps"));
    if (status == RS_OK) status = parse_outputs(&e->sides[order[i]], &p, json_object_get(side, "outputs"));
  }
  return status;
}

static rs_status parse_document(rs_encoder *e, const json_t *json, const rs_tensors *tensors) {
  const char *format = json_string_value(json_object_get(json, "format"));
  const json_t *version = json_object_get(json, "version");
  if (!format || strcmp(format, "recsys.encoder") != 0)
    return rs_fail(RS_EFORMAT, "encoder: the format is not 'recsys.encoder'");
  if (!json_is_number(version) || json_number_value(version) != 1)
    return rs_fail(RS_EFORMAT, "encoder: the version is not 1, which is all that this program reads");
  rs_status status = parse_tables(e, json_object_get(json, "tables"), tensors);
  if (status == RS_OK) status = rs_filters_parse(e, json);
  return status == RS_OK ? parse_sides(e, json_object_get(json, "sides"), tensors) : status;
}

rs_status rs_encoder_parse(rs_encoder **out, const char *json, size_t bytes, const rs_tensors *tensors) {
  *out = NULL;
  if (bytes > MAX_JSON) return rs_fail(RS_EFORMAT, "encoder: %zu bytes of JSON are too many", bytes);
  rs_encoder *e = rs_alloc_zero(sizeof *e);
  if (!e) return rs_nomem("encoder", sizeof *e);
  json_t *document = NULL;
  rs_status status = rs_buffer_append(&e->json, json, bytes);
  if (status == RS_OK) status = rs_json_parse(&document, json, bytes, "encoder");
  if (status == RS_OK) status = parse_document(e, document, tensors);
  json_decref(document);
  if (status == RS_OK)
    *out = e;
  else
    rs_encoder_free(e);
  return status;
}
