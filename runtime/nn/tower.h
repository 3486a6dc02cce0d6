/* tower.h - a tower: named feature inputs -> their layers -> concat -> MLP -> optional normalisation.
 *
 * A hidden stage is linear, then the norm if there is one, activation, and dropout if there is any. Without hidden
 * sizes and without an output size the tower is the concatenation alone. */
#ifndef RS_TOWER_H
#define RS_TOWER_H
#include "nn/layer.h"
#include "tensor/tensors.h"

typedef enum rs_tower_norm { RS_NORM_NONE, RS_NORM_LAYER, RS_NORM_BATCH } rs_tower_norm;

typedef struct rs_tower_input {
  const char *name; /* in the batch; a bag also reads 'name.offsets' */
  rs_layer *layer;  /* an Embedding or EmbeddingBag; NULL: numbers, f32 or f64 [n, width] */
  int64_t width;    /* of numbers, or of a node that the caller gives */
  const char *weights; /* of a bag: the input that holds a number beside each code; NULL: none */
} rs_tower_input;

typedef struct rs_tower_shape {
  const int64_t *hidden;
  int n_hidden;
  int64_t outputs; /* 0: no output layer */
  rs_activation activation;
  rs_tower_norm norm;
  double dropout;
  bool normalize; /* rows divided by their L2 norm */
} rs_tower_shape;

typedef struct rs_tower rs_tower;

/* Retains the inputs' layers. Its own parameters are called 'name.0.weight', 'name.0.norm.gain', 'name.out.weight'...
 * RS_EARG for no input, a name given twice or a layer of another kind. */
rs_status rs_tower_new(rs_tower **out, const char *name, const rs_tower_input *inputs, int n,
                       const rs_tower_shape *shape, rs_start start);
void rs_tower_free(rs_tower *tower); /* NULL is fine */

/* A node [n, width] for the input of that name, in place of a tensor of the batch: what another layer made. */
typedef struct rs_tower_given {
  const char *name;
  rs_node *node;
} rs_tower_given;

/* [n, rs_tower_width()] from a batch and the nodes given. RS_EARG names an input that neither has, or a node that no
 * input without a layer is called by, RS_ESHAPE or RS_EDTYPE one that does not fit. */
rs_status rs_tower_forward(const rs_tower *tower, rs_node **out, rs_tape *tape, const rs_tensors *batch,
                           const rs_tower_given *given, int n_given);
int64_t rs_tower_width(const rs_tower *tower);

/* The tower's layers, the inputs' first: 0 <= i < rs_tower_layers(). Borrowed. */
int rs_tower_layers(const rs_tower *tower);
rs_layer *rs_tower_layer(const rs_tower *tower, int i);
/* "Tower user (user.id 64 + event.history 64 -> 128 -> 64, relu, normalised)" appended to 'text'. */
rs_status rs_tower_describe(const rs_tower *tower, rs_buffer *text);

#endif
