/* sql.c - see sql.h. */
#include "sql/sql.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

enum { STATEMENTS = 64 };

struct rs_statement {
  rs_sql *db;
  sqlite3_stmt *handle;
  int64_t used; /* when, by the connection's count */
  bool at_work;
  rs_statement *next;
};

struct rs_sql {
  sqlite3 *handle;
  rs_statement *statements; /* all there are */
  int64_t count;
  int busy_ms;
};

static rs_status status_of(int code) {
  switch (code & 0xff) {
    case SQLITE_NOMEM: return RS_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return RS_EBUSY;
    case SQLITE_CONSTRAINT: return RS_ECONSTRAINT;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT: return RS_EFORMAT;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH: return RS_EARG;
    default: return RS_EIO;
  }
}

/* What SQLite says of its last failure, behind the file's name. */
static rs_status failed(const rs_sql *db, int code) {
  const char *path = rs_sql_path(db);
  return rs_fail(status_of(code), "%s: %s", path ? path : "database", sqlite3_errmsg(db->handle));
}

static rs_status set_up(rs_sql *db, const rs_sql_options *o) {
  sqlite3_extended_result_codes(db->handle, 1);
  sqlite3_busy_timeout(db->handle, db->busy_ms = o->busy_ms);
  rs_status status = rs_sql_execute(db, "PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL;");
  if (status == RS_OK && !o->read_only && !o->no_wal) {
    /* The only pragma that may be refused for a lock without waiting for it: a file that is in WAL mode already stays
     * so, and one that another process is just turning will be. */
    status = rs_sql_execute(db, "PRAGMA journal_mode = WAL;");
    if (status == RS_EBUSY) status = RS_OK;
  }
  /* Look into the file now: what is no database is to be said here. */
  return status == RS_OK ? rs_sql_execute(db, "SELECT count(*) FROM sqlite_master;") : status;
}

/* The files beside it get its mode from SQLite. What keeps it from being made is SQLite's to tell. */
static void make_private(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
}

rs_status rs_sql_open(rs_sql **out, const char *path, const rs_sql_options *options) {
  rs_sql *db = rs_alloc_zero(sizeof *db);
  if (!db) return rs_fail(RS_ENOMEM, "%s: no memory to open it", path);
  rs_status status = RS_OK;
  if (options->private && !options->read_only) make_private(path);
  int flags = options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
  if (code != SQLITE_OK)
    status = rs_fail(status_of(code), "%s: %s", path, db->handle ? sqlite3_errmsg(db->handle) : "no memory");
  else
    status = set_up(db, options);
  if (status != RS_OK) {
    rs_sql_free(db);
    return status;
  }
  *out = db;
  return RS_OK;
}

void rs_sql_free(rs_sql *db) {
  if (!db) return;
  while (db->statements) {
    rs_statement *s = db->statements;
    db->statements = s->next;
    sqlite3_finalize(s->handle);
    rs_free(s);
  }
  sqlite3_close(db->handle);
  rs_free(db);
}

rs_status rs_sql_execute(rs_sql *db, const char *text) {
  int code = sqlite3_exec(db->handle, text, NULL, NULL, NULL);
  return code == SQLITE_OK ? RS_OK : failed(db, code);
}

/* A kept statement of this text that is not at work. */
static rs_statement *kept(const rs_sql *db, const char *text, size_t size) {
  for (rs_statement *s = db->statements; s; s = s->next) {
    const char *own = sqlite3_sql(s->handle);
    if (!s->at_work && strncmp(own, text, size) == 0 && own[size] == 0) return s;
  }
  return NULL;
}

/* Finalise the least lately used statement where there are too many. */
static void make_room(rs_sql *db) {
  rs_statement **oldest = NULL;
  int n = 0;
  for (rs_statement **at = &db->statements; *at; at = &(*at)->next) {
    n++;
    if (!(*at)->at_work && (!oldest || (*at)->used < (*oldest)->used)) oldest = at;
  }
  if (n < STATEMENTS || !oldest) return;
  rs_statement *s = *oldest;
  *oldest = s->next;
  sqlite3_finalize(s->handle);
  rs_free(s);
}

/* Only blanks and semicolons: what may stand behind a statement. */
static bool is_blank(const char *text, const char *end) {
  while (text < end && strchr(" \t\r\n;", *text)) text++;
  return text == end;
}

/* A new statement among the connection's. */
static rs_status prepare(rs_statement **out, rs_sql *db, const char *text, size_t size) {
  make_room(db);
  rs_statement *s = rs_alloc_zero(sizeof *s);
  if (!s) return rs_fail(RS_ENOMEM, "no memory for a statement");
  const char *behind = NULL;
  rs_status status = RS_OK;
  int code = sqlite3_prepare_v3(db->handle, text, (int)size, SQLITE_PREPARE_PERSISTENT, &s->handle, &behind);
  if (code != SQLITE_OK)
    status = failed(db, code);
  else if (!s->handle || !is_blank(behind, text + size))
    status = rs_fail(RS_EARG, "one statement is expected, not none or several: %.200s", text);
  if (status != RS_OK) {
    sqlite3_finalize(s->handle);
    rs_free(s);
    return status;
  }
  s->db = db;
  s->next = db->statements;
  db->statements = s;
  *out = s;
  return RS_OK;
}

