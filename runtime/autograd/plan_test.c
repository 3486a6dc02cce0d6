/* plan_test.c - one plan, run by many threads at once; and recording as the core's callers see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "autograd/ops.h"
#include "autograd/plan.h"
#include "base/alloc.h"
#include "base/rng.h"

enum { ROWS = 70, CODES = 11, IN = 8, OUT = 5, THREADS = 4, RUNS = 25 };

static rs_tensor numbers(uint64_t seed, int64_t n, int64_t d) {
  rs_tensor t = {0};
  rs_stream s = rs_stream_at(seed, RS_RNG_USER, 0, 0);
  assert_int_equal(rs_tensor_new(&t, RS_F32, 2, (int64_t[]){n, d}), RS_OK);
  for (int64_t i = 0; i < n * d; i++) rs_f32(&t)[i] = (float)rs_stream_normal(&s, (uint64_t)i);
  return t;
}

static rs_tensor some_codes(void) {
  rs_tensor t = {0};
  assert_int_equal(rs_tensor_new(&t, RS_I32, 1, &(int64_t){ROWS}), RS_OK);
  for (int32_t i = 0; i < ROWS; i++) rs_i32(&t)[i] = i * 7 % CODES;
  return t;
}

/* y = l2_normalize(gelu(table[codes] w^T)): its plan, weights and inputs. */
typedef struct model {
  rs_plan *plan;
  rs_tensors weights, inputs;
} model;

static void add_weight(model *m, rs_node **out, rs_tape *tape, const char *name, rs_tensor value) {
  rs_parameter *p = NULL;
  assert_int_equal(rs_parameter_new(&p, name, &value, true, false), RS_OK);
  assert_int_equal(rs_tape_parameter(out, tape, p), RS_OK);
  assert_int_equal(rs_tensors_add(&m->weights, name, &value), RS_OK);
  rs_parameter_release(p);
  rs_tensor_free(&value);
}

static model make(void) {
  model m = {0};
  rs_tape *tape = NULL;
  rs_node *table, *w, *codes, *y;
  rs_tensor c = some_codes();
  assert_int_equal(rs_tape_new(&tape, &(rs_tape_options){0}), RS_OK);
  add_weight(&m, &table, tape, "table", numbers(1, CODES, IN));
  add_weight(&m, &w, tape, "w", numbers(2, OUT, IN));
  assert_int_equal(rs_tape_input(&codes, tape, "codes", &c, false), RS_OK);
  assert_int_equal(rs_tensors_add(&m.inputs, "codes", &c), RS_OK);
  assert_int_equal(rs_ag_embedding(&y, table, codes), RS_OK);
  assert_int_equal(rs_ag_linear(&y, y, w, NULL, RS_GELU), RS_OK);
  assert_int_equal(rs_ag_l2_normalize(&y, y, 1e-12), RS_OK);
  assert_int_equal(rs_plan_record(&m.plan, 1, &y, (const char *[]){"y"}), RS_OK);
  rs_tape_free(tape);
  rs_tensor_free(&c);
  return m;
}

static void drop(model *m) {
  rs_plan_free(m->plan);
  rs_tensors_free(&m->weights);
  rs_tensors_free(&m->inputs);
}

static rs_status run(const model *m, rs_tensor *y) {
  rs_tensors outputs = {0};
  rs_status status = rs_plan_run(m->plan, &m->weights, &m->inputs, &outputs);
  if (status == RS_OK) rs_tensor_share(y, rs_tensors_find(&outputs, "y"));
  rs_tensors_free(&outputs);
  return status;
}

typedef struct job {
  const model *model;
  const rs_tensor *expected;
  int wrong;
} job;

static void *run_often(void *context) {
  job *j = context;
  for (int i = 0; i < RUNS; i++) {
    rs_tensor y = {0};
    if (run(j->model, &y) != RS_OK || memcmp(rs_f32(&y), rs_f32(j->expected), rs_tensor_bytes(&y)) != 0) j->wrong++;
    rs_tensor_free(&y);
  }
  return NULL;
}

