/* order.c - sorting by radix, and what follows from order.
 *
 * An element becomes a 64-bit key whose unsigned order is the wanted one; eight counting passes of a byte each are
 * stable, and a pass in which all keys agree is skipped, so that small codes take one or two. */
#include "tensor/order.h"

#include <string.h>

#include "base/alloc.h"
#include "tensor/kernels.h"

static rs_status vector_expected(const char *what, const rs_tensor *t) {
  if (t->dtype == RS_BF16) return rs_fail(RS_EDTYPE, "%s: bf16 is for storing; cast it to f32", what);
  return t->ndim == 1 ? RS_OK : rs_fail(RS_ESHAPE, "%s: a vector expected, not %s", what, rs_shape(t).text);
}

typedef struct entry {
  uint64_t key;
  int64_t row;
} entry;

/* Doubles in ascending order: positive ones by their bits, negative ones the other way; -0 equals 0, NaN is last. */
static uint64_t real_key(double x) {
  uint64_t bits;
  if (x != x) return UINT64_MAX;
  if (x == 0) x = 0;
  memcpy(&bits, &x, sizeof bits);
  return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static uint64_t key_of(const rs_tensor *t, int64_t i, bool descending) {
  uint64_t key;
  if (t->dtype == RS_F32 || t->dtype == RS_F64) {
    key = real_key(t->dtype == RS_F32 ? (double)rs_f32(t)[i] : rs_f64(t)[i]);
    return key == UINT64_MAX || !descending ? key : ~key;
  }
  int64_t value = t->dtype == RS_I32 ? rs_i32(t)[i] : t->dtype == RS_I64 ? rs_i64(t)[i] : rs_u8(t)[i];
  key = (uint64_t)value ^ (uint64_t)1 << 63;
  return descending ? ~key : key;
}

/* Sort n entries, with as much scratch; returns where they are. */
static entry *radix(entry *from, entry *to, int64_t n) {
  int64_t counts[8][256] = {{0}};
  for (int64_t i = 0; i < n; i++)
    for (int b = 0; b < 8; b++) counts[b][from[i].key >> 8 * b & 255]++;
  for (int b = 0; b < 8; b++) {
    if (n == 0 || counts[b][from[0].key >> 8 * b & 255] == n) continue;
    int64_t start = 0;
    for (int v = 0; v < 256; v++) {
      int64_t count = counts[b][v];
      counts[b][v] = start;
      start += count;
    }
    for (int64_t i = 0; i < n; i++) to[counts[b][from[i].key >> 8 * b & 255]++] = from[i];
    entry *swap = from;
    from = to;
    to = swap;
  }
  return from;
}

/* The sorted entries of a contiguous vector; *scratch is what to free. */
static rs_status sorted_entries(entry **out, void **scratch, const rs_tensor *t, bool descending) {
  int64_t n = t->size[0];
  size_t bytes = 2 * (size_t)n * sizeof(entry);
  entry *entries = rs_alloc(bytes);
  if (!entries) return rs_nomem("argsort", bytes);
  for (int64_t i = 0; i < n; i++) entries[i] = (entry){key_of(t, i, descending), i};
  *scratch = entries;
  *out = radix(entries, entries + n, n);
  return RS_OK;
}

rs_status rs_argsort(rs_tensor *out, const rs_tensor *t, bool descending) {
  rs_tensor whole = {0};
  entry *entries = NULL;
  void *scratch = NULL;
  *out = (rs_tensor){0};
  rs_status status = vector_expected("argsort", t);
  if (status == RS_OK) status = rs_tensor_contiguous(&whole, t);
  if (status == RS_OK) status = rs_tensor_new(out, RS_I64, 1, t->size);
  if (status == RS_OK) status = sorted_entries(&entries, &scratch, &whole, descending);
  if (status == RS_OK)
    for (int64_t i = 0; i < t->size[0]; i++) rs_i64(out)[i] = entries[i].row;
  else
    rs_tensor_free(out);
  rs_free(scratch);
  rs_tensor_free(&whole);
  return status;
}

rs_status rs_unique(rs_tensor *values, rs_tensor *counts, const rs_tensor *t) {
  rs_tensor whole = {0}, firsts = {0}, times = {0};
  entry *entries = NULL;
  void *scratch = NULL;
  int64_t n = 0, distinct = 0, at = -1;
  *values = (rs_tensor){0};
  if (counts) *counts = (rs_tensor){0};
  rs_status status = vector_expected("unique", t);
  if (status == RS_OK) status = rs_tensor_contiguous(&whole, t);
  if (status == RS_OK) status = sorted_entries(&entries, &scratch, &whole, false);
  if (status == RS_OK) {
    n = t->size[0];
    for (int64_t i = 0; i < n; i++) distinct += i == 0 || entries[i].key != entries[i - 1].key;
    status = rs_tensor_new(&firsts, RS_I64, 1, &distinct);
  }
  if (status == RS_OK) status = rs_tensor_zeros(&times, RS_I64, 1, &distinct);
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    if (i == 0 || entries[i].key != entries[i - 1].key) rs_i64(&firsts)[++at] = entries[i].row;
    rs_i64(&times)[at]++;
  }
  if (status == RS_OK) status = rs_index_select(values, &whole, &firsts);
  if (status == RS_OK && counts) rs_tensor_share(counts, &times);
  rs_free(scratch);
  rs_tensor_free(&whole), rs_tensor_free(&firsts), rs_tensor_free(&times);
  return status;
}

