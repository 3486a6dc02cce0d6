/* elastic_net.c - see elastic_net.h. Where all values are 0 or more and so must be weights, what a column gains by another
 * one only falls while others come in: one whose product with it is not above l1 at the start is out for good. */
#include "solve/elastic_net.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/scored.h"

enum { COLUMNS = 8 }; /* of a chunk */

/* What a thread works with; residual and products are 0 between columns. */
typedef struct room {
  float *residual;   /* [rows] */
  double *products;  /* [n] */
  int32_t *met;      /* [n] columns whose product is above 0 */
  rs_scored *chosen; /* [most] by cosine with the column, not divided by its own length */
  double *weights;   /* [most] */
} room;

typedef struct net {
  const rs_csr *by_row, *by_column;
  const rs_elastic_net_options *o;
  const int64_t *row_starts, *starts;
  const int32_t *row_columns, *rows;
  const float *row_values, *values;
  double *squares; /* [n] of the columns */
  int64_t most;    /* neighbours of a column */
  room *rooms;
  int32_t *found_columns; /* [n, most] */
  float *found_values;
  int64_t *found; /* [n] how many */
} net;

/* ---- candidates ---- */

static int64_t offer(rs_scored *heap, int64_t n, int64_t most, rs_scored new) {
  if (n < most) {
    heap[n] = new;
    if (n + 1 == most) rs_scored_heap(heap, most);
    return n + 1;
  }
  if (rs_scored_worse(heap[0], new)) rs_scored_sink(heap, n, 0, new);
  return n;
}

/* Best first. */
static void sort(rs_scored *heap, int64_t n) {
  rs_scored_heap(heap, n);
  for (int64_t end = n - 1; end > 0; end--) {
    rs_scored last = heap[end];
    heap[end] = heap[0];
    rs_scored_sink(heap, end, 0, last);
  }
}

/* Products of column j with all others, and who met it. */
static int64_t multiply(const net *e, room *r, int64_t j) {
  int64_t met = 0;
  for (int64_t i = e->starts[j]; i < e->starts[j + 1]; i++) {
    int64_t row = e->rows[i];
    double value = (double)e->values[i];
    for (int64_t p = e->row_starts[row]; p < e->row_starts[row + 1] && value > 0; p++) {
      int32_t k = e->row_columns[p];
      double more = value * (double)e->row_values[p];
      if (k == j || more == 0) continue;
      if (r->products[k] == 0) r->met[met++] = k;
      r->products[k] += more;
    }
  }
  return met;
}

static int64_t choose(const net *e, room *r, int64_t j) {
  bool positive = e->o->positive;
  int64_t met = multiply(e, r, j), n = 0, asked = positive ? met : e->by_row->width;
  for (int64_t i = 0; i < asked; i++) { /* what shares no row with column j may only have a weight below 0 */
    int32_t k = positive ? r->met[i] : (int32_t)i;
    double product = r->products[k];
    r->products[k] = 0;
    if (positive ? product > e->o->l1 : k != j && e->squares[k] > 0) n = offer(r->chosen, n, e->most, (rs_scored){(float)(product / sqrt(e->squares[k])), k});
  }
  sort(r->chosen, n);
  return n;
}

/* ---- descent ---- */

/* Take 'share' of column k off the residual. */
static void take_off(const net *e, float *residual, int64_t k, double share) {
  for (int64_t i = e->starts[k]; i < e->starts[k + 1]; i++) residual[e->rows[i]] -= (float)share * e->values[i];
}

/* Four sums, so that one need not wait for the other. */
static double product(const net *e, const float *residual, int64_t k) {
  double sums[4] = {0};
  int64_t i = e->starts[k], end = e->starts[k + 1];
  for (; i + 4 <= end; i += 4)
    for (int s = 0; s < 4; s++) sums[s] += (double)(residual[e->rows[i + s]] * e->values[i + s]);
  for (; i < end; i++) sums[0] += (double)(residual[e->rows[i]] * e->values[i]);
  return sums[0] + sums[1] + (sums[2] + sums[3]);
}

