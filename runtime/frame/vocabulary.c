/* vocabulary.c - the counter's dictionary does the hashing while fitting; a finished vocabulary has a table of its
 * own, at most half full, over the bytes of its tensors. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "frame/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

/* ---- the fitted vocabulary ---- */

static rs_status check_tensors(const rs_tensor *bytes, const rs_tensor *offsets) {
  if (bytes->dtype != RS_U8 || bytes->ndim != 1 || !rs_tensor_is_contiguous(bytes) || offsets->dtype != RS_I64 ||
      offsets->ndim != 1 || !rs_tensor_is_contiguous(offsets) || offsets->size[0] < 1)
    return rs_fail(RS_EFORMAT, "vocabulary: bytes are %s %s and offsets %s %s, not u8 [total] and i64 [n + 1]",
                   rs_dtype_name(bytes->dtype), rs_shape(bytes).text, rs_dtype_name(offsets->dtype),
                   rs_shape(offsets).text);
  int64_t n = offsets->size[0] - 1, total = bytes->size[0];
  if (n >= INT32_MAX) return rs_fail(RS_EFORMAT, "vocabulary: %lld strings are too many", (long long)n);
  const int64_t *at = rs_i64(offsets);
  for (int64_t i = 0; i <= n; i++)
    if (at[i] < (i ? at[i - 1] : 0) || at[i] > total || (i == 0 && at[i] != 0))
      return rs_fail(RS_EFORMAT, "vocabulary: offset %lld of %lld is %lld", (long long)i, (long long)n,
                     (long long)at[i]);
  if (at[n] != total)
    return rs_fail(RS_EFORMAT, "vocabulary: the offsets end at %lld, the bytes at %lld", (long long)at[n],
                   (long long)total);
  return RS_OK;
}

const char *rs_vocabulary_text(const rs_vocabulary *v, int32_t code, size_t *length) {
  *length = (size_t)(v->at[code] - v->at[code - 1]);
  return v->text + v->at[code - 1];
}

static uint64_t hash_of(const char *text, size_t length) { return XXH3_64bits(text, length); }

/* Whether a slot's string is this one: what its half of the hash rules out is not looked at. */
static bool is_string(const rs_vocabulary *v, uint64_t slot, uint64_t hash, const char *text, size_t length) {
  size_t size;
  if ((slot ^ hash) >> 32) return false;
  const char *other = rs_vocabulary_text(v, (int32_t)(uint32_t)slot, &size);
  return size == length && memcmp(other, text, length) == 0;
}

/* Put a code into the first free slot from its hash on; false when its string is in one. Any number of threads put codes
 * at once: a slot is taken once, and all look at it from then on. */
static bool put(rs_vocabulary *v, int32_t code, uint64_t hash) {
  size_t length;
  const char *text = rs_vocabulary_text(v, code, &length);
  uint64_t mask = (uint64_t)v->n_slots - 1, entry = hash >> 32 << 32 | (uint32_t)code;
  for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
    uint64_t slot = 0;
    if (atomic_compare_exchange_strong_explicit(&v->slots[at], &slot, entry, memory_order_relaxed,
                                                memory_order_relaxed))
      return true;
    if (is_string(v, slot, hash, text, length)) return false;
  }
}

typedef struct filling {
  rs_vocabulary *v;
  _Atomic int32_t twice; /* a code whose string occurs before; 0: none */
} filling;

enum { AHEAD = 16, GRAIN = 16384 };

/* Codes begin + 1 .. end, so many at a time that their slots come from memory together. */
static void fill_slots(void *context, int64_t begin, int64_t end) {
  filling *f = context;
  rs_vocabulary *v = f->v;
  uint64_t hashes[AHEAD], mask = (uint64_t)v->n_slots - 1;
  for (int64_t first = begin; first < end; first += AHEAD) {
    int n = end - first < AHEAD ? (int)(end - first) : AHEAD;
    for (int i = 0; i < n; i++) {
      size_t length;
      const char *text = rs_vocabulary_text(v, (int32_t)(first + i + 1), &length);
      hashes[i] = hash_of(text, length);
      __builtin_prefetch((const void *)&v->slots[hashes[i] & mask], 1);
    }
    for (int i = 0; i < n; i++)
      if (!put(v, (int32_t)(first + i + 1), hashes[i])) atomic_store(&f->twice, (int32_t)(first + i + 1));
  }
}

