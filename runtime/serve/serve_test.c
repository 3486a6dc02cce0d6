/* serve_test.c - a bundle made by hand answers as sums in float64 say, and with the same bits from many threads. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "serve/model.h"
#include "serve/testing.h"

enum { USERS = 40, ITEMS = 300, WIDTH = 8, LIKENESS = 5, EVENTS = 7, WINDOW = 3, K = 12, KINDS = 7 };

static const char features[] = RS_TEST_FEATURES("drop"), plan[] = RS_TEST_USER_PLAN("41", "301");

static char path[64];
static float user_table[(USERS + 1) * WIDTH], item_table[(ITEMS + 1) * WIDTH];
static int32_t events[USERS * EVENTS];

static void add_history(rs_tensors *list) {
  int64_t *starts = rs_test_add(list, "starts", RS_I64, 1, (int64_t[]){USERS + 1}), total = USERS * EVENTS;
  int32_t *items = rs_test_add(list, "items", RS_I32, 1, &total);
  int64_t *times = rs_test_add(list, "times", RS_I64, 1, &total);
  int64_t *orders = rs_test_add(list, "orders", RS_I64, 1, &total);
  for (int64_t i = 0; i < total; i++) {
    items[i] = events[i];
    times[i] = 1000 + i % EVENTS;
    orders[i] = i;
  }
  for (int64_t u = 0; u <= USERS; u++) starts[u] = u * EVENTS;
}

enum { TABLES, WEIGHTS, ITEM, ITEM_FEATURES, USER, USER_FEATURES, HISTORY, ATTRIBUTES, LISTS };

static void fill_lists(rs_tensors *l) {
  rs_test_add_ids(&l[TABLES], "table.user.id.", 'u', 7, USERS);
  rs_test_add_ids(&l[TABLES], "table.item.id.", 'i', 7, ITEMS);
  memcpy(rs_test_add(&l[WEIGHTS], "users", RS_F32, 2, (int64_t[]){USERS + 1, WIDTH}), user_table, sizeof user_table);
  memcpy(rs_test_add(&l[WEIGHTS], "items", RS_F32, 2, (int64_t[]){ITEMS + 1, WIDTH}), item_table, sizeof item_table);
  rs_test_add_ids(&l[ITEM], "ids.", 'i', 7, ITEMS);
  memcpy(rs_test_add(&l[ITEM], "vectors", RS_F32, 2, (int64_t[]){ITEMS, WIDTH}), item_table + WIDTH,
         ITEMS * WIDTH * sizeof *item_table);
  rs_test_add_codes(&l[ITEM_FEATURES], "item.id", ITEMS);
  rs_test_add_ids(&l[USER], "ids.", 'u', 7, USERS);
  rs_test_add_codes(&l[USER_FEATURES], "user.id", USERS);
  add_history(&l[HISTORY]);
  rs_test_add_ids(&l[ATTRIBUTES], "kind.", 'k', 7, KINDS);
  int32_t *kinds = rs_test_add(&l[ATTRIBUTES], "kind.values", RS_I32, 1, (int64_t[]){ITEMS});
  double *prices = rs_test_add(&l[ATTRIBUTES], "price.values", RS_F64, 1, (int64_t[]){ITEMS});
  for (int i = 0; i < ITEMS; i++) kinds[i] = 1 + i % KINDS, prices[i] = i;
}

static int publish(void **state) {
  (void)state;
  static const char manifest[] = "{\"serving\": {\"as_of\": 5000}, \"model\": {\"likeness\": 5}}";
  rs_stream s = rs_stream_at(3, RS_RNG_INIT, 0, 0);
  for (int i = 0; i < (USERS + 1) * WIDTH; i++) user_table[i] = (float)rs_stream_normal(&s, (uint64_t)i);
  for (int i = 0; i < (ITEMS + 1) * WIDTH; i++) item_table[i] = (float)rs_stream_normal(&s, 100000 + (uint64_t)i);
  for (int i = 0; i < USERS * EVENTS; i++) events[i] = (int32_t)rs_stream_below(&s, 200000 + (uint64_t)i, ITEMS);
  rs_tensors lists[LISTS] = {0};
  fill_lists(lists);
  rs_bundle_source sources[] = {{.name = "features.json", .data = features, .size = strlen(features)},
                                {.name = "vocabularies.safetensors", .tensors = &lists[TABLES]},
                                {.name = "plan.user.json", .data = plan, .size = strlen(plan)},
                                {.name = "weights.safetensors", .tensors = &lists[WEIGHTS]},
                                {.name = "items.safetensors", .tensors = &lists[ITEM]},
                                {.name = "items.features.safetensors", .tensors = &lists[ITEM_FEATURES]},
                                {.name = "users.safetensors", .tensors = &lists[USER]},
                                {.name = "users.features.safetensors", .tensors = &lists[USER_FEATURES]},
                                {.name = "history.safetensors", .tensors = &lists[HISTORY]},
                                {.name = "items.attributes.safetensors", .tensors = &lists[ATTRIBUTES]}};
  return rs_test_file(path, "serve_test") || rs_test_publish(path, manifest, sources, 10, lists, LISTS) ? -1 : 0;
}

static int remove_bundle(void **state) {
  (void)state;
  return unlink(path);
}

static rs_server_model *open_model(void) {
  rs_server_model *m = NULL;
  rs_status status = rs_server_model_open(&m, path);
  if (status != RS_OK) fail_msg("%s", rs_message());
  return m;
}

/* The score of an item for a user, in float64: his own row and the mean of his last three items. */
static double score_of(int user, int item) {
  double sum = 0;
  for (int d = 0; d < WIDTH; d++) {
    double pooled = 0;
    for (int e = EVENTS - WINDOW; e < EVENTS; e++) pooled += item_table[(events[user * EVENTS + e] + 1) * WIDTH + d];
    sum += (user_table[(user + 1) * WIDTH + d] + pooled / WINDOW) * item_table[(item + 1) * WIDTH + d];
  }
  return sum;
}

