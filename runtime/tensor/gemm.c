/* gemm.c - see gemm.h. f32 runs on the kernels of block.h where the CPU has AVX2; there each row's bits are its own
 * anyway, and the last tile need not be padded. What BLAS computes needs, besides the tiles:
 * - A small transposed b is turned round once: OpenBLAS's small-matrix kernels run 1.6 times as fast on it.
 * - With a transposed a (a weight's gradient, where k is the batch and c small) the sum over k is cut into blocks of
 *   K_BLOCK, computed side by side and added in order; the cut depends on k alone.
 * - One call does not always give each row of a tile the same bits: OpenBLAS's sgemm for Haswell and Zen sums the rows
 *   6 to 11 of every 12 in another order than the rows 0 to 5, and its dgemm for AVX-512 does so in the last columns
 *   of wide results. A probe finds out once and cuts the tiles into calls of so few rows (there 8, at half the
 *   speed) that the rows come out alike. */
#include "tensor/gemm.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "tensor/blas.h"
#include "tensor/block.h"

enum { TURN_LIMIT = 1 << 16, K_BLOCK = 1024, ADD_GRAIN = 16384 };

static void blas(rs_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const void *a,
                 int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc) {
  CBLAS_TRANSPOSE flip_a = ta ? CblasTrans : CblasNoTrans, flip_b = tb ? CblasTrans : CblasNoTrans;
  if (dtype == RS_F32)
    cblas_sgemm(CblasRowMajor, flip_a, flip_b, (int)m, (int)n, (int)k, (float)alpha, a, (int)lda, b, (int)ldb,
                (float)beta, c, (int)ldc);
  else
    cblas_dgemm(CblasRowMajor, flip_a, flip_b, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c,
                (int)ldc);
}

static int64_t call_rows[2] = {RS_GEMM_ROWS, RS_GEMM_ROWS}; /* by dtype: the most rows of a call that come out alike */

/* Whether 'm' equal rows give equal rows. */
static bool rows_are_alike(rs_dtype dtype, bool tb, int64_t m, int64_t n, int64_t k) {
  enum { MOST_K = 300, MOST_B = 33000, MOST_N = 1000 };
  static double a[RS_GEMM_ROWS * MOST_K], b[MOST_B], c[RS_GEMM_ROWS * MOST_N];
  for (int64_t i = 0; i < m * k; i++)
    if (dtype == RS_F32)
      ((float *)a)[i] = 1 / (float)(i % k + 3);
    else
      a[i] = 1 / (double)(i % k + 3);
  for (int64_t i = 0; i < n * k; i++)
    if (dtype == RS_F32)
      ((float *)b)[i] = 1 / (float)(i * 7 % 101 - 50.5F);
    else
      b[i] = 1 / ((double)(i * 7 % 101) - 50.5);
  blas(dtype, false, tb, m, n, k, 1, a, k, b, tb ? k : n, 0, c, n);
  size_t row = (size_t)n * rs_dtype_size(dtype);
  for (size_t i = 1; i < (size_t)m; i++)
    if (memcmp(c, (char *)c + i * row, row) != 0) return false;
  return true;
}

/* Narrow and deep products, and wide ones: kernels differ where the columns run over a block and leave a rest. */
static bool tiles_are_alike(rs_dtype dtype, int64_t m) {
  static const int64_t shapes[][2] = {{1, 33},   {5, 100},  {12, 33},  {33, 300}, {64, 33},
                                      {64, 300}, {197, 33}, {203, 33}, {500, 33}, {1000, 33}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int tb = 0; tb < 2; tb++)
      if (!rows_are_alike(dtype, tb, m, shapes[i][0], shapes[i][1])) return false;
  return true;
}

static void probe(void) {
  rs_blas_prepare();
  for (int dtype = RS_F32; dtype <= RS_F64; dtype++)
    while (call_rows[dtype] > 1 && !tiles_are_alike((rs_dtype)dtype, call_rows[dtype])) call_rows[dtype] /= 2;
}

/* c [m, n] = beta c, which is not read where beta is 0. */
static void scale_rows(rs_dtype dtype, int64_t m, int64_t n, double beta, void *c, int64_t ldc) {
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++)
      if (dtype == RS_F32)
        ((float *)c)[i * ldc + j] = beta == 0 ? 0 : (float)beta * ((float *)c)[i * ldc + j];
      else
        ((double *)c)[i * ldc + j] = beta == 0 ? 0 : beta * ((double *)c)[i * ldc + j];
}

