/* tape.h - the record of one step: values as they are computed, gradients as they come back.
 *
 * A tape owns all that a step makes; freeing it frees that. Nodes are in the order of their making, so backward is
 * one walk from the loss down. Every value on a tape is contiguous (leaves are copied when they are not). */
#ifndef RS_TAPE_H
#define RS_TAPE_H
#include "autograd/op.h"
#include "autograd/parameter.h"

typedef struct rs_tape rs_tape;

typedef struct rs_tape_options {
  bool train;     /* dropout drops, batch norm uses and tracks the batch's statistics */
  bool gradients; /* keep what backward needs; without it a tape is a plain evaluation */
  uint64_t seed;  /* with epoch and step: the streams of random numbers */
  uint32_t epoch, step;
  int64_t rows_before; /* rows of the global batch before this one (ranks draw their own rows) */
} rs_tape_options;

struct rs_node {
  rs_tape *tape; /* NULL while a plan runs */
  const rs_tape_options *options;
  const rs_op *op; /* NULL for a leaf */
  int index;       /* place on the tape */
  int n_inputs;
  rs_node **input;
  rs_attr attr[RS_MAX_ATTRS];
  rs_tensor value;
  rs_tensor grad; /* empty unless backward is here, or this is an input that wanted a gradient */
  rs_tensor saved[RS_MAX_SAVED];
  bool needs_grad;
  rs_parameter *parameter; /* of a parameter leaf: one reference */
  char *name;              /* of an input leaf; NULL: anonymous, cannot be recorded */
  bool is_weight;          /* in a plan, where parameters are not at hand: 'name' is a parameter's */
};

rs_status rs_tape_new(rs_tape **out, const rs_tape_options *options);
void rs_tape_free(rs_tape *tape); /* NULL is fine */

/* A leaf over another handle on 't'. The same name with the same tensor again gives the same node. 'name' may be
 * NULL. RS_EDTYPE when 'needs_grad' and the tensor is not f32 or f64. */
rs_status rs_tape_input(rs_node **out, rs_tape *tape, const char *name, const rs_tensor *t, bool needs_grad);
/* The leaf of a parameter, one for each parameter on a tape. Holds a reference to it. */
rs_status rs_tape_parameter(rs_node **out, rs_tape *tape, rs_parameter *p);

/* Run 'op' on 'inputs' (all of this tape) and append the result. 'attrs' has op->n_fields entries (NULL when 0). */
rs_status rs_tape_apply(rs_node **out, rs_tape *tape, const rs_op *op, int n, rs_node *const *inputs,
                        const rs_attr *attrs);

/* Add d loss / d parameter into each trainable parameter's gradient, and leave the gradients of inputs that wanted
 * one in their nodes. RS_ESHAPE unless the loss has one element; RS_EARG when the tape keeps no gradients, or
 * backward has run before (what it needs is freed as it goes). */
rs_status rs_tape_backward(rs_node *loss);

/* Let 'watcher' see each operation before and after its forward and its backward, until the next call; NULL: none.
 * Before a forward the node has its inputs and attributes, but is not on the tape yet. After a backward its gradient
 * and what it saved are gone, and its inputs have theirs. A status other than RS_OK ends the forward or the backward
 * with it. */
typedef enum rs_tape_moment { RS_FORWARD_BEGINS, RS_FORWARD_ENDS, RS_BACKWARD_BEGINS, RS_BACKWARD_ENDS } rs_tape_moment;
typedef rs_status rs_tape_watcher(void *context, rs_tape_moment moment, const rs_node *node);
void rs_tape_watch(rs_tape *tape, rs_tape_watcher *watcher, void *context);

const rs_tape_options *rs_tape_options_of(const rs_tape *tape);
int rs_tape_size(const rs_tape *tape); /* nodes */
rs_node *rs_tape_node(const rs_tape *tape, int index);

/* The node's name for messages: "input 'user.id'", "parameter 'item.table'", "linear". */
const char *rs_node_label(const rs_node *node);

#endif
