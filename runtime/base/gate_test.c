/* gate_test.c - readers never see a writer's work half done, and a writer gets in. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/gate.h"

enum { READERS = 4, WRITES = 2000 };

static rs_gate *gate;
static int64_t left, right; /* equal but while the gate is closed; plain, so that ThreadSanitizer looks on */
static atomic_bool over;

typedef struct reader {
  int number;
  int64_t reads, torn;
} reader;

static void *read_on(void *context) {
  reader *r = context;
  while (!over) {
    rs_gate_enter(gate, r->number);
    r->torn += left != right;
    r->reads++;
    rs_gate_leave(gate, r->number);
  }
  return NULL;
}

static void readers_see_whole_writes(void **state) {
  (void)state;
  pthread_t threads[READERS];
  reader readers[READERS];
  assert_int_equal(rs_gate_new(&gate, READERS), RS_OK);
  for (int i = 0; i < READERS; i++) {
    readers[i] = (reader){.number = i};
    assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
  }
  for (int i = 0; i < WRITES; i++) {
    rs_gate_close(gate);
    left++;
    right++;
    rs_gate_open(gate);
  }
  over = true;
  for (int i = 0; i < READERS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(readers[i].torn, 0);
  }
  assert_int_equal(left, WRITES);
  rs_gate_free(gate);
}

typedef struct record {
  int64_t left, right;
} record;

static _Atomic(record *) shown;

static void *look_on(void *context) {
  reader *r = context;
  while (!over) {
    rs_gate_enter(gate, r->number);
    const record *seen = shown;
    r->torn += seen->left != seen->right;
    r->reads++;
    rs_gate_leave(gate, r->number);
  }
  return NULL;
}

static void what_nobody_uses_can_be_freed(void **state) {
  (void)state;
  pthread_t threads[READERS];
  reader readers[READERS];
  over = false;
  shown = rs_alloc_zero(sizeof(record));
  assert_int_equal(rs_gate_new(&gate, READERS), RS_OK);
  for (int i = 0; i < READERS; i++) {
    readers[i] = (reader){.number = i};
    assert_int_equal(pthread_create(&threads[i], NULL, look_on, &readers[i]), 0);
  }
  for (int i = 0; i < WRITES; i++) {
    record *next = rs_alloc_zero(sizeof *next), *before = shown;
    next->left = next->right = i;
    shown = next;
    rs_gate_pass(gate);
    before->left = -1; /* seen by a reader it would be torn */
    rs_free(before);
  }
  over = true;
  for (int i = 0; i < READERS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(readers[i].torn, 0);
  }
  rs_free(shown);
  rs_gate_free(gate);
}

static void memory_is_refused_and_given_back(void **state) {
  (void)state;
  int64_t blocks = rs_alloc_blocks();
  rs_gate *refused;
  rs_alloc_fault(0);
  assert_int_equal(rs_gate_new(&refused, 2), RS_ENOMEM);
  rs_alloc_fault(-1);
  assert_null(refused);
  assert_int_equal(rs_gate_new(&refused, 2), RS_OK);
  rs_gate_free(refused);
  rs_gate_free(NULL);
  assert_int_equal(rs_alloc_blocks(), blocks);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(readers_see_whole_writes),
                                     cmocka_unit_test(what_nobody_uses_can_be_freed),
                                     cmocka_unit_test(memory_is_refused_and_given_back)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