static rs_status fill(rs_vocabulary *v) {
  filling f = {.v = v};
  rs_parallel_for(v->n, GRAIN, fill_slots, &f);
  int32_t twice = atomic_load(&f.twice);
  if (twice == 0) return RS_OK;
  size_t length;
  const char *text = rs_vocabulary_text(v, twice, &length);
  return rs_fail(RS_EFORMAT, "vocabulary: '%.*s' occurs twice", length < 200 ? (int)length : 200, text);
}

rs_status rs_vocabulary_new(rs_vocabulary **out, const rs_tensor *bytes, const rs_tensor *offsets) {
  *out = NULL;
  rs_status status = check_tensors(bytes, offsets);
  if (status != RS_OK) return status;
  rs_vocabulary *v = rs_alloc_zero(sizeof *v);
  if (!v) return rs_nomem("vocabulary", sizeof *v);
  atomic_init(&v->references, 1);
  v->n = offsets->size[0] - 1;
  for (v->n_slots = 2; v->n_slots < 2 * v->n + 2;) v->n_slots *= 2;
  rs_tensor_share(&v->bytes, bytes);
  rs_tensor_share(&v->offsets, offsets);
  v->text = (const char *)rs_u8(&v->bytes);
  v->at = rs_i64(&v->offsets);
  size_t size = (size_t)v->n_slots * sizeof *v->slots;
  v->slots = rs_alloc_zero(size);
  status = v->slots ? fill(v) : rs_nomem("vocabulary", size);
  if (status == RS_OK)
    *out = v;
  else
    rs_vocabulary_release(v);
  return status;
}

void rs_vocabulary_retain(rs_vocabulary *v) { atomic_fetch_add(&v->references, 1); }

void rs_vocabulary_release(rs_vocabulary *v) {
  if (!v || atomic_fetch_sub(&v->references, 1) > 1) return;
  rs_tensor_free(&v->bytes);
  rs_tensor_free(&v->offsets);
  rs_free((void *)v->slots);
  rs_free(v);
}

int32_t rs_vocabulary_find(const rs_vocabulary *v, const char *text, size_t length) {
  uint64_t mask = (uint64_t)v->n_slots - 1, hash = hash_of(text, length);
  for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
    uint64_t slot = atomic_load_explicit(&v->slots[at], memory_order_relaxed);
    if (slot == 0 || is_string(v, slot, hash, text, length)) return (int32_t)(uint32_t)slot;
  }
}

/* ---- counting ---- */

/* The counts of a column's own codes: tally[0] missing. */
static rs_status tally_column(const rs_column *c, const int64_t *rows, int64_t n, int64_t *tally) {
  int64_t size = rs_column_rows(c);
  const int32_t *values = rs_i32(&c->values);
  for (int64_t i = 0; i < n; i++) {
    int64_t row = rows ? rows[i] : i;
    if (row < 0 || row >= size)
      return rs_fail(RS_ERANGE, "counter: row %lld of a column of %lld", (long long)row, (long long)size);
    if (c->type == RS_STRING) {
      tally[values[row]]++;
      continue;
    }
    int64_t start = rs_i64(&c->starts)[row], length = rs_i32(&c->lengths)[row];
    if (length == 0) tally[0]++;
    for (int64_t j = start; j < start + length; j++) tally[values[j]]++;
  }
  return RS_OK;
}

