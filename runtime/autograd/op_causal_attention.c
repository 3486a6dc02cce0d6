/* op_causal_attention.c - scaled dot-product attention in several heads over bags of rows, newest first: row p of a bag
 * attends itself and the rows behind it, which are older. Of q, k and v [total, d], head h being columns
 * h d / heads .. (h + 1) d / heads - 1,
 *
 *   y_p = sum over j >= p of the bag of softmax_j(<q_p, k_j> / sqrt(d / heads)) v_j
 *
 * Vaswani et al. 2017, arXiv:1706.03762. With a rate, shares are dropped while the tape trains.
 *
 * Fused as by Dao et al. 2022 (FlashAttention), arXiv:2205.14135: forward keeps the logarithm of each softmax's
 * denominator alone, [total, heads], and backward makes the shares P again from it. With g the gradient of y, m the
 * dropout's factors, and D_p = <g_p, y_p>:
 *
 *   dv = (m P)^T g,   dS = P (m (g v^T) - D),   dq = dS k / sqrt(.),   dk = dS^T q / sqrt(.)
 *
 * A task is a bag and a head. It goes by ROWS rows, whose scores against what is behind them lie in the cache; what is
 * above the diagonal is computed in the square that the diagonal crosses alone. Bags of any length are served, ragged as
 * they lie, and a bag's result depends on that bag alone. */
#ifndef REAL
#include <math.h>
#include <string.h>

#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/dropout.h"
#include "autograd/elementary.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "tensor/block.h"
#include "tensor/gemm.h"

enum { Q, K, V, OFFSETS };
enum { HEADS, RATE };
enum { ROWS = 64 };

typedef struct context {
  rs_dtype dtype;
  int64_t d, heads, width; /* width: of a head */
  int64_t longest, room;   /* rows of the longest bag; elements of a thread's scratch */
  const int64_t *offsets;
  const void *q, *k, *v, *y, *g;
  void *out, *dk, *dv;
  void *logs;    /* [total, heads]: log of the softmax's denominator; may be NULL in forward */
  void *scratch; /* [threads, room] */
  bool drops;
  rs_mask mask;
} context;

/* c [m, n] = alpha op(a) b, or += with 'add', of row-major memory; op(a) is a, or its transpose where 'ta' is set. */
static void product(rs_dtype dtype, bool ta, int64_t m, int64_t n, int64_t k, double alpha, const void *a, int64_t lda,
                    const void *b, int64_t ldb, bool add, void *c, int64_t ldc) {
  if (dtype != RS_F32 || !rs_block_fast()) {
    rs_gemm_tile(dtype, ta, false, m, n, k, alpha, a, lda, b, ldb, add ? 1 : 0, c, ldc);
    return;
  }
  rs_block_product(&(rs_block){.m = m, .n = n, .k = k, .alpha = (float)alpha, .a = a, .a_row = ta ? 1 : lda,
                               .a_column = ta ? lda : 1, .b = b, .ldb = ldb, .c = c, .ldc = ldc, .add = add});
}

#define KERNELS "autograd/op_causal_attention.c"
#include "autograd/each_real.h"

static rs_status check(const rs_node *self) {
  const rs_tensor *q = rs_in(self, Q);
  int64_t heads = self->attr[HEADS].integer;
  rs_status status = rs_need_reals(self, 3);
  if (status != RS_OK) return status;
  if (q->ndim != 2 || !rs_same_shape(q, rs_in(self, K)) || !rs_same_shape(q, rs_in(self, V)))
    return rs_fail(RS_ESHAPE, "causal_attention: q is %s, k %s and v %s, not all [total, d]", rs_shape(q).text,
                   rs_shape(rs_in(self, K)).text, rs_shape(rs_in(self, V)).text);
  if (q->size[1] < heads || q->size[1] % heads)
    return rs_fail(RS_ESHAPE, "causal_attention: the width %lld is no multiple of %lld heads", (long long)q->size[1],
                   (long long)heads);
  return rs_need_bags(self, OFFSETS, q->size[0], "rows");
}

