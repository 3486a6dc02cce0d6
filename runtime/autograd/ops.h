/* ops.h - the operations, as functions on nodes.
 *
 * Each makes one node on its inputs' tape. Sizes: n rows, d width. Reals are f32 or f64, all inputs of one dtype;
 * codes are i32. Failures: RS_ESHAPE names both shapes, RS_EDTYPE, RS_ERANGE (a code outside its table: names the
 * table, the code and the number of rows), RS_EARG (an attribute), RS_ENOMEM. */
#ifndef RS_OPS_H
#define RS_OPS_H
#include "autograd/tape.h"
#include "tensor/csr.h"

typedef enum rs_activation { RS_IDENTITY, RS_RELU, RS_GELU, RS_TANH, RS_SIGMOID } rs_activation;
extern const char *const rs_activation_names[]; /* "none", "relu", "gelu", "tanh", "sigmoid", NULL */

/* y [n, m] = activation(x [n, k] w [m, k]^T + b [m]); 'b' may be NULL. */
rs_status rs_ag_linear(rs_node **out, rs_node *x, rs_node *w, rs_node *b, rs_activation activation);
/* The same and dropout of y in one, where the tape trains; else rs_ag_linear. The draw is that of dropout at this
 * node's place. */
rs_status rs_ag_linear_dropout(rs_node **out, rs_node *x, rs_node *w, rs_node *b, rs_activation activation,
                               double rate);
/* op(a) op(b) of two matrices, op the transpose where the flag is set. */
rs_status rs_ag_matmul(rs_node **out, rs_node *a, bool transpose_a, rs_node *b, bool transpose_b);
/* m x for a sparse m [rows, width] of x's dtype, which is data, and x [width, d]. 'transposed' is m's transpose, or m
 * again where that is the same matrix. For training tapes. */
rs_status rs_ag_csr_matmul(rs_node **out, const rs_csr *m, const rs_csr *transposed, rs_node *x);

/* Broadcast as in NumPy: sizes are aligned at the last dimension, and 1 stretches. */
rs_status rs_ag_add(rs_node **out, rs_node *a, rs_node *b);
rs_status rs_ag_sub(rs_node **out, rs_node *a, rs_node *b);
rs_status rs_ag_mul(rs_node **out, rs_node *a, rs_node *b);
rs_status rs_ag_div(rs_node **out, rs_node *a, rs_node *b);
/* scale * x + shift */
rs_status rs_ag_affine(rs_node **out, rs_node *x, double scale, double shift);

/* Element by element. gelu is x Phi(x) with the exact normal distribution (Hendrycks & Gimpel 2016,
 * arXiv:1606.08415). */
rs_status rs_ag_relu(rs_node **out, rs_node *x);
rs_status rs_ag_gelu(rs_node **out, rs_node *x);
rs_status rs_ag_tanh(rs_node **out, rs_node *x);
rs_status rs_ag_sigmoid(rs_node **out, rs_node *x);
rs_status rs_ag_exp(rs_node **out, rs_node *x);
rs_status rs_ag_log(rs_node **out, rs_node *x);
/* The one of that kind; for RS_IDENTITY x itself. */
rs_status rs_ag_activate(rs_node **out, rs_node *x, rs_activation activation);

/* Over the last dimension, stable for any finite logits. */
rs_status rs_ag_softmax(rs_node **out, rs_node *x);
rs_status rs_ag_log_softmax(rs_node **out, rs_node *x);

/* Training: each element is 0 with probability 'rate' in [0, 1), else divided by 1 - rate; the draw is a function
 * of (seed, epoch, step, place of the node on the tape, global row). Evaluation: x itself. */
rs_status rs_ag_dropout(rs_node **out, rs_node *x, double rate);

/* Over the last dimension: (x - mean) / sqrt(variance + epsilon) * gain + bias; variance divides by d.
 * Ba, Kiros & Hinton 2016, arXiv:1607.06450. gain and bias [d]. */
