/* optim_test.c - three steps of each rule against numbers worked out from the papers, and rows against dense. */
#include "optim/optim.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"
#include "tensor/half.h"

static rs_tensor vector(rs_dtype dtype, int64_t n, const double *values) {
  rs_tensor t;
  assert_int_equal(rs_tensor_new(&t, dtype, 1, &n), RS_OK);
  for (int64_t i = 0; i < n; i++) rs_tensor_set(&t, &i, values[i]);
  return t;
}

/* Three steps from w = (1, -2) with gradients (0.5, -1), (-0.25, 2), (0.125, 0.5). */
static void assert_three_steps(rs_optimizer o, const double expected[3][2], double tolerance) {
  static const double gradients[3][2] = {{0.5, -1}, {-0.25, 2}, {0.125, 0.5}};
  o.gradient_scale = 1;
  for (int dtype = RS_F32; dtype <= RS_F64; dtype++) {
    rs_tensor w = vector(dtype, 2, (double[]){1, -2}), state[RS_MAX_STATES] = {0};
    for (int s = 0; s < rs_optimizer_states(&o); s++) assert_int_equal(rs_optimizer_state(&state[s], &o, s, &w), RS_OK);
    for (int t = 0; t < 3; t++) {
      rs_tensor g = vector(dtype, 2, gradients[t]);
      assert_int_equal(rs_optimizer_update(&o, t + 1, &w, &g, state), RS_OK);
      for (int64_t i = 0; i < 2; i++)
        assert_true(fabs(rs_tensor_get(&w, &i) - expected[t][i]) < (dtype == RS_F32 ? 1e-6 : tolerance));
      rs_tensor_free(&g);
    }
    rs_tensor_free(&w), rs_tensor_free(&state[0]), rs_tensor_free(&state[1]);
  }
}

static void sgd_follows_its_definition(void **state) {
  (void)state;
  /* w - 0.1 g */
  assert_three_steps((rs_optimizer){.kind = RS_SGD, .learning_rate = 0.1},
                     (const double[3][2]){{0.95, -1.9}, {0.975, -2.1}, {0.9625, -2.15}}, 1e-15);
  /* g + 0.5 w: (1, -2), (0.2, 1.1), (0.565, -0.455) */
  assert_three_steps((rs_optimizer){.kind = RS_SGD, .learning_rate = 0.1, .weight_decay = 0.5},
                     (const double[3][2]){{0.9, -1.8}, {0.88, -1.91}, {0.8235, -1.8645}}, 1e-15);
}

static void momentum_follows_its_definition(void **state) {
  (void)state;
  /* v: (0.5, -1), (0.2, 1.1), (0.305, 1.49) */
  assert_three_steps((rs_optimizer){.kind = RS_SGD, .learning_rate = 0.1, .momentum = 0.9},
                     (const double[3][2]){{0.95, -1.9}, {0.93, -2.01}, {0.8995, -2.159}}, 1e-15);
}

static void adagrad_follows_duchi_hazan_and_singer(void **state) {
  (void)state;
  /* sums: (0.25, 1), (0.3125, 5), (0.328125, 5.25); steps 0.1 g / sqrt(s) with epsilon 0 */
  double a = 1 - 0.1, b = -2 + 0.1;
  double a2 = a + 0.1 * 0.25 / sqrt(0.3125), b2 = b - 0.1 * 2 / sqrt(5);
  double a3 = a2 - 0.1 * 0.125 / sqrt(0.328125), b3 = b2 - 0.1 * 0.5 / sqrt(5.25);
  assert_three_steps((rs_optimizer){.kind = RS_ADAGRAD, .learning_rate = 0.1},
                     (const double[3][2]){{a, b}, {a2, b2}, {a3, b3}}, 1e-15);
}

