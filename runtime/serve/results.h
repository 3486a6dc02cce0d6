/* results.h - answers to requests, one after another, in the form that the caller wants. Within the serve
 * folder.
 *
 * A result is one answer, or what was wrong in its place: nothing that one of many asks for keeps the others from
 * theirs. As text/csv a result is a line of the items' ids; one that is wrong has the fields "#error" and the message.
 *
 * Between two of several results the gate is left for a moment, and the versions are held on to instead: who changes a
 * model's state waits for one answer and not for all of a long call. */
#ifndef RS_SERVE_RESULTS_H
#define RS_SERVE_RESULTS_H
#include "serve/endpoints.h"
#include "serve/media.h"

typedef struct rs_results {
  rs_exchange *x;
  rs_question question;
  rs_media form;
  bool several; /* of RS_MEDIA_JSON: {"answers": [...]}, else one answer as it is */
  int64_t n;    /* so far */
  int late;     /* of them took too long (hooked.h) */
  rs_status status; /* RS_OK until the reply itself cannot be made */
} rs_results;

/* Begin a reply to RS_RECOMMEND in any form, to other questions as RS_MEDIA_JSON. */
rs_results rs_results_begin(rs_exchange *x, rs_question question, rs_media form, bool several);

/* Answer request i, or tell what is wrong with it. A single one that fails becomes the reply's error. */
void rs_results_add(rs_results *r, const rs_asked *asked, int64_t i);

/* All that one line asks for, as one result. */
void rs_results_add_asked(rs_results *r, const rs_asked *asked);

/* Tell in a result's place why there is none, and for whom, as far as that is known. */
void rs_results_refuse(rs_results *r, rs_span user, rs_status status);

/* For a result that somebody else appends to the reply's body, in its form: what stands before it and behind it. Between
 * them rs_results_wrong tells why there is none; of the request it reads the user. */
void rs_results_open(rs_results *r);
void rs_results_close(rs_results *r);
void rs_results_wrong(rs_results *r, const rs_request *request, rs_status status);

/* Append a field of text/csv (RFC 4180), which stays a line. */
rs_status rs_results_field(rs_buffer *b, const char *text, size_t length);

/* Hold on to the versions of a call that leaves the gate (by 1), or let go of them (by -1). */
void rs_versions_pin(const rs_exchange *x, int by);

/* Finish the reply; what kept it from being made becomes its error. */
void rs_results_end(rs_results *r);

/* The version that a request is answered by. */
const rs_version *rs_version_for(const rs_exchange *x, const rs_request *request);

#endif
