/* expression_text.c - see expression.h. Operations on strings and lists: over the dictionary, then codes over rows.
 *
 * A function of one text is a table by code (numbers, times, or codes of a new dictionary); a function of two string
 * columns is one of their distinct pairs. */
#include <math.h>
#include <string.h>

#include <utf8proc.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/parallel.h"
#include "frame/expression.h"
#include "frame/frame.h"
#include "frame/partition.h"
#include "frame/text.h"

/* A string operand as a dictionary and codes; a constant is a dictionary of its own with one text. */
typedef struct texts {
  rs_dictionary *dictionary; /* a reference */
  const int32_t *codes;      /* [rows], or the one code of a constant */
  int64_t stride;            /* 0: a constant */
  int32_t constant;
} texts;

static rs_status take_texts(texts *t, const rs_operand *a) {
  *t = (texts){.stride = a->column != NULL};
  if (a->column) {
    rs_dictionary_retain(a->column->dictionary);
    t->dictionary = a->column->dictionary;
    t->codes = rs_i32(&a->column->values);
    return RS_OK;
  }
  rs_status status = rs_dictionary_new(&t->dictionary);
  t->codes = &t->constant;
  return status == RS_OK && !a->missing ? rs_dictionary_add(t->dictionary, a->text, a->length, &t->constant) : status;
}

static void free_texts(texts *t) { rs_dictionary_release(t->dictionary); }

static int32_t code_at(const texts *t, int64_t row) { return t->codes[row * t->stride]; }

/* A table by code, of the elements that the result has; entry 0 is for missing. */
typedef struct mapping {
  const texts *from;
  const void *table;
  rs_column *out;
} mapping;

static void map_rows(void *context, int64_t begin, int64_t end) {
  const mapping *m = context;
  if (m->out->type == RS_STRING) {
    const int32_t *table = m->table;
    for (int64_t i = begin; i < end; i++) rs_i32(&m->out->values)[i] = table[code_at(m->from, i)];
  } else { /* numbers and times: 8 bytes */
    const int64_t *table = m->table;
    int64_t *out = rs_tensor_data(&m->out->values);
    for (int64_t i = begin; i < end; i++) out[i] = table[code_at(m->from, i)];
  }
}

static void apply_table(rs_column *out, const texts *from, const void *table) {
  mapping m = {from, table, out};
  rs_parallel_for(out->values.size[0], RS_ROW_GRAIN, map_rows, &m);
}

/* What a text is measured by, beside itself: the second operand, a constant. */
typedef double rs_measure(const char *text, size_t length, const rs_operand *with);

/* A number for each text of the first operand. */
static rs_status measure_texts(rs_column *out, const rs_call *call, rs_measure *measure, double of_missing) {
  texts t = {0};
  const rs_operand *with = call->n > 1 ? &call->args[1] : NULL;
  if (with && with->column) return rs_fail(RS_EARG, "'%s' takes a constant as its second operand", call->op);
  rs_status status = take_texts(&t, &call->args[0]);
  size_t bytes = status == RS_OK ? (size_t)(t.dictionary->n + 1) * sizeof(double) : 0;
  double *table = status == RS_OK ? rs_alloc(bytes) : NULL;
  if (status == RS_OK && !table) status = rs_nomem("expression", bytes);
  if (status == RS_OK) {
    table[0] = of_missing;
    for (int32_t code = 1; code <= t.dictionary->n; code++) {
      size_t length;
      const char *text = rs_dictionary_text(t.dictionary, code, &length);
      table[code] = with && with->missing ? NAN : measure(text, length, with);
    }
    apply_table(out, &t, table);
  }
  rs_free(table);
  free_texts(&t);
  return status;
}

