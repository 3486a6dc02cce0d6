/* frame.h - operations on frames: each gives a new frame that shares what it can, or tensors of row numbers.
 *
 * Frames are never changed. Row numbers are 0-based; results follow row order. All work is shared out among the
 * threads, and no result depends on their number. 'out' must be empty and is empty after a failure. RS_EARG names a
 * column that is not there. */
#ifndef RS_FRAME_H
#define RS_FRAME_H
#include "frame/column.h"
#include "tensor/tensors.h"

/* The rows i64 [n], in that order, repeats allowed; -1 gives a row of missing values. RS_ERANGE for others. */
rs_status rs_frame_take(rs_frame *out, const rs_frame *f, const int64_t *rows, int64_t n);
/* The columns called names, in that order. */
rs_status rs_frame_select(rs_frame *out, const rs_frame *f, const char *const *names, int n);
/* The rows of all frames, one frame after another; RS_EARG unless they have the same columns and types (any order). */
rs_status rs_frame_concat(rs_frame *out, const rs_frame *const *frames, int n);
/* The column called 'name', or NULL with a message that lists what there is (status RS_EARG). */
const rs_column *rs_frame_need(const rs_frame *f, const char *name);
bool rs_column_is_missing(const rs_column *c, int64_t row);

typedef enum rs_comparison {
  RS_EQ,
  RS_NE,
  RS_LT,
  RS_LE,
  RS_GT,
  RS_GE,
  RS_IN,
  RS_NOT_IN,
  RS_IS_MISSING,
  RS_PRESENT
} rs_comparison;

/* rows i64: those where the column compares so; missing values compare with nothing. A number column takes 'number', a
 * time column 'time', a string column 'texts' (n of them; order comparisons are not for strings). */
rs_status rs_frame_where(rs_tensor *rows, const rs_frame *f, const char *name, rs_comparison how, double number,
                         int64_t time, const char *const *texts, int n);

typedef struct rs_sort_key {
  const char *name;
  bool descending;
} rs_sort_key;

/* rows i64 [rows]: a stable order by the keys, missing values last, strings by their bytes. */
rs_status rs_frame_sort(rs_tensor *rows, const rs_frame *f, const rs_sort_key *keys, int n);

/* 64 bits that compare as the values of a time or number column do; the row's value is not missing. */
uint64_t rs_sort_bits(const rs_column *c, int64_t row);

/* groups i64 [rows]: the number of each row's combination of key values, by first appearance; missing is a value.
 * *n_groups of them. RS_EARG for a list column. */
rs_status rs_frame_groups(rs_tensor *groups, int64_t *n_groups, const rs_frame *f, const char *const *names, int n);
/* rows i64: one row of each combination, in row order: the first; the last; or with n_best keys the first in the order
 * of rs_frame_sort by them, which of equally good ones is the first in row order. */
rs_status rs_frame_distinct(rs_tensor *rows, const rs_frame *f, const char *const *names, int n, bool last,
                            const rs_sort_key *best, int n_best);

typedef enum rs_aggregate {
  RS_COUNT,         /* rows, or present values when a column is given */
  RS_SUM,           /* numbers: missing ones left out, added in row order; 0 for none */
  RS_MEAN,          /* numbers; NaN for none */
  RS_MIN,           /* numbers and times; missing for none */
  RS_MAX,
  RS_FIRST,         /* any type, missing or not; with 'by' as RS_ARG_MIN */
  RS_LAST,          /* with 'by' at the greatest present 'by', of equal ones the last */
  RS_N_DISTINCT,    /* present values; not for lists */
  RS_STD,           /* numbers, of a sample: by n - 1; missing for fewer than two */
  RS_VAR,           /* the same, squared */
  RS_MEDIAN,        /* numbers; between the two middle ones when they are even in number; missing for none */
  RS_QUANTILE,      /* numbers, at 'share'; between the two nearest ranks */
  RS_MODE,          /* the most frequent present value, of equally frequent ones the one met first; not for lists */
  RS_ANY,           /* numbers: 1 when one is other than 0, else 0; missing for none */
  RS_ALL,           /* numbers: 1 when none is 0 */
  RS_ARG_MIN,       /* any type: the value at the least present 'by' (number or time), of equal ones the first */
  RS_ARG_MAX,       /* at the greatest */
  RS_COLLECT,       /* strings and lists: a list of all present texts in row order */
  RS_WEIGHTED_SUM,  /* numbers times 'by', where both are present; 0 for none */
  RS_WEIGHTED_MEAN, /* that over the sum of 'by'; missing when it is 0 */
  RS_AGGREGATES     /* how many there are */
} rs_aggregate;

