/* optim.h - optimisers as updates of (value, gradient, state), dense or of some rows of a table.
 *
 * With w the value, g the gradient (scaled by gradient_scale), t the step from 1, r the learning rate, d the weight
 * decay; where decay is not decoupled, g first becomes g + d w:
 *
 *   SGD      without momentum: w -= r g; with momentum u: v = u v + g, w -= r v
 *   Adagrad  s += g^2, w -= r g / (sqrt(s) + epsilon). Duchi, Hazan & Singer 2011, jmlr.org/papers/v12/duchi11a.html.
 *            row-wise, for tables: s has one number a row, s += mean(g^2) over the row
 *   Adam     m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
 *            w -= r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon). Kingma & Ba 2015, arXiv:1412.6980.
 *   AdamW    w -= r d w first, then Adam without d. Loshchilov & Hutter 2019, arXiv:1711.05101.
 *
 * Rows are lazy: an update of rows is exactly the dense update of the touched rows alone. Value and state of
 * the other rows stay as they are: no momentum moves them, their moments do not fade, weight decay does not
 * shrink them; t counts all steps, not the row's own. A code that a step uses several times counts once, with the sum of
 * its gradients, however often it was used: autograd merges before the optimiser sees it.
 *
 * A table may be stored as bf16. Its gradient, its state and the arithmetic are f32: a touched row is widened, updated,
 * and rounded to one of its two neighbours at random, by the distance to each, so that the expected value of what is
 * stored is what was computed. Rounded to the nearest, steps below half a unit in the last place (an 8-bit fraction)
 * would be lost for ever. The random numbers are a function of (seed, table, step, row, element).
 * Gupta et al. 2015, arXiv:1502.02551. */
#ifndef RS_OPTIM_H
#define RS_OPTIM_H
#include "tensor/tensor.h"

typedef enum rs_optimizer_kind { RS_SGD, RS_ADAGRAD, RS_ADAM, RS_ADAMW } rs_optimizer_kind;

typedef struct rs_optimizer {
  rs_optimizer_kind kind;
  double learning_rate, weight_decay;
  double momentum;              /* SGD */
  double beta1, beta2, epsilon; /* Adam; epsilon also Adagrad */
  bool row_wise;                /* Adagrad, of matrices */
  double gradient_scale;        /* 1, or what clipping wants */
  uint64_t seed;                /* of stochastic rounding, with 'table': which of several tables this is */
  uint32_t table;
} rs_optimizer;

enum { RS_MAX_STATES = 2 };

/* How many state tensors a parameter has, and what they are called: "velocity", "sum", "mean", "variance". */
int rs_optimizer_states(const rs_optimizer *o);
const char *rs_optimizer_state_name(const rs_optimizer *o, int which);
/* The state tensor that a parameter of this value starts with: zeros, f32 for a value of bf16. */
rs_status rs_optimizer_state(rs_tensor *out, const rs_optimizer *o, int which, const rs_tensor *value);

/* Step 'step' (from 1) of a whole parameter. All tensors contiguous and of value's shape and dtype, f32 or f64 (the
 * row-wise state has one number a row); else RS_ESHAPE or RS_EDTYPE. Allocates nothing. */
rs_status rs_optimizer_update(const rs_optimizer *o, int64_t step, rs_tensor *value, const rs_tensor *gradient,
                              rs_tensor *state);
/* The same for rows codes[i] of value [n, d] with gradients rows [k, d]; codes i32 [k], distinct (the caller's
 * promise) and inside the table (RS_ERANGE). */
rs_status rs_optimizer_update_rows(const rs_optimizer *o, int64_t step, rs_tensor *value, const rs_tensor *codes,
                                   const rs_tensor *rows, rs_tensor *state);

/* The widest row of bf16 that is served (RS_ESHAPE). */
enum { RS_OPTIM_WIDTH = 4096 };

/* The sum of squares of a contiguous f32 or f64 tensor, in f64 over fixed chunks added in order: the global norm is the
 * root of the sum of these over all gradients (Pascanu et al. 2013, arXiv:1211.5063). */
rs_status rs_sum_of_squares(double *out, const rs_tensor *t);

#endif
