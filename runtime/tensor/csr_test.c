/* csr_test.c - sparse matrices against the dense ones they stand for. */
#include "tensor/csr.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"
#include "tensor/gemm.h"

static rs_tensor integers(rs_dtype dtype, int64_t n, const int *values) {
  rs_tensor t;
  assert_int_equal(rs_tensor_new(&t, dtype, 1, &n), RS_OK);
  for (int64_t i = 0; i < n; i++) rs_tensor_set(&t, &i, values[i]);
  return t;
}

static rs_status from(rs_csr *out, rs_dtype dtype, int rows, const int *starts, int entries, const int *columns,
                      const int *values, int64_t width) {
  rs_tensor s = integers(RS_I64, rows + 1, starts), c = integers(RS_I32, entries, columns),
            v = integers(dtype, entries, values);
  rs_status status = rs_csr_from(out, &s, &c, &v, width);
  rs_tensor_free(&s);
  rs_tensor_free(&c);
  rs_tensor_free(&v);
  return status;
}

/* About one entry in four, some rows empty, some columns twice in a row. */
static rs_csr random_matrix(rs_dtype dtype, int64_t rows, int64_t width) {
  enum { PER_ROW = 9 };
  rs_stream s = rs_stream_at(5, RS_RNG_USER, 0, 0);
  rs_tensor starts, columns, values;
  int64_t n = rows + 1, most = rows * PER_ROW, at = 0;
  rs_csr m;
  assert_int_equal(rs_tensor_zeros(&starts, RS_I64, 1, &n), RS_OK);
  assert_int_equal(rs_tensor_new(&columns, RS_I32, 1, &most), RS_OK);
  assert_int_equal(rs_tensor_new(&values, dtype, 1, &most), RS_OK);
  for (int64_t i = 0; i < rows; i++) {
    int64_t here = (int64_t)rs_stream_below(&s, (uint64_t)(i * 100), PER_ROW + 1);
    for (int64_t j = 0; j < here; j++, at++) {
      rs_i32(&columns)[at] = (int32_t)rs_stream_below(&s, (uint64_t)(i * 100 + 2 * j + 1), (uint64_t)width);
      rs_tensor_set(&values, &at, rs_stream_normal(&s, (uint64_t)(i * 100 + 2 * j + 2)));
    }
    rs_i64(&starts)[i + 1] = at;
  }
  rs_tensor some_columns, some_values;
  assert_int_equal(rs_tensor_narrow(&some_columns, &columns, 0, 0, at), RS_OK);
  assert_int_equal(rs_tensor_narrow(&some_values, &values, 0, 0, at), RS_OK);
  assert_int_equal(rs_csr_from(&m, &starts, &some_columns, &some_values, width), RS_OK);
  rs_tensor *all[] = {&starts, &columns, &values, &some_columns, &some_values};
  for (int i = 0; i < 5; i++) rs_tensor_free(all[i]);
  return m;
}

static void assert_close(const rs_tensor *a, const rs_tensor *b, bool turned) {
  for (int64_t i = 0; i < a->size[0]; i++)
    for (int64_t j = 0; j < a->size[1]; j++) {
      double x = rs_tensor_get(a, (int64_t[]){i, j});
      double y = rs_tensor_get(b, turned ? (int64_t[]){j, i} : (int64_t[]){i, j});
      assert_true(fabs(x - y) <= 1e-5 * (1 + fabs(y)));
    }
}

static void products_equal_those_of_the_dense_matrix(void **state) {
  (void)state;
  for (rs_dtype dtype = RS_F32; dtype <= RS_F64; dtype++) {
    rs_csr m = random_matrix(dtype, 203, 33), turned;
    rs_tensor dense, b, c, got, expected, flipped;
    assert_int_equal(rs_csr_dense(&dense, &m), RS_OK);
    assert_int_equal(rs_csr_transpose(&turned, &m), RS_OK);
    assert_int_equal(rs_csr_dense(&flipped, &turned), RS_OK);
    assert_close(&flipped, &dense, true);
    for (int64_t i = 0; i < turned.rows; i++)
      for (int64_t j = rs_i64(&turned.starts)[i] + 1; j < rs_i64(&turned.starts)[i + 1]; j++)
        assert_true(rs_i32(&turned.columns)[j] >= rs_i32(&turned.columns)[j - 1]);
    assert_int_equal(rs_tensor_copy_of(&b, &flipped), RS_OK); /* any [33, 203] and [203, 33] will do */
    assert_int_equal(rs_csr_matmul(&got, &m, &b), RS_OK);
    assert_int_equal(rs_matmul(&expected, &dense, false, &b, false), RS_OK);
    assert_close(&got, &expected, false);
    rs_tensor_free(&got);
    rs_tensor_free(&expected);
    assert_int_equal(rs_tensor_copy_of(&c, &dense), RS_OK);
    assert_int_equal(rs_csr_matmul_transposed(&got, &m, &c), RS_OK);
    assert_int_equal(rs_matmul(&expected, &dense, true, &c, false), RS_OK);
    assert_close(&got, &expected, false);
    rs_tensor_free(&got);
    rs_tensor_free(&expected);
    assert_int_equal(rs_csr_matmul_left(&got, &flipped, &m), RS_OK);
    assert_int_equal(rs_matmul(&expected, &flipped, false, &dense, false), RS_OK);
    assert_close(&got, &expected, false);
    rs_tensor *all[] = {&dense, &b, &c, &got, &expected, &flipped};
    for (int i = 0; i < 6; i++) rs_tensor_free(all[i]);
    rs_csr_free(&m);
    rs_csr_free(&turned);
  }
}

