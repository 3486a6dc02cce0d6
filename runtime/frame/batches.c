/* batches.c - see batches.h. One slot between the two threads, under one lock. */
#include "frame/batches.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

typedef struct part {
  rs_features features;
  rs_tensor rows; /* empty: the position itself */
} part;

struct rs_batches {
  part *parts;
  int n_parts;
  rs_tensor order, bounds;
  int64_t steps, taken; /* batches handed out */
  int64_t *rows;        /* [longest batch]: the thread's */
  bool failed;          /* a failure was told */
  bool running;         /* there is a thread to join */
  pthread_t thread;
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  bool stop, full;
  rs_tensors slot; /* the batch that lies ready, when 'full' */
  rs_status status;
  char message[512]; /* what went wrong with it */
};

/* ---- the thread ---- */

static rs_status gather(const rs_batches *b, int64_t step, rs_tensors *batch) {
  int64_t first = rs_i64(&b->bounds)[step], n = rs_i64(&b->bounds)[step + 1] - first;
  const int64_t *at = rs_i64(&b->order) + first;
  rs_status status = RS_OK;
  for (int k = 0; k < b->n_parts && status == RS_OK; k++) {
    const part *p = &b->parts[k];
    const int64_t *rows = p->rows.storage ? rs_i64(&p->rows) : NULL;
    for (int64_t i = 0; i < n; i++) b->rows[i] = rows ? rows[at[i]] : at[i];
    status = rs_features_gather(&p->features, b->rows, n, batch);
  }
  return status;
}

/* Wait until the slot is free; false when it is time to stop. */
static bool wait_for_room(rs_batches *b) {
  pthread_mutex_lock(&b->lock);
  while (b->full && !b->stop) pthread_cond_wait(&b->changed, &b->lock);
  bool go_on = !b->stop;
  pthread_mutex_unlock(&b->lock);
  return go_on;
}

static void put(rs_batches *b, rs_tensors *batch, rs_status status) {
  pthread_mutex_lock(&b->lock);
  b->slot = *batch;
  b->status = status;
  if (status != RS_OK) snprintf(b->message, sizeof b->message, "%s", rs_message());
  b->full = true;
  pthread_cond_signal(&b->changed);
  pthread_mutex_unlock(&b->lock);
}

static void *work(void *context) {
  rs_batches *b = context;
  rs_parallel_alone();
  rs_status status = RS_OK;
  for (int64_t step = 0; step < b->steps && status == RS_OK && wait_for_room(b); step++) {
    rs_tensors batch = {0};
    status = gather(b, step, &batch);
    put(b, &batch, status);
  }
  return NULL;
}

/* ---- its owner ---- */

static rs_status check_bounds(const rs_batches *b, int64_t *longest) {
  const int64_t *bounds = rs_i64(&b->bounds);
  int64_t n = b->order.size[0];
  for (int64_t i = 0; i <= b->steps; i++) {
    int64_t before = i ? bounds[i - 1] : 0;
    if (bounds[i] < before || bounds[i] > n)
      return rs_fail(RS_EARG, "batches: bound %lld is %lld; bounds must rise from 0 to at most %lld", (long long)i,
                     (long long)bounds[i], (long long)n);
    if (i && bounds[i] - before > *longest) *longest = bounds[i] - before;
  }
  return RS_OK;
}

static rs_status check_order(const rs_batches *b) {
  const int64_t *order = rs_i64(&b->order);
  for (int k = 0; k < b->n_parts; k++) {
    const part *p = &b->parts[k];
    int64_t most = p->rows.storage ? p->rows.size[0] : p->features.rows;
    for (int64_t i = 0; i < b->order.size[0]; i++)
      if (order[i] < 0 || order[i] >= most)
        return rs_fail(RS_ERANGE, "batches: position %lld of %lld", (long long)order[i], (long long)most);
  }
  return RS_OK;
}

static rs_status take_parts(rs_batches *b, const rs_batch_part *parts, int n_parts) {
  b->parts = rs_alloc_zero((size_t)n_parts * sizeof *b->parts);
  if (!b->parts) return rs_nomem("batches", (size_t)n_parts * sizeof *b->parts);
  rs_status status = RS_OK;
  for (int k = 0; k < n_parts && status == RS_OK; k++) {
    status = rs_features_share(&b->parts[k].features, parts[k].features);
    if (status != RS_OK) break;
    b->n_parts++;
    if (parts[k].rows) rs_tensor_share(&b->parts[k].rows, parts[k].rows);
  }
  return status;
}

/* The thread is not to see the program's signals. */
static rs_status start(rs_batches *b) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  b->running = pthread_create(&b->thread, NULL, work, b) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return b->running ? RS_OK : rs_fail(RS_ENOMEM, "batches: the system refuses a thread");
}

static rs_status prepare(rs_batches *b, const rs_batch_part *parts, int n_parts) {
  int64_t longest = 0;
  rs_status status = take_parts(b, parts, n_parts);
  if (status == RS_OK && b->steps < 0) status = rs_fail(RS_EARG, "batches: there are no bounds");
  if (status == RS_OK) status = check_bounds(b, &longest);
  if (status == RS_OK) status = check_order(b);
  if (status != RS_OK) return status;
  b->rows = rs_alloc((size_t)longest * sizeof *b->rows);
  return b->rows ? start(b) : rs_nomem("batches", (size_t)longest * sizeof *b->rows);
}

rs_status rs_batches_new(rs_batches **out, const rs_batch_part *parts, int n_parts, const rs_tensor *order,
                         const rs_tensor *bounds) {
  rs_batches *b = rs_alloc_zero(sizeof *b);
  if (!b) return rs_nomem("batches", sizeof *b);
  pthread_mutex_init(&b->lock, NULL);
  pthread_cond_init(&b->changed, NULL);
  rs_tensor_share(&b->order, order);
  rs_tensor_share(&b->bounds, bounds);
  b->steps = bounds->size[0] - 1;
  rs_status status = prepare(b, parts, n_parts);
  if (status == RS_OK)
    *out = b;
  else
    rs_batches_free(b);
  return status;
}

rs_status rs_batches_next(rs_batches *b, rs_tensors *batch, bool *more) {
  *more = b->taken < b->steps && !b->failed;
  if (!*more) return RS_OK;
  pthread_mutex_lock(&b->lock);
  while (!b->full) pthread_cond_wait(&b->changed, &b->lock);
  *batch = b->slot;
  b->slot = (rs_tensors){0};
  rs_status status = b->status;
  b->full = false;
  b->failed = status != RS_OK;
  b->taken++;
  pthread_cond_signal(&b->changed);
  pthread_mutex_unlock(&b->lock);
  return status == RS_OK ? RS_OK : rs_fail(status, "%s", b->message);
}

void rs_batches_free(rs_batches *b) {
  if (!b) return;
  pthread_mutex_lock(&b->lock);
  b->stop = true;
  pthread_cond_signal(&b->changed);
  pthread_mutex_unlock(&b->lock);
  if (b->running) pthread_join(b->thread, NULL);
  rs_tensors_free(&b->slot);
  for (int k = 0; k < b->n_parts; k++) {
    rs_features_free(&b->parts[k].features);
    rs_tensor_free(&b->parts[k].rows);
  }
  rs_tensor_free(&b->order);
  rs_tensor_free(&b->bounds);
  pthread_cond_destroy(&b->changed);
  pthread_mutex_destroy(&b->lock);
  rs_free(b->parts);
  rs_free(b->rows);
  rs_free(b);
}
