/* endpoints_recommend.c - POST /recommend, /similar, /score and /embed. */
#include "serve/results.h"

static void answer_question(rs_exchange *x, rs_question question) {
  rs_asked asked;
  if (!rs_has_model(x) || !rs_has_json(x) || !rs_query_fits(x, "")) return;
  rs_status status = rs_json_in_ask(x->worker->in, question, x->call->body, x->call->size, &asked);
  if (status != RS_OK) {
    rs_refuse_status(x->reply, status);
    return;
  }
  rs_results r = rs_results_begin(x, question, RS_MEDIA_JSON, asked.several);
  for (int64_t i = 0; i < asked.n && r.status == RS_OK; i++)
    rs_results_add(&r, &asked, i);
  rs_results_end(&r);
}

static void recommend(rs_exchange *x) { answer_question(x, RS_RECOMMEND); }
static void similar(rs_exchange *x) { answer_question(x, RS_SIMILAR); }
static void score(rs_exchange *x) { answer_question(x, RS_SCORE); }
static void embed(rs_exchange *x) { answer_question(x, RS_EMBED); }

const rs_route rs_routes_recommend[] = {{"recommend", "POST", "/recommend", RS_SCOPE_USE, recommend},
                                        {"similar", "POST", "/similar", RS_SCOPE_USE, similar},
                                        {"score", "POST", "/score", RS_SCOPE_USE, score},
                                        {"embed", "POST", "/embed", RS_SCOPE_USE, embed},
                                        {NULL, NULL, NULL, 0, NULL}};
