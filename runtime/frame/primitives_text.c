/* primitives_text.c - read a column; cut strings; give them codes.
 *
 * Codes are found once for each distinct string where that is less work than once a row. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/program.h"
#include "frame/words.h"

enum { STRING_BITS = 1 << RS_V_STRING | 1 << RS_V_STRINGS, MAX_CODES = 1 << 30 };

/* ---- read ---- */

static rs_status parse_read(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const char *column, *type;
  rs_status status = rs_step_text(p, "column", &column);
  if (status == RS_OK) status = rs_step_text(p, "type", &type);
  if (status != RS_OK) return status;
  if (strcmp(type, "string") == 0)
    step->type = RS_V_STRING;
  else if (strcmp(type, "strings") == 0)
    step->type = RS_V_STRINGS;
  else if (strcmp(type, "number") == 0)
    step->type = RS_V_NUMBER;
  else
    return rs_fail(RS_EFORMAT, "type is '%.40s', not string, strings or number", type);
  step->text = rs_strdup(column);
  return step->text ? RS_OK : rs_nomem("encoder", strlen(column));
}

/* A column that is not there: every value missing. */
static rs_status absent(const rs_step *step, int64_t n, rs_column *out) {
  if (step->type == RS_V_NUMBER) {
    rs_status status = rs_value_numbers(out, n);
    for (int64_t i = 0; status == RS_OK && i < n; i++) rs_f64(&out->values)[i] = NAN;
    return status;
  }
  int64_t none = 0;
  rs_status status = rs_dictionary_new(&out->dictionary);
  if (step->type == RS_V_STRING) return status == RS_OK ? rs_tensor_zeros(&out->values, RS_I32, 1, &n) : status;
  if (status == RS_OK) status = rs_tensor_new(&out->values, RS_I32, 1, &none);
  if (status == RS_OK) status = rs_tensor_zeros(&out->starts, RS_I64, 1, &n);
  return status == RS_OK ? rs_tensor_zeros(&out->lengths, RS_I32, 1, &n) : status;
}

typedef struct time_work {
  const int64_t *from;
  double *to;
} time_work;

static void times_to_numbers(void *context, int64_t begin, int64_t end) {
  const time_work *w = context;
  for (int64_t i = begin; i < end; i++) w->to[i] = w->from[i] == RS_TIME_MISSING ? NAN : (double)w->from[i];
}

static rs_status read_number(const rs_column *c, rs_column *out) {
  if (c->type == RS_NUMBER) {
    rs_tensor_share(&out->values, &c->values);
    return RS_OK;
  }
  int64_t n = c->values.size[0];
  rs_status status = rs_value_numbers(out, n);
  if (status != RS_OK) return status;
  time_work w = {rs_i64(&c->values), rs_f64(&out->values)};
  rs_each(n, times_to_numbers, &w);
  return RS_OK;
}

static void share_strings(const rs_column *c, rs_column *out) {
  rs_tensor_share(&out->values, &c->values);
  rs_dictionary_retain(c->dictionary);
  out->dictionary = c->dictionary;
}

/* A string column as a list of one string, or of none, a row. */
static rs_status as_lists(const rs_column *c, rs_column *out) {
  int64_t n = c->values.size[0];
  rs_status status = rs_tensor_new(&out->starts, RS_I64, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->lengths, RS_I32, 1, &n);
  if (status != RS_OK) return status;
  share_strings(c, out);
  for (int64_t i = 0; i < n; i++) {
    rs_i64(&out->starts)[i] = i;
    rs_i32(&out->lengths)[i] = rs_i32(&c->values)[i] != 0;
  }
  return RS_OK;
}

/* A list column; where its rows are a small selection from shared values, with a copy of just theirs. */
static rs_status read_lists(const rs_column *c, rs_column *out) {
  int64_t n = c->starts.size[0], total = 0;
  for (int64_t i = 0; i < n; i++) total += rs_i32(&c->lengths)[i];
  if (2 * total >= c->values.size[0]) {
    share_strings(c, out);
    rs_tensor_share(&out->starts, &c->starts);
    rs_tensor_share(&out->lengths, &c->lengths);
    return RS_OK;
  }
  rs_status status = rs_tensor_new(&out->values, RS_I32, 1, &total);
  if (status == RS_OK) status = rs_tensor_new(&out->starts, RS_I64, 1, &n);
  if (status != RS_OK) return status;
  rs_tensor_share(&out->lengths, &c->lengths);
  rs_dictionary_retain(c->dictionary);
  out->dictionary = c->dictionary;
  for (int64_t i = 0, at = 0; i < n; at += rs_i32(&c->lengths)[i++]) {
    rs_i64(&out->starts)[i] = at;
    memcpy(rs_i32(&out->values) + at, rs_i32(&c->values) + rs_i64(&c->starts)[i],
           (size_t)rs_i32(&c->lengths)[i] * sizeof(int32_t));
  }
  return RS_OK;
}

