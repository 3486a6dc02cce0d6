/* online.c - see online.h: the queue of batches, and what its thread does (sql/writer.h). What is done to the database
 * stands in online_store.c. */
#include "serve/online.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "frame/column.h"
#include "serve/counts.h"
#include "serve/online_store.h"
#include "sql/writer.h"

enum { MOST = 100000, BUSY_MS = 2000, AT_ONCE = 4096, PAUSE_MS = 200, TIDY_MS = 3600000 };

struct rs_online {
  rs_online_options options;
  char *path;
  struct stat file; /* which one it was */
  int64_t ahead;    /* rs_online_believe, of the thread */
  rs_sql_writer writer;
  _Atomic int64_t keep_ms;
  rs_posts *applied; /* by the thread, just now */
  pthread_mutex_t held; /* around a commit and what is applied by it */
  rs_posts *first, *last; /* under the writer's lock, as what follows */
  bool slow;              /* what is applied takes long */
  rs_online_counts counts;
  rs_status trouble;  /* of the last attempt */
  char failure[512];  /* of the last one that failed */
};

/* ---- batches ---- */

rs_status rs_posts_new(rs_posts **out, json_t *root, int64_t n) {
  size_t bytes = sizeof(rs_posts) + (size_t)n * sizeof(rs_post);
  rs_posts *p = rs_alloc_zero(bytes);
  *out = p;
  if (!p) {
    json_decref(root);
    return rs_nomem("posts", bytes);
  }
  p->root = root;
  p->posts = (rs_post *)(p + 1);
  p->n = n;
  p->holders = 1;
  return RS_OK;
}

void rs_posts_free(rs_posts *p) {
  if (!p || atomic_fetch_sub(&p->holders, 1) > 1) return;
  for (int64_t i = 0; i < p->n; i++) {
    json_decref(p->posts[i].fields);
    rs_free(p->posts[i].trouble);
  }
  json_decref(p->root);
  rs_free(p);
}

void rs_post_refuse(rs_post *post) {
  post->outcome = RS_POST_REFUSED;
  if (!post->trouble) post->trouble = rs_strdup(rs_message());
}

/* ---- the thread ---- */

static int64_t wall_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t steady_clock(void) { return rs_clock() / 1000000; }

/* What is written to a file that has no name any more is lost. */
static rs_status check_file(const rs_online *o) {
  struct stat now;
  if (stat(o->path, &now) == 0 && now.st_ino == o->file.st_ino && now.st_dev == o->file.st_dev) return RS_OK;
  return rs_fail(RS_EIO, "%s was removed or replaced under the server: nothing more is kept; put it back, or start anew",
                 o->path);
}

/* The batches that one transaction is to carry: the first ones, without what lies behind. The lock is held. */
static rs_posts *take_some(rs_online *o) {
  rs_posts *taken = o->first, *last = taken;
  int64_t n = taken->n;
  while (last->next && n + last->next->n <= AT_ONCE) last = last->next, n += last->n;
  o->first = last->next;
  if (!o->first) o->last = NULL;
  last->next = NULL;
  return taken;
}

/* The posts of all batches, within a transaction. */
static rs_status write_batches(void *batches, rs_sql *db) {
  rs_status status = RS_OK;
  for (rs_posts *p = batches; p && status == RS_OK; p = p->next)
    for (int64_t i = 0; i < p->n && status == RS_OK; i++) status = rs_online_write(db, &p->posts[i]);
  return status;
}

static void count(rs_online *o, const rs_posts *p) {
  for (int64_t i = 0; i < p->n; i++) {
    o->counts.taken += p->posts[i].outcome == RS_POST_TAKEN;
    o->counts.known += p->posts[i].outcome == RS_POST_KNOWN;
    o->counts.lost += p->posts[i].outcome == RS_POST_READY && !p->wait;
  }
}

/* Note how an attempt went; the lock is held. */
static void note(rs_online *o, rs_status status) {
  o->trouble = status;
  if (status != RS_OK) snprintf(o->failure, sizeof o->failure, "%s", rs_message());
}

/* Tell those who wait. What was not written goes back to the queue's front where nobody waits for it, and where somebody
 * else holds the database, which passes; at the end it is given up, with all that lies behind it. The lock is held. */
