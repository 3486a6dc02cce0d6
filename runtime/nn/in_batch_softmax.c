/* in_batch_softmax.c - see in_batch_softmax.h.
 *
 * As the loss is a scalar, the forward already makes both gradients (up to the factor that comes back): a panel of
 * PANEL rows of logits is used three times while it is in cache. The gradient of the items is summed over GROUPS runs
 * of panels, each into memory of its own, then group by group in order: the same bits with any number of threads. */
#ifndef REAL
#include "nn/in_batch_softmax.h"

#include <math.h>
#include <string.h>

#include "autograd/kernel.h"
#include "base/alloc.h"
#include "tensor/gemm.h"

enum { PANEL = RS_GEMM_ROWS, GROUPS = 8 };

/* Inputs in their order; absent ones are left out, as the attributes say. */
enum { HAS_LOG_Q, HAS_CODES, HAS_WINDOW, TEMPERATURE };

typedef struct work {
  rs_dtype dtype;
  int64_t n, m, d, group; /* rows of a group */
  double temperature;
  const void *users, *items, *log_q;
  const int64_t *codes, *now, *from, *to;
  void *user_grad, *item_grads; /* NULL: no gradients; item_grads holds a [m, d] a group */
  void *panels;                 /* a [PANEL, m] a thread */
  double *losses;               /* a sum a group */
} work;

static size_t width(const work *w) { return rs_dtype_size(w->dtype); }
static void *at(const work *w, const void *base, int64_t element) {
  return (char *)(uintptr_t)base + (size_t)element * width(w);
}

typedef struct adding {
  int64_t n, groups;
  void *sums; /* [groups, n]; the first is the total */
} adding;

typedef struct scaling {
  void *x;
  double factor;
} scaling;

/* e^x for x <= 0 to 2 units in the last place, in a form that compilers vectorise: 2^round(x / ln 2) times a polynomial
 * of the rest (coefficients of Cephes' expf). Below -87 it is 0; NaN stays NaN, and no step of it is undefined then. */
static inline float exponential_f32(float x) {
  float clamped = x < -87.0f ? -87.0f : x;
  float shifted = clamped * 1.44269504089f + 12582912.0f; /* adding 1.5 * 2^23 rounds to a whole number */
  float k = shifted - 12582912.0f;
  float r = clamped - k * 0.693359375f + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  uint32_t bits; /* of 'shifted': those of 12582912.0f plus k */
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits - UINT32_C(0x4B400000) + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return x < -87.0f ? 0.0f : p * power;
}

static inline double exponential_f64(double x) { return exp(x); }

#define KERNELS "nn/in_batch_softmax.c"
#include "autograd/each_real.h"

/* One panel of rows i .. i+rows-1: its logits, their loss, and its part of both gradients. */
static void run_panel(const work *w, int64_t i, int64_t rows, int64_t group) {
  void *panel = at(w, w->panels, rs_thread_index() * PANEL * w->m);
  const void *users = at(w, w->users, i * w->d);
  double scale = 1 / w->temperature;
  rs_gemm_tile(w->dtype, false, true, rows, w->m, w->d, scale, users, w->d, w->items, w->d, 0, panel, w->m);
  for (int64_t r = 0; r < rows; r++)
    w->losses[group] += RS_CALL(w->dtype, row_loss, (w, i + r, at(w, panel, r * w->m)));
  if (!w->user_grad) return;
  rs_gemm_tile(w->dtype, false, false, rows, w->d, w->m, scale, panel, w->m, w->items, w->d, 0,
               at(w, w->user_grad, i * w->d), w->d);
  rs_gemm_tile(w->dtype, true, false, w->m, w->d, rows, scale, panel, w->m, users, w->d, 1,
               at(w, w->item_grads, group * w->m * w->d), w->d);
}

static void run_groups(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  for (int64_t group = begin; group < end; group++) {
    int64_t last = (group + 1) * w->group < w->n ? (group + 1) * w->group : w->n;
    if (w->user_grad) memset(at(w, w->item_grads, group * w->m * w->d), 0, (size_t)(w->m * w->d) * width(w));
    for (int64_t i = group * w->group; i < last; i += PANEL)
      run_panel(w, i, last - i < PANEL ? last - i : PANEL, group);
  }
}

static rs_status need_column(const rs_node *self, int i, rs_dtype dtype, int64_t m, const char *what) {
  const rs_tensor *t = rs_in(self, i);
  if (t->dtype != dtype)
    return rs_fail(RS_EDTYPE, "in_batch_softmax: %s is %s, not %s", what, rs_dtype_name(t->dtype),
                   rs_dtype_name(dtype));
  if (t->ndim == 1 && t->size[0] == m) return RS_OK;
  return rs_fail(RS_ESHAPE, "in_batch_softmax: %s is %s, not [%lld]", what, rs_shape(t).text, (long long)m);
}

