/* activation.h - functions of one element, as loops: op_activation.c has them as nodes, op_linear.c fuses them. */
#ifndef RS_ACTIVATION_H
#define RS_ACTIVATION_H
#include "autograd/ops.h"

/* Those of rs_activation, and two more. */
enum { RS_ACTIVATE_EXP = RS_SIGMOID + 1, RS_ACTIVATE_LOG };

/* Whether the derivative is computed from x (true) or from y = f(x). */
static inline bool rs_activation_wants_x(int kind) { return kind == RS_GELU || kind == RS_ACTIVATE_LOG; }

/* y = f(x), n elements; y may be x. */
void rs_activate_f32(int kind, float *y, const float *x, int64_t n);
void rs_activate_f64(int kind, double *y, const double *x, int64_t n);
/* dx = g f'; 'at' is x or y, see rs_activation_wants_x; dx may be g. */
void rs_activate_back_f32(int kind, float *dx, const float *g, const float *at, int64_t n);
void rs_activate_back_f64(int kind, double *dx, const double *g, const double *at, int64_t n);

#endif
