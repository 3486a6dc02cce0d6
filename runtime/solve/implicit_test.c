/* implicit_test.c - half sweeps against the normal equations in f64, and what is refused. */
#include "solve/implicit.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"
#include "solve/basis.h"

enum { ROWS = 61, OTHERS = 90 };

typedef struct example {
  rs_csr pairs;
  rs_tensor y, x;
} example;

static example make(int64_t d) {
  rs_stream s = rs_stream_at(4, RS_RNG_USER, (uint64_t)d, 0);
  rs_tensor starts, columns, values;
  int64_t n = ROWS + 1, most = ROWS * OTHERS, at = 0;
  example e = {0};
  assert_int_equal(rs_tensor_zeros(&starts, RS_I64, 1, &n), RS_OK);
  assert_int_equal(rs_tensor_new(&columns, RS_I32, 1, &most), RS_OK);
  assert_int_equal(rs_tensor_new(&values, RS_F32, 1, &most), RS_OK);
  for (int64_t u = 0; u < ROWS; u++) { /* row 0 has nothing, the last one nearly all */
    for (int64_t i = 0; i < OTHERS; i++)
      if ((int64_t)rs_stream_below(&s, (uint64_t)(u * OTHERS + i), ROWS) < u) {
        rs_i32(&columns)[at] = (int32_t)i;
        rs_f32(&values)[at] = 0.5f + (float)rs_stream_below(&s, (uint64_t)(100000 + at), 4);
        at++;
      }
    rs_i64(&starts)[u + 1] = at;
  }
  rs_tensor some_columns, some_values;
  assert_int_equal(rs_tensor_narrow(&some_columns, &columns, 0, 0, at), RS_OK);
  assert_int_equal(rs_tensor_narrow(&some_values, &values, 0, 0, at), RS_OK);
  assert_int_equal(rs_csr_from(&e.pairs, &starts, &some_columns, &some_values, OTHERS), RS_OK);
  rs_tensor *all[] = {&starts, &columns, &values, &some_columns, &some_values};
  for (int i = 0; i < 5; i++) rs_tensor_free(all[i]);
  assert_int_equal(rs_tensor_new(&e.y, RS_F32, 2, (int64_t[]){OTHERS, d}), RS_OK);
  assert_int_equal(rs_tensor_new(&e.x, RS_F32, 2, (int64_t[]){ROWS, d}), RS_OK);
  for (int64_t i = 0; i < OTHERS * d; i++) rs_f32(&e.y)[i] = (float)rs_stream_normal(&s, (uint64_t)(200000 + i)) * 0.4f;
  for (int64_t i = 0; i < ROWS * d; i++) rs_f32(&e.x)[i] = (float)rs_stream_normal(&s, (uint64_t)(300000 + i)) * 0.4f;
  return e;
}

static void free_example(example *e) {
  rs_csr_free(&e->pairs);
  rs_tensor_free(&e->y);
  rs_tensor_free(&e->x);
}

/* The half gradient of row u's objective at x, against its right side. */
static double slope(const example *e, int64_t u, const rs_implicit_options *o) {
  int64_t d = e->y.size[1], begin = rs_i64(&e->pairs.starts)[u], end = rs_i64(&e->pairs.starts)[u + 1];
  double others = o->others > 0 ? (double)o->others : OTHERS, worst = 0, largest = 1e-30, left[256] = {0}, right[256] = {0};
  double penalty = o->regularization * pow((double)(end - begin) + o->unobserved * others, o->scaling);
  const float *x = rs_f32(&e->x) + u * d;
  for (int64_t j = 0; j < d; j++) left[j] = penalty * (double)x[j];
  for (int64_t i = 0; i < OTHERS; i++) {
    const float *y = rs_f32(&e->y) + i * d;
    double score = 0, weight = o->unobserved, target = 0;
    for (int64_t p = begin; p < end; p++)
      if (rs_i32(&e->pairs.columns)[p] == i) {
        weight += (double)rs_f32(&e->pairs.values)[p];
        target = o->confidence ? weight : (double)rs_f32(&e->pairs.values)[p];
      }
    for (int64_t j = 0; j < d; j++) score += (double)x[j] * (double)y[j];
    for (int64_t j = 0; j < d; j++) left[j] += weight * score * (double)y[j], right[j] += target * (double)y[j];
  }
  for (int64_t j = 0; j < d; j++) {
    worst = fmax(worst, fabs(left[j] - right[j]));
    largest = fmax(largest, fabs(right[j]));
  }
  return end > begin ? worst / largest : 0;
}

