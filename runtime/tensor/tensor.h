/* tensor.h - reference-counted storage, and tensors as views into it.
 *
 * A tensor is a small value: dtype, shape and strides over a shared storage. A view (narrow, select,
 * transpose, reshape of contiguous) retains the storage, so the bytes live as long as anyone looks at them.
 * The storage is heap memory or a mapped file; a mapped one is read-only. */
#ifndef RS_TENSOR_H
#define RS_TENSOR_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* RS_BF16, the upper half of an f32, is for storing: embedding tables hold it, and what computes reads it as f32 (cast.c
 * rounds to the nearest, ties to even). Operations serve it where their headers say so. */
typedef enum rs_dtype { RS_F32, RS_F64, RS_I32, RS_I64, RS_U8, RS_BF16 } rs_dtype;

enum { RS_MAX_DIMS = 4 };

size_t rs_dtype_size(rs_dtype dtype);      /* bytes of one element */
const char *rs_dtype_name(rs_dtype dtype); /* "f32", "f64", "i32", "i64", "u8", "bf16" */
/* The dtype called 'name' into *out; RS_EARG names the six when there is none. */
rs_status rs_dtype_named(rs_dtype *out, const char *name);

typedef struct rs_storage rs_storage;
struct rs_storage {
  atomic_int references;
  void *data;
  size_t bytes;
  bool writable;
  void (*release)(rs_storage *); /* frees data (and owner), not the storage itself */
  void *owner;                   /* what release needs, e.g. a mapping shared by many tensors */
};

/* All-zero is a valid empty tensor (storage NULL). Sizes may be 0; ndim 0 is a scalar with one element. */
typedef struct rs_tensor {
  rs_storage *storage;
  rs_dtype dtype;
  int ndim;
  int64_t size[RS_MAX_DIMS];
  int64_t stride[RS_MAX_DIMS]; /* in elements */
  int64_t offset;              /* in elements */
} rs_tensor;

/* Constructors: 'out' is overwritten (it must be empty) and becomes the caller's. RS_ENOMEM, or RS_ESHAPE for
 * a negative size, more than RS_MAX_DIMS dimensions or a size that overflows. On failure 'out' is empty. */
rs_status rs_tensor_new(rs_tensor *out, rs_dtype dtype, int ndim, const int64_t *size); /* not cleared */
rs_status rs_tensor_zeros(rs_tensor *out, rs_dtype dtype, int ndim, const int64_t *size);
rs_status rs_tensor_copy_of(rs_tensor *out, const rs_tensor *t); /* contiguous, own storage */
/* 't' itself as another handle when it is contiguous, else a contiguous copy. */
rs_status rs_tensor_contiguous(rs_tensor *out, const rs_tensor *t);
/* A tensor over bytes that somebody else made: takes over one reference of 'storage'. */
rs_status rs_tensor_over(rs_tensor *out, rs_storage *storage, rs_dtype dtype, int ndim, const int64_t *size,
                         int64_t offset);
/* A storage over foreign memory with one reference; NULL when memory is refused ('release' is not called then). */
rs_storage *rs_storage_wrap(void *data, size_t bytes, bool writable, void (*release)(rs_storage *), void *owner);
void rs_storage_release(rs_storage *storage);

void rs_tensor_share(rs_tensor *out, const rs_tensor *t); /* another handle on the same storage and shape */
void rs_tensor_free(rs_tensor *t);                        /* any tensor, empty or freed before included */

/* Views. Dimensions and positions count from 0. */
rs_status rs_tensor_narrow(rs_tensor *out, const rs_tensor *t, int dim, int64_t start, int64_t length);
rs_status rs_tensor_select(rs_tensor *out, const rs_tensor *t, int dim, int64_t index); /* drops the dimension */
rs_status rs_tensor_transpose(rs_tensor *out, const rs_tensor *t, int dim0, int dim1);
/* A view when 't' is contiguous, else a copy. One size may be -1 and is inferred. */
rs_status rs_tensor_reshape(rs_tensor *out, const rs_tensor *t, int ndim, const int64_t *size);

bool rs_tensor_is_contiguous(const rs_tensor *t);
int64_t rs_tensor_count(const rs_tensor *t); /* elements */
size_t rs_tensor_bytes(const rs_tensor *t);  /* count x element size */
void *rs_tensor_data(const rs_tensor *t);    /* first element */

/* Typed access to a tensor that is known to be of that dtype (asserted) and contiguous. */
float *rs_f32(const rs_tensor *t);
double *rs_f64(const rs_tensor *t);
int32_t *rs_i32(const rs_tensor *t);
int64_t *rs_i64(const rs_tensor *t);
uint8_t *rs_u8(const rs_tensor *t);
uint16_t *rs_bf16(const rs_tensor *t);

/* One element at a position per dimension, through the widest type; for tests and bindings, not for loops. */
double rs_tensor_get(const rs_tensor *t, const int64_t *at);
int64_t rs_tensor_get_integer(const rs_tensor *t, const int64_t *at);
void rs_tensor_set(rs_tensor *t, const int64_t *at, double value);
void rs_tensor_set_integer(rs_tensor *t, const int64_t *at, int64_t value);

/* "[256, 64]" by value, for messages: rs_shape(t).text. */
typedef struct rs_shape_text {
  char text[96];
} rs_shape_text;
rs_shape_text rs_shape(const rs_tensor *t);

#endif
