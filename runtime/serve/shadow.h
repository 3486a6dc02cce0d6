/* shadow.h - requests that were answered are asked of the shadow version, too, by a thread of its own: how many of an
 * answer's items it gives, and what it takes, is counted; nobody gets its answers, and nobody waits for it.
 *
 * A worker leaves a copy of a request in a ring of its own, and passes on when that is full, which is counted, too. */
#ifndef RS_SERVE_SHADOW_H
#define RS_SERVE_SHADOW_H
#include "serve/model.h"

typedef struct rs_shadow rs_shadow;
struct rs_server;

/* Begin, with no version in the slot yet; it waits for requests from then on. RS_ENOMEM also when the system refuses a
 * thread. */
rs_status rs_shadow_new(rs_shadow **out, struct rs_server *server);
/* End the thread, and forget what waits; no worker may offer any more. NULL is fine. */
void rs_shadow_free(rs_shadow *shadow);

/* Worker 'worker' has answered a request by a model. */
void rs_shadow_offer(rs_shadow *shadow, int worker, const rs_server_model *m, const rs_request *request,
                     const rs_answer *answer);

#endif