static double count_characters(const char *text, size_t length, const rs_operand *with) {
  (void)with;
  int64_t n = 0;
  for (size_t i = 0; i < length; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
  return (double)n;
}

static double holds(const char *text, size_t length, const rs_operand *with) {
  return with->length == 0 || memmem(text, length, with->text, with->length) != NULL;
}

static double begins(const char *text, size_t length, const rs_operand *with) {
  return length >= with->length && memcmp(text, with->text, with->length) == 0;
}

static double ends(const char *text, size_t length, const rs_operand *with) {
  return length >= with->length && memcmp(text + length - with->length, with->text, with->length) == 0;
}

static double one(const char *text, size_t length, const rs_operand *with) {
  (void)text, (void)length, (void)with;
  return 1;
}

static double zero(const char *text, size_t length, const rs_operand *with) {
  (void)text, (void)length, (void)with;
  return 0;
}

static double parse_number(const char *text, size_t length, const rs_operand *with) {
  double value;
  (void)with;
  return rs_parse_number(text, length, &value) ? value : NAN;
}

static double parse_time(const char *text, size_t length, const rs_operand *with) { /* the bits of an i64 */
  int64_t ms;
  double bits;
  (void)with;
  if (!rs_parse_time(text, length, &ms)) ms = RS_TIME_MISSING;
  memcpy(&bits, &ms, sizeof bits);
  return bits;
}

rs_status rs_text_length(rs_column *out, const rs_call *call) {
  return measure_texts(out, call, count_characters, NAN);
}
rs_status rs_text_contains(rs_column *out, const rs_call *call) { return measure_texts(out, call, holds, NAN); }
rs_status rs_text_starts_with(rs_column *out, const rs_call *call) { return measure_texts(out, call, begins, NAN); }
rs_status rs_text_ends_with(rs_column *out, const rs_call *call) { return measure_texts(out, call, ends, NAN); }
rs_status rs_text_missing(rs_column *out, const rs_call *call) { return measure_texts(out, call, zero, 1); }
rs_status rs_text_present(rs_column *out, const rs_call *call) { return measure_texts(out, call, one, 0); }
rs_status rs_text_number(rs_column *out, const rs_call *call) { return measure_texts(out, call, parse_number, NAN); }
rs_status rs_text_time(rs_column *out, const rs_call *call) {
  int64_t missing = RS_TIME_MISSING;
  double bits;
  memcpy(&bits, &missing, sizeof bits);
  return measure_texts(out, call, parse_time, bits);
}

/* Equality and membership. */

/* map[code of 'from'] = the code of the same text in 'to', -1 when it has none; 0 stays 0. The caller frees. */
static rs_status match_codes(int32_t **map, const rs_dictionary *to, const rs_dictionary *from) {
  size_t bytes = (size_t)(from->n + 1) * sizeof **map;
  *map = rs_alloc(bytes);
  if (!*map) return rs_nomem("expression", bytes);
  (*map)[0] = 0;
  for (int32_t code = 1; code <= from->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(from, code, &length);
    int32_t found = to == from ? code : rs_dictionary_find(to, text, length);
    (*map)[code] = found ? found : -1;
  }
  return RS_OK;
}

typedef struct equality {
  texts a, b;
  int32_t *map; /* codes of b among those of a */
  bool wanted;
  double *out;
} equality;

static void compare_rows(void *context, int64_t begin, int64_t end) {
  const equality *e = context;
  for (int64_t i = begin; i < end; i++) {
    int32_t a = code_at(&e->a, i), b = e->map[code_at(&e->b, i)];
    e->out[i] = a == 0 || b == 0 ? NAN : (a == b) == e->wanted;
  }
}

static rs_status compare(rs_column *out, const rs_call *call, bool wanted) {
  equality e = {.wanted = wanted, .out = rs_f64(&out->values)};
  rs_status status = take_texts(&e.a, &call->args[0]);
  if (status == RS_OK) status = take_texts(&e.b, &call->args[1]);
  if (status == RS_OK) status = match_codes(&e.map, e.a.dictionary, e.b.dictionary);
  if (status == RS_OK) rs_parallel_for(call->rows, RS_ROW_GRAIN, compare_rows, &e);
  rs_free(e.map);
  free_texts(&e.a);
  free_texts(&e.b);
  return status;
}

rs_status rs_text_equal(rs_column *out, const rs_call *call) { return compare(out, call, true); }
rs_status rs_text_unequal(rs_column *out, const rs_call *call) { return compare(out, call, false); }

rs_status rs_text_in(rs_column *out, const rs_call *call) {
  texts t = {0};
  rs_status status = take_texts(&t, &call->args[0]);
  size_t bytes = status == RS_OK ? (size_t)(t.dictionary->n + 1) * sizeof(double) : 0;
  double *table = status == RS_OK ? rs_alloc_zero(bytes) : NULL;
  if (status == RS_OK && !table) status = rs_nomem("expression", bytes);
  for (int i = 1; status == RS_OK && i < call->n; i++) {
    const rs_operand *a = &call->args[i];
    if (a->column) status = rs_fail(RS_EARG, "'%s' takes constants behind its first operand", call->op);
    int32_t code = a->column || a->missing ? 0 : rs_dictionary_find(t.dictionary, a->text, a->length);
    table[code] = 1;
  }
  if (status == RS_OK) {
    table[0] = NAN;
    apply_table(out, &t, table);
  }
  rs_free(table);
  free_texts(&t);
  return status;
}

/* New texts. */

/* Append what becomes of a text. */
typedef rs_status rs_rewrite(rs_buffer *to, const char *text, size_t length, const void *with);

/* A new dictionary of what becomes of the texts; map[code] = the new code. */
static rs_status rewrite_dictionary(rs_dictionary *to, int32_t *map, const rs_dictionary *from, rs_rewrite *rewrite,
                                    const void *with) {
  rs_buffer buffer = {0};
  rs_status status = RS_OK;
  map[0] = 0;
  for (int32_t code = 1; status == RS_OK && code <= from->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(from, code, &length);
    buffer.size = 0;
    status = rewrite(&buffer, text, length, with);
    if (status == RS_OK) status = rs_dictionary_add(to, buffer.size ? buffer.data : "", buffer.size, &map[code]);
  }
  rs_buffer_free(&buffer);
  return status;
}

static rs_status rewrite_texts(rs_column *out, const rs_operand *a, rs_rewrite *rewrite, const void *with) {
  texts t = {0};
  int32_t *map = NULL;
  rs_status status = take_texts(&t, a);
  if (status == RS_OK) status = rs_dictionary_new(&out->dictionary);
  if (status == RS_OK) {
    size_t bytes = (size_t)(t.dictionary->n + 1) * sizeof *map;
    map = rs_alloc(bytes);
    if (!map) status = rs_nomem("expression", bytes);
  }
  if (status == RS_OK) status = rewrite_dictionary(out->dictionary, map, t.dictionary, rewrite, with);
  if (status == RS_OK) apply_table(out, &t, map);
  rs_free(map);
  free_texts(&t);
  return status;
}

/* Every character by 'with', a function of code points; stray bytes stay. */
static rs_status change_case(rs_buffer *to, const char *text, size_t length, const void *with) {
  utf8proc_int32_t (*const *change)(utf8proc_int32_t) = with;
  rs_status status = rs_buffer_reserve(to, 4 * length + 4);
  for (size_t at = 0; status == RS_OK && at < length;) {
    utf8proc_int32_t point;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(length - at), &point);
    if (n <= 0) {
      to->data[to->size++] = text[at++];
      continue;
    }
    to->size += (size_t)utf8proc_encode_char((*change)(point), (utf8proc_uint8_t *)to->data + to->size);
    at += (size_t)n;
  }
  return status;
}

