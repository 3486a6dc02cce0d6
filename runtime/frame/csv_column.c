/* csv_column.c - see csv_column.h. */
#include "frame/csv_column.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/text.h"

enum { FIRST_ROWS = 32, EXCERPT = 40, NEAR_SLOTS = 1 << 12 };

void rs_csv_cells_free(rs_csv_cells *cells) {
  rs_buffer_free(&cells->unescaped);
  rs_buffer_free(&cells->transcoded);
  rs_buffer_free(&cells->reason);
}

void rs_csv_builder_begin(rs_csv_builder *b, const rs_csv_plan *plan, const rs_csv_words *known) {
  b->plan = *plan;
  b->known = known;
  b->demoted = false;
  b->n = b->values = 0;
  rs_csv_words_clear(&b->fresh);
}

void rs_csv_builder_free(rs_csv_builder *b) {
  rs_free(b->cells);
  rs_free(b->lengths);
  rs_free(b->members);
  rs_csv_words_free(&b->fresh);
  *b = (rs_csv_builder){0};
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

rs_csv_type rs_csv_guess(const rs_csv_cells *cells, const rs_csv_field *f) {
  if (is_null(cells, f->text, f->length)) return RS_CSV_INFER;
  return f->escaped ? RS_CSV_STRING : guess_text(f->text, f->length);
}

rs_status rs_csv_misfit(rs_csv_builder *b, rs_buffer *reason, const char *text, size_t length, bool *fits) {
  static const char *const faults[] = {"",
                                       "no number",
                                       "not valid UTF-8",
                                       "no list, or not valid UTF-8",
                                       "no ISO 8601 time (for epoch numbers declare time_s or time_ms)",
                                       "no time in seconds since 1970",
                                       "no time in milliseconds since 1970"};
  char excerpt[EXCERPT + 1];
  size_t n = length < EXCERPT ? length : EXCERPT;
  *fits = b->demoted = b->plan.inferred && b->plan.type != RS_CSV_STRING;
  if (*fits) return RS_OK;
  for (size_t i = 0; i < n; i++) excerpt[i] = text[i] >= 32 && text[i] < 127 ? text[i] : '?';
  excerpt[n] = 0;
  reason->size = 0;
  return rs_buffer_printf(reason, "column '%s': '%s%s' is %s", b->plan.name, excerpt, length > n ? "..." : "",
                          faults[b->plan.type]);
}

bool rs_csv_parse_epoch(rs_csv_type type, const char *text, size_t length, int64_t *ms) {
  double number, unit = type == RS_CSV_TIME_S ? 1000 : 1;
  if (!rs_parse_number(text, length, &number) || !(fabs(number * unit) <= (double)RS_TIME_LIMIT)) return false;
  *ms = (int64_t)floor(number * unit + 0.5);
  return true;
}

/* Parse a present cell as the column's type. */
static bool parse_cell(rs_csv_builder *b, const rs_csv_cells *cells, const rs_csv_field *f) {
  switch (b->plan.type) {
    case RS_CSV_NUMBER:
      return rs_parse_number(f->text, f->length, &b->number) &&
             (!b->plan.inferred || rs_number_is_faithful(f->text, f->length));
    case RS_CSV_TIME: return rs_parse_time(f->text, f->length, &b->time);
    case RS_CSV_TIME_S:
    case RS_CSV_TIME_MS: return rs_csv_parse_epoch(b->plan.type, f->text, f->length, &b->time);
    default: return cells->dialect->encoding == RS_CSV_LATIN1 || rs_utf8_is_valid(f->text, f->length);
  }
}

size_t rs_csv_cell_size(rs_csv_type type) { return type == RS_CSV_STRING ? sizeof(int32_t) : sizeof(int64_t); }

void rs_csv_put_missing(rs_csv_type type, void *cells, int32_t *lengths, int64_t begin, int64_t end, int64_t values) {
  for (int64_t i = begin; i < end; i++) switch (type) {
      case RS_CSV_NUMBER: ((double *)cells)[i] = NAN; break;
      case RS_CSV_STRING: ((int32_t *)cells)[i] = 0; break;
      case RS_CSV_LIST:
        ((int64_t *)cells)[i] = values;
        lengths[i] = 0;
        break;
      default: ((int64_t *)cells)[i] = RS_TIME_MISSING;
    }
}

/* Room for 'more' rows. Cells are 8 bytes wide whatever the type, which another block may change. */
rs_status rs_csv_reserve(rs_csv_builder *b, int64_t more) {
  if (b->n + more > b->capacity || !b->cells || (b->plan.type == RS_CSV_LIST && !b->lengths)) {
    int64_t capacity = b->capacity + b->capacity / 2;
    if (capacity < b->n + more + FIRST_ROWS) capacity = b->n + more + FIRST_ROWS;
    size_t bytes = (size_t)capacity * sizeof(int64_t);
    void *cells = rs_realloc(b->cells, bytes);
    if (!cells) return rs_nomem("csv", bytes);
    b->cells = cells;
    if (b->plan.type == RS_CSV_LIST) {
      int32_t *lengths = rs_realloc(b->lengths, bytes / 2);
      if (!lengths) return rs_nomem("csv", bytes / 2);
      b->lengths = lengths;
    }
    b->capacity = capacity;
  }
  return RS_OK;
}

void rs_csv_fill_missing(rs_csv_builder *b, int64_t begin, int64_t end) {
  rs_csv_put_missing(b->plan.type, b->cells, b->lengths, begin, end, b->values);
}

/* The negative code of a text that the column does not know. */
static rs_status encode_fresh(rs_csv_builder *b, const char *text, size_t length, uint64_t hash, int32_t *code) {
  rs_status status = rs_csv_words_add(&b->fresh, text, length, hash, code);
  *code = -*code;
  return status;
}

/* The code of a text: of the whole column, or a negative one of this block. */
rs_status rs_csv_encode(rs_csv_builder *b, const char *text, size_t length, int32_t *code) {
  uint64_t hash = rs_csv_words_hash(text, length);
  *code = rs_csv_words_find(b->known, text, length, hash);
  return *code ? RS_OK : encode_fresh(b, text, length, hash, code);
}

rs_status rs_csv_check(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f, bool *fits) {
  b->missing = is_null(cells, f->text, f->length);
  *fits = true;
  if (b->missing || b->demoted) return RS_OK;
  if (b->plan.type == RS_CSV_INFER) {
    b->plan.type = rs_csv_guess(cells, f);
    rs_status status = rs_csv_reserve(b, 0);
    if (status != RS_OK) return status;
    rs_csv_fill_missing(b, 0, b->n); /* the rows before the first value */
  }
  *fits = parse_cell(b, cells, f);
  return *fits ? RS_OK : rs_csv_misfit(b, &cells->reason, f->text, f->length, fits);
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
  const char *text;
  size_t length;
  rs_status status = clean_text(cells, f, &text, &length);
  return status == RS_OK ? rs_csv_encode(b, text, length, (int32_t *)b->cells + b->n) : status;
}

rs_status rs_csv_append_member(rs_csv_builder *b, const char *text, size_t length) {
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
  return rs_csv_encode(b, text, length, &b->members[b->values++]);
}

rs_status rs_csv_append_members(rs_csv_builder *b, const char *text, size_t length) {
  size_t n = strlen(b->plan.separator);
  const char *end = text + length;
  rs_status status = RS_OK;
  while (status == RS_OK && text < end) {
    const char *stop = memmem(text, (size_t)(end - text), b->plan.separator, n);
    status = rs_csv_append_member(b, text, (size_t)((stop ? stop : end) - text));
    text = stop ? stop + n : end;
  }
  return status;
}

static rs_status append_list(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f) {
  const char *text;
  size_t length;
  int64_t begin = b->values;
  rs_status status = clean_text(cells, f, &text, &length);
  if (status == RS_OK) status = rs_csv_append_members(b, text, length);
  ((int64_t *)b->cells)[b->n] = begin;
  b->lengths[b->n] = (int32_t)(b->values - begin);
  return status;
}

rs_status rs_csv_append(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f) {
  if (b->plan.type == RS_CSV_INFER || b->demoted) {
    b->n++;
    return RS_OK;
  }
  rs_status status = rs_csv_reserve(b, 1);
  if (status != RS_OK) return status;
  if (b->missing)
    rs_csv_fill_missing(b, b->n, b->n + 1);
  else if (b->plan.type == RS_CSV_NUMBER)
    ((double *)b->cells)[b->n] = b->number;
  else if (b->plan.type == RS_CSV_STRING)
    status = append_string(b, cells, f);
  else if (b->plan.type == RS_CSV_LIST)
    status = append_list(b, cells, f);
  else
    ((int64_t *)b->cells)[b->n] = b->time;
  b->n++;
  return status;
}

/* A cell that the fast way left over. */
static bool odd_number(rs_csv_builder *b, const rs_csv_cells *cells, const rs_csv_batch *batch, int field, int row) {
  rs_csv_field f = {0};
  f.text = rs_csv_batch_cell(batch, row, field, &f.length);
  b->number = NAN;
  return is_null(cells, f.text, f.length) || parse_cell(b, cells, &f);
}

/* The numbers of a batch; false when a cell is none. */
static bool check_numbers(rs_csv_builder *b, const rs_csv_cells *cells, const rs_csv_batch *batch, int field) {
  double *out = (double *)b->cells + b->n;
  for (int row = 0; row < batch->n; row++) {
    if (cells->n_nulls == 0) row = rs_csv_numbers(batch, field, row, out);
    if (row == batch->n) break;
    if (!odd_number(b, cells, batch, field, row)) return false;
    out[row] = b->number;
  }
  return true;
}

static bool check_times(rs_csv_builder *b, const rs_csv_cells *cells, const rs_csv_batch *batch, int field) {
  int64_t *out = (int64_t *)b->cells + b->n;
  for (int row = 0; row < batch->n; row++) {
    rs_csv_field f = {0};
    f.text = rs_csv_batch_cell(batch, row, field, &f.length);
    b->time = RS_TIME_MISSING;
    if (!is_null(cells, f.text, f.length) && !parse_cell(b, cells, &f)) return false;
    out[row] = b->time;
  }
  return true;
}

/* Milliseconds from a column of epoch numbers, which are first read where the times will be. */
static bool check_epochs(rs_csv_builder *b, const rs_csv_cells *cells, const rs_csv_batch *batch, int field) {
  double unit = b->plan.type == RS_CSV_TIME_S ? 1000 : 1, *numbers = (double *)b->cells + b->n;
  int64_t *out = (int64_t *)b->cells + b->n;
  if (cells->n_nulls || rs_csv_numbers(batch, field, 0, numbers) < batch->n) return check_times(b, cells, batch, field);
  for (int row = 0; row < batch->n; row++) {
    double ms = floor(numbers[row] * unit + 0.5);
    if (fabs(numbers[row] * unit) > (double)RS_TIME_LIMIT) return false;
    out[row] = isnan(ms) ? RS_TIME_MISSING : (int64_t)ms;
  }
  return true;
}

rs_status rs_csv_check_batch(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_batch *batch, int field, bool *fits) {
  *fits = true;
  if (b->demoted) return RS_OK;
  rs_status status = rs_csv_reserve(b, batch->n);
  if (status != RS_OK) return status;
  switch (b->plan.type) {
    case RS_CSV_INFER: *fits = false; return RS_OK;
    case RS_CSV_NUMBER: *fits = check_numbers(b, cells, batch, field); break;
    case RS_CSV_TIME: *fits = check_times(b, cells, batch, field); break;
    case RS_CSV_TIME_S:
    case RS_CSV_TIME_MS: *fits = check_epochs(b, cells, batch, field); break;
    default: break;
  }
  if (*fits || !b->plan.inferred) return RS_OK;
  return *fits = b->demoted = true, RS_OK;
}

/* The texts of a batch on their way to codes, one step for all of them after another: what one waits for in memory is
 * fetched while the others are worked on, and nothing branches on a text. */
typedef struct texts {
  int n, n_odd;
  const char *text[RS_CSV_BATCH];
  uint16_t length[RS_CSV_BATCH], odd[RS_CSV_BATCH]; /* odd: the rows whose code is not the first guess */
  rs_csv_key key[RS_CSV_BATCH];                     /* of short ones */
  uint64_t hash[RS_CSV_BATCH];
} texts;

/* Collect the cells. Returns the bits of all their lengths together. */
static unsigned collect(texts *t, const rs_csv_batch *batch, int field) {
  unsigned bits = 0;
  for (int row = 0; row < batch->n; row++) {
    size_t length;
    t->text[row] = rs_csv_batch_cell(batch, row, field, &length);
    t->length[row] = (uint16_t)length;
    bits |= (unsigned)length;
  }
  t->n = batch->n;
  t->n_odd = 0;
  return bits;
}

static void hash_short(texts *t) {
  for (int row = 0; row < t->n; row++) {
    t->key[row] = rs_csv_short_key(t->text[row], t->length[row]);
    t->hash[row] = rs_csv_hash_key(t->key[row]);
  }
}

static void hash_any(texts *t) {
  for (int row = 0; row < t->n; row++) {
    size_t length = t->length[row];
    if (length <= RS_CSV_SHORT) {
      t->key[row] = rs_csv_short_key(t->text[row], length);
      t->hash[row] = rs_csv_hash_key(t->key[row]);
    } else
      t->hash[row] = rs_csv_hash_text(t->text[row], length);
  }
}

/* Fetch what the codes are looked up in, unless it is so small that it is there already. */
static void fetch(const texts *t, const rs_csv_words *known) {
  uint64_t mask = (uint64_t)known->n_slots - 1;
  if (known->n_slots < NEAR_SLOTS) return;
  for (int row = 0; row < t->n; row++) __builtin_prefetch(&known->slots[t->hash[row] & mask]);
  for (int row = 0; row < t->n; row++) __builtin_prefetch(&known->keys[known->slots[t->hash[row] & mask].code]);
}

/* The code in the slot where a hash belongs: most often the text's. */
RS_INLINE int32_t home(const rs_csv_words *known, uint64_t hash) {
  return known->slots[hash & ((uint64_t)known->n_slots - 1)].code;
}

static void look_up_short(texts *t, const rs_csv_words *known, int32_t *codes) {
  for (int row = 0; row < t->n; row++) {
    codes[row] = home(known, t->hash[row]);
    rs_csv_key key = known->keys[codes[row]];
    t->odd[t->n_odd] = (uint16_t)row;
    t->n_odd += ((key.low ^ t->key[row].low) | (key.high ^ t->key[row].high)) != 0;
  }
}

static void look_up_any(texts *t, const rs_csv_words *known, int32_t *codes) {
  for (int row = 0; row < t->n; row++) {
    size_t length = t->length[row];
    codes[row] = home(known, t->hash[row]);
    rs_csv_key key = known->keys[codes[row]];
    bool found = length <= RS_CSV_SHORT ? key.low == t->key[row].low && key.high == t->key[row].high
                                        : key.high == rs_csv_long_key(0, length).high &&
                                              rs_csv_same(known->texts->bytes + key.low, t->text[row], length);
    t->odd[t->n_odd] = (uint16_t)row;
    t->n_odd += !found;
  }
}

/* The codes of the rest: displaced in the table, new, or missing. */
static rs_status encode_odd(rs_csv_builder *b, texts *t, int32_t *codes) {
  rs_status status = RS_OK;
  for (int i = 0; i < t->n_odd && status == RS_OK; i++) {
    int row = t->odd[i];
    size_t length = t->length[row];
    codes[row] = length ? rs_csv_words_find(b->known, t->text[row], length, t->hash[row]) : 0;
    if (length && codes[row] == 0) status = encode_fresh(b, t->text[row], length, t->hash[row], &codes[row]);
  }
  return status;
}

static void drop_nulls(const rs_csv_cells *cells, texts *t) {
  for (int row = 0; row < t->n; row++)
    if (is_null(cells, t->text[row], t->length[row])) t->length[row] = 0;
}

static rs_status append_strings(rs_csv_builder *b, const rs_csv_cells *cells, const rs_csv_batch *batch, int field) {
  texts t;
  int32_t *codes = (int32_t *)b->cells + b->n;
  bool all_short = collect(&t, batch, field) <= RS_CSV_SHORT;
  if (cells->n_nulls) drop_nulls(cells, &t);
  (all_short ? hash_short : hash_any)(&t);
  if (b->known->n_slots) {
    fetch(&t, b->known);
    (all_short ? look_up_short : look_up_any)(&t, b->known, codes);
  } else
    for (; t.n_odd < t.n; t.n_odd++) t.odd[t.n_odd] = (uint16_t)t.n_odd;
  return encode_odd(b, &t, codes);
}

rs_status rs_csv_append_batch(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_batch *batch, int field) {
  rs_status status = RS_OK;
  if (b->plan.type == RS_CSV_STRING && !b->demoted) status = append_strings(b, cells, batch, field);
  if (b->plan.type != RS_CSV_LIST) {
    b->n += batch->n;
    return status;
  }
  for (int row = 0; status == RS_OK && row < batch->n; row++, b->n++) {
    rs_csv_field f = {0};
    f.text = rs_csv_batch_cell(batch, row, field, &f.length);
    if (is_null(cells, f.text, f.length))
      rs_csv_fill_missing(b, b->n, b->n + 1);
    else
      status = append_list(b, cells, &f);
  }
  return status;
}