static void products_have_the_same_bits_with_any_number_of_threads(void **state) {
  (void)state;
  rs_csr m = random_matrix(RS_F32, 500, 40);
  rs_tensor dense, one, many;
  int threads = rs_threads();
  assert_int_equal(rs_csr_dense(&dense, &m), RS_OK);
  rs_threads_set(1);
  assert_int_equal(rs_csr_matmul_transposed(&one, &m, &dense), RS_OK);
  rs_threads_set(3);
  assert_int_equal(rs_csr_matmul_transposed(&many, &m, &dense), RS_OK);
  rs_threads_set(threads);
  assert_memory_equal(rs_f32(&one), rs_f32(&many), rs_tensor_bytes(&one));
  rs_tensor_free(&one);
  rs_tensor_free(&many);
  rs_csr turned;
  assert_int_equal(rs_csr_transpose(&turned, &m), RS_OK);
  rs_threads_set(1);
  assert_int_equal(rs_csr_matmul_left(&one, &dense, &turned), RS_OK);
  rs_threads_set(3);
  assert_int_equal(rs_csr_matmul_left(&many, &dense, &turned), RS_OK);
  rs_threads_set(threads);
  assert_memory_equal(rs_f32(&one), rs_f32(&many), rs_tensor_bytes(&one));
  rs_csr_free(&turned);
  rs_tensor_free(&dense);
  rs_tensor_free(&one);
  rs_tensor_free(&many);
  rs_csr_free(&m);
}

static void what_makes_no_matrix_is_refused(void **state) {
  (void)state;
  rs_csr m;
  assert_int_equal(from(&m, RS_F32, 2, (int[]){0, 1, 2}, 2, (int[]){0, 3}, (int[]){1, 1}, 3), RS_ERANGE);
  assert_string_equal(rs_message(), "csr: column 3 of a matrix of 3");
  assert_int_equal(from(&m, RS_F32, 2, (int[]){0, 1, 2}, 2, (int[]){0, -1}, (int[]){1, 1}, 3), RS_ERANGE);
  assert_int_equal(from(&m, RS_F32, 2, (int[]){0, 3, 2}, 2, (int[]){0, 1}, (int[]){1, 1}, 3), RS_ERANGE);
  assert_string_equal(rs_message(), "csr: starts fall after row 1");
  assert_int_equal(from(&m, RS_F32, 2, (int[]){0, 1, 1}, 2, (int[]){0, 1}, (int[]){1, 1}, 3), RS_ERANGE);
  assert_int_equal(from(&m, RS_I32, 2, (int[]){0, 1, 2}, 2, (int[]){0, 1}, (int[]){1, 1}, 3), RS_EDTYPE);
  assert_int_equal(from(&m, RS_F64, 0, (int[]){0}, 0, NULL, NULL, 3), RS_OK);
  rs_tensor b, out;
  assert_int_equal(rs_tensor_zeros(&b, RS_F64, 2, (int64_t[]){3, 2}), RS_OK);
  assert_int_equal(rs_csr_matmul(&out, &m, &b), RS_OK);
  assert_int_equal(out.size[0], 0);
  rs_tensor_free(&out);
  assert_int_equal(rs_csr_matmul_transposed(&out, &m, &b), RS_ESHAPE);
  assert_int_equal(rs_csr_matmul_left(&out, &b, &m), RS_ESHAPE);
  assert_string_equal(rs_message(), "csr: [3, 2] times [0, 3]");
  rs_tensor_free(&b);
  assert_int_equal(rs_tensor_zeros(&b, RS_F32, 2, (int64_t[]){3, 0}), RS_OK);
  assert_int_equal(rs_csr_matmul_left(&out, &b, &m), RS_EDTYPE);
  rs_tensor_free(&b);
  rs_csr_free(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_equal_those_of_the_dense_matrix),
      cmocka_unit_test(products_have_the_same_bits_with_any_number_of_threads),
      cmocka_unit_test(what_makes_no_matrix_is_refused),
  };
  return cmocka_run_group_tests_name("csr", tests, NULL, no_blocks_remain);
}
