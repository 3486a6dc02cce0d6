/* norm.c - layer norm and batch norm with a learned gain and bias. */
#include <stddef.h>

#include "nn/layer.h"

/* The nodes of the layer's first 'count' parameters. */
static rs_status parameters(const rs_layer *self, rs_tape *tape, rs_node **nodes, int count) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < count; i++) status = rs_tape_parameter(&nodes[i], tape, self->parameter[i]);
  return status;
}

static rs_status describe(const rs_layer *self, rs_buffer *text) {
  return rs_buffer_printf(text, "%lld", (long long)self->inputs);
}

static rs_status layer_forward(const rs_layer *self, rs_node **out, rs_node *const *inputs, int n) {
  (void)n;
  rs_node *p[2];
  rs_status status = parameters(self, inputs[0]->tape, p, 2);
  return status == RS_OK ? rs_ag_layer_norm(out, inputs[0], p[0], p[1], self->epsilon) : status;
}

/* (x - mean) gain / sqrt(variance + epsilon) + bias with the running statistics p[2] and p[3], which stay as they are:
 * the operation itself would take a training tape's batch. */
static rs_status frozen_forward(const rs_layer *self, rs_node **out, rs_node *x, rs_node *const *p) {
  rs_node *scale = NULL, *y = NULL;
  rs_status status = rs_ag_affine(&scale, p[3], 1, self->epsilon);
  if (status == RS_OK) status = rs_ag_log(&scale, scale);
  if (status == RS_OK) status = rs_ag_affine(&scale, scale, -0.5, 0);
  if (status == RS_OK) status = rs_ag_exp(&scale, scale);
  if (status == RS_OK) status = rs_ag_mul(&scale, scale, p[0]);
  if (status == RS_OK) status = rs_ag_sub(&y, x, p[2]);
  if (status == RS_OK) status = rs_ag_mul(&y, y, scale);
  return status == RS_OK ? rs_ag_add(out, y, p[1]) : status;
}

static rs_status batch_forward(const rs_layer *self, rs_node **out, rs_node *const *inputs, int n) {
  (void)n;
  rs_node *p[4];
  rs_tape *tape = inputs[0]->tape;
  rs_status status = parameters(self, tape, p, 4);
  if (status != RS_OK) return status;
  if (self->evaluates && rs_tape_options_of(tape)->train) return frozen_forward(self, out, inputs[0], p);
  return rs_ag_batch_norm(out, inputs[0], p[0], p[1], p[2], p[3], self->momentum, self->epsilon);
}

static const rs_layer_class layer_class = {"LayerNorm", 1, 1, layer_forward, describe};
static const rs_layer_class batch_class = {"BatchNorm", 1, 1, batch_forward, describe};

/* A layer of 'class' with gain 1 and bias 0. */
static rs_status new_norm(rs_layer **out, const rs_layer_class *class, const char *name, int64_t width, double epsilon,
                          rs_start start) {
  rs_status status = rs_layer_alloc(out, class, name);
  if (status != RS_OK) return status;
  (*out)->inputs = (*out)->outputs = width;
  (*out)->epsilon = epsilon;
  status = rs_layer_constant(*out, 0, "gain", 1, &width, 1, true, start);
  return status == RS_OK ? rs_layer_constant(*out, 1, "bias", 1, &width, 0, true, start) : status;
}

static rs_status done(rs_layer **out, rs_layer *layer, rs_status status) {
  if (status == RS_OK)
    *out = layer;
  else
    rs_layer_release(layer);
  return status;
}

rs_status rs_layer_norm_new(rs_layer **out, const char *name, int64_t width, double epsilon, rs_start start) {
  rs_layer *layer = NULL;
  rs_status status = new_norm(&layer, &layer_class, name, width, epsilon, start);
  return done(out, layer, status);
}

rs_status rs_batch_norm_new(rs_layer **out, const char *name, int64_t width, double momentum, double epsilon,
                            rs_start start) {
  rs_layer *layer = NULL;
  rs_status status = new_norm(&layer, &batch_class, name, width, epsilon, start);
  if (status == RS_OK) layer->momentum = momentum;
  if (status == RS_OK) status = rs_layer_constant(layer, 2, "mean", 1, &width, 0, false, start);
  if (status == RS_OK) status = rs_layer_constant(layer, 3, "variance", 1, &width, 1, false, start);
  return done(out, layer, status);
}
