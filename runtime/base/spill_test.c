#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/spill.h"
#include "base/testing.h"

static char folder[] = "/tmp/recsys-spill-XXXXXX";

enum { MIB = 1 << 20 };

static int no_limit(void **state) {
  (void)state;
  return rs_memory_limit(0, NULL) == RS_OK ? 0 : -1;
}

static int files_in(const char *path) {
  int n = 0;
  DIR *d = opendir(path);
  for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
  if (d) closedir(d);
  return n;
}

/* Whether the block lies in a file: the kernel says of its mapping which. */
static bool lies_in_file(const void *block) {
  char line[512];
  bool found = false;
  FILE *f = fopen("/proc/self/maps", "r");
  while (f && !found && fgets(line, sizeof line, f)) {
    unsigned long from, to;
    found = sscanf(line, "%lx-%lx", &from, &to) == 2 && from <= (uintptr_t)block && (uintptr_t)block < to;
  }
  if (f) fclose(f);
  return found && strstr(line, folder + 5);
}

static void a_limit_sends_large_blocks_to_files_and_small_ones_nowhere(void **state) {
  (void)state;
  assert_int_equal(rs_memory_limit(10 * MIB, folder), RS_OK);
  char *first = rs_alloc(4 * MIB), *second = rs_alloc(4 * MIB), *small = rs_alloc(1000);
  assert_non_null(first);
  assert_non_null(second);
  assert_false(lies_in_file(first));
  assert_true(lies_in_file(second));
  assert_false(lies_in_file(small));
  assert_int_equal((uintptr_t)second % RS_ALIGN, 0);
  assert_int_equal(rs_memory_used().spilled, 4 * MIB);
  assert_int_equal(files_in(folder), 0);
  rs_free(first);
  rs_free(second);
  rs_free(small);
  assert_int_equal(rs_memory_used().spilled, 0);
  assert_true(rs_memory_used().most_spilled >= 4 * MIB);
}

static void half_of_the_limit_is_for_smaller_blocks(void **state) {
  (void)state;
  assert_int_equal(rs_memory_limit(128 * MIB, folder), RS_OK);
  char *most = rs_alloc(60 * MIB), *large = rs_alloc(16 * MIB), *smaller = rs_alloc(2 * MIB);
  assert_false(lies_in_file(most));
  assert_true(lies_in_file(large));
  assert_false(lies_in_file(smaller));
  rs_free(most);
  rs_free(large);
  rs_free(smaller);
}

static void spilled_blocks_hold_what_heap_blocks_would(void **state) {
  (void)state;
  assert_int_equal(rs_memory_limit(MIB, folder), RS_OK);
  unsigned char *block = rs_alloc_zero(3 * MIB);
  assert_true(lies_in_file(block));
  for (int i = 0; i < 3 * MIB; i += 1000) assert_int_equal(block[i], 0);
  for (int i = 0; i < 3 * MIB; i++) block[i] = (unsigned char)(i * 7 + i / 251);
  block = rs_realloc(block, 5 * MIB);
  assert_true(lies_in_file(block));
  for (int i = 0; i < 3 * MIB; i++)
    if (block[i] != (unsigned char)(i * 7 + i / 251)) fail_msg("byte %d changed", i);
  block = rs_realloc(block, 1000);
  assert_false(lies_in_file(block));
  for (int i = 0; i < 1000; i++) assert_int_equal(block[i], (unsigned char)(i * 7 + i / 251));
  rs_free(block);
}

static void freed_blocks_of_files_are_given_out_again_and_cleared(void **state) {
  (void)state;
  assert_int_equal(rs_memory_limit(MIB, folder), RS_OK);
  for (size_t bytes = 2 * MIB; bytes < 50 * MIB; bytes += bytes / 2) {
    char *first = rs_alloc(bytes);
    memset(first, 7, bytes);
    rs_free(first);
    char *second = rs_alloc_zero(bytes);
    assert_true(lies_in_file(second));
    for (size_t i = 0; i < bytes; i++)
      if (second[i]) fail_msg("byte %zu of %zu is left over", i, bytes);
    assert_int_equal(rs_memory_used().spilled, bytes);
    rs_free(second);
  }
}

