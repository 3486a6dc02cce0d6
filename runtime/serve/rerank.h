/* rerank.h - the candidates of a request by score, boosted by freshness, made unlike each other and capped. Within the
 * serve folder.
 *
 * - Freshness adds boost * 2^(-age / half_life) to a score: an item without a creation time, or of the future, gets
 *   nothing. The order is that of all candidates, not of a few: as nothing gets more than the boost, the best k are known
 *   once the k-th is above what the first one that was not looked at could get; else more are looked at.
 * - Diversity is maximal marginal relevance (Carbonell and Goldstein 1998, doi:10.1145/290941.291025) among the pool of
 *   the best: next comes the item of the largest lambda * score - (1 - lambda) * likeness, where scores are mapped to
 *   0 .. 1 over the pool and likeness is the largest cosine with an item that was taken, of the dimensions that likeness
 *   goes by.
 * - Caps skip an item one of whose values has its number already; where the pool does not hold enough others, it is
 *   doubled. */
#ifndef RS_RERANK_H
#define RS_RERANK_H
#include "serve/rules.h"

/* What is ranked: a user's vectors [vectors, width] against the items that the rules leave. */
typedef struct rs_ranking {
  const rs_server_model *model;
  const rs_request *request;
  const rs_rules *rules;
  const float *user;
  int64_t vectors;
} rs_ranking;

/* Fill answer->items, ->n and ->missing. RS_EARG for a cap on what is no attribute of strings; RS_ENUMERIC when a
 * score is not finite. */
rs_status rs_rank(const rs_ranking *x, rs_serve_scratch *scratch, rs_answer *answer);

/* Room for n items. */
rs_status rs_answer_room(rs_answer *answer, int64_t n);
/* Empty, but for its memory. */
void rs_answer_reset(rs_answer *answer);

/* The caps of a request as they fill up. */
typedef struct rs_caps {
  const rs_column *columns[16];
  int64_t most[16];
  int32_t *taken[16]; /* [codes + 1] how many items of each value there are */
  int n;
} rs_caps;
rs_status rs_caps_begin(rs_caps *caps, const rs_server_model *m, rs_serve_scratch *scratch, const rs_request *request);
/* Whether another item fits; if so it is counted. */
bool rs_caps_take(rs_caps *caps, int64_t row);

#endif
