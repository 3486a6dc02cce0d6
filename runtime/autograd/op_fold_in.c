/* op_fold_in.c - the vector of somebody who is known by what he has: row i of y [n, d] is the least-squares solution over
 * the items of bag i, as the user's half of alternating least squares has it (solve/implicit.h):
 *
 *     (unobserved diag(spectrum) + penalty I + sum w_i v_i v_i') y = sum t_i v_i
 *     penalty = regularization (codes + unobserved others)^scaling, t_i = w_i, with 'confidence' w_i + unobserved
 *
 * The items lie on the axes of their Gramian, which is diag(spectrum) there. Code 0, an item that is not known, and codes
 * of weight 0 count for nothing; somebody without any gets 0. No gradient. */
#include <math.h>
#include <stdatomic.h>

#include "autograd/bags.h"
#include "autograd/builtin.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"
#include "autograd/table.h"
#include "tensor/ridge.h"

enum { ITEMS, SPECTRUM, CODES, OFFSETS, WEIGHTS, FEW = 4 };

typedef struct context {
  rs_fold_in o;
  int64_t d, each; /* floats of scratch of a thread */
  const float *items, *spectrum, *weights;
  const int32_t *codes;
  const int64_t *offsets;
  float *out, *scratch, *counted; /* weights of the codes that count [total] */
  int32_t *columns;               /* these codes */
  atomic_bool failed;
} context;

/* The codes that count, at the bag's own place. */
static int64_t gather(const context *c, int64_t from, int64_t to) {
  int64_t n = 0;
  for (int64_t p = from; p < to; p++) {
    float weight = c->weights ? c->weights[p] : 1;
    if (c->codes[p] == 0 || weight == 0) continue;
    c->columns[from + n] = c->codes[p];
    c->counted[from + n++] = weight;
  }
  return n;
}

static void solve_bags(void *context_, int64_t begin, int64_t end) {
  context *c = context_;
  float *diagonal = c->scratch + rs_thread_index() * c->each, unobserved = (float)c->o.unobserved;
  float *rest = diagonal + (c->each - rs_ridge_scratch(c->d));
  for (int64_t i = begin; i < end; i++) {
    int64_t from = c->offsets[i], n = gather(c, from, c->offsets[i + 1]);
    double penalty = c->o.regularization * pow((double)n + c->o.unobserved * (double)c->o.others, c->o.scaling);
    for (int64_t j = 0; j < c->d; j++) diagonal[j] = unobserved * c->spectrum[j] + (float)penalty;
    rs_ridge row = {.table = c->items, .d = c->d, .stride = c->d, .diagonal = diagonal, .columns = c->columns + from,
                    .weights = c->counted + from, .n = n, .pull = c->o.confidence ? unobserved : 0};
    if (!rs_ridge_solve(c->out + i * c->d, &row, rest)) atomic_store(&c->failed, true);
  }
}

static rs_status check(const rs_node *self) {
  rs_status status = rs_need_ndim(self, ITEMS, 2);
  if (status == RS_OK) status = rs_need_codes(self, ITEMS, CODES);
  if (status == RS_OK) status = rs_need_ndim(self, CODES, 1);
  if (status == RS_OK) status = rs_need_vector(self, SPECTRUM, rs_in(self, ITEMS)->size[1]);
  if (status == RS_OK) status = rs_need_bags(self, OFFSETS, rs_in(self, CODES)->size[0], "codes");
  if (status == RS_OK && self->n_inputs > WEIGHTS) status = rs_need_same(self, CODES, WEIGHTS);
  for (int i = 0; i < self->n_inputs; i++)
    if (status == RS_OK && i != CODES && i != OFFSETS && rs_in(self, i)->dtype != RS_F32)
      status = rs_fail(RS_EDTYPE, "fold_in: %s is %s, not f32", rs_node_label(self->input[i]),
                       rs_dtype_name(rs_in(self, i)->dtype));
  for (int i = 0; i < self->n_inputs; i++)
    if (status == RS_OK && self->input[i]->needs_grad)
      status = rs_fail(RS_EARG, "fold_in: %s wants a gradient, and there is none: make it a parameter that is not "
                       "trainable", rs_node_label(self->input[i]));
  if (status == RS_OK && rs_in(self, ITEMS)->size[1] < 1) status = rs_fail(RS_ESHAPE, "fold_in: items have no width");
  for (int64_t i = 0; status == RS_OK && self->n_inputs > WEIGHTS && i < rs_in(self, CODES)->size[0]; i++)
    if (!(rs_f32(rs_in(self, WEIGHTS))[i] >= 0))
      status = rs_fail(RS_ERANGE, "fold_in: weight %g", (double)rs_f32(rs_in(self, WEIGHTS))[i]);
  return status;
}

