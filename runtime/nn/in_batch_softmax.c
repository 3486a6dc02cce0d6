/* in_batch_softmax.c - see in_batch_softmax.h.
 *
 * As the loss is a scalar, the forward already makes both gradients (up to the factor that comes back): a panel of
 * logits is used three times while it is in cache. The gradient of the items is summed over GROUPS runs of rows, each
 * into memory of its own, then group by group in order: the same bits with any number of threads. */
#ifndef REAL
#include "nn/in_batch_softmax.h"

#include <math.h>
#include <string.h>

#include "autograd/kernel.h"
#include "base/alloc.h"
#include "nn/softmax_rows.h"

enum { GROUPS = 8 };

/* Optional inputs behind users and items, in their order; attribute PRESENT has a bit for each. */
enum { LOG_Q, CODES, NOW, FROM, TO, ROWS, COLUMNS, WEIGHTS, STARTS, LENGTHS, LISTS, N_OPTIONAL };
enum { PRESENT, MODE, TEMPERATURE, SMOOTHING };
enum { KEEP_HITS = 1, UNCORRECTED = 2, BESIDE = 4 }; /* BESIDE: the last input */

typedef struct work {
  rs_softmax_rows rows;
  rs_lists lists;
  int64_t n, r, m, d;
  int64_t group, panel; /* rows of a group, at most of a panel */
  double temperature;
  const void *items;
  const rs_tensor *optional[N_OPTIONAL]; /* NULL where absent */
  void *user_grad, *item_grad;           /* [r, d], [m, d]; NULL: no gradients */
  void *group_grads;                     /* [groups, m, deep] */
  double *losses;                        /* a sum a group */
  char *scratch;                         /* 'scratch_bytes' a thread */
  size_t scratch_bytes, logits_bytes, rows_bytes; /* of which: a panel's logits, rows [panel, deep] */
} work;

static void *at(const work *w, const void *base, int64_t element) {
  return (char *)(uintptr_t)base + (size_t)element * rs_dtype_size(w->rows.columns.dtype);
}

#define KERNELS "nn/in_batch_softmax.c"
#include "autograd/each_real.h"

/* Rows i .. i+n-1: logits, loss, and their part of both gradients. */
static double run_panel(const work *w, int64_t i, int64_t n, int64_t group) {
  const rs_panel_columns *columns = &w->rows.columns;
  char *logits = w->scratch + (size_t)rs_thread_index() * w->scratch_bytes, *scaled = logits + w->logits_bytes;
  char *grad = scaled + w->rows_bytes, *memory = grad + w->rows_bytes;
  double loss = 0, factor[128];
  rs_panel_scores(columns, at(w, w->rows.users, i * w->d), n, logits);
  for (int64_t k = 0; k < n; k++) {
    loss += rs_softmax_row(&w->rows, i + k, at(w, logits, k * columns->step), memory, &factor[k]);
    if (w->user_grad) RS_CALL(columns->dtype, scale_row, (w, i + k, k, factor[k] / w->temperature, scaled));
  }
  if (!w->user_grad) return loss;
  bool first = i == group * w->group;
  rs_panel_products(columns, logits, n, scaled, grad, at(w, w->group_grads, group * w->m * columns->deep), first);
  for (int64_t k = 0; k < n; k++)
    RS_CALL(columns->dtype, give_row, (w, i + k, k, factor[k] / w->temperature, grad));
  return loss;
}

/* A group's rows in panels of about the same height. */
static void run_groups(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  for (int64_t group = begin; group < end; group++) {
    int64_t first = group * w->group, rows = w->r - first < w->group ? w->r - first : w->group;
    int64_t panels = (rows + w->panel - 1) / w->panel, each = (rows + panels - 1) / panels;
    w->losses[group] = 0;
    for (int64_t i = 0; i < rows; i += each)
      w->losses[group] += run_panel(w, first + i, rows - i < each ? rows - i : each, group);
  }
}

