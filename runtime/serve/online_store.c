/* online_store.c - see online_store.h. The version of the tables stands in online_version, as the file's own number of
 * versions is that of the other tables in it. */
#include "serve/online_store.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/json.h"
#include "frame/column.h"

/* Each is applied once, in order, and never changed once it was published. */
static const char *const migrations[] = {
    "CREATE TABLE online_events ("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, user TEXT NOT NULL, item TEXT NOT NULL,"
    "  time INTEGER NOT NULL, received INTEGER NOT NULL, fields TEXT) STRICT;"
    "CREATE UNIQUE INDEX online_events_id ON online_events (id) WHERE id IS NOT NULL;"
    "CREATE INDEX online_events_user ON online_events (user);"
    "CREATE INDEX online_events_received ON online_events (received);"
    "CREATE TABLE online_items ("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL UNIQUE, title TEXT, created INTEGER, fields TEXT,"
    "  removed INTEGER NOT NULL, received INTEGER NOT NULL) STRICT;"
    "CREATE TABLE online_erased (user TEXT NOT NULL PRIMARY KEY, received INTEGER NOT NULL) STRICT, WITHOUT ROWID;"};

enum { VERSIONS = sizeof migrations / sizeof *migrations, AT_ONCE = 1000 };

static rs_sql_text text_of(const char *text) { return (rs_sql_text){text, strlen(text)}; }

/* ---- versions ---- */

static rs_status version_of(rs_sql *db, int64_t *version) {
  static const char text[] = "SELECT coalesce(max(version), 0) FROM online_version";
  rs_statement *s = NULL;
  bool row = false;
  rs_status status = rs_sql_prepare(&s, db, text, strlen(text));
  if (status == RS_OK) status = rs_sql_step(s, &row);
  *version = row ? rs_sql_column(s, 0).integer : 0;
  rs_sql_done(s);
  return status;
}

static rs_status apply_from(rs_sql *db, int64_t version) {
  rs_status status = RS_OK;
  if (version > VERSIONS)
    return rs_fail(RS_EFORMAT, "%s: its online events are of version %lld, and this program knows %d: serve with the "
                   "newer program, or keep events elsewhere by --events FILE", rs_sql_path(db), (long long)version,
                   VERSIONS);
  for (int64_t i = version; status == RS_OK && i < VERSIONS; i++) {
    rs_sql_value number = {.type = RS_SQL_INTEGER, .integer = i + 1};
    status = rs_sql_execute(db, migrations[i]);
    if (status == RS_OK) status = rs_sql_run(db, text_of("INSERT INTO online_version VALUES (?1)"), &number, 1);
  }
  return status;
}

rs_status rs_online_migrate(rs_sql *db) {
  int64_t version = 0;
  rs_status status = rs_sql_execute(db, "PRAGMA secure_delete = ON; BEGIN IMMEDIATE;"
                                        "CREATE TABLE IF NOT EXISTS online_version (version INTEGER NOT NULL) STRICT;");
  if (status == RS_OK) status = version_of(db, &version);
  if (status == RS_OK) status = apply_from(db, version);
  if (status == RS_OK) return rs_sql_execute(db, "COMMIT");
  if (rs_sql_in_transaction(db)) {
    char message[512];
    snprintf(message, sizeof message, "%s", rs_message());
    rs_sql_execute(db, "ROLLBACK");
    rs_fail(status, "%s", message);
  }
  return status;
}

/* ---- writing ---- */

static rs_sql_value text_value(const char *text, size_t length) {
  return (rs_sql_value){.type = text ? RS_SQL_TEXT : RS_SQL_NULL, .bytes = text, .size = length};
}

static rs_sql_value time_value(int64_t time) {
  return (rs_sql_value){.type = time == RS_TIME_MISSING ? RS_SQL_NULL : RS_SQL_INTEGER, .integer = time};
}

static rs_status run(rs_sql *db, const char *text, const rs_sql_value *values, int n) {
  return rs_sql_run(db, text_of(text), values, n);
}

static rs_status write_event(rs_sql *db, const rs_post *p, const char *fields) {
  rs_sql_value values[] = {text_value(p->id, p->id_length),
                           text_value(p->user, p->user_length),
                           text_value(p->item, p->item_length),
                           time_value(p->time),
                           time_value(p->received),
                           text_value(fields, fields ? strlen(fields) : 0)};
  return run(db, "INSERT INTO online_events (id, user, item, time, received, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
                 "ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING", values, 6);
}

