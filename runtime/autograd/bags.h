/* bags.h - what the operations over bags share: rows offsets[i] .. offsets[i+1]-1 of something are bag i. */
#ifndef RS_BAGS_H
#define RS_BAGS_H
#include "autograd/tape.h"

enum { RS_BAGS = 32 }; /* bags of a chunk */

/* RS_EDTYPE or RS_ESHAPE unless input 'at' of the node is a vector i64 [n + 1]; RS_ERANGE, naming it, unless it ascends
 * from 0 to 'total', what there are of 'things' ("codes"). */
rs_status rs_need_bags(const rs_node *self, int at, int64_t total, const char *things);

#endif
