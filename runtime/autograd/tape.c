/* tape.c - see tape.h. */
#include "autograd/tape.h"

#include <stdio.h>
#include <string.h>

#include "autograd/kernel.h"
#include "base/alloc.h"

struct rs_tape {
  rs_tape_options options;
  rs_node **nodes;
  int n, capacity;
  bool walked; /* backward has run */
  rs_tape_watcher *watcher;
  void *watching; /* the watcher's context */
};

rs_status rs_tape_new(rs_tape **out, const rs_tape_options *options) {
  rs_tape *tape = rs_alloc_zero(sizeof *tape);
  if (!tape) return rs_nomem("tape", sizeof *tape);
  tape->options = *options;
  *out = tape;
  return RS_OK;
}

static void node_free(rs_node *node) {
  if (!node) return;
  rs_tensor_free(&node->value);
  rs_tensor_free(&node->grad);
  for (int i = 0; i < RS_MAX_SAVED; i++) rs_tensor_free(&node->saved[i]);
  rs_parameter_release(node->parameter);
  rs_free(node->name);
  rs_free(node);
}

void rs_tape_free(rs_tape *tape) {
  if (!tape) return;
  for (int i = 0; i < tape->n; i++) node_free(tape->nodes[i]);
  rs_free(tape->nodes);
  rs_free(tape);
}

void rs_tape_watch(rs_tape *tape, rs_tape_watcher *watcher, void *context) {
  tape->watcher = watcher;
  tape->watching = context;
}

static rs_status tell(const rs_node *node, rs_tape_moment moment) {
  const rs_tape *tape = node->tape;
  return tape->watcher ? tape->watcher(tape->watching, moment, node) : RS_OK;
}

const rs_tape_options *rs_tape_options_of(const rs_tape *tape) { return &tape->options; }
int rs_tape_size(const rs_tape *tape) { return tape->n; }
rs_node *rs_tape_node(const rs_tape *tape, int index) { return tape->nodes[index]; }

const char *rs_node_label(const rs_node *node) {
  static _Thread_local char text[4][160]; /* so that one message can name several */
  static _Thread_local int turn;
  char *out = text[turn++ % 4];
  if (node->parameter)
    snprintf(out, sizeof *text, "parameter '%s'", node->parameter->name);
  else if (node->name)
    snprintf(out, sizeof *text, "%s '%s'", node->is_weight ? "parameter" : "input", node->name);
  else
    snprintf(out, sizeof *text, "%s", node->op ? node->op->name : "input");
  return out;
}

/* A cleared node with room for its inputs, not yet on the tape, but with a place there. */
static rs_status node_new(rs_node **out, rs_tape *tape, int n_inputs) {
  if (tape->n == tape->capacity) {
    int capacity = tape->capacity ? 2 * tape->capacity : 64;
    rs_node **nodes = rs_realloc(tape->nodes, (size_t)capacity * sizeof *nodes);
    if (!nodes) return rs_nomem("tape", (size_t)capacity * sizeof *nodes);
    tape->nodes = nodes;
    tape->capacity = capacity;
  }
  size_t bytes = sizeof(rs_node) + (size_t)n_inputs * sizeof(rs_node *);
  rs_node *node = rs_alloc_zero(bytes);
  if (!node) return rs_nomem("tape", bytes);
  node->tape = tape;
  node->options = &tape->options;
  node->index = tape->n;
  node->n_inputs = n_inputs;
  node->input = (rs_node **)(node + 1);
  *out = node;
  return RS_OK;
}

/* Put a finished node on its tape, or free it. */
static rs_status node_end(rs_node **out, rs_tape *tape, rs_node *node, rs_status status) {
  if (status != RS_OK) {
    node_free(node);
    return status;
  }
  tape->nodes[tape->n++] = *out = node;
  return RS_OK;
}

static bool same_tensor(const rs_tensor *a, const rs_tensor *b) {
  return a->storage == b->storage && a->offset == b->offset && a->dtype == b->dtype && rs_same_shape(a, b);
}

static rs_node *find_input(const rs_tape *tape, const char *name, const rs_tensor *t) {
  for (int i = 0; i < tape->n; i++) {
    rs_node *node = tape->nodes[i];
    if (node->name && !strcmp(node->name, name) && same_tensor(&node->value, t)) return node;
  }
  return NULL;
}

