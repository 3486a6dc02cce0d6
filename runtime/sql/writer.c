/* writer.c - see writer.h. */
#include "sql/writer.h"

#include <signal.h>
#include <stdio.h>

rs_status rs_sql_writer_open(rs_sql_writer *w, const char *path, const rs_sql_options *options) {
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&w->work, &clock);
  pthread_cond_init(&w->done, &clock);
  pthread_condattr_destroy(&clock);
  pthread_mutex_init(&w->lock, NULL);
  w->db = NULL;
  w->running = w->stop = false;
  return rs_sql_open(&w->db, path, options);
}

rs_status rs_sql_writer_start(rs_sql_writer *w, void *(*work)(void *), void *context) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  w->running = pthread_create(&w->thread, NULL, work, context) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return w->running ? RS_OK : rs_fail(RS_ENOMEM, "the system refuses a thread");
}

void rs_sql_writer_stop(rs_sql_writer *w) {
  pthread_mutex_lock(&w->lock);
  w->stop = true;
  pthread_cond_signal(&w->work);
  pthread_mutex_unlock(&w->lock);
  if (w->running) pthread_join(w->thread, NULL);
  w->running = false;
}

void rs_sql_writer_free(rs_sql_writer *w) {
  rs_sql_writer_stop(w);
  rs_sql_free(w->db);
  w->db = NULL;
  pthread_cond_destroy(&w->work);
  pthread_cond_destroy(&w->done);
  pthread_mutex_destroy(&w->lock);
}

struct timespec rs_sql_writer_due(int ms) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_nsec += ms % 1000 * 1000000L;
  t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000L;
  t.tv_nsec %= 1000000000L;
  return t;
}

rs_status rs_sql_writer_carry(const rs_sql_writer *w, rs_status (*write)(void *context, rs_sql *db), void *context) {
  char message[512];
  rs_status status = rs_sql_execute(w->db, "BEGIN IMMEDIATE");
  if (status == RS_OK) status = write(context, w->db);
  if (status == RS_OK) status = rs_sql_execute(w->db, "COMMIT");
  if (status == RS_OK || !rs_sql_in_transaction(w->db)) return status;
  snprintf(message, sizeof message, "%s", rs_message());
  rs_sql_execute(w->db, "ROLLBACK");
  return rs_fail(status, "%s", message);
}
