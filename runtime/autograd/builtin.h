/* builtin.h - the operations of this folder, each defined in its op_<name>.c. */
#ifndef RS_BUILTIN_H
#define RS_BUILTIN_H
#include "autograd/op.h"

extern const rs_op rs_op_linear, rs_op_linear_dropout, rs_op_linear_batch_norm, rs_op_matmul, rs_op_csr_matmul;
extern const rs_op rs_op_add, rs_op_sub, rs_op_mul, rs_op_div, rs_op_affine;
extern const rs_op rs_op_relu, rs_op_gelu, rs_op_tanh, rs_op_sigmoid, rs_op_exp, rs_op_log;
extern const rs_op rs_op_softmax, rs_op_log_softmax, rs_op_dropout;
extern const rs_op rs_op_layer_norm, rs_op_batch_norm, rs_op_l2_normalize;
extern const rs_op rs_op_concat, rs_op_narrow, rs_op_reshape;
extern const rs_op rs_op_sum, rs_op_mean, rs_op_sum_dim, rs_op_mean_dim, rs_op_dot;
extern const rs_op rs_op_embedding, rs_op_embedding_bag;
extern const rs_op rs_op_bag_positions, rs_op_bag_softmax, rs_op_bag_sum, rs_op_csr_bag, rs_op_csr_product, rs_op_keep_largest;
extern const rs_op rs_op_bag_first, rs_op_bag_distinct, rs_op_causal_attention, rs_op_fold_in;
extern const rs_op rs_op_mse, rs_op_bce, rs_op_bpr;

#define RS_BUILTIN_OPS                                                                                         \
  &rs_op_linear, &rs_op_linear_dropout, &rs_op_linear_batch_norm, &rs_op_matmul, &rs_op_add, &rs_op_sub,       \
      &rs_op_mul, &rs_op_div, &rs_op_affine, &rs_op_relu, &rs_op_gelu, &rs_op_tanh, &rs_op_sigmoid,            \
      &rs_op_exp, &rs_op_log, &rs_op_softmax, &rs_op_log_softmax, &rs_op_dropout, &rs_op_layer_norm,           \
      &rs_op_batch_norm, &rs_op_l2_normalize, &rs_op_concat, &rs_op_narrow, &rs_op_reshape, &rs_op_sum,        \
      &rs_op_mean, &rs_op_sum_dim, &rs_op_mean_dim, &rs_op_dot, &rs_op_embedding, &rs_op_embedding_bag,        \
      &rs_op_bag_positions, &rs_op_bag_softmax, &rs_op_bag_sum, &rs_op_mse, &rs_op_bce, &rs_op_bpr,            \
      &rs_op_csr_matmul, &rs_op_csr_bag, &rs_op_csr_product, &rs_op_keep_largest, &rs_op_bag_first, &rs_op_bag_distinct, &rs_op_causal_attention, \
      &rs_op_fold_in

#endif
