/* tensor.c - storage and views. Heap storage is one block: the header, then at RS_ALIGN the elements. */
#include "tensor/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tensor/half.h"

static const struct {
  const char *name;
  size_t size;
} dtypes[] = {
    [RS_F32] = {"f32", 4}, [RS_F64] = {"f64", 8}, [RS_I32] = {"i32", 4}, [RS_I64] = {"i64", 8}, [RS_U8] = {"u8", 1},
    [RS_BF16] = {"bf16", 2}};

size_t rs_dtype_size(rs_dtype dtype) { return dtypes[dtype].size; }
const char *rs_dtype_name(rs_dtype dtype) { return dtypes[dtype].name; }

rs_status rs_dtype_named(rs_dtype *out, const char *name) {
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (strcmp(name, dtypes[i].name) == 0) {
      *out = (rs_dtype)i;
      return RS_OK;
    }
  return rs_fail(RS_EARG, "there is no dtype '%.32s' (f32, f64, i32, i64, u8 or bf16)", name);
}

/* Storage. */

_Static_assert(sizeof(rs_storage) <= RS_ALIGN, "the elements start one RS_ALIGN behind the header");

static rs_storage *heap_storage(size_t bytes) {
  char *block = bytes <= SIZE_MAX - RS_ALIGN ? rs_alloc(RS_ALIGN + bytes) : NULL;
  if (!block) return NULL;
  rs_storage *storage = (rs_storage *)block;
  *storage = (rs_storage){.references = 1, .data = block + RS_ALIGN, .bytes = bytes, .writable = true};
  return storage;
}

rs_storage *rs_storage_wrap(void *data, size_t bytes, bool writable, void (*release)(rs_storage *), void *owner) {
  rs_storage *storage = rs_alloc(sizeof *storage);
  if (!storage) return NULL;
  *storage = (rs_storage){1, data, bytes, writable, release, owner};
  return storage;
}

void rs_storage_release(rs_storage *storage) {
  if (!storage || atomic_fetch_sub(&storage->references, 1) != 1) return;
  if (storage->release) storage->release(storage);
  rs_free(storage);
}

/* Constructors. */

/* Shape 'out' as a contiguous tensor without storage, and count its bytes. */
static rs_status shape(rs_tensor *out, rs_dtype dtype, int ndim, const int64_t *size, size_t *bytes) {
  *out = (rs_tensor){.dtype = dtype, .ndim = ndim};
  if (ndim < 0 || ndim > RS_MAX_DIMS)
    return rs_fail(RS_ESHAPE, "tensor: %d dimensions, at most %d are served", ndim, RS_MAX_DIMS);
  int64_t count = 1, room = INT64_MAX / 8;
  for (int d = ndim - 1; d >= 0; d--) {
    if (size[d] < 0) return rs_fail(RS_ESHAPE, "tensor: size %lld is negative", (long long)size[d]);
    out->size[d] = size[d];
    out->stride[d] = count;
    int64_t factor = size[d] > 0 ? size[d] : 1; /* strides stay sensible beside an empty dimension */
    if (factor > room / count) return rs_fail(RS_ESHAPE, "tensor: the number of elements overflows");
    count *= factor;
  }
  *bytes = (size_t)rs_tensor_count(out) * rs_dtype_size(dtype);
  return RS_OK;
}

rs_status rs_tensor_new(rs_tensor *out, rs_dtype dtype, int ndim, const int64_t *size) {
  size_t bytes = 0;
  rs_status status = shape(out, dtype, ndim, size, &bytes);
  if (status == RS_OK) {
    out->storage = heap_storage(bytes);
    if (!out->storage) status = rs_nomem("tensor", bytes);
  }
  if (status != RS_OK) *out = (rs_tensor){0};
  return status;
}

rs_status rs_tensor_zeros(rs_tensor *out, rs_dtype dtype, int ndim, const int64_t *size) {
  rs_status status = rs_tensor_new(out, dtype, ndim, size);
  if (status == RS_OK) memset(out->storage->data, 0, out->storage->bytes);
  return status;
}

rs_status rs_tensor_over(rs_tensor *out, rs_storage *storage, rs_dtype dtype, int ndim, const int64_t *size,
                         int64_t offset) {
  size_t bytes = 0, width = rs_dtype_size(dtype);
  rs_status status = shape(out, dtype, ndim, size, &bytes);
  if (status == RS_OK &&
      (offset < 0 || (size_t)offset > storage->bytes / width || bytes > storage->bytes - (size_t)offset * width))
    status = rs_fail(RS_ESHAPE, "tensor: %s %s leaves its storage of %zu bytes", rs_dtype_name(dtype),
                     rs_shape(out).text, storage->bytes);
  if (status != RS_OK) {
    *out = (rs_tensor){0};
    return status;
  }
  out->storage = storage;
  out->offset = offset;
  return RS_OK;
}

void rs_tensor_share(rs_tensor *out, const rs_tensor *t) {
  *out = *t;
  if (t->storage) atomic_fetch_add(&t->storage->references, 1);
}

