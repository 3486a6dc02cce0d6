/* rules.h - which items a request leaves as candidates, and how many it left out why. Within the serve folder. */
#ifndef RS_RULES_H
#define RS_RULES_H
#include "base/bitmap.h"
#include "serve/loaded.h"
#include "serve/scratch.h"

typedef struct rs_rules {
  const uint64_t *allow; /* what the filter and the window let pass; NULL: everything */
  const uint64_t *bars;  /* of these what was seen or excluded, */
  const int32_t *gone;   /* and the same as rows */
  int64_t n_gone;
} rs_rules;

/* The rules of a request at answer->now, whose user has seen 'seen' (NULL: which does not matter); counts answer->seen,
 * ->rule and ->unknown. On success rs_rules_end must follow. RS_EARG for a filter that makes no sense. */
rs_status rs_rules_of(const rs_server_model *m, rs_serve_scratch *scratch, const rs_request *request,
                      const int32_t *seen, int64_t n_seen, rs_answer *answer, rs_rules *out);
void rs_rules_end(rs_serve_scratch *scratch, const rs_rules *rules);

static inline bool rs_rules_allow(const rs_rules *r, int64_t row) {
  return (!r->allow || rs_bitmap_has(r->allow, row)) && !rs_bitmap_has(r->bars, row);
}

#endif
