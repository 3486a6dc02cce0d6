/* models_test.c - which paths are refused, and what is told of models that are not there. Models that answer are loaded
 * in spec/sagemaker_serve_spec.lua. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "serve/models.h"

static char root[64];

static const char *path(const char *name) {
  static char text[256];
  snprintf(text, sizeof text, "%s/%s", root, name);
  return text;
}

static void put_file(const char *name) {
  FILE *f = fopen(path(name), "w");
  assert_non_null(f);
  fputs("no bundle", f);
  fclose(f);
}

static int make(void **state) {
  (void)state;
  strcpy(root, "/tmp/recsys-models-XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

static int clear(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r '%s'", root);
  return system(command);
}

static void what_is_no_bundle_is_refused(void **state) {
  (void)state;
  rs_models *m;
  assert_int_equal(rs_models_new(&m, root, 1 << 20, 1), RS_OK);
  mkdir(path("empty"), 0700);
  mkdir(path("one"), 0700);
  put_file("one/a.tar");
  put_file("one/.tar");
  put_file("one/notes.txt");
  assert_int_equal(rs_models_load(m, "x", "/tmp"), RS_MODELS_REFUSED);
  assert_non_null(strstr(rs_message(), "url must be a folder below"));
  assert_int_equal(rs_models_load(m, "x", root), RS_MODELS_REFUSED);
  assert_int_equal(rs_models_load(m, "x", path("gone")), RS_MODELS_REFUSED);
  assert_int_equal(rs_models_load(m, "x", path("empty")), RS_MODELS_REFUSED);
  assert_non_null(strstr(rs_message(), "holds 0 bundles"));
  assert_int_equal(rs_models_load(m, "x", path("one")), RS_MODELS_REFUSED);
  assert_non_null(strstr(rs_message(), "one/a.tar"));
  put_file("one/b.tar");
  assert_int_equal(rs_models_load(m, "x", path("one")), RS_MODELS_REFUSED);
  assert_non_null(strstr(rs_message(), "holds 2 bundles"));
  const rs_model_table *table = rs_models_enter(m, 0);
  assert_int_equal(table->n, 0);
  assert_null(rs_models_find(table, "x", 1));
  assert_int_equal(rs_models_behind(table, "x"), 0);
  rs_models_leave(m, 0);
  assert_int_equal(rs_models_unload(m, "x", 1), RS_MODELS_ABSENT);
  rs_models_free(m);
}

static void what_is_larger_than_the_room_is_not_opened(void **state) {
  (void)state;
  rs_models *m;
  assert_int_equal(rs_models_new(&m, root, 8, 1), RS_OK);
  put_file("large.tar"); /* 9 bytes */
  assert_int_equal(rs_models_load(m, "x", path("large.tar")), RS_MODELS_FULL);
  rs_models_free(m);
  assert_int_equal(rs_models_new(&m, path("gone"), 8, 1), RS_OK); /* it may be made later */
  assert_int_equal(rs_models_load(m, "x", path("large.tar")), RS_MODELS_REFUSED);
  rs_models_free(m);
}

static void refused_memory_leaves_nothing(void **state) {
  (void)state;
  int64_t blocks = rs_alloc_blocks();
  rs_models *m;
  rs_status status = RS_ENOMEM;
  for (int64_t n = 0; status == RS_ENOMEM; n++) {
    rs_alloc_fault(n);
    status = rs_models_new(&m, root, 1, 2);
  }
  rs_alloc_fault(-1);
  assert_int_equal(status, RS_OK);
  rs_models_free(m);
  rs_models_free(NULL);
  assert_int_equal(rs_alloc_blocks(), blocks);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_no_bundle_is_refused),
                                     cmocka_unit_test(what_is_larger_than_the_room_is_not_opened),
                                     cmocka_unit_test(refused_memory_leaves_nothing)};
  return cmocka_run_group_tests(tests, make, clear);
}
