/* What is posted is committed before it counts, once, in order; a kill, a lock and a full queue lose nothing. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/testing.h"
#include "frame/column.h"
#include "serve/online.h"
#include "serve/online_store.h"

enum { LONG = 60000 }; /* ms */

static char path[64];

static int new_path(void **state) {
  (void)state;
  strcpy(path, "/tmp/online_test.XXXXXX");
  int fd = mkstemp(path);
  if (fd >= 0) close(fd);
  return fd >= 0 ? 0 : -1;
}

static int remove_path(void **state) {
  (void)state;
  char beside[80];
  for (int i = 0; i < 2; i++) {
    snprintf(beside, sizeof beside, "%s%s", path, i ? "-shm" : "-wal");
    unlink(beside);
  }
  return unlink(path);
}

/* What came to be applied, as text: "event u1 i1 5; item i1; ..." */
typedef struct heard {
  char text[4096];
  int64_t events;
} heard;

static void hear(void *context, rs_post *posts, int64_t n) {
  static const char *const kinds[] = {"event", "item", "removal", "erasure"};
  heard *h = context;
  for (int64_t i = 0; i < n; i++) {
    rs_post *p = &posts[i];
    if (p->outcome != RS_POST_TAKEN) continue;
    h->events += p->kind == RS_POST_EVENT;
    size_t used = strlen(h->text);
    snprintf(h->text + used, sizeof h->text - used, "%s%s %.*s %.*s %.*s %lld%s", used ? "; " : "", kinds[p->kind],
             (int)p->user_length, p->user ? p->user : "", (int)p->item_length, p->item ? p->item : "",
             (int)p->title_length, p->title ? p->title : "",
             p->time == RS_TIME_MISSING ? -1 : (long long)p->time, json_object_get(p->fields, "type") ? " typed" : "");
  }
}

static rs_online *open_online(heard *h, rs_online_options options) {
  rs_online *o = NULL;
  options.path = path;
  options.apply = hear;
  options.context = h;
  if (options.keep_ms == 0) options.keep_ms = -1;
  if (rs_online_open(&o, &options) != RS_OK) fail_msg("%s", rs_message());
  return o;
}

#define TEXT(p, name, value) ((p)->name = value, (p)->name##_length = strlen(value))

static rs_posts *events(int64_t first, int64_t n, const char *prefix) {
  rs_posts *posts = NULL;
  json_t *root = json_array();
  assert_int_equal(rs_posts_new(&posts, root, n), RS_OK);
  for (int64_t i = 0; i < n; i++) {
    char id[32];
    rs_post *p = &posts->posts[i];
    snprintf(id, sizeof id, "%s%lld", prefix, (long long)(first + i));
    json_array_append_new(root, json_string(id));
    const char *kept = json_string_value(json_array_get(root, (size_t)i));
    p->received = 100;
    p->time = first + i;
    TEXT(p, id, kept);
    TEXT(p, user, "u1");
    TEXT(p, item, kept);
  }
  return posts;
}

static rs_posts *one(rs_post_kind kind, const char *user, const char *item, const char *title) {
  rs_posts *posts = NULL;
  assert_int_equal(rs_posts_new(&posts, json_null(), 1), RS_OK);
  rs_post *p = &posts->posts[0];
  *p = (rs_post){.kind = kind, .time = kind == RS_POST_ITEM ? 7 : RS_TIME_MISSING, .received = 200};
  if (user) TEXT(p, user, user);
  if (item) TEXT(p, item, item);
  if (title) TEXT(p, title, title);
  return posts;
}

static void posted(rs_online *o, rs_posts *posts) {
  assert_int_equal(rs_online_post(o, &posts, LONG), RS_OK);
  assert_non_null(posts);
  for (int64_t i = 0; i < posts->n; i++) assert_int_equal(posts->posts[i].outcome, RS_POST_TAKEN);
  rs_posts_free(posts);
}

