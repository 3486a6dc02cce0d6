/* layer.h - a layer: parameters under a name, and a forward on the tape.
 *
 * One struct serves all simple layers; each kind is a class in a file of its own. Dropout drops and batch norm tracks
 * while the tape trains, unless the layer was put into evaluation mode to stay as it is. Parameters start from Philox
 * streams keyed by (seed, parameter name): adding a layer does not change how the others start. */
#ifndef RS_LAYER_H
#define RS_LAYER_H
#include "autograd/ops.h"
#include "base/buffer.h"

enum { RS_LAYER_PARAMETERS = 4 };

typedef struct rs_layer rs_layer;

typedef struct rs_layer_class {
  const char *name; /* "Linear" */
  int min_inputs, max_inputs;
  rs_status (*forward)(const rs_layer *self, rs_node **out, rs_node *const *inputs, int n);
  rs_status (*describe)(const rs_layer *self, rs_buffer *text); /* "64 -> 128, relu" */
} rs_layer_class;

struct rs_layer {
  atomic_int references;
  const rs_layer_class *class;
  char *name;
  rs_parameter *parameter[RS_LAYER_PARAMETERS]; /* the rest is NULL */
  int64_t inputs, outputs;                      /* widths; of a table: rows and width */
  rs_activation activation;
  rs_bag_mode mode;
  double rate, momentum, epsilon;
  bool evaluates; /* evaluation mode: behaves so on a training tape, too */
};

/* How parameters start. */
typedef struct rs_start {
  uint64_t seed;
  rs_dtype dtype; /* RS_F32, RS_F64 or, of embeddings, RS_BF16 */
} rs_start;

/* y = activation(x W^T + b). W is uniform in +-sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010), b is zero.
 * Parameters 'name.weight' [outputs, inputs] and, unless left out, 'name.bias' [outputs]. */
rs_status rs_linear_new(rs_layer **out, const char *name, int64_t inputs, int64_t outputs, bool bias,
                        rs_activation activation, rs_start start);

/* Rows of a table 'name' [rows, width], normal with standard deviation 'scale' (0: all zero); gradients are row-sparse.
 * Row 0 is "unknown or missing" and is trained like the others. Input: codes i32 [n]. */
rs_status rs_embedding_new(rs_layer **out, const char *name, int64_t rows, int64_t width, double scale, rs_start start);

/* Bags of rows of another embedding's table. Inputs: codes i32 [total], offsets i64 [n + 1], optionally weights
 * [total]. */
rs_status rs_embedding_bag_new(rs_layer **out, const rs_layer *embedding, rs_bag_mode mode);

/* Parameters 'name.gain' (ones) and 'name.bias' (zeros) [width]. */
rs_status rs_layer_norm_new(rs_layer **out, const char *name, int64_t width, double epsilon, rs_start start);
/* The same, and the buffers 'name.mean' (zeros) and 'name.variance' (ones). */
rs_status rs_batch_norm_new(rs_layer **out, const char *name, int64_t width, double momentum, double epsilon,
                            rs_start start);
rs_status rs_dropout_new(rs_layer **out, const char *name, double rate);

/* RS_EARG when the number of inputs is not the class's. */
rs_status rs_layer_forward(const rs_layer *layer, rs_node **out, rs_node *const *inputs, int n);
void rs_layer_retain(rs_layer *layer);
void rs_layer_release(rs_layer *layer); /* NULL is fine */
/* "Linear user.0 (64 -> 128, relu)" appended to 'text'. */
rs_status rs_layer_describe(const rs_layer *layer, rs_buffer *text);

/* For classes: an empty layer with one reference; on failure of a later step release it. */
rs_status rs_layer_alloc(rs_layer **out, const rs_layer_class *class, const char *name);
/* Add parameter 'slot' called 'name.suffix' (or 'name' alone when the suffix is ""), all elements 'value'. */
rs_status rs_layer_constant(rs_layer *layer, int slot, const char *suffix, int ndim, const int64_t *size, double value,
                            bool trainable, rs_start start);
typedef enum rs_distribution { RS_UNIFORM, RS_NORMAL } rs_distribution;
/* The same with random elements: uniform in +-scale, or normal with standard deviation 'scale'. */
rs_status rs_layer_random(rs_layer *layer, int slot, const char *suffix, int ndim, const int64_t *size,
                          rs_distribution distribution, double scale, bool sparse, rs_start start);

#endif
