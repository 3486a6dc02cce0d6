/* sql_test.c - statements, parameters, the kept ones, and files that are no databases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sql/sql.h"

static rs_sql *opened(void) {
  rs_sql *db = NULL;
  assert_int_equal(rs_sql_open(&db, ":memory:", &(rs_sql_options){.busy_ms = 10}), RS_OK);
  return db;
}

static rs_statement *prepared(rs_sql *db, const char *text) {
  rs_statement *s = NULL;
  assert_int_equal(rs_sql_prepare(&s, db, text, strlen(text)), RS_OK);
  return s;
}

static void values_come_back_as_they_went(void **state) {
  (void)state;
  rs_sql *db = opened();
  rs_statement *s = prepared(db, "SELECT ?, ?, ?, ?, :none");
  const rs_sql_value values[] = {{.type = RS_SQL_INTEGER, .integer = INT64_MIN},
                                 {.type = RS_SQL_REAL, .real = 0.1},
                                 {.type = RS_SQL_TEXT, .bytes = "a\0b", .size = 3},
                                 {.type = RS_SQL_BLOB, .bytes = "\xff", .size = 1}};
  for (int i = 0; i < 4; i++) assert_int_equal(rs_sql_bind(s, i, &values[i]), RS_OK);
  assert_int_equal(rs_sql_parameters(s), 5);
  assert_int_equal(rs_sql_parameter(s, "none"), 4);
  assert_int_equal(rs_sql_parameter(s, "other"), -1);
  bool row = false;
  assert_int_equal(rs_sql_step(s, &row), RS_OK);
  assert_true(row);
  assert_true(rs_sql_column(s, 0).integer == INT64_MIN && rs_sql_column(s, 1).real == 0.1);
  assert_memory_equal(rs_sql_column(s, 2).bytes, "a\0b", 3);
  assert_int_equal(rs_sql_column(s, 3).type, RS_SQL_BLOB);
  assert_int_equal(rs_sql_column(s, 4).type, RS_SQL_NULL);
  assert_int_equal(rs_sql_step(s, &row), RS_OK);
  assert_false(row);
  rs_sql_free(db);
}

static void statements_are_kept_by_their_text(void **state) {
  (void)state;
  rs_sql *db = opened();
  rs_statement *s = prepared(db, "SELECT 1"), *other = prepared(db, "SELECT 1");
  assert_true(s != other); /* the first is at work */
  rs_sql_done(s);
  assert_true(prepared(db, "SELECT 1") == s);
  rs_sql_done(s);
  char text[32];
  int64_t blocks = 0;
  for (int i = 0; i < 500; i++) {
    snprintf(text, sizeof text, "SELECT %d", i);
    rs_sql_done(prepared(db, text));
    if (i == 100) blocks = rs_alloc_blocks();
  }
  assert_int_equal(rs_alloc_blocks(), blocks);
  rs_sql_free(db);
}

static void refusals_have_their_kind(void **state) {
  (void)state;
  rs_sql *db = opened();
  rs_statement *s = NULL;
  bool row;
  assert_int_equal(rs_sql_prepare(&s, db, "SELEC 1", 7), RS_EARG);
  assert_non_null(strstr(rs_message(), "syntax error"));
  assert_int_equal(rs_sql_prepare(&s, db, "SELECT 1; SELECT 2", 18), RS_EARG);
  assert_int_equal(rs_sql_prepare(&s, db, "SELECT\0 1", 9), RS_EARG);
  assert_int_equal(rs_sql_prepare(&s, db, " ; ", 3), RS_EARG);
  assert_int_equal(rs_sql_execute(db, "CREATE TABLE t (x INTEGER PRIMARY KEY, y REFERENCES t(x)); INSERT INTO t VALUES (1, 1)"),
                   RS_OK);
  s = prepared(db, "INSERT INTO t VALUES (1, 1)");
  assert_int_equal(rs_sql_step(s, &row), RS_ECONSTRAINT);
  rs_sql_done(s);
  s = prepared(db, "INSERT INTO t VALUES (2, 9)");
  assert_int_equal(rs_sql_step(s, &row), RS_ECONSTRAINT);
  rs_sql_done(s);
  rs_sql_free(db);
}

