/* parameter_test.c - gradients of parameters: dense sums, and row-sparse pieces against a plain loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "autograd/parameter.h"
#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"

enum { ROWS = 50, WIDTH = 5 };

static rs_tensor codes_of(int64_t m, uint64_t seed) {
  rs_tensor t = {0};
  assert_int_equal(rs_tensor_new(&t, RS_I32, 1, &m), RS_OK);
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, 0);
  /* a third of the uses are of one code, so that its segment spans chunks */
  for (int64_t i = 0; i < m; i++) rs_i32(&t)[i] = i % 3 ? 7 : (int32_t)rs_stream_below(&s, (uint64_t)i, ROWS);
  return t;
}

static rs_tensor rows_of(int64_t n, uint64_t seed) {
  rs_tensor t = {0};
  assert_int_equal(rs_tensor_new(&t, RS_F64, 2, (int64_t[]){n, WIDTH}), RS_OK);
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 1, 0);
  for (int64_t i = 0; i < n * WIDTH; i++) rs_f64(&t)[i] = rs_stream_normal(&s, (uint64_t)i);
  return t;
}

static rs_piece piece_of(int64_t m, uint64_t seed) {
  return (rs_piece){.codes = codes_of(m, seed), .rows = rows_of(m, seed)};
}

/* The piece whose position p points at row p / 4 with weight p. */
static rs_piece bag_piece_of(int64_t m, uint64_t seed) {
  rs_piece piece = {.codes = codes_of(m, seed), .rows = rows_of((m + 3) / 4, seed)};
  assert_int_equal(rs_tensor_new(&piece.row, RS_I32, 1, &m), RS_OK);
  assert_int_equal(rs_tensor_new(&piece.weight, RS_F64, 1, &m), RS_OK);
  for (int64_t p = 0; p < m; p++) {
    rs_i32(&piece.row)[p] = (int32_t)(p / 4);
    rs_f64(&piece.weight)[p] = (double)p;
  }
  return piece;
}

static void piece_free(rs_piece *piece) {
  rs_tensor_free(&piece->codes);
  rs_tensor_free(&piece->rows);
  rs_tensor_free(&piece->row);
  rs_tensor_free(&piece->weight);
}

static void add_plainly(double *sum, const rs_piece *piece) {
  for (int64_t p = 0; p < piece->codes.size[0]; p++) {
    int64_t row = piece->row.storage ? rs_i32(&piece->row)[p] : p;
    double weight = piece->weight.storage ? rs_f64(&piece->weight)[p] : 1;
    for (int j = 0; j < WIDTH; j++)
      sum[rs_i32(&piece->codes)[p] * WIDTH + j] += weight * rs_f64(&piece->rows)[row * WIDTH + j];
  }
}

static rs_parameter *table_of(bool sparse) {
  rs_tensor value = {0};
  rs_parameter *p = NULL;
  assert_int_equal(rs_tensor_zeros(&value, RS_F64, 2, (int64_t[]){ROWS, WIDTH}), RS_OK);
  assert_int_equal(rs_parameter_new(&p, "table", &value, true, sparse), RS_OK);
  rs_tensor_free(&value);
  return p;
}

static void assert_near(const double *a, const double *b, int64_t n) {
  for (int64_t i = 0; i < n; i++) assert_float_equal(a[i], b[i], 1e-7);
}

static void pieces_are_summed_by_code(bool sparse) {
  rs_parameter *p = table_of(sparse);
  double plain[ROWS * WIDTH] = {0};
  rs_piece pieces[] = {piece_of(5000, 1), bag_piece_of(3001, 2), piece_of(1, 3)};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(rs_parameter_add_piece(p, &pieces[i]), RS_OK);
    add_plainly(plain, &pieces[i]);
    piece_free(&pieces[i]);
  }
  rs_tensor dense = {0};
  assert_int_equal(rs_parameter_dense_grad(&dense, p), RS_OK);
  assert_near(rs_f64(&dense), plain, ROWS * WIDTH);
  rs_tensor_free(&dense);
  rs_parameter_release(p);
}