static void settle(rs_online *o, rs_posts *batches, rs_status status) {
  rs_posts *again = NULL, **end = &again, *last = NULL;
  note(o, status);
  if (status != RS_OK && o->writer.stop) {
    for (last = batches; last->next;) last = last->next;
    last->next = o->first;
    o->first = o->last = NULL;
  }
  while (batches) {
    rs_posts *p = batches;
    batches = p->next;
    p->next = NULL;
    if (status != RS_OK)
      for (int64_t i = 0; i < p->n; i++)
        if (p->posts[i].outcome != RS_POST_REFUSED) p->posts[i].outcome = RS_POST_READY;
    if (status != RS_OK && !o->writer.stop && (!p->wait || status == RS_EBUSY)) {
      *end = last = p;
      end = &p->next;
      continue;
    }
    if (status != RS_OK) snprintf(p->message, sizeof p->message, "%s", o->failure);
    count(o, p);
    p->status = status;
    p->ended = true;
    o->counts.waiting -= p->n;
    rs_posts_free(p);
  }
  if (again) {
    last->next = o->first;
    o->first = again;
    if (!o->last) o->last = last;
  }
  pthread_cond_broadcast(&o->writer.done);
}

/* Commit and apply one transaction's worth; the lock is held before and after, not between. */
static rs_status work_off(rs_online *o) {
  rs_posts *batches = take_some(o);
  pthread_mutex_unlock(&o->writer.lock);
  pthread_mutex_lock(&o->held);
  rs_status status = check_file(o);
  if (status == RS_OK) status = rs_sql_writer_carry(&o->writer, write_batches, batches);
  o->applied = batches;
  for (rs_posts *p = batches; p && status == RS_OK; p = p->next) o->options.apply(o->options.context, p->posts, p->n);
  pthread_mutex_unlock(&o->held);
  pthread_mutex_lock(&o->writer.lock);
  o->slow = false;
  o->counts.commits += status == RS_OK;
  o->counts.failures += status != RS_OK;
  settle(o, batches, status);
  return status;
}

void rs_online_takes_long(rs_online *o) {
  pthread_mutex_lock(&o->writer.lock);
  for (rs_posts *p = o->applied; p; p = p->next) p->committed = true;
  o->slow = true;
  pthread_cond_broadcast(&o->writer.done);
  pthread_mutex_unlock(&o->writer.lock);
}

/* As if it had been asked when the newest event came: a clock that is wrong at the start deletes nothing at once. */
static rs_status begin_to_believe(rs_online *o) {
  int64_t newest = RS_TIME_MISSING, wall = wall_clock();
  rs_status status = rs_online_newest(o->writer.db, &newest);
  o->ahead = (newest != RS_TIME_MISSING && newest < wall ? newest : wall) - steady_clock();
  return status;
}

/* Delete what is too old and move the log into the database, while nobody waits. */
static void tidy(rs_online *o) {
  int64_t keep_ms = o->keep_ms, now = rs_online_believe(&o->ahead, wall_clock(), steady_clock());
  if (keep_ms >= 0) rs_online_forget(o->writer.db, now - keep_ms);
  rs_sql_execute(o->writer.db, "PRAGMA wal_checkpoint(PASSIVE)");
}

static void *work(void *context) {
  rs_online *o = context;
  int64_t tidied = INT64_MIN / 2;
  pthread_mutex_lock(&o->writer.lock);
  while (!o->writer.stop || o->first) {
    rs_status status = RS_OK;
    struct timespec due = rs_sql_writer_due(PAUSE_MS);
    if (o->first) status = work_off(o);
    if (status != RS_OK) pthread_cond_timedwait(&o->writer.work, &o->writer.lock, &due);
    if (o->first || o->writer.stop) continue;
    if (steady_clock() - tidied > TIDY_MS) {
      tidied = steady_clock();
      pthread_mutex_unlock(&o->writer.lock);
      tidy(o);
      pthread_mutex_lock(&o->writer.lock);
      continue;
    }
    due = rs_sql_writer_due(TIDY_MS);
    pthread_cond_timedwait(&o->writer.work, &o->writer.lock, &due);
  }
  pthread_mutex_unlock(&o->writer.lock);
  return NULL;
}

rs_status rs_online_open(rs_online **out, const rs_online_options *options) {
  rs_online *o = rs_alloc_zero(sizeof *o);
  *out = NULL;
  if (!o) return rs_nomem("online", sizeof *o);
  o->options = *options;
  o->keep_ms = options->keep_ms;
  if (o->options.most <= 0) o->options.most = MOST;
  if (o->options.busy_ms <= 0) o->options.busy_ms = BUSY_MS;
  pthread_mutex_init(&o->held, NULL);
  rs_sql_options how = {.private = true, .busy_ms = o->options.busy_ms};
  rs_status status = rs_sql_writer_open(&o->writer, options->path, &how);
  if (status == RS_OK && !(o->path = rs_strdup(options->path))) status = rs_nomem("online", strlen(options->path));
  if (status == RS_OK) status = rs_online_migrate(o->writer.db);
  if (status == RS_OK && stat(o->path, &o->file) != 0) status = rs_fail(RS_EIO, "%s: %s", o->path, strerror(errno));
  if (status == RS_OK) status = begin_to_believe(o);
  if (status == RS_OK) status = rs_sql_writer_start(&o->writer, work, o);
  if (status == RS_OK)
    *out = o;
  else
    rs_online_free(o);
  return status;
}

