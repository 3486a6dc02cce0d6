/* catalogue.c - see catalogue.h.
 *
 * As the loss is a scalar, the forward already makes both gradients (up to the factor that comes back). Positives are
 * few and go pair by pair; the columns go by tiles of PANEL rows x TILE columns that stay in the second-level cache. A
 * softmax needs a row's normaliser before its gradient: a first pass over the tiles makes scores, from which each row's
 * exponentials are made in place where all of a panel's tiles find room in the third-level cache (KEPT of them: 4 MiB);
 * of larger catalogues it sums them up, and a second pass makes the scores again. The gradient of the other losses is a
 * function of the score alone: they take one pass. The items' gradient is summed over GROUPS runs of panels, each into
 * memory of its own, then group by group in order: the same bits with any number of threads. */
#ifndef REAL
#include "nn/catalogue.h"

#include <math.h>
#include <string.h>

#include "autograd/kernel.h"
#include "nn/catalogue_rows.h"
#include "tensor/gemm.h"

typedef rs_catalogue_work work;
typedef rs_catalogue_panel panel;
typedef rs_catalogue_row row_state;

enum { PANEL = RS_CATALOGUE_PANEL, TILE = RS_CATALOGUE_TILE, KEPT = 8, GROUPS = 8 };

/* The attributes: which inputs are there, the first negative, and from REALS on what the loss has. */
enum { FLAGS, FIRST, REALS };
enum {
  HAS_WEIGHTS = 1,
  HAS_LOG_Q = 2,
  HAS_CODES = 4,
  HAS_EXCLUDED = 8,
  AGAINST_NEGATIVES = 16,
  HAS_COLUMN_WEIGHTS = 32
};

static void *at(const work *w, const void *base, int64_t element) {
  return (char *)(uintptr_t)base + (size_t)element * rs_dtype_size(w->dtype);
}

typedef struct adding {
  int64_t n, groups;
  void *sums; /* [groups, n]; the first is the total */
} adding;

#define KERNELS "nn/catalogue.c"
#include "autograd/each_real.h"

static void score_tile(const work *w, const panel *p) {
  rs_gemm_tile(w->dtype, false, true, p->rows, p->columns, w->d, w->scale, at(w, w->users, p->i * w->d), w->d,
               at(w, w->items, p->j * w->d), w->d, 0, p->tile, TILE);
}

/* Both products of a tile that holds the gradient of its scores. */
static void spread_tile(const work *w, const panel *p) {
  rs_gemm_tile(w->dtype, false, false, p->rows, w->d, p->columns, w->scale, p->tile, TILE,
               at(w, w->items, p->j * w->d), w->d, 1, at(w, w->user_grad, p->i * w->d), w->d);
  rs_gemm_tile(w->dtype, true, false, p->columns, w->d, p->rows, w->scale, p->tile, TILE,
               at(w, w->users, p->i * w->d), w->d, 1, at(w, w->item_grads, (p->group * w->m + p->j) * w->d), w->d);
}

/* Go to the tile that begins with column j. */
static void enter(const work *w, panel *p, int64_t j) {
  int64_t number = (j - w->first) / TILE;
  p->j = j;
  p->columns = w->m - j < TILE ? w->m - j : TILE;
  p->tile = at(w, p->tiles, (w->kept > 1 ? number : 0) * PANEL * TILE);
}

static bool has_room(const work *w) { return w->m - w->first <= w->kept * TILE; }

static void sum_rows(const work *w, panel *p) {
  for (int64_t r = 0; r < p->rows; r++) p->state[r] = (row_state){.max = -INFINITY};
  if (!rs_catalogue_normalises(w)) return;
  for (int64_t j = w->first; j < w->m; j += TILE) {
    enter(w, p, j);
    score_tile(w, p);
    rs_catalogue_sum_tile(w, p, has_room(w));
  }
  for (int64_t j = w->first; j < w->m && has_room(w); j += TILE) {
    enter(w, p, j);
    rs_catalogue_raise_tile(w, p);
  }
}