static void many_threads_get_the_same_bits(void **state) {
  (void)state;
  model m = make();
  rs_tensor expected = {0};
  assert_int_equal(run(&m, &expected), RS_OK);
  assert_int_equal(rs_plan_settle(m.plan, &m.weights), RS_OK);
  pthread_t threads[THREADS];
  job jobs[THREADS];
  for (int i = 0; i < THREADS; i++) {
    jobs[i] = (job){&m, &expected, 0};
    assert_int_equal(pthread_create(&threads[i], NULL, run_often, &jobs[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(jobs[i].wrong, 0);
  }
  rs_tensor_free(&expected);
  drop(&m);
}

/* The first row of y alone. */
static void run_first(const rs_plan *plan, const rs_tensors *weights, float *y) {
  rs_tensor code = {0};
  rs_tensors inputs = {0}, outputs = {0};
  assert_int_equal(rs_tensor_new(&code, RS_I32, 1, &(int64_t){1}), RS_OK);
  rs_i32(&code)[0] = 0;
  assert_int_equal(rs_tensors_add(&inputs, "codes", &code), RS_OK);
  assert_int_equal(rs_plan_run(plan, weights, &inputs, &outputs), RS_OK);
  memcpy(y, rs_f32(rs_tensors_find(&outputs, "y")), OUT * sizeof *y);
  rs_tensors_free(&inputs);
  rs_tensors_free(&outputs);
  rs_tensor_free(&code);
}

static void a_settled_plan_needs_no_weights_and_gives_the_same_bits(void **state) {
  (void)state;
  model m = make();
  rs_tensor expected = {0}, y = {0};
  float row[OUT];
  assert_int_equal(run(&m, &expected), RS_OK);
  for (int i = 0; i < 2; i++) { /* again: in place of the former */
    assert_int_equal(rs_plan_settle(m.plan, &m.weights), RS_OK);
    rs_tensors outputs = {0};
    assert_int_equal(rs_plan_run(m.plan, NULL, &m.inputs, &outputs), RS_OK);
    assert_memory_equal(rs_f32(rs_tensors_find(&outputs, "y")), rs_f32(&expected), rs_tensor_bytes(&expected));
    rs_tensors_free(&outputs);
    run_first(m.plan, NULL, row);
    assert_memory_equal(row, rs_f32(&expected), sizeof row);
  }
  rs_tensors_free(&m.weights); /* the plan holds them */
  assert_int_equal(run(&m, &y), RS_OK);
  assert_memory_equal(rs_f32(&y), rs_f32(&expected), rs_tensor_bytes(&expected));
  assert_int_equal(rs_plan_settle(m.plan, &m.weights), RS_EARG);
  assert_string_equal(rs_message(), "plan: weight 'table' is missing");
  rs_tensor_free(&expected);
  rs_tensor_free(&y);
  drop(&m);
}

/* A bag over a sparse matrix of weights: hostile ones are refused where the plan is settled, and the good one runs. */
static void a_sparse_matrix_is_checked_as_a_whole_when_it_is_settled(void **state) {
  (void)state;
  const int64_t good[3] = {0, 1, 3}, falling[3] = {0, 3, 1}, beyond[3] = {0, 1, 5}, late[3] = {1, 1, 3};
  const struct {
    const int64_t *starts;
    int32_t column;
    rs_status status;
  } cases[] = {{good, 1, RS_OK},         {falling, 1, RS_ERANGE}, {beyond, 1, RS_ERANGE},
               {late, 1, RS_ERANGE},     {good, 2, RS_ERANGE},    {good, -1, RS_ERANGE}};
  rs_tensor t[3] = {0}, codes = {0}, offsets = {0};
  assert_int_equal(rs_tensor_zeros(&t[0], RS_I64, 1, &(int64_t){3}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&t[1], RS_I32, 1, &(int64_t){4}), RS_OK); /* an entry is spare */
  assert_int_equal(rs_tensor_zeros(&t[2], RS_F32, 1, &(int64_t){4}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&codes, RS_I32, 1, &(int64_t){1}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&offsets, RS_I64, 1, &(int64_t){2}), RS_OK);
  rs_i64(&offsets)[1] = 1;
  static const char *const names[] = {"m.starts", "m.columns", "m.values"};
  model m = {0};
  rs_tape *tape = NULL;
  rs_node *part[3], *c, *o, *y;
  assert_int_equal(rs_tape_new(&tape, &(rs_tape_options){0}), RS_OK);
  for (int i = 0; i < 3; i++) {
    rs_parameter *p = NULL;
    assert_int_equal(rs_parameter_new(&p, names[i], &t[i], false, false), RS_OK);
    assert_int_equal(rs_tape_parameter(&part[i], tape, p), RS_OK);
    assert_int_equal(rs_tensors_add(&m.weights, names[i], &t[i]), RS_OK);
    rs_parameter_release(p);
  }
  assert_int_equal(rs_tape_input(&c, tape, "codes", &codes, false), RS_OK);
  assert_int_equal(rs_tape_input(&o, tape, "offsets", &offsets, false), RS_OK);
  assert_int_equal(rs_ag_csr_bag(&y, part[0], part[1], part[2], 2, c, o, NULL), RS_OK);
  assert_int_equal(rs_plan_record(&m.plan, 1, &y, (const char *[]){"y"}), RS_OK);
  rs_tape_free(tape);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    memcpy(rs_i64(&t[0]), cases[i].starts, sizeof good);
    rs_i32(&t[1])[2] = cases[i].column;
    assert_int_equal(rs_plan_settle(m.plan, &m.weights), cases[i].status);
  }
  for (int i = 0; i < 3; i++) rs_tensor_free(&t[i]);
  rs_tensor_free(&codes);
  rs_tensor_free(&offsets);
  drop(&m);
}

static void json_gives_the_same_plan(void **state) {
  (void)state;
  model m = make(), again = make();
  rs_buffer json = {0};
  assert_int_equal(rs_plan_to_json(m.plan, &json), RS_OK);
  rs_plan_free(again.plan);
  assert_int_equal(rs_plan_from_json(&again.plan, json.data, json.size), RS_OK);
  rs_tensor a = {0}, b = {0};
  assert_int_equal(run(&m, &a), RS_OK);
  assert_int_equal(run(&again, &b), RS_OK);
  assert_memory_equal(rs_f32(&a), rs_f32(&b), rs_tensor_bytes(&a));
  assert_string_equal(rs_plan_name(again.plan, RS_PLAN_INPUTS, 0), "codes");
  rs_tensor_free(&a);
  rs_tensor_free(&b);
  rs_buffer_free(&json);
  drop(&m);
  drop(&again);
}

static rs_status pass(rs_node *self) { return rs_tensor_share(&self->value, &self->input[0]->value), RS_OK; }

static void foreign_operations_join_the_table(void **state) {
  (void)state;
  static const rs_op op = {.name = "test_pass", .min_inputs = 1, .max_inputs = 1, .forward = pass};
  static const rs_op other = {.name = "test_pass", .min_inputs = 1, .max_inputs = 1, .forward = pass};
  static const rs_op taken = {.name = "linear", .min_inputs = 1, .max_inputs = 1, .forward = pass};
  assert_null(rs_op_find("test_pass"));
  assert_int_equal(rs_op_register(&op), RS_OK);
  assert_int_equal(rs_op_register(&op), RS_OK);
  assert_ptr_equal(rs_op_find("test_pass"), &op);
  assert_int_equal(rs_op_register(&other), RS_EARG);
  assert_int_equal(rs_op_register(&taken), RS_EARG);
}

static int no_block_lives(void **state) {
  (void)state;
  return rs_alloc_blocks() != 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_threads_get_the_same_bits),
      cmocka_unit_test(a_settled_plan_needs_no_weights_and_gives_the_same_bits),
      cmocka_unit_test(a_sparse_matrix_is_checked_as_a_whole_when_it_is_settled),
      cmocka_unit_test(json_gives_the_same_plan),
      cmocka_unit_test(foreign_operations_join_the_table),
  };
  return cmocka_run_group_tests(tests, NULL, no_block_lives);
}
