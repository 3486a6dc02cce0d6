/* online_store.h - the tables of online.h. Within the serve folder. */
#ifndef RS_SERVE_ONLINE_STORE_H
#define RS_SERVE_ONLINE_STORE_H
#include "serve/online.h"
#include "sql/sql.h"

/* Make the tables, or bring them from an earlier version to this one. RS_EFORMAT for a later one's. */
rs_status rs_online_migrate(rs_sql *db);

/* Write a post within a transaction, and note what came of it. Fails with what is not the post's fault. */
rs_status rs_online_write(rs_sql *db, rs_post *post);

/* Delete the events that were received before a time. */
rs_status rs_online_forget(rs_sql *db, int64_t before);

/* What is kept, to 'apply', by a thousand posts. */
rs_status rs_online_read(rs_sql *db, rs_online_apply *apply, void *context);
rs_status rs_online_read_user(rs_sql *db, const char *user, size_t length, rs_online_apply *apply, void *context);

#endif
