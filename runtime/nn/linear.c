/* linear.c - y = activation(x W^T + b), one fused operation. */
#include <math.h>

#include "nn/layer.h"

static rs_status forward(const rs_layer *self, rs_node **out, rs_node *const *inputs, int n) {
  (void)n;
  rs_node *weight = NULL, *bias = NULL;
  rs_tape *tape = inputs[0]->tape;
  rs_status status = rs_tape_parameter(&weight, tape, self->parameter[0]);
  if (status == RS_OK && self->parameter[1]) status = rs_tape_parameter(&bias, tape, self->parameter[1]);
  return status == RS_OK ? rs_ag_linear(out, inputs[0], weight, bias, self->activation) : status;
}

static rs_status describe(const rs_layer *self, rs_buffer *text) {
  return rs_buffer_printf(text, "%lld -> %lld%s%s%s", (long long)self->inputs, (long long)self->outputs,
                          self->parameter[1] ? "" : ", no bias", self->activation == RS_IDENTITY ? "" : ", ",
                          self->activation == RS_IDENTITY ? "" : rs_activation_names[self->activation]);
}

static const rs_layer_class class = {"Linear", 1, 1, forward, describe};

rs_status rs_linear_new(rs_layer **out, const char *name, int64_t inputs, int64_t outputs, bool bias,
                        rs_activation activation, rs_start start) {
  rs_layer *layer = NULL;
  rs_status status = rs_layer_alloc(&layer, &class, name);
  if (status != RS_OK) return status;
  layer->inputs = inputs;
  layer->outputs = outputs;
  layer->activation = activation;
  double bound = sqrt(6.0 / (double)(inputs + outputs));
  status = rs_layer_random(layer, 0, "weight", 2, (int64_t[]){outputs, inputs}, RS_UNIFORM, bound, false, start);
  if (status == RS_OK && bias) status = rs_layer_constant(layer, 1, "bias", 1, &outputs, 0, true, start);
  if (status == RS_OK)
    *out = layer;
  else
    rs_layer_release(layer);
  return status;
}