rs_status rs_text_lower(rs_column *out, const rs_call *call) {
  utf8proc_int32_t (*change)(utf8proc_int32_t) = utf8proc_tolower;
  return rewrite_texts(out, &call->args[0], change_case, &change);
}

rs_status rs_text_upper(rs_column *out, const rs_call *call) {
  utf8proc_int32_t (*change)(utf8proc_int32_t) = utf8proc_toupper;
  return rewrite_texts(out, &call->args[0], change_case, &change);
}

/* Two operands joined: their distinct pairs are numbered, and each pair's text is made once. */
typedef struct pairing {
  texts a, b;
  int64_t *ids;   /* of each row's pair */
  int32_t *codes; /* of each pair in the new dictionary */
} pairing;

static rs_status join_pair(const pairing *p, rs_dictionary *to, rs_buffer *buffer, int64_t row, int32_t *code) {
  int32_t a = code_at(&p->a, row), b = code_at(&p->b, row);
  size_t n, m;
  *code = 0;
  if (a == 0 || b == 0) return RS_OK;
  const char *left = rs_dictionary_text(p->a.dictionary, a, &n), *right = rs_dictionary_text(p->b.dictionary, b, &m);
  buffer->size = 0;
  rs_status status = rs_buffer_append(buffer, left, n);
  if (status == RS_OK) status = rs_buffer_append(buffer, right, m);
  return status == RS_OK ? rs_dictionary_add(to, buffer->size ? buffer->data : "", buffer->size, code) : status;
}