static void run_panel(const work *w, panel *p) {
  sum_rows(w, p);
  for (int64_t r = 0; r < p->rows; r++) w->losses[p->group] += rs_catalogue_settle_row(w, p, r);
  if (rs_catalogue_normalises(w) && !w->user_grad) return;
  p->raised = rs_catalogue_normalises(w) && has_room(w);
  p->fresh = !p->raised;
  for (int64_t j = w->first; j < w->m; j += TILE) {
    enter(w, p, j);
    if (p->fresh) score_tile(w, p);
    w->losses[p->group] += rs_catalogue_slope_tile(w, p);
    if (w->user_grad) spread_tile(w, p);
  }
}

static void run_groups(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  panel p = {.tiles = at(w, w->tiles, (int64_t)rs_thread_index() * w->kept * PANEL * TILE),
             .state = w->rows + rs_thread_index() * PANEL};
  for (p.group = begin; p.group < end; p.group++) {
    int64_t last = (p.group + 1) * w->group < w->n ? (p.group + 1) * w->group : w->n;
    size_t bytes = (size_t)(w->m * w->d) * rs_dtype_size(w->dtype);
    if (w->user_grad) memset(at(w, w->item_grads, p.group * w->m * w->d), 0, bytes);
    for (p.i = p.group * w->group; p.i < last; p.i += PANEL) {
      p.rows = last - p.i < PANEL ? last - p.i : PANEL;
      run_panel(w, &p);
    }
  }
}

static rs_status need_vector(const rs_node *self, const rs_tensor *t, rs_dtype dtype, int64_t n, const char *what) {
  if (t->dtype != dtype)
    return rs_fail(RS_EDTYPE, "%s: %s is %s, not %s", self->op->name, what, rs_dtype_name(t->dtype),
                   rs_dtype_name(dtype));
  if (t->ndim == 1 && (n < 0 || t->size[0] == n)) return RS_OK;
  return rs_fail(RS_ESHAPE, "%s: %s is %s, not [%lld]", self->op->name, what, rs_shape(t).text,
                 (long long)(n < 0 ? rs_tensor_count(t) : n));
}

/* The next input, a vector of 'n' elements (-1: any number). */
static rs_status take(const rs_node *self, int *next, rs_dtype dtype, int64_t n, const char *what, const void **data) {
  const rs_tensor *t = rs_in(self, *next);
  rs_status status = need_vector(self, t, dtype, n, what);
  if (status != RS_OK) return status;
  *data = rs_tensor_data(t);
  ++*next;
  return RS_OK;
}

/* The next two inputs: starts [n + 1] that rise from 0 to the number of values, and the values. */
static rs_status take_lists(const rs_node *self, int *next, int64_t n, const char *what, const int64_t **starts,
                            const int64_t **values) {
  const int64_t size = rs_tensor_count(rs_in(self, *next + 1));
  rs_status status = take(self, next, RS_I64, n + 1, "starts", (const void **)starts);
  if (status == RS_OK) status = take(self, next, RS_I64, -1, what, (const void **)values);
  if (status != RS_OK) return status;
  bool rises = (*starts)[0] == 0 && (*starts)[n] == size;
  for (int64_t u = 0; u < n; u++) rises = rises && (*starts)[u] <= (*starts)[u + 1];
  return rises ? RS_OK
               : rs_fail(RS_ERANGE, "%s: the starts of the %s do not rise from 0 to their number, %lld",
                         self->op->name, what, (long long)size);
}

