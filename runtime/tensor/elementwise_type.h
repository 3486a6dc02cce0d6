/* elementwise_type.h - the elementwise kernels of one type; elementwise.c includes it for each with
 * TYPE (element), NAME(x) (x with the type's suffix), IS_FLOAT, WRAP (the type that arithmetic runs in: unsigned for
 * integers, which wrap), and the functions FLOOR_DIV and FLOOR_MOD. */

/* Loops whose steps the compiler knows become vector code; the last form serves all others. */
#define RUN2(kernel, R, EXPRESSION)                                                                    \
  RS_CLONES static void NAME(kernel)(void *context, char *const *at, const int64_t *step, int64_t n) { \
    (void)context;                                                                                     \
    const int64_t r = sizeof(R), w = sizeof(TYPE);                                                     \
    if (step[0] == r && step[1] == w && step[2] == w) {                                                \
      R *o = (R *)at[0];                                                                               \
      const TYPE *p = (const TYPE *)at[1], *q = (const TYPE *)at[2];                                   \
      for (int64_t i = 0; i < n; i++) {                                                                \
        TYPE x = p[i], y = q[i];                                                                       \
        o[i] = (R)(EXPRESSION);                                                                        \
      }                                                                                                \
    } else if (step[0] == r && step[1] == w && step[2] == 0) {                                         \
      R *o = (R *)at[0];                                                                               \
      const TYPE *p = (const TYPE *)at[1], y = *(const TYPE *)at[2];                                   \
      for (int64_t i = 0; i < n; i++) {                                                                \
        TYPE x = p[i];                                                                                 \
        o[i] = (R)(EXPRESSION);                                                                        \
      }                                                                                                \
    } else {                                                                                           \
      for (int64_t i = 0; i < n; i++) {                                                                \
        TYPE x = *(const TYPE *)(at[1] + i * step[1]), y = *(const TYPE *)(at[2] + i * step[2]);       \
        *(R *)(at[0] + i * step[0]) = (R)(EXPRESSION);                                                 \
      }                                                                                                \
    }                                                                                                  \
  }

#define RUN1(kernel, EXPRESSION)                                                                       \
  RS_CLONES static void NAME(kernel)(void *context, char *const *at, const int64_t *step, int64_t n) { \
    (void)context;                                                                                     \
    const int64_t w = sizeof(TYPE);                                                                    \
    if (step[0] == w && step[1] == w) {                                                                \
      TYPE *o = (TYPE *)at[0];                                                                         \
      const TYPE *p = (const TYPE *)at[1];                                                             \
      for (int64_t i = 0; i < n; i++) {                                                                \
        TYPE x = p[i];                                                                                 \
        o[i] = (TYPE)(EXPRESSION);                                                                     \
      }                                                                                                \
    } else {                                                                                           \
      for (int64_t i = 0; i < n; i++) {                                                                \
        TYPE x = *(const TYPE *)(at[1] + i * step[1]);                                                 \
        *(TYPE *)(at[0] + i * step[0]) = (TYPE)(EXPRESSION);                                           \
      }                                                                                                \
    }                                                                                                  \
  }

RUN2(add, TYPE, (WRAP)x + (WRAP)y)
RUN2(sub, TYPE, (WRAP)x - (WRAP)y)
RUN2(mul, TYPE, ((WRAP)x) * ((WRAP)y))
RUN2(idiv, TYPE, FLOOR_DIV(x, y))
RUN2(mod, TYPE, FLOOR_MOD(x, y))
RUN2(maximum, TYPE, x > y || x != x ? x : y)
RUN2(minimum, TYPE, x < y || x != x ? x : y)
RUN2(gt, uint8_t, x > y)
RUN2(ge, uint8_t, x >= y)
RUN2(lt, uint8_t, x < y)
RUN2(le, uint8_t, x <= y)
RUN2(eq, uint8_t, x == y)
RUN2(ne, uint8_t, x != y)
RUN1(copy, x)
RUN1(absolute, NAME(fabs)(x))
#if IS_FLOAT
RUN2(div, TYPE, x / y)
RUN1(neg, -x)
RUN1(exponential, NAME(exp)(x))
RUN1(logarithm, NAME(log)(x))
RUN1(root, NAME(sqrt)(x))
RUN1(down, NAME(floor)(x))
#else
RUN1(neg, (WRAP)0 - (WRAP)x)
#endif

/* out = mask ? a : b */
static void NAME(choose)(void *context, char *const *at, const int64_t *step, int64_t n) {
  (void)context;
  for (int64_t i = 0; i < n; i++) {
    const char *from = *(const uint8_t *)(at[1] + i * step[1]) ? at[2] + i * step[2] : at[3] + i * step[3];
    *(TYPE *)(at[0] + i * step[0]) = *(const TYPE *)from;
  }
}

static rs_run *const NAME(binary_runs)[] = {
#if IS_FLOAT
    [RS_DIV] = NAME(div),
#endif
    [RS_ADD] = NAME(add), [RS_SUB] = NAME(sub),         [RS_MUL] = NAME(mul),         [RS_IDIV] = NAME(idiv),
    [RS_MOD] = NAME(mod), [RS_MAXIMUM] = NAME(maximum), [RS_MINIMUM] = NAME(minimum), [RS_GT] = NAME(gt),
    [RS_GE] = NAME(ge),   [RS_LT] = NAME(lt),           [RS_LE] = NAME(le),           [RS_EQ] = NAME(eq),
    [RS_NE] = NAME(ne)};

static rs_run *const NAME(unary_runs)[] = {
#if IS_FLOAT
    [RS_EXP] = NAME(exponential), [RS_LOG] = NAME(logarithm), [RS_FLOOR] = NAME(down), [RS_SQRT] = NAME(root),
#else
    [RS_EXP] = NULL,      [RS_LOG] = NULL,          [RS_FLOOR] = NAME(copy), [RS_SQRT] = NULL,
#endif
    [RS_NEG] = NAME(neg),         [RS_ABS] = NAME(absolute)};

#undef RUN1
#undef RUN2
#undef TYPE
#undef NAME
#undef IS_FLOAT
#undef WRAP
#undef FLOOR_DIV
#undef FLOOR_MOD
