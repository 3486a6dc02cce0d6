/* posting.h - what the handlers share that put something into the store. Within the serve folder. */
#ifndef RS_SERVE_POSTING_H
#define RS_SERVE_POSTING_H
#include "base/span.h"
#include "serve/endpoints.h"

/* Whether the body is said to be of a type, whatever its parameters. */
bool rs_posting_type(const rs_call *call, const char *type);

/* The live version, where there is a store as well; answers, and gives NULL, when either is not there. */
rs_server_model *rs_posting_model(rs_exchange *x);

/* Answer that the store could not do something, by 503: it is worth another attempt. Paths are not the caller's to know. */
void rs_posting_unable(rs_exchange *x, rs_status status, const char *what);

/* A removal of an item or an erasure of a user; answers, and gives NULL, without memory. */
rs_posts *rs_posting_one(rs_exchange *x, rs_post_kind kind, rs_span id);

/* Post that, wait a moment for its commit, and answer {"<done>", "committed"} and 'more'. Frees 'posts'. */
void rs_posting_removal(rs_exchange *x, rs_posts *posts, const char *done, const char *more);

#endif
