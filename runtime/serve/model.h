/* model.h - a loaded bundle that answers requests: encoder, user plan, weights, item vectors, ids, titles, histories.
 *
 * Everything is mapped from the bundle's file or built once at loading; afterwards a model may answer from many
 * threads, and only posted events change it (rs_server_model_advance). A request is one row of what a batch is: the
 * same code encodes it, runs the plan and searches, so that its scores have the same bits as the recommendations for
 * all users. docs/bundle.md lists the members. */
#ifndef RS_SERVE_MODEL_H
#define RS_SERVE_MODEL_H
#include <jansson.h>

#include "frame/column.h"

typedef struct rs_server_model rs_server_model;

/* Open, verify and check a model's bundle. RS_EFORMAT names the file and the member that is not as it should be;
 * RS_EIO. */
rs_status rs_server_model_open(rs_server_model **out, const char *path);
void rs_server_model_free(rs_server_model *m); /* NULL is fine */

/* The same but for the members' hashes, which rs_server_model_verify looks at, by all threads, while the model answers:
 * what is used is checked all the same, so that a damaged bundle may answer wrongly until then, and does no other harm.
 * RS_EFORMAT names the member that does not have its hash. */
rs_status rs_server_model_map(rs_server_model **out, const char *path);
rs_status rs_server_model_verify(const rs_server_model *m);

/* The bundle's digest: the hash of its manifest, which vouches for every byte. */
const char *rs_server_model_digest(const rs_server_model *m);

typedef struct rs_server_facts {
  int64_t users, items, events; /* that the bundle knows */
  int64_t width;                /* dimensions of the vectors */
  int64_t as_of;                /* ms since 1970 UTC: just after the last event it knows */
  int64_t window;               /* ms that an item stays a candidate after its creation; -1: for ever */
} rs_server_facts;
rs_server_facts rs_server_model_facts(const rs_server_model *m);

/* Id and title of a catalogue row, id of a user row; rows count from 0. Not terminated. The title is empty when the
 * bundle has none. */
const char *rs_server_model_item(const rs_server_model *m, int64_t row, size_t *length);
const char *rs_server_model_title(const rs_server_model *m, int64_t row, size_t *length);
const char *rs_server_model_user(const rs_server_model *m, int64_t row, size_t *length);

/* Something that happened after the bundle was made. */
typedef struct rs_posted {
  const char *user, *item; /* ids; the user may be new */
  size_t user_length, item_length;
  int64_t time;         /* ms since 1970 UTC */
  const json_t *fields; /* what the features' filters and weight read of an event; NULL: none */
} rs_posted;

/* Take an event into the state that histories and counts read, and move 'as_of' behind it. No other call on the model
 * may run meanwhile. RS_EARG for an item that the catalogue lacks or a field of the wrong type; the state is unharmed.
 * */
rs_status rs_server_model_advance(rs_server_model *m, const rs_posted *posted);

/* Make the item vectors anew, as of the period of 'now' (RS_TIME_MISSING: as_of), where the item side counts events;
 * nothing changes elsewhere. No other call on the model may run meanwhile. On failure the vectors are as before. */
rs_status rs_server_model_refresh(rs_server_model *m, int64_t now);

/* The same in two steps, the first of which takes the time and lets others ask the model meanwhile; nothing may change it
 * between the two. *out is NULL where items do not count events. */
typedef struct rs_recount rs_recount;
rs_status rs_server_model_recount(rs_recount **out, const rs_server_model *m, int64_t now);
void rs_server_model_put_recount(rs_server_model *m, rs_recount *recount); /* NULL is fine; holds the old ones then */
void rs_recount_free(rs_recount *recount);

/* Whether a period has begun, by 'as_of', for which the items' events were not counted. */
bool rs_server_model_is_stale(const rs_server_model *m);

/* What somebody did before a request. One without a time lies in no window that is counted. */
typedef struct rs_past_event {
  const char *item;     /* id */
  int64_t time;         /* ms since 1970 UTC, or RS_TIME_MISSING */
  const json_t *fields; /* as in rs_posted */
} rs_past_event;

typedef struct rs_request {
  const char *user; /* id; NULL: nobody in particular */
  size_t user_length;
  const json_t *fields;       /* fields of a user whom the bundle does not know; NULL: none */
  const rs_past_event *history; /* oldest first, instead of the user's own history; NULL: his own */
  int64_t n_history;
  int64_t now; /* ms since 1970 UTC; RS_TIME_MISSING: as_of */
  int64_t k;   /* results wanted, 1 or more */
  bool exclude_seen;
} rs_request;

/* All-zero is a valid empty answer. */
typedef struct rs_answer {
  bool known;             /* false: no such user; scored by the unknown row and what the request tells */
  int64_t now;            /* the moment that was answered for */
  int64_t foreign;        /* items of the given history that the catalogue does not hold */
  rs_tensor rows, scores; /* i64 [n] 0-based catalogue rows, f32 [n]; best first, ties by row; n <= k */
} rs_answer;

/* RS_EARG for k < 1, a field of the wrong type or a history whose times fall, RS_ENOMEM. On failure the answer is
 * empty. */
rs_status rs_recommend(const rs_server_model *m, const rs_request *request, rs_answer *answer);
void rs_answer_free(rs_answer *answer);

/* The same for users first .. first + n - 1 at one moment: 'rows' i64 [n, k] and 'scores' f32 [n, k]; where there are
 * fewer than k candidates -1 and minus infinity fill up. RS_ERANGE for users outside the bundle's. */
rs_status rs_recommend_users(const rs_server_model *m, int64_t first, int64_t n, int64_t now, int64_t k,
                             bool exclude_seen, rs_tensor *rows, rs_tensor *scores);

#endif
