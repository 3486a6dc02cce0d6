/* csv_column.c - see csv_column.h. */
#include "frame/csv_column.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/text.h"

enum { FIRST_ROWS = 256, EXCERPT = 40 };

void rs_csv_cells_free(rs_csv_cells *cells) {
  rs_buffer_free(&cells->unescaped);
  rs_buffer_free(&cells->transcoded);
  rs_buffer_free(&cells->reason);
}

void rs_csv_builder_reset(rs_csv_builder *b) {
  rs_free(b->cells);
  rs_free(b->lengths);
  rs_free(b->members);
  rs_dictionary_release(b->dictionary);
  *b = (rs_csv_builder){.name = b->name, .separator = b->separator, .type = b->type, .inferred = b->inferred};
}

static bool is_null(const rs_csv_cells *cells, const char *text, size_t length) {
  if (length == 0) return true;
  if (cells->dialect->escape == RS_CSV_MYSQL && length == 2 && memcmp(text, "\\N", 2) == 0) return true;
  for (int i = 0; i < cells->n_nulls; i++)
    if (strlen(cells->nulls[i]) == length && memcmp(cells->nulls[i], text, length) == 0) return true;
  return false;
}

static rs_csv_type guess_text(const char *text, size_t length) {
  double number;
  int64_t time;
  if (rs_parse_number(text, length, &number) && rs_number_is_faithful(text, length)) return RS_CSV_NUMBER;
  return rs_parse_time(text, length, &time) ? RS_CSV_TIME : RS_CSV_STRING;
}

rs_csv_type rs_csv_guess(rs_csv_cells *cells, const rs_csv_field *f) {
  if (is_null(cells, f->text, f->length)) return RS_CSV_INFER;
  return f->escaped ? RS_CSV_STRING : guess_text(f->text, f->length);
}

/* Note why a cell is refused, with the begin of its text. */
static rs_status refuse(rs_csv_cells *cells, const rs_csv_builder *b, const char *what, const char *text,
                        size_t length) {
  char excerpt[EXCERPT + 1];
  size_t n = length < EXCERPT ? length : EXCERPT;
  for (size_t i = 0; i < n; i++) excerpt[i] = text[i] >= 32 && text[i] < 127 ? text[i] : '?';
  excerpt[n] = 0;
  cells->reason.size = 0;
  return rs_buffer_printf(&cells->reason, "column '%s': '%s%s' is %s", b->name, excerpt, length > n ? "..." : "", what);
}

static bool parse_epoch(const char *text, size_t length, double unit, int64_t *ms) {
  double number;
  if (!rs_parse_number(text, length, &number) || !(fabs(number * unit) <= (double)RS_TIME_LIMIT)) return false;
  *ms = (int64_t)floor(number * unit + 0.5);
  return true;
}

/* Parse a present cell as the column's type. */
static bool parse_cell(rs_csv_builder *b, const rs_csv_cells *cells, const rs_csv_field *f) {
  switch (b->type) {
    case RS_CSV_NUMBER:
      return rs_parse_number(f->text, f->length, &b->number) &&
             (!b->inferred || rs_number_is_faithful(f->text, f->length));
    case RS_CSV_TIME: return rs_parse_time(f->text, f->length, &b->time);
    case RS_CSV_TIME_S: return parse_epoch(f->text, f->length, 1000, &b->time);
    case RS_CSV_TIME_MS: return parse_epoch(f->text, f->length, 1, &b->time);
    default:
      return cells->dialect->encoding == RS_CSV_LATIN1 || cells->dialect->clean || rs_utf8_is_valid(f->text, f->length);
  }
}