static bool has_seen(int user, int64_t item) {
  for (int e = 0; e < EVENTS; e++)
    if (events[user * EVENTS + e] == item) return true;
  return false;
}

static rs_serve_scratch *new_scratch(void) {
  rs_serve_scratch *scratch = NULL;
  assert_int_equal(rs_serve_scratch_new(&scratch), RS_OK);
  return scratch;
}

static rs_request request_of(char id[16], int user) {
  snprintf(id, 16, "u%07d", user);
  return (rs_request){.user = {id, 8}, .now = RS_TIME_MISSING, .k = K, .exclude_seen = true};
}

static void answers_are_the_best_unseen_items(void **state) {
  (void)state;
  int64_t blocks = rs_alloc_blocks();
  rs_server_model *m = open_model();
  rs_serve_scratch *scratch = new_scratch();
  rs_answer answer = {0};
  for (int user = 0; user < USERS; user++) {
    char id[16];
    rs_request request = request_of(id, user);
    assert_int_equal(rs_recommend(m, scratch, &request, &answer), RS_OK);
    assert_true(answer.known);
    assert_int_equal(answer.n, K);
    assert_int_equal(answer.rule, 0);
    double least = INFINITY;
    for (int i = 0; i < K; i++) {
      int64_t row = answer.items[i].row;
      double expected = score_of(user, (int)row);
      assert_false(has_seen(user, row));
      assert_true(fabs(expected - (double)answer.items[i].score) < 1e-4);
      assert_true(expected < least + 1e-4);
      least = expected;
    }
    int better = 0;
    for (int item = 0; item < ITEMS; item++) better += !has_seen(user, item) && score_of(user, item) > least + 1e-4;
    assert_true(better < K);
  }
  rs_answer_free(&answer);
  rs_serve_scratch_free(scratch);
  rs_server_model_free(m);
  assert_int_equal(rs_alloc_blocks(), blocks);
}

/* What a thread compares with. */
typedef struct asking {
  const rs_server_model *model;
  const rs_tensor *rows, *scores; /* [USERS, K] of all users together */
  int first;
  int wrong;
} asking;

static bool is_row(const rs_answer *answer, const asking *a, int user) {
  for (int i = 0; i < K; i++)
    if (answer->n != K || answer->items[i].row != rs_i64(a->rows)[user * K + i] ||
        memcmp(&answer->items[i].score, rs_f32(a->scores) + user * K + i, sizeof(float)) != 0)
      return false;
  return true;
}

static void *ask_all(void *context) {
  asking *a = context;
  rs_answer answer = {0};
  rs_serve_scratch *scratch = NULL;
  a->wrong += rs_serve_scratch_new(&scratch) != RS_OK;
  for (int i = 0; i < USERS; i++) {
    char id[16];
    int user = (a->first + i) % USERS;
    rs_request request = request_of(id, user);
    if (rs_recommend(a->model, scratch, &request, &answer) != RS_OK || !is_row(&answer, a, user)) a->wrong++;
  }
  rs_answer_free(&answer);
  rs_serve_scratch_free(scratch);
  return NULL;
}

