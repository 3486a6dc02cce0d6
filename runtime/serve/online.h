/* online.h - what is posted while a server runs, kept in SQLite: events of users, items, and what is to be forgotten.
 *
 * One thread writes. It takes all that waits, commits it in one transaction, and hands it on to whoever answers by it
 * (rs_online_apply), in the order in which it was committed: nothing is answered by that a kill would lose. Whoever posts
 * waits for that, or not. At the start, and for each version of a model that is loaded later, the same posts are handed
 * on again from the database (rs_online_replay). A restart finds what was committed, in the same order.
 *
 * The tables are called online_*; they may lie in a file with others (artifacts/flow.db), whose versions are not
 * touched. */
#ifndef RS_SERVE_ONLINE_H
#define RS_SERVE_ONLINE_H
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum rs_post_kind {
  RS_POST_EVENT,   /* user, item, time, fields; 'id' may tell it from others */
  RS_POST_ITEM,    /* item, title, time of its creation, fields: new, or in the place of one of that id */
  RS_POST_REMOVAL, /* item: no longer recommended, until it is posted again */
  RS_POST_ERASURE  /* user: his events are deleted, and what bundles hold of them counts no more */
} rs_post_kind;

typedef enum rs_post_outcome {
  RS_POST_READY,   /* not looked at yet */
  RS_POST_TAKEN,   /* kept, and answered by from now on */
  RS_POST_KNOWN,   /* an event whose id is kept already: left out */
  RS_POST_REFUSED  /* wrong in itself, see 'trouble' */
} rs_post_outcome;

/* Texts are not terminated and belong to the batch; NULL where there is none. */
typedef struct rs_post {
  rs_post_kind kind;
  rs_post_outcome outcome;
  const char *id, *user, *item, *title;
  size_t id_length, user_length, item_length, title_length;
  int64_t time;     /* ms since 1970 UTC, or RS_TIME_MISSING */
  int64_t received; /* the same, by the server's clock */
  int64_t index;    /* where it stood in what was sent, from 0; of JSON Lines the line */
  json_t *fields;   /* an object, or NULL */
  char *trouble;    /* why it is refused */
} rs_post;

/* Posts that came together. Freed by the last of its two holders. */
typedef struct rs_posts rs_posts;
struct rs_posts {
  json_t *root; /* what the texts point into */
  rs_post *posts;
  int64_t n;
  _Atomic int holders; /* the rest is the queue's */
  bool wait, ended;
  bool committed; /* before it has ended: what is left takes long */
  rs_status status; /* of all of them */
  char message[512];
  rs_posts *next;
};

/* Room for n posts over the texts of 'root', which becomes the batch's (also on failure). */
rs_status rs_posts_new(rs_posts **out, json_t *root, int64_t n);
/* Let go of a batch that was not posted, or of one that was waited for; the last holder frees it. NULL is fine. */
void rs_posts_free(rs_posts *posts);
/* Refuse a post, by the thread's last message. */
void rs_post_refuse(rs_post *post);

/* Take posts, of which those with the outcome RS_POST_TAKEN count, into what answers. */
typedef void rs_online_apply(void *context, rs_post *posts, int64_t n);

typedef struct rs_online rs_online;

/* For 'apply' to say that what it does now takes long, as a copy of a large catalogue: those who wait are not to wait for
 * that. What was committed is told as such; who posts until the thread is at hand again waits for nothing. */
void rs_online_takes_long(rs_online *o);

typedef struct rs_online_options {
  const char *path;   /* of the database, which is made, for its owner alone, when it is not there */
  int64_t keep_ms;    /* events that were received earlier than so long ago are deleted, looked at every hour; negative:
                       * none. A clock that jumps ahead is believed when it is there an hour later, too */
  int64_t most;       /* posts that wait at once [100,000] */
  int busy_ms;        /* how long to wait for another process's lock before the next attempt [2,000] */
  rs_online_apply *apply;
  void *context;
} rs_online_options;

/* Open or make the tables and begin to write. RS_EIO, RS_EFORMAT for a file that is no database or whose tables a later
 * version of this program has made, RS_ENOMEM. */
rs_status rs_online_open(rs_online **out, const rs_online_options *options);
/* Write what waits, and end the thread: posts are refused from then on (RS_EBUSY). It goes on trying for timeout_ms, and
 * for one attempt at the least, which takes busy_ms where somebody else holds the database. The count of the posts that
 * were taken from whoever did not wait for them and are lost by that; the thread's message says why. Once more is fine. */
int64_t rs_online_finish(rs_online *o, int timeout_ms);
/* The same without patience, and close; NULL is fine. */
void rs_online_free(rs_online *o);

/* How long events are kept from now on: rs_online_options.keep_ms. */
void rs_online_keep(rs_online *o, int64_t keep_ms);

/* Post a batch; posts that are refused already are passed over. It returns when the batch was committed and applied, or
 * committed where applying takes long: with the outcome of each post, and *posts is still the caller's. When that takes
 * longer than wait_ms, as while another process holds the database, or the thread is at something that takes long, the
 * batch is the thread's, which goes on trying, and *posts is NULL. On failure it is the
 * caller's, and nothing was kept: RS_EBUSY when too much waits already or the end has come, RS_EIO, also when the file
 * was removed or replaced meanwhile, RS_ENOMEM. */
rs_status rs_online_post(rs_online *o, rs_posts **posts, int wait_ms);

/* While it is held nothing is committed or applied: what a version is loaded in that must miss no post and take none
 * twice. For one thread at a time, not for long. */
void rs_online_hold(rs_online *o);
void rs_online_release(rs_online *o);

/* Hand all that is kept to 'apply', a thousand posts at a time: erasures, then items in the order in which they came
 * first, then events in theirs. For a thread that holds. RS_EIO, RS_ENOMEM. */
rs_status rs_online_replay(rs_online *o, rs_online_apply *apply, void *context);

/* The same for the events of one user; there is no need to hold. */
rs_status rs_online_user(rs_online *o, const char *user, size_t length, rs_online_apply *apply, void *context);

typedef struct rs_online_counts {
  int64_t waiting;                 /* posts */
  int64_t taken, known;            /* since the start */
  int64_t failures;                /* transactions that did not come to an end */
  int64_t lost;                    /* posts that were not written at the end, and nobody was told */
  int64_t commits;
} rs_online_counts;
rs_online_counts rs_online_counts_of(rs_online *o);

/* What the last attempt to write or to read has met, with its message, which tells the path; RS_OK after one that went
 * well. */
rs_status rs_online_trouble(rs_online *o);

#endif
