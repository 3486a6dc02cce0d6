/* layer.c - what all layers share: reference counts, names, and how parameters start. */
#include "nn/layer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "tensor/half.h"

rs_status rs_layer_alloc(rs_layer **out, const rs_layer_class *class, const char *name) {
  rs_layer *layer = rs_alloc_zero(sizeof *layer);
  if (!layer) return rs_nomem("layer", sizeof *layer);
  atomic_init(&layer->references, 1);
  layer->class = class;
  layer->name = rs_strdup(name);
  if (!layer->name) {
    rs_layer_release(layer);
    return rs_nomem("layer", strlen(name));
  }
  *out = layer;
  return RS_OK;
}

void rs_layer_retain(rs_layer *layer) { atomic_fetch_add(&layer->references, 1); }

void rs_layer_release(rs_layer *layer) {
  if (!layer || atomic_fetch_sub(&layer->references, 1) > 1) return;
  for (int i = 0; i < RS_LAYER_PARAMETERS; i++) rs_parameter_release(layer->parameter[i]);
  rs_free(layer->name);
  rs_free(layer);
}

rs_status rs_layer_forward(const rs_layer *layer, rs_node **out, rs_node *const *inputs, int n) {
  const rs_layer_class *class = layer->class;
  if (n < class->min_inputs || n > class->max_inputs)
    return rs_fail(RS_EARG, "%s %s takes %d to %d inputs, got %d", class->name, layer->name, class->min_inputs,
                   class->max_inputs, n);
  return class->forward(layer, out, inputs, n);
}

rs_status rs_layer_describe(const rs_layer *layer, rs_buffer *text) {
  rs_status status = rs_buffer_printf(text, "%s %s (", layer->class->name, layer->name);
  if (status == RS_OK) status = layer->class->describe(layer, text);
  return status == RS_OK ? rs_buffer_append_text(text, ")") : status;
}

/* FNV-1a: spreads a parameter's name over the stream's epoch and step. */
static uint64_t hash_name(const char *name) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
  return hash;
}

typedef struct filling {
  rs_stream stream;
  rs_distribution distribution;
  double scale;
  rs_tensor *t;
} filling;

static void fill(void *context, int64_t begin, int64_t end) {
  const filling *f = context;
  rs_dtype dtype = f->t->dtype;
  void *to = rs_tensor_data(f->t);
  for (int64_t i = begin; i < end; i++) {
    double x = f->distribution == RS_NORMAL ? rs_stream_normal(&f->stream, (uint64_t)i)
                                            : 2 * rs_stream_f64(&f->stream, (uint64_t)i) - 1;
    if (dtype == RS_F64)
      ((double *)to)[i] = f->scale * x;
    else if (dtype == RS_BF16)
      ((uint16_t *)to)[i] = rs_bfloat_of((float)(f->scale * x));
    else
      ((float *)to)[i] = (float)(f->scale * x);
  }
}

/* The parameter's whole name; NULL when memory is refused. */
static char *join(const rs_layer *layer, const char *suffix) {
  rs_buffer name = {0};
  rs_status status = rs_buffer_printf(&name, *suffix ? "%s.%s" : "%s", layer->name, suffix);
  if (status == RS_OK) status = rs_buffer_append(&name, "", 1);
  if (status == RS_OK) return name.data;
  rs_buffer_free(&name);
  return NULL;
}

/* Fill 't' and make it a parameter. 'f' NULL: leave the elements as they are. */
static rs_status add(rs_layer *layer, int slot, const char *suffix, rs_tensor *t, filling *f, bool trainable,
                     bool sparse, rs_start start) {
  char *name = join(layer, suffix);
  if (!name) {
    rs_tensor_free(t);
    return rs_nomem("layer", strlen(layer->name));
  }
  if (f) {
    uint64_t hash = hash_name(name);
    f->stream = rs_stream_at(start.seed, RS_RNG_INIT, (uint32_t)hash, (uint32_t)(hash >> 32));
    f->t = t;
    rs_parallel_for(rs_tensor_count(t), 1 << 14, fill, f);
  }
  rs_status status = rs_parameter_new(&layer->parameter[slot], name, t, trainable, sparse);
  rs_free(name);
  rs_tensor_free(t);
  return status;
}

rs_status rs_layer_constant(rs_layer *layer, int slot, const char *suffix, int ndim, const int64_t *size, double value,
                            bool trainable, rs_start start) {
  rs_tensor t = {0};
  rs_status status = rs_tensor_zeros(&t, start.dtype, ndim, size);
  if (status != RS_OK) return status;
  if (value != 0) {
    for (int64_t i = 0; i < rs_tensor_count(&t); i++) {
      if (t.dtype == RS_F64)
        rs_f64(&t)[i] = value;
      else
        rs_f32(&t)[i] = (float)value;
    }
  }
  return add(layer, slot, suffix, &t, NULL, trainable, false, start);
}

rs_status rs_layer_random(rs_layer *layer, int slot, const char *suffix, int ndim, const int64_t *size,
                          rs_distribution distribution, double scale, bool sparse, rs_start start) {
  rs_tensor t = {0};
  rs_status status = rs_tensor_zeros(&t, start.dtype, ndim, size);
  filling f = {.distribution = distribution, .scale = scale};
  return status == RS_OK ? add(layer, slot, suffix, &t, scale != 0 ? &f : NULL, true, sparse, start) : status;
}