static void a_table_sums_rows_by_code(void **state) {
  (void)state;
  pieces_are_summed_by_code(true);
  pieces_are_summed_by_code(false);
}

static void merged_codes_are_distinct_and_ascending(void **state) {
  (void)state;
  rs_parameter *p = table_of(true);
  rs_piece piece = piece_of(2500, 4);
  assert_int_equal(rs_parameter_add_piece(p, &piece), RS_OK);
  const rs_tensor *codes, *rows;
  assert_int_equal(rs_parameter_merge(p, &codes, &rows), RS_OK);
  assert_int_equal(codes->size[0], rows->size[0]);
  for (int64_t i = 1; i < codes->size[0]; i++) assert_true(rs_i32(codes)[i - 1] < rs_i32(codes)[i]);
  const void *first = rs_tensor_data(rows);
  assert_int_equal(rs_parameter_merge(p, &codes, &rows), RS_OK);
  assert_ptr_equal(first, rs_tensor_data(rows));
  rs_parameter_zero_grad(p);
  assert_int_equal(rs_parameter_merge(p, &codes, &rows), RS_OK);
  assert_int_equal(codes->size[0], 0);
  piece_free(&piece);
  rs_parameter_release(p);
}

static void sums_have_the_same_bits_on_any_number_of_threads(void **state) {
  (void)state;
  rs_piece pieces[] = {piece_of(9000, 5), bag_piece_of(4000, 6)};
  rs_tensor codes[2] = {{0}, {0}}, rows[2] = {{0}, {0}};
  int threads = rs_threads();
  for (int i = 0; i < 2; i++) {
    rs_threads_set(i ? 4 : 1);
    assert_int_equal(rs_pieces_merge(&codes[i], &rows[i], pieces, 2, RS_F64, WIDTH), RS_OK);
  }
  rs_threads_set(threads);
  assert_int_equal(rs_tensor_count(&rows[0]), rs_tensor_count(&rows[1]));
  assert_memory_equal(rs_f64(&rows[0]), rs_f64(&rows[1]), rs_tensor_bytes(&rows[0]));
  for (int i = 0; i < 2; i++) {
    rs_tensor_free(&codes[i]);
    rs_tensor_free(&rows[i]);
    piece_free(&pieces[i]);
  }
}

/* Rows of whole numbers, which add up alike in any order, at codes below 'size'. */
static rs_piece whole_piece_of(int64_t m, int64_t size, uint64_t seed) {
  rs_piece piece = {.rows = rows_of(m, seed)};
  assert_int_equal(rs_tensor_new(&piece.codes, RS_I32, 1, &m), RS_OK);
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 2, 0);
  for (int64_t i = 0; i < m; i++) rs_i32(&piece.codes)[i] = (int32_t)rs_stream_below(&s, (uint64_t)i, (uint64_t)size);
  for (int64_t i = 0; i < m * WIDTH; i++) rs_f64(&piece.rows)[i] = round(8 * rs_f64(&piece.rows)[i]) + 0.0; /* no -0 */
  return piece;
}

/* Enough uses for several parts of a pass, whose borders lie within pieces. */
static void check_sums_of_many(int64_t size) {
  rs_piece pieces[] = {whole_piece_of(50000, size, 9), whole_piece_of(1, size, 10), whole_piece_of(90001, size, 11)};
  double *sum = rs_alloc_zero((size_t)(size * WIDTH) * sizeof *sum);
  assert_non_null(sum);
  for (int k = 0; k < 3; k++) add_plainly(sum, &pieces[k]);
  rs_tensor codes = {0}, rows = {0};
  assert_int_equal(rs_pieces_merge(&codes, &rows, pieces, 3, RS_F64, WIDTH), RS_OK);
  for (int64_t i = 0; i < codes.size[0]; i++) {
    assert_true(i == 0 || rs_i32(&codes)[i - 1] < rs_i32(&codes)[i]);
    double *expected = sum + rs_i32(&codes)[i] * WIDTH;
    assert_memory_equal(rs_f64(&rows) + i * WIDTH, expected, WIDTH * sizeof(double));
    for (int j = 0; j < WIDTH; j++) expected[j] = 0;
  }
  for (int64_t i = 0; i < size * WIDTH; i++) assert_true(sum[i] == 0); /* no code is left out */
  rs_free(sum);
  rs_tensor_free(&codes);
  rs_tensor_free(&rows);
  for (int k = 0; k < 3; k++) piece_free(&pieces[k]);
}

