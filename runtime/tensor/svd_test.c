/* svd_test.c - singular values that are known beforehand. */
#include "tensor/svd.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"
#include "tensor/gemm.h"

enum { ROWS = 300, WIDTH = 220 };

/* Orthonormal columns [n, k]: Gram-Schmidt, twice, of normal numbers. */
static rs_tensor orthonormal(int64_t n, int64_t k, uint64_t seed) {
  rs_tensor t;
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, 0);
  assert_int_equal(rs_tensor_new(&t, RS_F64, 2, (int64_t[]){n, k}), RS_OK);
  double *v = rs_f64(&t);
  for (int64_t i = 0; i < n * k; i++) v[i] = rs_stream_normal(&s, (uint64_t)i);
  for (int64_t j = 0; j < k; j++)
    for (int twice = 0; twice < 2; twice++) {
      for (int64_t l = 0; l < j; l++) {
        double dot = 0;
        for (int64_t i = 0; i < n; i++) dot += v[i * k + j] * v[i * k + l];
        for (int64_t i = 0; i < n; i++) v[i * k + j] -= dot * v[i * k + l];
      }
      double square = 0;
      for (int64_t i = 0; i < n; i++) square += v[i * k + j] * v[i * k + j];
      for (int64_t i = 0; i < n; i++) v[i * k + j] /= sqrt(square);
    }
  return t;
}

/* All entries of a dense matrix as a sparse one. */
static rs_csr sparse(const rs_tensor *dense, rs_dtype dtype) {
  int64_t n = dense->size[0], width = dense->size[1], entries = n * width, bounds = n + 1;
  rs_tensor starts, columns, values;
  rs_csr m;
  assert_int_equal(rs_tensor_new(&starts, RS_I64, 1, &bounds), RS_OK);
  assert_int_equal(rs_tensor_new(&columns, RS_I32, 1, &entries), RS_OK);
  assert_int_equal(rs_tensor_new(&values, dtype, 1, &entries), RS_OK);
  for (int64_t i = 0; i <= n; i++) rs_i64(&starts)[i] = i * width;
  for (int64_t i = 0; i < entries; i++) {
    rs_i32(&columns)[i] = (int32_t)(i % width);
    rs_tensor_set(&values, &i, rs_f64(dense)[i]);
  }
  assert_int_equal(rs_csr_from(&m, &starts, &columns, &values, width), RS_OK);
  rs_tensor_free(&starts);
  rs_tensor_free(&columns);
  rs_tensor_free(&values);
  return m;
}

/* U diag(spectrum) V' with k terms. */
static rs_csr planted(const double *spectrum, int64_t k, rs_dtype dtype) {
  rs_tensor u = orthonormal(ROWS, k, 1), v = orthonormal(WIDTH, k, 2), dense;
  for (int64_t i = 0; i < ROWS * k; i++) rs_f64(&u)[i] *= spectrum[i % k];
  assert_int_equal(rs_matmul(&dense, &u, false, &v, true), RS_OK);
  rs_csr m = sparse(&dense, dtype);
  rs_tensor_free(&u);
  rs_tensor_free(&v);
  rs_tensor_free(&dense);
  return m;
}

/* The vectors are orthonormal, their entries of largest size positive, and m times each as long as its value. */
static void assert_right_vectors(const rs_csr *m, const rs_tensor *values, const rs_tensor *vectors, double tolerance) {
  rs_tensor gram, image;
  int64_t d = values->size[0];
  assert_int_equal(rs_matmul(&gram, vectors, true, vectors, false), RS_OK);
  assert_int_equal(rs_csr_matmul(&image, m, vectors), RS_OK);
  for (int64_t j = 0; j < d; j++) {
    double square = 0, extreme = 0, value = rs_f64(values)[j];
    for (int64_t i = 0; i < d; i++) assert_true(fabs(rs_tensor_get(&gram, (int64_t[]){i, j}) - (i == j)) < tolerance);
    for (int64_t i = 0; i < m->rows; i++) square += pow(rs_tensor_get(&image, (int64_t[]){i, j}), 2);
    for (int64_t i = 0; i < m->width; i++) {
      double x = rs_tensor_get(vectors, (int64_t[]){i, j});
      if (fabs(x) > fabs(extreme)) extreme = x;
    }
    assert_true(extreme > 0 && fabs(sqrt(square) - value) < tolerance * rs_f64(values)[0]);
    assert_true(j == 0 || value <= rs_f64(values)[j - 1]);
  }
  rs_tensor_free(&gram);
  rs_tensor_free(&image);
}