static rs_status run_read(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  const rs_column *c = rs_frame_column(run->frame, step->text);
  if (!c) return absent(step, run->rows, out);
  if (step->type == RS_V_NUMBER && (c->type == RS_NUMBER || c->type == RS_TIME)) return read_number(c, out);
  if (step->type == RS_V_STRING && c->type == RS_NUMBER) return rs_words_of_numbers(out, &c->values);
  if (step->type == RS_V_STRING && c->type == RS_STRING) {
    share_strings(c, out);
    return RS_OK;
  }
  if (step->type == RS_V_STRINGS && c->type == RS_STRING) return as_lists(c, out);
  if (step->type == RS_V_STRINGS && c->type == RS_LIST) return read_lists(c, out);
  return rs_fail(RS_EARG, "column '%s' is a %s column; a feature reads it as %s", step->text,
                 rs_column_type_name(c->type),
                 step->type == RS_V_NUMBER   ? "number"
                 : step->type == RS_V_STRING ? "string"
                                             : "list");
}

const rs_primitive rs_read_primitive = {"read", 0, parse_read, run_read};

/* ---- prefix, split, tokenise ---- */

static rs_status parse_prefix(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  step->type = RS_V_STRING;
  return rs_step_count(p, "length", 1, 1 << 20, &step->count);
}

static rs_status run_prefix(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return rs_words_prefix(out, &run->values[step->inputs[0]], step->count);
}

const rs_primitive rs_prefix_primitive = {"prefix", 1 << RS_V_STRING, parse_prefix, run_prefix};

static rs_status parse_split(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const char *separator;
  step->type = RS_V_STRINGS;
  rs_status status = rs_step_text(p, "separator", &separator);
  if (status != RS_OK) return status;
  if (!*separator) return rs_fail(RS_EFORMAT, "separator is empty");
  step->text = rs_strdup(separator);
  return step->text ? RS_OK : rs_nomem("encoder", strlen(separator));
}

static rs_status run_split(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return rs_words_split(out, &run->values[step->inputs[0]], step->text);
}

const rs_primitive rs_split_primitive = {"split", 1 << RS_V_STRING, parse_split, run_split};

static rs_status parse_tokenise(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const char *tokens = "words";
  step->type = RS_V_STRINGS;
  rs_status status = rs_step_count(p, "max", 1, 1 << 20, &step->count);
  if (status == RS_OK && json_object_get(p->json, "tokens")) status = rs_step_text(p, "tokens", &tokens);
  return status == RS_OK ? rs_token_rule_named(&step->tokens, tokens) : status;
}

static rs_status run_tokenise(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return rs_words_tokenise(out, &run->values[step->inputs[0]], step->tokens, step->count);
}

const rs_primitive rs_tokenise_primitive = {"tokenise", 1 << RS_V_STRING, parse_tokenise, run_tokenise};

/* ---- lookup and hash ---- */

static rs_status parse_lookup(rs_step *step, const rs_program *program, const rs_parsing *p) {
  step->type = program->steps[step->inputs[0]].type == RS_V_STRING ? RS_V_CODES : RS_V_LIST;
  rs_status status = rs_step_table(step, p);
  if (status == RS_OK) status = rs_step_drop(p, &step->drop);
  if (status == RS_OK) step->rows = step->vocabulary->n + 1;
  return status;
}

static rs_status parse_hash(rs_step *step, const rs_program *program, const rs_parsing *p) {
  step->type = program->steps[step->inputs[0]].type == RS_V_STRING ? RS_V_CODES : RS_V_LIST;
  rs_status status = rs_step_count(p, "buckets", 1, MAX_CODES, &step->count);
  step->rows = step->count + 1;
  return status;
}

