/* csv_marks.c - see csv_marks.h. */
#include "frame/csv_marks.h"

#include <string.h>

#include "base/wide.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi2,bmi,popcnt")))
#endif

enum { STEP = 64 };

/* The bytes to find. Where there is no quote, it is a second newline. */
typedef struct needles {
  char first, second, quote; /* second: of the separator, which has one or two bytes */
  bool pair;
} needles;

/* What 64 bytes hold, a bit each. */
typedef struct masks {
  uint64_t separators, newlines, quotes, high;
} masks;

bool rs_csv_markable(const rs_csv_dialect *d) { return d->separator_length <= 2 && d->escape != RS_CSV_MYSQL; }

static needles needles_of(const rs_csv_dialect *d) {
  return (needles){d->separator[0], d->separator[1], d->quotes ? d->quote : '\n', d->separator_length == 2};
}

/* Write base + the positions of all bits. What is written behind them is overwritten by the next. */
typedef void spread_bits(uint16_t *to, uint64_t bits, int base);

RS_INLINE void spread_plain(uint16_t *to, uint64_t bits, int base) {
  for (int n = __builtin_popcountll(bits); n > 0; n -= 4, to += 4)
    for (int i = 0; i < 4; i++) {
      to[i] = (uint16_t)(base + __builtin_ctzll(bits | UINT64_C(1) << 63));
      bits &= bits - 1;
    }
}

typedef masks look_at(const char *text, needles n);

/* How many marks there are already. Kept out of the marks themselves: every store to memory could change those. */
typedef struct counts {
  int all, ends;
} counts;

/* Append the marks among the 'inside' of 64 bytes at 'base'. Two line ends in them are rare, so the first one is noted
 * without asking whether there is any. */
RS_INLINE counts note(rs_csv_marks *m, counts n, masks found, uint64_t overlap, uint64_t inside, int base,
                      spread_bits spread) {
  uint64_t ends = (found.newlines | found.quotes | overlap) & inside, all = (found.separators & inside) | ends;
  m->ends[n.ends] = (uint16_t)(n.all + __builtin_popcountll(all & ((ends & -ends) - 1)));
  n.ends += ends != 0;
  for (uint64_t left = ends & (ends - 1); left; left &= left - 1)
    m->ends[n.ends++] = (uint16_t)(n.all + __builtin_popcountll(all & ((left & -left) - 1)));
  spread(m->at + n.all, all, base);
  n.all += __builtin_popcountll(all);
  return n;
}

RS_INLINE uint64_t overlaps(needles n, masks found, uint64_t carry) {
  return n.pair ? found.separators & (found.separators << 1 | carry) : 0;
}

/* Mark 'size' bytes by what 'look' sees; the last, partial 64 are copied, so that nothing behind them is read. */
RS_INLINE void mark(rs_csv_marks *m, needles n, const char *text, int size, look_at look, spread_bits spread) {
  char tail[STEP + 1] = {0};
  uint64_t carry = 0, high = 0;
  counts c = {0, 0};
  int base = 0;
  for (; size - base >= STEP; base += STEP) {
    masks found = look(text + base, n);
    c = note(m, c, found, overlaps(n, found, carry), ~UINT64_C(0), base, spread);
    carry = found.separators >> 63;
    high |= found.high;
  }
  if (base < size) {
    uint64_t inside = (UINT64_C(1) << (size - base)) - 1;
    masks found = look(memcpy(tail, text + base, (size_t)(size - base) + 1), n);
    c = note(m, c, found, overlaps(n, found, carry), inside, base, spread);
    high |= found.high & inside;
  }
  m->n = c.all;
  m->n_ends = c.ends;
  m->high = high != 0;
}

RS_INLINE masks look_plain(const char *text, needles n) {
  masks found = {0};
  for (int i = 0; i < STEP; i++) {
    uint64_t bit = UINT64_C(1) << i;
    if (text[i] == n.first && (!n.pair || text[i + 1] == n.second)) found.separators |= bit;
    if (text[i] == '\n') found.newlines |= bit;
    if (text[i] == n.quote) found.quotes |= bit;
    if (text[i] & 0x80) found.high |= bit;
  }
  return found;
}

void rs_csv_mark_plain(rs_csv_marks *m, const rs_csv_dialect *d, const char *text, int size) {
  mark(m, needles_of(d), text, size, look_plain, spread_plain);
}

#if defined(__x86_64__)
#define LOAD256(at) _mm256_loadu_si256((const __m256i *)(const void *)(at))
#define BITS256(text, c)                                                             \
  ((uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(LOAD256(text), (c))) | \
   (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(LOAD256((text) + 32), (c))) << 32)

AVX2 RS_INLINE masks look_avx2(const char *text, needles n) {
  masks found = {.separators = BITS256(text, _mm256_set1_epi8(n.first)),
                 .newlines = BITS256(text, _mm256_set1_epi8('\n')),
                 .quotes = BITS256(text, _mm256_set1_epi8(n.quote)),
                 .high = (uint64_t)(uint32_t)_mm256_movemask_epi8(LOAD256(text)) |
                         (uint64_t)(uint32_t)_mm256_movemask_epi8(LOAD256(text + 32)) << 32};
  if (n.pair) found.separators &= BITS256(text + 1, _mm256_set1_epi8(n.second));
  return found;
}

AVX2 static void mark_avx2(rs_csv_marks *m, needles n, const char *text, int size) {
  mark(m, n, text, size, look_avx2, spread_plain);
}

AVX512 RS_INLINE masks look_avx512(const char *text, needles n) {
  __m512i bytes = _mm512_loadu_si512(text);
  masks found = {.separators = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(n.first)),
                 .newlines = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\n')),
                 .quotes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(n.quote)),
                 .high = _mm512_movepi8_mask(bytes)};
  if (n.pair) found.separators &= _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(text + 1), _mm512_set1_epi8(n.second));
  return found;
}

AVX512 RS_INLINE void spread_avx512(uint16_t *to, uint64_t bits, int base) {
  static const char steps[STEP] __attribute__((aligned(STEP))) = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
      22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
      44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  __m512i places = _mm512_maskz_compress_epi8(bits, _mm512_load_si512(steps)), from = _mm512_set1_epi16((short)base);
  _mm512_storeu_si512(to, _mm512_add_epi16(from, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(places))));
  if (__builtin_popcountll(bits) > 32)
    _mm512_storeu_si512(to + 32, _mm512_add_epi16(from, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(places, 1))));
}

AVX512 static void mark_avx512(rs_csv_marks *m, needles n, const char *text, int size) {
  mark(m, n, text, size, look_avx512, spread_avx512);
}

void rs_csv_mark(rs_csv_marks *m, const rs_csv_dialect *d, const char *text, int size) {
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2"))
    mark_avx512(m, needles_of(d), text, size);
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"))
    mark_avx2(m, needles_of(d), text, size);
  else
    rs_csv_mark_plain(m, d, text, size);
}
#else
void rs_csv_mark(rs_csv_marks *m, const rs_csv_dialect *d, const char *text, int size) {
  rs_csv_mark_plain(m, d, text, size);
}
#endif