static void what_is_posted_is_applied_and_handed_on_again(void **state) {
  (void)state;
  static heard live, again;
  live = again = (heard){0};
  rs_online *o = open_online(&live, (rs_online_options){0});
  rs_posts *typed = events(1, 2, "e");
  typed->posts[1].fields = json_pack("{s:s}", "type", "click");
  posted(o, typed);
  posted(o, one(RS_POST_ITEM, NULL, "i1", "One"));
  posted(o, one(RS_POST_ITEM, NULL, "i2", NULL));
  posted(o, one(RS_POST_ITEM, NULL, "i1", "Changed"));
  posted(o, one(RS_POST_REMOVAL, NULL, "i2", NULL));
  assert_string_equal(live.text, "event u1 e1  1; event u1 e2  2 typed; item  i1 One 7; item  i2  7; "
                                 "item  i1 Changed 7; removal  i2  -1");
  rs_online_free(o);
  o = open_online(&again, (rs_online_options){0});
  rs_online_hold(o);
  assert_int_equal(rs_online_replay(o, hear, &again), RS_OK);
  rs_online_release(o);
  assert_string_equal(again.text, "item  i1 Changed 7; item  i2  7; removal  i2  -1; event u1 e1  1; event u1 e2  2 typed");
  rs_online_free(o);
}

static void an_event_counts_once(void **state) {
  (void)state;
  static heard h;
  h = (heard){0};
  rs_online *o = open_online(&h, (rs_online_options){0});
  posted(o, events(1, 3, "e"));
  rs_posts *again = events(2, 3, "e");
  again->posts[2].outcome = RS_POST_REFUSED; /* of e4, by whoever looked at it before */
  assert_int_equal(rs_online_post(o, &again, LONG), RS_OK);
  assert_int_equal(again->posts[0].outcome, RS_POST_KNOWN);
  assert_int_equal(again->posts[1].outcome, RS_POST_KNOWN);
  assert_int_equal(again->posts[2].outcome, RS_POST_REFUSED);
  rs_posts_free(again);
  assert_int_equal(h.events, 3);
  rs_online_counts counts = rs_online_counts_of(o);
  assert_int_equal(counts.taken, 3);
  assert_int_equal(counts.known, 2);
  assert_int_equal(counts.waiting, 0);
  rs_online_free(o);
}

static void an_erased_user_has_no_events(void **state) {
  (void)state;
  static heard h;
  h = (heard){0};
  rs_online *o = open_online(&h, (rs_online_options){0});
  posted(o, events(1, 3, "e"));
  assert_int_equal(rs_online_user(o, "u1", 2, hear, &h), RS_OK);
  assert_int_equal(h.events, 6);
  posted(o, one(RS_POST_ERASURE, "u1", NULL, NULL));
  posted(o, events(9, 1, "e"));
  h = (heard){0};
  rs_online_hold(o);
  assert_int_equal(rs_online_replay(o, hear, &h), RS_OK);
  rs_online_release(o);
  assert_string_equal(h.text, "erasure u1   -1; event u1 e9  9");
  rs_online_free(o);
}

static void a_lock_makes_posts_wait(void **state) {
  (void)state;
  static heard h;
  h = (heard){0};
  rs_online *o = open_online(&h, (rs_online_options){.busy_ms = 20, .most = 4});
  rs_sql *other = NULL;
  assert_int_equal(rs_sql_open(&other, path, &(rs_sql_options){.busy_ms = 2000}), RS_OK);
  assert_int_equal(rs_sql_execute(other, "BEGIN IMMEDIATE"), RS_OK);
  rs_posts *waited = events(1, 1, "e"), *more = events(2, 3, "e"), *many = events(10, 5, "e");
  assert_int_equal(rs_online_post(o, &waited, 100), RS_OK);
  assert_null(waited); /* it is left to the thread */
  assert_int_equal(rs_online_post(o, &more, 0), RS_OK);
  assert_int_equal(rs_online_post(o, &many, 0), RS_EBUSY); /* the queue is full */
  rs_posts_free(many);
  assert_int_equal(h.events, 0);
  for (int i = 0; i < 500 && rs_online_counts_of(o).failures == 0; i++) usleep(10000);
  assert_int_equal(rs_sql_execute(other, "ROLLBACK"), RS_OK);
  rs_sql_free(other);
  for (int i = 0; i < 500 && rs_online_counts_of(o).waiting > 0; i++) usleep(10000);
  assert_string_equal(h.text, "event u1 e1  1; event u1 e2  2; event u1 e3  3; event u1 e4  4");
  assert_true(rs_online_counts_of(o).failures > 0);
  rs_online_free(o);
}

