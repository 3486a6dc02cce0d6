/* each_real.h - compile the file KERNELS for float and for double; see kernel.h. No guard: meant to be repeated.
 * REAL is the type, OF(name) a function's name for it, MATH(name) the function of <math.h> for it. */
#define REAL float
#define OF(name) name##_f32
#define MATH(name) name##f
#include KERNELS
#undef REAL
#undef OF
#undef MATH
#define REAL double
#define OF(name) name##_f64
#define MATH(name) name
#include KERNELS
#undef REAL
#undef OF
#undef MATH
#undef KERNELS