static void many_uses_are_sorted_by_parts(void **state) {
  (void)state;
  check_sums_of_many(8192);   /* one pass */
  check_sums_of_many(300000); /* two */
}

static void codes_of_many_digits_are_sorted(void **state) {
  (void)state;
  enum { M = 6 };
  int32_t wanted[] = {0, 5, 2047, 2048, 4194304, INT32_MAX}, given[] = {2, 5, 0, 4, 1, 3};
  rs_piece piece = {.rows = rows_of(M, 7)};
  assert_int_equal(rs_tensor_new(&piece.codes, RS_I32, 1, &(int64_t){M}), RS_OK);
  for (int i = 0; i < M; i++) rs_i32(&piece.codes)[i] = wanted[given[i]];
  rs_tensor codes = {0}, rows = {0};
  assert_int_equal(rs_pieces_merge(&codes, &rows, &piece, 1, RS_F64, WIDTH), RS_OK);
  assert_memory_equal(rs_i32(&codes), wanted, sizeof wanted);
  for (int i = 0; i < M; i++)
    assert_memory_equal(rs_f64(&rows) + given[i] * WIDTH, rs_f64(&piece.rows) + i * WIDTH, WIDTH * sizeof(double));
  rs_tensor_free(&codes);
  rs_tensor_free(&rows);
  piece_free(&piece);
}

static void a_shared_gradient_is_not_changed_by_the_next(void **state) {
  (void)state;
  rs_parameter *p = table_of(false);
  rs_tensor g = rows_of(ROWS, 8), copy = {0};
  assert_int_equal(rs_tensor_copy_of(&copy, &g), RS_OK);
  assert_int_equal(rs_parameter_add_grad(p, &g), RS_OK);
  assert_int_equal(rs_parameter_add_grad(p, &g), RS_OK);
  assert_memory_equal(rs_f64(&g), rs_f64(&copy), rs_tensor_bytes(&g));
  assert_float_equal(rs_f64(&p->grad)[3], 2 * rs_f64(&g)[3], 0);
  rs_tensor_free(&g);
  rs_tensor_free(&copy);
  rs_parameter_release(p);
}

static void a_gradient_of_another_shape_is_refused(void **state) {
  (void)state;
  rs_parameter *p = table_of(false);
  rs_tensor g = rows_of(3, 9);
  assert_int_equal(rs_parameter_add_grad(p, &g), RS_ESHAPE);
  assert_non_null(strstr(rs_message(), "'table' is f64 [50, 5], the gradient f64 [3, 5]"));
  rs_tensor_free(&g);
  rs_parameter_release(p);
}

static int no_block_lives(void **state) {
  (void)state;
  return rs_alloc_blocks() != 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_table_sums_rows_by_code),
      cmocka_unit_test(merged_codes_are_distinct_and_ascending),
      cmocka_unit_test(sums_have_the_same_bits_on_any_number_of_threads),
      cmocka_unit_test(many_uses_are_sorted_by_parts),
      cmocka_unit_test(codes_of_many_digits_are_sorted),
      cmocka_unit_test(a_shared_gradient_is_not_changed_by_the_next),
      cmocka_unit_test(a_gradient_of_another_shape_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, no_block_lives);
}