static void what_waits_is_written_at_the_end(void **state) {
  (void)state;
  static heard h;
  h = (heard){0};
  rs_online *o = open_online(&h, (rs_online_options){0});
  for (int i = 0; i < 100; i++) {
    rs_posts *posts = events(10 * i, 10, "e");
    assert_int_equal(rs_online_post(o, &posts, 0), RS_OK);
  }
  rs_online_free(o);
  assert_int_equal(h.events, 1000);
}

static void events_are_forgotten_in_time(void **state) {
  (void)state;
  static heard h;
  h = (heard){0};
  rs_sql *db = NULL;
  rs_online *o = open_online(&h, (rs_online_options){0});
  posted(o, events(1, 3, "e"));
  rs_online_free(o);
  o = open_online(&h, (rs_online_options){.keep_ms = 50}); /* received in 1970, and nothing later: as before a clock's jump */
  usleep(200000);
  h = (heard){0};
  assert_int_equal(rs_online_user(o, "u1", 2, hear, &h), RS_OK);
  assert_int_equal(h.events, 3);
  rs_posts *late = events(4, 1, "e");
  late->posts[0].received = 10000;
  posted(o, late);
  rs_online_free(o);
  o = open_online(&h, (rs_online_options){.keep_ms = 1000});
  for (int i = 0, left = 4; i < 500 && left > 1; i++) {
    usleep(10000);
    h = (heard){0};
    assert_int_equal(rs_online_user(o, "u1", 2, hear, &h), RS_OK);
    left = (int)h.events;
    assert_true(i < 499 || left == 1);
  }
  rs_online_free(o);
  assert_int_equal(rs_sql_open(&db, path, &(rs_sql_options){.busy_ms = 100}), RS_OK);
  assert_int_equal(rs_sql_execute(db, "PRAGMA user_version = 77; INSERT INTO online_version VALUES (99)"), RS_OK);
  rs_sql_free(db);
  assert_int_equal(rs_online_open(&o, &(rs_online_options){.path = path, .apply = hear}), RS_EFORMAT);
  assert_non_null(strstr(rs_message(), "its online events are of version 99"));
}

static void a_clock_that_jumps_is_believed_when_it_stays(void **state) {
  (void)state;
  int64_t ahead = 1000 - 10, hour = 100, far = 1000000; /* it told 1000 when the steady one told 10 */
  assert_int_equal(rs_online_believe(&ahead, 1100, 10 + hour), 1100);
  assert_int_equal(rs_online_believe(&ahead, 1200 + far, 10 + 2 * hour), 1200);
  assert_int_equal(rs_online_believe(&ahead, 1300, 10 + 3 * hour), 1300);
  assert_int_equal(rs_online_believe(&ahead, 1400 + far, 10 + 4 * hour), 1400);
  assert_int_equal(rs_online_believe(&ahead, 1500 + far, 10 + 5 * hour), 1500 + far);
  assert_int_equal(rs_online_believe(&ahead, 1600, 10 + 6 * hour), 1600);
}

