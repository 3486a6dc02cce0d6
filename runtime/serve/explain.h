/* explain.h - why an item stands in an answer, as far as that can be said truly: nothing here is read by a score. Within
 * the serve folder. */
#ifndef RS_EXPLAIN_H
#define RS_EXPLAIN_H
#include "frame/history.h"
#include "serve/loaded.h"
#include "serve/scratch.h"

/* Add the reasons of the items that the model put into an answer: the most alike of the user's latest items (his events
 * before the moment), what freshness added, the place in the popularity of his segment. RS_ENOMEM. */
rs_status rs_explain(const rs_server_model *m, rs_serve_scratch *scratch, const rs_request *request,
                     const rs_sequence *events, int segment, rs_answer *answer);

#endif
