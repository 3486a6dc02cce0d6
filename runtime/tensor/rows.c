/* rows.c - rows by number: select, add, copy, and what makes row numbers. */
#include <string.h>

#include "base/parallel.h"
#include "tensor/kernels.h"
#include "tensor/order.h"

/* A list of row numbers, checked against 'limit'; 'rows' is a contiguous i64 vector of its own or another's. */
static rs_status check_rows(rs_tensor *out, const char *what, const rs_tensor *rows, int64_t limit) {
  if (rows->dtype != RS_I64 && rows->dtype != RS_I32)
    return rs_fail(RS_EDTYPE, "%s: rows are i64 or i32, not %s", what, rs_dtype_name(rows->dtype));
  rs_status status = rows->dtype == RS_I64 ? rs_tensor_contiguous(out, rows) : rs_cast(out, rows, RS_I64);
  if (status != RS_OK) return status;
  const int64_t *at = rs_i64(out);
  for (int64_t i = 0; i < rs_tensor_count(out); i++)
    if (at[i] < 0 || at[i] >= limit) {
      status =
          rs_fail(RS_ERANGE, "%s: row %lld of %lld rows (they count from 0)", what, (long long)at[i], (long long)limit);
      rs_tensor_free(out);
      return status;
    }
  return RS_OK;
}

static rs_status vector_expected(const char *what, const rs_tensor *t) {
  return t->ndim == 1 ? RS_OK : rs_fail(RS_ESHAPE, "%s: a vector expected, not %s", what, rs_shape(t).text);
}

/* Copies of rows of equal length. */
typedef struct transfer {
  char *to;
  const char *from;
  const int64_t *at;
  size_t bytes; /* a row */
} transfer;

static void select_rows(void *context, int64_t begin, int64_t end) {
  const transfer *t = context;
  if (t->bytes == 4)
    for (int64_t i = begin; i < end; i++) memcpy(t->to + i * 4, t->from + t->at[i] * 4, 4);
  else if (t->bytes == 8)
    for (int64_t i = begin; i < end; i++) memcpy(t->to + i * 8, t->from + t->at[i] * 8, 8);
  else
    for (int64_t i = begin; i < end; i++)
      memcpy(t->to + (size_t)i * t->bytes, t->from + (size_t)t->at[i] * t->bytes, t->bytes);
}

static void over_rows(int64_t n, size_t bytes, rs_body *body, void *context) {
  enum { GRAIN_BYTES = 1 << 17 };
  int64_t grain = bytes >= GRAIN_BYTES ? 1 : GRAIN_BYTES / (int64_t)(bytes ? bytes : 1);
  if (n <= grain)
    body(context, 0, n);
  else
    rs_parallel_for(n, grain, body, context);
}

static size_t row_bytes(const rs_tensor *t) {
  size_t bytes = rs_dtype_size(t->dtype);
  for (int d = 1; d < t->ndim; d++) bytes *= (size_t)t->size[d];
  return bytes;
}

rs_status rs_index_select(rs_tensor *out, const rs_tensor *t, const rs_tensor *rows) {
  rs_tensor at = {0}, whole = {0};
  int64_t size[RS_MAX_DIMS];
  *out = (rs_tensor){0};
  if (t->ndim == 0) return rs_fail(RS_ESHAPE, "index_select: a scalar has no rows");
  rs_status status = vector_expected("index_select", rows);
  if (status == RS_OK) status = check_rows(&at, "index_select", rows, t->size[0]);
  if (status == RS_OK) status = rs_tensor_contiguous(&whole, t);
  if (status == RS_OK) {
    memcpy(size, t->size, sizeof size);
    size[0] = rows->size[0];
    status = rs_tensor_new(out, t->dtype, t->ndim, size);
  }
  if (status == RS_OK) {
    transfer job = {rs_tensor_data(out), rs_tensor_data(&whole), rs_i64(&at), row_bytes(t)};
    over_rows(size[0], job.bytes, select_rows, &job);
  }
  rs_tensor_free(&at);
  rs_tensor_free(&whole);
  return status;
}

/* What index_add and index_copy check and prepare: row numbers, and 'src' contiguous. t must be contiguous. */
static rs_status prepare(const char *what, rs_tensor *at, rs_tensor *whole, const rs_tensor *t, const rs_tensor *rows,
                         const rs_tensor *src) {
  bool fits = t->ndim >= 1 && src->ndim == t->ndim && rows->ndim == 1 && src->size[0] == rows->size[0];
  for (int d = 1; fits && d < t->ndim; d++) fits = src->size[d] == t->size[d];
  if (!fits)
    return rs_fail(RS_ESHAPE, "%s: rows %s of %s from %s", what, rs_shape(rows).text, rs_shape(t).text,
                   rs_shape(src).text);
  if (src->dtype != t->dtype)
    return rs_fail(RS_EDTYPE, "%s: %s into %s", what, rs_dtype_name(src->dtype), rs_dtype_name(t->dtype));
  if (!rs_tensor_is_contiguous(t)) return rs_fail(RS_ESHAPE, "%s: the target is not contiguous", what);
  if (t->dtype == RS_BF16) return rs_fail(RS_EDTYPE, "%s: bf16 is for storing; cast it to f32", what);
  rs_status status = check_rows(at, what, rows, t->size[0]);
  if (status == RS_OK) status = rs_tensor_contiguous(whole, src);
  if (status != RS_OK) rs_tensor_free(at);
  return status;
}

