/* plan.c - recording and running plans; see plan.h. */
#include "autograd/plan.h"

#include <string.h>

#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "autograd/plan_parts.h"
#include "base/alloc.h"
#include "tensor/block.h"

static rs_status allocate(void *slot, int n, size_t bytes) {
  void *block = rs_alloc_zero((size_t)n * bytes);
  if (!block) return rs_nomem("plan", (size_t)n * bytes);
  *(void **)slot = block;
  return RS_OK;
}

rs_status rs_plan_new(rs_plan **out, int n_inputs, int n_weights, int n_outputs, int n_steps) {
  rs_plan *plan = rs_alloc_zero(sizeof *plan);
  if (!plan) return rs_nomem("plan", sizeof *plan);
  const int n[3] = {n_inputs, n_weights, n_outputs};
  rs_status status = RS_OK;
  for (int part = 0; part < 3 && status == RS_OK; part++) {
    status = allocate(&plan->ports[part], n[part], sizeof(rs_port));
    if (status == RS_OK) plan->n_ports[part] = n[part];
  }
  if (status == RS_OK) status = allocate(&plan->steps, n_steps, sizeof(rs_step));
  if (status == RS_OK) plan->n_steps = n_steps;
  if (status == RS_OK)
    *out = plan;
  else
    rs_plan_free(plan);
  return status;
}

void rs_plan_free(rs_plan *plan) {
  if (!plan) return;
  for (int part = 0; part < 3; part++) {
    for (int i = 0; i < plan->n_ports[part]; i++) rs_free(plan->ports[part][i].name);
    rs_free(plan->ports[part]);
  }
  for (int i = 0; i < plan->n_steps; i++) rs_free(plan->steps[i].operands);
  for (int i = 0; plan->settled && i < plan->n_ports[RS_PLAN_WEIGHTS]; i++) rs_tensor_free(&plan->settled[i]);
  rs_free(plan->settled);
  rs_free(plan->steps);
  rs_free(plan->last_use);
  rs_free(plan);
}

rs_status rs_plan_finish(rs_plan *plan) {
  int leaves = rs_plan_leaves(plan);
  rs_status status = allocate(&plan->last_use, leaves + plan->n_steps, sizeof(int));
  if (status != RS_OK) return status;
  for (int i = 0; i < plan->n_steps; i++) {
    plan->last_use[leaves + i] = i;
    for (int j = 0; j < plan->steps[i].n_operands; j++) plan->last_use[plan->steps[i].operands[j]] = i;
  }
  for (int i = 0; i < plan->n_ports[RS_PLAN_OUTPUTS]; i++)
    plan->last_use[plan->ports[RS_PLAN_OUTPUTS][i].slot] = plan->n_steps;
  return RS_OK;
}

int rs_plan_count(const rs_plan *plan, rs_plan_part part) { return plan->n_ports[part]; }
const char *rs_plan_name(const rs_plan *plan, rs_plan_part part, int i) { return plan->ports[part][i].name; }

/* Recording. */

typedef struct recording {
  const rs_tape *tape;
  int size;
  int *slot; /* [size]: -1 not needed, else the slot of the node's value */
  int n_inputs, n_weights, n_steps;
} recording;

enum { UNNEEDED = -1, NEEDED = 0 };

/* Dropout does nothing in evaluation: its slot is its input's. */
static bool passes(const rs_node *node) { return node->op == &rs_op_dropout; }

/* Mark what leads to the nodes, and count. */
static rs_status mark(recording *r, int n, rs_node *const *nodes) {
  for (int i = 0; i < r->size; i++) r->slot[i] = UNNEEDED;
  for (int i = 0; i < n; i++) r->slot[nodes[i]->index] = NEEDED;
  for (int i = r->size - 1; i >= 0; i--) {
    const rs_node *node = rs_tape_node(r->tape, i);
    if (r->slot[i] == UNNEEDED) continue;
    for (int j = 0; j < node->n_inputs; j++) r->slot[node->input[j]->index] = NEEDED;
    if (node->op && node->op->training_only)
      return rs_fail(RS_EARG, "plan: %s is for training and cannot be recorded", node->op->name);
    if (!node->op && !node->parameter && !node->name)
      return rs_fail(RS_EARG, "plan: an input of shape %s has no name", rs_shape(&node->value).text);
    if (node->op)
      r->n_steps += !passes(node);
    else if (node->parameter)
      r->n_weights++;
    else
      r->n_inputs++;
  }
  return RS_OK;
}