static rs_status join_pairs(rs_column *out, pairing *p, int64_t rows) {
  rs_buffer buffer = {0};
  int64_t n_ids = 0, next = 0;
  for (int64_t i = 0; i < rows; i++) p->ids[i] = (int64_t)code_at(&p->a, i) << 32 | code_at(&p->b, i);
  rs_status status = rs_number(p->ids, rows, 0, &n_ids);
  for (int64_t i = 0; status == RS_OK && i < rows; i++) {
    if (p->ids[i] == next) status = join_pair(p, out->dictionary, &buffer, i, &p->codes[next++]);
    rs_i32(&out->values)[i] = p->codes[p->ids[i]];
  }
  rs_buffer_free(&buffer);
  return status;
}

rs_status rs_text_concat(rs_column *out, const rs_call *call) {
  pairing p = {0};
  size_t bytes = (size_t)call->rows * sizeof(int64_t);
  rs_status status = take_texts(&p.a, &call->args[0]);
  if (status == RS_OK) status = take_texts(&p.b, &call->args[1]);
  if (status == RS_OK) status = rs_dictionary_new(&out->dictionary);
  p.ids = rs_alloc(bytes);
  p.codes = rs_alloc_zero(bytes);
  if (status == RS_OK && (!p.ids || !p.codes)) status = rs_nomem("expression", bytes);
  if (status == RS_OK) status = join_pairs(out, &p, call->rows);
  rs_free(p.ids);
  rs_free(p.codes);
  free_texts(&p.a);
  free_texts(&p.b);
  return status;
}

/* Two operands over one dictionary, that of the first with the other's texts behind: b's codes by 'map'. */
typedef struct choice {
  texts a, b;
  int32_t *map;
  const double *condition; /* NULL: where a is present */
  int64_t stride;
  int32_t *out;
} choice;

static void choose_rows(void *context, int64_t begin, int64_t end) {
  const choice *c = context;
  for (int64_t i = begin; i < end; i++) {
    int32_t a = code_at(&c->a, i);
    double condition = c->condition ? c->condition[i * c->stride] : a != 0;
    c->out[i] = isnan(condition) ? 0 : condition != 0 ? a : c->map[code_at(&c->b, i)];
  }
}

static rs_status copy_text(rs_buffer *to, const char *text, size_t length, const void *with) {
  (void)with;
  return rs_buffer_append(to, text, length);
}

/* out->dictionary and c->map. */
static rs_status unite(rs_column *out, choice *c) {
  size_t n = (size_t)(c->a.dictionary->n > c->b.dictionary->n ? c->a.dictionary->n : c->b.dictionary->n) + 1;
  c->map = rs_alloc(n * sizeof *c->map);
  if (!c->map) return rs_nomem("expression", n * sizeof *c->map);
  if (c->a.dictionary == c->b.dictionary) {
    for (size_t i = 0; i < n; i++) c->map[i] = (int32_t)i;
    rs_dictionary_retain(c->a.dictionary);
    out->dictionary = c->a.dictionary;
    return RS_OK;
  }
  rs_status status = rs_dictionary_new(&out->dictionary);
  if (status == RS_OK) status = rewrite_dictionary(out->dictionary, c->map, c->a.dictionary, copy_text, NULL);
  return status == RS_OK ? rewrite_dictionary(out->dictionary, c->map, c->b.dictionary, copy_text, NULL) : status;
}

static rs_status choose(rs_column *out, const rs_call *call, const rs_operand *a, const rs_operand *b,
                        const rs_operand *condition) {
  choice c = {.out = rs_i32(&out->values)};
  if (condition) {
    c.condition = condition->column ? rs_f64(&condition->column->values) : &condition->number;
    c.stride = condition->column != NULL;
  }
  rs_status status = take_texts(&c.a, a);
  if (status == RS_OK) status = take_texts(&c.b, b);
  if (status == RS_OK) status = unite(out, &c);
  if (status == RS_OK) rs_parallel_for(call->rows, RS_ROW_GRAIN, choose_rows, &c);
  rs_free(c.map);
  free_texts(&c.a);
  free_texts(&c.b);
  return status;
}

