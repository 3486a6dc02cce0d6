/* later.c - see later.h. Two buffers of rows: one that is added to, under the lock, and one that the thread carries. */
#include "sql/later.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "sql/writer.h"

enum { WAIT_MS = 250, MOST = 32 << 20, ENOUGH = 1 << 20 }; /* bytes that make adding wait; that are carried at once */

/* A text that rows name, kept for good: there are a few. */
typedef struct text {
  struct text *next;
  size_t size;
  char bytes[];
} text;

typedef struct rows {
  rs_buffer bytes;
  int64_t n;
} rows;

struct rs_later {
  rs_sql_writer writer;
  rows batch;  /* what it carries; kept when it cannot */
  int64_t refused; /* rows of the batch */
  rs_status refusal;
  char refusal_message[512];
  text *texts; /* the owner's */
  rows queue; /* under the writer's lock, as what follows */
  int64_t added, ended, lost;
  bool urgent;
  rs_status status;  /* of the last attempt */
  rs_status failure; /* what was not told yet, with its message */
  char message[640];
};

/* Whether rows are worth another attempt. */
static bool is_passing(rs_status status) { return status == RS_EBUSY || status == RS_EIO || status == RS_ENOMEM; }

/* ---- a row: how many texts, how many values, the texts, and of each value itself and its bytes ---- */

static rs_status append_row(rs_buffer *b, const text *const *texts, int n_texts, const rs_sql_value *values, int n) {
  size_t bytes = 2 * sizeof(int) + (size_t)n_texts * sizeof *texts + (size_t)n * sizeof *values;
  for (int i = 0; i < n; i++) bytes += values[i].size;
  rs_status status = rs_buffer_reserve(b, bytes);
  if (status != RS_OK) return status;
  rs_buffer_append(b, (int[]){n_texts, n}, 2 * sizeof(int));
  rs_buffer_append(b, texts, (size_t)n_texts * sizeof *texts);
  for (int i = 0; i < n; i++) {
    rs_buffer_append(b, &values[i], sizeof values[i]);
    rs_buffer_append(b, values[i].bytes, values[i].size);
  }
  return RS_OK;
}

static void take(void *into, const char **at, size_t n) {
  memcpy(into, *at, n);
  *at += n;
}

/* ---- the thread ---- */

/* Run the row that begins at *at, and go behind it. */
static rs_status run_row(rs_sql *db, const char **at) {
  int counts[2];
  const text *texts[RS_LATER_TEXTS];
  rs_sql_value values[RS_LATER_VALUES];
  take(counts, at, sizeof counts);
  take(texts, at, (size_t)counts[0] * sizeof *texts);
  for (int i = 0; i < counts[1]; i++) {
    take(&values[i], at, sizeof values[i]);
    values[i].bytes = *at;
    *at += values[i].size;
  }
  rs_status status = RS_OK;
  for (int i = 0; i < counts[0] && status == RS_OK; i++)
    status = rs_sql_run(db, (rs_sql_text){texts[i]->bytes, texts[i]->size}, values, counts[1]);
  return status;
}

static void refuse(rs_later *l, rs_status status) {
  if (l->refused++ == 0) snprintf(l->refusal_message, sizeof l->refusal_message, "%s", rs_message());
  l->refusal = status;
}

/* The batch, within a transaction. */
static rs_status write_batch(void *later, rs_sql *db) {
  rs_later *l = later;
  const char *at = l->batch.bytes.data, *end = at + l->batch.bytes.size;
  rs_status status = RS_OK;
  while (status == RS_OK && at < end) {
    status = run_row(db, &at);
    if (status == RS_OK || is_passing(status)) continue;
    refuse(l, status);
    status = RS_OK;
  }
  return status;
}

/* Note how an attempt went; the lock is held. */
static void note(rs_later *l, rs_status status) {
  l->status = status;
  if (status == RS_OK && is_passing(l->failure)) l->failure = RS_OK;
  if (status != RS_OK) {
    l->failure = status;
    snprintf(l->message, sizeof l->message, "%s", rs_message());
  } else if (l->refused > 0) {
    l->failure = l->refusal;
    snprintf(l->message, sizeof l->message, "%s (%lld left out)", l->refusal_message, (long long)l->refused);
  }
  if (!is_passing(status)) {
    l->lost += status == RS_OK ? l->refused : l->batch.n;
    l->ended += l->batch.n;
    l->batch.n = 0;
    l->batch.bytes.size = 0;
    if (l->batch.bytes.capacity > ENOUGH) rs_buffer_free(&l->batch.bytes);
  }
  pthread_cond_broadcast(&l->writer.done);
}

/* Whether rows are to be carried without waiting for more. */
static bool is_pressing(const rs_later *l) {
  return l->urgent || l->writer.stop || (l->status == RS_OK && l->queue.bytes.size >= ENOUGH);
}

/* Wait until it is time to carry rows; false when the end has come. The lock is held. */
static bool wait_for_rows(rs_later *l) {
  while (l->added == l->ended && !l->writer.stop) pthread_cond_wait(&l->writer.work, &l->writer.lock);
  struct timespec due = rs_sql_writer_due(WAIT_MS);
  while (!is_pressing(l) && pthread_cond_timedwait(&l->writer.work, &l->writer.lock, &due) == 0) {}
  l->urgent = false;
  return l->added > l->ended && !(l->writer.stop && l->status != RS_OK);
}