static void check_planted(const double *spectrum, int64_t k, int64_t d, rs_dtype dtype, double tolerance) {
  rs_csr m = planted(spectrum, k, dtype);
  rs_tensor values, vectors;
  assert_int_equal(
      rs_truncated_svd(&values, &vectors, &m, (rs_svd_options){.d = d, .oversampling = -1, .iterations = -1}), RS_OK);
  for (int64_t i = 0; i < d; i++) assert_true(fabs(rs_f64(&values)[i] / spectrum[i] - 1) < tolerance);
  assert_right_vectors(&m, &values, &vectors, dtype == RS_F64 ? 1e-9 : 1e-5);
  rs_tensor_free(&values);
  rs_tensor_free(&vectors);
  rs_csr_free(&m);
}

static void planted_spectra_come_back(void **state) {
  (void)state;
  double falling[100], harmonic[200];
  for (int i = 0; i < 100; i++) falling[i] = 40 * pow(0.93, i);
  for (int i = 0; i < 200; i++) harmonic[i] = 10 / sqrt(1 + i) * (i < 64 ? 1 : 0.5);
  check_planted(falling, 100, 64, RS_F64, 1e-9); /* down to 0.01, and 7e-4 behind */
  check_planted(falling, 100, 64, RS_F32, 1e-3);
  check_planted(harmonic, 200, 64, RS_F64, 1e-3);
  check_planted(harmonic, 200, 64, RS_F32, 1e-3);
  check_planted((double[]){3, 3, 3, 2, 1, 1e-6, 1e-6}, 7, 5, RS_F64, 1e-9); /* equal values, six decades */
}

/* The largest relative error of d values of a planted spectrum. */
static double error_after(int64_t iterations, const double *spectrum, int64_t k, int64_t d, rs_dtype dtype) {
  rs_csr m = planted(spectrum, k, dtype);
  rs_tensor values, vectors;
  rs_svd_options o = {.d = d, .oversampling = d, .iterations = iterations};
  double error = 0;
  assert_int_equal(rs_truncated_svd(&values, &vectors, &m, o), RS_OK);
  for (int i = 0; i < d; i++) error = fmax(error, fabs(rs_f64(&values)[i] / spectrum[i] - 1));
  assert_right_vectors(&m, &values, &vectors, dtype == RS_F64 ? 1e-9 : 1e-5);
  rs_tensor_free(&values);
  rs_tensor_free(&vectors);
  rs_csr_free(&m);
  return error;
}

/* One value far above a flat rest, as graphs have, and a steep fall: what a random sketch shows of their ratio is too
 * little, and yet the weak directions must not drown in rounding, however long the space is iterated. */
static void many_iterations_lose_no_direction(void **state) {
  (void)state;
  double graph[WIDTH], steep[60];
  for (int i = 0; i < WIDTH; i++) graph[i] = i == 0 ? 1 : 0.4 * pow(0.995, i);
  for (int i = 0; i < 60; i++) steep[i] = pow(0.7, i); /* nine decades, of which f32 sees seven */
  assert_true(error_after(8, graph, WIDTH, 48, RS_F32) < 1e-4);
  for (int64_t iterations = 30; iterations <= 120; iterations += 30) {
    assert_true(error_after(iterations, graph, WIDTH, 48, RS_F32) < 1e-6);
    assert_true(error_after(iterations, graph, WIDTH, 48, RS_F64) < 1e-12);
    assert_true(error_after(iterations, steep, 60, 16, RS_F32) < 1e-4);
    assert_true(error_after(iterations, steep, 60, 16, RS_F64) < 1e-9);
  }
}