static rs_status fill_port(rs_plan *plan, rs_plan_part part, int i, const char *name, const rs_tensor *t) {
  rs_port *port = &plan->ports[part][i];
  for (int j = 0; j < i; j++)
    if (!strcmp(plan->ports[part][j].name, name)) return rs_fail(RS_EARG, "plan: two leaves are called '%s'", name);
  port->name = rs_strdup(name);
  if (!port->name) return rs_nomem("plan", strlen(name) + 1);
  port->dtype = t->dtype;
  port->ndim = t->ndim;
  memcpy(port->size, t->size, sizeof port->size);
  if (part == RS_PLAN_INPUTS && t->ndim) port->size[0] = -1;
  return RS_OK;
}

static rs_status fill_step(rs_plan *plan, int i, const rs_node *node, const recording *r) {
  rs_step *step = &plan->steps[i];
  rs_status status = allocate(&step->operands, node->n_inputs, sizeof(int));
  if (status != RS_OK) return status;
  step->op = node->op;
  step->n_operands = node->n_inputs;
  for (int j = 0; j < node->n_inputs; j++) step->operands[j] = r->slot[node->input[j]->index];
  memcpy(step->attr, node->attr, sizeof step->attr);
  return RS_OK;
}

/* Give every needed node its slot and its part of the plan, in the order of the tape. */
static rs_status fill(rs_plan *plan, recording *r) {
  int input = 0, weight = 0, step = 0;
  rs_status status = RS_OK;
  for (int i = 0; i < r->size && status == RS_OK; i++) {
    const rs_node *node = rs_tape_node(r->tape, i);
    if (r->slot[i] == UNNEEDED) continue;
    if (node->parameter) {
      status = fill_port(plan, RS_PLAN_WEIGHTS, weight, node->parameter->name, &node->value);
      r->slot[i] = r->n_inputs + weight++;
    } else if (!node->op) {
      status = fill_port(plan, RS_PLAN_INPUTS, input, node->name, &node->value);
      r->slot[i] = input++;
    } else if (passes(node)) {
      r->slot[i] = r->slot[node->input[0]->index];
    } else {
      status = fill_step(plan, step, node, r);
      r->slot[i] = r->n_inputs + r->n_weights + step++;
    }
  }
  return status;
}

static rs_status record(rs_plan **out, recording *r, int n, rs_node *const *nodes, const char *const *names) {
  rs_plan *plan = NULL;
  rs_status status = mark(r, n, nodes);
  if (status == RS_OK) status = rs_plan_new(&plan, r->n_inputs, r->n_weights, n, r->n_steps);
  if (status == RS_OK) status = fill(plan, r);
  for (int i = 0; i < n && status == RS_OK; i++) {
    status = fill_port(plan, RS_PLAN_OUTPUTS, i, names[i], &nodes[i]->value);
    plan->ports[RS_PLAN_OUTPUTS][i].slot = r->slot[nodes[i]->index];
  }
  if (status == RS_OK) status = rs_plan_finish(plan);
  if (status == RS_OK)
    *out = plan;
  else
    rs_plan_free(plan);
  return status;
}

rs_status rs_plan_record(rs_plan **out, int n, rs_node *const *nodes, const char *const *names) {
  if (n < 1) return rs_fail(RS_EARG, "plan: no output");
  recording r = {.tape = nodes[0]->tape, .size = rs_tape_size(nodes[0]->tape)};
  if (rs_tape_options_of(r.tape)->train) return rs_fail(RS_EARG, "plan: the tape is in training mode");
  for (int i = 1; i < n; i++)
    if (nodes[i]->tape != r.tape) return rs_fail(RS_EARG, "plan: '%s' is of another tape", names[i]);
  rs_status status = allocate(&r.slot, r.size, sizeof(int));
  if (status == RS_OK) status = record(out, &r, n, nodes, names);
  rs_free(r.slot);
  return status;
}

/* Running. */

static const rs_tape_options evaluation;

/* One run: a node for each slot, with their operand lists behind. */
typedef struct run {
  const rs_plan *plan;
  rs_node *nodes;
  rs_node **operands;
} run;

