/* parallel_test.c - loops of the pool: every chunk once, whoever runs it, inside one another and from several threads. */
#include "base/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/testing.h"

enum { MOST = 5000 };

typedef struct visits {
  atomic_int count[MOST];
  int64_t grain;
  atomic_int wrong, busy[8];
} visits;

static void visit(void *context, int64_t begin, int64_t end) {
  visits *v = context;
  int index = rs_thread_index();
  if (index < 0 || index >= rs_threads() || begin % v->grain || end - begin > v->grain) atomic_fetch_add(&v->wrong, 1);
  if (atomic_fetch_add(&v->busy[index % 8], 1)) atomic_fetch_add(&v->wrong, 1); /* two at once with one index */
  for (int64_t i = begin; i < end; i++) atomic_fetch_add(&v->count[i], 1);
  atomic_fetch_sub(&v->busy[index % 8], 1);
}

static void assert_visits_once(int64_t n, int64_t grain) {
  static visits v;
  memset(&v, 0, sizeof v);
  v.grain = grain;
  rs_parallel_for(n, grain, visit, &v);
  for (int64_t i = 0; i < MOST; i++) assert_int_equal(atomic_load(&v.count[i]), i < n);
  assert_int_equal(atomic_load(&v.wrong), 0);
}

static void every_chunk_runs_once_on_any_number_of_threads(void **state) {
  (void)state;
  static const int counts[] = {1, 2, 5, 3, 1, 4};
  int before = rs_threads();
  for (size_t t = 0; t < sizeof counts / sizeof *counts; t++) {
    rs_threads_set(counts[t]);
    for (int64_t n = 0; n < 70; n++) assert_visits_once(n, 1 + n % 9);
    for (int i = 0; i < 200; i++) assert_visits_once(MOST - i, 1 + i);
  }
  rs_threads_set(before);
}

/* Workers that went to sleep are woken. */
static void loops_go_on_after_a_pause(void **state) {
  (void)state;
  int before = rs_threads();
  rs_threads_set(3);
  for (int i = 0; i < 5; i++) {
    assert_visits_once(1000, 10);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  }
  rs_threads_set(before);
}

static void add_inside(void *context, int64_t begin, int64_t end) {
  atomic_fetch_add((atomic_int *)context, (int)(end - begin));
}

static void loop_inside(void *context, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) rs_parallel_for(100, 7, add_inside, context);
}

static void a_loop_inside_a_body_runs_there(void **state) {
  (void)state;
  int before = rs_threads();
  rs_threads_set(4);
  atomic_int sum = 0;
  rs_parallel_for(50, 1, loop_inside, &sum);
  assert_int_equal(atomic_load(&sum), 5000);
  rs_threads_set(before);
}

static void *many_loops(void *context) {
  for (int i = 0; i < 300; i++) rs_parallel_for(100, 3, add_inside, context);
  return NULL;
}

static void *lonely_loops(void *context) {
  rs_parallel_alone();
  return many_loops(context);
}

static void threads_may_loop_at_the_same_time(void **state) {
  (void)state;
  int before = rs_threads();
  rs_threads_set(3);
  atomic_int sums[4] = {0};
  pthread_t others[3];
  for (int i = 0; i < 3; i++) pthread_create(&others[i], NULL, i ? many_loops : lonely_loops, &sums[i]);
  many_loops(&sums[3]);
  for (int i = 0; i < 3; i++) pthread_join(others[i], NULL);
  for (int i = 0; i < 4; i++) assert_int_equal(atomic_load(&sums[i]), 30000);
  rs_threads_set(before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_chunk_runs_once_on_any_number_of_threads),
      cmocka_unit_test(loops_go_on_after_a_pause),
      cmocka_unit_test(a_loop_inside_a_body_runs_there),
      cmocka_unit_test(threads_may_loop_at_the_same_time),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
