/* sequences.h - each user's events as one run: what a query's user has seen is a slice of it. */
#ifndef RS_SEQUENCES_H
#define RS_SEQUENCES_H
#include <stdint.h>

#include "tensor/tensor.h"

/* Events by user, in the order in which they are given. All-zero is a valid empty object. */
typedef struct rs_sequences {
  rs_tensor starts;  /* i64 [users] */
  rs_tensor lengths; /* i32 [users] */
  rs_tensor items;   /* i32 [events] */
  rs_tensor rows;    /* i64 [events]: which event it was */
} rs_sequences;

/* From user [n] in 0 .. users-1 and item [n] (0 or more), the events 'rows' [n_rows] (NULL: all) in that order.
 * RS_ERANGE names what lies outside. */
rs_status rs_sequences_new(rs_sequences *out, const int64_t *user, const int64_t *item, int64_t n, int64_t users,
                           const int64_t *rows, int64_t n_rows);
void rs_sequences_free(rs_sequences *s);

/* For each query the beginning of its user's run that is earlier than its time: starts i64 [queries], lengths i32
 * [queries]. time [events of the data] must not fall within a run (RS_EARG). RS_ERANGE for a user outside. */
rs_status rs_sequences_before(const rs_sequences *s, const int64_t *time, int64_t queries, const int64_t *user,
                              const int64_t *at, int64_t *starts, int32_t *lengths);

#endif
