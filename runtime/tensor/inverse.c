/* inverse.c - see inverse.h. With the pivot block D = a_kk^-1 and the panel W = a_ik of the other rows, a sweep makes
 * a_ij -= W D W', a_ik = W D and a_kk = -D; after all of them 'a' is minus its inverse. */
#include "tensor/inverse.h"

#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "tensor/gemm.h"
#include "tensor/lapack.h"

enum { TILE = 512 }; /* rows of a pivot, and of a task */

typedef struct sweep {
  rs_dtype dtype;
  int64_t n, k, size;   /* the pivot's first row, and how many rows it has */
  size_t bytes;         /* of a number */
  char *a;              /* [n, n] */
  char *panel, *moved;  /* [n, size]: W and W D */
  char *pivot;          /* [size, size]: D */
} sweep;

static char *entry(const sweep *s, int64_t i, int64_t j) { return s->a + (size_t)(i * s->n + j) * s->bytes; }
static char *row_of(const sweep *s, char *panel, int64_t i) { return panel + (size_t)(i * s->size) * s->bytes; }

static int64_t tile_end(const sweep *s, int64_t begin) { return begin + TILE < s->n ? begin + TILE : s->n; }

/* to [rows, columns] = the transpose of from [columns, rows], in squares that lie in the cache. */
#define TURN(REAL)                                                                                                     \
  static void turn_##REAL(REAL *to, int64_t to_step, const REAL *from, int64_t from_step, int64_t rows,               \
                          int64_t columns) {                                                                           \
    for (int64_t r = 0; r < rows; r += 16)                                                                             \
      for (int64_t c = 0; c < columns; c += 16)                                                                        \
        for (int64_t i = r; i < rows && i < r + 16; i++)                                                               \
          for (int64_t j = c; j < columns && j < c + 16; j++) to[i * to_step + j] = from[j * from_step + i];           \
  }
TURN(float)
TURN(double)

static void turn(rs_dtype dtype, void *to, int64_t to_step, const void *from, int64_t from_step, int64_t rows,
                 int64_t columns) {
  if (dtype == RS_F32)
    turn_float(to, to_step, from, from_step, rows, columns);
  else
    turn_double(to, to_step, from, from_step, rows, columns);
}

static void copy_rows(const sweep *s, char *to, int64_t to_step, const char *from, int64_t from_step, int64_t rows) {
  for (int64_t i = 0; i < rows; i++)
    memcpy(to + (size_t)(i * to_step) * s->bytes, from + (size_t)(i * from_step) * s->bytes,
           (size_t)s->size * s->bytes);
}

/* A tile's rows of W, of which those above the pivot stand in its rows, and of W D. */
static void take_panel(void *context, int64_t begin, int64_t end) {
  const sweep *s = context;
  char *w = row_of(s, s->panel, begin);
  if (begin == s->k) return;
  if (begin < s->k)
    turn(s->dtype, w, s->size, entry(s, s->k, begin), s->n, end - begin, s->size);
  else
    copy_rows(s, w, s->size, entry(s, begin, s->k), s->n, end - begin);
  rs_gemm_tile(s->dtype, false, false, end - begin, s->size, s->size, 1, w, s->size, s->pivot, s->size, 0,
               row_of(s, s->moved, begin), s->size);
}

/* W D into the place of W, and -D into that of the pivot. */
static void put_panel(void *context, int64_t begin, int64_t end) {
  const sweep *s = context;
  if (begin == s->k)
    copy_rows(s, entry(s, s->k, s->k), s->n, s->pivot, s->size, s->size);
  else if (begin < s->k)
    turn(s->dtype, entry(s, s->k, begin), s->n, row_of(s, s->moved, begin), s->size, s->size, end - begin);
  else
    copy_rows(s, entry(s, begin, s->k), s->n, row_of(s, s->moved, begin), s->size, end - begin);
}

/* Tiles of the lower triangle, counted row by row. */
static void update_tiles(void *context, int64_t begin, int64_t end) {
  const sweep *s = context;
  for (int64_t t = begin; t < end; t++) {
    int64_t row = 0, column = t;
    while (column > row) column -= ++row;
    int64_t i = row * TILE, j = column * TILE;
    if (i == s->k || j == s->k) continue;
    rs_gemm_tile(s->dtype, false, true, tile_end(s, i) - i, tile_end(s, j) - j, s->size, -1, row_of(s, s->moved, i),
                 s->size, row_of(s, s->panel, j), s->size, 1, entry(s, i, j), s->n);
  }
}

