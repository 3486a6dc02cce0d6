/* keys.c - see keys.h.
 *
 * Column by column: each value becomes 64 bits that are equal for equal values (a string of the second frame takes the
 * code that its text has in the first), a hash map numbers the bits by first appearance, and the numbers of the
 * columns so far are paired with the next column's and numbered again. */
#include "frame/keys.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

enum { FIRST_SLOTS = 1024 };

/* 64-bit keys to numbers 0, 1, ... by first appearance; linear probing, at most half full. */
typedef struct number_map {
  uint64_t *keys;
  int64_t *numbers; /* -1: free */
  int64_t n, n_slots;
} number_map;

static void map_free(number_map *m) {
  rs_free(m->keys);
  rs_free(m->numbers);
  *m = (number_map){0};
}

static uint64_t mix(uint64_t z) { /* SplitMix64's finaliser */
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static int64_t probe(const number_map *m, uint64_t key) {
  int64_t at = (int64_t)mix(key) & (m->n_slots - 1);
  while (m->numbers[at] >= 0 && m->keys[at] != key) at = (at + 1) & (m->n_slots - 1);
  return at;
}

static rs_status map_grow(number_map *m) {
  number_map wider = {.n = m->n, .n_slots = m->n_slots ? m->n_slots * 2 : FIRST_SLOTS};
  size_t bytes = (size_t)wider.n_slots * sizeof(int64_t);
  wider.keys = rs_alloc(bytes);
  wider.numbers = rs_alloc(bytes);
  if (!wider.keys || !wider.numbers) {
    map_free(&wider);
    return rs_nomem("frame keys", bytes);
  }
  for (int64_t i = 0; i < wider.n_slots; i++) wider.numbers[i] = -1;
  for (int64_t i = 0; i < m->n_slots; i++)
    if (m->numbers[i] >= 0) {
      int64_t at = probe(&wider, m->keys[i]);
      wider.keys[at] = m->keys[i];
      wider.numbers[at] = m->numbers[i];
    }
  map_free(m);
  *m = wider;
  return RS_OK;
}

/* Replace each of the n keys by its number. */
static rs_status map_number(number_map *m, int64_t *keys, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (2 * (m->n + 1) > m->n_slots) {
      rs_status status = map_grow(m);
      if (status != RS_OK) return status;
    }
    uint64_t key = (uint64_t)keys[i];
    int64_t at = probe(m, key);
    if (m->numbers[at] < 0) {
      m->keys[at] = key;
      m->numbers[at] = m->n++;
    }
    keys[i] = m->numbers[at];
  }
  return RS_OK;
}

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

/* Values as 64 bits, equal for equal values. */
static void value_bits(int64_t *bits, const rs_column *c, int64_t n) {
  if (c->type == RS_STRING) {
    const int32_t *codes = rs_i32(&c->values);
    for (int64_t i = 0; i < n; i++) bits[i] = codes[i];
  } else if (c->type == RS_TIME) {
    if (n) memcpy(bits, rs_i64(&c->values), (size_t)n * sizeof *bits);
  } else {
    const double *values = rs_f64(&c->values);
    for (int64_t i = 0; i < n; i++) {
      double value = isnan(values[i]) ? NAN : values[i] + 0.0; /* one NaN; -0 is 0 */
      memcpy(&bits[i], &value, sizeof value);
    }
  }
}

/* Codes of 'c' in terms of the dictionary of 'reference'; texts that it lacks get numbers of their own behind. */
static rs_status translate(int64_t *bits, const rs_column *c, const rs_column *reference, int64_t n) {
  const rs_dictionary *from = c->dictionary, *to = reference->dictionary;
  if (from == to) return RS_OK;
  int64_t *codes = rs_alloc((size_t)(from->n + 1) * sizeof *codes);
  if (!codes) return rs_nomem("frame keys", (size_t)(from->n + 1) * sizeof *codes);
  codes[0] = 0;
  for (int64_t code = 1; code <= from->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(from, (int32_t)code, &length);
    int32_t found = rs_dictionary_find(to, text, length);
    codes[code] = found ? found : to->n + code;
  }
  for (int64_t i = 0; i < n; i++) bits[i] = codes[bits[i]];
  rs_free(codes);
  return RS_OK;
}

/* What one side of the comparison needs. */
typedef struct side {
  int64_t n;
  int64_t *ids, *bits;
} side;

static void pair_up(side *s, int64_t n_values) {
  for (int64_t i = 0; i < s->n; i++) s->ids[i] = s->ids[i] * n_values + s->bits[i];
}

/* Number the values of key column k and fold them into the ids. */
static rs_status fold_column(const rs_keys *keys, int k, side *a, side *b, int64_t *n_ids) {
  number_map map = {0};
  rs_status status = RS_OK;
  value_bits(a->bits, keys->columns[k], a->n);
  if (keys->others) {
    value_bits(b->bits, keys->others[k], b->n);
    if (keys->columns[k]->type == RS_STRING) status = translate(b->bits, keys->others[k], keys->columns[k], b->n);
  }
  if (status == RS_OK) status = map_number(&map, a->bits, a->n);
  if (status == RS_OK) status = map_number(&map, b->bits, b->n);
  if (status == RS_OK && *n_ids > 0 && map.n > INT64_MAX / *n_ids)
    status = rs_fail(RS_ERANGE, "frame: too many combinations of keys");
  if (status == RS_OK) {
    pair_up(a, map.n);
    pair_up(b, map.n);
    map_free(&map);
    status = map_number(&map, a->ids, a->n);
    if (status == RS_OK) status = map_number(&map, b->ids, b->n);
    *n_ids = map.n;
  }
  map_free(&map);
  return status;
}

static void skip_missing_rows(const rs_column *const *columns, int n_columns, side *s) {
  for (int k = 0; k < n_columns; k++)
    for (int64_t i = 0; i < s->n; i++)
      if (rs_column_is_missing(columns[k], i)) s->ids[i] = -1;
}

static rs_status number_sides(const rs_keys *keys, bool skip_missing, side *a, side *b, int64_t *n_ids) {
  rs_status status = RS_OK;
  *n_ids = 0;
  for (int k = 0; status == RS_OK && k < keys->n; k++) status = fold_column(keys, k, a, b, n_ids);
  if (status == RS_OK && skip_missing) {
    skip_missing_rows(keys->columns, keys->n, a);
    if (keys->others) skip_missing_rows(keys->others, keys->n, b);
  }
  return status;
}

rs_status rs_keys_number(const rs_keys *keys, bool skip_missing, rs_tensor *ids, rs_tensor *other_ids, int64_t *n_ids) {
  side a = {.n = keys->rows}, b = {.n = keys->others ? keys->other_rows : 0};
  size_t bytes = (size_t)(a.n + b.n) * sizeof(int64_t);
  rs_status status = rs_tensor_zeros(ids, RS_I64, 1, &a.n);
  if (status == RS_OK && keys->others) status = rs_tensor_zeros(other_ids, RS_I64, 1, &b.n);
  int64_t *bits = rs_alloc(bytes);
  if (status == RS_OK && !bits) status = rs_nomem("frame keys", bytes);
  if (status == RS_OK) {
    a.ids = rs_i64(ids);
    a.bits = bits;
    b.ids = keys->others ? rs_i64(other_ids) : NULL;
    b.bits = bits + a.n;
    status = number_sides(keys, skip_missing, &a, &b, n_ids);
  }
  rs_free(bits);
  if (status != RS_OK) {
    rs_tensor_free(ids);
    if (keys->others) rs_tensor_free(other_ids);
  }
  return status;
}
