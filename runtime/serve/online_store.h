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

/* When the newest event was received; RS_TIME_MISSING: there is none. */
rs_status rs_online_newest(rs_sql *db, int64_t *received);

/* What time it is for deleting what is old, in ms: no later than the wall's clock tells now, nor than it told when it was
 * asked before, so that one that jumps ahead for a moment deletes nothing. 'steady' is a clock that never jumps, '*ahead'
 * how far the wall's was ahead of it before, and becomes how far it is. */
int64_t rs_online_believe(int64_t *ahead, int64_t wall, int64_t steady);

/* What is kept, to 'apply', by a thousand posts. */
rs_status rs_online_read(rs_sql *db, rs_online_apply *apply, void *context);
rs_status rs_online_read_user(rs_sql *db, const char *user, size_t length, rs_online_apply *apply, void *context);

#endif