void rs_tensor_free(rs_tensor *t) {
  if (!t) return;
  rs_storage_release(t->storage);
  *t = (rs_tensor){0};
}

/* Copies. */

/* Copy 't' (dimension 'd' on, from 'from') to 'to', in row-major order; returns the end of what was written. */
static char *copy_from(char *to, const rs_tensor *t, int d, const char *from) {
  size_t width = rs_dtype_size(t->dtype);
  if (d == t->ndim) return memcpy(to, from, width), to + width;
  int64_t n = t->size[d], step = t->stride[d] * (int64_t)width;
  if (d == t->ndim - 1 && t->stride[d] == 1) return memcpy(to, from, (size_t)n * width), to + (size_t)n * width;
  if (d == t->ndim - 1 && width == 4) {
    for (int64_t i = 0; i < n; i++) memcpy(to + i * 4, from + i * step, 4);
    return to + n * 4;
  }
  if (d == t->ndim - 1 && width == 8) {
    for (int64_t i = 0; i < n; i++) memcpy(to + i * 8, from + i * step, 8);
    return to + n * 8;
  }
  for (int64_t i = 0; i < n; i++) to = copy_from(to, t, d + 1, from + i * step);
  return to;
}

rs_status rs_tensor_copy_of(rs_tensor *out, const rs_tensor *t) {
  rs_status status = rs_tensor_new(out, t->dtype, t->ndim, t->size);
  if (status == RS_OK && rs_tensor_count(t) > 0) copy_from(rs_tensor_data(out), t, 0, rs_tensor_data(t));
  return status;
}

rs_status rs_tensor_contiguous(rs_tensor *out, const rs_tensor *t) {
  if (!rs_tensor_is_contiguous(t)) return rs_tensor_copy_of(out, t);
  rs_tensor_share(out, t);
  return RS_OK;
}

/* Views. */

static rs_status check_dim(const char *what, const rs_tensor *t, int dim) {
  if (0 <= dim && dim < t->ndim) return RS_OK;
  return rs_fail(RS_ESHAPE, "%s: %s has no such dimension", what, rs_shape(t).text);
}

rs_status rs_tensor_narrow(rs_tensor *out, const rs_tensor *t, int dim, int64_t start, int64_t length) {
  *out = (rs_tensor){0};
  rs_status status = check_dim("narrow", t, dim);
  if (status != RS_OK) return status;
  if (start < 0 || length < 0 || start > t->size[dim] || length > t->size[dim] - start)
    return rs_fail(RS_ESHAPE, "narrow: the slice leaves a dimension of size %lld", (long long)t->size[dim]);
  rs_tensor_share(out, t);
  out->size[dim] = length;
  out->offset += start * t->stride[dim];
  return RS_OK;
}

rs_status rs_tensor_select(rs_tensor *out, const rs_tensor *t, int dim, int64_t index) {
  *out = (rs_tensor){0};
  rs_status status = check_dim("select", t, dim);
  if (status != RS_OK) return status;
  if (index < 0 || index >= t->size[dim])
    return rs_fail(RS_ERANGE, "select: the position lies outside a dimension of size %lld", (long long)t->size[dim]);
  rs_tensor_share(out, t);
  out->offset += index * t->stride[dim];
  out->ndim--;
  for (int d = dim; d < out->ndim; d++) {
    out->size[d] = t->size[d + 1];
    out->stride[d] = t->stride[d + 1];
  }
  return RS_OK;
}

rs_status rs_tensor_transpose(rs_tensor *out, const rs_tensor *t, int dim0, int dim1) {
  *out = (rs_tensor){0};
  rs_status status = check_dim("transpose", t, dim0);
  if (status == RS_OK) status = check_dim("transpose", t, dim1);
  if (status != RS_OK) return status;
  rs_tensor_share(out, t);
  out->size[dim0] = t->size[dim1];
  out->size[dim1] = t->size[dim0];
  out->stride[dim0] = t->stride[dim1];
  out->stride[dim1] = t->stride[dim0];
  return RS_OK;
}

/* Replace a size of -1 by what makes the product 'count'. */
static rs_status infer(int64_t *full, const rs_tensor *t, int ndim, const int64_t *size) {
  int64_t count = rs_tensor_count(t), known = 1;
  int unknown = -1;
  for (int d = 0; d < ndim; d++) {
    full[d] = size[d];
    if (size[d] == -1 && unknown < 0)
      unknown = d;
    else if (size[d] < 0 || __builtin_mul_overflow(known, size[d], &known))
      return rs_fail(RS_ESHAPE, "reshape: %lld is no size", (long long)size[d]);
  }
  if (unknown >= 0 && known > 0 && count % known == 0) {
    full[unknown] = count / known;
    known = count;
  } else if (unknown >= 0) {
    known = -1;
  }
  if (known != count)
    return rs_fail(RS_ESHAPE, "reshape: %s has %lld elements, which the new sizes do not make", rs_shape(t).text,
                   (long long)count);
  return RS_OK;
}

