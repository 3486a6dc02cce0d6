/* aggregate.h - one value a group: the aggregations of rs_frame_group_by.
 *
 * Private to the frame operations. */
#ifndef RS_AGGREGATE_H
#define RS_AGGREGATE_H
#include "frame/frame.h"
#include "frame/partition.h"

/* What the aggregations of one group_by share. */
typedef struct rs_grouping {
  const rs_frame *frame;
  const char *const *names; /* of the keys */
  int n_names;
  rs_tensor ids; /* i64 [rows] */
  rs_groups groups;
} rs_grouping;

/* The column called a->name. On failure 'out' is to be freed. RS_EARG as rs_frame_group_by. */
rs_status rs_aggregate_column(rs_column *out, const rs_grouping *g, const rs_aggregation *a);

#endif