rs_status rs_cumsum(rs_tensor *out, const rs_tensor *t) {
  rs_tensor whole = {0};
  bool is_float = t->dtype == RS_F32 || t->dtype == RS_F64;
  *out = (rs_tensor){0};
  rs_status status = vector_expected("cumsum", t);
  if (status == RS_OK) status = rs_cast(&whole, t, is_float ? RS_F64 : RS_I64);
  if (status != RS_OK) return status;
  for (int64_t i = 1; i < t->size[0]; i++)
    if (is_float)
      rs_f64(&whole)[i] += rs_f64(&whole)[i - 1];
    else
      rs_i64(&whole)[i] = (int64_t)((uint64_t)rs_i64(&whole)[i] + (uint64_t)rs_i64(&whole)[i - 1]);
  status = rs_cast(out, &whole, is_float ? t->dtype : RS_I64);
  rs_tensor_free(&whole);
  return status;
}

/* Sum of weights (of 1 without them) by value. */
static rs_status count_into(rs_tensor *out, const rs_tensor *values, int64_t n, const rs_tensor *weights) {
  const int64_t *value = rs_i64(values);
  const double *weight = weights ? rs_f64(weights) : NULL;
  double *sums = weights ? rs_f64(out) : NULL;
  int64_t *counts = weights ? NULL : rs_i64(out);
  for (int64_t i = 0; i < values->size[0]; i++) {
    int64_t v = value[i];
    if (v < 0 || v >= n)
      return rs_fail(RS_ERANGE, "bincount: %lld lies outside 0 .. %lld", (long long)v, (long long)n - 1);
    if (weight)
      sums[v] += weight[i];
    else
      counts[v]++;
  }
  return RS_OK;
}

rs_status rs_bincount(rs_tensor *out, const rs_tensor *t, int64_t n, const rs_tensor *weights) {
  rs_tensor values = {0}, heavy = {0};
  *out = (rs_tensor){0};
  rs_status status = vector_expected("bincount", t);
  if (status == RS_OK && (t->dtype == RS_F32 || t->dtype == RS_F64))
    status = rs_fail(RS_EDTYPE, "bincount: integers expected, not %s", rs_dtype_name(t->dtype));
  if (status == RS_OK && weights && (weights->ndim != 1 || weights->size[0] != t->size[0]))
    status = rs_fail(RS_ESHAPE, "bincount: weights %s for %s", rs_shape(weights).text, rs_shape(t).text);
  if (status == RS_OK) status = rs_cast(&values, t, RS_I64);
  if (status == RS_OK && weights) status = rs_cast(&heavy, weights, RS_F64);
  if (status == RS_OK && n < 0) {
    const int64_t *value = rs_i64(&values);
    n = 0;
    for (int64_t i = 0; i < t->size[0]; i++)
      if (value[i] >= n) n = value[i] + 1;
  }
  if (status == RS_OK) status = rs_tensor_zeros(out, weights ? RS_F64 : RS_I64, 1, &n);
  if (status == RS_OK) status = count_into(out, &values, n, weights ? &heavy : NULL);
  if (status != RS_OK) rs_tensor_free(out);
  rs_tensor_free(&values);
  rs_tensor_free(&heavy);
  return status;
}

rs_status rs_search_sorted(rs_tensor *out, const rs_tensor *sorted, const rs_tensor *values, bool right) {
  rs_tensor whole = {0}, wanted = {0};
  *out = (rs_tensor){0};
  rs_status status = vector_expected("search_sorted", sorted);
  if (status == RS_OK) status = vector_expected("search_sorted", values);
  if (status == RS_OK && sorted->dtype != values->dtype)
    status = rs_fail(RS_EDTYPE, "search_sorted: %s in %s", rs_dtype_name(values->dtype), rs_dtype_name(sorted->dtype));
  if (status == RS_OK) status = rs_tensor_contiguous(&whole, sorted);
  if (status == RS_OK) status = rs_tensor_contiguous(&wanted, values);
  if (status == RS_OK) status = rs_tensor_new(out, RS_I64, 1, values->size);
  for (int64_t i = 0; status == RS_OK && i < values->size[0]; i++) {
    uint64_t key = key_of(&wanted, i, false);
    int64_t low = 0, high = sorted->size[0];
    while (low < high) {
      int64_t middle = low + (high - low) / 2;
      uint64_t other = key_of(&whole, middle, false);
      if (other < key || (right && other == key))
        low = middle + 1;
      else
        high = middle;
    }
    rs_i64(out)[i] = low;
  }
  rs_tensor_free(&whole);
  rs_tensor_free(&wanted);
  return status;
}
