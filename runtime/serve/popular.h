/* popular.h - what is popular, where the model knows nothing: the fallback of last resort. Within the serve folder. */
#ifndef RS_POPULAR_H
#define RS_POPULAR_H
#include "serve/rules.h"

static inline bool rs_has_popular(const rs_server_model *m) { return m->popular.rows.storage != NULL; }

/* The segment of user row 'row' of the bundle, or with row -1 of one with the fields of a request; -1: none. */
int rs_popular_segment(const rs_server_model *m, rs_serve_scratch *scratch, int64_t row, rs_span fields);

/* The most popular items that the rules leave, within the request's caps: first the segment's, then all users'. Fills
 * answer->items, ->n, ->segment and ->missing. */
rs_status rs_popular_fill(const rs_server_model *m, rs_serve_scratch *scratch, const rs_request *request,
                          const rs_rules *rules, int segment, rs_answer *answer);

/* The items of a segment (-1: of all users) by falling popularity, and how many. */
const int32_t *rs_popular_rows(const rs_server_model *m, int segment, int64_t *n, const float **scores);

#endif
