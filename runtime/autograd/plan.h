/* plan.h - a recorded evaluation forward: what a bundle keeps of a model, and what scores rows without Lua or tape.
 *
 * A plan is a list of steps over value slots: named inputs, named weights, then one slot per operation. It is
 * recorded from an evaluation tape and runs the very same forward functions, so that a row's result has the same
 * bits alone, in a batch and in training's validation. What later steps do not read is freed as the plan goes. */
#ifndef RS_PLAN_H
#define RS_PLAN_H
#include "autograd/tape.h"
#include "base/buffer.h"
#include "tensor/tensors.h"

typedef struct rs_plan rs_plan; /* immutable after recording or parsing; safe to run from many threads at once */

/* The operations that lead to 'nodes' (n of them, of one tape), named 'names', as a plan. The tape must be in
 * evaluation mode and every leaf a named input or a parameter. RS_EARG says which leaf is not. */
rs_status rs_plan_record(rs_plan **out, int n, rs_node *const *nodes, const char *const *names);

/* Names in the plan's order, for who has to bring the tensors. */
typedef enum rs_plan_part { RS_PLAN_INPUTS, RS_PLAN_WEIGHTS, RS_PLAN_OUTPUTS } rs_plan_part;
int rs_plan_count(const rs_plan *plan, rs_plan_part part);
const char *rs_plan_name(const rs_plan *plan, rs_plan_part part, int i);

/* Find the weights once, for all runs to come, and lay those of linear layers so that a run over a single row need not
 * turn them first, which costs a multiple of its product. The plan holds them; nobody may be running it. Results have
 * the same bits. Sparse matrices among the weights are checked as a whole. RS_EARG, RS_ESHAPE, RS_EDTYPE, RS_ERANGE as
 * rs_plan_run; RS_ENOMEM: it is not settled. */
rs_status rs_plan_settle(rs_plan *plan, const rs_tensors *weights);

/* Run on 'inputs' (found by name) with 'weights' (found by name; of a settled plan NULL or not looked at); 'outputs' gets
 * one tensor per recorded output, by name. RS_EARG names a missing input or weight, RS_ESHAPE/RS_EDTYPE one of the wrong kind, RS_ERANGE a code
 * outside its table. */
rs_status rs_plan_run(const rs_plan *plan, const rs_tensors *weights, const rs_tensors *inputs, rs_tensors *outputs);

/* A JSON object: format, version, inputs and weights (name, dtype, shape; -1: any size), steps (op, operands by slot,
 * attributes) and outputs (name, slot). Reals keep all their bits. */
rs_status rs_plan_to_json(const rs_plan *plan, rs_buffer *json);
/* Parse and check a plan from untrusted bytes; RS_EFORMAT says what is wrong and where. */
rs_status rs_plan_from_json(rs_plan **out, const char *json, size_t bytes);
void rs_plan_free(rs_plan *plan);

#endif