/* The best weight of a candidate while all others stay; how far it moved. */
static double move(const net *e, room *r, int64_t c) {
  int32_t k = r->chosen[c].at;
  double old = r->weights[c], gain = product(e, r->residual, k) + old * e->squares[k];
  double size = fabs(gain) - e->o->l1, new = size > 0 ? copysign(size, gain) / (e->squares[k] + e->o->l2) : 0;
  if (new < 0 && e->o->positive) new = 0;
  if (new == old) return 0;
  take_off(e, r->residual, k, new - old);
  r->weights[c] = new;
  return fabs(new - old);
}

/* One pass over all candidates, or over those with a weight; whether it moved any by more than the tolerance. */
static bool pass(const net *e, room *r, int64_t n, bool all) {
  double moved = 0, largest = 0;
  for (int64_t c = 0; c < n; c++) {
    if (!all && r->weights[c] == 0) continue;
    moved = fmax(moved, move(e, r, c));
    largest = fmax(largest, fabs(r->weights[c]));
  }
  return moved > e->o->tolerance * largest;
}

static void descend(const net *e, room *r, int64_t n) {
  for (int64_t sweep = 0; sweep < e->o->sweeps; sweep++) {
    if (!pass(e, r, n, true)) return;
    while (++sweep < e->o->sweeps && pass(e, r, n, false)) {}
  }
}

/* What has a weight, by rising column, to its place; clears the residual. */
static void keep(const net *e, room *r, int64_t n, int64_t j) {
  int32_t *columns = e->found_columns + j * e->most;
  float *values = e->found_values + j * e->most;
  int64_t found = 0;
  for (int64_t i = e->starts[j]; i < e->starts[j + 1]; i++) r->residual[e->rows[i]] = 0;
  for (int64_t c = 0; c < n; c++) {
    int32_t k = r->chosen[c].at;
    for (int64_t i = e->starts[k]; i < e->starts[k + 1]; i++) r->residual[e->rows[i]] = 0;
    if ((float)r->weights[c] == 0) continue;
    columns[found] = k;
    values[found++] = (float)r->weights[c];
  }
  e->found[j] = found;
}

static void solve_columns(void *context, int64_t begin, int64_t end) {
  const net *e = context;
  room *r = &e->rooms[rs_thread_index()];
  for (int64_t j = begin; j < end; j++) {
    int64_t n = choose(e, r, j);
    for (int64_t c = 0; c < n; c++) r->weights[c] = 0;
    for (int64_t i = e->starts[j]; i < e->starts[j + 1]; i++) r->residual[e->rows[i]] += e->values[i];
    descend(e, r, n);
    keep(e, r, n, j);
  }
}

/* ---- what is asked for ---- */

static rs_status check(const rs_csr *a, const rs_elastic_net_options *o) {
  if (a->values.dtype != RS_F32)
    return rs_fail(RS_EDTYPE, "elastic_net: the matrix is %s, not f32", rs_dtype_name(a->values.dtype));
  if (!(o->l1 >= 0 && o->l1 < 1e30) || !(o->l2 >= 0 && o->l2 < 1e30) || !(o->l1 + o->l2 > 0))
    return rs_fail(RS_EARG, "elastic_net: l1 %g and l2 %g must be 0 or more, and not both 0", o->l1, o->l2);
  if (o->neighbours < 1 || o->sweeps < 1 || !(o->tolerance > 0))
    return rs_fail(RS_EARG, "elastic_net: neighbours %lld and sweeps %lld must be 1 or more, tolerance %g above 0",
                   (long long)o->neighbours, (long long)o->sweeps, o->tolerance);
  for (int64_t i = 0; i < rs_csr_entries(a); i++)
    if (!(rs_f32(&a->values)[i] >= 0 && rs_f32(&a->values)[i] < 1e15f))
      return rs_fail(RS_ERANGE, "elastic_net: value %g of entry %lld is not 0 or more, or far too large",
                     (double)rs_f32(&a->values)[i], (long long)i);
  return RS_OK;
}

static size_t whole(size_t bytes) { return (bytes + RS_ALIGN - 1) / RS_ALIGN * RS_ALIGN; }