static rs_status run(rs_node *self, context *c) {
  int64_t n = rs_in(self, OFFSETS)->size[0] - 1;
  c->items = rs_f32(rs_in(self, ITEMS)), c->spectrum = rs_f32(rs_in(self, SPECTRUM));
  c->codes = rs_i32(rs_in(self, CODES)), c->offsets = rs_i64(rs_in(self, OFFSETS));
  c->weights = self->n_inputs > WEIGHTS ? rs_f32(rs_in(self, WEIGHTS)) : NULL;
  c->out = rs_f32(&self->value);
  atomic_init(&c->failed, false);
  rs_each(n, FEW, solve_bags, c);
  if (!atomic_load(&c->failed)) return RS_OK;
  return rs_fail(RS_ENUMERIC, "fold_in: somebody has no finite solution: %s or %s holds a number that is not finite or "
                 "far too large", rs_node_label(self->input[ITEMS]), rs_node_label(self->input[SPECTRUM]));
}

static rs_status forward(rs_node *self) {
  rs_status status = check(self);
  if (status != RS_OK) return status;
  const rs_tensor *items = rs_in(self, ITEMS), *codes = rs_in(self, CODES), *offsets = rs_in(self, OFFSETS);
  rs_tensor scratch = {0}, counted = {0}, columns = {0};
  context c = {.d = items->size[1]};
  c.o = (rs_fold_in){.unobserved = self->attr[0].real, .regularization = self->attr[1].real,
                     .scaling = self->attr[2].real, .others = self->attr[3].integer, .confidence = self->attr[4].integer};
  c.each = (c.d + 15) / 16 * 16 + rs_ridge_scratch(c.d);
  status = rs_tensor_new(&self->value, RS_F32, 2, (int64_t[]){offsets->size[0] - 1, c.d});
  if (status == RS_OK) status = rs_tensor_new(&scratch, RS_F32, 2, (int64_t[]){rs_threads(), c.each});
  if (status == RS_OK) status = rs_tensor_new(&counted, RS_F32, 1, codes->size);
  if (status == RS_OK) status = rs_tensor_new(&columns, RS_I32, 1, codes->size);
  if (status == RS_OK) {
    c.scratch = rs_f32(&scratch), c.counted = rs_f32(&counted), c.columns = rs_i32(&columns);
    status = run(self, &c);
  }
  rs_tensor_free(&scratch);
  rs_tensor_free(&counted);
  rs_tensor_free(&columns);
  return status;
}

static const rs_attr_field fields[] = {{"unobserved", RS_ATTR_REAL, 0, 1e30, NULL},
                                       {"regularization", RS_ATTR_REAL, 1e-30, 1e30, NULL},
                                       {"scaling", RS_ATTR_REAL, 0, 16, NULL},
                                       {"others", RS_ATTR_INTEGER, 0, INT32_MAX, NULL},
                                       {"confidence", RS_ATTR_BOOL, 0, 1, NULL}};
const rs_op rs_op_fold_in = {"fold_in", 4, 5, 5, fields, forward, NULL, false};

rs_status rs_ag_fold_in(rs_node **out, rs_node *items, rs_node *spectrum, rs_node *codes, rs_node *offsets,
                        rs_node *weights, rs_fold_in o) {
  rs_attr attrs[] = {{.real = o.unobserved}, {.real = o.regularization}, {.real = o.scaling}, {.integer = o.others},
                     {.integer = o.confidence}};
  rs_node *inputs[] = {items, spectrum, codes, offsets, weights};
  return rs_apply(out, &rs_op_fold_in, weights ? 5 : 4, inputs, attrs);
}