static int64_t bags_of(const rs_node *self) { return rs_in(self, OFFSETS)->size[0] - 1; }

/* What both directions read, and a scratch for each thread: 'turned' transposed heads of the longest bag and 'squares'
 * matrices of ROWS of its scores. */
static rs_status begin(const rs_node *self, context *c, rs_tensor *scratch, int turned, int squares) {
  const rs_tensor *q = rs_in(self, Q);
  double rate = self->attr[RATE].real;
  *c = (context){.dtype = q->dtype,
                 .d = q->size[1],
                 .heads = self->attr[HEADS].integer,
                 .offsets = rs_i64(rs_in(self, OFFSETS)),
                 .q = rs_tensor_data(q),
                 .k = rs_tensor_data(rs_in(self, K)),
                 .v = rs_tensor_data(rs_in(self, V)),
                 .drops = self->options->train && rate > 0};
  c->width = c->d / c->heads;
  for (int64_t i = 0; i < bags_of(self); i++) {
    int64_t members = c->offsets[i + 1] - c->offsets[i];
    if (members > c->longest) c->longest = members;
  }
  if (c->drops) c->mask = rs_mask_of(self, rate, c->heads * c->longest);
  c->room = (turned * c->width + squares * ROWS) * c->longest;
  rs_status status = rs_tensor_new(scratch, c->dtype, 2, (int64_t[]){rs_threads(), c->room});
  if (status == RS_OK) c->scratch = rs_tensor_data(scratch);
  return status;
}

static rs_status forward(rs_node *self) {
  rs_tensor scratch = {0};
  context c;
  rs_status status = check(self);
  if (status == RS_OK) status = begin(self, &c, &scratch, 1, 1);
  if (status == RS_OK) status = rs_tensor_like(&self->value, rs_in(self, Q));
  if (status == RS_OK && self->needs_grad)
    status = rs_tensor_new(&self->saved[0], c.dtype, 2, (int64_t[]){rs_in(self, Q)->size[0], c.heads});
  if (status == RS_OK) {
    c.out = rs_tensor_data(&self->value);
    if (self->saved[0].storage) c.logs = rs_tensor_data(&self->saved[0]);
    rs_parallel_for(bags_of(self) * c.heads, 1, RS_BODY(c.dtype, forward_heads), &c);
  }
  rs_tensor_free(&scratch);
  return status;
}

static rs_status backward(rs_node *self) {
  rs_tensor scratch = {0}, grads[3] = {{0}, {0}, {0}};
  context c;
  rs_status status = begin(self, &c, &scratch, 2, 3);
  for (int i = 0; i < 3 && status == RS_OK; i++) status = rs_tensor_like(&grads[i], rs_in(self, Q + i));
  if (status == RS_OK) {
    c.y = rs_tensor_data(&self->value);
    c.g = rs_tensor_data(&self->grad);
    c.logs = rs_tensor_data(&self->saved[0]);
    c.out = rs_tensor_data(&grads[Q]);
    c.dk = rs_tensor_data(&grads[K]);
    c.dv = rs_tensor_data(&grads[V]);
    rs_parallel_for(bags_of(self) * c.heads, 1, RS_BODY(c.dtype, backward_heads), &c);
  }
  rs_tensor_free(&scratch);
  for (int i = 0; i < 3; i++) {
    if (status == RS_OK) status = rs_grad_give(self->input[Q + i], &grads[i]);
    rs_tensor_free(&grads[i]);
  }
  return status;
}

static const rs_attr_field fields[] = {{"heads", RS_ATTR_INTEGER, 1, 1 << 16, NULL},
                                       {"rate", RS_ATTR_REAL, 0, 0.999999, NULL}};
