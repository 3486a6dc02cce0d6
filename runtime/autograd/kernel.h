/* kernel.h - what the loops of the operations share.
 *
 * A file that has loops over reals keeps them in its lower half, under #ifdef REAL, and includes itself twice:
 *
 *   #ifndef REAL
 *   #define KERNELS "autograd/op_x.c"
 *   #include "autograd/each_real.h"     both halves of the lower half: x_f32, x_f64
 *   ... shape rule, forward, backward: RS_CALL(dtype, x, (arguments))
 *   #else
 *   static void OF(x)(void *context, int64_t begin, int64_t end) { ... REAL ... }
 *   #endif
 */
#ifndef RS_KERNEL_H
#define RS_KERNEL_H
#include "autograd/grad.h"
#include "base/parallel.h"
#include "tensor/clones.h"

/* Loops that the compiler vectorises for the CPU at hand. */
#define RS_SIMD RS_CLONES
/* Before a loop whose arrays are the same or do not overlap. */
#define RS_IVDEP _Pragma("GCC ivdep")

#define RS_CALL(dtype, name, arguments) ((dtype) == RS_F32 ? name##_f32 arguments : name##_f64 arguments)
#define RS_BODY(dtype, name) ((dtype) == RS_F32 ? name##_f32 : name##_f64)

enum {
  RS_GRAIN = 1 << 16, /* elements of a chunk of an elementwise loop: below, waking a thread costs more than it does */
  RS_ROW_CHUNK = 256 /* rows of a chunk whose sums are combined in order */
};

/* rs_parallel_for, but one chunk runs here and now: for bodies that call no BLAS. */
static inline void rs_each(int64_t n, int64_t grain, rs_body *body, void *context) {
  if (n > grain)
    rs_parallel_for(n, grain, body, context);
  else if (n > 0)
    body(context, 0, n);
}

/* Rows of width d in chunks of about RS_GRAIN elements. */
static inline int64_t rs_row_grain(int64_t d) { return d < RS_GRAIN ? RS_GRAIN / (d < 1 ? 1 : d) : 1; }

static inline bool rs_is_real(const rs_tensor *t) { return t->dtype == RS_F32 || t->dtype == RS_F64; }
static inline const rs_tensor *rs_in(const rs_node *self, int i) { return &self->input[i]->value; }
static inline int64_t rs_last(const rs_tensor *t) { return t->ndim ? t->size[t->ndim - 1] : 1; }
/* Rows of a tensor seen as a matrix whose width is the last dimension. */
static inline int64_t rs_rows(const rs_tensor *t) {
  int64_t n = 1;
  for (int i = 0; i + 1 < t->ndim; i++) n *= t->size[i];
  return n;
}
static inline bool rs_same_shape(const rs_tensor *a, const rs_tensor *b) {
  if (a->ndim != b->ndim) return false;
  for (int i = 0; i < a->ndim; i++)
    if (a->size[i] != b->size[i]) return false;
  return true;
}
/* An uncleared tensor of the shape and dtype of 't'. */
static inline rs_status rs_tensor_like(rs_tensor *out, const rs_tensor *t) {
  return rs_tensor_new(out, t->dtype, t->ndim, t->size);
}

/* RS_EDTYPE unless inputs 0 .. n-1 are reals of one dtype. */
rs_status rs_need_reals(const rs_node *self, int n);
/* RS_ESHAPE unless inputs i and j have the same shape. */
rs_status rs_need_same(const rs_node *self, int i, int j);
/* RS_ESHAPE, naming both, unless input i is a vector [d]. */
rs_status rs_need_vector(const rs_node *self, int i, int64_t d);
/* RS_ESHAPE unless input i has 'ndim' dimensions. */
rs_status rs_need_ndim(const rs_node *self, int i, int ndim);
/* The attribute's dimension counted from 0 in *dim; RS_EARG outside the shape. */
rs_status rs_need_dim(const rs_node *self, int64_t attr, const rs_tensor *t, int *dim);

/* Node 'op' on these inputs, for the functions of ops.h. */
rs_status rs_apply(rs_node **out, const rs_op *op, int n, rs_node *const *inputs, const rs_attr *attrs);

/* out [outer, inner] = the sums of in [outer, r, inner] over its middle; both contiguous, 'out' allocated. Sums of
 * fixed chunks, added in order. */
rs_status rs_sum_middle(rs_tensor *out, const rs_tensor *in, int64_t outer, int64_t r, int64_t inner);
/* Sum 'g' down to the shape of 'like', which broadcasts to that of 'g'. May share 'g'. */
rs_status rs_sum_to(rs_tensor *out, const rs_tensor *g, const rs_tensor *like);

/* The sum of body(context, begin, end) over chunks of RS_GRAIN elements, added in order. */
typedef double rs_term(const void *context, int64_t begin, int64_t end);
rs_status rs_sum_terms(double *sum, int64_t n, rs_term *term, const void *context);

/* A scalar tensor. */
rs_status rs_scalar(rs_tensor *out, rs_dtype dtype, double value);
double rs_scalar_value(const rs_tensor *t); /* of a tensor with one element */

/* into += g, in place when nobody else looks at 'into', else into fresh memory. */
rs_status rs_accumulate(rs_tensor *into, const rs_tensor *g);

#endif