rs_status rs_tape_input(rs_node **out, rs_tape *tape, const char *name, const rs_tensor *t, bool needs_grad) {
  if (needs_grad && !rs_is_real(t))
    return rs_fail(RS_EDTYPE, "input '%s' is %s: only reals have a gradient", name ? name : "",
                   rs_dtype_name(t->dtype));
  rs_node *node = name ? find_input(tape, name, t) : NULL;
  if (node && node->needs_grad == (needs_grad && tape->options.gradients)) return *out = node, RS_OK;
  rs_status status = node_new(&node, tape, 0);
  if (status != RS_OK) return status;
  node->needs_grad = needs_grad && tape->options.gradients;
  if (name && !(node->name = rs_strdup(name))) status = rs_nomem("tape", strlen(name) + 1);
  if (status == RS_OK) status = rs_tensor_contiguous(&node->value, t);
  return node_end(out, tape, node, status);
}

rs_status rs_tape_parameter(rs_node **out, rs_tape *tape, rs_parameter *p) {
  for (int i = 0; i < tape->n; i++)
    if (tape->nodes[i]->parameter == p) return *out = tape->nodes[i], RS_OK;
  rs_node *node = NULL;
  rs_status status = node_new(&node, tape, 0);
  if (status != RS_OK) return status;
  node->needs_grad = p->trainable && tape->options.gradients;
  node->parameter = p;
  rs_parameter_retain(p);
  rs_tensor_share(&node->value, &p->value);
  return node_end(out, tape, node, RS_OK);
}

static rs_status check_inputs(const rs_tape *tape, const rs_op *op, int n, rs_node *const *inputs) {
  if (n < op->min_inputs || (op->max_inputs >= 0 && n > op->max_inputs))
    return rs_fail(RS_EARG, "%s: %d inputs do not fit it", op->name, n);
  for (int i = 0; i < n; i++)
    if (inputs[i]->tape != tape)
      return rs_fail(RS_EARG, "%s: %s belongs to another tape", op->name, rs_node_label(inputs[i]));
  if (tape->walked) return rs_fail(RS_EARG, "%s: backward has run on this tape, begin another", op->name);
  return RS_OK;
}

rs_status rs_tape_apply(rs_node **out, rs_tape *tape, const rs_op *op, int n, rs_node *const *inputs,
                        const rs_attr *attrs) {
  rs_status status = check_inputs(tape, op, n, inputs);
  if (status == RS_OK) status = rs_op_check_attrs(op, attrs);
  rs_node *node = NULL;
  if (status == RS_OK) status = node_new(&node, tape, n);
  if (status != RS_OK) return status;
  node->op = op;
  for (int i = 0; i < n; i++) {
    node->input[i] = inputs[i];
    if (op->backward && inputs[i]->needs_grad) node->needs_grad = true;
  }
  if (op->n_fields) memcpy(node->attr, attrs, (size_t)op->n_fields * sizeof *attrs);
  status = tell(node, RS_FORWARD_BEGINS);
  if (status == RS_OK) status = op->forward(node);
  if (status == RS_OK) status = tell(node, RS_FORWARD_ENDS);
  return node_end(out, tape, node, status);
}

/* The node's part of backward; afterwards nothing of it is needed but its value. */
static rs_status node_backward(rs_node *node) {
  if (!node->op || !node->needs_grad || !node->grad.storage) return RS_OK;
  rs_status status = tell(node, RS_BACKWARD_BEGINS);
  if (status == RS_OK) status = node->op->backward(node);
  rs_tensor_free(&node->grad);
  for (int i = 0; i < RS_MAX_SAVED; i++) rs_tensor_free(&node->saved[i]);
  return status == RS_OK ? tell(node, RS_BACKWARD_ENDS) : status;
}

rs_status rs_tape_backward(rs_node *loss) {
  rs_tape *tape = loss->tape;
  if (!tape->options.gradients) return rs_fail(RS_EARG, "backward: the tape was made without gradients");
  if (tape->walked) return rs_fail(RS_EARG, "backward: has run on this tape before");
  if (!rs_is_real(&loss->value) || rs_tensor_count(&loss->value) != 1)
    return rs_fail(RS_ESHAPE, "backward: the loss is %s %s, it must be one real number",
                   rs_dtype_name(loss->value.dtype), rs_shape(&loss->value).text);
  tape->walked = true;
  rs_tensor one = {0};
  rs_status status = rs_tensor_like(&one, &loss->value);
  if (status != RS_OK) return status;
  rs_tensor_set(&one, (int64_t[RS_MAX_DIMS]){0}, 1);
  status = rs_grad_give(loss, &one);
  for (int i = loss->index; i >= 0 && status == RS_OK; i--) status = node_backward(tape->nodes[i]);
  return status;
}