static rs_status read_data(const rs_node *self, work *w) {
  const int64_t flags = self->attr[FLAGS].integer;
  int next = 2;
  rs_status status = take_lists(self, &next, w->n, "positives", &w->starts, &w->positives);
  w->pairs = status == RS_OK ? w->starts[w->n] : 0;
  if (status == RS_OK && w->pairs == 0)
    status = rs_fail(RS_ESHAPE, "%s: there are no positives, and no mean of nothing", self->op->name);
  if (status == RS_OK && flags & HAS_WEIGHTS)
    status = take(self, &next, w->dtype, w->pairs, "weights", &w->weights);
  if (status == RS_OK && flags & HAS_COLUMN_WEIGHTS)
    status = take(self, &next, w->dtype, w->m, "column_weights", &w->column_weights);
  if (status == RS_OK && flags & HAS_LOG_Q) status = take(self, &next, w->dtype, w->m, "log_q", &w->log_q);
  if (status == RS_OK && flags & HAS_CODES)
    status = take(self, &next, RS_I64, w->m, "codes", (const void **)&w->codes);
  if (status == RS_OK && flags & HAS_EXCLUDED)
    status = take_lists(self, &next, w->n, "excluded", &w->excluded_starts, &w->excluded);
  return status;
}

static void read_attributes(const rs_node *self, work *w) {
  const rs_attr *real = self->attr + REALS;
  w->first = self->attr[FIRST].integer;
  w->alone = self->attr[FLAGS].integer & AGAINST_NEGATIVES;
  w->scale = w->loss == RS_CATALOGUE_CONTRASTIVE ? 1 : 1 / real[0].real;
  w->positive_scale = w->loss == RS_CATALOGUE_BILATERAL ? 1 / real[1].real : w->scale;
  switch (w->loss) {
    case RS_CATALOGUE_SOFTMAX: w->smoothing = real[1].real; break;
    case RS_CATALOGUE_BILATERAL: w->emphasis = real[2].real; break;
    case RS_CATALOGUE_CONTRASTIVE:
      w->margin = real[0].real;
      w->emphasis = real[1].real;
      break;
    case RS_CATALOGUE_GBCE: w->beta = real[1].real; break;
  }
}

static rs_status read_inputs(const rs_node *self, work *w) {
  const rs_tensor *users = rs_in(self, 0), *items = rs_in(self, 1);
  rs_status status = rs_need_reals(self, 2);
  if (status != RS_OK) return status;
  if (users->ndim != 2 || items->ndim != 2 || users->size[1] != items->size[1] || users->size[0] < 1 ||
      items->size[0] < 1)
    return rs_fail(RS_ESHAPE, "%s: users are %s, items %s; [n, d] and [m, d] of one row or more are needed",
                   self->op->name, rs_shape(users).text, rs_shape(items).text);
  w->dtype = users->dtype;
  w->n = users->size[0];
  w->m = items->size[0];
  w->d = users->size[1];
  w->users = rs_tensor_data(users);
  w->items = rs_tensor_data(items);
  read_attributes(self, w);
  if (w->first > 0 && !w->alone)
    return rs_fail(RS_EARG, "%s: columns that are no negatives go with negatives as rivals", self->op->name);
  if (w->first > w->m)
    return rs_fail(RS_ERANGE, "%s: the first negative is column %lld of %lld", self->op->name, (long long)w->first,
                   (long long)w->m);
  return read_data(self, w);
}

static rs_status find_columns(work *w) {
  rs_status status = rs_columns_find(
      &w->columns, &(rs_columns_request){.n = w->n,
                                         .m = w->m,
                                         .first = w->first,
                                         .positives_out = w->alone,
                                         .starts = w->starts,
                                         .positives = w->positives,
                                         .excluded_starts = w->excluded_starts,
                                         .excluded = w->excluded,
                                         .codes = w->codes});
  if (status != RS_OK) return status;
  w->positives = rs_i64(&w->columns.positives);
  w->left_starts = rs_i64(&w->columns.starts);
  w->left_out = rs_i64(&w->columns.left_out);
  return RS_OK;
}

