/* later.h - statements that are run soon, by a thread of their own: whoever logs does not wait for the disk.
 *
 * A row is some statements and the parameters ?1, ?2, ... that they share. Rows wait in memory for a quarter of a second
 * at the most; then one transaction, on a connection of the thread's own, carries all that wait, in order, and none in
 * part. So a process that is killed loses what it added in its last moments, whatever its other threads were at.
 *
 * When the database cannot be written (RS_EBUSY after the connection's busy_ms, RS_EIO, RS_ENOMEM) rows wait for the
 * next attempt. A statement that is refused (RS_ECONSTRAINT, RS_EARG) is left out, with the rest of its row. Either is
 * told by the next rs_later_failure. One thread owns the queue, that of the connection beside which it stands. */
#ifndef RS_LATER_H
#define RS_LATER_H
#include "sql/sql.h"

enum { RS_LATER_TEXTS = 4, RS_LATER_VALUES = 16 }; /* statements and parameters of a row */

typedef struct rs_later rs_later;

/* A queue for the file of 'db', whose patience with other processes it has. RS_EARG when 'db' has no file, else as
 * rs_sql_open; RS_ENOMEM also when the system refuses a thread. */
rs_status rs_later_new(rs_later **out, const rs_sql *db);
/* Makes one more attempt to write what waits, and ends the thread; NULL is fine. */
void rs_later_free(rs_later *l);

/* Take a row; what it holds is copied. Waits while 32 MiB wait, unless the database cannot be written: then the row is
 * lost, and the reason is returned. RS_ENOMEM; RS_EARG for a row of too many statements or parameters. */
rs_status rs_later_add(rs_later *l, const rs_sql_text *texts, int n_texts, const rs_sql_value *values, int n);

/* Wait until all rows so far are written or left out, or until an attempt has failed. */
void rs_later_wait(rs_later *l);

/* What the thread has met since this was last asked, with its message; RS_OK when there was nothing, or when rows that
 * had to wait are written by now. */
rs_status rs_later_failure(rs_later *l);

typedef struct rs_later_counts {
  int64_t waiting; /* rows that are not written yet */
  int64_t lost;    /* rows that were left out, in whole or in part */
} rs_later_counts;

rs_later_counts rs_later_count(rs_later *l);

#endif