typedef struct code_work {
  const rs_step *step;
  const rs_dictionary *dictionary;
  const int32_t *from; /* codes of the dictionary; NULL: 1, 2, ... */
  const int32_t *map;  /* NULL: look each value up */
  int32_t *to;
} code_work;

static int32_t code_of(const rs_step *step, const rs_dictionary *dictionary, int32_t code) {
  if (code == 0) return 0;
  size_t length;
  const char *text = rs_dictionary_text(dictionary, code, &length);
  if (step->vocabulary) return rs_vocabulary_find(step->vocabulary, text, length);
  return 1 + (int32_t)(XXH3_64bits(text, length) % (uint64_t)step->count);
}

static void find_codes(void *context, int64_t begin, int64_t end) {
  const code_work *w = context;
  for (int64_t i = begin; i < end; i++) w->to[i] = code_of(w->step, w->dictionary, w->from ? w->from[i] : (int32_t)i);
}

static void map_codes(void *context, int64_t begin, int64_t end) {
  const code_work *w = context;
  for (int64_t i = begin; i < end; i++) w->to[i] = w->map[w->from[i]];
}

/* Codes of the 'n' dictionary codes 'from'. */
static rs_status codes_of(const rs_step *step, const rs_dictionary *d, const int32_t *from, int64_t n, int32_t *to) {
  code_work w = {.step = step, .dictionary = d, .from = from, .to = to};
  if (d->n >= n) {
    rs_each(n, find_codes, &w);
    return RS_OK;
  }
  size_t bytes = (size_t)(d->n + 1) * sizeof(int32_t);
  int32_t *map = rs_alloc(bytes);
  if (!map) return rs_nomem("encoder", bytes);
  rs_each(d->n + 1, find_codes, &(code_work){.step = step, .dictionary = d, .to = map});
  w.map = map;
  rs_each(n, map_codes, &w);
  rs_free(map);
  return RS_OK;
}

/* Leave zeros out of a list: values move up, and each slice with them. */
static rs_status drop_unknown(rs_column *list) {
  int64_t total = list->values.size[0], rows = list->starts.size[0], kept = 0;
  size_t bytes = (size_t)(total + 1) * sizeof(int64_t);
  int64_t *before = rs_alloc(bytes);
  if (!before) return rs_nomem("encoder", bytes);
  int32_t *values = rs_i32(&list->values);
  for (int64_t i = 0; i < total; i++) {
    before[i] = kept;
    if (values[i]) values[kept++] = values[i];
  }
  before[total] = kept;
  rs_tensor starts = {0}, lengths = {0}, values_kept = {0};
  rs_status status = rs_tensor_new(&starts, RS_I64, 1, &rows);
  if (status == RS_OK) status = rs_tensor_new(&lengths, RS_I32, 1, &rows);
  if (status == RS_OK) status = rs_tensor_narrow(&values_kept, &list->values, 0, 0, kept);
  for (int64_t i = 0; status == RS_OK && i < rows; i++) {
    int64_t from = rs_i64(&list->starts)[i], to = from + rs_i32(&list->lengths)[i];
    rs_i64(&starts)[i] = before[from];
    rs_i32(&lengths)[i] = (int32_t)(before[to] - before[from]);
  }
  rs_free(before);
  rs_tensor_free(&list->starts);
  rs_tensor_free(&list->lengths);
  rs_tensor_free(&list->values);
  list->starts = starts;
  list->lengths = lengths;
  list->values = values_kept;
  return status;
}

static rs_status run_codes(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  const rs_column *in = &run->values[step->inputs[0]];
  int64_t n = in->values.size[0];
  rs_status status = rs_value_codes(out, n);
  if (status == RS_OK) status = codes_of(step, in->dictionary, rs_i32(&in->values), n, rs_i32(&out->values));
  if (status != RS_OK || step->type == RS_V_CODES) return status;
  rs_tensor_share(&out->starts, &in->starts);
  rs_tensor_share(&out->lengths, &in->lengths);
  return step->drop ? drop_unknown(out) : RS_OK;
}

const rs_primitive rs_lookup_primitive = {"lookup", STRING_BITS, parse_lookup, run_codes};
const rs_primitive rs_hash_primitive = {"hash", STRING_BITS, parse_hash, run_codes};