static rs_status need_column(const rs_tensor *t, rs_dtype dtype, int64_t n, const char *what) {
  if (t->dtype != dtype)
    return rs_fail(RS_EDTYPE, "in_batch_softmax: %s is %s, not %s", what, rs_dtype_name(t->dtype),
                   rs_dtype_name(dtype));
  if (t->ndim == 1 && (n < 0 || t->size[0] == n)) return RS_OK;
  if (n < 0) return rs_fail(RS_ESHAPE, "in_batch_softmax: %s is %s, not a vector", what, rs_shape(t).text);
  return rs_fail(RS_ESHAPE, "in_batch_softmax: %s is %s, not [%lld]", what, rs_shape(t).text, (long long)n);
}

static rs_status check_sizes(const rs_node *self, work *w) {
  const rs_tensor *users = rs_in(self, 0), *items = rs_in(self, 1), **o = w->optional;
  if (users->ndim != 2 || items->ndim != 2 || users->size[1] != items->size[1] || users->size[0] < 1 ||
      items->size[0] < 1 || users->size[1] < 1)
    return rs_fail(RS_ESHAPE, "in_batch_softmax: users are %s, items %s; [r, d] and [m, d] are needed",
                   rs_shape(users).text, rs_shape(items).text);
  w->r = users->size[0];
  w->m = items->size[0];
  w->d = users->size[1];
  w->n = o[ROWS] ? o[ROWS]->size[0] : o[COLUMNS] ? o[COLUMNS]->size[0] : w->r;
  if (!o[ROWS] && w->n != w->r)
    return rs_fail(RS_ESHAPE, "in_batch_softmax: columns is [%lld] for %lld users: with several events of a user, rows "
                   "must say whose each is", (long long)w->n, (long long)w->r);
  if (!o[COLUMNS] && w->n > w->m)
    return rs_fail(RS_ESHAPE, "in_batch_softmax: %lld events and %lld items: with several events of an item, columns "
                   "must say whose each is", (long long)w->n, (long long)w->m);
  return w->n > 0 ? RS_OK : rs_fail(RS_ESHAPE, "in_batch_softmax: no events");
}

/* The optional inputs into w->optional, each of its type and size. */
static rs_status read_optional(const rs_node *self, work *w) {
  static const char *const names[] = {"log_q",   "codes",   "now",              "from",              "to",  "rows",
                                      "columns", "weights", "left_out.starts", "left_out.lengths", "left_out.values"};
  rs_dtype real = rs_in(self, 0)->dtype;
  const rs_dtype dtypes[] = {real, RS_I64, RS_I64, RS_I64, RS_I64, RS_I64, RS_I64, real, RS_I64, RS_I32, RS_I32};
  rs_status status = RS_OK;
  for (int i = 0, next = 2; i < N_OPTIONAL && status == RS_OK; i++) {
    if (!(self->attr[PRESENT].integer >> i & 1)) continue;
    w->optional[i] = rs_in(self, next++);
    status = need_column(w->optional[i], dtypes[i], -1, names[i]);
  }
  if (status == RS_OK) status = check_sizes(self, w);
  const int64_t sizes[] = {w->m, w->m, w->r, w->m, w->m, w->n, w->n, w->n, w->r, w->r, -1};
  for (int i = 0; i < N_OPTIONAL && status == RS_OK; i++)
    if (w->optional[i]) status = need_column(w->optional[i], dtypes[i], sizes[i], names[i]);
  return status;
}

static const int64_t *integers(const rs_tensor *t) { return t ? rs_i64(t) : NULL; }

static rs_status read_lists(work *w) {
  const rs_tensor **o = w->optional;
  if (!o[STARTS]) return RS_OK;
  w->lists = (rs_lists){w->r, rs_i64(o[STARTS]), rs_i32(o[LENGTHS]), rs_i32(o[LISTS]), rs_tensor_count(o[LISTS])};
  w->rows.left_out = &w->lists;
  return rs_lists_check(&w->lists, "in_batch_softmax: left_out", INT32_MAX);
}

/* The logits beside, which is the last input; NULL where there are none. */
static rs_node *beside_of(const rs_node *self) {
  return self->attr[MODE].integer & BESIDE ? self->input[self->n_inputs - 1] : NULL;
}

