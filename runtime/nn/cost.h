/* cost.h - what an operation of a tape has to do, from its shapes: for profiles.
 *
 * The work that its definition asks for, whatever the way it is done: nothing that is computed a second time counts, nor
 * what a cache saves. Bytes are those of operands, results and gradients, each read or written once. */
#ifndef RS_COST_H
#define RS_COST_H
#include "autograd/tape.h"

typedef struct rs_cost {
  double flops; /* floating-point operations; an exponential counts as one */
  double bytes;
} rs_cost;

/* Of a node whose forward is done. */
rs_cost rs_cost_forward(const rs_node *node);
/* Of a node whose backward is about to run: what it gives to the inputs that want a gradient. */
rs_cost rs_cost_backward(const rs_node *node);

#endif
