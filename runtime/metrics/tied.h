/* tied.h - the expectation of a ranking metric over all orders of items with equal scores.
 *
 * A scorer that gives many items one score has not ranked them; whoever breaks the ties by item number measures the
 * item numbers (and codes sorted by frequency turn a model that collapsed into the popularity baseline). McSherry &
 * Najork 2008, "Computing information retrieval performance measures efficiently in the presence of tied scores"
 * (doi:10.1007/978-3-540-78646-7_38) give the mean over all orders in closed form; so a constant scorer measures
 * exactly what random order does, without drawing anything. tied_test.c checks every form by enumerating orders.
 *
 * A query's outcome is its tie groups that hold relevant candidates, best first. A relevant item that is not a
 * candidate is in no group: it counts in the denominators and is never found. */
#ifndef RS_TIED_H
#define RS_TIED_H
#include <stdint.h>

typedef struct rs_tie_group {
  int64_t greater;  /* candidates that score higher */
  int64_t size;     /* candidates with this very score, 1 or more */
  int64_t relevant; /* those among them that are relevant, 1 .. size */
  double gain;      /* the sum of their gains; for graded DCG */
} rs_tie_group;

typedef struct rs_outcome {
  int64_t candidates; /* items that were ranked */
  int64_t relevant;   /* relevant items, candidates or not; 1 or more */
  const rs_tie_group *groups;
  int64_t n_groups;
} rs_outcome;

/* P(a relevant item is among the first k). */
double rs_tied_hit(const rs_outcome *o, int64_t k);
/* E(number of relevant items among the first k): precision is this over k, recall this over 'relevant'. */
double rs_tied_found(const rs_outcome *o, int64_t k);
/* E(average precision of the first k): the precision at each relevant position up to k, summed, over
 * min(relevant, k). */
double rs_tied_average_precision(const rs_outcome *o, int64_t k);
/* E(1 / position of the first relevant item), 0 when no group has one. */
double rs_tied_reciprocal_rank(const rs_outcome *o);
/* P(a relevant item scores above a candidate that is not), ties half; a relevant item that is not a candidate is
 * below all. 0.5 for each relevant candidate when there is no irrelevant one. */
double rs_tied_auc(const rs_outcome *o);
/* E(DCG of the first k) with gain 1; 'discounts' holds the sums of the first 0, 1, .., k (or 'candidates', when that
 * is fewer) values of 1 / log2(1 + position). */
double rs_tied_dcg(const rs_outcome *o, int64_t k, const double *discounts);
/* The same with the groups' gains. */
double rs_tied_graded_dcg(const rs_outcome *o, int64_t k, const double *discounts);

#endif
