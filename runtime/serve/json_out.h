/* json_out.h - answers as JSON: docs/serving.md, "What an answer tells". The same answer is the same text wherever it
 * is written: by the service, by a batch, by a recipe. */
#ifndef RS_JSON_OUT_H
#define RS_JSON_OUT_H
#include "base/buffer.h"
#include "serve/json_in.h"

/* Append the shortest text of a number (base/shortest.h); null for what is not finite. */
rs_status rs_json_number(rs_buffer *out, float value);
/* Append a string with its quotes; bytes that are no UTF-8 become U+FFFD. */
rs_status rs_json_string(rs_buffer *out, const char *text, size_t length);

/* What a service adds to an answer: left out where NULL, the latency where negative. */
typedef struct rs_envelope {
  const char *model_version, *request_id;
  int64_t latency_us;
} rs_envelope;

/* Append what the envelope adds as fields, each behind a comma. NULL: nothing. */
rs_status rs_json_envelope(rs_buffer *out, const rs_envelope *envelope);

/* Append the answer to one request as an object. */
rs_status rs_json_answer(rs_buffer *out, const rs_server_model *m, const rs_request *request, const rs_answer *answer,
                         const rs_envelope *envelope);
/* Append {"user": ..., "error": {"code", "message"}}, where a request of several cannot be answered. */
rs_status rs_json_refusal(rs_buffer *out, const rs_request *request, rs_status status, const char *message);

/* The same of the other calls. An item that the catalogue does not hold is told in its place. */
rs_status rs_json_similar(rs_buffer *out, const rs_server_model *m, const rs_request *request, const rs_answer *answer,
                          const rs_envelope *envelope);
rs_status rs_json_scores(rs_buffer *out, const rs_server_model *m, const rs_request *request, const rs_answer *answer,
                         const rs_envelope *envelope);
rs_status rs_json_user(rs_buffer *out, const rs_server_model *m, const rs_request *request, const rs_answer *answer,
                       const rs_tensor *vectors, const rs_envelope *envelope);
rs_status rs_json_items(rs_buffer *out, const rs_server_model *m, const rs_request *request,
                        const rs_envelope *envelope);

/* Answer all requests and append that: an object, or of several users {"answers": [...]}, in which a request that fails
 * is answered in place. Of a single one that fails the status and message are given, and nothing is appended. */
rs_status rs_json_recommend(rs_buffer *out, const rs_server_model *m, rs_serve_scratch *scratch, rs_answer *answer,
                            const rs_asked *asked, const rs_envelope *envelope);
rs_status rs_json_reply(rs_buffer *out, rs_question question, const rs_server_model *m, rs_serve_scratch *scratch,
                        rs_answer *answer, const rs_asked *asked, const rs_envelope *envelope);

#endif
