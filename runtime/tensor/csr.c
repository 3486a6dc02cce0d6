/* csr.c - see csr.h. */
#include "tensor/csr.h"

#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "tensor/clones.h"
#include "tensor/kernels.h"

enum { ROW_GRAIN = 64 };

static bool is_real(rs_dtype dtype) { return dtype == RS_F32 || dtype == RS_F64; }

static rs_status check_vector(const rs_tensor *t, const char *what) {
  if (t->ndim != 1 || !rs_tensor_is_contiguous(t))
    return rs_fail(RS_ESHAPE, "csr: %s are %s, not a contiguous vector", what, rs_shape(t).text);
  return RS_OK;
}

static rs_status check_parts(const rs_tensor *starts, const rs_tensor *columns, const rs_tensor *values) {
  if (starts->dtype != RS_I64 || columns->dtype != RS_I32 || !is_real(values->dtype))
    return rs_fail(RS_EDTYPE, "csr: starts are %s, columns %s, values %s; not i64, i32 and f32 or f64",
                   rs_dtype_name(starts->dtype), rs_dtype_name(columns->dtype), rs_dtype_name(values->dtype));
  rs_status status = check_vector(starts, "starts");
  if (status == RS_OK) status = check_vector(columns, "columns");
  if (status == RS_OK) status = check_vector(values, "values");
  if (status == RS_OK && (starts->size[0] < 1 || columns->size[0] != values->size[0]))
    status = rs_fail(RS_ESHAPE, "csr: %lld starts, %lld columns and %lld values make no matrix",
                     (long long)starts->size[0], (long long)columns->size[0], (long long)values->size[0]);
  return status;
}

/* The starts rise from 0 to the number of entries, the columns lie inside. */
static rs_status check_entries(const rs_csr *m) {
  const int64_t *starts = rs_i64(&m->starts), entries = m->columns.size[0];
  if (starts[0] != 0 || starts[m->rows] != entries)
    return rs_fail(RS_ERANGE, "csr: starts run from %lld to %lld over %lld entries", (long long)starts[0],
                   (long long)starts[m->rows], (long long)entries);
  for (int64_t i = 0; i < m->rows; i++)
    if (starts[i + 1] < starts[i]) return rs_fail(RS_ERANGE, "csr: starts fall after row %lld", (long long)i);
  const int32_t *columns = rs_i32(&m->columns);
  for (int64_t i = 0; i < entries; i++)
    if (columns[i] < 0 || columns[i] >= m->width)
      return rs_fail(RS_ERANGE, "csr: column %d of a matrix of %lld", columns[i], (long long)m->width);
  return RS_OK;
}

rs_status rs_csr_from(rs_csr *out, const rs_tensor *starts, const rs_tensor *columns, const rs_tensor *values,
                      int64_t width) {
  *out = (rs_csr){0};
  rs_status status = check_parts(starts, columns, values);
  if (status != RS_OK) return status;
  if (width < 0 || width > INT32_MAX) return rs_fail(RS_ESHAPE, "csr: a width of %lld", (long long)width);
  out->rows = starts->size[0] - 1;
  out->width = width;
  rs_tensor_share(&out->starts, starts);
  rs_tensor_share(&out->columns, columns);
  rs_tensor_share(&out->values, values);
  status = check_entries(out);
  if (status != RS_OK) rs_csr_free(out);
  return status;
}

void rs_csr_free(rs_csr *m) {
  rs_tensor_free(&m->starts);
  rs_tensor_free(&m->columns);
  rs_tensor_free(&m->values);
  *m = (rs_csr){0};
}

int64_t rs_csr_entries(const rs_csr *m) { return m->columns.size[0]; }