static rs_status bind_port(rs_node *node, const rs_port *port, bool is_weight, const rs_tensors *from) {
  const char *what = is_weight ? "weight" : "input";
  const rs_tensor *t = rs_tensors_find(from, port->name);
  if (!t) return rs_fail(RS_EARG, "plan: %s '%s' is missing", what, port->name);
  if (t->dtype != port->dtype)
    return rs_fail(RS_EDTYPE, "plan: %s '%s' is %s, not %s", what, port->name, rs_dtype_name(t->dtype),
                   rs_dtype_name(port->dtype));
  bool fits = t->ndim == port->ndim;
  for (int i = 0; fits && i < t->ndim; i++) fits = port->size[i] < 0 || t->size[i] == port->size[i];
  if (!fits) {
    rs_tensor wanted = {.ndim = port->ndim};
    memcpy(wanted.size, port->size, sizeof wanted.size);
    return rs_fail(RS_ESHAPE, "plan: %s '%s' is %s, it must be %s (-1: any)", what, port->name, rs_shape(t).text,
                   rs_shape(&wanted).text);
  }
  node->name = port->name;
  node->is_weight = is_weight;
  return rs_tensor_contiguous(&node->value, t);
}

/* A leaf of a settled weight borrows the plan's handle: worker threads that count handles on one storage would wait for
 * each other. */
static void bind_settled(const run *r) {
  const rs_plan *plan = r->plan;
  rs_node *node = r->nodes + plan->n_ports[RS_PLAN_INPUTS];
  for (int i = 0; i < plan->n_ports[RS_PLAN_WEIGHTS]; i++, node++) {
    node->name = plan->ports[RS_PLAN_WEIGHTS][i].name;
    node->is_weight = true;
    node->value = plan->settled[i];
  }
}

/* Let go of a slot's value. */
static void release(const run *r, int slot) {
  const rs_plan *plan = r->plan;
  bool borrowed = plan->settled && slot >= plan->n_ports[RS_PLAN_INPUTS] && slot < rs_plan_leaves(plan);
  if (borrowed)
    r->nodes[slot].value = (rs_tensor){0};
  else
    rs_tensor_free(&r->nodes[slot].value);
}

static rs_status bind_leaves(run *r, const rs_tensors *weights, const rs_tensors *inputs) {
  const rs_plan *plan = r->plan;
  rs_node *node = r->nodes;
  rs_status status = RS_OK;
  for (int i = 0; i < plan->n_ports[RS_PLAN_INPUTS] && status == RS_OK; i++)
    status = bind_port(node++, &plan->ports[RS_PLAN_INPUTS][i], false, inputs);
  if (plan->settled && status == RS_OK) bind_settled(r);
  for (int i = 0; !plan->settled && i < plan->n_ports[RS_PLAN_WEIGHTS] && status == RS_OK; i++)
    status = bind_port(node++, &plan->ports[RS_PLAN_WEIGHTS][i], true, weights);
  return status;
}

static rs_status run_steps(run *r) {
  const rs_plan *plan = r->plan;
  int leaves = rs_plan_leaves(plan);
  rs_node **operands = r->operands;
  for (int i = 0; i < plan->n_steps; i++) {
    const rs_step *step = &plan->steps[i];
    rs_node *node = &r->nodes[leaves + i];
    node->op = step->op;
    node->options = &evaluation;
    node->n_inputs = step->n_operands;
    node->input = operands;
    for (int j = 0; j < step->n_operands; j++) *operands++ = &r->nodes[step->operands[j]];
    memcpy(node->attr, step->attr, sizeof node->attr);
    rs_status status = step->op->forward(node);
    if (status != RS_OK) return status;
    for (int j = 0; j < step->n_operands; j++)
      if (plan->last_use[step->operands[j]] == i) release(r, step->operands[j]);
  }
  return RS_OK;
}

static rs_status take_outputs(run *r, rs_tensors *outputs) {
  const rs_plan *plan = r->plan;
  rs_status status = RS_OK;
  for (int i = 0; i < plan->n_ports[RS_PLAN_OUTPUTS] && status == RS_OK; i++) {
    const rs_port *port = &plan->ports[RS_PLAN_OUTPUTS][i];
    status = rs_tensors_add(outputs, port->name, &r->nodes[port->slot].value);
  }
  return status;
}

