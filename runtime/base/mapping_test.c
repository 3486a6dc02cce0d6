/* mapping_test.c - copies of files that others write into. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/testing.h"

enum { SIZE = 3 << 20 };

static char folder[] = "/tmp/recsys-mapping-XXXXXX", path[64];

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/a", folder);
  return 0;
}

static int remove_folder(void **state) {
  unlink(path);
  return rmdir(folder) != 0 || no_blocks_remain(state) != 0;
}

/* Write SIZE bytes into the file, in place. */
static void fill(char letter) {
  char *bytes = malloc(SIZE);
  memset(bytes, letter, SIZE);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, SIZE, f), SIZE);
  assert_int_equal(fclose(f), 0);
  free(bytes);
}

static void assert_all(const rs_mapping *map, char letter) {
  assert_int_equal(map->size, SIZE);
  for (size_t i = 0; i < SIZE; i++)
    if (map->data[i] != letter) fail_msg("byte %zu is %c instead of %c", i, map->data[i], letter);
}

static int open_descriptors(void) {
  int n = 0;
  for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

static void a_copy_is_nobody_elses(void **state) {
  (void)state;
  int before = open_descriptors();
  const char *const folders[] = {folder, "/nowhere", NULL};
  for (int i = 0; i < 3; i++) {
    rs_mapping map;
    fill('a');
    if (folders[i]) setenv("TMPDIR", folders[i], 1);
    else unsetenv("TMPDIR");
    assert_int_equal(rs_mapping_open_copy(&map, path), RS_OK);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(truncate(path, 0), 0); /* of the file itself each look would be the end */
    assert_all(&map, 'a');
    fill('b');
    assert_all(&map, 'a');
    assert_int_equal(rs_mapping_detach(&map, path), RS_OK); /* nothing is left to do */
    rs_mapping_close(&map);
  }
  rs_mapping map;
  assert_int_equal(rs_mapping_open_copy(&map, folder), RS_EIO);
  assert_int_equal(rs_mapping_open_copy(&map, "/nowhere/a"), RS_EIO);
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(rs_mapping_open_copy(&map, path), RS_OK);
  assert_int_equal(map.size, 0);
  rs_mapping_close(&map);
}

typedef struct reading {
  const char *data;
  atomic_bool ends;
  int64_t wrong, rounds;
} reading;

static void *read_on(void *context) {
  reading *r = context;
  while (!atomic_load(&r->ends)) {
    for (size_t i = 0; i < SIZE; i += 512) r->wrong += r->data[i] != 'a';
    r->rounds++;
  }
  return NULL;
}

static void a_copy_takes_the_files_place_while_others_read(void **state) {
  (void)state;
  int before = open_descriptors();
  for (int i = 0; i < 20; i++) {
    rs_mapping map;
    fill('a');
    assert_int_equal(rs_mapping_open_copied_later(&map, path), RS_OK);
    const char *data = map.data;
    reading r = {.data = data};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_on, &r), 0);
    assert_int_equal(rs_mapping_detach(&map, path), RS_OK);
    assert_ptr_equal(map.data, data);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(truncate(path, 0), 0);
    fill('b');
    usleep(2000);
    atomic_store(&r.ends, true);
    pthread_join(thread, NULL);
    assert_int_equal(r.wrong, 0);
    assert_all(&map, 'a');
    rs_mapping_close(&map);
  }
}

static void *write_in_place(void *written) {
  fill('b');
  atomic_store((atomic_bool *)written, true);
  return NULL;
}

static void who_writes_before_it_waits(void **state) {
  (void)state;
  fill('a');
  int fd = open(path, O_RDONLY);
  bool grants = fcntl(fd, F_SETLEASE, F_RDLCK) == 0;
  close(fd);
  if (!grants) {
    print_message("the system grants no leases in %s\n", folder);
    skip();
  }
  rs_mapping map;
  atomic_bool written = false;
  pthread_t thread;
  assert_int_equal(rs_mapping_open_copied_later(&map, path), RS_OK);
  assert_int_equal(pthread_create(&thread, NULL, write_in_place, &written), 0);
  usleep(50000);
  assert_false(atomic_load(&written));
  assert_all(&map, 'a');
  assert_int_equal(rs_mapping_detach(&map, path), RS_OK);
  pthread_join(thread, NULL);
  assert_all(&map, 'a');
  rs_mapping_close(&map);
  assert_int_equal(rs_mapping_open_copied_later(&map, path), RS_OK); /* and one that is given up lets him go, too */
  assert_int_equal(pthread_create(&thread, NULL, write_in_place, &written), 0);
  rs_mapping_close(&map);
  pthread_join(thread, NULL);
}

/* Where no lease is granted, a file may be cut short before it is copied. */
static void a_file_that_is_cut_short_is_told_by_name(void **state) {
  (void)state;
  rs_mapping map;
  fill('a');
  int writer = open(path, O_WRONLY); /* by which no lease is granted */
  assert_int_equal(rs_mapping_open_copied_later(&map, path), RS_OK);
  assert_int_equal(ftruncate(writer, SIZE / 2), 0);
  assert_int_equal(rs_mapping_detach(&map, path), RS_EIO);
  assert_non_null(strstr(rs_message(), path));
  assert_non_null(strstr(rs_message(), "was cut short while it was copied"));
  rs_mapping_close(&map);
  close(writer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_copy_is_nobody_elses),
      cmocka_unit_test(a_copy_takes_the_files_place_while_others_read),
      cmocka_unit_test(who_writes_before_it_waits),
      cmocka_unit_test(a_file_that_is_cut_short_is_told_by_name),
  };
  return cmocka_run_group_tests_name("mapping", tests, make_folder, remove_folder);
}
