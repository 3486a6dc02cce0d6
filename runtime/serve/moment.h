/* moment.h - users at one moment: what the user tower makes of them then. Within the serve folder.
 *
 * One path for one user and for all of them: every stage computes a row from that row alone, so that a request has the
 * bits of the recommendations for all users. */
#ifndef RS_MOMENT_H
#define RS_MOMENT_H
#include "serve/loaded.h"
#include "serve/scratch.h"

/* Row i of 'features' is user i, whose events so far are events[begin[i] .. end[i]). */
typedef struct rs_moment {
  const rs_server_model *model;
  const rs_features *features;
  const int64_t *rows;    /* [n] rows of 'features' and of 'fields' */
  const rs_frame *fields; /* columns "user.x"; NULL: the one user brings his own, */
  rs_span given, user;    /* which are these, and his id */
  rs_buffer *room;        /* for reading them */
  int64_t n, now;
  rs_sequence events; /* items -1: not in the catalogue; no more than these users': encoding looks at all of them */
  const int64_t *begin, *end; /* [n] */
} rs_moment;

/* The users' vectors f32 [n, width], or [n, vectors, width]. RS_EFORMAT where the plan does not fit the items; 'filled'
 * counts the user's own fields that the event side has read. */
rs_status rs_moment_vectors(const rs_moment *at, rs_tensor *out, int *filled);

/* The user's vectors f32 [1, width] of somebody of whom nothing is known but that he had the item of this row before 'now':
 * what a model without item vectors can say of what goes with it. */
rs_status rs_knower_vectors(const rs_server_model *m, rs_serve_scratch *scratch, int64_t row, int64_t now,
                            rs_tensor *out);

/* What stops plan or search is not the request's fault: the bundle's codes, weights or vectors do not fit each other. */
rs_status rs_blame_bundle(rs_status status);

/* A row to encode somebody with, over memory of earlier requests, and back with it (NULL is fine). */
rs_status rs_take_row(const rs_server_model *m, rs_side side, rs_row **row);
void rs_put_back(const rs_server_model *m, rs_side side, rs_row *row);

/* The moment that is meant: RS_TIME_MISSING is the model's own. */
int64_t rs_moment_of(const rs_server_model *m, int64_t now);

/* RS_EARG for what is likely seconds in place of ms; RS_TIME_MISSING is fine. */
rs_status rs_check_now(const rs_server_model *m, int64_t now);

/* RS_EARG unless it is 1 or more. */
rs_status rs_check_k(int64_t k);

/* The earliest creation time of a candidate, with a window; the latest is before 'now'. */
int64_t rs_window_from(const rs_server_model *m, int64_t now);
static inline bool rs_has_window(const rs_server_model *m) { return m->window >= 0 && m->created.storage; }

#endif