static void block_tile(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const float *a, int64_t lda,
                       const float *b, int64_t ldb, double beta, float *c, int64_t ldc) {
  if (beta != 0 && beta != 1) scale_rows(RS_F32, m, n, beta, c, ldc);
  rs_block_product(&(rs_block){.m = m,
                               .n = n,
                               .k = k,
                               .alpha = (float)alpha,
                               .a = a,
                               .a_row = ta ? 1 : lda,
                               .a_column = ta ? lda : 1,
                               .b = b,
                               .ldb = ldb,
                               .turned = tb,
                               .c = c,
                               .ldc = ldc,
                               .add = beta != 0});
}

void rs_gemm_tile(rs_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const void *a,
                  int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc) {
  if (dtype == RS_F32 && rs_block_fast()) {
    block_tile(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    return;
  }
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, probe);
  int64_t step = call_rows[dtype] == RS_GEMM_ROWS ? m : call_rows[dtype], w = (int64_t)rs_dtype_size(dtype);
  for (int64_t i = 0; i < m; i += step)
    blas(dtype, ta, tb, m - i < step ? m - i : step, n, k, alpha, (const char *)a + (ta ? i : i * lda) * w, lda, b, ldb,
         beta, (char *)c + i * ldc * w, ldc);
}

typedef struct product {
  rs_dtype dtype;
  size_t width; /* bytes of an element */
  bool ta, tb;
  int64_t m, n, k, lda, ldb, ldc;
  const char *a, *b;
  char *c;
  double alpha, beta;
  int64_t tiles, k_block; /* tasks: tiles x blocks of k */
  char *last_a, *last_c;  /* the padded last tile of op(a) and of c; NULL when m fills the tiles */
  char *partial;          /* [blocks - 1][m, n]: what blocks of k after the first add; NULL without them */
} product;

/* Copy 'rows' rows of 'bytes' bytes between matrices with row steps in bytes. */
static void copy_rows(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t rows, size_t bytes) {
  for (int64_t r = 0; r < rows; r++) memcpy(to + r * to_step, from + r * from_step, bytes);
}

/* The last tile of op(a), from k = 'from' on, into its scratch, whose further rows are zero. */
static const char *pad(const product *p, const char *a, int64_t from, int64_t k) {
  int64_t tail = p->m % RS_GEMM_ROWS, w = (int64_t)p->width;
  char *to = p->last_a + (p->ta ? from * RS_GEMM_ROWS : from) * w;
  if (p->ta)
    copy_rows(to, RS_GEMM_ROWS * w, a, p->lda * w, k, (size_t)(tail * w));
  else
    copy_rows(to, p->k * w, a, p->lda * w, tail, (size_t)(k * w));
  return to;
}

/* Task t is tile t % tiles of block t / tiles of k. */
static void run_tile(void *context, int64_t first, int64_t last) {
  const product *p = context;
  int64_t w = (int64_t)p->width;
  for (int64_t t = first; t < last; t++) {
    int64_t tile = t % p->tiles, block = t / p->tiles, row = tile * RS_GEMM_ROWS, from = block * p->k_block;
    int64_t k = p->k - from < p->k_block ? p->k - from : p->k_block;
    bool padded = p->last_a && tile == p->tiles - 1;
    const char *a = p->a + (p->ta ? from * p->lda + row : row * p->lda + from) * w;
    int64_t lda = p->lda, ldc = block ? p->n : p->ldc;
    char *c = block ? p->partial + (block - 1) * p->m * p->n * w : p->c, *target = c + row * ldc * w;
    double beta = block ? 0 : p->beta;
    if (padded) {
      a = pad(p, a, from, k);
      lda = p->ta ? RS_GEMM_ROWS : p->k;
      c = p->last_c + block * RS_GEMM_ROWS * p->n * w;
      if (beta != 0) copy_rows(c, p->n * w, target, ldc * w, p->m - row, (size_t)(p->n * w));
    }
    int64_t rows = !padded && p->m - row < RS_GEMM_ROWS ? p->m - row : RS_GEMM_ROWS;
    rs_gemm_tile(p->dtype, p->ta, p->tb, rows, p->n, k, p->alpha, a, lda,
                 p->b + (p->tb ? from : from * p->ldb) * w, p->ldb, beta, padded ? c : target, padded ? p->n : ldc);
    if (padded) copy_rows(target, ldc * w, c, p->n * w, p->m - row, (size_t)(p->n * w));
  }
}

