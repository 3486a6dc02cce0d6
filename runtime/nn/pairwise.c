/* pairwise.c - BPR and WARP on the rows of two tables; see pairwise.h.
 *
 * A chunk of rows goes through scores, loss and gradient rows at once, while its three rows are in the first cache.
 * The gradient rows are kept as pieces: of users by user, of items by the positive and the negative. */
#ifndef REAL
#include <math.h>
#include <string.h>

#include "autograd/elementary.h"
#include "autograd/kernel.h"
#include "autograd/table.h"
#include "base/alloc.h"
#include "base/prefetch.h"
#include "base/rng.h"
#include "nn/pairwise.h"

enum { USERS, ITEMS, USER_CODES, POSITIVES, NEGATIVES, POOL = NEGATIVES, SEEN_STARTS, SEEN_COLUMNS };
enum { ROWS = 128 };                              /* of a chunk */
enum { DECAY, MARGIN, TRIES, SEEN };              /* attributes */
enum { MOST_TRIES = 4096, TOGETHER = 8, NO_ITEM = -1 }; /* of draws: looked up together */

typedef struct work {
  int64_t n, d;
  const void *users, *items;
  const int32_t *user, *positive;
  int32_t *negative; /* BPR reads it; WARP writes it, NO_ITEM where nothing was violated */
  void *user_rows;   /* [n, d] gradients; NULL: the loss alone */
  void *item_rows;   /* [2n, d]: of positives, then of negatives */
  double decay;      /* divided by n */
  double *losses;    /* [chunks] */
  /* WARP */
  double margin;
  int64_t tries, pool_size, rows_before;
  const int32_t *pool;
  const int64_t *seen_starts;
  const int32_t *seen;
  const double *weight; /* [tries + 1]: L(k) of a violation at the t-th item */
  rs_stream stream;
} work;

/* Whether user code u chose item j. */
static bool is_seen(const work *w, int32_t u, int32_t j) {
  if (!w->seen_starts) return false;
  int64_t low = w->seen_starts[u], high = w->seen_starts[u + 1], end = high;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (w->seen[middle] < j)
      low = middle + 1;
    else
      high = middle;
  }
  return low < end && w->seen[low] == j;
}

#define KERNELS "nn/pairwise.c"
#include "autograd/each_real.h"

static rs_status check_tables(const rs_node *self) {
  rs_status status = rs_need_reals(self, 2);
  for (int i = 0; i < 2 && status == RS_OK; i++) status = rs_need_ndim(self, i, 2);
  if (status == RS_OK && rs_in(self, USERS)->size[1] != rs_in(self, ITEMS)->size[1])
    return rs_fail(RS_ESHAPE, "%s: users are %s and items %s, rows must be as wide", self->op->name,
                   rs_shape(rs_in(self, USERS)).text, rs_shape(rs_in(self, ITEMS)).text);
  return status;
}

static rs_status check_batch(const rs_node *self, int last) {
  rs_status status = check_tables(self);
  for (int i = USER_CODES; i <= last && status == RS_OK; i++) {
    status = rs_need_codes(self, i == USER_CODES ? USERS : ITEMS, i);
    if (status == RS_OK) status = rs_need_ndim(self, i, 1);
    if (status == RS_OK && i <= POSITIVES + (self->op->n_fields == 1)) status = rs_need_same(self, USER_CODES, i);
  }
  if (status == RS_OK && rs_in(self, USER_CODES)->size[0] == 0)
    return rs_fail(RS_ESHAPE, "%s: there is no mean of no rows", self->op->name);
  return status;
}

static work work_of(const rs_node *self) {
  work w = {.n = rs_in(self, USER_CODES)->size[0], .d = rs_in(self, USERS)->size[1]};
  w.users = rs_tensor_data(rs_in(self, USERS));
  w.items = rs_tensor_data(rs_in(self, ITEMS));
  w.user = rs_i32(rs_in(self, USER_CODES));
  w.positive = rs_i32(rs_in(self, POSITIVES));
  w.decay = self->attr[DECAY].real / (double)w.n;
  return w;
}

/* Room for gradient rows, where there are to be any; the rows themselves, 'body'; the mean of their losses. */
static rs_status run(rs_node *self, work *w, rs_body *body) {
  rs_dtype dtype = rs_in(self, USERS)->dtype;
  int64_t chunks = (w->n + ROWS - 1) / ROWS;
  rs_tensor losses = {0};
  rs_status status = rs_tensor_zeros(&losses, RS_F64, 1, &chunks);
  if (status == RS_OK && self->needs_grad) {
    status = rs_tensor_new(&self->saved[0], dtype, 2, (int64_t[]){w->n, w->d});
    if (status == RS_OK) status = rs_tensor_new(&self->saved[1], dtype, 2, (int64_t[]){2 * w->n, w->d});
    if (status == RS_OK) w->user_rows = rs_tensor_data(&self->saved[0]);
    if (status == RS_OK) w->item_rows = rs_tensor_data(&self->saved[1]);
  }
  if (status == RS_OK) {
    w->losses = rs_f64(&losses);
    rs_each(w->n, ROWS, body, w);
    double loss = 0;
    for (int64_t c = 0; c < chunks; c++) loss += w->losses[c];
    status = rs_scalar(&self->value, dtype, loss / (double)w->n);
  }
  rs_tensor_free(&losses);
  return status;
}

