/* later_test.c - rows that a thread writes: in order, as a whole, when they are waited for, and when they cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sql/later.h"

static char path[64];
static rs_sql *db;
static rs_later *later;

static int set_up(void **state) {
  (void)state;
  strcpy(path, "/tmp/later_test_XXXXXX");
  close(mkstemp(path));
  rs_sql_options options = {.busy_ms = 50};
  assert_int_equal(rs_sql_open(&db, path, &options), RS_OK);
  assert_int_equal(rs_sql_execute(db, "CREATE TABLE t (x INTEGER PRIMARY KEY, y); CREATE TABLE u (n)"), RS_OK);
  assert_int_equal(rs_later_new(&later, db), RS_OK);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  rs_later_free(later);
  rs_sql_free(db);
  later = NULL;
  db = NULL;
  char other[80];
  for (int i = 0; i < 3; i++) {
    snprintf(other, sizeof other, "%s%s", path, (const char *[]){"", "-wal", "-shm"}[i]);
    unlink(other);
  }
  return 0;
}

#define TEXT(s) ((rs_sql_text){s, sizeof s - 1})

/* Put the number x and a text into t, and x once more into u. */
static rs_status add(int64_t x, const char *y) {
  const rs_sql_text texts[] = {TEXT("INSERT INTO t VALUES (?1, ?2)"), TEXT("INSERT INTO u VALUES (?1)")};
  const rs_sql_value values[] = {{.type = RS_SQL_INTEGER, .integer = x},
                                 {.type = RS_SQL_TEXT, .bytes = y, .size = strlen(y)}};
  return rs_later_add(later, texts, 2, values, 2);
}

/* What a query of the owner's connection says. */
static int64_t asked(const char *query) {
  rs_statement *s = NULL;
  bool row;
  assert_int_equal(rs_sql_prepare(&s, db, query, strlen(query)), RS_OK);
  assert_int_equal(rs_sql_step(s, &row), RS_OK);
  assert_true(row);
  int64_t value = rs_sql_column(s, 0).integer;
  rs_sql_done(s);
  return value;
}

static void rows_are_there_in_order_when_they_were_waited_for(void **state) {
  (void)state;
  char text[32];
  for (int i = 0; i < 20000; i++) {
    snprintf(text, sizeof text, "%d", i);
    assert_int_equal(add(i, text), RS_OK);
  }
  rs_later_wait(later);
  assert_int_equal(rs_later_failure(later), RS_OK);
  assert_int_equal(asked("SELECT count(*) FROM t WHERE x = y"), 20000);
  assert_int_equal(asked("SELECT count(*) FROM u WHERE n + 1 = rowid"), 20000);
  assert_int_equal(rs_later_count(later).waiting, 0);
}

static void rows_are_there_soon_without_a_word(void **state) {
  (void)state;
  for (int round = 0; round < 2; round++) {
    assert_int_equal(add(round, "x"), RS_OK);
    int64_t there = 0;
    for (int i = 0; i < 100 && there <= round; i++) {
      usleep(20000);
      there = asked("SELECT count(*) FROM t");
    }
    assert_int_equal(there, round + 1);
  }
}

static void the_end_writes_what_waits(void **state) {
  (void)state;
  for (int i = 0; i < 100; i++) assert_int_equal(add(i, ""), RS_OK);
  rs_later_free(later);
  later = NULL;
  assert_int_equal(asked("SELECT count(*) FROM t"), 100);
}

static void rows_wait_while_another_holds_the_lock(void **state) {
  (void)state;
  assert_int_equal(rs_sql_execute(db, "BEGIN IMMEDIATE"), RS_OK);
  for (int i = 0; i < 10; i++) assert_int_equal(add(i, ""), RS_OK);
  rs_later_wait(later);
  assert_int_equal(rs_later_failure(later), RS_EBUSY);
  assert_non_null(strstr(rs_message(), path));
  assert_int_equal(rs_later_failure(later), RS_OK); /* it was told */
  assert_int_equal(add(10, ""), RS_OK);
  assert_int_equal(rs_later_count(later).waiting, 11);
  assert_int_equal(rs_sql_execute(db, "COMMIT"), RS_OK);
  rs_later_wait(later);
  assert_int_equal(rs_later_failure(later), RS_OK); /* nothing is missing */
  assert_int_equal(asked("SELECT count(*) FROM t"), 11);
  assert_int_equal(rs_later_count(later).lost, 0);
}

