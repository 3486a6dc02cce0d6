/* embedding.c - rows of a table by code, alone or pooled in bags. */
#include <stddef.h>

#include "nn/layer.h"

static rs_status rows_forward(const rs_layer *self, rs_node **out, rs_node *const *inputs, int n) {
  (void)n;
  rs_node *table = NULL;
  rs_status status = rs_tape_parameter(&table, inputs[0]->tape, self->parameter[0]);
  return status == RS_OK ? rs_ag_embedding(out, table, inputs[0]) : status;
}

static rs_status rows_describe(const rs_layer *self, rs_buffer *text) {
  return rs_buffer_printf(text, "%lld rows of %lld", (long long)self->inputs, (long long)self->outputs);
}

static const rs_layer_class rows_class = {"Embedding", 1, 1, rows_forward, rows_describe};

rs_status rs_embedding_new(rs_layer **out, const char *name, int64_t rows, int64_t width, double scale,
                           rs_start start) {
  rs_layer *layer = NULL;
  rs_status status = rs_layer_alloc(&layer, &rows_class, name);
  if (status != RS_OK) return status;
  layer->inputs = rows;
  layer->outputs = width;
  status = rs_layer_random(layer, 0, "", 2, (int64_t[]){rows, width}, RS_NORMAL, scale, true, start);
  if (status == RS_OK)
    *out = layer;
  else
    rs_layer_release(layer);
  return status;
}

static rs_status bag_forward(const rs_layer *self, rs_node **out, rs_node *const *inputs, int n) {
  rs_node *table = NULL;
  rs_status status = rs_tape_parameter(&table, inputs[0]->tape, self->parameter[0]);
  if (status != RS_OK) return status;
  return rs_ag_embedding_bag(out, table, inputs[0], inputs[1], n > 2 ? inputs[2] : NULL, self->mode);
}

static rs_status bag_describe(const rs_layer *self, rs_buffer *text) {
  return rs_buffer_printf(text, "%s of %lld rows of %lld", self->mode == RS_BAG_MEAN ? "mean" : "sum",
                          (long long)self->inputs, (long long)self->outputs);
}

static const rs_layer_class bag_class = {"EmbeddingBag", 2, 3, bag_forward, bag_describe};

rs_status rs_embedding_bag_new(rs_layer **out, const rs_layer *embedding, rs_bag_mode mode) {
  if (embedding->class != &rows_class)
    return rs_fail(RS_EARG, "an embedding bag shares the table of an Embedding, not of a %s", embedding->class->name);
  rs_layer *layer = NULL;
  rs_status status = rs_layer_alloc(&layer, &bag_class, embedding->name);
  if (status != RS_OK) return status;
  layer->inputs = embedding->inputs;
  layer->outputs = embedding->outputs;
  layer->mode = mode;
  layer->parameter[0] = embedding->parameter[0];
  rs_parameter_retain(layer->parameter[0]);
  *out = layer;
  return RS_OK;
}
