/* endpoints_recommend.c - POST /recommend. */
#include "serve/results.h"

static void recommend(rs_exchange *x) {
  bool header;
  rs_asked asked;
  if (!rs_has_model(x)) return;
  if (rs_media_of(rs_call_header(x->call, "content-type"), &header) != RS_MEDIA_JSON) {
    rs_refuse(x->reply, 415, "unsupported_media_type", "", "the body must be application/json");
    return;
  }
  rs_status status = rs_json_in_recommend(x->worker->in, x->call->body, x->call->size, &asked);
  if (status != RS_OK) {
    rs_refuse_status(x->reply, status);
    return;
  }
  rs_results r = rs_results_begin(x, RS_MEDIA_JSON, asked.several);
  for (int64_t i = 0; i < asked.n && r.status == RS_OK; i++)
    rs_results_add(&r, &asked.requests[i], asked.several ? asked.wrong[i] : NULL);
  rs_results_end(&r);
}

const rs_route rs_routes_recommend[] = {{"recommend", "POST", "/recommend", RS_SCOPE_USE, recommend},
                                        {NULL, NULL, NULL, 0, NULL}};