static rs_status bpr_forward(rs_node *self) {
  rs_status status = check_batch(self, NEGATIVES);
  if (status != RS_OK) return status;
  work w = work_of(self);
  w.negative = rs_i32(rs_in(self, NEGATIVES));
  return run(self, &w, RS_BODY(rs_in(self, USERS)->dtype, bpr_rows));
}

/* WARP: attributes and inputs beyond BPR's. */

static rs_status check_seen(const rs_node *self) {
  const rs_tensor *starts = rs_in(self, SEEN_STARTS), *columns = rs_in(self, SEEN_COLUMNS);
  int64_t users = rs_in(self, USERS)->size[0];
  if (starts->dtype != RS_I64 || columns->dtype != RS_I32)
    return rs_fail(RS_EDTYPE, "warp: seen has starts %s and columns %s, not i64 and i32", rs_dtype_name(starts->dtype),
                   rs_dtype_name(columns->dtype));
  if (starts->ndim != 1 || columns->ndim != 1 || starts->size[0] != users + 1)
    return rs_fail(RS_ESHAPE, "warp: seen has %lld rows, users %lld", (long long)starts->size[0] - 1, (long long)users);
  const int64_t *at = rs_i64(starts);
  bool ascending = at[0] == 0 && at[users] == columns->size[0];
  for (int64_t u = 0; u < users; u++) ascending &= at[u] <= at[u + 1];
  return ascending ? RS_OK : rs_fail(RS_ERANGE, "warp: the starts of seen must ascend from 0 to its entries");
}

static rs_status check_warp(const rs_node *self) {
  rs_status status = check_batch(self, POOL);
  if (status == RS_OK && rs_in(self, POOL)->size[0] < 2)
    status = rs_fail(RS_ESHAPE, "warp: a pool of %lld items has no rank", (long long)rs_in(self, POOL)->size[0]);
  return status == RS_OK && self->attr[SEEN].integer ? check_seen(self) : status;
}

/* 1 + 1/2 + ... + 1/k: summed while short, else by Euler's expansion, to 1e-12. */
static double harmonic(int64_t k) {
  double sum = 0, x = (double)k;
  if (k > 256) return log(x) + 0.57721566490153286 + 1 / (2 * x) - 1 / (12 * x * x);
  for (int64_t i = 1; i <= k; i++) sum += 1 / (double)i;
  return sum;
}

static rs_status warp_forward(rs_node *self) {
  rs_status status = check_warp(self);
  if (status != RS_OK) return status;
  work w = work_of(self);
  const rs_tape_options *o = self->options;
  w.margin = self->attr[MARGIN].real;
  w.tries = self->attr[TRIES].integer;
  w.pool = rs_i32(rs_in(self, POOL));
  w.pool_size = rs_in(self, POOL)->size[0];
  w.rows_before = o->rows_before;
  w.stream = rs_stream_at(o->seed, RS_RNG_WARP, o->epoch, o->step);
  if (self->attr[SEEN].integer) {
    w.seen_starts = rs_i64(rs_in(self, SEEN_STARTS));
    w.seen = rs_i32(rs_in(self, SEEN_COLUMNS));
  }
  double weight[MOST_TRIES + 1] = {0};
  for (int64_t t = 1; t <= w.tries; t++) weight[t] = harmonic((w.pool_size - 1) / t);
  w.weight = weight;
  status = rs_tensor_new(&self->saved[2], RS_I32, 1, &w.n);
  if (status != RS_OK) return status;
  w.negative = rs_i32(&self->saved[2]);
  return run(self, &w, RS_BODY(rs_in(self, USERS)->dtype, warp_rows));
}

/* Backward. */