rs_status rs_tensor_reshape(rs_tensor *out, const rs_tensor *t, int ndim, const int64_t *size) {
  *out = (rs_tensor){0};
  int64_t full[RS_MAX_DIMS];
  if (ndim < 0 || ndim > RS_MAX_DIMS)
    return rs_fail(RS_ESHAPE, "reshape: %d dimensions, at most %d are served", ndim, RS_MAX_DIMS);
  rs_tensor whole = {0}, shaped;
  size_t bytes = 0;
  rs_status status = infer(full, t, ndim, size);
  if (status == RS_OK) status = shape(&shaped, t->dtype, ndim, full, &bytes);
  if (status == RS_OK) status = rs_tensor_contiguous(&whole, t);
  if (status != RS_OK) return status;
  *out = shaped;
  out->storage = whole.storage; /* the handle moves */
  out->offset = whole.offset;
  return RS_OK;
}

/* Looking. */

bool rs_tensor_is_contiguous(const rs_tensor *t) {
  int64_t expected = 1;
  for (int d = t->ndim - 1; d >= 0; d--) {
    if (t->size[d] == 0) return true;
    if (t->size[d] != 1 && t->stride[d] != expected) return false;
    expected *= t->size[d];
  }
  return true;
}

int64_t rs_tensor_count(const rs_tensor *t) {
  int64_t count = 1;
  for (int d = 0; d < t->ndim; d++) count *= t->size[d];
  return count;
}

size_t rs_tensor_bytes(const rs_tensor *t) { return (size_t)rs_tensor_count(t) * rs_dtype_size(t->dtype); }

void *rs_tensor_data(const rs_tensor *t) {
  return t->storage ? (char *)t->storage->data + (size_t)t->offset * rs_dtype_size(t->dtype) : NULL;
}

static void *typed(const rs_tensor *t, rs_dtype dtype) {
  assert(t->dtype == dtype && rs_tensor_is_contiguous(t));
  (void)dtype;
  return rs_tensor_data(t);
}

float *rs_f32(const rs_tensor *t) { return typed(t, RS_F32); }
double *rs_f64(const rs_tensor *t) { return typed(t, RS_F64); }
int32_t *rs_i32(const rs_tensor *t) { return typed(t, RS_I32); }
int64_t *rs_i64(const rs_tensor *t) { return typed(t, RS_I64); }
uint8_t *rs_u8(const rs_tensor *t) { return typed(t, RS_U8); }
uint16_t *rs_bf16(const rs_tensor *t) { return typed(t, RS_BF16); }

static void *element(const rs_tensor *t, const int64_t *at) {
  int64_t position = 0;
  for (int d = 0; d < t->ndim; d++) {
    assert(0 <= at[d] && at[d] < t->size[d]);
    position += at[d] * t->stride[d];
  }
  return (char *)rs_tensor_data(t) + position * (int64_t)rs_dtype_size(t->dtype);
}

double rs_tensor_get(const rs_tensor *t, const int64_t *at) {
  const void *p = element(t, at);
  if (t->dtype == RS_F32) return *(const float *)p;
  if (t->dtype == RS_F64) return *(const double *)p;
  if (t->dtype == RS_BF16) return rs_bfloat_to_f32(*(const uint16_t *)p);
  return (double)rs_tensor_get_integer(t, at);
}

int64_t rs_tensor_get_integer(const rs_tensor *t, const int64_t *at) {
  const void *p = element(t, at);
  switch (t->dtype) {
    case RS_F32: return (int64_t) * (const float *)p;
    case RS_F64: return (int64_t) * (const double *)p;
    case RS_I32: return *(const int32_t *)p;
    case RS_I64: return *(const int64_t *)p;
    case RS_BF16: return (int64_t)rs_bfloat_to_f32(*(const uint16_t *)p);
    default: return *(const uint8_t *)p;
  }
}

void rs_tensor_set(rs_tensor *t, const int64_t *at, double value) {
  void *p = element(t, at);
  if (t->dtype == RS_F32)
    *(float *)p = (float)value;
  else if (t->dtype == RS_F64)
    *(double *)p = value;
  else if (t->dtype == RS_BF16)
    *(uint16_t *)p = rs_bfloat_of((float)value);
  else
    rs_tensor_set_integer(t, at, (int64_t)value);
}

void rs_tensor_set_integer(rs_tensor *t, const int64_t *at, int64_t value) {
  void *p = element(t, at);
  switch (t->dtype) {
    case RS_F32: *(float *)p = (float)value; break;
    case RS_F64: *(double *)p = (double)value; break;
    case RS_I32: *(int32_t *)p = (int32_t)value; break;
    case RS_I64: *(int64_t *)p = value; break;
    case RS_BF16: *(uint16_t *)p = rs_bfloat_of((float)value); break;
    default: *(uint8_t *)p = (uint8_t)value;
  }
}

rs_shape_text rs_shape(const rs_tensor *t) {
  rs_shape_text s;
  int at = snprintf(s.text, sizeof s.text, "[");
  for (int d = 0; d < t->ndim; d++)
    at += snprintf(s.text + at, sizeof s.text - (size_t)at, d ? ", %lld" : "%lld", (long long)t->size[d]);
  snprintf(s.text + at, sizeof s.text - (size_t)at, "]");
  return s;
}