static rs_status grow_counts(rs_counter *counter, int64_t needed) {
  if (needed <= counter->capacity) return RS_OK;
  int64_t capacity = counter->capacity ? counter->capacity : 64;
  while (capacity < needed) capacity *= 2;
  size_t bytes = (size_t)capacity * sizeof *counter->counts;
  int64_t *counts = rs_realloc(counter->counts, bytes);
  if (!counts) return rs_nomem("counter", bytes);
  memset(counts + counter->capacity, 0, (size_t)(capacity - counter->capacity) * sizeof *counts);
  counter->counts = counts;
  counter->capacity = capacity;
  return RS_OK;
}

/* Add a column's tallies to the counter, string by string. */
static rs_status merge_tally(rs_counter *counter, const rs_dictionary *from, const int64_t *tally) {
  rs_status status = counter->dictionary ? RS_OK : rs_dictionary_new(&counter->dictionary);
  for (int64_t code = 1; status == RS_OK && code <= from->n; code++) {
    if (tally[code] == 0) continue;
    size_t length;
    int32_t mine;
    const char *text = rs_dictionary_text(from, (int32_t)code, &length);
    status = rs_dictionary_add(counter->dictionary, text, length, &mine);
    if (status == RS_OK) status = grow_counts(counter, counter->dictionary->n);
    if (status == RS_OK) counter->counts[mine - 1] += tally[code];
  }
  return status;
}

rs_status rs_counter_add(rs_counter *counter, const rs_column *column, const int64_t *rows, int64_t n) {
  if (column->type != RS_STRING && column->type != RS_LIST)
    return rs_fail(RS_EARG, "counter: column '%s' holds no strings", column->name);
  if (!rows) n = rs_column_rows(column);
  size_t bytes = (size_t)(column->dictionary->n + 1) * sizeof(int64_t);
  int64_t *tally = rs_alloc_zero(bytes);
  if (!tally) return rs_nomem("counter", bytes);
  rs_status status = tally_column(column, rows, n, tally);
  if (status == RS_OK) status = merge_tally(counter, column->dictionary, tally);
  if (status == RS_OK) {
    counter->missing += tally[0];
    counter->rows += n;
  }
  rs_free(tally);
  return status;
}

void rs_counter_free(rs_counter *counter) {
  if (!counter) return;
  rs_dictionary_release(counter->dictionary);
  rs_free(counter->counts);
  *counter = (rs_counter){0};
}

/* ---- from counts to a vocabulary ---- */

typedef struct entry {
  const char *text;
  size_t length;
  int64_t count;
} entry;