static void a_file_that_was_removed_keeps_nothing(void **state) {
  (void)state;
  static heard h;
  h = (heard){0};
  char aside[300];
  rs_online *o = open_online(&h, (rs_online_options){0});
  posted(o, events(1, 1, "e"));
  snprintf(aside, sizeof aside, "%s.aside", path);
  assert_int_equal(rename(path, aside), 0);
  rs_posts *lost = events(2, 1, "e");
  assert_int_equal(rs_online_post(o, &lost, 10000), RS_EIO);
  assert_non_null(strstr(rs_message(), "was removed or replaced under the server"));
  assert_int_equal(rs_online_trouble(o), RS_EIO);
  rs_posts_free(lost);
  assert_int_equal(rename(aside, path), 0);
  posted(o, events(3, 1, "e"));
  assert_int_equal(rs_online_trouble(o), RS_OK);
  assert_int_equal(h.events, 2);
  rs_online_free(o);
}

/* Post one event after another, and tell of each that was taken. */
static void post_and_tell(int to) {
  static heard h;
  rs_online *o = NULL;
  rs_online_options options = {.path = path, .apply = hear, .context = &h, .keep_ms = -1};
  if (rs_online_open(&o, &options) != RS_OK) _exit(1);
  for (int32_t i = 0;; i++) {
    char prefix[32];
    snprintf(prefix, sizeof prefix, "%d-", (int)getpid());
    rs_posts *posts = events(i, 1, prefix);
    if (rs_online_post(o, &posts, LONG) != RS_OK || !posts) _exit(2);
    rs_posts_free(posts);
    h.text[0] = 0;
    if (write(to, &i, sizeof i) != sizeof i) _exit(3);
  }
}

static void a_kill_loses_no_event_that_was_taken(void **state) {
  (void)state;
  static heard h;
  const char *asked = getenv("RECSYS_KILLS");
  int64_t told = 0;
  h = (heard){0};
  for (int round = 0, rounds = asked ? atoi(asked) : 5; round < rounds; round++) {
    int ends[2];
    int32_t last;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) post_and_tell(ends[1]);
    close(ends[1]);
    for (int i = 0; i < 20 + round % 7; i++) assert_int_equal(read(ends[0], &last, sizeof last), sizeof last);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    told += 20 + round % 7;
    while (read(ends[0], &last, sizeof last) == sizeof last) told++;
    close(ends[0]);
  }
  rs_online *o = open_online(&h, (rs_online_options){0});
  rs_online_hold(o);
  assert_int_equal(rs_online_replay(o, hear, &h), RS_OK);
  rs_online_release(o);
  rs_online_free(o);
  assert_true(h.events >= told && told > 0);
}

/* A database that another connection holds, and posts that nobody waits for. */
static rs_online *left_behind(heard *h, rs_sql **other, int64_t n) {
  rs_online *o = open_online(h, (rs_online_options){.busy_ms = 10});
  assert_int_equal(rs_sql_open(other, path, &(rs_sql_options){0}), RS_OK);
  assert_int_equal(rs_sql_execute(*other, "BEGIN IMMEDIATE"), RS_OK);
  for (int64_t i = 0; i < n; i += 4000) {
    rs_posts *posts = events(i, n - i < 4000 ? n - i : 4000, "e");
    assert_int_equal(rs_online_post(o, &posts, 0), RS_OK);
    assert_null(posts);
  }
  return o;
}

static void what_is_lost_at_the_end_is_told(void **state) {
  (void)state;
  static heard h;
  rs_sql *other = NULL;
  rs_online *o = left_behind(&h, &other, 9000);
  assert_int_equal(rs_online_finish(o, 50), 9000);
  assert_non_null(strstr(rs_message(), path));
  assert_non_null(strstr(rs_message(), "locked"));
  assert_int_equal(rs_online_finish(o, LONG), 9000);
  rs_online_counts counts = rs_online_counts_of(o);
  assert_int_equal(counts.waiting, 0);
  assert_int_equal(counts.taken, 0);
  rs_posts *late = events(1, 1, "late");
  assert_int_equal(rs_online_post(o, &late, LONG), RS_EBUSY);
  rs_posts_free(late);
  rs_online_free(o);
  rs_sql_free(other);
}