/* The next optional input when 'present'. */
static rs_status take(const rs_node *self, int *next, bool present, rs_dtype dtype, int64_t m, const char *what,
                      const void **data) {
  if (!present) return RS_OK;
  rs_status status = need_column(self, *next, dtype, m, what);
  if (status == RS_OK) *data = rs_tensor_data(rs_in(self, (*next)++));
  return status;
}

static rs_status read_inputs(const rs_node *self, work *w) {
  const rs_tensor *users = rs_in(self, 0), *items = rs_in(self, 1);
  rs_status status = rs_need_reals(self, 2);
  if (status != RS_OK) return status;
  if (users->ndim != 2 || items->ndim != 2 || users->size[1] != items->size[1] || users->size[0] < 1 ||
      items->size[0] < users->size[0])
    return rs_fail(RS_ESHAPE, "in_batch_softmax: users are %s, items %s; [n, d] and [m, d] with m >= n >= 1 are needed",
                   rs_shape(users).text, rs_shape(items).text);
  *w = (work){.dtype = users->dtype,
              .n = users->size[0],
              .m = items->size[0],
              .d = users->size[1],
              .temperature = self->attr[TEMPERATURE].real,
              .users = rs_tensor_data(users),
              .items = rs_tensor_data(items)};
  int next = 2;
  bool window = self->attr[HAS_WINDOW].integer;
  status = take(self, &next, self->attr[HAS_LOG_Q].integer, w->dtype, w->m, "log_q", &w->log_q);
  if (status == RS_OK)
    status = take(self, &next, self->attr[HAS_CODES].integer, RS_I64, w->m, "codes", (const void **)&w->codes);
  if (status == RS_OK) status = take(self, &next, window, RS_I64, w->n, "now", (const void **)&w->now);
  if (status == RS_OK) status = take(self, &next, window, RS_I64, w->m, "from", (const void **)&w->from);
  if (status == RS_OK) status = take(self, &next, window, RS_I64, w->m, "to", (const void **)&w->to);
  return status;
}

/* Room for gradients: the users' in saved[0], the groups' item gradients in saved[1]. */
static rs_status make_gradients(rs_node *self, work *w, int64_t groups) {
  if (!self->needs_grad) return RS_OK;
  rs_status status = rs_tensor_new(&self->saved[0], w->dtype, 2, (int64_t[]){w->n, w->d});
  if (status == RS_OK) status = rs_tensor_new(&self->saved[1], w->dtype, 3, (int64_t[]){groups, w->m, w->d});
  if (status != RS_OK) return status;
  w->user_grad = rs_tensor_data(&self->saved[0]);
  w->item_grads = rs_tensor_data(&self->saved[1]);
  return RS_OK;
}

/* Sum the groups' item gradients into the first and keep that alone. */
static rs_status add_groups(rs_node *self, const work *w, int64_t groups) {
  if (!self->needs_grad) return RS_OK;
  adding a = {w->m * w->d, groups, w->item_grads};
  rs_each(a.n, RS_GRAIN, RS_BODY(w->dtype, add_range), &a);
  rs_tensor first = {0};
  rs_status status = rs_tensor_select(&first, &self->saved[1], 0, 0);
  if (status != RS_OK) return status;
  rs_tensor_free(&self->saved[1]);
  self->saved[1] = first;
  return RS_OK;
}

static rs_status forward(rs_node *self) {
  work w;
  rs_status status = read_inputs(self, &w);
  if (status != RS_OK) return status;
  int64_t panels = (w.n + PANEL - 1) / PANEL, each = (panels + GROUPS - 1) / GROUPS;
  int64_t groups = (panels + each - 1) / each;
  w.group = each * PANEL;
  rs_tensor scratch = {0}, losses = {0};
  status = make_gradients(self, &w, groups);
  if (status == RS_OK) status = rs_tensor_new(&scratch, w.dtype, 3, (int64_t[]){rs_threads(), PANEL, w.m});
  if (status == RS_OK) status = rs_tensor_zeros(&losses, RS_F64, 1, &groups);
  if (status == RS_OK) {
    w.panels = rs_tensor_data(&scratch);
    w.losses = rs_f64(&losses);
    rs_parallel_for(groups, 1, run_groups, &w);
    double loss = 0;
    for (int64_t g = 0; g < groups; g++) loss += w.losses[g];
    status = rs_scalar(&self->value, w.dtype, loss / (double)w.n);
  }
  if (status == RS_OK) status = add_groups(self, &w, groups);
  rs_tensor_free(&scratch);
  rs_tensor_free(&losses);
  return status;
}

static rs_status backward(rs_node *self) {
  for (int i = 0; i < 2; i++) {
    rs_tensor g = self->saved[i];
    self->saved[i] = (rs_tensor){0};
    scaling s = {rs_tensor_data(&g), rs_scalar_value(&self->grad)};
    if (s.factor != 1) rs_each(rs_tensor_count(&g), RS_GRAIN, RS_BODY(g.dtype, scale_range), &s);
    rs_status status = rs_grad_give(self->input[i], &g);
    if (status != RS_OK) return status;
  }
  return RS_OK;
}

