/* keys.c - see keys.h.
 *
 * Each key column becomes integers 0 .. range-1, equal for equal values: a string its code (in the first frame's
 * dictionary; the dictionaries are matched, not the rows), a time or a whole number its distance from the least, other
 * numbers by a hash table. The columns are folded into one integer, as digits are into a number; only where the product
 * of their ranges leaves 62 bits are the combinations so far numbered anew. */
#include "frame/keys.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/partition.h"

static const int64_t WIDEST = INT64_C(1) << 62;
static const int64_t WIDE_COLUMN = INT64_C(1) << 40; /* a column of a greater range is numbered by a hash table */

void rs_keys_free(rs_keys *keys) {
  rs_free(keys->columns);
  rs_free(keys->others);
  *keys = (rs_keys){0};
}

static rs_status find_columns(const rs_column **columns, const rs_frame *f, const char *const *names, int n) {
  for (int i = 0; i < n; i++) {
    columns[i] = rs_frame_need(f, names[i]);
    if (!columns[i]) return RS_EARG;
    if (columns[i]->type == RS_LIST) return rs_fail(RS_EARG, "frame: a list ('%s') cannot be a key", names[i]);
  }
  return RS_OK;
}

rs_status rs_keys_find(rs_keys *keys, const rs_frame *f, const char *const *names, const rs_frame *other,
                       const char *const *other_names, int n) {
  if (n < 1) return rs_fail(RS_EARG, "frame: at least one key column is needed");
  size_t bytes = (size_t)n * sizeof *keys->columns;
  *keys = (rs_keys){.n = n, .rows = f->rows, .other_rows = other ? other->rows : 0};
  keys->columns = rs_alloc(bytes);
  if (other) keys->others = rs_alloc(bytes);
  rs_status status = !keys->columns || (other && !keys->others) ? rs_nomem("frame keys", bytes) : RS_OK;
  if (status == RS_OK) status = find_columns(keys->columns, f, names, n);
  if (status == RS_OK && other) status = find_columns(keys->others, other, other_names, n);
  for (int i = 0; status == RS_OK && other && i < n; i++)
    if (keys->columns[i]->type != keys->others[i]->type)
      status = rs_fail(RS_EARG, "frame: key '%s' is a %s, '%s' of the other frame a %s", names[i],
                       rs_column_type_name(keys->columns[i]->type), other_names[i],
                       rs_column_type_name(keys->others[i]->type));
  if (status != RS_OK) rs_keys_free(keys);
  return status;
}

/* How the values of one key column become integers 0 .. range-1. For times and whole numbers 0 is "missing". */
typedef struct coding {
  enum { BY_CODE, BY_DISTANCE, BY_HASH } how;
  int64_t least, range; /* range: at least 1 where there are rows */
  int64_t *codes;   /* BY_CODE: of the second frame's strings; NULL: they are the first's */
  int64_t *numbers; /* BY_HASH: of both frames' rows, one after the other */
} coding;

static void coding_free(coding *c) {
  rs_free(c->codes);
  rs_free(c->numbers);
  *c = (coding){0};
}

/* The least and greatest value of each chunk of a time or number column. */
typedef struct extent {
  const rs_column *column;
  int64_t (*ends)[2]; /* of each chunk: least > greatest when all are missing */
  atomic_int broken;  /* a number is not whole, or too large to be exact */
} extent;

static void note(extent *e, int64_t chunk, int64_t least, int64_t greatest) {
  e->ends[chunk][0] = least;
  e->ends[chunk][1] = greatest;
}

static void find_times(void *context, int64_t begin, int64_t end) {
  extent *e = context;
  int64_t least = INT64_MAX, greatest = INT64_MIN;
  const int64_t *times = rs_i64(&e->column->values);
  for (int64_t i = begin; i < end; i++) {
    if (times[i] == RS_TIME_MISSING) continue;
    if (times[i] < least) least = times[i];
    if (times[i] > greatest) greatest = times[i];
  }
  note(e, begin / RS_ROW_GRAIN, least, greatest);
}

static void find_whole_numbers(void *context, int64_t begin, int64_t end) {
  extent *e = context;
  double least = INFINITY, greatest = -INFINITY;
  const double *numbers = rs_f64(&e->column->values);
  for (int64_t i = begin; i < end; i++) {
    if (isnan(numbers[i])) continue;
    if (!(fabs(numbers[i]) < 9007199254740992.0) || numbers[i] != floor(numbers[i])) {
      atomic_store(&e->broken, 1);
      return;
    }
    if (numbers[i] < least) least = numbers[i];
    if (numbers[i] > greatest) greatest = numbers[i];
  }
  bool none = least > greatest;
  note(e, begin / RS_ROW_GRAIN, none ? INT64_MAX : (int64_t)least, none ? INT64_MIN : (int64_t)greatest);
}

