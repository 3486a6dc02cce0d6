/* server.h - what answers the calls of a service: versions of models, the routes to them, and counts.
 *
 * Up to three versions are at hand: the live one, a candidate that answers a share of the users beside it, and a shadow
 * whose answers nobody gets. They are put in place by one thread, the owner's, while the service's workers answer: a
 * version is loaded and looked at beside the others, and then put into its place by rs_server_put, for which nobody waits.
 * An answer is made by one version, from its first byte to its last.
 *
 * A worker takes no lock that another one takes. What it writes answers with is kept for the next one; the few small
 * blocks that a model's plan asks for come from those that the thread has freed before (base/small.h). */
#ifndef RS_SERVE_SERVER_H
#define RS_SERVE_SERVER_H
#include "http/call.h"
#include "http/service.h"
#include "serve/model.h"

typedef struct rs_server rs_server;

typedef enum rs_slot { RS_LIVE, RS_CANDIDATE, RS_SHADOW, RS_SLOTS } rs_slot;

typedef struct rs_server_options {
  int workers;         /* as the service has; rs_call.worker is below that */
  const char *runtime; /* the program's version and commit, for /version and /metrics */
  const char *commit;
  const char *openapi; /* the text of GET /openapi.json */
  size_t openapi_size;
  /* NULL and "" stand for what is said in brackets. */
  const char *execution;   /* the text of GET /execution-parameters [{}] */
  const char *accept;      /* the type of /invocations' answers where the client takes any [that of the request] */
  const char *models_root; /* a folder below which models are loaded and unloaded by name, serve/models.h [none] */
  int64_t models_room;     /* bytes that they take at the most */
} rs_server_options;

/* What is copied from 'options' is the server's own. RS_ENOMEM. */
rs_status rs_server_new(rs_server **out, const rs_server_options *options);
/* With all versions. No service may call it any more; NULL is fine. */
void rs_server_free(rs_server *s);

/* Answer a call: an rs_handler, whose context is the server. */
void rs_server_answer(void *server, const rs_call *call, rs_reply *reply);

/* What a call needs to be allowed: an rs_needs, whose context is the server. */
unsigned rs_server_needs(void *server, const char *method, const char *path);

/* The service that calls, for its counts; NULL: none. Before the first call, or after the last. */
void rs_server_attend(rs_server *s, const rs_service *service);

/* Put a model (which becomes the server's; NULL: none) into a slot, as version 'name', and free the one that was there.
 * 'share', for the candidate: of how many of 10,000 users it is. On RS_ENOMEM the model is still the caller's, and
 * nothing has changed. */
rs_status rs_server_put(rs_server *s, rs_slot slot, rs_server_model *model, const char *name, int share);

/* Keep events and items that are posted in the database at 'path' (online.h), and answer by what is kept: before the first
 * rs_server_put. 'keep_ms': how long events are; negative for ever, or RS_KEEP_AS_NEEDED: as long as features look back
 * and it matters what was seen. As rs_online_open. */
#define RS_KEEP_AS_NEEDED INT64_MIN
rs_status rs_server_keep(rs_server *s, const char *path, int64_t keep_ms);

/* Write what was posted and is not written yet, for timeout_ms at the most, when no service calls any more: rs_online_finish.
 * 0 where nothing is kept. */
int64_t rs_server_finish(rs_server *s, int timeout_ms);

/* What keeps the store from its database: rs_online_trouble; RS_OK where nothing is kept. */
rs_status rs_server_trouble(rs_server *s);

/* Give the server a file of its page: before the first call. RS_EARG for too many, RS_ENOMEM. */
rs_status rs_server_page(rs_server *s, const char *path, const char *type, const char *bytes, size_t size);

/* The model in a slot, NULL when there is none: for the owner's thread, until its next rs_server_put. */
rs_server_model *rs_server_model_in(const rs_server *s, rs_slot slot);

/* What /ready tells: "verifying", "ready", "draining"; only "ready" is status 200. A literal. */
void rs_server_state(rs_server *s, const char *state);

/* What came of an attempt to load a version: 'failure' is what /version tells of it, NULL when it was put in place.
 * 'asked' is what rs_server_asked gave before. */
rs_status rs_server_reloaded(rs_server *s, int64_t asked, const char *failure);

/* How many times a reload was asked for by POST /admin/reload. */
int64_t rs_server_asked(const rs_server *s);

/* In which of 10,000 parts a user is: GrowthBook's hash, version 2, of his id after a seed. The candidate's are those
 * below its share by the seed "candidate", so that a user stays with it when the share grows. */
int rs_server_bucket(const char *seed, const char *user, size_t length);

typedef struct rs_server_counts {
  int64_t requests, errors; /* answered in all; by a status of 500 or more */
  int64_t answers[RS_SLOTS]; /* recommendations */
  int64_t reloads, failed_reloads;
} rs_server_counts;
rs_server_counts rs_server_counts_of(const rs_server *s);

#endif
