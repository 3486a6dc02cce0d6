/* profile.h - what looking at a frame finds: a column's values, repeated rows, keys that do not match, who interacts.
 *
 * Exact, over all rows: values are sorted (radix) and rows hashed (a repeat is compared before it counts). Scratch is
 * 16 bytes a row for each column in work, of which there are as many as threads. Same bits for any number of them. */
#ifndef RS_PROFILE_H
#define RS_PROFILE_H
#include "base/buffer.h"
#include "frame/frame.h"

enum { RS_PROFILE_QUANTILES = 5, RS_PROFILE_BINS = 64, RS_PROFILE_TOP = 32 };

/* 1 %, 25 %, 50 %, 75 %, 99 %: between two values, as far between them as the share says (Hyndman and Fan 1996, 7). */
extern const double rs_profile_shares[RS_PROFILE_QUANTILES];

/* How numbers are spread. All zero when there are none. */
typedef struct rs_spread {
  int64_t n;        /* values */
  double min, max;  /* not cleared of infinities */
  double mean;      /* NaN or infinite where a value is infinite */
  double deviation; /* dividing by n */
  double quantile[RS_PROFILE_QUANTILES];
} rs_spread;

typedef struct rs_top {
  double number; /* number and time columns; ms */
  int32_t code;  /* string and list columns */
  int64_t count; /* rows, of a list column members */
} rs_top;

typedef struct rs_profile {
  int64_t rows, missing;
  int64_t distinct; /* present values; of a list column members */
  bool whole;       /* number columns: all values are whole numbers */
  rs_spread spread; /* numbers, times (ms), characters of strings, members of lists; of present values */
  /* 'n_bins' bins of equal width from 'low' to 'high', the 1 % and 99 % quantiles (or the extremes where those are
   * equal); the first bin counts what is below, too, and the last what is above. Whole numbers that are few get a bin
   * each, n - 1/2 to n + 1/2. */
  double low, high;
  int64_t n_bins, bins[RS_PROFILE_BINS];
  int64_t n_top;
  rs_top top[RS_PROFILE_TOP]; /* the most frequent; of equally frequent ones the least number or the first string */
} rs_profile;

/* out[i] is the profile of column i, with at most 'top' values and 'bins' bins. */
rs_status rs_profile_columns(rs_profile *out, const rs_frame *f, int64_t top, int64_t bins);

/* The spread of n counts, and how uneven they are. All-zero where there are none. */
typedef struct rs_skew {
  rs_spread spread;
  int64_t total;
  double gini;       /* 0: all equal, towards 1: all with one */
  double top1, top10; /* the share of the total that the 1 % (10 %, rounded up) with the greatest counts have */
  int64_t once;      /* counts of 1 */
  int64_t n_points;  /* of the curve of counts by rank, about 8 a decade of ranks */
  int64_t rank[160], count[160];
} rs_skew;

/* Counts of 0 are left out; 'counts' ends sorted. */
rs_status rs_skew_of(rs_skew *out, int64_t *counts, int64_t n);

/* Rows whose values stand in an earlier row. All-zero is a valid empty object. */
typedef struct rs_repeats {
  int64_t rows, incomplete; /* looked at; of them left out because they miss a key */
  int64_t distinct;         /* combinations of values */
  int64_t repeated;         /* rows - incomplete - distinct */
  rs_tensor repeats;        /* i64: the first 'limit' repeated rows */
  rs_tensor firsts;         /* i64: where the values of each stand first */
} rs_repeats;

/* Over the columns called names (n = 0: all). A missing value is a value unless 'skip_missing'. */
rs_status rs_frame_repeats(rs_repeats *out, const rs_frame *f, const char *const *names, int n, bool skip_missing,
                           int64_t limit);
void rs_repeats_free(rs_repeats *r);

/* One side of two columns compared as keys. */
typedef struct rs_overlap {
  int64_t rows, missing;   /* of the column */
  int64_t keys;            /* distinct values */
  int64_t unmatched_rows;  /* rows and keys that the other column does not hold */
  int64_t unmatched_keys;
  int64_t n_examples;      /* keys without a partner, those with the most rows first */
  struct {
    char *text; /* not terminated; inside 'bytes' */
    size_t length;
    int64_t rows;
  } examples[8];
  rs_buffer bytes;
} rs_overlap;

/* Strings match by text, numbers by value, and a number its decimal form. RS_EARG for a time or a list. */
rs_status rs_column_overlap(rs_overlap *left, rs_overlap *right, const rs_column *a, const rs_column *b);
void rs_overlap_free(rs_overlap *o);

/* The last share of the interactions in time, against all before them: what starts cold. */
typedef struct rs_cold {
  double share;
  int64_t from;                        /* ms: the first moment of the part; moments are not divided */
  int64_t events, users, items;        /* in the part */
  int64_t new_users, new_items;        /* of them not seen before it */
  int64_t user_events, item_events;    /* events of new users, of new items */
  int64_t either_events;               /* events of a new user or a new item */
} rs_cold;

typedef struct rs_interactions {
  int64_t rows, incomplete; /* incomplete ones miss user, item or time and count nowhere else */
  rs_skew users, items;     /* interactions of each */
  int64_t pairs, repeated;  /* distinct pairs of user and item; rows - incomplete - pairs */
} rs_interactions;

/* 'time' may be NULL; then cold must be. 'cold' has n_cold entries whose 'share' is set. */
rs_status rs_frame_interactions(rs_interactions *out, rs_cold *cold, int n_cold, const rs_frame *f, const char *user,
                                const char *item, const char *time);

#endif