/* A matrix with room for 'entries', its starts all zero. */
static rs_status allocate(rs_csr *out, int64_t rows, int64_t width, int64_t entries, rs_dtype dtype) {
  *out = (rs_csr){.rows = rows, .width = width};
  rs_status status = rs_tensor_zeros(&out->starts, RS_I64, 1, (int64_t[]){rows + 1});
  if (status == RS_OK) status = rs_tensor_new(&out->columns, RS_I32, 1, &entries);
  if (status == RS_OK) status = rs_tensor_new(&out->values, dtype, 1, &entries);
  if (status != RS_OK) rs_csr_free(out);
  return status;
}

/* A counting sort of the entries by column: starts[c] first counts column c, then is where its next entry goes, which
 * in the end is where the next column begins. */
rs_status rs_csr_transpose(rs_csr *out, const rs_csr *m) {
  rs_status status = allocate(out, m->width, m->rows, rs_csr_entries(m), m->values.dtype);
  if (status == RS_OK && m->rows > INT32_MAX) status = rs_fail(RS_ESHAPE, "csr: too many rows to be columns");
  if (status != RS_OK) return rs_csr_free(out), status;
  const int64_t *starts = rs_i64(&m->starts), entries = rs_csr_entries(m);
  const int32_t *columns = rs_i32(&m->columns);
  int64_t *at = rs_i64(&out->starts), total = 0;
  int32_t *rows = rs_i32(&out->columns);
  const char *from = rs_tensor_data(&m->values);
  char *values = rs_tensor_data(&out->values);
  size_t width = rs_dtype_size(m->values.dtype);
  for (int64_t i = 0; i < entries; i++) at[columns[i]]++;
  for (int64_t c = 0; c <= m->width; c++) {
    int64_t count = at[c];
    at[c] = total;
    total += count;
  }
  for (int64_t row = 0; row < m->rows; row++)
    for (int64_t i = starts[row]; i < starts[row + 1]; i++) {
      int64_t to = at[columns[i]]++;
      rows[to] = (int32_t)row;
      memcpy(values + (size_t)to * width, from + (size_t)i * width, width);
    }
  memmove(at + 1, at, (size_t)m->width * sizeof *at);
  at[0] = 0;
  return RS_OK;
}

rs_status rs_csr_cast(rs_csr *out, const rs_csr *m, rs_dtype dtype) {
  *out = (rs_csr){.rows = m->rows, .width = m->width};
  if (!is_real(dtype)) return rs_fail(RS_EDTYPE, "csr: values are f32 or f64, not %s", rs_dtype_name(dtype));
  rs_status status = RS_OK;
  if (m->values.dtype == dtype)
    rs_tensor_share(&out->values, &m->values);
  else
    status = rs_cast(&out->values, &m->values, dtype);
  if (status != RS_OK) return status;
  rs_tensor_share(&out->starts, &m->starts);
  rs_tensor_share(&out->columns, &m->columns);
  return RS_OK;
}

rs_status rs_csr_dense(rs_tensor *out, const rs_csr *m) {
  rs_status status = rs_tensor_zeros(out, m->values.dtype, 2, (int64_t[]){m->rows, m->width});
  if (status != RS_OK) return status;
  for (int64_t row = 0; row < m->rows; row++)
    for (int64_t i = rs_i64(&m->starts)[row]; i < rs_i64(&m->starts)[row + 1]; i++) {
      int64_t at = row * m->width + rs_i32(&m->columns)[i];
      if (m->values.dtype == RS_F32)
        rs_f32(out)[at] += rs_f32(&m->values)[i];
      else
        rs_f64(out)[at] += rs_f64(&m->values)[i];
    }
  return RS_OK;
}

/* ---- products ---- */

/* A task is a block of rows times a strip of 64 columns of b: a strip of a few thousand rows stays in the second-level
 * cache, where b as a whole does not, and a row of the result in registers. Tasks go strip after strip. */
enum { STRIP = 64, LANES = 16 };

typedef struct product {
  const rs_csr *m;
  const rs_tensor *b;
  rs_tensor *out;
  int64_t d, blocks; /* of rows */
} product;