const rs_op rs_op_causal_attention = {"causal_attention", 4, 4, 2, fields, forward, backward, false};

rs_status rs_ag_causal_attention(rs_node **out, rs_node *q, rs_node *k, rs_node *v, rs_node *offsets, int64_t heads,
                                 double rate) {
  rs_attr attrs[] = {[HEADS] = {.integer = heads}, [RATE] = {.real = rate}};
  return rs_apply(out, &rs_op_causal_attention, 4, (rs_node *[]){q, k, v, offsets}, attrs);
}

#else
#include "autograd/lanes.h"

/* A bag and a head: where its first row begins, how many rows it has, and the thread's scratch. */
typedef struct OF(task) {
  int64_t row, members, head, at;
  REAL *scratch;
} OF(task);

static OF(task) OF(task_of)(const context *c, int64_t number) {
  int64_t bag = number / c->heads, head = number % c->heads, row = c->offsets[bag];
  return (OF(task)){.row = row,
                    .members = c->offsets[bag + 1] - row,
                    .head = head,
                    .at = row * c->d + head * c->width,
                    .scratch = (REAL *)c->scratch + rs_thread_index() * c->room};
}

/* to [width, members] = the transpose of the task's part of x. */
static void OF(turn)(const context *c, const OF(task) *t, REAL *to, const void *x) {
  const REAL *from = (const REAL *)x + t->at;
  if (sizeof *to == sizeof(float)) {
    rs_block_turn((float *)to, t->members, (const float *)from, c->d, t->members, c->width);
    return;
  }
  for (int64_t i = 0; i < t->members; i++)
    for (int64_t j = 0; j < c->width; j++) to[j * t->members + i] = from[i * c->d + j];
}

/* Scores of a row become shares of 1; the logarithm of their denominator. */
RS_SIMD static REAL OF(shares)(REAL *restrict s, int64_t n) {
  REAL most[16], sum[16] = {0};
  int64_t j = 0;
  for (int l = 0; l < 16; l++) most[l] = s[0];
  for (; j + 16 <= n; j += 16)
    for (int l = 0; l < 16; l++) most[l] = s[j + l] > most[l] ? s[j + l] : most[l];
  for (int l = 0; j + l < n; l++) most[l] = s[j + l] > most[l] ? s[j + l] : most[l];
  for (int half = 8; half; half /= 2)
    for (int l = 0; l < half; l++) most[l] = most[l + half] > most[l] ? most[l + half] : most[l];
  REAL top = most[0];
  for (j = 0; j < n; j++) s[j] = OF(rs_exp)(s[j] - top);
  for (j = 0; j + 16 <= n; j += 16)
    for (int l = 0; l < 16; l++) sum[l] += s[j + l];
  for (int l = 0; j + l < n; l++) sum[l] += s[j + l];
  REAL total = OF(lanes_total)(sum), by = 1 / total;
  for (j = 0; j < n; j++) s[j] *= by;
  return top + MATH(log)(total);
}

/* Drop of shares x [rows, keys], the first row being 'first' of the task's bag. */
static void OF(drop)(const context *c, const OF(task) *t, int64_t first, int64_t rows, int64_t keys, REAL *x) {
  rs_mask mask = c->mask;
  mask.first += (uint64_t)(((t->row + first) * c->heads + t->head * rows) * c->longest);
  OF(rs_mask_apply)(&mask, x, x, 0, rows * keys);
}