static void files_that_cannot_be_opened_are_named(void **state) {
  (void)state;
  char path[] = "/tmp/sql_test_XXXXXX";
  int file = mkstemp(path);
  assert_true(write(file, "no database, but long enough to be looked at; ", 46) == 46);
  for (int i = 0; i < 100; i++) assert_true(write(file, "0123456789", 10) == 10);
  close(file);
  rs_sql *db = NULL;
  rs_sql_options options = {.busy_ms = 10};
  assert_int_equal(rs_sql_open(&db, path, &options), RS_EFORMAT);
  assert_non_null(strstr(rs_message(), path));
  unlink(path);
  options.read_only = true;
  assert_int_equal(rs_sql_open(&db, path, &options), RS_EIO);
  assert_null(db);
}

static void one_writer_makes_the_other_wait(void **state) {
  (void)state;
  char path[] = "/tmp/sql_test_XXXXXX", other[64];
  close(mkstemp(path));
  rs_sql *a = NULL, *b = NULL;
  rs_sql_options options = {.busy_ms = 10};
  assert_int_equal(rs_sql_open(&a, path, &options), RS_OK);
  assert_int_equal(rs_sql_open(&b, path, &options), RS_OK);
  assert_int_equal(rs_sql_execute(a, "CREATE TABLE t (x); BEGIN IMMEDIATE"), RS_OK);
  assert_true(rs_sql_in_transaction(a));
  assert_int_equal(rs_sql_execute(b, "BEGIN IMMEDIATE"), RS_EBUSY);
  assert_int_equal(rs_sql_execute(a, "INSERT INTO t VALUES (7); COMMIT"), RS_OK);
  assert_int_equal(rs_sql_last_id(a), 1);
  assert_int_equal(rs_sql_changes(a), 1);
  assert_int_equal(rs_sql_execute(b, "INSERT INTO t VALUES (8)"), RS_OK);
  rs_sql_free(a);
  rs_sql_free(b);
  unlink(path);
  for (int i = 0; i < 2; i++) {
    snprintf(other, sizeof other, "%s-%s", path, i ? "wal" : "shm");
    unlink(other);
  }
}

static int mode_of(const char *path, const char *ending) {
  char full[80];
  struct stat about;
  snprintf(full, sizeof full, "%s%s", path, ending);
  return stat(full, &about) == 0 ? (int)(about.st_mode & 0777) : -1;
}

static void a_private_file_is_its_owners_alone(void **state) {
  (void)state;
  char folder[] = "/tmp/sql_test.XXXXXX", path[64], command[80];
  rs_sql *db = NULL;
  mode_t before = umask(0);
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/own.db", folder);
  for (int i = 0; i < 2; i++) { /* the second time it is there, of a mode that somebody chose */
    assert_int_equal(rs_sql_open(&db, path, &(rs_sql_options){.private = true}), RS_OK);
    assert_int_equal(rs_sql_execute(db, i ? "INSERT INTO t VALUES (1)" : "CREATE TABLE t (id)"), RS_OK);
    assert_int_equal(mode_of(path, ""), i ? 0640 : 0600);
    assert_int_equal(mode_of(path, "-wal"), i ? 0640 : 0600);
    assert_int_equal(mode_of(path, "-shm"), i ? 0640 : 0600);
    rs_sql_free(db);
    assert_int_equal(chmod(path, 0640), 0);
  }
  snprintf(path, sizeof path, "%s/no/own.db", folder);
  assert_int_equal(rs_sql_open(&db, path, &(rs_sql_options){.private = true}), RS_EIO);
  umask(before);
  snprintf(command, sizeof command, "rm -r '%s'", folder);
  assert_int_equal(system(command), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_come_back_as_they_went),
      cmocka_unit_test(statements_are_kept_by_their_text),
      cmocka_unit_test(refusals_have_their_kind),
      cmocka_unit_test(files_that_cannot_be_opened_are_named),
      cmocka_unit_test(one_writer_makes_the_other_wait),
      cmocka_unit_test(a_private_file_is_its_owners_alone),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return failed ? failed : rs_alloc_blocks() != 0;
}