static void values_beyond_the_rank_are_zero(void **state) {
  (void)state;
  rs_csr m = planted((double[]){5, 4, 1}, 3, RS_F64);
  rs_tensor values, vectors;
  rs_svd_options o = {.d = 40, .oversampling = -1, .iterations = -1};
  assert_int_equal(rs_truncated_svd(&values, &vectors, &m, o), RS_OK);
  assert_true(fabs(rs_f64(&values)[0] - 5) < 1e-9 && fabs(rs_f64(&values)[2] - 1) < 1e-9);
  for (int i = 3; i < 40; i++) assert_true(rs_f64(&values)[i] < 1e-6);
  for (int64_t i = 0; i < WIDTH * 40; i++) assert_true(isfinite(rs_f64(&vectors)[i]));
  rs_tensor_free(&values);
  rs_tensor_free(&vectors);
  memset(rs_f64(&m.values), 0, rs_tensor_bytes(&m.values));
  assert_int_equal(rs_truncated_svd(&values, &vectors, &m, o), RS_OK);
  for (int i = 0; i < 40; i++) assert_true(rs_f64(&values)[i] == 0);
  for (int64_t i = 0; i < WIDTH * 40; i++) assert_true(isfinite(rs_f64(&vectors)[i]));
  rs_tensor_free(&values);
  rs_tensor_free(&vectors);
  rs_f64(&m.values)[7] = NAN;
  assert_int_equal(rs_truncated_svd(&values, &vectors, &m, o), RS_ENUMERIC);
  assert_non_null(strstr(rs_message(), "svd: entry 7 is"));
  o.d = WIDTH + 1;
  assert_int_equal(rs_truncated_svd(&values, &vectors, &m, o), RS_EARG);
  rs_csr_free(&m);
}

static void entries_of_any_size_are_served(void **state) {
  (void)state;
  static const double sizes[] = {1e-36, 1e-20, 1e20, 1e35};
  for (int i = 0; i < 4; i++) {
    double spectrum[] = {3 * sizes[i], 2 * sizes[i], sizes[i], 0.5 * sizes[i]};
    check_planted(spectrum, 4, 3, RS_F32, 1e-4);
    check_planted(spectrum, 4, 3, RS_F64, 1e-9);
  }
}

/* A sketch as large as the matrix must not be singular by chance. */
static void all_values_of_a_small_matrix_are_found(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 50; seed++) {
    rs_tensor dense, values, vectors;
    assert_int_equal(rs_tensor_zeros(&dense, RS_F64, 2, (int64_t[]){2, 3}), RS_OK);
    rs_f64(&dense)[0] = 2;
    rs_f64(&dense)[4] = 1;
    rs_csr m = sparse(&dense, RS_F32);
    rs_svd_options o = {.d = 2, .oversampling = -1, .iterations = -1, .seed = seed};
    assert_int_equal(rs_truncated_svd(&values, &vectors, &m, o), RS_OK);
    assert_true(fabs(rs_f64(&values)[0] - 2) < 1e-5 && fabs(rs_f64(&values)[1] - 1) < 1e-5);
    rs_tensor_free(&dense);
    rs_tensor_free(&values);
    rs_tensor_free(&vectors);
    rs_csr_free(&m);
  }
}

static void the_same_seed_gives_the_same_bits_with_any_number_of_threads(void **state) {
  (void)state;
  double flat[200];
  for (int i = 0; i < 200; i++) flat[i] = 1 + 1.0 / (i + 1);
  rs_csr m = planted(flat, 200, RS_F32);
  rs_svd_options o = {.d = 20, .oversampling = 5, .iterations = 2, .seed = 7};
  rs_tensor values[3], vectors[3];
  int threads = rs_threads();
  for (int i = 0; i < 3; i++) {
    rs_threads_set(i == 1 ? 3 : 1);
    if (i == 2) o.seed = 8;
    assert_int_equal(rs_truncated_svd(&values[i], &vectors[i], &m, o), RS_OK);
  }
  rs_threads_set(threads);
  assert_memory_equal(rs_f64(&values[0]), rs_f64(&values[1]), rs_tensor_bytes(&values[0]));
  assert_memory_equal(rs_f32(&vectors[0]), rs_f32(&vectors[1]), rs_tensor_bytes(&vectors[0]));
  assert_memory_not_equal(rs_f32(&vectors[0]), rs_f32(&vectors[2]), rs_tensor_bytes(&vectors[0]));
  for (int i = 0; i < 3; i++) {
    rs_tensor_free(&values[i]);
    rs_tensor_free(&vectors[i]);
  }
  rs_csr_free(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(planted_spectra_come_back),
      cmocka_unit_test(many_iterations_lose_no_direction),
      cmocka_unit_test(values_beyond_the_rank_are_zero),
      cmocka_unit_test(entries_of_any_size_are_served),
      cmocka_unit_test(all_values_of_a_small_matrix_are_found),
      cmocka_unit_test(the_same_seed_gives_the_same_bits_with_any_number_of_threads),
  };
  return cmocka_run_group_tests_name("svd", tests, NULL, no_blocks_remain);
}
