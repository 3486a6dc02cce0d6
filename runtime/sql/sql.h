/* sql.h - an embedded database: prepared statements and transactions over SQLite. Knows no schema.
 *
 * A connection belongs to one thread. Statements are prepared once and kept by their text, the STATEMENTS least lately
 * used ones at the most; one that is at work already is prepared a second time. In WAL mode with synchronous=NORMAL a
 * kill loses no commit and a power cut at most the last ones. Foreign keys are enforced. */
#ifndef RS_SQL_H
#define RS_SQL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct rs_sql rs_sql;
typedef struct rs_statement rs_statement;

typedef struct rs_sql_options {
  bool read_only; /* the file must be there; nothing is written */
  bool private;   /* a file that is made is its owner's alone (0600), and so are those beside it; one that is there stays
                   * as it is */
  bool no_wal;    /* leave the journal mode as the file has it */
  int busy_ms;    /* how long to wait for another process's lock */
} rs_sql_options;

typedef enum rs_sql_type { RS_SQL_NULL, RS_SQL_INTEGER, RS_SQL_REAL, RS_SQL_TEXT, RS_SQL_BLOB } rs_sql_type;

/* A value: of a column, valid until its statement's next step, or of a parameter, copied. */
typedef struct rs_sql_value {
  rs_sql_type type;
  int64_t integer;
  double real;
  const char *bytes; /* text (not terminated) or blob */
  size_t size;       /* bytes */
} rs_sql_value;

/* A statement: 'size' bytes. */
typedef struct rs_sql_text {
  const char *bytes;
  size_t size;
} rs_sql_text;

/* Open the database at 'path', made unless read_only; ":memory:" is one that nobody else sees. RS_EIO when it cannot be
 * opened, RS_EFORMAT when the file is no database, RS_EBUSY, RS_ENOMEM. */
rs_status rs_sql_open(rs_sql **out, const char *path, const rs_sql_options *options);

/* Finalises all statements, those at work too, and closes; NULL is fine. */
void rs_sql_free(rs_sql *db);

/* Run all statements of 'text', which have neither parameters nor results. */
rs_status rs_sql_execute(rs_sql *db, const char *text);

/* Take a statement from those that are kept, or prepare it: one statement, 'size' bytes of 'text'. Give it back with
 * rs_sql_done. RS_EARG with SQLite's message when it makes no sense. */
rs_status rs_sql_prepare(rs_statement **out, rs_sql *db, const char *text, size_t size);

/* Reset the statement, forget its parameters and keep it for later. NULL is fine. */
void rs_sql_done(rs_statement *s);

int rs_sql_parameters(const rs_statement *s);
int rs_sql_parameter(const rs_statement *s, const char *name); /* 0-based, name without ':'; -1 when there is none */
rs_status rs_sql_bind(rs_statement *s, int parameter, const rs_sql_value *value); /* 0-based */

/* The next row; *row is false behind the last. RS_EBUSY after busy_ms, RS_ECONSTRAINT, RS_EIO, ... */
rs_status rs_sql_step(rs_statement *s, bool *row);

/* Run a statement to its end with parameters ?1, ?2, ...; those that it does not have are left out. */
rs_status rs_sql_run(rs_sql *db, rs_sql_text text, const rs_sql_value *values, int n);

int rs_sql_columns(const rs_statement *s);
const char *rs_sql_column_name(const rs_statement *s, int column);
rs_sql_value rs_sql_column(const rs_statement *s, int column);

int64_t rs_sql_changes(const rs_sql *db); /* rows that the last INSERT, UPDATE or DELETE changed */
int64_t rs_sql_last_id(const rs_sql *db); /* rowid of the last INSERT */
bool rs_sql_in_transaction(const rs_sql *db);
const char *rs_sql_path(const rs_sql *db); /* of its file; NULL when it has none */
int rs_sql_busy_ms(const rs_sql *db);

#endif
