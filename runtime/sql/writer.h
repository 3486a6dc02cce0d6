/* writer.h - a thread that writes with a connection of its own what others queue: rows that are run later (later.h), what
 * is posted to a server (serve/online.h).
 *
 * The queue is its owner's, and so is what the thread does: it waits for 'work' under the lock, takes what waits,
 * carries it in one transaction without the lock, notes what came of that, and tells those who wait for 'done'. */
#ifndef RS_SQL_WRITER_H
#define RS_SQL_WRITER_H
#include <pthread.h>
#include <time.h>

#include "sql/sql.h"

typedef struct rs_sql_writer {
  rs_sql *db; /* the thread's, once it runs */
  bool running;
  pthread_t thread;
  pthread_mutex_t lock; /* of the queue, and of what follows */
  pthread_cond_t work, done;
  bool stop;
} rs_sql_writer;

/* Open the database; as rs_sql_open. rs_sql_writer_free is due also after a failure. */
rs_status rs_sql_writer_open(rs_sql_writer *w, const char *path, const rs_sql_options *options);
/* Run 'work', which returns when it sees 'stop'. It does not see the program's signals. RS_ENOMEM when the system
 * refuses a thread. */
rs_status rs_sql_writer_start(rs_sql_writer *w, void *(*work)(void *), void *context);
/* Ask the thread to stop, and wait for its end; once more is fine. */
void rs_sql_writer_stop(rs_sql_writer *w);
/* The same, and close. */
void rs_sql_writer_free(rs_sql_writer *w);

/* A moment of the clock that 'work' and 'done' wait by. */
struct timespec rs_sql_writer_due(int ms);

/* Run 'write' within a transaction. What it fails with, and a commit that fails, undoes it, with its message. */
rs_status rs_sql_writer_carry(const rs_sql_writer *w, rs_status (*write)(void *context, rs_sql *db), void *context);

#endif
