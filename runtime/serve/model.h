/* model.h - a loaded bundle that answers requests: encoder, user plan, weights, item vectors, ids, titles, histories.
 *
 * Everything is mapped from the bundle's file or built once at loading; afterwards a model may answer from many
 * threads, and only posted events change it (rs_server_model_advance). A request is one row of what a batch is: the
 * same code encodes it, runs the plan and searches, so that its scores have the same bits as the recommendations for
 * all users. docs/bundle.md lists the members. */
#ifndef RS_SERVE_MODEL_H
#define RS_SERVE_MODEL_H
#include <jansson.h>

#include "base/buffer.h"
#include "base/span.h"
#include "bundle/bundle.h"
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

/* The same as both, of a file that others may write into: from a copy of it that is the model's own. One to be verified
 * later is mapped until rs_server_model_verify has copied it; who writes into it meanwhile is kept waiting where the
 * system can (base/file.h). */
rs_status rs_server_model_open_copy(rs_server_model **out, const char *path);
rs_status rs_server_model_map_copy(rs_server_model **out, const char *path);

/* A member of the bundle, "manifest.json" too; NULL when it is absent. */
const rs_member *rs_server_model_member(const rs_server_model *m, const char *name);

/* The bundle's digest: the hash of its manifest, which vouches for every byte. */
const char *rs_server_model_digest(const rs_server_model *m);

typedef struct rs_server_facts {
  int64_t users, items, events; /* that the bundle knows */
  int64_t width;                /* dimensions of the vectors */
  const char *columns;          /* items have no vectors: a user's are scores, by this output's codes; NULL: they have */
  int64_t likeness;             /* the first so many of them are what items are compared by */
  int64_t as_of;                /* ms since 1970 UTC: just after the last event it knows */
  int64_t window;               /* ms that an item stays a candidate after its creation; -1: for ever */
  const char *index;            /* what finds items: "exact", "hnsw", "columns" (retrieval/index.h) */
} rs_server_facts;
rs_server_facts rs_server_model_facts(const rs_server_model *m);

/* Id and title of a catalogue row, id of a user row; rows count from 0. Not terminated. The title is empty when the
 * bundle has none. */
const char *rs_server_model_item(const rs_server_model *m, int64_t row, size_t *length);
const char *rs_server_model_title(const rs_server_model *m, int64_t row, size_t *length);
const char *rs_server_model_user(const rs_server_model *m, int64_t row, size_t *length);

/* The segment of users whose popularity a reason or an answer speaks of: a column and its value. */
void rs_server_model_segment(const rs_server_model *m, int segment, rs_span *column, rs_span *value);

/* Something that happened after the bundle was made. */
typedef struct rs_posted {
  const char *user, *item; /* ids; the user may be new */
  size_t user_length, item_length;
  int64_t time;         /* ms since 1970 UTC */
  const json_t *fields; /* what the features' filters and weight read of an event; NULL: none */
} rs_posted;

/* Whether a time in ms is likely one in seconds: it lies before 1980, and the model's events do not. Python's time.time()
 * and the like give seconds, by which a request would silently be one of January 1970. */
bool rs_is_in_seconds(const rs_server_model *m, int64_t time);
#define RS_YEAR_1980 INT64_C(315532800000)

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
  rs_span item;   /* id */
  int64_t time;   /* ms since 1970 UTC, or RS_TIME_MISSING */
  rs_span fields; /* a JSON object, as in rs_posted; text NULL: none */
} rs_past_event;

/* At most so many items of one value of an attribute; one of several values counts for each. */
typedef struct rs_cap {
  rs_span attribute;
  int64_t most; /* 1 or more */
} rs_cap;

/* All-zero but for 'now' and 'k' asks for the best items of nobody in particular. */
typedef struct rs_request {
  rs_span user;                 /* id; text NULL: nobody in particular */
  rs_span fields;               /* a JSON object: fields of a user whom the bundle does not know; text NULL: none */
  const rs_past_event *history; /* oldest first, instead of the user's own history; NULL: his own */
  int64_t n_history;
  int64_t now; /* ms since 1970 UTC; RS_TIME_MISSING: as_of */
  int64_t k;   /* results wanted, 1 or more */
  bool exclude_seen;
  bool model_only;        /* no popularity where the model knows nothing */
  const rs_span *exclude; /* ids of items that are not to be recommended; those that the catalogue lacks are counted */
  int64_t n_exclude;
  rs_span filter;     /* a JSON object over the items' attributes (serve/filter.h); text NULL: none */
  const rs_cap *caps; /* the best items within all of them */
  int n_caps;
  double lambda;     /* of MMR, in (0, 1]: what the score counts against likeness to what stands before; 0 or 1: by score */
  int64_t pool;      /* of how many best candidates MMR chooses, k at the least; 0: RS_POOL, at least 5 k */
  double boost;      /* added to the score of an item of age 0; 0: none */
  int64_t half_life; /* ms in which the boost of an item halves; 1 or more where there is a boost */
  const rs_span *items; /* ids of items that it is about: of rs_similar, rs_score and rs_embed_items */
  int64_t n_items;
} rs_request;

enum { RS_POOL = 200 };

/* Who put an item into an answer. */
typedef enum rs_source { RS_BY_MODEL, RS_BY_POPULARITY } rs_source;
const char *rs_source_word(rs_source source); /* "model", "popular" */