static int by_bytes(const void *left, const void *right) {
  const entry *a = left, *b = right;
  size_t shorter = a->length < b->length ? a->length : b->length;
  int order = shorter ? memcmp(a->text, b->text, shorter) : 0;
  return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int by_count(const void *left, const void *right) {
  const entry *a = left, *b = right;
  return a->count != b->count ? (a->count < b->count ? 1 : -1) : by_bytes(left, right);
}

/* Bring the k first by count to the front, in any order (Hoare's selection). Most of a text's words occur once or twice
 * and are dropped: sorting them all takes longer than finding them. */
static void select_first(entry *e, int64_t n, int64_t k) {
  enum { ROUNDS = 100 };
  int64_t low = 0, high = n - 1;
  for (int round = 0; low < high && round < ROUNDS; round++) {
    entry pivot = e[low + (high - low) / 2];
    int64_t i = low, j = high;
    while (i <= j) {
      while (by_count(&e[i], &pivot) < 0) i++;
      while (by_count(&e[j], &pivot) > 0) j--;
      if (i > j) break;
      entry moved = e[i];
      e[i++] = e[j];
      e[j--] = moved;
    }
    if (k - 1 > j && k - 1 < i) return;
    if (k - 1 <= j)
      high = j;
    else
      low = i;
  }
  if (low < high) qsort(e + low, (size_t)(high - low + 1), sizeof *e, by_count);
}

/* The entries that stay, in byte order at the front of 'entries'; the occurrences of all others into *left_out. */
static int64_t keep(entry *entries, int64_t n, int64_t min_count, int64_t max_count, int64_t max_size,
                    int64_t *left_out) {
  int64_t kept = 0;
  *left_out = 0;
  for (int64_t i = 0; i < n; i++) {
    if (entries[i].count >= min_count && entries[i].count <= max_count)
      entries[kept++] = entries[i];
    else
      *left_out += entries[i].count;
  }
  if (kept > max_size) {
    select_first(entries, kept, max_size);
    for (int64_t i = max_size; i < kept; i++) *left_out += entries[i].count;
    kept = max_size;
  }
  qsort(entries, (size_t)kept, sizeof *entries, by_bytes);
  return kept;
}

/* The strings one after another. */
static rs_status pack(const entry *entries, int64_t n, rs_tensor *bytes, rs_tensor *offsets) {
  int64_t total = 0, size = n + 1;
  for (int64_t i = 0; i < n; i++) total += (int64_t)entries[i].length;
  rs_status status = rs_tensor_new(bytes, RS_U8, 1, &total);
  if (status == RS_OK) status = rs_tensor_zeros(offsets, RS_I64, 1, &size);
  if (status != RS_OK) {
    rs_tensor_free(bytes);
    return status;
  }
  int64_t *at = rs_i64(offsets);
  for (int64_t i = 0; i < n; i++) {
    if (entries[i].length) memcpy(rs_u8(bytes) + at[i], entries[i].text, entries[i].length);
    at[i + 1] = at[i] + (int64_t)entries[i].length;
  }
  return RS_OK;
}

rs_status rs_counter_vocabulary(const rs_counter *counter, int64_t min_count, int64_t max_count, int64_t max_size,
                                rs_tensor *bytes, rs_tensor *offsets, rs_tensor *counts) {
  int64_t n = counter->dictionary ? counter->dictionary->n : 0, left_out;
  entry *entries = rs_alloc((size_t)n * sizeof *entries);
  if (!entries) return rs_nomem("vocabulary", (size_t)n * sizeof *entries);
  for (int64_t i = 0; i < n; i++) {
    entries[i].text = rs_dictionary_text(counter->dictionary, (int32_t)(i + 1), &entries[i].length);
    entries[i].count = counter->counts[i];
  }
  int64_t kept = keep(entries, n, min_count, max_count, max_size, &left_out), size = kept + 1;
  rs_status status = rs_tensor_new(counts, RS_I64, 1, &size);
  if (status == RS_OK) {
    rs_i64(counts)[0] = left_out + counter->missing;
    for (int64_t i = 0; i < kept; i++) rs_i64(counts)[i + 1] = entries[i].count;
    status = pack(entries, kept, bytes, offsets);
    if (status != RS_OK) rs_tensor_free(counts);
  }
  rs_free(entries);
  return status;
}

rs_status rs_vocabulary_of_rows(const rs_column *column, rs_tensor *bytes, rs_tensor *offsets) {
  if (column->type != RS_STRING) return rs_fail(RS_EARG, "index: column '%s' holds no strings", column->name);
  int64_t n = rs_column_rows(column);
  size_t size = (size_t)n * sizeof(entry), seen_size = (size_t)column->dictionary->n + 1;
  entry *entries = rs_alloc(size);
  char *seen = rs_alloc_zero(seen_size);
  rs_status status = entries && seen ? RS_OK : rs_nomem("index", size + seen_size);
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    int32_t code = rs_i32(&column->values)[i];
    if (code == 0 || seen[code]++) {
      status = rs_fail(RS_EARG, "index: column '%s' %s in row %lld", column->name,
                       code ? "repeats a value" : "has no value", (long long)i);
    } else {
      entries[i].text = rs_dictionary_text(column->dictionary, code, &entries[i].length);
    }
  }
  if (status == RS_OK) status = pack(entries, n, bytes, offsets);
  rs_free(entries);
  rs_free(seen);
  return status;
}