static void add_partials(void *context, int64_t begin, int64_t end) {
  const product *p = context;
  int64_t blocks = (p->k + p->k_block - 1) / p->k_block, step = p->m * p->n;
  for (int64_t i = begin; i < end; i++) {
    int64_t at = i / p->n * p->ldc + i % p->n;
    for (int64_t block = 0; block < blocks - 1; block++)
      if (p->dtype == RS_F32)
        ((float *)p->c)[at] += ((const float *)p->partial)[block * step + i];
      else
        ((double *)p->c)[at] += ((const double *)p->partial)[block * step + i];
  }
}

/* Scratch of a product in one block: the padded last tile, and what later blocks of k add. */
static rs_status prepare(product *p, char **scratch) {
  bool own = p->dtype == RS_F32 && rs_block_fast();
  int64_t tail = own ? 0 : p->m % RS_GEMM_ROWS, blocks, w = (int64_t)p->width;
  p->tiles = (p->m + RS_GEMM_ROWS - 1) / RS_GEMM_ROWS;
  p->k_block = p->ta && p->k >= 2 * K_BLOCK ? K_BLOCK : p->k;
  blocks = (p->k + p->k_block - 1) / p->k_block;
  int64_t a_bytes = tail ? RS_GEMM_ROWS * p->k * w : 0, c_bytes = tail ? blocks * RS_GEMM_ROWS * p->n * w : 0;
  size_t bytes = (size_t)(a_bytes + c_bytes + (blocks - 1) * p->m * p->n * w);
  if (bytes == 0) return RS_OK;
  *scratch = rs_alloc(bytes);
  if (!*scratch) return rs_nomem("gemm", bytes);
  p->partial = *scratch + a_bytes + c_bytes;
  if (!tail) return RS_OK;
  p->last_a = *scratch;
  p->last_c = *scratch + a_bytes;
  memset(*scratch, 0, (size_t)(a_bytes + c_bytes));
  return RS_OK;
}

static void multiply(product *p) {
  if (p->m == 0 || p->n == 0) return;
  if (p->k == 0) {
    scale_rows(p->dtype, p->m, p->n, p->beta, p->c, p->ldc);
    return;
  }
  int64_t blocks = (p->k + p->k_block - 1) / p->k_block;
  rs_parallel_for(p->tiles * blocks, 1, run_tile, p);
  if (blocks > 1) rs_parallel_for(p->m * p->n, ADD_GRAIN, add_partials, p);
}

/* Whether a matrix lies by columns: its transpose has contiguous rows. */
static bool by_columns(const rs_tensor *t) {
  return t->size[0] > 1 && t->stride[0] == 1 && t->stride[1] >= t->size[0];
}

/* 't', or where 'turn' its transpose, as a matrix whose rows are contiguous. */
static rs_status as_rows(rs_tensor *out, const rs_tensor *t, bool turn) {
  rs_tensor turned = {0};
  if (turn && by_columns(t)) return rs_tensor_transpose(out, t, 0, 1);
  if (turn && t->dtype == RS_F32 && t->stride[1] == 1) {
    rs_status status = rs_tensor_new(out, RS_F32, 2, (int64_t[]){t->size[1], t->size[0]});
    if (status == RS_OK)
      rs_block_turn(rs_f32(out), t->size[0], rs_tensor_data(t), t->stride[0], t->size[0], t->size[1]);
    return status;
  }
  if (turn) {
    rs_status status = rs_tensor_transpose(&turned, t, 0, 1);
    if (status == RS_OK) status = rs_tensor_copy_of(out, &turned);
    rs_tensor_free(&turned);
    return status;
  }
  if ((t->size[1] > 1 && t->stride[1] != 1) || t->stride[0] < t->size[1]) return rs_tensor_copy_of(out, t);
  rs_tensor_share(out, t);
  return RS_OK;
}

static int64_t leading(const rs_tensor *t) { return t->stride[0] > 0 ? t->stride[0] : 1; }

static rs_status check(const rs_tensor *c, const rs_tensor *a, bool ta, const rs_tensor *b, bool tb) {
  if ((a->dtype != RS_F32 && a->dtype != RS_F64) || b->dtype != a->dtype || c->dtype != a->dtype)
    return rs_fail(RS_EDTYPE, "matmul: a is %s, b is %s; both must be f32 or both f64", rs_dtype_name(a->dtype),
                   rs_dtype_name(b->dtype));
  if (a->ndim != 2 || b->ndim != 2 || c->ndim != 2 || a->size[!ta] != b->size[tb] || a->size[ta] != c->size[0] ||
      b->size[!tb] != c->size[1])
    return rs_fail(RS_ESHAPE, "matmul: a is %s%s, b is %s%s, the result %s", rs_shape(a).text, ta ? " transposed" : "",
                   rs_shape(b).text, tb ? " transposed" : "", rs_shape(c).text);
  if (a->size[0] > INT_MAX || a->size[1] > INT_MAX || b->size[0] > INT_MAX || b->size[1] > INT_MAX)
    return rs_fail(RS_ESHAPE, "matmul: a size over 2^31 - 1");
  if (c->size[1] > 1 && c->stride[1] != 1) return rs_fail(RS_ESHAPE, "matmul: the result's rows are not contiguous");
  return RS_OK;
}