static void OF(forward_heads)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  for (int64_t number = begin; number < end; number++) {
    OF(task) t = OF(task_of)(c, number);
    REAL *turned = t.scratch, *s = turned + c->width * t.members;
    OF(turn)(c, &t, turned, c->k);
    for (int64_t first = 0; first < t.members; first += ROWS) {
      int64_t keys = t.members - first, rows = keys < ROWS ? keys : ROWS, at = t.at + first * c->d;
      product(c->dtype, false, rows, keys, c->width, 1 / sqrt((double)c->width), (const REAL *)c->q + at, c->d,
              turned + first, t.members, false, s, keys);
      for (int64_t i = 0; i < rows; i++) {
        REAL *row = s + i * keys;
        memset(row, 0, (size_t)i * sizeof *row);
        REAL log_sum = OF(shares)(row + i, keys - i);
        if (c->logs) ((REAL *)c->logs)[(t.row + first + i) * c->heads + t.head] = log_sum;
      }
      if (c->drops) OF(drop)(c, &t, first, rows, keys, s);
      product(c->dtype, false, rows, c->width, keys, 1, s, keys, (const REAL *)c->v + at, c->d, false,
              (REAL *)c->out + at, c->d);
    }
  }
}

/* Of a row's scores s, their logarithm's denominator and ds = g v^T: s becomes the shares that were summed, ds the
 * gradient of the scores. 'factor' is NULL where nothing drops. */
RS_SIMD static void OF(back_row)(REAL *restrict s, REAL *restrict ds, const REAL *restrict factor, REAL log_sum,
                                 REAL mean, int64_t n) {
  for (int64_t j = 0; j < n; j++) s[j] = OF(rs_exp)(s[j] - log_sum);
  if (!factor) {
    for (int64_t j = 0; j < n; j++) ds[j] = s[j] * (ds[j] - mean);
    return;
  }
  for (int64_t j = 0; j < n; j++) ds[j] = s[j] * (ds[j] * factor[j] - mean);
  for (int64_t j = 0; j < n; j++) s[j] *= factor[j];
}

static void OF(backward_heads)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  double scale = 1 / sqrt((double)c->width);
  for (int64_t number = begin; number < end; number++) {
    OF(task) t = OF(task_of)(c, number);
    REAL *keys_turned = t.scratch, *values_turned = keys_turned + c->width * t.members;
    REAL *s = values_turned + c->width * t.members, *ds = s + ROWS * t.members, *factor = ds + ROWS * t.members;
    OF(turn)(c, &t, keys_turned, c->k);
    OF(turn)(c, &t, values_turned, c->v);
    for (int64_t first = 0; first < t.members; first += ROWS) {
      int64_t keys = t.members - first, rows = keys < ROWS ? keys : ROWS, at = t.at + first * c->d;
      const REAL *q = (const REAL *)c->q + at, *g = (const REAL *)c->g + at, *y = (const REAL *)c->y + at;
      product(c->dtype, false, rows, keys, c->width, scale, q, c->d, keys_turned + first, t.members, false, s, keys);
      product(c->dtype, false, rows, keys, c->width, 1, g, c->d, values_turned + first, t.members, false, ds, keys);
      for (int64_t j = 0; j < rows * keys && c->drops; j++) factor[j] = 1;
      if (c->drops) OF(drop)(c, &t, first, rows, keys, factor);
      for (int64_t i = 0; i < rows; i++) {
        memset(s + i * keys, 0, (size_t)i * sizeof *s);
        memset(ds + i * keys, 0, (size_t)i * sizeof *ds);
        OF(back_row)
        (s + i * keys + i, ds + i * keys + i, c->drops ? factor + i * keys + i : NULL,
         ((const REAL *)c->logs)[(t.row + first + i) * c->heads + t.head],
         OF(lanes_dot)(g + i * c->d, y + i * c->d, c->width), keys - i);
      }
      bool add = first > 0; /* the first rows meet all keys */
      product(c->dtype, false, rows, c->width, keys, scale, ds, keys, (const REAL *)c->k + at, c->d, false,
              (REAL *)c->out + at, c->d);
      product(c->dtype, true, keys, c->width, rows, scale, ds, keys, q, c->d, add, (REAL *)c->dk + at, c->d);
      product(c->dtype, true, keys, c->width, rows, 1, s, keys, g, c->d, add, (REAL *)c->dv + at, c->d);
    }
  }
}
#endif