int64_t rs_online_finish(rs_online *o, int timeout_ms) {
  pthread_mutex_lock(&o->writer.lock);
  struct timespec due = rs_sql_writer_due(timeout_ms);
  while (o->counts.waiting > 0 && !o->writer.stop &&
         pthread_cond_timedwait(&o->writer.done, &o->writer.lock, &due) == 0) {}
  pthread_mutex_unlock(&o->writer.lock);
  rs_sql_writer_stop(&o->writer);
  if (o->counts.lost > 0) rs_fail(RS_EIO, "%s", o->failure);
  return o->counts.lost;
}

void rs_online_free(rs_online *o) {
  if (!o) return;
  rs_online_finish(o, 0);
  rs_sql_writer_free(&o->writer);
  rs_free(o->path);
  pthread_mutex_destroy(&o->held);
  rs_free(o);
}

/* ---- whoever posts ---- */

static rs_status queue(rs_online *o, rs_posts *p, bool wait) {
  if (o->writer.stop) return rs_fail(RS_EBUSY, "the server stops");
  if (o->counts.waiting + p->n > o->options.most)
    return rs_fail(RS_EBUSY, "%lld posts wait already to be written", (long long)o->counts.waiting);
  p->wait = wait;
  p->ended = p->committed = false;
  p->holders = wait ? 2 : 1;
  p->next = NULL;
  if (o->last) o->last->next = p;
  if (!o->first) o->first = p;
  o->last = p;
  o->counts.waiting += p->n;
  pthread_cond_signal(&o->writer.work);
  return RS_OK;
}

/* Wait until it has ended, or is committed and what is left takes long; or leave it to the thread. The lock is held. */
static rs_status await(rs_online *o, rs_posts **posts, int wait_ms) {
  rs_posts *p = *posts;
  struct timespec due = rs_sql_writer_due(wait_ms);
  while (!p->ended && !o->slow && pthread_cond_timedwait(&o->writer.done, &o->writer.lock, &due) == 0) {}
  if (p->ended) return p->status == RS_OK ? RS_OK : rs_fail(p->status, "%s", p->message);
  if (p->committed) return RS_OK;
  p->wait = false;
  rs_posts_free(p);
  *posts = NULL;
  return RS_OK;
}

rs_status rs_online_post(rs_online *o, rs_posts **posts, int wait_ms) {
  pthread_mutex_lock(&o->writer.lock);
  rs_status status = queue(o, *posts, wait_ms > 0);
  if (status == RS_OK && wait_ms > 0)
    status = await(o, posts, wait_ms);
  else if (status == RS_OK)
    *posts = NULL;
  pthread_mutex_unlock(&o->writer.lock);
  return status;
}

void rs_online_keep(rs_online *o, int64_t keep_ms) { o->keep_ms = keep_ms; }

void rs_online_hold(rs_online *o) { pthread_mutex_lock(&o->held); }
void rs_online_release(rs_online *o) { pthread_mutex_unlock(&o->held); }

/* Read beside the thread, by a connection of the caller's. */
static rs_status read_kept(rs_online *o, const char *user, size_t length, rs_online_apply *apply, void *context) {
  rs_sql *db = NULL;
  rs_status status = rs_sql_open(&db, o->path, &(rs_sql_options){.read_only = true, .busy_ms = o->options.busy_ms});
  if (status == RS_OK)
    status = user ? rs_online_read_user(db, user, length, apply, context) : rs_online_read(db, apply, context);
  rs_sql_free(db);
  if (status != RS_OK) {
    pthread_mutex_lock(&o->writer.lock);
    note(o, status);
    pthread_mutex_unlock(&o->writer.lock);
  }
  return status;
}

rs_status rs_online_replay(rs_online *o, rs_online_apply *apply, void *context) {
  return read_kept(o, NULL, 0, apply, context);
}

rs_status rs_online_user(rs_online *o, const char *user, size_t length, rs_online_apply *apply, void *context) {
  return read_kept(o, user, length, apply, context);
}

rs_online_counts rs_online_counts_of(rs_online *o) {
  pthread_mutex_lock(&o->writer.lock);
  rs_online_counts counts = o->counts;
  pthread_mutex_unlock(&o->writer.lock);
  return counts;
}

rs_status rs_online_trouble(rs_online *o) {
  pthread_mutex_lock(&o->writer.lock);
  rs_status status = o->trouble;
  if (status != RS_OK) rs_fail(status, "%s", o->failure);
  pthread_mutex_unlock(&o->writer.lock);
  return status;
}
