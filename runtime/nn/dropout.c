/* dropout.c - drops elements while the tape trains. Srivastava et al. 2014. */
#include "nn/layer.h"

static rs_status forward(const rs_layer *self, rs_node **out, rs_node *const *inputs, int n) {
  (void)n;
  if (!self->evaluates) return rs_ag_dropout(out, inputs[0], self->rate);
  *out = inputs[0];
  return RS_OK;
}

static rs_status describe(const rs_layer *self, rs_buffer *text) { return rs_buffer_printf(text, "%g", self->rate); }

static const rs_layer_class class = {"Dropout", 1, 1, forward, describe};

rs_status rs_dropout_new(rs_layer **out, const char *name, double rate) {
  if (!(rate >= 0 && rate < 1)) return rs_fail(RS_EARG, "dropout: the rate %g is not in [0, 1)", rate);
  rs_status status = rs_layer_alloc(out, &class, name);
  if (status == RS_OK) (*out)->rate = rate;
  return status;
}