static void many_threads_get_the_bits_of_the_batch(void **state) {
  (void)state;
  enum { THREADS = 4 };
  pthread_t threads[THREADS];
  asking asks[THREADS];
  rs_tensor rows = {0}, scores = {0};
  rs_server_model *m = open_model();
  assert_int_equal(rs_recommend_users(m, 0, USERS, RS_TIME_MISSING, K, true, &rows, &scores), RS_OK);
  for (int t = 0; t < THREADS; t++) {
    asks[t] = (asking){m, &rows, &scores, 7 * t, 0};
    assert_int_equal(pthread_create(&threads[t], NULL, ask_all, &asks[t]), 0);
  }
  for (int t = 0; t < THREADS; t++) {
    pthread_join(threads[t], NULL);
    assert_int_equal(asks[t].wrong, 0);
  }
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
  rs_server_model_free(m);
}

static void a_stranger_is_scored_by_the_unknown_row(void **state) {
  (void)state;
  rs_server_model *m = open_model();
  rs_answer answer = {0};
  rs_serve_scratch *scratch = new_scratch();
  rs_request request = {.user = rs_span_of("nobody"), .now = RS_TIME_MISSING, .k = ITEMS + 5};
  assert_int_equal(rs_recommend(m, scratch, &request, &answer), RS_OK);
  assert_false(answer.known);
  assert_int_equal(answer.n, ITEMS);
  assert_int_equal(answer.missing, RS_FEW_CANDIDATES);
  for (int i = 0; i < ITEMS; i++) {
    double sum = 0;
    for (int d = 0; d < WIDTH; d++)
      sum += (double)user_table[d] * (double)item_table[(answer.items[i].row + 1) * WIDTH + d];
    assert_true(fabs(sum - (double)answer.items[i].score) < 1e-4);
  }
  rs_answer_free(&answer);
  rs_serve_scratch_free(scratch);
  rs_server_model_free(m);
}

/* The cosine of what likeness goes by. */
static double cosine(int64_t a, int64_t b) {
  const float *x = item_table + (a + 1) * WIDTH, *y = item_table + (b + 1) * WIDTH;
  double dot = 0, xx = 0, yy = 0;
  for (int d = 0; d < LIKENESS; d++) {
    dot += (double)x[d] * (double)y[d];
    xx += (double)x[d] * (double)x[d];
    yy += (double)y[d] * (double)y[d];
  }
  return dot / sqrt(xx * yy);
}

static void likeness_goes_by_the_first_dimensions(void **state) {
  (void)state;
  rs_server_model *m = open_model();
  rs_answer answer = {0};
  rs_serve_scratch *scratch = new_scratch();
  assert_int_equal(rs_server_model_facts(m).likeness, LIKENESS);
  for (int i = 0; i < ITEMS; i += 7) {
    char id[16];
    snprintf(id, sizeof id, "i%07d", i);
    rs_span item = rs_span_of(id);
    rs_request request = {.items = &item, .n_items = 1, .now = RS_TIME_MISSING, .k = ITEMS};
    assert_int_equal(rs_similar(m, scratch, &request, &answer), RS_OK);
    assert_int_equal(answer.n, ITEMS - 1);
    for (int64_t n = 0; n < answer.n; n++) {
      assert_true(fabs(cosine(i, answer.items[n].row) - (double)answer.items[n].score) < 1e-5);
      if (n > 0) assert_true(answer.items[n].score <= answer.items[n - 1].score);
    }
  }
  int likes = 0;
  for (int user = 0; user < USERS; user++) {
    char id[16];
    rs_request request = request_of(id, user);
    assert_int_equal(rs_recommend(m, scratch, &request, &answer), RS_OK);
    for (int64_t n = 0; n < answer.n; n++)
      for (int r = 0; r < answer.items[n].n_reasons; r++) {
        const rs_reason *reason = &answer.items[n].reasons[r];
        if (reason->kind != RS_LIKE) continue;
        double best = 0;
        for (int e = 0; e < EVENTS; e++) best = fmax(best, cosine(answer.items[n].row, events[user * EVENTS + e]));
        assert_true(fabs(best - (double)reason->value) < 1e-5);
        likes++;
      }
  }
  assert_true(likes > USERS);
  rs_answer_free(&answer);
  rs_serve_scratch_free(scratch);
  rs_server_model_free(m);
}

/* A request of its own kind for each number: filters, caps, diversity, exclusions; 'texts' is room for what it names. */
typedef struct odd_request {
  char id[16], filter[128], excluded[16];
  rs_span exclude;
  rs_cap cap;
  rs_request request;
} odd_request;