static void kept_blocks_make_room_under_a_limit(void **state) {
  (void)state;
  rs_free(rs_alloc(64 * MIB)); /* the allocator keeps it */
  assert_int_equal(rs_memory_limit(8 * MIB, folder), RS_OK);
  char *blocks[64];
  for (int i = 0; i < 64; i++) rs_free(blocks[i] = rs_alloc((size_t)(1 + i % 5) * MIB));
  for (int i = 0; i < 64; i++) {
    blocks[i] = rs_alloc((size_t)(1 + i % 5) * MIB);
    assert_non_null(blocks[i]);
    assert_true(rs_memory_used().heap <= 8 * MIB);
  }
  for (int i = 0; i < 64; i++) rs_free(blocks[i]);
}

static void a_folder_that_takes_no_file_is_refused_at_once(void **state) {
  (void)state;
  assert_int_equal(rs_memory_limit(MIB, "/tmp/recsys-there-is-none"), RS_EIO);
  assert_non_null(strstr(rs_message(), "cannot keep memory in the folder /tmp/recsys-there-is-none: No such file"));
  assert_non_null(strstr(rs_message(), "RECSYS_CACHE"));
  assert_int_equal(rs_memory_used().limit, 0);
}

static void a_full_disk_refuses_the_block_and_is_named(void **state) {
  (void)state;
  struct rlimit before, tight = {2 * MIB, 2 * MIB};
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  tight.rlim_max = before.rlim_max;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(rs_memory_limit(MIB, folder), RS_OK);
  int64_t blocks = rs_alloc_blocks();
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
  void *fits = rs_alloc(MIB), *refused = rs_alloc(4 * MIB);
  setrlimit(RLIMIT_FSIZE, &before);
  assert_non_null(fits);
  assert_null(refused);
  assert_int_equal(rs_nomem("tensor", 4 * MIB), RS_ENOMEM);
  char start[128];
  snprintf(start, sizeof start, "tensor: 4194304 bytes are beyond the memory limit, and the folder %s", folder);
  assert_non_null(strstr(rs_message(), start));
  assert_non_null(strstr(rs_message(), "does not take them: File too large; make room there"));
  assert_int_equal(rs_nomem("tensor", 7), RS_ENOMEM); /* told once */
  assert_string_equal(rs_message(), "tensor: out of memory (7 bytes refused)");
  rs_free(fits);
  assert_int_equal(rs_alloc_blocks(), blocks);
}

static void the_fault_hook_refuses_spilled_blocks_too(void **state) {
  (void)state;
  assert_int_equal(rs_memory_limit(MIB, folder), RS_OK);
  rs_alloc_fault(1);
  void *one = rs_alloc(4 * MIB), *two = rs_alloc(4 * MIB);
  rs_alloc_fault(-1);
  assert_non_null(one);
  assert_null(two);
  rs_free(one);
}

static int remove_folder(void **state) {
  rmdir(folder);
  return no_blocks_remain(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(a_limit_sends_large_blocks_to_files_and_small_ones_nowhere, no_limit),
      cmocka_unit_test_teardown(half_of_the_limit_is_for_smaller_blocks, no_limit),
      cmocka_unit_test_teardown(spilled_blocks_hold_what_heap_blocks_would, no_limit),
      cmocka_unit_test_teardown(freed_blocks_of_files_are_given_out_again_and_cleared, no_limit),
      cmocka_unit_test_teardown(kept_blocks_make_room_under_a_limit, no_limit),
      cmocka_unit_test_teardown(a_folder_that_takes_no_file_is_refused_at_once, no_limit),
      cmocka_unit_test_teardown(a_full_disk_refuses_the_block_and_is_named, no_limit),
      cmocka_unit_test_teardown(the_fault_hook_refuses_spilled_blocks_too, no_limit),
  };
  if (!mkdtemp(folder)) return perror("mkdtemp"), 1;
  return cmocka_run_group_tests(tests, NULL, remove_folder);
}
