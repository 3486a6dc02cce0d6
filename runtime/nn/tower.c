/* tower.c - see tower.h. The MLP is a list of layers in the order in which they run. On a training tape a linear layer
 * runs together with the batch norm, activation and dropout that follow it; on an evaluation tape, from which plans are
 * recorded, each stands for itself. */
#include "nn/tower.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { MAX_HIDDEN = 16, MAX_NAME = 256 };

typedef struct input {
  char *name, *offsets, *weights; /* the latter two of bags only */
  rs_layer *layer;
  int64_t width;
} input;

struct rs_tower {
  char *name;
  input *inputs;
  int n_inputs;
  rs_layer **stage;     /* linear, norm, dropout, ... as they run */
  rs_activation *after; /* the activation that follows a stage, when the stage does not fuse it */
  int n_stages;
  int64_t width;
  rs_tower_shape shape; /* 'hidden' is not kept */
};

void rs_tower_free(rs_tower *tower) {
  if (!tower) return;
  for (int i = 0; i < tower->n_inputs; i++) {
    rs_free(tower->inputs[i].name);
    rs_free(tower->inputs[i].offsets);
    rs_free(tower->inputs[i].weights);
    rs_layer_release(tower->inputs[i].layer);
  }
  for (int i = 0; i < tower->n_stages; i++) rs_layer_release(tower->stage[i]);
  rs_free(tower->inputs);
  rs_free(tower->stage);
  rs_free(tower->after);
  rs_free(tower->name);
  rs_free(tower);
}

static bool is_bag(const rs_layer *layer) { return layer->class->min_inputs == 2; }

static rs_status add_input(rs_tower *tower, const rs_tower_input *from) {
  for (int i = 0; i < tower->n_inputs; i++)
    if (strcmp(tower->inputs[i].name, from->name) == 0)
      return rs_fail(RS_EARG, "tower %s: input '%s' is given twice", tower->name, from->name);
  if (from->layer && strncmp(from->layer->class->name, "Embedding", 9) != 0)
    return rs_fail(RS_EARG, "tower %s: input '%s' needs an Embedding or EmbeddingBag, not a %s", tower->name,
                   from->name, from->layer->class->name);
  if (!from->layer && from->width < 1)
    return rs_fail(RS_EARG, "tower %s: input '%s' needs a layer or a width", tower->name, from->name);
  input *in = &tower->inputs[tower->n_inputs++];
  in->layer = from->layer;
  if (in->layer) rs_layer_retain(in->layer);
  in->width = in->layer ? in->layer->outputs : from->width;
  in->name = rs_strdup(from->name);
  if (!in->name) return rs_nomem("tower", strlen(from->name));
  tower->width += in->width;
  if (!in->layer || !is_bag(in->layer)) return RS_OK;
  rs_buffer offsets = {0};
  rs_status status = rs_buffer_printf(&offsets, "%s.offsets", from->name);
  if (status == RS_OK) status = rs_buffer_append(&offsets, "", 1);
  in->offsets = offsets.data;
  if (status != RS_OK || !from->weights) return status;
  in->weights = rs_strdup(from->weights);
  return in->weights ? RS_OK : rs_nomem("tower", strlen(from->weights));
}

static const char *stage_name(char *text, const rs_tower *tower, const char *part, int at) {
  if (at < 0)
    snprintf(text, MAX_NAME, "%s.%s", tower->name, part);
  else
    snprintf(text, MAX_NAME, "%s.%d%s%s", tower->name, at, *part ? "." : "", part);
  return text;
}

/* Linear, norm, activation and dropout of hidden stage 'at'. Batch norm takes any bias before it away again. */
static rs_status add_hidden(rs_tower *tower, int at, int64_t size, rs_start start) {
  const rs_tower_shape *shape = &tower->shape;
  char name[MAX_NAME];
  rs_activation fused = shape->norm == RS_NORM_NONE ? shape->activation : RS_IDENTITY;
  rs_status status = rs_linear_new(&tower->stage[tower->n_stages], stage_name(name, tower, "", at), tower->width, size,
                                   shape->norm != RS_NORM_BATCH, fused, start);
  if (status != RS_OK) return status;
  tower->n_stages++;
  tower->width = size;
  stage_name(name, tower, "norm", at);
  if (shape->norm == RS_NORM_LAYER)
    status = rs_layer_norm_new(&tower->stage[tower->n_stages], name, size, 1e-5, start);
  else if (shape->norm == RS_NORM_BATCH)
    status = rs_batch_norm_new(&tower->stage[tower->n_stages], name, size, 0.1, 1e-5, start);
  if (status != RS_OK) return status;
  if (shape->norm != RS_NORM_NONE) tower->after[tower->n_stages++] = shape->activation;
  if (shape->dropout == 0) return RS_OK;
  status = rs_dropout_new(&tower->stage[tower->n_stages], stage_name(name, tower, "dropout", at), shape->dropout);
  if (status == RS_OK) tower->n_stages++;
  return status;
}