rs_status rs_sql_prepare(rs_statement **out, rs_sql *db, const char *text, size_t size) {
  if (size > INT32_MAX || memchr(text, 0, size)) return rs_fail(RS_EARG, "a statement is no text of SQL");
  rs_statement *s = kept(db, text, size);
  rs_status status = s ? RS_OK : prepare(&s, db, text, size);
  if (status != RS_OK) return status;
  s->at_work = true;
  s->used = ++db->count;
  *out = s;
  return RS_OK;
}

void rs_sql_done(rs_statement *s) {
  if (!s) return;
  sqlite3_reset(s->handle);
  sqlite3_clear_bindings(s->handle);
  s->at_work = false;
}

int rs_sql_parameters(const rs_statement *s) { return sqlite3_bind_parameter_count(s->handle); }

int rs_sql_parameter(const rs_statement *s, const char *name) {
  char full[128];
  int length = snprintf(full, sizeof full, ":%s", name);
  return length < (int)sizeof full ? sqlite3_bind_parameter_index(s->handle, full) - 1 : -1;
}

rs_status rs_sql_bind(rs_statement *s, int parameter, const rs_sql_value *value) {
  int code = SQLITE_OK, at = parameter + 1;
  switch (value->type) {
    case RS_SQL_NULL: code = sqlite3_bind_null(s->handle, at); break;
    case RS_SQL_INTEGER: code = sqlite3_bind_int64(s->handle, at, value->integer); break;
    case RS_SQL_REAL: code = sqlite3_bind_double(s->handle, at, value->real); break;
    case RS_SQL_TEXT:
      code = sqlite3_bind_text64(s->handle, at, value->bytes, value->size, SQLITE_TRANSIENT, SQLITE_UTF8);
      break;
    case RS_SQL_BLOB: code = sqlite3_bind_blob64(s->handle, at, value->bytes, value->size, SQLITE_TRANSIENT); break;
  }
  return code == SQLITE_OK ? RS_OK : failed(s->db, code);
}

rs_status rs_sql_step(rs_statement *s, bool *row) {
  int code = sqlite3_step(s->handle);
  *row = code == SQLITE_ROW;
  return code == SQLITE_ROW || code == SQLITE_DONE ? RS_OK : failed(s->db, code);
}

rs_status rs_sql_run(rs_sql *db, rs_sql_text text, const rs_sql_value *values, int n) {
  rs_statement *s = NULL;
  rs_status status = rs_sql_prepare(&s, db, text.bytes, text.size);
  if (status != RS_OK) return status;
  int own = rs_sql_parameters(s);
  for (int i = 0; i < n && i < own && status == RS_OK; i++) status = rs_sql_bind(s, i, &values[i]);
  for (bool row = true; row && status == RS_OK;) status = rs_sql_step(s, &row);
  rs_sql_done(s);
  return status;
}

int rs_sql_columns(const rs_statement *s) { return sqlite3_column_count(s->handle); }

const char *rs_sql_column_name(const rs_statement *s, int column) { return sqlite3_column_name(s->handle, column); }

rs_sql_value rs_sql_column(const rs_statement *s, int column) {
  sqlite3_stmt *h = s->handle;
  rs_sql_value value = {.type = RS_SQL_NULL};
  switch (sqlite3_column_type(h, column)) {
    case SQLITE_INTEGER: return (rs_sql_value){.type = RS_SQL_INTEGER, .integer = sqlite3_column_int64(h, column)};
    case SQLITE_FLOAT: return (rs_sql_value){.type = RS_SQL_REAL, .real = sqlite3_column_double(h, column)};
    case SQLITE_TEXT:
      value.type = RS_SQL_TEXT;
      value.bytes = (const char *)sqlite3_column_text(h, column);
      break;
    case SQLITE_BLOB:
      value.type = RS_SQL_BLOB;
      value.bytes = sqlite3_column_blob(h, column);
      break;
  }
  if (value.bytes) value.size = (size_t)sqlite3_column_bytes(h, column);
  return value;
}

int64_t rs_sql_changes(const rs_sql *db) { return sqlite3_changes64(db->handle); }

int64_t rs_sql_last_id(const rs_sql *db) { return sqlite3_last_insert_rowid(db->handle); }

bool rs_sql_in_transaction(const rs_sql *db) { return !sqlite3_get_autocommit(db->handle); }

const char *rs_sql_path(const rs_sql *db) {
  const char *path = sqlite3_db_filename(db->handle, "main");
  return path && *path ? path : NULL;
}

int rs_sql_busy_ms(const rs_sql *db) { return db->busy_ms; }