static void adam_follows_kingma_and_ba(void **state) {
  (void)state;
  /* b1 = 0.5, b2 = 0.75, epsilon = 0: the first step is 0.1 sign(g).
   * first coordinate   m: 0.25, 0, 0.0625              m^: 0.5, 0, 0.0625 / 0.875
   *                    v: 0.0625, 0.0625, 0.05078125   v^: 0.25, 0.0625 / 0.4375, 0.05078125 / 0.578125
   * second coordinate  m: -0.5, 0.75, 0.625            m^: -1, 1, 0.625 / 0.875
   *                    v: 0.25, 1.1875, 0.953125       v^: 1, 1.1875 / 0.4375, 0.953125 / 0.578125 */
  double a3 = 0.9 - 0.1 * (0.0625 / 0.875) / sqrt(0.05078125 / 0.578125);
  double b2 = -1.9 - 0.1 / sqrt(1.1875 / 0.4375), b3 = b2 - 0.1 * (0.625 / 0.875) / sqrt(0.953125 / 0.578125);
  assert_three_steps((rs_optimizer){.kind = RS_ADAM, .learning_rate = 0.1, .beta1 = 0.5, .beta2 = 0.75},
                     (const double[3][2]){{0.9, -1.9}, {0.9, b2}, {a3, b3}}, 1e-15);
  /* L2 decay enters the gradient: g + 0.5 w = (1, -2), so the first step has the same size. */
  rs_optimizer o = {
      .kind = RS_ADAM, .learning_rate = 0.1, .beta1 = 0.5, .beta2 = 0.75, .weight_decay = 0.5, .gradient_scale = 1};
  rs_tensor w = vector(RS_F64, 2, (double[]){1, -2}), g = vector(RS_F64, 2, (double[]){0.5, -1}), s[2];
  rs_optimizer_state(&s[0], &o, 0, &w), rs_optimizer_state(&s[1], &o, 1, &w);
  assert_int_equal(rs_optimizer_update(&o, 1, &w, &g, s), RS_OK);
  assert_true(fabs(rs_f64(&w)[0] - 0.9) < 1e-15 && fabs(rs_f64(&s[0])[0] - 0.5) < 1e-15);
  assert_true(fabs(rs_f64(&s[1])[1] - 1) < 1e-15);
  rs_tensor_free(&w), rs_tensor_free(&g), rs_tensor_free(&s[0]), rs_tensor_free(&s[1]);
}

static void adamw_decays_beside_the_gradient(void **state) {
  (void)state;
  /* w (1 - 0.1 * 0.5) before each of Adam's steps above */
  double a1 = 0.95 - 0.1, a2 = a1 * 0.95, a3 = a2 * 0.95 - 0.1 * (0.0625 / 0.875) / sqrt(0.05078125 / 0.578125);
  double b1 = -1.9 + 0.1, b2 = b1 * 0.95 - 0.1 / sqrt(1.1875 / 0.4375);
  double b3 = b2 * 0.95 - 0.1 * (0.625 / 0.875) / sqrt(0.953125 / 0.578125);
  assert_three_steps(
      (rs_optimizer){.kind = RS_ADAMW, .learning_rate = 0.1, .beta1 = 0.5, .beta2 = 0.75, .weight_decay = 0.5},
      (const double[3][2]){{a1, b1}, {a2, b2}, {a3, b3}}, 1e-15);
}

static void epsilon_stands_outside_the_root(void **state) {
  (void)state;
  double a1 = 1 - 0.1 * 0.5 / (0.5 + 0.25), b1 = -2 + 0.1 / 1.25;
  rs_optimizer adam = {
      .kind = RS_ADAM, .learning_rate = 0.1, .beta1 = 0.5, .beta2 = 0.75, .epsilon = 0.25, .gradient_scale = 1};
  rs_optimizer adagrad = {.kind = RS_ADAGRAD, .learning_rate = 0.1, .epsilon = 0.25, .gradient_scale = 1};
  for (int i = 0; i < 2; i++) {
    rs_optimizer *o = i ? &adagrad : &adam;
    rs_tensor w = vector(RS_F64, 2, (double[]){1, -2}), g = vector(RS_F64, 2, (double[]){0.5, -1}), s[2] = {0};
    for (int k = 0; k < rs_optimizer_states(o); k++) rs_optimizer_state(&s[k], o, k, &w);
    assert_int_equal(rs_optimizer_update(o, 1, &w, &g, s), RS_OK);
    assert_true(fabs(rs_f64(&w)[0] - a1) < 1e-15 && fabs(rs_f64(&w)[1] - b1) < 1e-15);
    rs_tensor_free(&w), rs_tensor_free(&g), rs_tensor_free(&s[0]), rs_tensor_free(&s[1]);
  }
}

static rs_tensor random_matrix(rs_dtype dtype, int64_t n, int64_t d, uint32_t step) {
  rs_tensor t;
  rs_stream s = rs_stream_at(3, RS_RNG_USER, 0, step);
  assert_int_equal(rs_tensor_new(&t, dtype, 2, (int64_t[]){n, d}), RS_OK);
  for (int64_t i = 0; i < n * d; i++) rs_tensor_set(&t, (int64_t[]){i / d, i % d}, rs_stream_normal(&s, (uint64_t)i));
  return t;
}