static rs_status write_item(rs_sql *db, const rs_post *p, const char *fields) {
  rs_sql_value values[] = {text_value(p->item, p->item_length),
                           text_value(p->title, p->title_length),
                           time_value(p->time),
                           text_value(fields, fields ? strlen(fields) : 0),
                           {.type = RS_SQL_INTEGER, .integer = p->kind == RS_POST_REMOVAL},
                           time_value(p->received)};
  if (p->kind == RS_POST_REMOVAL)
    return run(db, "INSERT INTO online_items (item, removed, received) VALUES (?1, 1, ?6) "
                   "ON CONFLICT (item) DO UPDATE SET removed = 1, received = ?6", values, 6);
  return run(db, "INSERT INTO online_items (item, title, created, fields, removed, received) "
                 "VALUES (?1, ?2, ?3, ?4, 0, ?6) ON CONFLICT (item) DO UPDATE "
                 "SET title = ?2, created = ?3, fields = ?4, removed = 0, received = ?6", values, 6);
}

static rs_status erase(rs_sql *db, const rs_post *p) {
  rs_sql_value values[] = {text_value(p->user, p->user_length), time_value(p->received)};
  rs_status status = run(db, "DELETE FROM online_events WHERE user = ?1", values, 2);
  return status == RS_OK ? run(db, "INSERT OR REPLACE INTO online_erased VALUES (?1, ?2)", values, 2) : status;
}