static rs_status read_beside(const rs_node *self, work *w) {
  const rs_node *beside = beside_of(self);
  if (!beside) return RS_OK;
  const rs_tensor *t = &beside->value;
  if (t->dtype != rs_in(self, 0)->dtype || t->ndim != 2 || t->size[0] != w->r)
    return rs_fail(RS_ESHAPE, "in_batch_softmax: beside is %s %s; %s [%lld, h] is needed", rs_dtype_name(t->dtype),
                   rs_shape(t).text, rs_dtype_name(rs_in(self, 0)->dtype), (long long)w->r);
  w->rows.beside = rs_tensor_data(t);
  w->rows.n_beside = t->size[1];
  return RS_OK;
}

static rs_status read_inputs(const rs_node *self, work *w) {
  rs_status status = rs_need_reals(self, 2);
  if (status == RS_OK) status = read_optional(self, w);
  if (status == RS_OK) status = read_lists(w);
  if (status == RS_OK) status = read_beside(self, w);
  if (status != RS_OK) return status;
  const rs_tensor **o = w->optional;
  w->temperature = self->attr[TEMPERATURE].real;
  w->items = rs_tensor_data(rs_in(self, 1));
  rs_softmax_rows *rows = &w->rows;
  rows->users = rs_tensor_data(rs_in(self, 0));
  if (o[LOG_Q]) rows->log_q = rs_tensor_data(o[LOG_Q]);
  rows->now = integers(o[NOW]);
  rows->from = integers(o[FROM]);
  rows->to = integers(o[TO]);
  rows->merge = o[CODES] && !(self->attr[MODE].integer & KEEP_HITS);
  rows->uncorrected = self->attr[MODE].integer & UNCORRECTED;
  rows->smoothing = self->attr[SMOOTHING].real;
  return RS_OK;
}

/* The events' weights in the order of the pairs, their sum 1. */
static rs_status read_weights(work *w, double *weights) {
  const rs_tensor *given = w->optional[WEIGHTS];
  double sum = 0;
  for (int64_t at_pair = 0; at_pair < w->n; at_pair++) {
    int64_t event = w->rows.pairs.event[at_pair];
    weights[at_pair] = !given ? 1 : given->dtype == RS_F32 ? (double)rs_f32(given)[event] : rs_f64(given)[event];
    if (!(weights[at_pair] >= 0 && weights[at_pair] < INFINITY))
      return rs_fail(RS_EARG, "in_batch_softmax: weights hold %g, they must be 0 or more", weights[at_pair]);
    sum += weights[at_pair];
  }
  if (sum == 0) return rs_fail(RS_EARG, "in_batch_softmax: all weights are 0");
  for (int64_t at_pair = 0; at_pair < w->n; at_pair++) weights[at_pair] /= sum;
  w->rows.weights = weights;
  return RS_OK;
}

/* What outlives the call: the gradients, in saved[0] to saved[2]. */
static rs_status make_gradients(rs_node *self, work *w) {
  if (!self->needs_grad) return RS_OK;
  rs_dtype dtype = w->rows.columns.dtype;
  rs_status status = rs_tensor_new(&self->saved[0], dtype, 2, (int64_t[]){w->r, w->d});
  if (status == RS_OK) status = rs_tensor_new(&self->saved[1], dtype, 2, (int64_t[]){w->m, w->d});
  if (status == RS_OK && w->rows.beside)
    status = rs_tensor_zeros(&self->saved[2], dtype, 2, (int64_t[]){w->r, w->rows.n_beside});
  if (status != RS_OK) return status;
  if (w->rows.beside) w->rows.beside_grad = rs_tensor_data(&self->saved[2]);
  w->user_grad = rs_tensor_data(&self->saved[0]);
  w->item_grad = rs_tensor_data(&self->saved[1]);
  return RS_OK;
}

