/* csv_marks.c - see csv_marks.h. */
#include "frame/csv_marks.h"

#include <string.h>

#include "base/wide.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))
#define AVX512 __attribute__((target("avx512f,avx512bw,bmi,popcnt")))
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

/* Append the marks of the 64 bytes at 'base'. Written 4 at a time: what is too much is overwritten by the next. */
RS_INLINE void note(rs_csv_marks *m, masks found, uint64_t overlap, int base, int size) {
  uint64_t inside = size - base >= STEP ? ~UINT64_C(0) : (UINT64_C(1) << (size - base)) - 1;
  uint64_t ends = (found.newlines | found.quotes | overlap) & inside, all = (found.separators & inside) | ends;
  m->high |= (found.high & inside) != 0;
  int n = __builtin_popcountll(all);
  for (uint64_t left = ends; left; left &= left - 1)
    m->ends[m->n_ends++] = (uint16_t)(m->n + __builtin_popcountll(all & ((left & -left) - 1)));
  uint16_t *to = m->at + m->n;
  for (int i = 0; i < n; i += 4, to += 4)
    for (int j = 0; j < 4; j++) {
      to[j] = (uint16_t)(base + __builtin_ctzll(all | UINT64_C(1) << 63));
      all &= all - 1;
    }
  m->n += n;
}

typedef masks look_at(const char *text, needles n);

/* Mark 'size' bytes by what 'look' sees; the last, partial 64 are copied, so that nothing behind them is read. */
RS_INLINE void mark(rs_csv_marks *m, needles n, const char *text, int size, look_at look) {
  char tail[STEP + 1] = {0};
  uint64_t carry = 0;
  m->n = m->n_ends = 0;
  m->high = false;
  for (int base = 0; base < size; base += STEP) {
    const char *at = text + base;
    if (size - base < STEP) at = memcpy(tail, at, (size_t)(size - base) + 1);
    masks found = look(at, n);
    uint64_t overlap = n.pair ? found.separators & (found.separators << 1 | carry) : 0;
    carry = found.separators >> 63;
    note(m, found, overlap, base, size);
  }
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
  mark(m, needles_of(d), text, size, look_plain);
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
  mark(m, n, text, size, look_avx2);
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

AVX512 static void mark_avx512(rs_csv_marks *m, needles n, const char *text, int size) {
  mark(m, n, text, size, look_avx512);
}

void rs_csv_mark(rs_csv_marks *m, const rs_csv_dialect *d, const char *text, int size) {
  if (__builtin_cpu_supports("avx512bw"))
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