static rs_status build(rs_tower *tower, const rs_tower_input *inputs, int n, const int64_t *hidden, rs_start start) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < n; i++) status = add_input(tower, &inputs[i]);
  for (int i = 0; status == RS_OK && i < tower->shape.n_hidden; i++) status = add_hidden(tower, i, hidden[i], start);
  if (status != RS_OK || tower->shape.outputs == 0) return status;
  char name[MAX_NAME];
  status = rs_linear_new(&tower->stage[tower->n_stages], stage_name(name, tower, "out", -1), tower->width,
                         tower->shape.outputs, true, RS_IDENTITY, start);
  if (status != RS_OK) return status;
  tower->n_stages++;
  tower->width = tower->shape.outputs;
  return RS_OK;
}

rs_status rs_tower_new(rs_tower **out, const char *name, const rs_tower_input *inputs, int n,
                       const rs_tower_shape *shape, rs_start start) {
  if (n < 1) return rs_fail(RS_EARG, "tower %s has no inputs", name);
  if (shape->n_hidden > MAX_HIDDEN)
    return rs_fail(RS_EARG, "tower %s: %d hidden sizes; at most %d are served", name, shape->n_hidden, MAX_HIDDEN);
  if (strlen(name) > MAX_NAME - 32) return rs_fail(RS_EARG, "a tower's name is at most %d bytes", MAX_NAME - 32);
  rs_tower *tower = rs_alloc_zero(sizeof *tower);
  if (!tower) return rs_nomem("tower", sizeof *tower);
  size_t stages = (size_t)shape->n_hidden * 3 + 1;
  tower->shape = *shape;
  tower->shape.hidden = NULL;
  tower->name = rs_strdup(name);
  tower->inputs = rs_alloc_zero((size_t)n * sizeof *tower->inputs);
  tower->stage = rs_alloc_zero(stages * sizeof(rs_layer *));
  tower->after = rs_alloc_zero(stages * sizeof *tower->after);
  rs_status status = RS_OK;
  if (!tower->name || !tower->inputs || !tower->stage || !tower->after) status = rs_nomem("tower", stages);
  if (status == RS_OK) status = build(tower, inputs, n, shape->hidden, start);
  if (status == RS_OK)
    *out = tower;
  else
    rs_tower_free(tower);
  return status;
}

static rs_status find_input(const rs_tower *tower, const rs_tensors *batch, const char *name, const rs_tensor **t) {
  *t = rs_tensors_find(batch, name);
  return *t ? RS_OK : rs_fail(RS_EARG, "tower %s: the batch has no input '%s'", tower->name, name);
}

static rs_status check_width(const rs_tower *tower, const input *in, const rs_tensor *t) {
  if (in->layer || (t->ndim == 2 && t->size[1] == in->width)) return RS_OK;
  return rs_fail(RS_ESHAPE, "tower %s: input '%s' is %s, not [n, %lld]", tower->name, in->name, rs_shape(t).text,
                 (long long)in->width);
}

/* The node of one input, through its layer. */
static rs_status feed(const rs_tower *tower, const input *in, rs_node **out, rs_tape *tape, const rs_tensors *batch) {
  const rs_tensor *t;
  rs_node *nodes[3];
  rs_status status = find_input(tower, batch, in->name, &t);
  if (status == RS_OK) status = check_width(tower, in, t);
  if (status == RS_OK) status = rs_tape_input(&nodes[0], tape, in->name, t, false);
  if (status == RS_OK && in->offsets) {
    status = find_input(tower, batch, in->offsets, &t);
    if (status == RS_OK) status = rs_tape_input(&nodes[1], tape, in->offsets, t, false);
  }
  if (status == RS_OK && in->weights) {
    status = find_input(tower, batch, in->weights, &t);
    if (status == RS_OK) status = rs_tape_input(&nodes[2], tape, in->weights, t, false);
  }
  if (status != RS_OK) return status;
  *out = nodes[0];
  return in->layer ? rs_layer_forward(in->layer, out, nodes, in->weights ? 3 : in->offsets ? 2 : 1) : RS_OK;
}

static bool is_a(const rs_tower *tower, int at, const char *class) {
  return at < tower->n_stages && strcmp(tower->stage[at]->class->name, class) == 0;
}

/* Linear 'at', the batch norm behind it and the dropout behind that, if there is one, in one operation. */
static rs_status norm_stage(const rs_tower *tower, int at, rs_node **x) {
  const rs_layer *linear = tower->stage[at], *norm = tower->stage[at + 1];
  rs_tape *tape = (*x)->tape;
  rs_node *weight = NULL, *p[4];
  rs_norm_attrs attrs = {norm->momentum, norm->epsilon, tower->after[at + 1], 0};
  if (is_a(tower, at + 2, "Dropout")) attrs.rate = tower->stage[at + 2]->rate;
  rs_status status = rs_tape_parameter(&weight, tape, linear->parameter[0]);
  for (int i = 0; i < 4 && status == RS_OK; i++) status = rs_tape_parameter(&p[i], tape, norm->parameter[i]);
  return status == RS_OK ? rs_ag_linear_batch_norm(x, *x, weight, p[0], p[1], p[2], p[3], &attrs) : status;
}