#define TYPE float
#define NAME(x) x##_f32
#include "tensor/csr_type.h"
#define TYPE double
#define NAME(x) x##_f64
#include "tensor/csr_type.h"

static void multiply(void *context, int64_t begin, int64_t end) {
  const product *p = context;
  for (int64_t task = begin; task < end; task++) {
    int64_t row = task % p->blocks * ROW_GRAIN, column = task / p->blocks * STRIP;
    int64_t last = row + ROW_GRAIN < p->m->rows ? row + ROW_GRAIN : p->m->rows;
    int64_t n = p->d - column < STRIP ? p->d - column : STRIP;
    if (p->out->dtype == RS_F32)
      rows_f32(p, row, last, column, n);
    else
      rows_f64(p, row, last, column, n);
  }
}

rs_status rs_csr_matmul(rs_tensor *out, const rs_csr *m, const rs_tensor *b) {
  *out = (rs_tensor){0};
  if (b->dtype != m->values.dtype)
    return rs_fail(RS_EDTYPE, "csr: a matrix of %s times one of %s", rs_dtype_name(m->values.dtype),
                   rs_dtype_name(b->dtype));
  if (b->ndim != 2 || b->size[0] != m->width)
    return rs_fail(RS_ESHAPE, "csr: [%lld, %lld] times %s", (long long)m->rows, (long long)m->width, rs_shape(b).text);
  rs_tensor rows = {0};
  rs_status status = rs_tensor_contiguous(&rows, b);
  if (status == RS_OK) status = rs_tensor_new(out, b->dtype, 2, (int64_t[]){m->rows, b->size[1]});
  if (status == RS_OK) {
    product p = {.m = m, .b = &rows, .out = out, .d = b->size[1], .blocks = (m->rows + ROW_GRAIN - 1) / ROW_GRAIN};
    rs_parallel_for(p.blocks * ((p.d + STRIP - 1) / STRIP), 1, multiply, &p);
  }
  rs_tensor_free(&rows);
  return status;
}

static void multiply_left(void *context, int64_t begin, int64_t end) {
  const product *p = context;
  int64_t width = p->m->width, rows = p->m->rows;
  for (int64_t i = begin; i < end; i++) {
    if (p->out->dtype == RS_F32)
      add_rows_f32(rs_f32(p->out) + i * width, rs_f32(p->b) + i * rows, p->m);
    else
      add_rows_f64(rs_f64(p->out) + i * width, rs_f64(p->b) + i * rows, p->m);
  }
}

rs_status rs_csr_matmul_left(rs_tensor *out, const rs_tensor *a, const rs_csr *m) {
  *out = (rs_tensor){0};
  if (a->dtype != m->values.dtype)
    return rs_fail(RS_EDTYPE, "csr: a matrix of %s times one of %s", rs_dtype_name(a->dtype),
                   rs_dtype_name(m->values.dtype));
  if (a->ndim != 2 || a->size[1] != m->rows)
    return rs_fail(RS_ESHAPE, "csr: %s times [%lld, %lld]", rs_shape(a).text, (long long)m->rows, (long long)m->width);
  rs_tensor rows = {0};
  rs_status status = rs_tensor_contiguous(&rows, a);
  if (status == RS_OK) status = rs_tensor_zeros(out, a->dtype, 2, (int64_t[]){a->size[0], m->width});
  if (status == RS_OK) {
    product p = {.m = m, .b = &rows, .out = out};
    rs_parallel_for(a->size[0], 1, multiply_left, &p);
  }
  rs_tensor_free(&rows);
  return status;
}

rs_status rs_csr_matmul_transposed(rs_tensor *out, const rs_csr *m, const rs_tensor *b) {
  rs_csr turned = {0};
  *out = (rs_tensor){0};
  rs_status status = rs_csr_transpose(&turned, m);
  if (status == RS_OK) status = rs_csr_matmul(out, &turned, b);
  rs_csr_free(&turned);
  return status;
}
