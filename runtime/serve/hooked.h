/* hooked.h - requests of /invocations where whoever runs the server stands before POST /recommend (own.h): each of them goes
 * his way, and its result is what /recommend would have answered. Within the serve folder.
 *
 * While he is at work the gate is left, and the versions are held on to instead: all that he asks for one call is answered
 * by the versions that were there when it began. */
#ifndef RS_SERVE_HOOKED_H
#define RS_SERVE_HOOKED_H
#include "serve/results.h"

/* Whether somebody stands before /recommend, who is not the one that asks. */
bool rs_is_hooked(const rs_exchange *x);

/* Answer a body of application/json in any form. What is refused becomes the reply's error. */
void rs_hooked_answer(rs_exchange *x, rs_media form);

/* Answer the request that a line holds, as JSON, by one result. What is refused is told in its place. */
void rs_hooked_add(rs_results *r, const char *json, size_t size);

#endif
