/* csv_words.h - distinct texts in order of first appearance, for readers: a dictionary with a hash table of its own.
 *
 * Private to the file readers. One multiplication hashes a text of up to 16 bytes, two to four one of up to 64, all
 * without a loop; a slot keeps half of the hash, so that a text is compared only with what it most likely equals. The
 * hash table is thrown away when the column is done: rs_dictionary_index builds the lasting one. */
#ifndef RS_CSV_WORDS_H
#define RS_CSV_WORDS_H
#include <string.h>

#include "base/wide.h"
#include "frame/column.h"

typedef struct rs_csv_slot {
  uint32_t tag;
  int32_t code; /* 0: free */
} rs_csv_slot;

/* All-zero is a valid empty set. */
typedef struct rs_csv_words {
  rs_dictionary *texts; /* NULL before the first */
  rs_csv_slot *slots;   /* a power of two of them, at most half full */
  int64_t n_slots;
} rs_csv_words;

void rs_csv_words_free(rs_csv_words *w);
/* Forget the texts, keep the memory. */
void rs_csv_words_clear(rs_csv_words *w);
int64_t rs_csv_words_count(const rs_csv_words *w);
/* The code of a text, added when new; 'hash' is the text's. RS_ENOMEM, RS_ERANGE. */
rs_status rs_csv_words_add(rs_csv_words *w, const char *text, size_t length, uint64_t hash, int32_t *code);
/* The hash of a text that may end where readable memory ends. */
uint64_t rs_csv_hash_of(const char *text, size_t length);
/* Of a text longer than 64 bytes. */
uint64_t rs_csv_hash_long(const char *text, size_t length);

RS_INLINE uint64_t rs_csv_load(const char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* Both halves of the product, so that every input bit reaches every output bit. */
RS_INLINE uint64_t rs_csv_mix(uint64_t a, uint64_t b) {
  __uint128_t product = (__uint128_t)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Masks that keep the first 'length' bytes of 16. */
RS_INLINE uint64_t rs_csv_low_mask(size_t length) {
  return length >= 8 ? ~UINT64_C(0) : (UINT64_C(1) << 8 * length) - 1;
}
RS_INLINE uint64_t rs_csv_high_mask(size_t length) { return length <= 8 ? 0 : rs_csv_low_mask(length - 8); }

#define RS_CSV_K0 UINT64_C(0xa0761d6478bd642f)
#define RS_CSV_K1 UINT64_C(0xe7037ed1a0b428db)
#define RS_CSV_K2 UINT64_C(0x8ebc6af09c88c6e3)

/* At least 16 bytes must be readable at 'text'. */
RS_INLINE uint64_t rs_csv_hash(const char *text, size_t length) {
  if (length <= 16)
    return rs_csv_mix((rs_csv_load(text) & rs_csv_low_mask(length)) ^ RS_CSV_K0,
                      (rs_csv_load(text + 8) & rs_csv_high_mask(length)) ^ (RS_CSV_K1 + length * RS_CSV_K2));
  if (length > 64) return rs_csv_hash_long(text, length);
  const char *end = text + length;
  uint64_t hash = rs_csv_mix(rs_csv_load(text) ^ RS_CSV_K0, rs_csv_load(text + 8) ^ RS_CSV_K1 ^ length);
  hash += rs_csv_mix(rs_csv_load(end - 16) ^ RS_CSV_K1, rs_csv_load(end - 8) ^ RS_CSV_K2);
  if (length > 32) {
    hash += rs_csv_mix(rs_csv_load(text + 16) ^ RS_CSV_K2, rs_csv_load(text + 24) ^ RS_CSV_K0);
    hash += rs_csv_mix(rs_csv_load(end - 32) ^ RS_CSV_K0, rs_csv_load(end - 24) ^ RS_CSV_K2);
  }
  return hash ^ hash >> 29;
}

/* Whether two texts of one length are equal; 16 bytes must be readable at both. */
RS_INLINE bool rs_csv_same(const char *a, const char *b, size_t length) {
  if (length <= 16)
    return (((rs_csv_load(a) ^ rs_csv_load(b)) & rs_csv_low_mask(length)) |
            ((rs_csv_load(a + 8) ^ rs_csv_load(b + 8)) & rs_csv_high_mask(length))) == 0;
  return memcmp(a, b, length) == 0;
}

/* The code of a text, 0 when it is not there; 16 bytes must be readable at 'text'. */
RS_INLINE int32_t rs_csv_words_find(const rs_csv_words *w, const char *text, size_t length, uint64_t hash) {
  if (w->n_slots == 0) return 0;
  uint64_t mask = (uint64_t)w->n_slots - 1;
  for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
    rs_csv_slot slot = w->slots[at];
    if (slot.code == 0) return 0;
    if (slot.tag != (uint32_t)(hash >> 32)) continue;
    int64_t begin = w->texts->offsets[slot.code - 1];
    if ((size_t)(w->texts->offsets[slot.code] - begin) == length && rs_csv_same(w->texts->bytes + begin, text, length))
      return slot.code;
  }
}

#endif
