/* partition.h - rows in stable order of small numbers, in parallel: what numbering, grouping and sorting stand on.
 *
 * Private to the frame operations. All results are functions of the arguments alone, never of the threads. */
#ifndef RS_PARTITION_H
#define RS_PARTITION_H
#include "tensor/tensor.h"

enum {
  RS_BUCKET_BITS = 11,  /* at most so many bits a scatter: more buckets than a second-level TLB holds are slow */
  RS_ROW_GRAIN = 1 << 16 /* rows a chunk of a parallel loop */
};

/* Keys and their rows in stable order of the bucket (key >> shift) & (2^bits - 1), bits 1 .. RS_BUCKET_BITS.
 * rows NULL: 0 .. n-1. starts [2^bits + 1], or NULL: where each bucket begins. */
rs_status rs_scatter(uint64_t *to_keys, int64_t *to_rows, int64_t *starts, const uint64_t *keys, const int64_t *rows,
                     int64_t n, int shift, int bits);

/* Number the values in place by first appearance: 0, 1, ...; *n_ids distinct ones. With range > 0 they are known to lie
 * in 0 .. range-1; with 0 they are any 64 bits. */
rs_status rs_number(int64_t *ids, int64_t n, int64_t range, int64_t *n_ids);

/* The rows of each group, in row order: rows[starts[g]] .. rows[starts[g + 1] - 1]. All-zero is a valid empty one. */
typedef struct rs_groups {
  int64_t n;
  int64_t *starts; /* [n + 1] */
  int64_t *rows;   /* [starts[n]] */
} rs_groups;

/* The groups 0 .. n_groups-1 of ids [n]; rows with id -1 are in none. */
rs_status rs_groups_of(rs_groups *out, const int64_t *ids, int64_t n, int64_t n_groups);
void rs_groups_free(rs_groups *g);
/* Groups a chunk of a parallel loop over n groups: small enough to share few large ones out. */
int64_t rs_groups_grain(int64_t n);

/* rows i64: where mask [n] is not 0, ascending. */
rs_status rs_rows_of_mask(rs_tensor *rows, const uint8_t *mask, int64_t n);

#endif