/* Whether all that read a weight are linear layers, as their matrix. */
static bool is_matrix(const rs_plan *plan, int slot) {
  int uses = 0;
  for (int i = 0; i < plan->n_steps; i++)
    for (int j = 0; j < plan->steps[i].n_operands; j++) {
      if (plan->steps[i].operands[j] != slot) continue;
      if (plan->steps[i].op != &rs_op_linear || j != 1) return false;
      uses++;
    }
  return uses > 0;
}

/* The same numbers [m, k], laid by columns. */
static rs_status lay_by_columns(rs_tensor *t) {
  rs_tensor turned = {0}, laid = {0};
  rs_status status = rs_tensor_transpose(&turned, t, 0, 1);
  if (status == RS_OK) status = rs_tensor_copy_of(&laid, &turned);
  rs_tensor_free(&turned);
  if (status != RS_OK) return status;
  rs_tensor_free(t);
  status = rs_tensor_transpose(t, &laid, 0, 1);
  rs_tensor_free(&laid);
  return status;
}

/* The sparse matrices among the weights, each as a whole: a run looks only at the rows that it reads. */
static rs_status check_sparse(const rs_plan *plan, const rs_tensor *weights) {
  int first = plan->n_ports[RS_PLAN_INPUTS], last = rs_plan_leaves(plan);
  rs_status status = RS_OK;
  for (int i = 0; i < plan->n_steps && status == RS_OK; i++) {
    const rs_step *step = &plan->steps[i];
    bool is_weights = step->op == &rs_op_csr_bag || step->op == &rs_op_csr_product;
    for (int j = 0; j < 3 && is_weights; j++) is_weights = step->operands[j] >= first && step->operands[j] < last;
    if (!is_weights) continue;
    const rs_tensor *part[3];
    for (int j = 0; j < 3; j++) part[j] = &weights[step->operands[j] - first];
    status = rs_csr_bag_check(step->op->name, part[0], part[1], part[2], step->attr[0].integer);
  }
  return status;
}

rs_status rs_plan_settle(rs_plan *plan, const rs_tensors *weights) {
  int n = plan->n_ports[RS_PLAN_WEIGHTS];
  rs_tensor *settled = NULL;
  rs_status status = allocate(&settled, n, sizeof *settled);
  for (int i = 0; i < n && status == RS_OK; i++) {
    rs_node leaf = {0};
    status = bind_port(&leaf, &plan->ports[RS_PLAN_WEIGHTS][i], true, weights);
    settled[i] = leaf.value;
    bool lay = status == RS_OK && rs_block_fast() && leaf.value.dtype == RS_F32 && leaf.value.ndim == 2;
    if (lay && is_matrix(plan, plan->n_ports[RS_PLAN_INPUTS] + i)) status = lay_by_columns(&settled[i]);
  }
  if (status == RS_OK) status = check_sparse(plan, settled);
  rs_tensor *old = status == RS_OK ? plan->settled : settled;
  if (status == RS_OK) plan->settled = settled;
  for (int i = 0; old && i < n; i++) rs_tensor_free(&old[i]);
  rs_free(old);
  return status;
}

rs_status rs_plan_run(const rs_plan *plan, const rs_tensors *weights, const rs_tensors *inputs, rs_tensors *outputs) {
  int slots = rs_plan_leaves(plan) + plan->n_steps;
  size_t operands = 0;
  for (int i = 0; i < plan->n_steps; i++) operands += (size_t)plan->steps[i].n_operands;
  size_t bytes = (size_t)slots * sizeof(rs_node) + operands * sizeof(rs_node *);
  run r = {.plan = plan, .nodes = rs_alloc_zero(bytes)};
  if (!r.nodes) return rs_nomem("plan", bytes);
  r.operands = (rs_node **)(r.nodes + slots);
  rs_status status = bind_leaves(&r, weights, inputs);
  if (status == RS_OK) status = run_steps(&r);
  if (status == RS_OK) status = take_outputs(&r, outputs);
  for (int i = 0; i < slots; i++) {
    release(&r, i);
    for (int j = 0; j < RS_MAX_SAVED; j++) rs_tensor_free(&r.nodes[i].saved[j]);
  }
  rs_free(r.nodes);
  return status;
}