/* Codes of the rows that have a negative, and where their gradients lie: the user's at r, or the items' at r and n + r. */
static rs_status list_rows(rs_piece *piece, const int32_t *codes, const int32_t *negative, int64_t n, bool of_items) {
  int64_t m = 0;
  for (int64_t r = 0; r < n; r++) m += negative[r] != NO_ITEM;
  int64_t size = of_items ? 2 * m : m, at = 0;
  rs_status status = rs_tensor_new(&piece->codes, RS_I32, 1, &size);
  if (status == RS_OK) status = rs_tensor_new(&piece->row, RS_I32, 1, &size);
  if (status != RS_OK) return status;
  int32_t *code = rs_i32(&piece->codes), *row = rs_i32(&piece->row);
  for (int64_t r = 0; r < n; r++)
    if (negative[r] != NO_ITEM) code[at] = codes[r], row[at++] = (int32_t)r;
  for (int64_t r = 0; of_items && r < n; r++)
    if (negative[r] != NO_ITEM) code[at] = negative[r], row[at++] = (int32_t)(n + r);
  return RS_OK;
}

static rs_status give(rs_node *self, const int32_t *negative, bool of_items) {
  rs_node *table = self->input[of_items ? ITEMS : USERS];
  rs_tensor *rows = &self->saved[of_items];
  rs_piece piece = {0};
  if (!table->needs_grad) return RS_OK;
  rs_grad_scale(rows, rs_scalar_value(&self->grad));
  rs_status status = list_rows(&piece, rs_i32(rs_in(self, of_items ? POSITIVES : USER_CODES)), negative,
                               rs_in(self, USER_CODES)->size[0], of_items);
  piece.rows = *rows;
  if (status == RS_OK && piece.codes.size[0] > 0) status = rs_grad_give_piece(table, &piece);
  rs_tensor_free(&piece.codes);
  rs_tensor_free(&piece.row);
  return status;
}

static rs_status backward(rs_node *self, const int32_t *negative) {
  rs_status status = give(self, negative, false);
  return status == RS_OK ? give(self, negative, true) : status;
}

static rs_status bpr_backward(rs_node *self) { return backward(self, rs_i32(rs_in(self, NEGATIVES))); }
static rs_status warp_backward(rs_node *self) { return backward(self, rs_i32(&self->saved[2])); }

static const rs_attr_field fields[] = {{"decay", RS_ATTR_REAL, 0, 1e6, NULL},
                                       {"margin", RS_ATTR_REAL, 1e-6, 1e6, NULL},
                                       {"tries", RS_ATTR_INTEGER, 1, MOST_TRIES, NULL},
                                       {"seen", RS_ATTR_BOOL, 0, 1, NULL}};
static const rs_op bpr_op = {"bpr_of_tables", 5, 5, 1, fields, bpr_forward, bpr_backward, true};
static const rs_op warp_op = {"warp", 5, 7, 4, fields, warp_forward, warp_backward, true};

/* Tables and anonymous leaves over 'data', whose NULLs are left out, under 'op'. */
static rs_status apply(rs_node **out, const rs_op *op, rs_node *users, rs_node *items, const rs_tensor *const *data,
                       int n_data, const rs_attr *attrs) {
  rs_node *inputs[SEEN_COLUMNS + 1] = {users, items};
  int n = 2;
  rs_status status = RS_OK;
  for (int i = 0; i < n_data && status == RS_OK; i++)
    if (data[i]) status = rs_tape_input(&inputs[n++], users->tape, NULL, data[i], false);
  return status == RS_OK ? rs_tape_apply(out, users->tape, op, n, inputs, attrs) : status;
}

rs_status rs_nn_bpr(rs_node **out, rs_node *users, rs_node *items, const rs_tensor *user_codes,
                    const rs_tensor *positives, const rs_tensor *negatives, double decay) {
  return apply(out, &bpr_op, users, items, (const rs_tensor *[]){user_codes, positives, negatives}, 3,
               &(rs_attr){.real = decay});
}

rs_status rs_nn_warp(rs_node **out, rs_node *users, rs_node *items, const rs_tensor *user_codes,
                     const rs_tensor *positives, const rs_warp_options *o) {
  if ((o->seen_starts == NULL) != (o->seen_columns == NULL))
    return rs_fail(RS_EARG, "warp: starts and columns of seen go together");
  rs_attr attrs[] = {
      {.real = o->decay}, {.real = o->margin}, {.integer = o->tries}, {.integer = o->seen_starts != NULL}};
  return apply(out, &warp_op, users, items,
               (const rs_tensor *[]){user_codes, positives, o->pool, o->seen_starts, o->seen_columns}, 5, attrs);
}

#else
#include "autograd/lanes.h"

static inline const REAL *OF(user_of)(const work *w, int64_t r) { return (const REAL *)w->users + w->user[r] * w->d; }
static inline const REAL *OF(item_of)(const work *w, int32_t item) { return (const REAL *)w->items + item * w->d; }

RS_PREFETCHES void OF(prefetch)(const work *w, int64_t r) {
  size_t bytes = (size_t)w->d * sizeof(REAL);
  rs_prefetch_row(OF(user_of)(w, r), bytes);
  rs_prefetch_row(OF(item_of)(w, w->positive[r]), bytes);
  if (!w->pool) rs_prefetch_row(OF(item_of)(w, w->negative[r]), bytes);
}