/* Rows 1 and 3 of a table get what they would get as a dense parameter of their own; the others do not change. */
static void rows_are_updated_as_if_they_were_alone(void **state) {
  (void)state;
  static const rs_optimizer kinds[] = {
      {.kind = RS_SGD, .learning_rate = 0.1, .weight_decay = 0.01},
      {.kind = RS_SGD, .learning_rate = 0.1, .momentum = 0.9},
      {.kind = RS_ADAGRAD, .learning_rate = 0.1, .epsilon = 1e-10},
      {.kind = RS_ADAGRAD, .learning_rate = 0.1, .epsilon = 1e-10, .row_wise = true, .weight_decay = 0.1},
      {.kind = RS_ADAM, .learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.1},
      {.kind = RS_ADAMW, .learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.1}};
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
    for (int dtype = RS_F32; dtype <= RS_F64; dtype++) {
      rs_optimizer o = kinds[k];
      o.gradient_scale = 0.5;
      rs_tensor table = random_matrix(dtype, 5, 17, 0), codes, alone, before, s[2] = {0}, own[2] = {0};
      rs_tensor_new(&codes, RS_I32, 1, (int64_t[]){2});
      rs_i32(&codes)[0] = 1, rs_i32(&codes)[1] = 3;
      rs_tensor_copy_of(&before, &table);
      rs_tensor_new(&alone, dtype, 2, (int64_t[]){2, 17});
      size_t row = 17 * rs_dtype_size(dtype);
      for (size_t i = 0; i < 2; i++)
        memcpy((char *)rs_tensor_data(&alone) + i * row, (char *)rs_tensor_data(&table) + (2 * i + 1) * row, row);
      for (int i = 0; i < rs_optimizer_states(&o); i++)
        rs_optimizer_state(&s[i], &o, i, &table), rs_optimizer_state(&own[i], &o, i, &alone);
      for (int64_t step = 1; step <= 3; step++) {
        rs_tensor g = random_matrix(dtype, 2, 17, (uint32_t)step);
        assert_int_equal(rs_optimizer_update_rows(&o, step, &table, &codes, &g, s), RS_OK);
        assert_int_equal(rs_optimizer_update(&o, step, &alone, &g, own), RS_OK);
        rs_tensor_free(&g);
      }
      for (size_t i = 0; i < 5; i++) {
        const char *expected =
            i % 2 ? (char *)rs_tensor_data(&alone) + i / 2 * row : (char *)rs_tensor_data(&before) + i * row;
        assert_memory_equal((char *)rs_tensor_data(&table) + i * row, expected, row);
      }
      rs_i32(&codes)[0] = 5;
      assert_int_equal(rs_optimizer_update_rows(&o, 4, &table, &codes, &alone, s), RS_ERANGE);
      rs_tensor_free(&table), rs_tensor_free(&codes), rs_tensor_free(&alone), rs_tensor_free(&before);
      for (int i = 0; i < 2; i++) rs_tensor_free(&s[i]), rs_tensor_free(&own[i]);
    }
}

static void row_wise_adagrad_keeps_one_number_a_row(void **state) {
  (void)state;
  rs_optimizer o = {.kind = RS_ADAGRAD, .learning_rate = 0.1, .row_wise = true, .gradient_scale = 1};
  rs_tensor w, g, s;
  rs_tensor_zeros(&w, RS_F64, 2, (int64_t[]){2, 2});
  rs_tensor_zeros(&g, RS_F64, 2, (int64_t[]){2, 2});
  rs_f64(&g)[0] = 3, rs_f64(&g)[1] = 1, rs_f64(&g)[2] = 2, rs_f64(&g)[3] = 2;
  assert_int_equal(rs_optimizer_state(&s, &o, 0, &w), RS_OK);
  assert_string_equal(rs_shape(&s).text, "[2]");
  assert_int_equal(rs_optimizer_update(&o, 1, &w, &g, &s), RS_OK);
  assert_true(fabs(rs_f64(&s)[0] - 5) < 1e-15 && fabs(rs_f64(&s)[1] - 4) < 1e-15); /* means of squares */
  assert_true(fabs(rs_f64(&w)[0] + 0.3 / sqrt(5)) < 1e-15 && fabs(rs_f64(&w)[3] + 0.1) < 1e-15);
  rs_tensor_free(&w), rs_tensor_free(&g), rs_tensor_free(&s);
}