/* Widen least .. greatest to the column's values; *whole is false when one of its numbers is no whole one. */
static rs_status extend(int64_t *least, int64_t *greatest, bool *whole, const rs_column *c, int64_t n) {
  int64_t chunks = (n + RS_ROW_GRAIN - 1) / RS_ROW_GRAIN;
  extent e = {.column = c, .ends = rs_alloc((size_t)chunks * sizeof *e.ends)};
  if (!e.ends) return rs_nomem("frame keys", (size_t)chunks * sizeof *e.ends);
  rs_parallel_for(n, RS_ROW_GRAIN, c->type == RS_TIME ? find_times : find_whole_numbers, &e);
  if (atomic_load(&e.broken)) *whole = false;
  for (int64_t i = 0; *whole && i < chunks; i++) {
    if (e.ends[i][0] < *least) *least = e.ends[i][0];
    if (e.ends[i][1] > *greatest) *greatest = e.ends[i][1];
  }
  rs_free(e.ends);
  return RS_OK;
}

/* Bits that are equal for equal values: one NaN, and -0 is 0. */
static void value_bits(int64_t *bits, const rs_column *c, int64_t n) {
  if (c->type == RS_TIME) {
    if (n) memcpy(bits, rs_i64(&c->values), (size_t)n * sizeof *bits);
    return;
  }
  const double *values = rs_f64(&c->values);
  for (int64_t i = 0; i < n; i++) {
    double value = isnan(values[i]) ? NAN : values[i] + 0.0;
    memcpy(&bits[i], &value, sizeof value);
  }
}

static rs_status code_by_hash(coding *coded, const rs_keys *keys, int k) {
  int64_t n = keys->rows + keys->other_rows;
  coded->how = BY_HASH;
  coded->numbers = rs_alloc((size_t)n * sizeof(int64_t));
  if (!coded->numbers) return rs_nomem("frame keys", (size_t)n * sizeof(int64_t));
  value_bits(coded->numbers, keys->columns[k], keys->rows);
  if (keys->others) value_bits(coded->numbers + keys->rows, keys->others[k], keys->other_rows);
  return rs_number(coded->numbers, n, 0, &coded->range);
}

/* Codes of the second frame's strings in terms of the first's; those that it lacks get numbers of their own behind. */
static rs_status match_dictionaries(coding *coded, const rs_dictionary *to, const rs_dictionary *from) {
  coded->range = to->n + 1;
  if (from == to) return RS_OK;
  coded->codes = rs_alloc((size_t)(from->n + 1) * sizeof(int64_t));
  if (!coded->codes) return rs_nomem("frame keys", (size_t)(from->n + 1) * sizeof(int64_t));
  coded->codes[0] = 0;
  for (int64_t code = 1; code <= from->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(from, (int32_t)code, &length);
    int32_t found = rs_dictionary_find(to, text, length);
    coded->codes[code] = found ? found : coded->range++;
  }
  return RS_OK;
}

static rs_status find_coding(coding *coded, const rs_keys *keys, int k) {
  const rs_column *c = keys->columns[k], *other = keys->others ? keys->others[k] : NULL;
  if (c->type == RS_STRING)
    return match_dictionaries(coded, c->dictionary, other ? other->dictionary : c->dictionary);
  int64_t least = INT64_MAX, greatest = INT64_MIN;
  bool whole = true;
  rs_status status = extend(&least, &greatest, &whole, c, keys->rows);
  if (status == RS_OK && other && whole) status = extend(&least, &greatest, &whole, other, keys->other_rows);
  if (status != RS_OK) return status;
  if (least > greatest) least = greatest = 0;
  /* In unsigned arithmetic: the distance of any two times fits. */
  if (!whole || (uint64_t)greatest - (uint64_t)least > (uint64_t)WIDE_COLUMN) return code_by_hash(coded, keys, k);
  coded->how = BY_DISTANCE;
  coded->least = least;
  coded->range = greatest - least + 2;
  return RS_OK;
}

/* Fold one column of one frame into its ids. */
typedef struct fold {
  int64_t *ids;
  const coding *coded;
  const rs_column *column;
  const int64_t *codes, *numbers; /* of this frame */
} fold;

static void fold_rows(void *context, int64_t begin, int64_t end) {
  const fold *f = context;
  const int64_t range = f->coded->range, least = f->coded->least;
  int64_t *ids = f->ids;
  if (f->coded->how == BY_HASH) {
    for (int64_t i = begin; i < end; i++) ids[i] = ids[i] * range + f->numbers[i];
  } else if (f->column->type == RS_STRING) {
    const int32_t *codes = rs_i32(&f->column->values);
    if (f->codes)
      for (int64_t i = begin; i < end; i++) ids[i] = ids[i] * range + f->codes[codes[i]];
    else
      for (int64_t i = begin; i < end; i++) ids[i] = ids[i] * range + codes[i];
  } else if (f->column->type == RS_TIME) {
    const int64_t *times = rs_i64(&f->column->values);
    for (int64_t i = begin; i < end; i++)
      ids[i] = ids[i] * range + (times[i] == RS_TIME_MISSING ? 0 : times[i] - least + 1);
  } else {
    const double *numbers = rs_f64(&f->column->values);
    for (int64_t i = begin; i < end; i++)
      ids[i] = ids[i] * range + (isnan(numbers[i]) ? 0 : (int64_t)numbers[i] - least + 1);
  }
}