/* What row r adds to the loss for decay. */
static inline double OF(decay_of)(const work *w, const REAL *x, const REAL *y, const REAL *z) {
  if (w->decay == 0) return 0;
  REAL squares = OF(lanes_dot)(x, x, w->d) + OF(lanes_dot)(y, y, w->d) + OF(lanes_dot)(z, z, w->d);
  return w->decay * (double)w->n / 2 * (double)squares;
}

/* Gradient rows of row r, with g = d loss / d s(u, j) = - d loss / d s(u, i). */
static inline void OF(write_rows)(const work *w, int64_t r, REAL g, const REAL *restrict x, const REAL *y,
                                  const REAL *z) {
  int64_t d = w->d;
  const REAL decay = (REAL)w->decay;
  REAL *restrict dx = (REAL *)w->user_rows + r * d, *restrict dy = (REAL *)w->item_rows + r * d,
       *restrict dz = (REAL *)w->item_rows + (w->n + r) * d;
  for (int64_t k = 0; k < d; k++) {
    dx[k] = g * (z[k] - y[k]) + decay * x[k];
    dy[k] = decay * y[k] - g * x[k];
    dz[k] = decay * z[k] + g * x[k];
  }
}

/* log(1 + exp(x)) without overflow. */
static inline REAL OF(softplus)(REAL x) { return (x > 0 ? x : 0) + MATH(log1p)(OF(rs_exp)(x > 0 ? -x : x)); }

RS_SIMD static void OF(bpr_rows)(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  double loss = 0;
  for (int64_t r = begin; r < end; r++) {
    if (r + RS_AHEAD < end) OF(prefetch)(w, r + RS_AHEAD);
    const REAL *x = OF(user_of)(w, r), *y = OF(item_of)(w, w->positive[r]), *z = OF(item_of)(w, w->negative[r]);
    REAL behind = OF(lanes_dot)(x, z, w->d) - OF(lanes_dot)(x, y, w->d);
    loss += (double)OF(softplus)(behind) + OF(decay_of)(w, x, y, z);
    if (w->user_rows) OF(write_rows)(w, r, OF(rs_logistic)(behind) / (REAL)w->n, x, y, z);
  }
  w->losses[begin / ROWS] = loss;
}

/* The first drawn item that violates row r's margin, NO_ITEM when none does; the how many-th that was no positive of the
 * user it was, and its score. Draws are looked up some at a time, so that their rows arrive together. */
static inline int32_t OF(violator)(const work *w, int64_t r, REAL least, const REAL *x, int64_t *found, REAL *score) {
  int32_t drawn[TOGETHER];
  int64_t met = 0;
  for (int64_t first = 0; first < w->tries; first += TOGETHER) {
    int64_t count = w->tries - first < TOGETHER ? w->tries - first : TOGETHER;
    for (int64_t t = 0; t < count; t++) {
      uint64_t place = (uint64_t)((w->rows_before + r) * MOST_TRIES + first + t);
      drawn[t] = w->pool[rs_stream_below(&w->stream, place, (uint64_t)w->pool_size)];
      rs_prefetch_row(OF(item_of)(w, drawn[t]), (size_t)w->d * sizeof(REAL));
    }
    for (int64_t t = 0; t < count; t++) {
      if (drawn[t] == w->positive[r] || is_seen(w, w->user[r], drawn[t])) continue;
      met++;
      *score = OF(lanes_dot)(x, OF(item_of)(w, drawn[t]), w->d);
      if (*score <= least) continue;
      *found = met;
      return drawn[t];
    }
  }
  return NO_ITEM;
}

RS_SIMD static void OF(warp_rows)(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  double loss = 0;
  for (int64_t r = begin; r < end; r++) {
    if (r + RS_AHEAD < end) OF(prefetch)(w, r + RS_AHEAD);
    const REAL *x = OF(user_of)(w, r), *y = OF(item_of)(w, w->positive[r]);
    REAL own = OF(lanes_dot)(x, y, w->d), other = 0;
    int64_t found = 0;
    w->negative[r] = OF(violator)(w, r, own - (REAL)w->margin, x, &found, &other);
    if (w->negative[r] == NO_ITEM) continue;
    const REAL *z = OF(item_of)(w, w->negative[r]);
    double weight = w->weight[found];
    loss += weight * (w->margin - (double)own + (double)other) + OF(decay_of)(w, x, y, z);
    if (w->user_rows) OF(write_rows)(w, r, (REAL)(weight / (double)w->n), x, y, z);
  }
  w->losses[begin / ROWS] = loss;
}
#endif
