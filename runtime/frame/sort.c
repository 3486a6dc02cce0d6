/* sort.c - a stable order of rows by columns. See frame.h.
 *
 * Values become 64 bits that compare as unsigned integers; radix sort from the last digit to the first, key by key from
 * the last to the first, skipping digits that are equal everywhere. Rows that are in order already are left alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/frame.h"
#include "frame/partition.h"

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

static uint64_t time_bits(int64_t time) { return (uint64_t)time ^ UINT64_C(1) << 63; }

uint64_t rs_sort_bits(const rs_column *c, int64_t row) {
  if (c->type == RS_TIME) return time_bits(rs_i64(&c->values)[row]);
  return number_bits(rs_f64(&c->values)[row]);
}

/* What one key's bits are made from. */
typedef struct measure {
  uint64_t *bits;
  const rs_column *column;
  const int64_t *order;
  const int32_t *rank; /* of a string's codes */
  bool descending;
} measure;

static uint64_t turned(uint64_t bits, bool descending) { return descending ? LAST - 1 - bits : bits; }

static void measure_rows(void *context, int64_t begin, int64_t end) {
  const measure *m = context;
  const void *values = rs_tensor_data(&m->column->values);
  for (int64_t i = begin; i < end; i++) {
    int64_t row = m->order[i];
    if (m->column->type == RS_STRING) {
      int32_t code = ((const int32_t *)values)[row];
      m->bits[i] = code ? turned((uint64_t)m->rank[code], m->descending) : LAST;
    } else if (m->column->type == RS_TIME) {
      int64_t time = ((const int64_t *)values)[row];
      m->bits[i] = time == RS_TIME_MISSING ? LAST : turned(time_bits(time), m->descending);
    } else {
      double number = ((const double *)values)[row];
      m->bits[i] = isnan(number) ? LAST : turned(number_bits(number), m->descending);
    }
  }
}

/* bits[i] = how the value of row order[i] compares. */
static rs_status sort_bits(uint64_t *bits, const rs_column *c, const int64_t *order, int64_t n, bool descending) {
  int32_t *rank = NULL;
  rs_status status = c->type == RS_STRING ? rank_texts(c->dictionary, &rank) : RS_OK;
  if (status == RS_OK) {
    measure m = {bits, c, order, rank, descending};
    rs_parallel_for(n, RS_ROW_GRAIN, measure_rows, &m);
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

static rs_status sort_digits(swing *s, int64_t n) {
  uint64_t varies = 0;
  for (int64_t i = 1; i < n; i++) varies |= s->bits[i] ^ s->bits[0];
  for (int shift = 0; shift < 64 && varies >> shift; shift += RS_BUCKET_BITS) {
    int bits = 64 - shift < RS_BUCKET_BITS ? 64 - shift : RS_BUCKET_BITS;
    if (!(varies >> shift & ((UINT64_C(1) << bits) - 1))) continue;
    rs_status status = rs_scatter(s->spare_bits, s->spare_order, NULL, s->bits, s->order, n, shift, bits);
    if (status != RS_OK) return status;
    *s = (swing){s->spare_bits, s->bits, s->spare_order, s->order};
  }
  return RS_OK;
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
    if ((status = sort_digits(s, f->rows)) != RS_OK) return status;
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