static size_t lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* One block for what ends with the call: 'weights', log counts, losses, group gradients and the threads' memory. */
static rs_status make_room(work *w, int64_t groups, void **block, double **weights) {
  const rs_panel_columns *columns = &w->rows.columns;
  size_t size = rs_dtype_size(columns->dtype);
  w->logits_bytes = lines((size_t)(w->panel * columns->step) * size);
  w->rows_bytes = lines((size_t)(w->panel * columns->deep) * size);
  w->scratch_bytes = w->logits_bytes + 2 * w->rows_bytes + lines(rs_softmax_scratch_bytes(&w->rows));
  size_t counts = lines((size_t)w->m * size), pairs = lines((size_t)w->n * sizeof(double));
  size_t losses = lines((size_t)groups * sizeof(double));
  size_t grads = w->user_grad ? lines((size_t)(groups * w->m * columns->deep) * size) : 0;
  size_t bytes = counts + pairs + losses + grads + (size_t)rs_threads() * w->scratch_bytes;
  char *next = *block = rs_alloc(bytes);
  if (!next) return rs_nomem("in_batch_softmax", bytes);
  w->rows.log_count = next;
  *weights = (double *)(next += counts);
  w->losses = (double *)(next += pairs);
  w->group_grads = next += losses;
  w->scratch = next + grads;
  return RS_OK;
}

static rs_status run(rs_node *self, work *w) {
  rs_dtype dtype = rs_in(self, 0)->dtype;
  w->group = (w->r + GROUPS - 1) / GROUPS;
  w->panel = rs_panel_rows(&w->rows.columns);
  if (w->panel > w->group) w->panel = w->group;
  int64_t groups = (w->r + w->group - 1) / w->group;
  void *block = NULL;
  double *weights = NULL, loss = 0;
  rs_status status = make_gradients(self, w);
  if (status == RS_OK) status = make_room(w, groups, &block, &weights);
  if (status == RS_OK) status = read_weights(w, weights);
  if (status == RS_OK) {
    RS_CALL(dtype, start_logits, (w));
    rs_parallel_for(groups, 1, run_groups, w);
    if (w->user_grad) rs_each(w->m, rs_row_grain(w->d * groups), RS_BODY(dtype, add_groups), w);
    for (int64_t g = 0; g < groups; g++) loss += w->losses[g];
    status = rs_scalar(&self->value, dtype, loss);
  }
  rs_free(block);
  return status;
}

static rs_status forward(rs_node *self) {
  work w = {0};
  rs_status status = read_inputs(self, &w);
  if (status != RS_OK) return status;
  status = rs_softmax_pairs_new(&w.rows.pairs, w.n, w.r, w.m, integers(w.optional[ROWS]),
                                integers(w.optional[COLUMNS]), integers(w.optional[CODES]), w.rows.merge);
  if (status == RS_OK)
    status = rs_panel_columns_new(&w.rows.columns, NULL, rs_in(self, 0)->dtype, w.items, w.m, w.d, 1 / w.temperature);
  if (status == RS_OK) status = run(self, &w);
  rs_panel_columns_free(&w.rows.columns);
  rs_softmax_pairs_free(&w.rows.pairs);
  return status;
}

static rs_status backward(rs_node *self) {
  rs_node *to[] = {self->input[0], self->input[1], beside_of(self)};
  rs_status status = RS_OK;
  for (int i = 0; i < (to[2] ? 3 : 2) && status == RS_OK; i++) status = rs_grad_give_saved(self, i, to[i]);
  return status;
}

static const rs_attr_field fields[] = {{"present", RS_ATTR_INTEGER, 0, (1 << N_OPTIONAL) - 1, NULL},
                                       {"mode", RS_ATTR_INTEGER, 0, KEEP_HITS | UNCORRECTED | BESIDE, NULL},
                                       {"temperature", RS_ATTR_REAL, 1e-6, 1e6, NULL},
                                       {"smoothing", RS_ATTR_REAL, 0, 0.999999, NULL}};
static const rs_op op = {"in_batch_softmax", 2, 3 + N_OPTIONAL, 4, fields, forward, backward, true};

