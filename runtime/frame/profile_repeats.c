/* profile_repeats.c - rows whose values stand in an earlier row. See profile.h.
 *
 * Rows are hashed to 64 bits and parted by the hash's top byte; each part is small enough for a hash table in the cache
 * and keeps the order of rows, so the first row of equal ones is the one that stays. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/profile.h"

enum { GRAIN = 8192, PARTS = 256 };

typedef struct entry {
  uint64_t hash;
  int64_t row;
} entry;

typedef struct search {
  const rs_column **columns;
  int n_columns;
  int64_t rows;
  bool skip_missing;
  uint64_t *hashes;          /* [rows]; 0: left out */
  int64_t *first;            /* the same memory later: where each row's values stand first, -1: left out */
  entry *entries;            /* [rows], part by part */
  int64_t starts[PARTS + 1]; /* of the parts */
  int64_t *slots;            /* 2 to 4 times the entries of each part, at slot_starts */
  int64_t slot_starts[PARTS + 1];
} search;

static uint64_t mix(uint64_t z) { /* SplitMix64's finaliser */
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/* A number as bits that are equal for equal numbers: one NaN, -0 is 0. */
static uint64_t number_bits(double value) {
  uint64_t bits;
  value = isnan(value) ? NAN : value + 0.0;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static uint64_t value_hash(const rs_column *c, int64_t row) {
  if (c->type == RS_STRING) return (uint64_t)rs_i32(&c->values)[row];
  if (c->type == RS_TIME) return (uint64_t)rs_i64(&c->values)[row];
  if (c->type == RS_NUMBER) return number_bits(rs_f64(&c->values)[row]);
  const int32_t *codes = rs_i32(&c->values) + rs_i64(&c->starts)[row];
  int32_t n = rs_i32(&c->lengths)[row];
  uint64_t hash = (uint64_t)n;
  for (int32_t i = 0; i < n; i++) hash = mix(hash * 31 + (uint64_t)codes[i]);
  return hash;
}

static bool equal_values(const rs_column *c, int64_t a, int64_t b) {
  if (c->type != RS_LIST) return value_hash(c, a) == value_hash(c, b);
  const int64_t *starts = rs_i64(&c->starts);
  const int32_t *lengths = rs_i32(&c->lengths), *codes = rs_i32(&c->values);
  return lengths[a] == lengths[b] &&
         memcmp(codes + starts[a], codes + starts[b], (size_t)lengths[a] * sizeof *codes) == 0;
}

static bool equal_rows(const search *s, int64_t a, int64_t b) {
  for (int i = 0; i < s->n_columns; i++)
    if (!equal_values(s->columns[i], a, b)) return false;
  return true;
}

static void hash_rows(void *context, int64_t begin, int64_t end) {
  search *s = context;
  for (int64_t i = begin; i < end; i++) s->hashes[i] = 0x9E3779B97F4A7C15u;
  for (int k = 0; k < s->n_columns; k++)
    for (int64_t i = begin; i < end; i++) {
      bool out = s->hashes[i] == 0 || (s->skip_missing && rs_column_is_missing(s->columns[k], i));
      s->hashes[i] = out ? 0 : mix(s->hashes[i] * 3 + value_hash(s->columns[k], i)) | 1;
    }
}

/* Entries part by part, in row order; then the hashes make room for 'first'. */
static void part_rows(search *s) {
  int64_t place[PARTS] = {0};
  for (int64_t i = 0; i < s->rows; i++) place[s->hashes[i] >> 56] += s->hashes[i] != 0;
  for (int p = 0; p < PARTS; p++) {
    int64_t n = place[p], slots = 4;
    while (slots < 2 * n) slots *= 2;
    s->starts[p + 1] = s->starts[p] + n;
    s->slot_starts[p + 1] = s->slot_starts[p] + (n ? slots : 0);
    place[p] = s->starts[p];
  }
  for (int64_t i = 0; i < s->rows; i++) {
    uint64_t hash = s->hashes[i];
    s->first[i] = -1;
    if (hash) s->entries[place[hash >> 56]++] = (entry){hash, i};
  }
}

/* The slots of a part hold entries, counted from 1. */
static void search_part(search *s, int64_t part) {
  const entry *entries = s->entries + s->starts[part];
  int64_t n = s->starts[part + 1] - s->starts[part];
  int64_t *slots = s->slots + s->slot_starts[part], mask = s->slot_starts[part + 1] - s->slot_starts[part] - 1;
  if (n == 0) return;
  memset(slots, 0, (size_t)(mask + 1) * sizeof *slots);
  for (int64_t i = 0; i < n; i++) {
    int64_t at = (int64_t)(entries[i].hash >> 8) & mask;
    for (; slots[at]; at = (at + 1) & mask) {
      const entry *e = &entries[slots[at] - 1];
      if (e->hash == entries[i].hash && equal_rows(s, e->row, entries[i].row)) break;
    }
    if (!slots[at]) slots[at] = i + 1;
    s->first[entries[i].row] = entries[slots[at] - 1].row;
  }
}

static void search_parts(void *context, int64_t begin, int64_t end) {
  for (int64_t part = begin; part < end; part++) search_part(context, part);
}

static rs_status find_columns(search *s, const rs_frame *f, const char *const *names, int n) {
  s->n_columns = n ? n : f->n_columns;
  s->columns = rs_alloc((size_t)s->n_columns * sizeof *s->columns);
  if (!s->columns) return rs_nomem("repeated rows", (size_t)s->n_columns * sizeof *s->columns);
  for (int i = 0; i < s->n_columns; i++) {
    s->columns[i] = n ? rs_frame_need(f, names[i]) : &f->columns[i];
    if (!s->columns[i]) return RS_EARG;
  }
  return RS_OK;
}

static rs_status find_firsts(search *s) {
  size_t bytes = (size_t)s->rows * sizeof(uint64_t);
  s->hashes = rs_alloc(bytes);
  s->first = (int64_t *)s->hashes;
  s->entries = rs_alloc(2 * bytes);
  if (!s->hashes || !s->entries) return rs_nomem("repeated rows", 3 * bytes);
  rs_parallel_for(s->rows, GRAIN, hash_rows, s);
  part_rows(s);
  bytes = (size_t)s->slot_starts[PARTS] * sizeof *s->slots;
  s->slots = rs_alloc(bytes);
  if (!s->slots) return rs_nomem("repeated rows", bytes);
  rs_parallel_for(PARTS, 1, search_parts, s);
  return RS_OK;
}

static rs_status report(rs_repeats *out, const search *s, int64_t limit) {
  *out = (rs_repeats){.rows = s->rows};
  for (int64_t i = 0; i < s->rows; i++) {
    out->incomplete += s->first[i] < 0;
    out->distinct += s->first[i] == i;
  }
  out->repeated = s->rows - out->incomplete - out->distinct;
  int64_t kept = out->repeated < limit ? out->repeated : limit, n = 0;
  rs_status status = rs_tensor_new(&out->repeats, RS_I64, 1, &kept);
  if (status == RS_OK) status = rs_tensor_new(&out->firsts, RS_I64, 1, &kept);
  for (int64_t i = 0; status == RS_OK && n < kept; i++)
    if (s->first[i] >= 0 && s->first[i] < i) {
      rs_i64(&out->repeats)[n] = i;
      rs_i64(&out->firsts)[n++] = s->first[i];
    }
  return status;
}

rs_status rs_frame_repeats(rs_repeats *out, const rs_frame *f, const char *const *names, int n, bool skip_missing,
                           int64_t limit) {
  search s = {.rows = f->rows, .skip_missing = skip_missing};
  rs_status status = find_columns(&s, f, names, n);
  if (status == RS_OK) status = find_firsts(&s);
  if (status == RS_OK) status = report(out, &s, limit);
  if (status != RS_OK) rs_repeats_free(out);
  rs_free(s.columns);
  rs_free(s.hashes);
  rs_free(s.entries);
  rs_free(s.slots);
  return status;
}

void rs_repeats_free(rs_repeats *r) {
  rs_tensor_free(&r->repeats);
  rs_tensor_free(&r->firsts);
  *r = (rs_repeats){0};
}