rs_status rs_online_write(rs_sql *db, rs_post *p) {
  if (p->outcome == RS_POST_REFUSED) return RS_OK;
  char *fields = p->fields ? json_dumps(p->fields, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  if (p->fields && !fields) return rs_nomem("event", 0);
  rs_status status = p->kind == RS_POST_EVENT     ? write_event(db, p, fields)
                     : p->kind == RS_POST_ERASURE ? erase(db, p)
                                                  : write_item(db, p, fields);
  rs_free(fields);
  bool known = status == RS_OK && p->kind == RS_POST_EVENT && rs_sql_changes(db) == 0;
  p->outcome = known ? RS_POST_KNOWN : RS_POST_TAKEN;
  if (status != RS_EARG && status != RS_ECONSTRAINT) return status;
  rs_post_refuse(p);
  return RS_OK;
}

rs_status rs_online_forget(rs_sql *db, int64_t before) {
  return run(db, "DELETE FROM online_events WHERE received < ?1", &(rs_sql_value){RS_SQL_INTEGER, before, 0, NULL, 0}, 1);
}

rs_status rs_online_newest(rs_sql *db, int64_t *received) {
  static const char text[] = "SELECT max(received) FROM online_events";
  rs_statement *s = NULL;
  bool row = false;
  rs_status status = rs_sql_prepare(&s, db, text, strlen(text));
  if (status == RS_OK) status = rs_sql_step(s, &row);
  bool any = row && rs_sql_column(s, 0).type == RS_SQL_INTEGER;
  *received = any ? rs_sql_column(s, 0).integer : RS_TIME_MISSING;
  rs_sql_done(s);
  return status;
}

int64_t rs_online_believe(int64_t *ahead, int64_t wall, int64_t steady) {
  int64_t before = *ahead;
  *ahead = wall - steady;
  return steady + (*ahead < before ? *ahead : before);
}

/* ---- reading ---- */

/* Posts whose texts lie one behind another in 'bytes' until they are handed on. */
typedef struct shelf {
  rs_post posts[AT_ONCE];
  int64_t n;
  rs_buffer bytes;
} shelf;

/* Texts are noted as 1 + their place, as the bytes may move. */
static rs_status shelve(shelf *s, const rs_sql_value *value, const char **text, size_t *length) {
  *text = NULL;
  *length = 0;
  if (value->type != RS_SQL_TEXT) return RS_OK;
  *text = (const char *)(uintptr_t)(s->bytes.size + 1);
  *length = value->size;
  return rs_buffer_append(&s->bytes, value->bytes, value->size);
}

static void place(const shelf *s, const char **text) {
  if (*text) *text = s->bytes.data + ((uintptr_t)*text - 1);
}

static void hand_on(shelf *s, rs_online_apply *apply, void *context) {
  for (int64_t i = 0; i < s->n; i++) {
    rs_post *p = &s->posts[i];
    place(s, &p->id), place(s, &p->user), place(s, &p->item), place(s, &p->title);
  }
  if (s->n > 0) apply(context, s->posts, s->n);
  for (int64_t i = 0; i < s->n; i++) {
    json_decref(s->posts[i].fields);
    rs_free(s->posts[i].trouble);
  }
  s->n = 0;
  s->bytes.size = 0;
}

/* Columns: kind, id, user, item, title, time, received, fields. */
static rs_status read_row(shelf *to, const rs_statement *s) {
  rs_sql_value time = rs_sql_column(s, 5), fields = rs_sql_column(s, 7), value;
  rs_post *p = &to->posts[to->n];
  *p = (rs_post){.kind = (rs_post_kind)rs_sql_column(s, 0).integer, .outcome = RS_POST_TAKEN};
  p->time = time.type == RS_SQL_INTEGER ? time.integer : RS_TIME_MISSING;
  p->received = rs_sql_column(s, 6).integer;
  value = rs_sql_column(s, 1);
  rs_status status = shelve(to, &value, &p->id, &p->id_length);
  value = rs_sql_column(s, 2);
  if (status == RS_OK) status = shelve(to, &value, &p->user, &p->user_length);
  value = rs_sql_column(s, 3);
  if (status == RS_OK) status = shelve(to, &value, &p->item, &p->item_length);
  value = rs_sql_column(s, 4);
  if (status == RS_OK) status = shelve(to, &value, &p->title, &p->title_length);
  if (status == RS_OK && fields.type == RS_SQL_TEXT)
    status = rs_json_object(&p->fields, fields.bytes, fields.size, "the kept fields");
  if (status == RS_OK) to->n++;
  return status;
}

static rs_status read_rows(rs_sql *db, const char *text, const rs_sql_value *user, rs_online_apply *apply,
                           void *context) {
  rs_statement *s = NULL;
  bool row = false;
  shelf *to = rs_alloc_zero(sizeof *to);
  rs_status status = to ? rs_sql_prepare(&s, db, text, strlen(text)) : rs_nomem("online", sizeof *to);
  if (status == RS_OK && user) status = rs_sql_bind(s, 0, user);
  while (status == RS_OK && (status = rs_sql_step(s, &row)) == RS_OK && row) {
    status = read_row(to, s);
    if (status == RS_OK && to->n == AT_ONCE) hand_on(to, apply, context);
  }
  rs_sql_done(s);
  if (!to) return status;
  hand_on(to, apply, context);
  rs_buffer_free(&to->bytes);
  rs_free(to);
  return status;
}

_Static_assert(RS_POST_EVENT == 0 && RS_POST_ITEM == 1 && RS_POST_REMOVAL == 2 && RS_POST_ERASURE == 3,
               "the statements below say kinds by their numbers");

rs_status rs_online_read(rs_sql *db, rs_online_apply *apply, void *context) {
  static const char *const texts[] = {
      "SELECT 3, NULL, user, NULL, NULL, NULL, received, NULL FROM online_erased ORDER BY received",
      /* One that was posted and then removed is still in the histories of those who read it. */
      "SELECT 1, NULL, NULL, item, title, created, received, fields, number FROM online_items "
      "WHERE created IS NOT NULL UNION ALL "
      "SELECT 2, NULL, NULL, item, NULL, NULL, received, NULL, number FROM online_items WHERE removed ORDER BY 9, 1",
      "SELECT 0, id, user, item, NULL, time, received, fields FROM online_events ORDER BY number"};
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < 3; i++) status = read_rows(db, texts[i], NULL, apply, context);
  return status;
}

rs_status rs_online_read_user(rs_sql *db, const char *user, size_t length, rs_online_apply *apply, void *context) {
  rs_sql_value value = text_value(user, length);
  return read_rows(db, "SELECT 0, id, user, item, NULL, time, received, fields FROM online_events WHERE user = ?1 "
                       "ORDER BY number", &value, apply, context);
}