rs_status rs_index_copy_into(rs_tensor *t, const rs_tensor *rows, const rs_tensor *src) {
  rs_tensor at = {0}, whole = {0};
  rs_status status = prepare("index_copy", &at, &whole, t, rows, src);
  if (status != RS_OK) return status;
  size_t bytes = row_bytes(t);
  char *to = rs_tensor_data(t);
  const char *from = rs_tensor_data(&whole);
  const int64_t *row = rs_i64(&at);
  for (int64_t i = 0; i < at.size[0]; i++) memmove(to + (size_t)row[i] * bytes, from + (size_t)i * bytes, bytes);
  rs_tensor_free(&at);
  rs_tensor_free(&whole);
  return RS_OK;
}

#define ADD_ROW(T, U) \
  for (int64_t j = 0; j < width; j++) ((T *)to)[j] = (T)((U)((T *)to)[j] + (U)((const T *)from)[j])

static void add_row(rs_dtype dtype, void *to, const void *from, int64_t width) {
  switch (dtype) {
    case RS_F32: ADD_ROW(float, float); break;
    case RS_F64: ADD_ROW(double, double); break;
    case RS_I32: ADD_ROW(int32_t, uint32_t); break;
    case RS_I64: ADD_ROW(int64_t, uint64_t); break;
    default: ADD_ROW(uint8_t, uint32_t); break;
  }
}

rs_status rs_index_add_into(rs_tensor *t, const rs_tensor *rows, const rs_tensor *src) {
  rs_tensor at = {0}, whole = {0};
  rs_status status = prepare("index_add", &at, &whole, t, rows, src);
  if (status != RS_OK) return status;
  size_t bytes = row_bytes(t);
  int64_t width = (int64_t)(bytes / rs_dtype_size(t->dtype));
  for (int64_t i = 0; i < at.size[0]; i++)
    add_row(t->dtype, (char *)rs_tensor_data(t) + (size_t)rs_i64(&at)[i] * bytes,
            (char *)rs_tensor_data(&whole) + (size_t)i * bytes, width);
  rs_tensor_free(&at);
  rs_tensor_free(&whole);
  return RS_OK;
}

rs_status rs_gather_columns(rs_tensor *out, const rs_tensor *t, const rs_tensor *columns) {
  rs_tensor at = {0}, whole = {0};
  *out = (rs_tensor){0};
  if (t->ndim != 2 || columns->ndim != 2 || t->size[0] != columns->size[0])
    return rs_fail(RS_ESHAPE, "gather: columns %s of %s", rs_shape(columns).text, rs_shape(t).text);
  rs_status status = check_rows(&at, "gather", columns, t->size[1]);
  if (status == RS_OK) status = rs_tensor_contiguous(&whole, t);
  if (status == RS_OK) status = rs_tensor_new(out, t->dtype, 2, columns->size);
  if (status == RS_OK) {
    size_t width = rs_dtype_size(t->dtype);
    int64_t k = columns->size[1], count = rs_tensor_count(out);
    for (int64_t i = 0; i < count; i++)
      memcpy((char *)rs_tensor_data(out) + (size_t)i * width,
             (char *)rs_tensor_data(&whole) + (size_t)(i / k * t->size[1] + rs_i64(&at)[i]) * width, width);
  }
  rs_tensor_free(&at);
  rs_tensor_free(&whole);
  return status;
}

rs_status rs_nonzero(rs_tensor *out, const rs_tensor *mask) {
  rs_tensor whole = {0};
  *out = (rs_tensor){0};
  if (mask->dtype != RS_U8)
    return rs_fail(RS_EDTYPE, "nonzero: a mask of u8 expected, not %s", rs_dtype_name(mask->dtype));
  rs_status status = vector_expected("nonzero", mask);
  if (status == RS_OK) status = rs_tensor_contiguous(&whole, mask);
  if (status != RS_OK) return status;
  const uint8_t *m = rs_u8(&whole);
  int64_t count = 0, at = 0;
  for (int64_t i = 0; i < mask->size[0]; i++) count += m[i] != 0;
  status = rs_tensor_new(out, RS_I64, 1, &count);
  int64_t *rows = status == RS_OK ? rs_i64(out) : NULL;
  for (int64_t i = 0; rows && at < count; i++) {
    rows[at] = i;
    at += m[i] != 0;
  }
  rs_tensor_free(&whole);
  return status;
}

rs_status rs_concat(rs_tensor *out, int n, const rs_tensor *const *tensors, int dim) {
  *out = (rs_tensor){0};
  if (n < 1 || dim < 0 || dim >= tensors[0]->ndim) return rs_fail(RS_ESHAPE, "concat: no such dimension");
  int64_t size[RS_MAX_DIMS];
  memcpy(size, tensors[0]->size, sizeof size);
  for (int i = 1; i < n; i++) {
    const rs_tensor *t = tensors[i];
    bool fits = t->dtype == tensors[0]->dtype && t->ndim == tensors[0]->ndim;
    for (int d = 0; fits && d < t->ndim; d++) fits = d == dim || t->size[d] == size[d];
    if (!fits)
      return rs_fail(RS_ESHAPE, "concat: %s %s does not continue %s %s", rs_dtype_name(t->dtype), rs_shape(t).text,
                     rs_dtype_name(tensors[0]->dtype), rs_shape(tensors[0]).text);
    size[dim] += t->size[dim];
  }
  rs_status status = rs_tensor_new(out, tensors[0]->dtype, tensors[0]->ndim, size);
  int64_t start = 0;
  for (int i = 0; status == RS_OK && i < n; i++) {
    rs_tensor part = {0};
    status = rs_tensor_narrow(&part, out, dim, start, tensors[i]->size[dim]);
    if (status == RS_OK) status = rs_copy_into(&part, tensors[i]);
    rs_tensor_free(&part);
    start += tensors[i]->size[dim];
  }
  if (status != RS_OK) rs_tensor_free(out);
  return status;
}