/* Room for gradients: the users' in saved[0], the groups' item gradients in saved[1]. */
static rs_status make_gradients(rs_node *self, work *w, int64_t groups) {
  if (!self->needs_grad) return RS_OK;
  rs_status status = rs_tensor_zeros(&self->saved[0], w->dtype, 2, (int64_t[]){w->n, w->d});
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

/* Loss and gradients, with the columns found and room for the gradients made. */
static rs_status run(rs_node *self, work *w, int64_t groups) {
  rs_tensor tiles = {0}, rows = {0}, losses = {0};
  int64_t in_row = (w->m - w->first + TILE - 1) / TILE;
  w->kept = rs_catalogue_normalises(w) && in_row <= KEPT && in_row > 1 ? in_row : 1;
  rs_status status = rs_tensor_new(&tiles, w->dtype, 4, (int64_t[]){rs_threads(), w->kept, PANEL, TILE});
  const int64_t states = (int64_t)(sizeof(row_state) / sizeof(double));
  if (status == RS_OK) status = rs_tensor_new(&rows, RS_F64, 3, (int64_t[]){rs_threads(), PANEL, states});
  if (status == RS_OK) status = rs_tensor_zeros(&losses, RS_F64, 1, &groups);
  if (status == RS_OK) {
    w->tiles = rs_tensor_data(&tiles);
    w->rows = rs_tensor_data(&rows);
    w->losses = rs_f64(&losses);
    rs_parallel_for(groups, 1, run_groups, w);
    double loss = 0;
    for (int64_t g = 0; g < groups; g++) loss += w->losses[g];
    status = rs_scalar(&self->value, w->dtype, loss / (double)w->pairs);
  }
  rs_tensor_free(&tiles);
  rs_tensor_free(&rows);
  rs_tensor_free(&losses);
  return status;
}

static rs_status forward(rs_node *self, rs_catalogue_loss loss) {
  work w = {.loss = loss};
  rs_status status = read_inputs(self, &w);
  int64_t panels = (w.n + PANEL - 1) / PANEL, each = (panels + GROUPS - 1) / GROUPS;
  int64_t groups = each > 0 ? (panels + each - 1) / each : 0;
  w.group = each * PANEL;
  if (status == RS_OK) status = find_columns(&w);
  if (status == RS_OK) status = make_gradients(self, &w, groups);
  if (status == RS_OK) status = run(self, &w, groups);
  if (status == RS_OK) status = add_groups(self, &w, groups);
  rs_columns_free(&w.columns);
  return status;
}

static rs_status backward(rs_node *self) {
  rs_status status = rs_grad_give_saved(self, 0, self->input[0]);
  return status == RS_OK ? rs_grad_give_saved(self, 1, self->input[1]) : status;
}

static rs_status softmax_forward(rs_node *self) { return forward(self, RS_CATALOGUE_SOFTMAX); }
static rs_status bilateral_forward(rs_node *self) { return forward(self, RS_CATALOGUE_BILATERAL); }
static rs_status contrastive_forward(rs_node *self) { return forward(self, RS_CATALOGUE_CONTRASTIVE); }
static rs_status gbce_forward(rs_node *self) { return forward(self, RS_CATALOGUE_GBCE); }

#define FLAGS_FIELD {"flags", RS_ATTR_INTEGER, 0, 63, NULL}
#define FIRST_FIELD {"first", RS_ATTR_INTEGER, 0, 1e15, NULL}
#define TEMPERATURE_FIELD(name) {name, RS_ATTR_REAL, 1e-6, 1e6, NULL}
#define SIZE_FIELD(name) {name, RS_ATTR_REAL, 0, 1e6, NULL}
static const rs_attr_field softmax_fields[] = {
    FLAGS_FIELD, FIRST_FIELD, TEMPERATURE_FIELD("temperature"), {"smoothing", RS_ATTR_REAL, 0, 0.999999, NULL}};
static const rs_attr_field bilateral_fields[] = {FLAGS_FIELD, FIRST_FIELD, TEMPERATURE_FIELD("temperature"),
                                                 TEMPERATURE_FIELD("positive_temperature"), SIZE_FIELD("emphasis")};
static const rs_attr_field contrastive_fields[] = {
    FLAGS_FIELD, FIRST_FIELD, {"margin", RS_ATTR_REAL, -1e6, 1e6, NULL}, SIZE_FIELD("emphasis")};
static const rs_attr_field gbce_fields[] = {FLAGS_FIELD, FIRST_FIELD, TEMPERATURE_FIELD("temperature"),
                                            SIZE_FIELD("beta")};
/* In the order of rs_catalogue_loss. */
static const rs_op ops[] = {
    {"catalogue_softmax", 4, 9, 4, softmax_fields, softmax_forward, backward, true},
    {"bilateral_softmax", 4, 9, 5, bilateral_fields, bilateral_forward, backward, true},
    {"cosine_contrastive", 4, 9, 4, contrastive_fields, contrastive_forward, backward, true},
    {"gbce", 4, 10, 4, gbce_fields, gbce_forward, backward, true}};

static void set_attributes(rs_attr *attrs, const rs_catalogue_options *o) {
  bool chosen = o->loss == RS_CATALOGUE_SOFTMAX || o->loss == RS_CATALOGUE_BILATERAL;
  bool alone = !chosen || o->rivals == RS_NEGATIVES;
  rs_attr *real = attrs + REALS;
  attrs[FLAGS].integer = (o->weights ? HAS_WEIGHTS : 0) | (o->column_weights ? HAS_COLUMN_WEIGHTS : 0) |
                         (o->log_q ? HAS_LOG_Q : 0) | (o->codes ? HAS_CODES : 0) |
                         (o->excluded ? HAS_EXCLUDED : 0) | (alone ? AGAINST_NEGATIVES : 0);
  attrs[FIRST].integer = o->first;
  real[0].real = o->loss == RS_CATALOGUE_CONTRASTIVE ? o->margin : o->temperature;
  switch (o->loss) {
    case RS_CATALOGUE_SOFTMAX: real[1].real = o->smoothing; break;
    case RS_CATALOGUE_BILATERAL:
      real[1].real = o->positive_temperature;
      real[2].real = o->emphasis;
      break;
    case RS_CATALOGUE_CONTRASTIVE: real[1].real = o->emphasis; break;
    case RS_CATALOGUE_GBCE: real[1].real = o->beta; break;
  }
}

rs_status rs_nn_catalogue(rs_node **out, rs_node *users, rs_node *items, const rs_catalogue_options *options) {
  const rs_op *op = &ops[options->loss];
  if (!options->starts || !options->positives) return rs_fail(RS_EARG, "%s: starts and positives are needed", op->name);
  if ((options->excluded == NULL) != (options->excluded_starts == NULL))
    return rs_fail(RS_EARG, "%s: excluded and excluded_starts go together", op->name);
  if (options->column_weights && options->loss != RS_CATALOGUE_GBCE)
    return rs_fail(RS_EARG, "%s: only gbce takes column_weights", op->name);
  const rs_tensor *leaves[] = {options->starts,          options->positives, options->weights, options->column_weights,
                               options->log_q,           options->codes,     options->excluded_starts,
                               options->excluded};
  rs_node *inputs[10] = {users, items};
  rs_attr attrs[RS_MAX_ATTRS] = {{0}};
  int n = 2;
  rs_status status = RS_OK;
  set_attributes(attrs, options);
  for (size_t i = 0; i < sizeof leaves / sizeof *leaves && status == RS_OK; i++)
    if (leaves[i]) status = rs_tape_input(&inputs[n++], users->tape, NULL, leaves[i], false);
  return status == RS_OK ? rs_tape_apply(out, users->tape, op, n, inputs, attrs) : status;
}

#else
RS_SIMD static void OF(add_range)(void *context, int64_t begin, int64_t end) {
  const adding *a = context;
  for (int64_t g = 1; g < a->groups; g++) {
    REAL *restrict total = (REAL *)a->sums;
    const REAL *restrict more = (const REAL *)a->sums + g * a->n;
    for (int64_t k = begin; k < end; k++) total[k] += more[k];
  }
}
#endif
