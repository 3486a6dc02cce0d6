/* writer_test.c - a thread that writes: as a whole or not at all, with the reason, and not beyond its stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sql/writer.h"

static int64_t rows(const rs_sql_writer *w) {
  static const char text[] = "SELECT count(*) FROM t";
  rs_statement *s = NULL;
  bool row = false;
  assert_int_equal(rs_sql_prepare(&s, w->db, text, strlen(text)), RS_OK);
  assert_int_equal(rs_sql_step(s, &row), RS_OK);
  int64_t n = rs_sql_column(s, 0).integer;
  rs_sql_done(s);
  return n;
}

static rs_status write_two(void *fails, rs_sql *db) {
  rs_status status = rs_sql_execute(db, "INSERT INTO t VALUES (1)");
  if (status == RS_OK) status = rs_sql_execute(db, "INSERT INTO t VALUES (2)");
  return *(bool *)fails && status == RS_OK ? rs_fail(RS_EARG, "the second makes no sense") : status;
}

static void what_fails_is_undone_with_its_message(void **state) {
  (void)state;
  rs_sql_writer w;
  bool fails = true;
  assert_int_equal(rs_sql_writer_open(&w, ":memory:", &(rs_sql_options){0}), RS_OK);
  assert_int_equal(rs_sql_execute(w.db, "CREATE TABLE t (id INTEGER PRIMARY KEY)"), RS_OK);
  assert_int_equal(rs_sql_writer_carry(&w, write_two, &fails), RS_EARG);
  assert_string_equal(rs_message(), "the second makes no sense");
  assert_int_equal(rows(&w), 0);
  fails = false;
  assert_int_equal(rs_sql_writer_carry(&w, write_two, &fails), RS_OK);
  assert_int_equal(rows(&w), 2);
  assert_int_equal(rs_sql_writer_carry(&w, write_two, &fails), RS_ECONSTRAINT);
  assert_non_null(strstr(rs_message(), "UNIQUE"));
  assert_false(rs_sql_in_transaction(w.db));
  rs_sql_writer_free(&w);
}

typedef struct counting {
  rs_sql_writer writer;
  int queued, taken;
  bool masked;
} counting;

static void *count(void *context) {
  counting *c = context;
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  pthread_mutex_lock(&c->writer.lock);
  c->masked = sigismember(&mask, SIGTERM);
  while (!c->writer.stop || c->queued > 0) {
    while (c->queued == 0 && !c->writer.stop) pthread_cond_wait(&c->writer.work, &c->writer.lock);
    c->taken += c->queued;
    c->queued = 0;
    pthread_cond_broadcast(&c->writer.done);
  }
  pthread_mutex_unlock(&c->writer.lock);
  return NULL;
}

static void the_thread_works_until_it_is_stopped(void **state) {
  (void)state;
  counting c = {.queued = 0};
  assert_int_equal(rs_sql_writer_open(&c.writer, ":memory:", &(rs_sql_options){0}), RS_OK);
  assert_int_equal(rs_sql_writer_start(&c.writer, count, &c), RS_OK);
  pthread_mutex_lock(&c.writer.lock);
  for (int i = 1; i <= 100; i++) {
    struct timespec due = rs_sql_writer_due(60000);
    c.queued++;
    pthread_cond_signal(&c.writer.work);
    while (c.taken < i) assert_int_equal(pthread_cond_timedwait(&c.writer.done, &c.writer.lock, &due), 0);
  }
  c.queued = 7; /* and nobody waits */
  pthread_mutex_unlock(&c.writer.lock);
  rs_sql_writer_stop(&c.writer);
  assert_int_equal(c.taken, 107);
  assert_true(c.masked);
  rs_sql_writer_stop(&c.writer);
  rs_sql_writer_free(&c.writer);
}

static void a_file_that_cannot_be_opened_leaves_nothing_behind(void **state) {
  (void)state;
  rs_sql_writer w;
  assert_int_equal(rs_sql_writer_open(&w, "/nowhere/at/all.db", &(rs_sql_options){0}), RS_EIO);
  rs_sql_writer_free(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_fails_is_undone_with_its_message),
      cmocka_unit_test(the_thread_works_until_it_is_stopped),
      cmocka_unit_test(a_file_that_cannot_be_opened_leaves_nothing_behind),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return failed ? failed : rs_alloc_blocks() != 0;
}