static void *work(void *context) {
  rs_later *l = context;
  pthread_mutex_lock(&l->writer.lock);
  while (wait_for_rows(l)) {
    if (l->batch.n == 0) {
      rows carried = l->queue;
      l->queue = l->batch;
      l->batch = carried;
    }
    pthread_mutex_unlock(&l->writer.lock);
    l->refused = 0;
    rs_status status = rs_sql_writer_carry(&l->writer, write_batch, l);
    pthread_mutex_lock(&l->writer.lock);
    note(l, status);
  }
  pthread_mutex_unlock(&l->writer.lock);
  return NULL;
}

/* ---- its owner ---- */

rs_status rs_later_new(rs_later **out, const rs_sql *db) {
  const char *path = rs_sql_path(db);
  if (!path) return rs_fail(RS_EARG, "a database without a file is nothing that a second connection sees");
  rs_later *l = rs_alloc_zero(sizeof *l);
  if (!l) return rs_nomem("later", sizeof *l);
  rs_sql_options how = {.no_wal = true, .busy_ms = rs_sql_busy_ms(db)};
  rs_status status = rs_sql_writer_open(&l->writer, path, &how);
  if (status == RS_OK) status = rs_sql_writer_start(&l->writer, work, l);
  if (status == RS_OK)
    *out = l;
  else
    rs_later_free(l);
  return status;
}

void rs_later_free(rs_later *l) {
  if (!l) return;
  pthread_mutex_lock(&l->writer.lock);
  l->writer.stop = true;
  l->status = RS_OK; /* for one more attempt */
  pthread_mutex_unlock(&l->writer.lock);
  rs_sql_writer_free(&l->writer);
  while (l->texts) {
    text *t = l->texts;
    l->texts = t->next;
    rs_free(t);
  }
  rs_buffer_free(&l->queue.bytes);
  rs_buffer_free(&l->batch.bytes);
  rs_free(l);
}

/* Our copy of a text; NULL when memory is refused. */
static const text *known(rs_later *l, rs_sql_text given) {
  for (text *t = l->texts; t; t = t->next)
    if (t->size == given.size && memcmp(t->bytes, given.bytes, given.size) == 0) return t;
  text *t = rs_alloc(sizeof *t + given.size);
  if (!t) return NULL;
  t->next = l->texts;
  t->size = given.size;
  memcpy(t->bytes, given.bytes, given.size);
  l->texts = t;
  return t;
}

/* Wait for room in the queue; false when there will be none. The lock is held. */
static bool wait_for_room(rs_later *l) {
  while (l->queue.bytes.size > MOST && l->status == RS_OK) pthread_cond_wait(&l->writer.done, &l->writer.lock);
  return l->queue.bytes.size <= MOST;
}

static rs_status queue_row(rs_later *l, const text *const *texts, int n_texts, const rs_sql_value *values, int n) {
  if (!wait_for_room(l)) {
    l->lost++;
    return rs_fail(l->status, "%s", l->message);
  }
  rs_status status = append_row(&l->queue.bytes, texts, n_texts, values, n);
  if (status != RS_OK) return status;
  l->queue.n++;
  if (l->added++ == l->ended || l->queue.bytes.size >= ENOUGH) pthread_cond_signal(&l->writer.work);
  return RS_OK;
}

rs_status rs_later_add(rs_later *l, const rs_sql_text *texts, int n_texts, const rs_sql_value *values, int n) {
  if (n_texts > RS_LATER_TEXTS || n > RS_LATER_VALUES)
    return rs_fail(RS_EARG, "%d statements with %d parameters; at most %d and %d are taken", n_texts, n, RS_LATER_TEXTS,
                   RS_LATER_VALUES);
  const text *own[RS_LATER_TEXTS];
  for (int i = 0; i < n_texts; i++) {
    own[i] = known(l, texts[i]);
    if (!own[i]) return rs_nomem("later", texts[i].size);
  }
  pthread_mutex_lock(&l->writer.lock);
  rs_status status = queue_row(l, own, n_texts, values, n);
  pthread_mutex_unlock(&l->writer.lock);
  return status;
}

void rs_later_wait(rs_later *l) {
  pthread_mutex_lock(&l->writer.lock);
  int64_t wanted = l->added;
  l->status = RS_OK;
  while (l->ended < wanted && l->status == RS_OK) {
    l->urgent = true;
    pthread_cond_signal(&l->writer.work);
    pthread_cond_wait(&l->writer.done, &l->writer.lock);
  }
  pthread_mutex_unlock(&l->writer.lock);
}

rs_status rs_later_failure(rs_later *l) {
  pthread_mutex_lock(&l->writer.lock);
  rs_status status = l->failure;
  if (status != RS_OK) rs_fail(status, "%s", l->message);
  l->failure = RS_OK;
  pthread_mutex_unlock(&l->writer.lock);
  return status;
}

rs_later_counts rs_later_count(rs_later *l) {
  pthread_mutex_lock(&l->writer.lock);
  rs_later_counts counts = {l->added - l->ended, l->lost};
  pthread_mutex_unlock(&l->writer.lock);
  return counts;
}
