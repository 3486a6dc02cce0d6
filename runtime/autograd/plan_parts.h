/* plan_parts.h - what a plan is made of, for plan.c (record, run) and plan_json.c (text). */
#ifndef RS_PLAN_PARTS_H
#define RS_PLAN_PARTS_H
#include "autograd/plan.h"

/* A named input, weight or output. */
typedef struct rs_port {
  char *name;
  rs_dtype dtype;
  int ndim;
  int64_t size[RS_MAX_DIMS]; /* -1: any (the rows of an input) */
  int slot;                  /* of an output */
} rs_port;

typedef struct rs_step {
  const rs_op *op;
  int n_operands;
  int *operands; /* slots, each below the step's own */
  rs_attr attr[RS_MAX_ATTRS];
} rs_step;

/* Slots: inputs, then weights, then one for each step. */
struct rs_plan {
  rs_port *ports[3]; /* by rs_plan_part */
  int n_ports[3];
  rs_step *steps;
  int n_steps;
  int *last_use; /* [slots]: the last step that reads it; n_steps when it is an output */
  rs_tensor *settled; /* [weights] that it runs with, laid out for it; NULL: each run brings its own */
};

static inline int rs_plan_leaves(const rs_plan *plan) {
  return plan->n_ports[RS_PLAN_INPUTS] + plan->n_ports[RS_PLAN_WEIGHTS];
}

/* An empty plan with room for so many parts; the arrays are cleared. */
rs_status rs_plan_new(rs_plan **out, int n_inputs, int n_weights, int n_outputs, int n_steps);
/* After all is in place: who is read last by whom. */
rs_status rs_plan_finish(rs_plan *plan);

#endif
