/* features.h - what an encoder makes of a frame: named outputs over the same rows, and batches gathered from them.
 *
 * | output  | tensors                                                                                     |
 * | codes   | values i32 [n]                                                                              |
 * | numbers | values f32 [n, width]                                                                       |
 * | list    | values i32 [total]; row i is values[starts[i] .. starts[i] + lengths[i]), starts i64 [n],   |
 * |         | lengths i32 [n]. Slices may overlap: histories share one copy of each user's events.        |
 * | weights | the same with values f32: a number beside each code of a list                               |
 */
#ifndef RS_FEATURES_H
#define RS_FEATURES_H
#include "tensor/tensors.h"

typedef enum rs_output_kind { RS_CODES, RS_NUMBERS, RS_CODE_LIST, RS_WEIGHT_LIST } rs_output_kind;

typedef struct rs_output {
  char *name; /* owned; "side.feature" */
  rs_output_kind kind;
  rs_tensor values;
  rs_tensor starts, lengths; /* lists and weights only */
} rs_output;

bool rs_is_list(const rs_output *o); /* a list of codes or of weights */

/* All-zero is a valid empty set of features. */
typedef struct rs_features {
  rs_output *outputs;
  int n_outputs;
  int64_t rows;
} rs_features;

/* The output called 'name', or NULL. */
const rs_output *rs_features_output(const rs_features *f, const char *name);

/* Append an output (moved: the caller's becomes empty). RS_EARG when the name is taken or holds no '.', RS_ESHAPE /
 * RS_EDTYPE when the tensors are not as the table above says or the rows differ, RS_ERANGE when a slice leaves its
 * values. On failure the output stays the caller's. */
rs_status rs_features_add(rs_features *f, rs_output *output);

/* Other handles on the same outputs; 'out' must be empty. */
rs_status rs_features_share(rs_features *out, const rs_features *f);

/* The outputs at 'rows' (0-based, n of them, repeats allowed) as a batch: a dense output x becomes "x" [n] or
 * [n, width]; a list "x" i32 (weights f32) [total] and "x.offsets" i64 [n + 1]. RS_ERANGE names a row outside 0 ..
 * rows-1. */
rs_status rs_features_gather(const rs_features *f, const int64_t *rows, int64_t n, rs_tensors *batch);

/* Whether row i says the same to the bit in outputs x and y, of the same kind and, for numbers, width. */
bool rs_output_same(const rs_output *x, const rs_output *y, int64_t i);
/* The first row that differs between features of the same rows, and the first output that does there, in the order of
 * 'a'; *row is -1 when none does. RS_ESHAPE unless both have the same outputs over the same number of rows. */
rs_status rs_features_difference(const rs_features *a, const rs_features *b, int64_t *row, const char **name);

/* As tensors for storing, without copies: a dense output as "x", a list as "x.values", "x.starts", "x.lengths". */
rs_status rs_features_tensors(const rs_features *f, rs_tensors *out);
/* The reverse; 'out' must be empty. RS_EFORMAT for tensors that make no features: they may come from strangers. */
rs_status rs_features_from(rs_features *out, const rs_tensors *tensors);

void rs_output_free(rs_output *o);
void rs_features_free(rs_features *f);

#endif
