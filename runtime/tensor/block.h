/* block.h - products of f32 matrices inside a task: some rows of a, whose operands lie in the cache.
 *
 * Each element of c is a chain of fused multiply-adds in the order of k, one for each RS_BLOCK_DEPTH of k, added in
 * order. So its bits depend on its own row of a and column of b alone: not on where it lies, nor on how many rows there
 * are, nor on whether the CPU has AVX2 or AVX-512. OpenBLAS promises no such thing (gemm.c), and of 64 rows it makes
 * a third of the speed: a call costs it a microsecond, and it packs what is in order already. */
#ifndef RS_BLOCK_H
#define RS_BLOCK_H
#include <stdbool.h>
#include <stdint.h>

enum { RS_BLOCK_DEPTH = 256 };

/* c [m, n] = alpha a b, or += with 'add'. a is [m, k], element (i, p) at a[i * a_row + p * a_column], so that a
 * transposed one is served as it lies; b is [k, n], or [n, k] where it is 'turned' (its panels are then turned on the
 * stack, at the price of about 32 rows of a). b and c are row-major with row steps ldb and ldc. */
typedef struct rs_block {
  int64_t m, n, k;
  float alpha;
  const float *a;
  int64_t a_row, a_column;
  const float *b;
  int64_t ldb;
  bool turned;
  float *c;
  int64_t ldc;
  bool add;
} rs_block;

/* Single-threaded; allocates nothing. c may not overlap a or b. */
void rs_block_product(const rs_block *p);

/* to [columns, rows] = the transpose of from [rows, columns], with row steps. */
void rs_block_turn(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t rows, int64_t columns);

/* Whether rs_block_product has a kernel for this CPU; if not, BLAS is faster. */
bool rs_block_fast(void);

/* The kernels by name: "plain" everywhere, "avx2" and "avx512" where the CPU has them, else NULL. For tests, which may
 * also make one of them the one that is used, from now on; NULL: the best again. */
typedef void rs_block_kernel(const rs_block *p);
rs_block_kernel *rs_block_kernel_named(const char *name);
void rs_block_use(rs_block_kernel *kernel);

#endif
