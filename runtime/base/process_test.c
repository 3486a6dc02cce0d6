#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/process.h"

/* How the child ends that runs body(argument) in a group of its own; while it runs, 'meanwhile' is closed. */
static int ended(void (*body)(int), int argument, int meanwhile) {
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    setpgid(0, 0);
    if (meanwhile >= 0) close(meanwhile);
    body(argument);
    _exit(0);
  }
  if (meanwhile >= 0) {
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    close(meanwhile);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

/* Deaf to what can be refused, and busy where no Lua would look: alarm is the test's own end. */
static void work_for_ever(int fd) {
  signal(SIGTERM, SIG_IGN);
  if (rs_process_follow(fd) != RS_OK) _exit(1);
  alarm(20);
  for (volatile int i = 0;; i++) continue;
}

static void child_ends_when_the_pipe_is_closed(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  int status = ended(work_for_ever, ends[0], ends[1]);
  close(ends[0]);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void what_is_no_pipe_is_not_followed(void **state) {
  (void)state;
  assert_int_equal(rs_process_follow(-1), RS_EIO);
  assert_non_null(strstr(rs_message(), "file -1 cannot be followed"));
  FILE *file = tmpfile();
  assert_non_null(file);
  assert_int_equal(rs_process_follow(fileno(file)), RS_EIO);
  assert_non_null(strstr(rs_message(), "it is no pipe"));
  fclose(file);
}

enum { MIB = 1 << 20 };

static void *map(size_t bytes, int protection, int flags) {
  return mmap(NULL, bytes, protection, flags | MAP_ANONYMOUS, -1, 0);
}

/* 0: what is private is refused past the limit, what is shared or only read is not. */
static void try_limit(int mib) {
  if (rs_process_limit(rs_process_reserved() + (int64_t)mib * MIB) != RS_OK) _exit(1);
  size_t more = (size_t)(mib + 8) * MIB;
  if (map(more, PROT_READ | PROT_WRITE, MAP_PRIVATE) != MAP_FAILED) _exit(2);
  if (map(more, PROT_READ | PROT_WRITE, MAP_SHARED) == MAP_FAILED) _exit(3);
  if (map(more, PROT_READ, MAP_PRIVATE) == MAP_FAILED) _exit(4);
  if (map((size_t)(mib / 2) * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED) _exit(5);
}

static void memory_past_the_limit_is_refused(void **state) {
  (void)state;
  assert_true(rs_process_reserved() > 0);
  assert_int_equal(ended(try_limit, 64, -1), 0);
  assert_int_equal(rs_process_limit(0), RS_ERANGE);
  assert_int_equal(rs_process_limit(-1), RS_ERANGE);
}

/* The ends of a pipe that this test, its child, and that one's hold: when all are closed all have ended. */
static int left_of(pid_t child, int fd) {
  int status = 0;
  char byte;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(read(fd, &byte, 1), 0);
  close(fd);
  return status;
}

static void sleep_in_two_generations(int ready) {
  if (fork() == 0) {
    if (write(ready, "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  for (;;) pause();
}

static void children_and_theirs_are_signalled(void **state) {
  (void)state;
  int ends[2];
  char byte;
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork(), gone = child == 0 ? 0 : fork();
  if (child == 0) sleep_in_two_generations(ends[1]);
  if (gone == 0) {
    close(ends[0]);
    close(ends[1]);
    setpgid(0, 0); /* of another group: not to be touched */
    for (;;) pause();
  }
  setpgid(gone, gone);
  close(ends[1]);
  assert_int_equal(read(ends[0], &byte, 1), 1);
  rs_process_signal_children(SIGTERM);
  int status = left_of(child, ends[0]);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGTERM);
  assert_int_equal(waitpid(gone, &status, WNOHANG), 0);
  kill(gone, SIGKILL);
  assert_int_equal(waitpid(gone, &status, 0), gone);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(child_ends_when_the_pipe_is_closed),
      cmocka_unit_test(what_is_no_pipe_is_not_followed),
      cmocka_unit_test(children_and_theirs_are_signalled),
      cmocka_unit_test(memory_past_the_limit_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