rs_status rs_ag_layer_norm(rs_node **out, rs_node *x, rs_node *gain, rs_node *bias, double epsilon);
/* Over the rows of x [n, d]: training normalises by the batch's mean and variance (divided by n) and moves the
 * buffers 'mean' and 'variance' [d] towards them: running += momentum * (batch - running), with the batch variance
 * divided by n - 1. Evaluation normalises by the buffers. n = 1 in training is RS_ESHAPE.
 * Ioffe & Szegedy 2015, arXiv:1502.03167. */
rs_status rs_ag_batch_norm(rs_node **out, rs_node *x, rs_node *gain, rs_node *bias, rs_node *mean, rs_node *variance,
                           double momentum, double epsilon);
/* dropout(activation(batch_norm(x w^T))) in one, where the tape trains; else the operations one by one, which plans
 * know. Batch mean and variance are added up from tiles of rows (Chan, Golub & LeVeque 1983, doi:10.2307/2683386). */
typedef struct rs_norm_attrs {
  double momentum, epsilon;
  rs_activation activation;
  double rate;
} rs_norm_attrs;
rs_status rs_ag_linear_batch_norm(rs_node **out, rs_node *x, rs_node *w, rs_node *gain, rs_node *bias, rs_node *mean,
                                  rs_node *variance, const rs_norm_attrs *attrs);
/* Rows divided by max(||row||, epsilon). */
rs_status rs_ag_l2_normalize(rs_node **out, rs_node *x, double epsilon);

/* Along the last dimension; all other sizes agree. n >= 1 inputs. */
rs_status rs_ag_concat(rs_node **out, int n, rs_node *const *inputs);
rs_status rs_ag_narrow(rs_node **out, rs_node *x, int dim, int64_t start, int64_t length);
/* One size may be -1 and is inferred. */
rs_status rs_ag_reshape(rs_node **out, rs_node *x, int ndim, const int64_t *size);

/* Over all elements: a scalar (ndim 0). The mean of none is RS_ESHAPE. */
rs_status rs_ag_sum(rs_node **out, rs_node *x);
rs_status rs_ag_mean(rs_node **out, rs_node *x);
/* Over one dimension (negative: from the last), which is dropped. */
rs_status rs_ag_sum_dim(rs_node **out, rs_node *x, int dim);
rs_status rs_ag_mean_dim(rs_node **out, rs_node *x, int dim);

/* [n] = the dot product of row i of a [n, d] and row i of b [n, d]. */
rs_status rs_ag_dot(rs_node **out, rs_node *a, rs_node *b);

/* Rows of table [rows, d] at codes i32 [...]: [..., d]; codes have at most RS_MAX_DIMS - 1 dimensions. */
rs_status rs_ag_embedding(rs_node **out, rs_node *table, rs_node *codes);
/* [n, d]: bag i is codes[offsets[i] .. offsets[i+1]-1], summed or averaged; an empty bag is 0. codes i32 [total],
 * offsets i64 [n + 1] from 0, ascending, to total. 'weights' [total] multiplies each row (with mean, the sum is still
 * divided by the number of codes) or is NULL. */
typedef enum rs_bag_mode { RS_BAG_SUM, RS_BAG_MEAN } rs_bag_mode;
rs_status rs_ag_embedding_bag(rs_node **out, rs_node *table, rs_node *codes, rs_node *offsets, rs_node *weights,
                              rs_bag_mode mode);

/* Bags of rows, bag i being rows offsets[i] .. offsets[i+1]-1; offsets as above.
 * i32 [total]: the place of each of codes i32 [total] in its bag, from 0; limit - 1 from there on. */