static rs_status check_options(const rs_in_batch_softmax_options *o) {
  if ((o->now == NULL) != (o->from == NULL) || (o->now == NULL) != (o->to == NULL))
    return rs_fail(RS_EARG, "in_batch_softmax: now, from and to go together");
  if ((o->starts == NULL) != (o->lengths == NULL) || (o->starts == NULL) != (o->lists == NULL))
    return rs_fail(RS_EARG, "in_batch_softmax: left_out needs starts, lengths and values");
  if (o->starts && !o->codes) return rs_fail(RS_EARG, "in_batch_softmax: left_out is of codes, which are not given");
  return RS_OK;
}

rs_status rs_nn_in_batch_softmax(rs_node **out, rs_node *users, rs_node *items,
                                 const rs_in_batch_softmax_options *o) {
  rs_node *inputs[3 + N_OPTIONAL] = {users, items};
  rs_status status = check_options(o);
  const rs_tensor *optional[N_OPTIONAL] = {o->log_q,   o->codes,   o->now,    o->from,    o->to,   o->rows,
                                           o->columns, o->weights, o->starts, o->lengths, o->lists};
  rs_attr attrs[4] = {{.integer = 0},
                      {.integer = (o->keep_hits ? KEEP_HITS : 0) | (o->uncorrected ? UNCORRECTED : 0) |
                                  (o->beside ? BESIDE : 0)},
                      {.real = o->temperature},
                      {.real = o->smoothing}};
  int n = 2;
  for (int i = 0; i < N_OPTIONAL && status == RS_OK; i++) {
    if (!optional[i]) continue;
    attrs[PRESENT].integer |= 1 << i;
    status = rs_tape_input(&inputs[n++], users->tape, NULL, optional[i], false);
  }
  if (o->beside) inputs[n++] = o->beside;
  return status == RS_OK ? rs_tape_apply(out, users->tape, &op, n, inputs, attrs) : status;
}

#else
/* Row k of a panel's users times 'factor', padded. */
RS_SIMD static void OF(scale_row)(const work *w, int64_t i, int64_t k, double factor, void *scaled) {
  int64_t deep = w->rows.columns.deep;
  const REAL *x = (const REAL *)w->rows.users + i * w->d;
  REAL *restrict to = (REAL *)scaled + k * deep, by = (REAL)factor;
  for (int64_t c = 0; c < w->d; c++) to[c] = x[c] * by;
  for (int64_t c = w->d; c < deep; c++) to[c] = 0;
}

/* Row k of a panel's products times 'factor' into the gradient of user i. */
RS_SIMD static void OF(give_row)(const work *w, int64_t i, int64_t k, double factor, const void *grad) {
  const REAL *x = (const REAL *)grad + k * w->rows.columns.deep;
  REAL *restrict to = (REAL *)w->user_grad + i * w->d, by = (REAL)factor;
  for (int64_t c = 0; c < w->d; c++) to[c] = x[c] * by;
}

/* The logarithms of how many columns each stands for, and where logits start. */
static void OF(start_logits)(work *w) {
  REAL *log_count = w->rows.log_count, *bias = w->rows.columns.bias;
  const REAL *log_q = w->rows.log_q;
  for (int64_t j = 0; j < w->m; j++) {
    log_count[j] = (REAL)log((double)w->rows.pairs.count[j]);
    bias[j] = log_count[j] - (log_q ? log_q[j] : 0);
  }
}

/* Rows begin .. end-1 of the items' gradient: the sum of all groups'. */
RS_SIMD static void OF(add_groups)(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  int64_t deep = w->rows.columns.deep, groups = (w->r + w->group - 1) / w->group;
  for (int64_t j = begin; j < end; j++) {
    REAL *restrict to = (REAL *)w->item_grad + j * w->d;
    const REAL *from = (const REAL *)w->group_grads + j * deep;
    for (int64_t c = 0; c < w->d; c++) to[c] = from[c];
    for (int64_t g = 1; g < groups; g++)
      for (int64_t c = 0; c < w->d; c++) to[c] += from[g * w->m * deep + c];
  }
}
#endif