/* D of the pivot block, computed in f64 whatever the matrix is; false: it is not positive definite. */
static rs_status invert_pivot(const sweep *s) {
  rs_tensor root = {0}, inverse = {0};
  bool definite = true;
  rs_status status = rs_tensor_new(&root, RS_F64, 2, (int64_t[]){s->size, s->size});
  for (int64_t i = 0; status == RS_OK && i < s->size; i++)
    for (int64_t j = 0; j <= i; j++) {
      const char *from = entry(s, s->k + i, s->k + j);
      double value = s->dtype == RS_F32 ? (double)*(const float *)from : *(const double *)from;
      rs_f64(&root)[i * s->size + j] = rs_f64(&root)[j * s->size + i] = value;
    }
  if (status == RS_OK) rs_lapack_inverse_root(&root, &definite);
  if (status == RS_OK && !definite) status = rs_fail(RS_ENUMERIC, "inverse: the matrix is not positive definite");
  if (status == RS_OK) status = rs_matmul(&inverse, &root, false, &root, true);
  for (int64_t at = 0; status == RS_OK && at < s->size * s->size; at++)
    if (s->dtype == RS_F32)
      ((float *)s->pivot)[at] = (float)rs_f64(&inverse)[at];
    else
      ((double *)s->pivot)[at] = rs_f64(&inverse)[at];
  rs_tensor_free(&root);
  rs_tensor_free(&inverse);
  return status;
}

static void negate(const sweep *s, char *values, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (s->dtype == RS_F32)
      ((float *)values)[i] = -((float *)values)[i];
    else
      ((double *)values)[i] = -((double *)values)[i];
}

/* Rows begin .. end - 1 of the lower triangle negated, and the upper one made of them, tile by tile. */
static void mirror(void *context, int64_t begin, int64_t end) {
  const sweep *s = context;
  for (int64_t i = begin; i < end; i++) negate(s, entry(s, i, 0), i + 1);
  for (int64_t j = 0; j < begin; j += TILE)
    turn(s->dtype, entry(s, j, begin), s->n, entry(s, begin, j), s->n, TILE, end - begin);
  for (int64_t i = begin; i < end; i++)
    for (int64_t j = begin; j < i; j++) memcpy(entry(s, j, i), entry(s, i, j), s->bytes);
}

static rs_status sweep_all(sweep *s) {
  int64_t tiles = (s->n + TILE - 1) / TILE;
  for (s->k = 0; s->k < s->n; s->k += TILE) {
    s->size = tile_end(s, s->k) - s->k;
    rs_status status = invert_pivot(s);
    if (status != RS_OK) return status;
    rs_parallel_for(s->n, TILE, take_panel, s);
    rs_parallel_for(tiles * (tiles + 1) / 2, 1, update_tiles, s);
    negate(s, s->pivot, s->size * s->size);
    rs_parallel_for(s->n, TILE, put_panel, s);
  }
  rs_parallel_for(s->n, TILE, mirror, s);
  return RS_OK;
}

rs_status rs_inverse_definite_in_place(rs_tensor *a) {
  bool square = a->ndim == 2 && a->size[0] == a->size[1] && rs_tensor_is_contiguous(a);
  if (!square || !(a->dtype == RS_F32 || a->dtype == RS_F64))
    return rs_fail(RS_ESHAPE, "inverse: a square matrix of f32 or f64 is expected, not %s %s", rs_dtype_name(a->dtype),
                   rs_shape(a).text);
  sweep s = {.dtype = a->dtype, .n = a->size[0], .bytes = rs_dtype_size(a->dtype), .a = rs_tensor_data(a)};
  int64_t wide = s.n < TILE ? s.n : TILE;
  size_t room = (size_t)wide * (size_t)(2 * s.n + wide) * s.bytes;
  s.panel = rs_alloc(room + 1);
  if (!s.panel) return rs_nomem("inverse", room);
  s.moved = s.panel + (size_t)(s.n * wide) * s.bytes;
  s.pivot = s.moved + (size_t)(s.n * wide) * s.bytes;
  rs_status status = sweep_all(&s);
  rs_free(s.panel);
  return status;
}

rs_status rs_inverse_definite(rs_tensor *out, const rs_tensor *a) {
  rs_tensor made = {0};
  rs_status status = rs_tensor_copy_of(&made, a);
  if (status == RS_OK) status = rs_inverse_definite_in_place(&made);
  if (status == RS_OK)
    *out = made;
  else
    rs_tensor_free(&made);
  return status;
}
