/* gemm_test.c - products against a plain triple loop, and rows whose bits depend on nothing else. */
#include "tensor/gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"
#include "tensor/blas.h"
#include "tensor/block.h"

static const char *program; /* this one's path */
static int64_t stride = 5;  /* between the rows that are looked at alone: prime to the kernels' blocks */

static rs_tensor random_matrix(rs_dtype dtype, int64_t rows, int64_t columns, uint64_t seed) {
  rs_tensor t;
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, 0);
  assert_int_equal(rs_tensor_new(&t, dtype, 2, (int64_t[]){rows, columns}), RS_OK);
  for (int64_t i = 0; i < rows * columns; i++) {
    int64_t at[] = {i / columns, i % columns};
    rs_tensor_set(&t, at, rs_stream_normal(&s, (uint64_t)i));
  }
  return t;
}

static double entry(const rs_tensor *t, bool turned, int64_t i, int64_t j) {
  return rs_tensor_get(t, turned ? (int64_t[]){j, i} : (int64_t[]){i, j});
}

/* Compare with sums in double; a f32 product of k terms is off by at most about eps sqrt(k) times their size. */
static void assert_product(const rs_tensor *c, const rs_tensor *before, double alpha, const rs_tensor *a, bool ta,
                           const rs_tensor *b, bool tb, double beta) {
  int64_t k = a->size[!ta];
  double eps = c->dtype == RS_F32 ? 0x1p-23 : 0x1p-52, tolerance = 8 * eps * sqrt((double)k + 4) * 4;
  for (int64_t i = 0; i < c->size[0]; i++)
    for (int64_t j = 0; j < c->size[1]; j++) {
      double sum = 0;
      for (int64_t l = 0; l < k; l++) sum += entry(a, ta, i, l) * entry(b, tb, l, j);
      double expected = alpha * sum + (beta == 0 ? 0 : beta * entry(before, false, i, j));
      assert_true(fabs(entry(c, false, i, j) - expected) <= tolerance * (1 + fabs(expected)));
    }
}

static void products_equal_plain_sums(void **state) {
  (void)state;
  static const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {64, 16, 33}, {65, 17, 3}, {130, 40, 70}, {5, 9, 2500}};
  for (int dtype = RS_F32; dtype <= RS_F64; dtype++)
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
      for (int flags = 0; flags < 8; flags++) {
        bool ta = flags & 1, tb = flags & 2;
        double alpha = flags & 4 ? 0.5 : 1, beta = flags & 4 ? -2 : 0;
        int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        rs_tensor a = random_matrix(dtype, ta ? k : m, ta ? m : k, 1),
                  b = random_matrix(dtype, tb ? n : k, tb ? k : n, 2);
        rs_tensor c = random_matrix(dtype, m, n, 3), before;
        assert_int_equal(rs_tensor_copy_of(&before, &c), RS_OK);
        if (beta == 0) rs_tensor_set(&c, (int64_t[]){0, 0}, NAN);
        assert_int_equal(rs_gemm(&c, alpha, &a, ta, &b, tb, beta), RS_OK);
        assert_product(&c, &before, alpha, &a, ta, &b, tb, beta);
        rs_tensor_free(&a), rs_tensor_free(&b), rs_tensor_free(&c), rs_tensor_free(&before);
      }
}

static void blas_products_equal_plain_sums(void **state) {
  rs_block_use(rs_block_kernel_named("plain"));
  products_equal_plain_sums(state);
  rs_block_use(NULL);
}

/* Rows [from, from + count) of op(a) alone give the bytes that they have in 'whole'. */
static void assert_same_rows(const rs_tensor *whole, const rs_tensor *a, bool ta, const rs_tensor *b, bool tb,
                             int64_t from, int64_t count) {
  rs_tensor part, rows, c;
  assert_int_equal(rs_tensor_narrow(&part, a, ta, from, count), RS_OK);
  assert_int_equal(rs_tensor_contiguous(&rows, &part), RS_OK);
  assert_int_equal(rs_matmul(&c, &rows, ta, b, tb), RS_OK);
  size_t row = (size_t)whole->size[1] * rs_dtype_size(whole->dtype);
  assert_memory_equal(rs_tensor_data(&c), (char *)rs_tensor_data(whole) + (size_t)from * row, (size_t)count * row);
  rs_tensor_free(&part), rs_tensor_free(&rows), rs_tensor_free(&c);
}