rs_status rs_ag_bag_positions(rs_node **out, rs_node *codes, rs_node *offsets, int64_t limit);
/* f32 [total]: 1 for the first of equal codes i32 [total] of a bag, 0 for those behind it. */
rs_status rs_ag_bag_distinct(rs_node **out, rs_node *codes, rs_node *offsets);
/* Softmax down each column of each bag of x [total, h], h up to 64. */
rs_status rs_ag_bag_softmax(rs_node **out, rs_node *x, rs_node *offsets);
/* [n, h d]: h weighted sums of each bag of x [total, d] side by side, by the columns of weights [total, h]. */
rs_status rs_ag_bag_sum(rs_node **out, rs_node *x, rs_node *offsets, rs_node *weights);
/* [n, d]: the first row of each bag of x [total, d]; an empty bag is 0. */
rs_status rs_ag_bag_first(rs_node **out, rs_node *x, rs_node *offsets);
/* Attention within bags that are newest first: row p attends itself and the rows of its bag behind it, in 'heads' heads
 * of d / heads columns each. q, k, v [total, d]; d must be a multiple of heads (RS_ESHAPE). 'rate' of the shares, in
 * [0, 1), is dropped while the tape trains. Vaswani et al. 2017, arXiv:1706.03762. */
rs_status rs_ag_causal_attention(rs_node **out, rs_node *q, rs_node *k, rs_node *v, rs_node *offsets, int64_t heads,
                                 double rate);

/* [n, width]: bag i is the sum of the rows codes[offsets[i] .. offsets[i+1]-1] of a sparse matrix [rows, width], times
 * 'weights' [total] of the values' dtype or NULL. starts i64 [rows + 1] rise, columns i32 [entries] lie below width,
 * values [entries]; entries behind the last start are spare. None of these may want a gradient: RS_EARG. */
rs_status rs_ag_csr_bag(rs_node **out, rs_node *starts, rs_node *columns, rs_node *values, int64_t width,
                        rs_node *codes, rs_node *offsets, rs_node *weights);
/* [n, width] = x [n, rows] times such a matrix; zeros of x are passed over, each row a sum in the order of x's elements. */
rs_status rs_ag_csr_product(rs_node **out, rs_node *x, rs_node *starts, rs_node *columns, rs_node *values,
                            int64_t width);
/* Of each row of x f32 [n, d] the k largest numbers above 0, the first of equal ones; all others are 0. No gradient:
 * RS_EARG for an x that wants one; RS_ENUMERIC for a NaN. */
rs_status rs_ag_keep_largest(rs_node **out, rs_node *x, int64_t k);
/* Whether all of such a matrix is as operation 'op' wants it: RS_EDTYPE, RS_ESHAPE, or RS_ERANGE with the row. */
rs_status rs_csr_bag_check(const char *op, const rs_tensor *starts, const rs_tensor *columns, const rs_tensor *values,
                           int64_t width);

/* [n, d]: the least-squares vector of somebody who has the items codes[offsets[i] .. offsets[i+1]-1], of weights [total] or,
 * NULL, 1: half a sweep of alternating least squares (Rendle et al. 2022, doi:10.1145/3523227.3548486; with 'confidence'
 * Hu, Koren & Volinsky 2008, doi:10.1109/ICDM.2008.22). items f32 [rows, d] on the axes of their Gramian, which is
 * diag(spectrum) there. Code 0 and weights of 0 do not count. No gradient: who wants one is refused. */
typedef struct rs_fold_in {
  double unobserved, regularization, scaling; /* of a pair of any two; of the penalty; the penalty's power */
  int64_t others;                             /* items that count in the penalty */
  bool confidence;
} rs_fold_in;
rs_status rs_ag_fold_in(rs_node **out, rs_node *items, rs_node *spectrum, rs_node *codes, rs_node *offsets,
                        rs_node *weights, rs_fold_in o);

/* Losses: scalars (ndim 0). */
/* Mean of (x - target)^2; 'weights' of the same shape, or NULL, multiply each term (the mean divides by the count). */
rs_status rs_ag_mse(rs_node **out, rs_node *x, rs_node *target, rs_node *weights);
/* Mean of binary cross-entropy of sigmoid(logits) against targets in [0, 1]; weights as above. */
rs_status rs_ag_bce(rs_node **out, rs_node *logits, rs_node *target, rs_node *weights);
/* Mean of -log sigmoid(positive - negative). Rendle et al. 2009, arXiv:1205.2618. */
rs_status rs_ag_bpr(rs_node **out, rs_node *positive, rs_node *negative);

#endif