rs_status rs_csv_check(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f, bool *fits) {
  static const char *const faults[] = {"",
                                       "no number",
                                       "not valid UTF-8",
                                       "not valid UTF-8",
                                       "no ISO 8601 time (for epoch numbers declare time_s or time_ms)",
                                       "no time in seconds since 1970",
                                       "no time in milliseconds since 1970"};
  b->missing = is_null(cells, f->text, f->length);
  *fits = true;
  if (b->missing || b->demoted) return RS_OK;
  if (b->type == RS_CSV_INFER) b->type = rs_csv_guess(cells, f);
  *fits = parse_cell(b, cells, f);
  if (*fits) return RS_OK;
  if (b->inferred && b->type != RS_CSV_STRING) {
    *fits = b->demoted = true;
    return RS_OK;
  }
  return refuse(cells, b, faults[b->type], f->text, f->length);
}

static size_t cell_size(const rs_csv_builder *b) {
  return b->type == RS_CSV_STRING ? sizeof(int32_t) : sizeof(int64_t);
}

/* Room for one more row. */
static rs_status grow(rs_csv_builder *b) {
  int64_t capacity = b->capacity ? b->capacity + b->capacity / 2 : FIRST_ROWS;
  if (capacity <= b->n) capacity = b->n + FIRST_ROWS;
  void *cells = rs_realloc(b->cells, (size_t)capacity * cell_size(b));
  if (!cells) return rs_nomem("csv", (size_t)capacity * cell_size(b));
  b->cells = cells;
  if (b->type == RS_CSV_LIST) {
    int32_t *lengths = rs_realloc(b->lengths, (size_t)capacity * sizeof *lengths);
    if (!lengths) return rs_nomem("csv", (size_t)capacity * sizeof *lengths);
    b->lengths = lengths;
  }
  b->capacity = capacity;
  if ((b->type == RS_CSV_STRING || b->type == RS_CSV_LIST) && !b->dictionary) return rs_dictionary_new(&b->dictionary);
  return RS_OK;
}

/* Write row i as missing. */
static void put_missing(rs_csv_builder *b, int64_t i) {
  switch (b->type) {
    case RS_CSV_NUMBER: ((double *)b->cells)[i] = NAN; break;
    case RS_CSV_STRING: ((int32_t *)b->cells)[i] = 0; break;
    case RS_CSV_LIST:
      ((int64_t *)b->cells)[i] = b->values;
      b->lengths[i] = 0;
      break;
    default: ((int64_t *)b->cells)[i] = RS_TIME_MISSING;
  }
}

/* The field's text in UTF-8, without escapes. */
static rs_status clean_text(rs_csv_cells *cells, const rs_csv_field *f, const char **text, size_t *length) {
  rs_status status = rs_csv_unescape(cells->dialect, f, &cells->unescaped, text, length);
  if (status != RS_OK || cells->dialect->encoding != RS_CSV_LATIN1) return status;
  for (size_t i = 0; i < *length; i++)
    if ((*text)[i] & 0x80) {
      status = rs_latin1_to_utf8(&cells->transcoded, *text, *length);
      *text = cells->transcoded.data;
      *length = cells->transcoded.size;
      break;
    }
  return status;
}

static rs_status append_string(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f) {
  const char *text, *last;
  size_t length, last_length;
  rs_status status = clean_text(cells, f, &text, &length);
  if (status != RS_OK) return status;
  if (b->last_code) {
    last = rs_dictionary_text(b->dictionary, b->last_code, &last_length);
    if (last_length == length && memcmp(last, text, length) == 0) {
      ((int32_t *)b->cells)[b->n] = b->last_code;
      return RS_OK;
    }
  }
  status = rs_dictionary_add(b->dictionary, text, length, &b->last_code);
  ((int32_t *)b->cells)[b->n] = b->last_code;
  return status;
}

static rs_status append_member(rs_csv_builder *b, const char *text, size_t length) {
  while (length && *text == ' ') text++, length--;
  while (length && text[length - 1] == ' ') length--;
  if (length == 0) return RS_OK;
  if (b->values == b->values_capacity) {
    int64_t capacity = b->values_capacity ? b->values_capacity * 2 : FIRST_ROWS;
    int32_t *members = rs_realloc(b->members, (size_t)capacity * sizeof *members);
    if (!members) return rs_nomem("csv", (size_t)capacity * sizeof *members);
    b->members = members;
    b->values_capacity = capacity;
  }
  return rs_dictionary_add(b->dictionary, text, length, &b->members[b->values++]);
}

