/* access_log_test.c - lines in their order, dropped lines counted, and a reader that does not read. */
#include "base/testing.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "http/access_log.h"

typedef struct writer {
  rs_access_log *log;
  int index, lines;
} writer;

static void *leave_lines(void *context) {
  writer *w = context;
  char line[128];
  for (int i = 0; i < w->lines; i++) {
    int n = sprintf(line, "%d %d %.*s\n", w->index, i, i % 50, "..................................................");
    rs_access_log_add(w->log, w->index, line, (size_t)n);
    if (i % 500 == 0) usleep(2000);
  }
  return NULL;
}

static void lines_come_in_the_order_of_their_worker(void **state) {
  (void)state;
  char path[] = "/tmp/recsys-log-XXXXXX";
  close(mkstemp(path));
  writer writers[2] = {{.index = 0, .lines = 20000}, {.index = 1, .lines = 20000}};
  pthread_t threads[2];
  rs_access_log *log = NULL;
  assert_int_equal(rs_access_log_open(&log, path, 2), RS_OK);
  for (int i = 0; i < 2; i++) {
    writers[i].log = log;
    pthread_create(&threads[i], NULL, leave_lines, &writers[i]);
  }
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  int64_t dropped = rs_access_log_dropped(log);
  rs_access_log_close(log);
  rs_buffer text = {0};
  assert_int_equal(rs_file_read(&text, path, 16 << 20), RS_OK);
  assert_int_equal(rs_buffer_append(&text, "", 1), RS_OK);
  int last[2] = {-1, -1}, lines = 0;
  for (char *at = text.data, *end; (end = strchr(at, '\n')); at = end + 1, lines++) {
    int index, number, length = 0;
    assert_int_equal(sscanf(at, "%d %d%n", &index, &number, &length), 2);
    assert_true(number > last[index]);
    assert_int_equal(end - at - length, number % 50 + 1);
    last[index] = number;
  }
  assert_int_equal(lines + dropped, 40000);
  rs_buffer_free(&text);
  unlink(path);
}

static void who_does_not_read_keeps_nobody_waiting(void **state) {
  (void)state;
  char path[] = "/tmp/recsys-log-XXXXXX", line[1001];
  close(mkstemp(path));
  unlink(path);
  assert_int_equal(mkfifo(path, 0600), 0);
  rs_access_log *log = NULL;
  assert_int_equal(rs_access_log_open(&log, path, 1), RS_EIO); /* nobody has it open */
  int reader = open(path, O_RDONLY | O_NONBLOCK);
  assert_int_equal(rs_access_log_open(&log, path, 1), RS_OK);
  memset(line, 'x', 1000);
  line[999] = '\n';
  for (int i = 0; i < 1000; i++) rs_access_log_add(log, 0, line, 1000);
  assert_true(rs_access_log_dropped(log) > 500);
  rs_access_log_close(log); /* and returns */
  close(reader);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lines_come_in_the_order_of_their_worker),
      cmocka_unit_test(who_does_not_read_keeps_nobody_waiting),
  };
  return cmocka_run_group_tests_name("access_log", tests, NULL, no_blocks_remain);
}