static void norms_do_not_depend_on_threads(void **state) {
  (void)state;
  int threads = rs_threads();
  rs_tensor t = random_matrix(RS_F32, 1009, 97, 7);
  double plain = 0, one, three;
  for (int64_t i = 0; i < rs_tensor_count(&t); i++) plain += (double)rs_f32(&t)[i] * (double)rs_f32(&t)[i];
  rs_threads_set(1);
  assert_int_equal(rs_sum_of_squares(&one, &t), RS_OK);
  rs_threads_set(3);
  assert_int_equal(rs_sum_of_squares(&three, &t), RS_OK);
  rs_threads_set(threads);
  assert_true(one == three && fabs(one - plain) < 1e-9 * plain);
  rs_tensor_free(&t);
}

/* A table of one value, stored as bf16, and the gradient that moves it to 'target' with rate 1. */
static void round_many(rs_tensor *w, rs_tensor *codes, float target, uint64_t seed, int64_t step) {
  enum { N = 3000, D = 17 };
  rs_optimizer o = {.kind = RS_SGD, .learning_rate = 1, .gradient_scale = 1, .seed = seed};
  rs_tensor g;
  rs_tensor_zeros(w, RS_BF16, 2, (int64_t[]){N + 1, D});
  rs_tensor_new(codes, RS_I32, 1, (int64_t[]){N});
  rs_tensor_new(&g, RS_F32, 2, (int64_t[]){N, D});
  for (int i = 0; i < N; i++) rs_i32(codes)[i] = i + 1;
  for (int i = 0; i < N * D; i++) rs_f32(&g)[i] = -target;
  assert_int_equal(rs_optimizer_update_rows(&o, step, w, codes, &g, NULL), RS_OK);
  rs_tensor_free(&g);
}

static void bf16_rounds_without_bias(void **state) {
  (void)state;
  /* Between 1 and 1 + 2^-7, a quarter of the way; and at -3 + 0.9 of the way to -3 - 2^-6. */
  static const struct {
    float target, low, high;
  } cases[] = {{1 + 0x1p-9F, 1, 1 + 0x1p-7F}, {-3 - 0.9F * 0x1p-6F, -3 - 0x1p-6F, -3}, {0.75F, 0.75F, 0.75F}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    rs_tensor w, codes;
    round_many(&w, &codes, cases[c].target, 3, 1);
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 17; i < rs_tensor_count(&w); i++, n++) {
      float value = rs_bfloat_to_f32(rs_bf16(&w)[i]);
      assert_true(value == cases[c].low || value == cases[c].high);
      sum += (double)value;
    }
    double gap = (double)cases[c].high - (double)cases[c].low; /* deviation of one: at most half of it */
    assert_true(fabs(sum / (double)n - (double)cases[c].target) <= 4 * gap / 2 / sqrt((double)n));
    for (int64_t k = 0; k < 17; k++) assert_int_equal(rs_bf16(&w)[k], 0); /* row 0 was not touched */
    rs_tensor_free(&w), rs_tensor_free(&codes);
  }
}

static void rounding_follows_seed_and_step_and_no_thread(void **state) {
  (void)state;
  int threads = rs_threads();
  rs_tensor w[4], codes[4];
  for (int i = 0; i < 4; i++) {
    rs_threads_set(i == 1 ? 3 : 1);
    round_many(&w[i], &codes[i], 1 + 0x1p-8F, i == 2 ? 8 : 7, i == 3 ? 2 : 1);
  }
  rs_threads_set(threads);
  assert_memory_equal(rs_bf16(&w[0]), rs_bf16(&w[1]), rs_tensor_bytes(&w[0]));
  assert_memory_not_equal(rs_bf16(&w[0]), rs_bf16(&w[2]), rs_tensor_bytes(&w[0]));
  assert_memory_not_equal(rs_bf16(&w[0]), rs_bf16(&w[3]), rs_tensor_bytes(&w[0]));
  for (int i = 0; i < 4; i++) rs_tensor_free(&w[i]), rs_tensor_free(&codes[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sgd_follows_its_definition),
      cmocka_unit_test(momentum_follows_its_definition),
      cmocka_unit_test(adagrad_follows_duchi_hazan_and_singer),
      cmocka_unit_test(adam_follows_kingma_and_ba),
      cmocka_unit_test(adamw_decays_beside_the_gradient),
      cmocka_unit_test(epsilon_stands_outside_the_root),
      cmocka_unit_test(rows_are_updated_as_if_they_were_alone),
      cmocka_unit_test(row_wise_adagrad_keeps_one_number_a_row),
      cmocka_unit_test(bf16_rounds_without_bias),
      cmocka_unit_test(rounding_follows_seed_and_step_and_no_thread),
      cmocka_unit_test(norms_do_not_depend_on_threads),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