/* Why it is there, as far as that can be said truly. */
typedef enum rs_reason_kind {
  RS_LIKE,   /* 'row' is the item of the user's latest RS_LOOKED_AT that is most alike, 'value' the cosine, above 0; by
              * columns the score of somebody who knows that item alone */
  RS_FRESH,  /* 'value' is what the freshness boost added to the score, and more than a hundredth of it whole */
  RS_POPULAR /* the item's place in the popularity of segment 'row' (-1: of all users) is 'value', from 1 */
} rs_reason_kind;

typedef struct rs_reason {
  rs_reason_kind kind;
  float value;
  int64_t row;
} rs_reason;

enum { RS_REASONS = 3, RS_LOOKED_AT = 20, RS_POPULAR_TOLD = 100 };

typedef struct rs_found {
  int64_t row;     /* of the catalogue, 0-based */
  float score;     /* the model's, with the boost; of RS_BY_POPULARITY the decayed number of events */
  float model;     /* the model's alone; NaN of RS_BY_POPULARITY */
  rs_source source;
  int n_reasons;
  rs_reason reasons[RS_REASONS];
} rs_found;

/* Why popularity stands in for the model. */
typedef enum rs_fallback {
  RS_NO_FALLBACK,
  RS_UNKNOWN_USER, /* no known user, no field that the model reads, no item of a history */
  RS_NO_SCORE      /* the model's scores for this request are not finite */
} rs_fallback;
const char *rs_fallback_word(rs_fallback why); /* NULL, "unknown_user", "no_score" */

/* Why there are fewer items than wanted. */
typedef enum rs_missing {
  RS_NONE_MISSING,
  RS_FEW_CANDIDATES, /* what was seen and the rules leave no more */
  RS_CAPPED          /* the caps do */
} rs_missing;
const char *rs_missing_word(rs_missing why); /* NULL, "candidates", "caps" */

/* All-zero is a valid empty answer; one that is used again keeps its memory. */
typedef struct rs_answer {
  bool known;       /* false: no such user; scored by the unknown row and what the request tells */
  int64_t now;      /* the moment that was answered for */
  int64_t foreign;  /* items of the given history that the catalogue does not hold */
  int64_t unknown;  /* exclusions that it does not hold */
  rs_buffer ignored; /* names of the request's fields that nothing reads, each terminated */
  int64_t seen;     /* candidates that were left out because the user has seen them */
  int64_t rule;     /* items that a rule left out: the window, the filter, an exclusion */
  rs_fallback fallback;
  int segment;      /* of the popularity that stands in; -1: of all users */
  rs_missing missing;
  rs_found *items; /* best first, ties by row; MMR and caps reorder */
  int64_t n, capacity;
} rs_answer;
void rs_answer_free(rs_answer *answer);

/* What a thread answers with, again and again: memory, and the bitmaps of the last filters. Bound to no model. */
typedef struct rs_serve_scratch rs_serve_scratch;
rs_status rs_serve_scratch_new(rs_serve_scratch **out);
void rs_serve_scratch_free(rs_serve_scratch *scratch); /* NULL is fine */

/* RS_EARG says what is wrong with the request: k < 1, a field of the wrong type, a history whose times fall, a filter
 * over an attribute that there is not; RS_ENOMEM. On failure the answer holds no items. One thread at a time may use a
 * scratch and an answer. */
rs_status rs_recommend(const rs_server_model *m, rs_serve_scratch *scratch, const rs_request *request,
                       rs_answer *answer);

/* The items most like the request's first one, by the cosine of the first 'likeness' dimensions of their vectors, which is
 * their score, or, of a model by columns, by the score of somebody who knows that item alone: best first, ties by row, itself left out. Filter, exclusions, window and k hold; nobody in particular asks. RS_EARG when the catalogue does
 * not hold it, and as rs_recommend. */
rs_status rs_similar(const rs_server_model *m, rs_serve_scratch *scratch, const rs_request *request, rs_answer *answer);

/* The scores of the request's items for its user, with the bits that rs_recommend gives, in the request's order: 'rows'
 * of those that the catalogue does not hold are -1. No rule holds. answer->known, now and foreign are told; the items
 * are answer->items, whose reasons are none. */
rs_status rs_score(const rs_server_model *m, rs_serve_scratch *scratch, const rs_request *request, rs_answer *answer);

/* The user's vectors f32 [1, width], or [1, vectors, width]; answer->known, now and foreign are told. 'out' must be
 * empty. */
rs_status rs_embed_user(const rs_server_model *m, rs_serve_scratch *scratch, const rs_request *request,
                        rs_answer *answer, rs_tensor *out);

/* The vector of a catalogue row, of rs_server_model_facts().width numbers; not of a model by columns. */
const float *rs_server_model_vector(const rs_server_model *m, int64_t row);
/* The catalogue row of an id; -1: there is none. */
int64_t rs_server_model_row(const rs_server_model *m, rs_span id);

/* As rs_recommend for users first .. first + n - 1 at one moment, by score alone: 'rows' i64 [n, k] and 'scores' f32 [n, k]; where there are
 * fewer than k candidates -1 and minus infinity fill up. RS_ERANGE for users outside the bundle's. */
rs_status rs_recommend_users(const rs_server_model *m, int64_t first, int64_t n, int64_t now, int64_t k,
                             bool exclude_seen, rs_tensor *rows, rs_tensor *scores);

#endif