static void *give_up_the_lock(void *other) {
  usleep(300000);
  rs_sql_execute(other, "ROLLBACK");
  return NULL;
}

static void the_end_waits_for_a_lock_that_passes(void **state) {
  (void)state;
  static heard h;
  rs_sql *other = NULL;
  pthread_t holder;
  rs_online *o = left_behind(&h, &other, 3);
  assert_int_equal(pthread_create(&holder, NULL, give_up_the_lock, other), 0);
  assert_int_equal(rs_online_finish(o, LONG), 0);
  pthread_join(holder, NULL);
  assert_int_equal(h.events, 3);
  assert_int_equal(rs_online_counts_of(o).taken, 3);
  rs_online_free(o);
  rs_sql_free(other);
}

/* An application that takes long, and that the test lets come to its end. */
typedef struct slow {
  rs_online *online;
  _Atomic bool begun, go_on;
  _Atomic int64_t applied;
} slow;

static void apply_slowly(void *context, rs_post *posts, int64_t n) {
  slow *s = context;
  if (n == 1) rs_online_takes_long(s->online);
  s->begun = true;
  while (!s->go_on) usleep(1000);
  for (int64_t i = 0; i < n; i++) s->applied += posts[i].outcome == RS_POST_TAKEN;
}

static void nobody_waits_for_what_takes_long(void **state) {
  (void)state;
  slow s = {0};
  rs_online_options options = {.path = path, .keep_ms = -1, .apply = apply_slowly, .context = &s};
  rs_posts *first = events(0, 1, "a"), *second = events(1, 2, "b"), *third = events(3, 2, "c");
  assert_int_equal(rs_online_open(&s.online, &options), RS_OK);
  assert_int_equal(rs_online_post(s.online, &first, LONG), RS_OK); /* returns, as nothing is applied before the end */
  assert_non_null(first);
  assert_int_equal(first->posts[0].outcome, RS_POST_TAKEN);
  assert_int_equal(s.applied, 0);
  assert_int_equal(rs_online_post(s.online, &second, LONG), RS_OK);
  assert_null(second); /* not committed yet */
  rs_posts_free(first);
  s.go_on = true;
  assert_int_equal(rs_online_post(s.online, &third, LONG), RS_OK);
  if (third) rs_posts_free(third);
  assert_int_equal(rs_online_finish(s.online, LONG), 0);
  assert_int_equal(s.applied, 5);
  rs_online_free(s.online);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_is_posted_is_applied_and_handed_on_again, new_path, remove_path),
      cmocka_unit_test_setup_teardown(an_event_counts_once, new_path, remove_path),
      cmocka_unit_test_setup_teardown(an_erased_user_has_no_events, new_path, remove_path),
      cmocka_unit_test_setup_teardown(a_lock_makes_posts_wait, new_path, remove_path),
      cmocka_unit_test_setup_teardown(what_waits_is_written_at_the_end, new_path, remove_path),
      cmocka_unit_test_setup_teardown(what_is_lost_at_the_end_is_told, new_path, remove_path),
      cmocka_unit_test_setup_teardown(the_end_waits_for_a_lock_that_passes, new_path, remove_path),
      cmocka_unit_test_setup_teardown(nobody_waits_for_what_takes_long, new_path, remove_path),
      cmocka_unit_test_setup_teardown(events_are_forgotten_in_time, new_path, remove_path),
      cmocka_unit_test(a_clock_that_jumps_is_believed_when_it_stays),
      cmocka_unit_test_setup_teardown(a_file_that_was_removed_keeps_nothing, new_path, remove_path),
      cmocka_unit_test_setup_teardown(a_kill_loses_no_event_that_was_taken, new_path, remove_path),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