/* How column k becomes integers, such that *range times their range fits; ids may be numbered anew for it. */
static rs_status fit_coding(coding *coded, const rs_keys *keys, int k, int64_t *ids, int64_t *range) {
  rs_status status = find_coding(coded, keys, k);
  if (status != RS_OK || coded->range <= WIDEST / *range) return status;
  status = rs_number(ids, keys->rows + keys->other_rows, *range, range);
  if (status != RS_OK || coded->range <= WIDEST / *range || keys->columns[k]->type == RS_STRING) return status;
  coding_free(coded);
  return code_by_hash(coded, keys, k); /* numbers of rows: the product of two fits */
}

/* Fold key column k into the ids of all rows, which lie in 0 .. *range-1. There are rows. */
static rs_status fold_column(const rs_keys *keys, int k, int64_t *ids, int64_t *range) {
  coding coded = {0};
  rs_status status = fit_coding(&coded, keys, k, ids, range);
  if (status == RS_OK) {
    fold first = {ids, &coded, keys->columns[k], NULL, coded.numbers};
    rs_parallel_for(keys->rows, RS_ROW_GRAIN, fold_rows, &first);
    if (keys->others) {
      int64_t at = keys->rows;
      fold second = {ids + at, &coded, keys->others[k], coded.codes, coded.numbers ? coded.numbers + at : NULL};
      rs_parallel_for(keys->other_rows, RS_ROW_GRAIN, fold_rows, &second);
    }
    *range *= coded.range;
  }
  coding_free(&coded);
  return status;
}

typedef struct skipping {
  int64_t *ids;
  const rs_column *column;
} skipping;

static void skip_rows(void *context, int64_t begin, int64_t end) {
  const skipping *s = context;
  if (s->column->type == RS_STRING) {
    const int32_t *codes = rs_i32(&s->column->values);
    for (int64_t i = begin; i < end; i++) s->ids[i] = codes[i] == 0 ? -1 : s->ids[i];
  } else
    for (int64_t i = begin; i < end; i++)
      if (rs_column_is_missing(s->column, i)) s->ids[i] = -1;
}

static void skip_missing_rows(const rs_column *const *columns, int n_columns, int64_t *ids, int64_t n) {
  for (int k = 0; k < n_columns; k++) {
    skipping s = {ids, columns[k]};
    rs_parallel_for(n, RS_ROW_GRAIN, skip_rows, &s);
  }
}

/* Both frames' ids as halves of one tensor. */
static rs_status split_ids(const rs_keys *keys, rs_tensor *all, rs_tensor *ids, rs_tensor *other_ids) {
  rs_status status = rs_tensor_narrow(ids, all, 0, 0, keys->rows);
  if (status == RS_OK && keys->others) status = rs_tensor_narrow(other_ids, all, 0, keys->rows, keys->other_rows);
  return status;
}

/* 'most': a range up to which ids stay as they are, 0 for numbers by first appearance. */
static rs_status make_ids(const rs_keys *keys, bool skip_missing, rs_tensor *all, int64_t most, int64_t *n_ids) {
  int64_t n = keys->rows + keys->other_rows, range = 1, *ids = rs_i64(all);
  rs_status status = RS_OK;
  *n_ids = 0;
  for (int k = 0; status == RS_OK && n > 0 && k < keys->n; k++) status = fold_column(keys, k, ids, &range);
  if (status == RS_OK && n > 0 && range > most) status = rs_number(ids, n, range, &range);
  if (status != RS_OK || n == 0) return status;
  *n_ids = range;
  if (skip_missing) {
    skip_missing_rows(keys->columns, keys->n, ids, keys->rows);
    if (keys->others) skip_missing_rows(keys->others, keys->n, ids + keys->rows, keys->other_rows);
  }
  return RS_OK;
}

static rs_status keys_ids(const rs_keys *keys, bool skip_missing, rs_tensor *ids, rs_tensor *other_ids, int64_t most,
                          int64_t *n_ids) {
  rs_tensor all = {0};
  int64_t n = keys->rows + keys->other_rows;
  rs_status status = rs_tensor_zeros(&all, RS_I64, 1, &n);
  if (status == RS_OK) status = make_ids(keys, skip_missing, &all, most, n_ids);
  if (status == RS_OK) status = split_ids(keys, &all, ids, other_ids);
  rs_tensor_free(&all);
  return status;
}

rs_status rs_keys_number(const rs_keys *keys, bool skip_missing, rs_tensor *ids, rs_tensor *other_ids, int64_t *n_ids) {
  return keys_ids(keys, skip_missing, ids, other_ids, 0, n_ids);
}

rs_status rs_keys_index(const rs_keys *keys, bool skip_missing, rs_tensor *ids, rs_tensor *other_ids, int64_t *n_ids) {
  int64_t most = 2 * (keys->rows + keys->other_rows) + 1024;
  return keys_ids(keys, skip_missing, ids, other_ids, most, n_ids);
}