static void what_is_refused_is_left_out_and_told(void **state) {
  (void)state;
  assert_int_equal(add(1, "a"), RS_OK);
  assert_int_equal(add(1, "b"), RS_OK);
  assert_int_equal(add(2, "c"), RS_OK);
  const rs_sql_text nonsense = TEXT("INSERT INTO nowhere VALUES (?1)");
  assert_int_equal(rs_later_add(later, &nonsense, 1, &(rs_sql_value){.type = RS_SQL_NULL}, 1), RS_OK);
  rs_later_wait(later);
  assert_int_not_equal(rs_later_failure(later), RS_OK);
  assert_non_null(strstr(rs_message(), "UNIQUE constraint failed: t.x (2 left out)"));
  assert_int_equal(asked("SELECT count(*) FROM u"), 2);
  assert_int_equal(rs_later_count(later).lost, 2);
  assert_int_equal(rs_later_count(later).waiting, 0);
  const rs_sql_value many[17] = {{0}};
  assert_int_equal(rs_later_add(later, &nonsense, 1, many, 17), RS_EARG);
}

static void too_many_rows_are_lost_when_they_cannot_be_written(void **state) {
  (void)state;
  assert_int_equal(rs_sql_execute(db, "BEGIN IMMEDIATE"), RS_OK);
  char *large = malloc(1 << 20);
  memset(large, 'x', (1 << 20) - 1);
  large[(1 << 20) - 1] = 0;
  rs_status status = RS_OK;
  int n = 0;
  while (status == RS_OK && n < 80) status = add(n++, large);
  free(large);
  assert_int_equal(status, RS_EBUSY);
  assert_int_equal(rs_later_count(later).lost, 1);
  assert_in_range(rs_later_count(later).waiting, 32, 66);
  assert_int_equal(rs_sql_execute(db, "COMMIT"), RS_OK);
  rs_later_wait(later);
  assert_int_equal(asked("SELECT count(*) FROM t"), n - 1);
}

static void a_database_without_a_file_has_no_queue(void **state) {
  (void)state;
  rs_sql *memory = NULL;
  rs_later *none = NULL;
  assert_int_equal(rs_sql_open(&memory, ":memory:", &(rs_sql_options){0}), RS_OK);
  assert_int_equal(rs_later_new(&none, memory), RS_EARG);
  assert_null(none);
  rs_sql_free(memory);
}

static pthread_t caught_by;
static volatile sig_atomic_t caught;
static void on_signal(int number) {
  caught = number;
  caught_by = pthread_self();
}

static void signals_are_for_the_owner(void **state) {
  (void)state;
  signal(SIGUSR1, on_signal);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &one, NULL); /* now the other thread would get it, if it took any */
  kill(getpid(), SIGUSR1);
  usleep(20000);
  assert_int_equal(caught, 0);
  pthread_sigmask(SIG_UNBLOCK, &one, NULL);
  assert_int_equal(caught, SIGUSR1);
  assert_true(pthread_equal(caught_by, pthread_self()));
  signal(SIGUSR1, SIG_DFL);
}

#define IN_A_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_FILE(rows_are_there_in_order_when_they_were_waited_for),
      IN_A_FILE(rows_are_there_soon_without_a_word),
      IN_A_FILE(the_end_writes_what_waits),
      IN_A_FILE(rows_wait_while_another_holds_the_lock),
      IN_A_FILE(what_is_refused_is_left_out_and_told),
      IN_A_FILE(too_many_rows_are_lost_when_they_cannot_be_written),
      cmocka_unit_test(a_database_without_a_file_has_no_queue),
      IN_A_FILE(signals_are_for_the_owner),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return failed ? failed : rs_alloc_blocks() != 0;
}