static void make_odd(odd_request *o, int i) {
  o->request = request_of(o->id, i % USERS);
  snprintf(o->filter, sizeof o->filter, "{\"kind\": [\"k%07d\", \"k%07d\"], \"not\": {\"price\": {\"lt\": %d}}}", i % KINDS,
           i / 3 % KINDS, i % 100);
  snprintf(o->excluded, sizeof o->excluded, "i%07d", i % ITEMS);
  o->exclude = rs_span_of(o->excluded);
  o->cap = (rs_cap){rs_span_of("kind"), 1 + i % 4};
  if (i % 2) o->request.filter = rs_span_of(o->filter);
  if (i % 3 == 0) o->request.exclude = &o->exclude, o->request.n_exclude = 1;
  if (i % 5 == 0) o->request.caps = &o->cap, o->request.n_caps = 1;
  if (i % 7 == 0) o->request.lambda = 0.4;
}

enum { ODD = 420 };

typedef struct odd_asking {
  const rs_server_model *model;
  const rs_answer *expected; /* [ODD] */
  int first, wrong;
} odd_asking;

static bool same_items(const rs_answer *a, const rs_answer *b) {
  if (a->n != b->n || a->seen != b->seen || a->rule != b->rule || a->missing != b->missing) return false;
  for (int64_t i = 0; i < a->n; i++)
    if (a->items[i].row != b->items[i].row || a->items[i].score != b->items[i].score ||
        a->items[i].n_reasons != b->items[i].n_reasons)
      return false;
  return true;
}

static void *ask_odd(void *context) {
  odd_asking *a = context;
  odd_request o;
  rs_answer answer = {0};
  rs_serve_scratch *scratch = NULL;
  a->wrong += rs_serve_scratch_new(&scratch) != RS_OK;
  for (int i = 0; i < ODD; i++) {
    int at = (a->first + i) % ODD;
    make_odd(&o, at);
    if (rs_recommend(a->model, scratch, &o.request, &answer) != RS_OK || !same_items(&answer, &a->expected[at]))
      a->wrong++;
  }
  rs_answer_free(&answer);
  rs_serve_scratch_free(scratch);
  return NULL;
}

static void rules_hold_in_many_threads_and_memory_is_flat(void **state) {
  (void)state;
  enum { THREADS = 4 };
  static rs_answer expected[ODD];
  pthread_t threads[THREADS];
  odd_asking asks[THREADS];
  odd_request o;
  rs_server_model *m = open_model();
  rs_serve_scratch *scratch = new_scratch();
  for (int i = 0; i < ODD; i++) {
    make_odd(&o, i);
    if (rs_recommend(m, scratch, &o.request, &expected[i]) != RS_OK) fail_msg("%s", rs_message());
    for (int64_t n = 0; n < expected[i].n; n++) {
      int64_t row = expected[i].items[n].row;
      assert_false(has_seen(i % USERS, row));
      if (i % 2) assert_true((row % KINDS == i % KINDS || row % KINDS == i / 3 % KINDS) && row >= i % 100);
      if (i % 3 == 0) assert_true(row != i % ITEMS);
    }
  }
  for (int t = 0; t < THREADS; t++) {
    asks[t] = (odd_asking){m, expected, 31 * t, 0};
    assert_int_equal(pthread_create(&threads[t], NULL, ask_odd, &asks[t]), 0);
  }
  for (int t = 0; t < THREADS; t++) {
    pthread_join(threads[t], NULL);
    assert_int_equal(asks[t].wrong, 0);
  }
  rs_answer answer = {0};
  int64_t bytes = 0;
  for (int round = 0; round < 6; round++) {
    for (int i = 0; i < ODD; i++) {
      make_odd(&o, i);
      assert_int_equal(rs_recommend(m, scratch, &o.request, &answer), RS_OK);
    }
    if (round == 2) bytes = rs_alloc_bytes();
  }
  assert_int_equal(rs_alloc_bytes(), bytes);
  rs_answer_free(&answer);
  for (int i = 0; i < ODD; i++) rs_answer_free(&expected[i]);
  rs_serve_scratch_free(scratch);
  rs_server_model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(answers_are_the_best_unseen_items),
                                     cmocka_unit_test(many_threads_get_the_bits_of_the_batch),
                                     cmocka_unit_test(a_stranger_is_scored_by_the_unknown_row),
                                     cmocka_unit_test(likeness_goes_by_the_first_dimensions),
                                     cmocka_unit_test(rules_hold_in_many_threads_and_memory_is_flat)};
  return cmocka_run_group_tests(tests, publish, remove_bundle);
}