static void rows_do_not_depend_on_their_batch_nor_on_threads(void **state) {
  (void)state;
  rs_blas_prepare();
  static const int64_t widths[][2] = {{1, 1},    {1, 64},    {17, 3},    {64, 128}, {128, 64}, {48, 33},
                                      {65, 257}, {64, 1024}, {128, 300}, {500, 64}, {5, 2100}};
  int threads = rs_threads();
  for (int dtype = RS_F32; dtype <= RS_F64; dtype++)
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++)
      for (int flags = 0; flags < 4; flags++) {
        bool ta = flags & 1, tb = flags & 2;
        int64_t m = 333, n = widths[s][0], k = widths[s][1];
        rs_tensor a = random_matrix(dtype, ta ? k : m, ta ? m : k, 4),
                  b = random_matrix(dtype, tb ? n : k, tb ? k : n, 5);
        rs_tensor whole, again;
        rs_threads_set(1);
        assert_int_equal(rs_matmul(&whole, &a, ta, &b, tb), RS_OK);
        rs_threads_set(3);
        assert_int_equal(rs_matmul(&again, &a, ta, &b, tb), RS_OK);
        assert_memory_equal(rs_tensor_data(&whole), rs_tensor_data(&again), rs_tensor_bytes(&whole));
        for (int64_t i = 0; i < m; i += i < 70 ? stride : 29) assert_same_rows(&whole, &a, ta, &b, tb, i, 1);
        assert_same_rows(&whole, &a, ta, &b, tb, 13, 77);
        assert_same_rows(&whole, &a, ta, &b, tb, 200, 133);
        rs_tensor_free(&a), rs_tensor_free(&b), rs_tensor_free(&whole), rs_tensor_free(&again);
      }
  rs_threads_set(threads);
}

static void views_and_empty_matrices_are_served(void **state) {
  (void)state;
  rs_tensor a = random_matrix(RS_F32, 40, 9, 6), b = random_matrix(RS_F32, 9, 20, 7), turned, narrow_b, c, empty;
  rs_tensor wide = random_matrix(RS_F32, 9, 30, 8), columns;
  assert_int_equal(rs_tensor_transpose(&turned, &a, 0, 1), RS_OK);
  assert_int_equal(rs_tensor_narrow(&narrow_b, &b, 1, 3, 11), RS_OK);
  assert_int_equal(rs_tensor_narrow(&columns, &wide, 1, 5, 11), RS_OK);
  rs_tensor b_rows = narrow_b;
  assert_int_equal(rs_matmul(&c, &turned, true, &b_rows, false), RS_OK);
  assert_product(&c, NULL, 1, &a, false, &narrow_b, false, 0);
  rs_tensor_free(&c);
  assert_int_equal(rs_gemm(&columns, 1, &turned, false, &a, false, 0), RS_ESHAPE);
  assert_int_equal(rs_matmul(&c, &turned, false, &a, false), RS_OK);
  assert_string_equal(rs_shape(&c).text, "[9, 9]");
  rs_tensor_free(&c);
  assert_int_equal(rs_tensor_new(&empty, RS_F32, 2, (int64_t[]){40, 0}), RS_OK);
  assert_int_equal(rs_matmul(&c, &a, true, &empty, false), RS_OK);
  rs_tensor_free(&c);
  assert_int_equal(rs_matmul(&c, &empty, false, &empty, true), RS_OK);
  assert_true(rs_f32(&c)[1599] == 0);
  rs_tensor_free(&c);
  assert_int_equal(rs_matmul(&c, &a, false, &a, false), RS_ESHAPE);
  assert_null(c.storage);
  rs_tensor_free(&a), rs_tensor_free(&b), rs_tensor_free(&turned), rs_tensor_free(&narrow_b), rs_tensor_free(&empty);
  rs_tensor_free(&wide), rs_tensor_free(&columns);
}

/* The promise holds for each of OpenBLAS's kernel sets that this CPU can run: this program again, made to use it. */
static void rows_keep_their_bits_on_every_kernel_set(void **state) {
  (void)state;
#ifdef __x86_64__
  static const char *const cores[] = {"Prescott", "Haswell", "SkylakeX"};
  __builtin_cpu_init();
  bool able[] = {true, __builtin_cpu_supports("fma"), __builtin_cpu_supports("x86-64-v4")};
  for (size_t i = 0; i < sizeof cores / sizeof *cores; i++) {
    char command[256];
    snprintf(command, sizeof command, "OPENBLAS_CORETYPE=%s '%s' rows", cores[i], program);
    if (able[i] && system(command) != 0) fail_msg("rows depend on their batch with the kernels for %s", cores[i]);
  }
#endif
}

int main(int argc, char **argv) {
  const struct CMUnitTest rows[] = {cmocka_unit_test(rows_do_not_depend_on_their_batch_nor_on_threads)};
  program = argv[0];
  if (argc > 1) rs_block_use(rs_block_kernel_named("plain")); /* so that f32 runs on BLAS */
  if (argc > 1) return cmocka_run_group_tests_name("rows", rows, NULL, no_blocks_remain);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_equal_plain_sums),
      cmocka_unit_test(blas_products_equal_plain_sums),
      cmocka_unit_test(rows_do_not_depend_on_their_batch_nor_on_threads),
      cmocka_unit_test(rows_keep_their_bits_on_every_kernel_set),
      cmocka_unit_test(views_and_empty_matrices_are_served),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