typedef struct rs_aggregation {
  const char *name; /* of the new column */
  rs_aggregate what;
  const char *column; /* NULL: RS_COUNT of rows */
  const char *by;     /* a second column, for those that take one */
  double share;       /* RS_QUANTILE: 0 .. 1 */
} rs_aggregation;

/* One row a group: the key columns, then the aggregations. */
rs_status rs_frame_group_by(rs_frame *out, const rs_frame *f, const char *const *names, int n,
                            const rs_aggregation *aggregations, int n_aggregations);

/* rows i64 [left rows]: the first row of 'right' whose keys equal, -1 when there is none; missing equals nothing.
 * String keys match by text. RS_EARG when the types of a key differ. */
rs_status rs_frame_lookup(rs_tensor *rows, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                          const char *const *right_names, int n);

typedef enum rs_join { RS_INNER, RS_LEFT, RS_SEMI, RS_ANTI } rs_join;

/* Left rows in order, each with its matches in the right frame's order. The right frame's other columns follow the left
 * frame's; RS_EARG when both have a column of that name. */
rs_status rs_frame_join(rs_frame *out, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                        const char *const *right_names, int n, rs_join how);

typedef enum rs_direction { RS_BACKWARD, RS_FORWARD, RS_NEAREST } rs_direction;

typedef struct rs_asof {
  const char *left_on, *right_on; /* columns of one type: both times or both numbers */
  rs_direction direction;         /* where to look: at or before the left row's, at or after, or both */
  bool strict;                    /* an equal 'on' is no match */
  double tolerance;               /* how far off a match may be, in ms or the numbers' own unit; INFINITY: any */
} rs_asof;

/* Every left row once, in order, with the right row of the same keys (n may be 0) whose 'on' is the nearest in the
 * direction; missing values where there is none, and where a key or 'on' is missing. Of right rows with equal 'on' the
 * last counts backwards and the first forwards; at equal distance the one before. Columns as in rs_frame_join; the right
 * frame's 'on' follows too when it has another name. */
rs_status rs_frame_asof(rs_frame *out, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                        const char *const *right_names, int n, const rs_asof *how);

/* Append the columns of 'right' that are not among the keys, at the given rows of it; RS_EARG for a name that is
 * taken. */
rs_status rs_frame_append(rs_frame *out, const rs_frame *right, const char *const *keys, int n, const rs_tensor *rows);

typedef enum rs_window_kind {
  RS_ROW_NUMBER, /* 1, 2, ... in the order */
  RS_RANK,       /* rows before, and 1: rows that are equal in the order share the least */
  RS_DENSE_RANK, /* the same without gaps */
  RS_GROUP_ROWS, /* how many rows the group has */
  RS_CUM_COUNT,  /* rows up to and with this one; of a column, its present values */
  RS_CUM_SUM,    /* of numbers, missing where the row's own is */
  RS_CUM_MIN,
  RS_CUM_MAX,
  RS_SHARE,  /* the number over the group's sum */
  RS_LAG,    /* the value 'offset' rows before, of any type; missing where there is none */
  RS_LEAD,   /* after */
  RS_SESSION /* 1, 2, ...: a new one where a time is more than 'offset' ms after the one before; missing for missing */
} rs_window_kind;

typedef struct rs_window {
  const char *name; /* of the new column */
  rs_window_kind what;
  const char *column; /* NULL for those that take none */
  int64_t offset;
} rs_window;

/* All columns, and new ones worked out within the groups of the keys (n may be 0: all rows are one) in an order: that of
 * rs_frame_sort, or with n_order 0 row order. */
rs_status rs_frame_window(rs_frame *out, const rs_frame *f, const char *const *names, int n, const rs_sort_key *order,
                          int n_order, const rs_window *windows, int n_windows);

/* rows i64: the largest set in which every user and every item has at least k rows. Rows where either is missing
 * are not in it. */
rs_status rs_frame_k_core(rs_tensor *rows, const rs_frame *f, const char *user, const char *item, int64_t k);

/* All columns as tensors without copies: "name.values", of lists "name.starts" and "name.lengths", of strings and
 * lists "name.bytes" u8 and "name.offsets" i64 [n + 1], the dictionary. */
rs_status rs_frame_tensors(const rs_frame *f, rs_tensors *out);
/* The reverse. RS_EFORMAT when the tensors do not make such columns: they may come from strangers. */
rs_status rs_frame_from_tensors(rs_frame *out, const rs_tensors *tensors, const char *const *names,
                                const rs_column_type *types, int n);

#endif