static rs_status append_list(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f) {
  const char *text;
  size_t length, n = strlen(b->separator);
  rs_status status = clean_text(cells, f, &text, &length);
  int64_t begin = b->values;
  const char *end = text + length;
  while (status == RS_OK && text < end) {
    const char *stop = memmem(text, (size_t)(end - text), b->separator, n);
    status = append_member(b, text, (size_t)((stop ? stop : end) - text));
    text = stop ? stop + n : end;
  }
  ((int64_t *)b->cells)[b->n] = begin;
  b->lengths[b->n] = (int32_t)(b->values - begin);
  return status;
}

rs_status rs_csv_append(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f) {
  rs_status status = RS_OK;
  if (b->type == RS_CSV_INFER || b->demoted) {
    b->n++;
    return RS_OK;
  }
  if (b->n >= b->capacity) {
    bool first = !b->cells;
    status = grow(b);
    if (status != RS_OK) return status;
    for (int64_t i = 0; first && i < b->n; i++) put_missing(b, i); /* the rows before the first value */
  }
  if (b->missing)
    put_missing(b, b->n);
  else if (b->type == RS_CSV_NUMBER)
    ((double *)b->cells)[b->n] = b->number;
  else if (b->type == RS_CSV_STRING)
    status = append_string(b, cells, f);
  else if (b->type == RS_CSV_LIST)
    status = append_list(b, cells, f);
  else
    ((int64_t *)b->cells)[b->n] = b->time;
  b->n++;
  return status;
}

static void free_block(rs_storage *storage) { rs_free(storage->data); }

/* A tensor [n] over a block made by rs_alloc, which it takes over; the block is freed when that fails. */
static rs_status adopt(rs_tensor *out, void **block, rs_dtype dtype, int64_t n) {
  void *data = *block;
  *block = NULL;
  if (!data) return rs_tensor_new(out, dtype, 1, &n);
  size_t bytes = (size_t)n * rs_dtype_size(dtype);
  rs_storage *storage = rs_storage_wrap(data, bytes, true, free_block, NULL);
  if (!storage) {
    rs_free(data);
    return rs_nomem("csv", bytes);
  }
  return rs_tensor_over(out, storage, dtype, 1, &n, 0);
}

static rs_status finish_list(rs_csv_builder *b, rs_column *c) {
  void *lengths = b->lengths, *members = b->members;
  b->lengths = b->members = NULL;
  rs_status status = adopt(&c->starts, &b->cells, RS_I64, b->n);
  if (status == RS_OK) status = adopt(&c->lengths, &lengths, RS_I32, b->n);
  if (status == RS_OK) status = adopt(&c->values, &members, RS_I32, b->values);
  rs_free(lengths);
  rs_free(members);
  return status;
}

rs_status rs_csv_finish(rs_csv_builder *b, rs_column *out) {
  static const rs_dtype dtypes[] = {RS_F64, RS_I64, RS_I32, RS_I32};
  if (b->type == RS_CSV_INFER) b->type = RS_CSV_STRING; /* never a value */
  rs_status status = RS_OK;
  if (!b->cells) {
    status = grow(b);
    for (int64_t i = 0; status == RS_OK && i < b->n; i++) put_missing(b, i);
  }
  *out = (rs_column){.type = b->type == RS_CSV_NUMBER   ? RS_NUMBER
                             : b->type == RS_CSV_STRING ? RS_STRING
                             : b->type == RS_CSV_LIST   ? RS_LIST
                                                        : RS_TIME};
  if (status == RS_OK && !(out->name = rs_strdup(b->name))) status = rs_nomem("csv", strlen(b->name));
  out->dictionary = b->dictionary;
  b->dictionary = NULL;
  if (status == RS_OK)
    status = out->type == RS_LIST ? finish_list(b, out) : adopt(&out->values, &b->cells, dtypes[out->type], b->n);
  if (status != RS_OK) rs_column_free(out);
  rs_csv_builder_reset(b);
  return status;
}
