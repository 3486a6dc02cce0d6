/* csv_words.h - distinct texts in order of first appearance, for readers: a dictionary with a hash table of its own.
 *
 * Private to the file readers. A text of up to 15 bytes is its own key of 16 bytes, which one multiplication hashes and
 * one comparison tells from all others; the key of a longer one says where the text is. A slot keeps half of the hash,
 * so that few keys are looked at in vain. Keys and slots are thrown away when the column is done: rs_dictionary_index
 * builds the lasting hash table. */
#ifndef RS_CSV_WORDS_H
#define RS_CSV_WORDS_H
#include <string.h>

#include "base/wide.h"
#include "frame/column.h"

/* Of a text of up to 15 bytes: its bytes, zeros, its length; of a longer one: its offset in the dictionary, its length,
 * 255. */
typedef struct rs_csv_key {
  uint64_t low, high;
} rs_csv_key;

typedef struct rs_csv_slot {
  uint32_t tag;
  int32_t code; /* 0: free */
} rs_csv_slot;

/* All-zero is a valid empty set. */
typedef struct rs_csv_words {
  rs_dictionary *texts; /* NULL before the first */
  rs_csv_key *keys;     /* of code c at c; at 0 no text's */
  rs_csv_slot *slots;   /* a power of two of them */
  int64_t n_slots, keys_capacity;
} rs_csv_words;

enum { RS_CSV_SHORT = 15 };

void rs_csv_words_free(rs_csv_words *w);
/* Forget the texts, keep the memory. */
void rs_csv_words_clear(rs_csv_words *w);
int64_t rs_csv_words_count(const rs_csv_words *w);
/* The code of a text, added when new; 'hash' is the text's. RS_ENOMEM, RS_ERANGE. */
rs_status rs_csv_words_add(rs_csv_words *w, const char *text, size_t length, uint64_t hash, int32_t *code);
/* The same without adding: 0 when it is not there. */
int32_t rs_csv_words_find(const rs_csv_words *w, const char *text, size_t length, uint64_t hash);
/* The hash of a text, which may end where readable memory ends. */
uint64_t rs_csv_words_hash(const char *text, size_t length);
/* Of a text longer than 64 bytes. */
uint64_t rs_csv_hash_long(const char *text, size_t length);

RS_INLINE uint64_t rs_csv_load(const char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* Masks that keep the first 0 .. 15 of 16 bytes. */
extern const rs_csv_key rs_csv_masks[16];

/* The key of a short text; 16 bytes must be readable. No branch: lengths are hard to foresee. */
RS_INLINE rs_csv_key rs_csv_short_key(const char *text, size_t length) {
  rs_csv_key mask = rs_csv_masks[length];
  return (rs_csv_key){rs_csv_load(text) & mask.low, (rs_csv_load(text + 8) & mask.high) | (uint64_t)length << 56};
}

RS_INLINE rs_csv_key rs_csv_long_key(int64_t offset, size_t length) {
  return (rs_csv_key){(uint64_t)offset, (uint64_t)length | UINT64_C(255) << 56};
}

/* Both halves of the product, so that every input bit reaches every output bit. */
RS_INLINE uint64_t rs_csv_mix(uint64_t a, uint64_t b) {
  __uint128_t product = (__uint128_t)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define RS_CSV_K0 UINT64_C(0xa0761d6478bd642f)
#define RS_CSV_K1 UINT64_C(0xe7037ed1a0b428db)
#define RS_CSV_K2 UINT64_C(0x8ebc6af09c88c6e3)

RS_INLINE uint64_t rs_csv_hash_key(rs_csv_key key) { return rs_csv_mix(key.low ^ RS_CSV_K0, key.high ^ RS_CSV_K1); }

/* The hash of a text of 16 bytes and more. */
RS_INLINE uint64_t rs_csv_hash_text(const char *text, size_t length) {
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

/* Whether two texts of one length, 16 bytes and more, are equal. */
RS_INLINE bool rs_csv_same(const char *a, const char *b, size_t length) {
  if (length > 64) return memcmp(a, b, length) == 0;
  uint64_t differ = 0;
  for (size_t at = 0; at + 16 < length; at += 16)
    differ |= (rs_csv_load(a + at) ^ rs_csv_load(b + at)) | (rs_csv_load(a + at + 8) ^ rs_csv_load(b + at + 8));
  a += length - 16;
  b += length - 16;
  return (differ | (rs_csv_load(a) ^ rs_csv_load(b)) | (rs_csv_load(a + 8) ^ rs_csv_load(b + 8))) == 0;
}

#endif