static void solves_every_row(void **state) {
  (void)state;
  const int64_t widths[] = {1, 5, 32, 70};
  for (int i = 0; i < 4; i++)
    for (int kind = 0; kind < 6; kind++) {
      example e = make(widths[i]);
      rs_implicit_options o = {.unobserved = kind % 3 ? 0.3 : 1, .regularization = 0.05, .scaling = kind % 3 == 2 ? 0.7 : 0,
                               .others = kind % 3 == 2 ? 80 : 0, .confidence = kind >= 3};
      assert_int_equal(rs_implicit(&e.x, &e.pairs, &e.y, &o), RS_OK);
      for (int64_t u = 0; u < ROWS; u++) assert_true(slope(&e, u, &o) < 5e-5);
      for (int64_t j = 0; j < widths[i]; j++) assert_true(rs_f32(&e.x)[j] == 0); /* row 0 */
      free_example(&e);
    }
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void as_many_gradients_as_dimensions_solve_too(void **state) {
  (void)state;
  example e = make(5);
  rs_implicit_options o = {.unobserved = 0.5, .regularization = 1, .scaling = 0.5, .steps = 3, .confidence = true};
  double three = 0, ten = 0;
  assert_int_equal(rs_implicit(&e.x, &e.pairs, &e.y, &o), RS_OK);
  for (int64_t u = 0; u < ROWS; u++) three = fmax(three, slope(&e, u, &o));
  o.steps = 7;
  assert_int_equal(rs_implicit(&e.x, &e.pairs, &e.y, &o), RS_OK);
  for (int64_t u = 0; u < ROWS; u++) ten = fmax(ten, slope(&e, u, &o));
  assert_true(three > 1e-5 && ten < 1e-5);
  free_example(&e);
}

static void the_number_of_threads_changes_no_bit(void **state) {
  (void)state;
  int before = rs_threads();
  for (int steps = 0; steps < 4; steps += 3) {
    example one = make(33), two = make(33);
    rs_implicit_options o = {.unobserved = 0.2, .regularization = 0.01, .scaling = 1, .steps = steps};
    rs_threads_set(1);
    assert_int_equal(rs_implicit(&one.x, &one.pairs, &one.y, &o), RS_OK);
    rs_threads_set(3);
    assert_int_equal(rs_implicit(&two.x, &two.pairs, &two.y, &o), RS_OK);
    assert_memory_equal(rs_f32(&one.x), rs_f32(&two.x), rs_tensor_bytes(&one.x));
    free_example(&one);
    free_example(&two);
  }
  rs_threads_set(before);
}

static void sweeps_of_both_sides_lower_the_loss(void **state) {
  (void)state;
  example e = make(8);
  rs_csr turned = {0};
  assert_int_equal(rs_csr_transpose(&turned, &e.pairs), RS_OK);
  for (int confidence = 0; confidence < 2; confidence++) {
    rs_implicit_options o = {.unobserved = 0.3, .regularization = 0.02, .scaling = 1, .confidence = confidence};
    double last = INFINITY, loss = 0;
    for (int half = 0; half < 8; half++) {
      rs_status status = half % 2 ? rs_implicit(&e.y, &turned, &e.x, &o) : rs_implicit(&e.x, &e.pairs, &e.y, &o);
      assert_int_equal(status, RS_OK);
      assert_int_equal(rs_implicit_loss(&loss, &e.x, &e.pairs, &e.y, &o), RS_OK);
      assert_true(loss < last && loss > 0);
      last = loss;
    }
  }
  rs_csr_free(&turned);
  free_example(&e);
}

static void the_loss_is_that_of_all_pairs(void **state) {
  (void)state;
  example e = make(3);
  double others = 0, expected = 0, loss;
  rs_implicit_options o = {.unobserved = 0.3, .regularization = 0.02, .scaling = 0, .confidence = true};
  assert_int_equal(rs_implicit_loss(&loss, &e.x, &e.pairs, &e.y, &o), RS_OK);
  for (int64_t u = 0; u < ROWS; u++)
    for (int64_t i = 0; i < OTHERS; i++) {
      double score = 0, weight = 0.3, target = 0;
      for (int64_t j = 0; j < 3; j++) score += (double)rs_f32(&e.x)[u * 3 + j] * (double)rs_f32(&e.y)[i * 3 + j];
      for (int64_t p = rs_i64(&e.pairs.starts)[u]; p < rs_i64(&e.pairs.starts)[u + 1]; p++)
        if (rs_i32(&e.pairs.columns)[p] == i) weight += (double)rs_f32(&e.pairs.values)[p], target = 1;
      expected += weight * (score - target) * (score - target);
    }
  for (int64_t i = 0; i < ROWS * 3; i++) others += pow((double)rs_f32(&e.x)[i], 2);
  for (int64_t i = 0; i < OTHERS * 3; i++) others += pow((double)rs_f32(&e.y)[i], 2);
  assert_true(fabs(loss - expected - 0.02 * others) < 1e-5 * expected);
  free_example(&e);
}

static void the_axes_are_orthonormal_and_the_gramian_diagonal(void **state) {
  (void)state;
  example e = make(20);
  rs_tensor spectrum = {0}, turn = {0}, gram = {0};
  assert_int_equal(rs_basis(&spectrum, &turn, &e.y), RS_OK);
  assert_int_equal(rs_gram(&gram, &e.y), RS_OK);
  const float *q = rs_f32(&turn);
  for (int a = 0; a < 20; a++)
    for (int b = 0; b < 20; b++) {
      double one = 0, diagonal = 0;
      for (int i = 0; i < 20; i++) {
        one += (double)q[i * 20 + a] * (double)q[i * 20 + b];
        for (int j = 0; j < 20; j++)
          diagonal += (double)q[i * 20 + a] * rs_f64(&gram)[i * 20 + j] * (double)q[j * 20 + b];
      }
      assert_true(fabs(one - (a == b)) < 1e-6);
      assert_true(fabs(diagonal - (a == b ? (double)rs_f32(&spectrum)[a] : 0)) < 1e-4);
    }
  rs_tensor_free(&spectrum);
  rs_tensor_free(&turn);
  rs_tensor_free(&gram);
  rs_f32(&e.y)[5] = INFINITY;
  assert_int_equal(rs_basis(&spectrum, &turn, &e.y), RS_ENUMERIC);
  free_example(&e);
}

static void refuses_what_does_not_fit(void **state) {
  (void)state;
  example e = make(4);
  rs_implicit_options o = {.unobserved = 1, .regularization = 0};
  assert_int_equal(rs_implicit(&e.x, &e.pairs, &e.y, &o), RS_EARG);
  o.regularization = 1;
  rs_f32(&e.pairs.values)[7] = -1;
  assert_int_equal(rs_implicit(&e.x, &e.pairs, &e.y, &o), RS_ERANGE);
  assert_string_equal(rs_message(), "implicit: weight -1 of pair 7");
  rs_f32(&e.pairs.values)[7] = INFINITY;
  assert_int_equal(rs_implicit(&e.x, &e.pairs, &e.y, &o), RS_ENUMERIC);
  rs_tensor wrong = {0};
  assert_int_equal(rs_tensor_zeros(&wrong, RS_F32, 2, (int64_t[]){ROWS, 5}), RS_OK);
  assert_int_equal(rs_implicit(&wrong, &e.pairs, &e.y, &o), RS_ESHAPE);
  assert_string_equal(rs_message(), "implicit: rows [61, 5] and factors [90, 4] for pairs [61, 90]");
  rs_tensor_free(&wrong);
  free_example(&e);
  assert_int_equal(rs_alloc_blocks(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(solves_every_row),
      cmocka_unit_test(as_many_gradients_as_dimensions_solve_too),
      cmocka_unit_test(the_number_of_threads_changes_no_bit),
      cmocka_unit_test(sweeps_of_both_sides_lower_the_loss),
      cmocka_unit_test(the_loss_is_that_of_all_pairs),
      cmocka_unit_test(the_axes_are_orthonormal_and_the_gramian_diagonal),
      cmocka_unit_test(refuses_what_does_not_fit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
