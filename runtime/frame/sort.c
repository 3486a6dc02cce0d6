/* sort.c - a stable order of rows by columns. See frame.h.
 *
 * Values become 64 bits that compare as unsigned integers; least-significant-byte radix sort, key by key from the last
 * to the first, skipping bytes that are equal everywhere. Rows that are in order already are left alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/frame.h"

enum { DIGITS = 8, BUCKETS = 256 };

static const uint64_t LAST = UINT64_MAX; /* missing */

static int by_bytes(const void *a, const void *b, void *context) {
  const rs_dictionary *d = context;
  size_t n, m;
  const char *s = rs_dictionary_text(d, *(const int32_t *)a, &n), *t = rs_dictionary_text(d, *(const int32_t *)b, &m);
  int order = memcmp(s, t, n < m ? n : m);
  return order ? order : (n > m) - (n < m);
}

/* rank[code] of each text among the dictionary's; rank[0] is not used. Caller frees. */
static rs_status rank_texts(const rs_dictionary *d, int32_t **rank) {
  size_t bytes = (size_t)(d->n + 1) * sizeof **rank;
  int32_t *codes = rs_alloc(bytes);
  *rank = rs_alloc(bytes);
  rs_status status = codes && *rank ? RS_OK : rs_nomem("frame sort", bytes);
  if (status == RS_OK) {
    for (int32_t i = 0; i < d->n; i++) codes[i] = i + 1;
    qsort_r(codes, (size_t)d->n, sizeof *codes, by_bytes, (void *)d);
    for (int32_t i = 0; i < d->n; i++) (*rank)[codes[i]] = i;
  }
  rs_free(codes);
  return status;
}

static uint64_t number_bits(double value) {
  uint64_t bits;
  value += 0.0; /* -0 is 0 */
  memcpy(&bits, &value, sizeof bits);
  return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

/* bits[i] = how the value of row order[i] compares. */
static rs_status sort_bits(uint64_t *bits, const rs_column *c, const int64_t *order, int64_t n, bool descending) {
  int32_t *rank = NULL;
  rs_status status = c->type == RS_STRING ? rank_texts(c->dictionary, &rank) : RS_OK;
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    int64_t row = order[i];
    if (rs_column_is_missing(c, row)) {
      bits[i] = LAST;
      continue;
    }
    if (c->type == RS_STRING)
      bits[i] = (uint64_t)rank[rs_i32(&c->values)[row]];
    else if (c->type == RS_TIME)
      bits[i] = (uint64_t)rs_i64(&c->values)[row] ^ UINT64_C(1) << 63;
    else
      bits[i] = number_bits(rs_f64(&c->values)[row]);
    if (descending) bits[i] = LAST - 1 - bits[i];
  }
  rs_free(rank);
  return status;
}

static bool in_order(const uint64_t *bits, int64_t n) {
  for (int64_t i = 1; i < n; i++)
    if (bits[i - 1] > bits[i]) return false;
  return true;
}

/* The two halves between which the passes swing. */
typedef struct swing {
  uint64_t *bits, *spare_bits;
  int64_t *order, *spare_order;
} swing;

static void radix_pass(swing *s, int64_t n, int digit) {
  int64_t place[BUCKETS] = {0}, sum = 0;
  for (int64_t i = 0; i < n; i++) place[s->bits[i] >> 8 * digit & 255]++;
  if (place[s->bits[0] >> 8 * digit & 255] == n) return;
  for (int b = 0; b < BUCKETS; b++) {
    int64_t count = place[b];
    place[b] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < n; i++) {
    int64_t to = place[s->bits[i] >> 8 * digit & 255]++;
    s->spare_bits[to] = s->bits[i];
    s->spare_order[to] = s->order[i];
  }
  *s = (swing){s->spare_bits, s->bits, s->spare_order, s->order};
}

static rs_status sort_with(swing *s, const rs_frame *f, const rs_sort_key *keys, int n_keys) {
  for (int64_t i = 0; i < f->rows; i++) s->order[i] = i;
  for (int k = n_keys - 1; k >= 0; k--) {
    const rs_column *c = rs_frame_need(f, keys[k].name);
    if (!c) return RS_EARG;
    if (c->type == RS_LIST) return rs_fail(RS_EARG, "frame: a list ('%s') cannot be sorted by", keys[k].name);
    rs_status status = sort_bits(s->bits, c, s->order, f->rows, keys[k].descending);
    if (status != RS_OK) return status;
    if (in_order(s->bits, f->rows)) continue;
    for (int digit = 0; digit < DIGITS; digit++) radix_pass(s, f->rows, digit);
  }
  return RS_OK;
}

rs_status rs_frame_sort(rs_tensor *rows, const rs_frame *f, const rs_sort_key *keys, int n) {
  rs_status status = rs_tensor_new(rows, RS_I64, 1, &f->rows);
  if (status != RS_OK) return status;
  size_t bytes = (size_t)f->rows * sizeof(int64_t);
  void *scratch = rs_alloc(3 * bytes);
  if (!scratch)
    status = rs_nomem("frame sort", 3 * bytes);
  else {
    swing s = {scratch, (uint64_t *)scratch + f->rows, rs_i64(rows), (int64_t *)scratch + 2 * f->rows};
    status = sort_with(&s, f, keys, n);
    if (status == RS_OK && s.order != rs_i64(rows) && f->rows) memcpy(rs_i64(rows), s.order, bytes);
  }
  rs_free(scratch);
  if (status != RS_OK) rs_tensor_free(rows);
  return status;
}
