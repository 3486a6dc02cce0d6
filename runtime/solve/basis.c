/* basis.c - see basis.h. */
#include "solve/basis.h"

#include "base/parallel.h"
#include "tensor/block.h"
#include "tensor/lapack.h"

enum { LEAST = 512, MOST_CHUNKS = 64 }; /* rows of a chunk; each chunk has a Gramian of its own */

typedef struct context {
  const float *y;
  float *parts;
  int64_t d, grain;
} context;

static void gram_of_chunk(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  const float *y = c->y + begin * c->d;
  rs_block product = {.m = c->d, .n = c->d, .k = end - begin, .alpha = 1, .a = y, .a_row = 1, .a_column = c->d,
                      .b = y, .ldb = c->d, .c = c->parts + begin / c->grain * c->d * c->d, .ldc = c->d};
  rs_block_product(&product);
}

rs_status rs_gram(rs_tensor *gram, const rs_tensor *y) {
  if (y->dtype != RS_F32) return rs_fail(RS_EDTYPE, "gram: factors are %s, not f32", rs_dtype_name(y->dtype));
  if (y->ndim != 2 || y->size[1] < 1) return rs_fail(RS_ESHAPE, "gram: factors are %s, not [n, d]", rs_shape(y).text);
  int64_t n = y->size[0], d = y->size[1], grain = (n + MOST_CHUNKS - 1) / MOST_CHUNKS;
  if (grain < LEAST) grain = LEAST;
  int64_t chunks = (n + grain - 1) / grain;
  rs_tensor parts = {0}, rows = {0};
  rs_status status = rs_tensor_contiguous(&rows, y);
  if (status == RS_OK) status = rs_tensor_new(&parts, RS_F32, 3, (int64_t[]){chunks, d, d});
  if (status == RS_OK) status = rs_tensor_zeros(gram, RS_F64, 2, (int64_t[]){d, d});
  if (status == RS_OK) {
    context c = {rs_f32(&rows), rs_f32(&parts), d, grain};
    rs_parallel_for(n, grain, gram_of_chunk, &c);
    for (int64_t chunk = 0; chunk < chunks; chunk++)
      for (int64_t i = 0; i < d * d; i++) rs_f64(gram)[i] += (double)c.parts[chunk * d * d + i];
  }
  rs_tensor_free(&rows);
  rs_tensor_free(&parts);
  return status;
}

rs_status rs_basis(rs_tensor *spectrum, rs_tensor *turn, const rs_tensor *y) {
  rs_tensor gram = {0}, values = {0};
  rs_status status = rs_gram(&gram, y);
  int64_t d = status == RS_OK ? gram.size[0] : 0;
  if (status == RS_OK) status = rs_tensor_new(&values, RS_F64, 1, &d);
  if (status == RS_OK) status = rs_lapack_eigen(&gram, &values);
  if (status == RS_OK) status = rs_tensor_new(spectrum, RS_F32, 1, &d);
  if (status == RS_OK) status = rs_tensor_new(turn, RS_F32, 2, (int64_t[]){d, d});
  if (status != RS_OK) rs_tensor_free(spectrum);
  for (int64_t k = 0; status == RS_OK && k < d; k++) { /* row k of LAPACK's is axis k */
    double value = rs_f64(&values)[k];
    rs_f32(spectrum)[k] = value > 0 ? (float)value : 0;
    for (int64_t j = 0; j < d; j++) rs_f32(turn)[j * d + k] = (float)rs_f64(&gram)[k * d + j];
  }
  rs_tensor_free(&gram);
  rs_tensor_free(&values);
  return status;
}
