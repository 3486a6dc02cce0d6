/* ranking.h - full ranking: where the relevant items of each query stand among all of its candidates.
 *
 * A ranking holds the question (queries, candidates, relevant items, cut-offs); it is prepared once and asked with the
 * scores of one scorer after another. Candidates of a query: all items, or those whose time t has from <= t < to,
 * minus the query's excluded ones. Lists of candidates are for published protocols that name some: metrics on a sample
 * order models differently than full ranking does (Krichene & Rendle 2020, doi:10.1145/3394486.3403226).
 *
 * Items are laid out in order of time, so that a window is one run of a row and scores outside it are neither
 * computed nor looked at. Ranks are counted, not sorted; ties count at their expectation (tied.h). Queries are
 * independent, so results do not depend on the number of threads. */
#ifndef RS_RANKING_H
#define RS_RANKING_H
#include <stdbool.h>

#include "base/lists.h"
#include "metrics/coverage.h"
#include "tensor/tensor.h"

typedef struct rs_question {
  int64_t queries, items;
  rs_lists relevant;        /* per query, item rows without repetition; an empty list makes the query's metrics NaN */
  const float *gains;       /* [relevant.n_values], > 0, beside relevant.values; NULL: no graded metrics */
  rs_lists excluded;        /* per query, item rows, repetitions allowed; n = 0: nothing is excluded */
  rs_lists candidates;      /* per query, item rows, repetitions count once; n = 0: all items. What the windows leave out
                             * and what is excluded is no candidate either */
  const int64_t *item_time; /* [items]; with 'from' and 'to', or NULL all three */
  const int64_t *from, *to; /* [queries] */
  const int64_t *k;         /* [n_k] cut-offs, 1 or more each */
  int64_t n_k;
  bool coverage; /* also find which items are recommended at all; costs a second pass over the scores */
} rs_question;

typedef struct rs_ranking rs_ranking; /* immutable: many threads may ask it at once */

/* What 'question' points to is borrowed and must outlive the ranking; its struct is copied. RS_EARG, RS_ERANGE and
 * RS_ESHAPE say what is wrong with the question. */
rs_status rs_ranking_new(rs_ranking **out, const rs_question *question);
void rs_ranking_free(rs_ranking *r);

/* Metrics by column: hit, recall, precision, ndcg, map (and graded_ndcg with gains) at each k: "ndcg_10"; then mrr,
 * auc and tie_share, the share of the relevant candidates whose score another candidate has too. */
int64_t rs_ranking_columns(const rs_ranking *r);
enum { RS_METRIC_NAME = 40 };
void rs_ranking_column_name(const rs_ranking *r, int64_t column, char name[RS_METRIC_NAME]);
/* Items that are a candidate of some query; what coverage is a share of. -1 when coverage was not asked for. */
int64_t rs_ranking_candidates(const rs_ranking *r);

/* What one scorer reached. All-zero is a valid empty object. */
typedef struct rs_ranked {
  rs_tensor metrics;        /* f64 [columns, queries] */
  rs_tensor candidates;     /* i64 [queries] */
  rs_tensor greater, equal; /* i64 [sum of the relevant lengths], in order of the queries: candidates that score higher
                             * than the relevant item, and the same as it (itself included); -1 for no candidate */
  rs_coverage coverage;
  uint8_t *scored; /* [queries]: 1 once a query's scores came */
} rs_ranked;

rs_status rs_ranked_new(rs_ranked *out, const rs_ranking *r);
void rs_ranked_free(rs_ranked *ranked);
/* RS_EARG unless every query was scored. */
rs_status rs_ranked_check(const rs_ranked *ranked);

/* Rank queries first .. first + n - 1 by scores[i * stride + item], or, with 'columns' [items] in 0 .. stride - 1 (else
 * RS_ERANGE), scores[i * stride + columns[item]]; stride 0 gives all of them the same scores. RS_ENUMERIC names the first query and the item when a candidate's score is NaN or infinite (an item that is no
 * candidate may have any score); 'ranked' is then unfinished. */
rs_status rs_ranking_rows(const rs_ranking *r, rs_ranked *ranked, int64_t first, int64_t n, const float *scores,
                          int64_t stride, const int32_t *columns);
/* Rank all queries by the products of users [queries, vectors, width] and items [items, width], contiguous, without
 * ever holding all scores: a thread holds 32 rows (16 for more than 131,072 items). An item's score is the best of its
 * products with the query's vectors. */
rs_status rs_ranking_factors(const rs_ranking *r, rs_ranked *ranked, const float *users, const float *items,
                             int64_t vectors, int64_t width);

#endif