/* What a product works on: handles on a and b with contiguous rows, and scratch. */
struct rs_tiles {
  product p;
  rs_tensor a, b;
  char *scratch;
};

static void end(rs_tiles *t) {
  rs_tensor_free(&t->a);
  rs_tensor_free(&t->b);
  rs_free(t->scratch);
}

/* Fill 't', which is empty; end() frees it, also after a failure. */
static rs_status begin(rs_tiles *t, const rs_tensor *c, const rs_tensor *a, bool ta, const rs_tensor *b, bool tb) {
  rs_status status = check(c, a, ta, b, tb);
  if (status != RS_OK) return status;
  bool turn = tb && (b->size[0] * b->size[1] <= TURN_LIMIT || by_columns(b));
  status = as_rows(&t->a, a, false);
  if (status == RS_OK) status = as_rows(&t->b, b, turn);
  if (status != RS_OK) return status;
  t->p = (product){.dtype = a->dtype,
                   .width = rs_dtype_size(a->dtype),
                   .ta = ta,
                   .tb = tb && !turn,
                   .m = c->size[0],
                   .n = c->size[1],
                   .k = a->size[!ta],
                   .lda = leading(&t->a),
                   .ldb = leading(&t->b),
                   .ldc = leading(c),
                   .a = rs_tensor_data(&t->a),
                   .b = rs_tensor_data(&t->b),
                   .c = rs_tensor_data(c),
                   .alpha = 1};
  return t->p.m == 0 || t->p.n == 0 || t->p.k == 0 ? RS_OK : prepare(&t->p, &t->scratch);
}

rs_status rs_gemm(rs_tensor *c, double alpha, const rs_tensor *a, bool ta, const rs_tensor *b, bool tb, double beta) {
  rs_tiles t = {.scratch = NULL};
  rs_status status = begin(&t, c, a, ta, b, tb);
  t.p.alpha = alpha;
  t.p.beta = beta;
  if (status == RS_OK) multiply(&t.p);
  end(&t);
  return status;
}

rs_status rs_tiles_new(rs_tiles **out, const rs_tensor *c, const rs_tensor *a, const rs_tensor *b, bool tb) {
  rs_tiles *t = rs_alloc_zero(sizeof *t);
  if (!t) return rs_nomem("gemm", sizeof *t);
  rs_status status = begin(t, c, a, false, b, tb);
  if (status == RS_OK && rs_tensor_count(a) > 0 && t->a.storage != a->storage)
    status = rs_fail(RS_ESHAPE, "matmul: the rows of a are not contiguous");
  if (status == RS_OK)
    *out = t;
  else
    rs_tiles_free(t);
  return status;
}

void rs_tiles_run(const rs_tiles *t, int64_t begin_row, int64_t end_row) {
  const product *p = &t->p;
  if (p->k == 0)
    scale_rows(p->dtype, end_row - begin_row, p->n, 0, p->c + begin_row * p->ldc * (int64_t)p->width, p->ldc);
  else if (p->n > 0)
    run_tile((void *)p, begin_row / RS_GEMM_ROWS, (end_row + RS_GEMM_ROWS - 1) / RS_GEMM_ROWS);
}

void rs_tiles_free(rs_tiles *t) {
  if (t) end(t);
  rs_free(t);
}

rs_status rs_matmul(rs_tensor *out, const rs_tensor *a, bool ta, const rs_tensor *b, bool tb) {
  *out = (rs_tensor){0};
  if (a->ndim != 2 || b->ndim != 2)
    return rs_fail(RS_ESHAPE, "matmul: a is %s, b is %s; matrices expected", rs_shape(a).text, rs_shape(b).text);
  rs_status status = rs_tensor_new(out, a->dtype, 2, (int64_t[]){a->size[ta], b->size[!tb]});
  if (status == RS_OK) status = rs_gemm(out, 1, a, ta, b, tb, 0);
  if (status != RS_OK) rs_tensor_free(out);
  return status;
}