rs_status rs_text_fill(rs_column *out, const rs_call *call) {
  return choose(out, call, &call->args[0], &call->args[1], NULL);
}

rs_status rs_text_if_else(rs_column *out, const rs_call *call) {
  return choose(out, call, &call->args[1], &call->args[2], &call->args[0]);
}

/* Numbers and times as texts: each distinct value is written once. */

static rs_status write_values(rs_column *out, const rs_call *call, const int64_t *bits, int64_t stride, bool times) {
  size_t bytes = (size_t)call->rows * sizeof(int64_t);
  int64_t *ids = rs_alloc(bytes), n_ids = 0, next = 0;
  int32_t *codes = rs_alloc_zero(bytes);
  rs_status status = ids && codes ? rs_dictionary_new(&out->dictionary) : rs_nomem("expression", bytes);
  for (int64_t i = 0; status == RS_OK && i < call->rows; i++) ids[i] = bits[i * stride];
  if (status == RS_OK) status = rs_number(ids, call->rows, 0, &n_ids);
  for (int64_t i = 0; status == RS_OK && i < call->rows; i++) {
    char text[RS_TEXT_MAX];
    double number;
    memcpy(&number, &bits[i * stride], sizeof number);
    bool missing = times ? bits[i * stride] == RS_TIME_MISSING : isnan(number);
    if (ids[i] == next) {
      size_t length = missing ? 0 : times ? rs_format_time(text, bits[i * stride]) : rs_format_number(text, number);
      if (!missing) status = rs_dictionary_add(out->dictionary, text, length, &codes[next]);
      next++;
    }
    rs_i32(&out->values)[i] = codes[ids[i]];
  }
  rs_free(ids);
  rs_free(codes);
  return status;
}

rs_status rs_number_text(rs_column *out, const rs_call *call) {
  const rs_operand *a = &call->args[0];
  int64_t constant;
  memcpy(&constant, &a->number, sizeof constant);
  return write_values(out, call, a->column ? rs_tensor_data(&a->column->values) : &constant, a->column != NULL, false);
}

rs_status rs_time_text(rs_column *out, const rs_call *call) {
  const rs_operand *a = &call->args[0];
  return write_values(out, call, a->column ? rs_i64(&a->column->values) : &a->time, a->column != NULL, true);
}

/* Lists: always columns. */

rs_status rs_list_length(rs_column *out, const rs_call *call) {
  for (int64_t i = 0; i < call->rows; i++) rs_f64(&out->values)[i] = rs_i32(&call->args[0].column->lengths)[i];
  return RS_OK;
}

rs_status rs_list_missing(rs_column *out, const rs_call *call) {
  for (int64_t i = 0; i < call->rows; i++) rs_f64(&out->values)[i] = rs_i32(&call->args[0].column->lengths)[i] == 0;
  return RS_OK;
}

rs_status rs_list_present(rs_column *out, const rs_call *call) {
  for (int64_t i = 0; i < call->rows; i++) rs_f64(&out->values)[i] = rs_i32(&call->args[0].column->lengths)[i] != 0;
  return RS_OK;
}

/* Whether a list has the text, a constant, as a member. */
rs_status rs_list_contains(rs_column *out, const rs_call *call) {
  const rs_column *c = call->args[0].column;
  const rs_operand *with = &call->args[1];
  if (with->column) return rs_fail(RS_EARG, "'%s' takes a constant as its second operand", call->op);
  int32_t code = with->missing ? 0 : rs_dictionary_find(c->dictionary, with->text, with->length);
  for (int64_t i = 0; i < call->rows; i++) {
    const int32_t *members = rs_i32(&c->values) + rs_i64(&c->starts)[i];
    bool found = false;
    for (int32_t k = 0; code && k < rs_i32(&c->lengths)[i]; k++) found = found || members[k] == code;
    rs_f64(&out->values)[i] = with->missing ? NAN : found;
  }
  return RS_OK;
}
