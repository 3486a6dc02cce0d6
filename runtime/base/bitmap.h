/* bitmap.h - sets of rows as bits: row r is bit r % 64 of word r / 64. Bits from n on are zero, as all functions here
 * leave them, so that words can be counted and combined whole. */
#ifndef RS_BITMAP_H
#define RS_BITMAP_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Words of a bitmap of n rows. */
static inline int64_t rs_bitmap_words(int64_t n) { return (n + 63) / 64; }

static inline bool rs_bitmap_has(const uint64_t *bits, int64_t row) { return bits[row >> 6] >> (row & 63) & 1; }
static inline void rs_bitmap_set(uint64_t *bits, int64_t row) { bits[row >> 6] |= UINT64_C(1) << (row & 63); }
static inline void rs_bitmap_clear(uint64_t *bits, int64_t row) { bits[row >> 6] &= ~(UINT64_C(1) << (row & 63)); }

/* The rows of word 'word' that there are at all, of n. */
static inline uint64_t rs_bitmap_word_of(int64_t n, int64_t word) {
  int64_t left = n - word * 64;
  return left >= 64 ? ~UINT64_C(0) : left <= 0 ? 0 : (UINT64_C(1) << left) - 1;
}

/* All n rows, or none. */
static inline void rs_bitmap_fill(uint64_t *bits, int64_t n, bool all) {
  memset(bits, all ? 0xFF : 0, (size_t)rs_bitmap_words(n) * sizeof *bits);
  if (all && n % 64) bits[n / 64] = rs_bitmap_word_of(n, n / 64);
}

/* bits = bits and other, bits or other, bits without other: in place. */
static inline void rs_bitmap_and(uint64_t *bits, const uint64_t *other, int64_t n) {
  for (int64_t i = 0, words = rs_bitmap_words(n); i < words; i++) bits[i] &= other[i];
}
static inline void rs_bitmap_or(uint64_t *bits, const uint64_t *other, int64_t n) {
  for (int64_t i = 0, words = rs_bitmap_words(n); i < words; i++) bits[i] |= other[i];
}
static inline void rs_bitmap_andnot(uint64_t *bits, const uint64_t *other, int64_t n) {
  for (int64_t i = 0, words = rs_bitmap_words(n); i < words; i++) bits[i] &= ~other[i];
}

static inline int64_t rs_bitmap_count(const uint64_t *bits, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0, words = rs_bitmap_words(n); i < words; i++) count += __builtin_popcountll(bits[i]);
  return count;
}

/* The lowest row of a word that is not 0, as 0 .. 63. */
static inline int rs_bitmap_first(uint64_t word) { return __builtin_ctzll(word); }

#endif