/* Linear 'at' and the dropout behind it in one operation. */
static rs_status dropout_stage(const rs_tower *tower, int at, rs_node **x) {
  const rs_layer *linear = tower->stage[at];
  rs_tape *tape = (*x)->tape;
  rs_node *weight = NULL, *bias = NULL;
  rs_status status = rs_tape_parameter(&weight, tape, linear->parameter[0]);
  if (status == RS_OK && linear->parameter[1]) status = rs_tape_parameter(&bias, tape, linear->parameter[1]);
  if (status != RS_OK) return status;
  return rs_ag_linear_dropout(x, *x, weight, bias, linear->activation, tower->stage[at + 1]->rate);
}

/* How many stages from 'at' on one operation can do: layers that were put into evaluation mode stand for themselves. */
static int fusible(const rs_tower *tower, int at) {
  if (!is_a(tower, at, "Linear")) return 1;
  int count = is_a(tower, at + 1, "BatchNorm") ? 2 : 1;
  if (is_a(tower, at + count, "Dropout")) count++;
  for (int i = at; i < at + count; i++)
    if (tower->stage[i]->evaluates) return 1;
  return count;
}

/* The stages from *at on that run together; *at goes behind them. */
static rs_status run_stage(const rs_tower *tower, int *at, rs_node **x) {
  int first = *at, count = (*x)->options->train ? fusible(tower, first) : 1;
  *at += count;
  if (count > 1 && is_a(tower, first + 1, "BatchNorm")) return norm_stage(tower, first, x);
  if (count > 1) return dropout_stage(tower, first, x);
  rs_status status = rs_layer_forward(tower->stage[first], x, x, 1);
  return status == RS_OK ? rs_ag_activate(x, *x, tower->after[first]) : status;
}

static const rs_tower_given *find_given(const rs_tower_given *given, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (strcmp(given[i].name, name) == 0) return &given[i];
  return NULL;
}

/* Every node given must be somebody's input: a name mistyped would leave another tensor in its place. */
static rs_status check_given(const rs_tower *tower, const rs_tower_given *given, int n) {
  for (int i = 0; i < n; i++) {
    bool known = false;
    for (int j = 0; j < tower->n_inputs; j++)
      known |= !tower->inputs[j].layer && strcmp(tower->inputs[j].name, given[i].name) == 0;
    if (!known) return rs_fail(RS_EARG, "tower %s has no input '%s' without a layer", tower->name, given[i].name);
  }
  return RS_OK;
}

rs_status rs_tower_forward(const rs_tower *tower, rs_node **out, rs_tape *tape, const rs_tensors *batch,
                           const rs_tower_given *given, int n_given) {
  rs_node **parts = rs_alloc((size_t)tower->n_inputs * sizeof(rs_node *)), *x = NULL;
  if (!parts) return rs_nomem("tower", (size_t)tower->n_inputs * sizeof(rs_node *));
  rs_status status = check_given(tower, given, n_given);
  for (int i = 0; status == RS_OK && i < tower->n_inputs; i++) {
    const rs_tower_given *from = find_given(given, n_given, tower->inputs[i].name);
    if (from) parts[i] = from->node;
    status = from ? check_width(tower, &tower->inputs[i], &from->node->value)
                  : feed(tower, &tower->inputs[i], &parts[i], tape, batch);
  }
  if (status == RS_OK) x = parts[0];
  if (status == RS_OK && tower->n_inputs > 1) status = rs_ag_concat(&x, tower->n_inputs, parts);
  rs_free(parts);
  for (int i = 0; status == RS_OK && i < tower->n_stages;) status = run_stage(tower, &i, &x);
  if (status == RS_OK && tower->shape.normalize) status = rs_ag_l2_normalize(&x, x, 1e-12);
  if (status == RS_OK) *out = x;
  return status;
}

int64_t rs_tower_width(const rs_tower *tower) { return tower->width; }

int rs_tower_layers(const rs_tower *tower) { return tower->n_inputs + tower->n_stages; }

rs_layer *rs_tower_layer(const rs_tower *tower, int i) {
  return i < tower->n_inputs ? tower->inputs[i].layer : tower->stage[i - tower->n_inputs];
}

rs_status rs_tower_describe(const rs_tower *tower, rs_buffer *text) {
  rs_status status = rs_buffer_printf(text, "Tower %s (", tower->name);
  for (int i = 0; status == RS_OK && i < tower->n_inputs; i++)
    status =
        rs_buffer_printf(text, "%s%s %lld", i ? " + " : "", tower->inputs[i].name, (long long)tower->inputs[i].width);
  for (int i = 0; status == RS_OK && i < tower->n_stages; i++)
    if (strcmp(tower->stage[i]->class->name, "Linear") == 0)
      status = rs_buffer_printf(text, " -> %lld", (long long)tower->stage[i]->outputs);
  if (status == RS_OK && tower->shape.n_hidden > 0)
    status = rs_buffer_printf(text, ", %s", rs_activation_names[tower->shape.activation]);
  if (status == RS_OK && tower->shape.normalize) status = rs_buffer_append_text(text, ", normalised");
  return status == RS_OK ? rs_buffer_append_text(text, ")") : status;
}