/* The rooms of all threads in one block, which is left to the caller. */
static rs_status furnish(net *e, void **block) {
  size_t rows = (size_t)e->by_row->rows, n = (size_t)e->by_row->width, most = (size_t)e->most;
  size_t residual = whole(rows * sizeof(float)), products = whole(n * sizeof(double)), met = whole(n * sizeof(int32_t));
  size_t chosen = whole(most * sizeof(rs_scored)), weights = whole(most * sizeof(double));
  size_t threads = (size_t)rs_threads(), each = residual + products + met + chosen + weights;
  size_t bytes = whole(threads * sizeof(room)) + whole(n * sizeof(double)) + threads * each;
  char *at = *block = rs_alloc_zero(bytes);
  if (!at) return rs_nomem("elastic net", bytes);
  e->rooms = (room *)at;
  at += whole(threads * sizeof(room));
  e->squares = (double *)at;
  at += whole(n * sizeof(double));
  for (size_t t = 0; t < threads; t++, at += each)
    e->rooms[t] = (room){(float *)at, (double *)(at + residual), (int32_t *)(at + residual + products),
                         (rs_scored *)(at + residual + products + met), (double *)(at + residual + products + met + chosen)};
  for (size_t k = 0; k < n; k++)
    for (int64_t i = e->starts[k]; i < e->starts[k + 1]; i++)
      e->squares[k] += (double)e->values[i] * (double)e->values[i];
  return RS_OK;
}

/* The found weights, laid together: row j, column k. */
static rs_status gather(rs_csr *out, const net *e) {
  int64_t n = e->by_row->width, total = 0;
  rs_tensor starts = {0}, columns = {0}, values = {0};
  rs_status status = rs_tensor_zeros(&starts, RS_I64, 1, (int64_t[]){n + 1});
  for (int64_t j = 0; status == RS_OK && j < n; j++) rs_i64(&starts)[j + 1] = total += e->found[j];
  if (status == RS_OK) status = rs_tensor_new(&columns, RS_I32, 1, &total);
  if (status == RS_OK) status = rs_tensor_new(&values, RS_F32, 1, &total);
  for (int64_t j = 0; status == RS_OK && j < n; j++) {
    int64_t at = rs_i64(&starts)[j];
    memcpy(rs_i32(&columns) + at, e->found_columns + j * e->most, (size_t)e->found[j] * sizeof(int32_t));
    memcpy(rs_f32(&values) + at, e->found_values + j * e->most, (size_t)e->found[j] * sizeof(float));
  }
  if (status == RS_OK) status = rs_csr_from(out, &starts, &columns, &values, n);
  rs_tensor_free(&starts);
  rs_tensor_free(&columns);
  rs_tensor_free(&values);
  return status;
}

static rs_status solve_all(rs_csr *out, net *e) {
  int64_t n = e->by_row->width;
  void *block = NULL;
  rs_tensor columns = {0}, values = {0}, found = {0};
  rs_csr by_target = {0};
  rs_status status = furnish(e, &block);
  if (status == RS_OK) status = rs_tensor_new(&columns, RS_I32, 2, (int64_t[]){n, e->most});
  if (status == RS_OK) status = rs_tensor_new(&values, RS_F32, 2, (int64_t[]){n, e->most});
  if (status == RS_OK) status = rs_tensor_zeros(&found, RS_I64, 1, &n);
  if (status == RS_OK) {
    e->found_columns = rs_i32(&columns), e->found_values = rs_f32(&values), e->found = rs_i64(&found);
    rs_parallel_for(n, COLUMNS, solve_columns, e);
    status = gather(&by_target, e);
  }
  rs_free(block);
  rs_tensor_free(&columns);
  rs_tensor_free(&values);
  rs_tensor_free(&found);
  if (status == RS_OK) status = rs_csr_transpose(out, &by_target);
  rs_csr_free(&by_target);
  return status;
}

rs_status rs_elastic_net(rs_csr *out, const rs_csr *a, const rs_elastic_net_options *o) {
  rs_status status = check(a, o);
  if (status != RS_OK) return status;
  rs_csr turned = {0};
  status = rs_csr_transpose(&turned, a);
  if (status != RS_OK) return status;
  net e = {.by_row = a, .by_column = &turned, .o = o, .row_starts = rs_i64(&a->starts),
           .row_columns = rs_i32(&a->columns), .row_values = rs_f32(&a->values), .starts = rs_i64(&turned.starts),
           .rows = rs_i32(&turned.columns), .values = rs_f32(&turned.values)};
  e.most = o->neighbours < a->width ? o->neighbours : a->width > 0 ? a->width : 1;
  status = solve_all(out, &e);
  rs_csr_free(&turned);
  return status;
}
