/* dictionary.c - open addressing with linear probing over XXH3, at most half full.
 *
 * A slot holds a code alone; the text to compare lies at its offsets. Growing hashes the strings again: that is
 * cheaper than 8 more bytes for every string kept for good. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "base/alloc.h"
#include "frame/column.h"

enum { FIRST_SLOTS = 16, FIRST_BYTES = 64, SLACK = 16 }; /* SLACK: readable behind each text */

rs_status rs_dictionary_new(rs_dictionary **out) {
  rs_dictionary *d = rs_alloc_zero(sizeof *d);
  *out = d;
  if (!d) return rs_nomem("dictionary", sizeof *d);
  atomic_init(&d->references, 1);
  return RS_OK;
}

void rs_dictionary_retain(rs_dictionary *d) { atomic_fetch_add(&d->references, 1); }

void rs_dictionary_release(rs_dictionary *d) {
  if (!d || atomic_fetch_sub(&d->references, 1) > 1) return;
  rs_free(d->bytes);
  rs_free(d->offsets);
  rs_free(d->slots);
  rs_free(d);
}

void rs_dictionary_clear(rs_dictionary *d) {
  if (d->n > 0) memset(d->slots, 0, (size_t)d->n_slots * sizeof *d->slots);
  d->n = 0;
}

/* The slot that holds the string, or the free one where it belongs. */
static int64_t probe(const rs_dictionary *d, const char *text, size_t length) {
  int64_t mask = d->n_slots - 1;
  int64_t at = (int64_t)XXH3_64bits(text, length) & mask;
  for (;; at = (at + 1) & mask) {
    int32_t code = d->slots[at];
    if (code == 0) return at;
    int64_t begin = d->offsets[code - 1];
    if ((size_t)(d->offsets[code] - begin) == length && memcmp(d->bytes + begin, text, length) == 0) return at;
  }
}

int32_t rs_dictionary_find(const rs_dictionary *d, const char *text, size_t length) {
  return d->n_slots ? d->slots[probe(d, text, length)] : 0;
}

const char *rs_dictionary_text(const rs_dictionary *d, int32_t code, size_t *length) {
  *length = (size_t)(d->offsets[code] - d->offsets[code - 1]);
  return d->bytes + d->offsets[code - 1];
}

/* A hash table of 'n_slots' over all strings. On failure the dictionary is as it was. */
static rs_status make_slots(rs_dictionary *d, int64_t n_slots) {
  size_t bytes = (size_t)n_slots * sizeof *d->slots;
  int32_t *slots = rs_alloc_zero(bytes);
  if (!slots) return rs_nomem("dictionary", bytes);
  for (int64_t i = 0; i < d->n; i++) {
    uint64_t hash = XXH3_64bits(d->bytes + d->offsets[i], (size_t)(d->offsets[i + 1] - d->offsets[i]));
    int64_t at = (int64_t)hash & (n_slots - 1);
    while (slots[at]) at = (at + 1) & (n_slots - 1);
    slots[at] = (int32_t)(i + 1);
  }
  rs_free(d->slots);
  d->slots = slots;
  d->n_slots = n_slots;
  return RS_OK;
}

rs_status rs_dictionary_index(rs_dictionary *d) {
  int64_t n_slots = FIRST_SLOTS;
  while (2 * d->n > n_slots) n_slots *= 2;
  return d->n ? make_slots(d, n_slots) : RS_OK;
}

/* Room for one more string of 'length' bytes. */
static rs_status reserve(rs_dictionary *d, size_t length) {
  if (d->n + 2 > d->offsets_capacity) {
    int64_t capacity = d->offsets_capacity ? d->offsets_capacity * 2 : FIRST_SLOTS;
    int64_t *offsets = rs_realloc(d->offsets, (size_t)capacity * sizeof *offsets);
    if (!offsets) return rs_nomem("dictionary", (size_t)capacity * sizeof *offsets);
    if (d->n == 0) offsets[0] = 0;
    d->offsets = offsets;
    d->offsets_capacity = capacity;
  }
  int64_t used = d->offsets[d->n], needed = used + (int64_t)length + SLACK;
  if (needed > d->bytes_capacity || !d->bytes) {
    int64_t capacity = d->bytes_capacity ? d->bytes_capacity : FIRST_BYTES;
    while (capacity < needed) capacity *= 2;
    char *bytes = rs_realloc(d->bytes, (size_t)capacity);
    if (!bytes) return rs_nomem("dictionary", (size_t)capacity);
    d->bytes = bytes;
    d->bytes_capacity = capacity;
  }
  return RS_OK;
}

rs_status rs_dictionary_append(rs_dictionary *d, const char *text, size_t length) {
  if (d->n >= INT32_MAX - 1) return rs_fail(RS_ERANGE, "dictionary: more than %d distinct strings", INT32_MAX - 1);
  rs_status status = reserve(d, length);
  if (status != RS_OK) return status;
  int64_t begin = d->offsets[d->n];
  if (length) memcpy(d->bytes + begin, text, length);
  d->offsets[++d->n] = begin + (int64_t)length;
  return RS_OK;
}

rs_status rs_dictionary_add(rs_dictionary *d, const char *text, size_t length, int32_t *code) {
  if (d->n_slots) {
    *code = d->slots[probe(d, text, length)];
    if (*code) return RS_OK;
  }
  if (2 * (d->n + 1) > d->n_slots) {
    rs_status status = make_slots(d, d->n_slots ? d->n_slots * 2 : FIRST_SLOTS);
    if (status != RS_OK) return status;
  }
  int64_t at = probe(d, text, length);
  rs_status status = rs_dictionary_append(d, text, length);
  if (status == RS_OK) d->slots[at] = *code = (int32_t)d->n;
  return status;
}