static const rs_attr_field fields[] = {{"log_q", RS_ATTR_BOOL, 0, 1, NULL},
                                       {"codes", RS_ATTR_BOOL, 0, 1, NULL},
                                       {"window", RS_ATTR_BOOL, 0, 1, NULL},
                                       {"temperature", RS_ATTR_REAL, 1e-6, 1e6, NULL}};
static const rs_op op = {"in_batch_softmax", 2, 7, 4, fields, forward, backward, true};

/* Append an anonymous leaf over 't' to the inputs. */
static rs_status add_leaf(rs_node **inputs, int *n, rs_tape *tape, const rs_tensor *t) {
  if (!t) return RS_OK;
  return rs_tape_input(&inputs[(*n)++], tape, NULL, t, false);
}

rs_status rs_nn_in_batch_softmax(rs_node **out, rs_node *users, rs_node *items,
                                 const rs_in_batch_softmax_options *options) {
  rs_tape *tape = users->tape;
  rs_node *inputs[7] = {users, items};
  int n = 2;
  bool window = options->now != NULL;
  if (window != (options->from != NULL) || window != (options->to != NULL))
    return rs_fail(RS_EARG, "in_batch_softmax: now, from and to go together");
  rs_attr attrs[4] = {{.integer = options->log_q != NULL},
                      {.integer = options->codes != NULL},
                      {.integer = window},
                      {.real = options->temperature}};
  const rs_tensor *leaves[] = {options->log_q, options->codes, options->now, options->from, options->to};
  rs_status status = RS_OK;
  for (int i = 0; i < 5 && status == RS_OK; i++) status = add_leaf(inputs, &n, tape, leaves[i]);
  return status == RS_OK ? rs_tape_apply(out, tape, &op, n, inputs, attrs) : status;
}

#else
/* Logits of columns that row i may not use become -infinity; the positive stays. */
RS_SIMD static void OF(mask)(const work *w, int64_t i, REAL *s) {
  REAL positive = s[i];
  if (w->log_q) {
    const REAL *log_q = w->log_q;
    for (int64_t j = 0; j < w->m; j++) s[j] -= log_q[j];
    positive = s[i];
  }
  if (w->codes) {
    int64_t code = w->codes[i];
    for (int64_t j = 0; j < w->m; j++) s[j] = w->codes[j] == code ? (REAL)-INFINITY : s[j];
  }
  if (w->now) {
    int64_t now = w->now[i];
    for (int64_t j = 0; j < w->m; j++) s[j] = w->from[j] <= now && now < w->to[j] ? s[j] : (REAL)-INFINITY;
  }
  s[i] = positive;
}

RS_SIMD static REAL OF(largest)(const REAL *s, int64_t m) {
  REAL lane[16];
  int64_t j = 0;
  for (int l = 0; l < 16; l++) lane[l] = s[0];
  for (; j + 16 <= m; j += 16)
    for (int l = 0; l < 16; l++) lane[l] = s[j + l] > lane[l] ? s[j + l] : lane[l];
  for (; j < m; j++) lane[0] = s[j] > lane[0] ? s[j] : lane[0];
  for (int l = 1; l < 16; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
  return lane[0];
}

/* s = exp(s - max), and the sum of it in sixteen lanes. */
RS_SIMD static REAL OF(exponentials)(REAL *s, REAL max, int64_t m) {
  REAL lane[16] = {0};
  int64_t j = 0;
  for (; j + 16 <= m; j += 16)
    for (int l = 0; l < 16; l++) {
      s[j + l] = OF(exponential)(s[j + l] - max);
      lane[l] += s[j + l];
    }
  for (; j < m; j++) {
    s[j] = OF(exponential)(s[j] - max);
    lane[0] += s[j];
  }
  for (int half = 8; half; half /= 2)
    for (int l = 0; l < half; l++) lane[l] += lane[l + half];
  return lane[0];
}

RS_SIMD static void OF(scale)(REAL *s, REAL factor, int64_t m) {
  for (int64_t j = 0; j < m; j++) s[j] *= factor;
}

/* The loss of row i; its logits 's' become d loss / d logits when gradients are made. */
static double OF(row_loss)(const work *w, int64_t i, void *logits) {
  REAL *s = logits;
  OF(mask)(w, i, s);
  REAL positive = s[i], max = OF(largest)(s, w->m), sum = OF(exponentials)(s, max, w->m);
  if (w->user_grad) {
    OF(scale)(s, 1 / (sum * (REAL)w->n), w->m);
    s[i] -= 1 / (REAL)w->n;
  }
  return (double)max + log((double)sum) - (double)positive;
}

static void OF(add_range)(void *context, int64_t begin, int64_t end) {
  const adding *a = context;
  REAL *total = a->sums;
  for (int64_t g = 1; g < a->groups; g++) {
    const REAL *part = total + g * a->n;
    for (int64_t k = begin; k < end; k++) total[k] += part[k];
  }
}

static void OF(scale_range)(void *context, int64_t begin, int64_t end) {
  const scaling *s = context;
  OF(scale)((REAL *)s->x + begin, (REAL)s->factor, end - begin);
}
#endif
