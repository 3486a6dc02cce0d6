/* catalogue_columns.c - see catalogue_columns.h. With codes, the columns are put in the order of (code, column) once;
 * an item's columns are then a run that bisection finds. */
#include "nn/catalogue_columns.h"

#include <stdlib.h>
#include <string.h>

typedef struct held {
  int64_t code, column;
} held;

typedef struct finder {
  const rs_columns_request *request;
  held *order; /* NULL: a column holds its own number */
} finder;

static int by_code(const void *a_, const void *b_) {
  const held *a = a_, *b = b_;
  if (a->code != b->code) return a->code < b->code ? -1 : 1;
  return a->column < b->column ? -1 : a->column > b->column;
}

static int by_number(const void *a_, const void *b_) {
  int64_t a = *(const int64_t *)a_, b = *(const int64_t *)b_;
  return a < b ? -1 : a > b;
}

/* The first place in 'order' whose code is not below 'code'. */
static int64_t place_of(const finder *f, int64_t code) {
  int64_t low = 0, high = f->request->m;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (f->order[middle].code < code)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* How many columns hold 'item', and in *place where they begin: the column itself or a place of 'order'. */
static int64_t holders(const finder *f, int64_t item, int64_t *place) {
  *place = f->order ? place_of(f, item) : item;
  if (!f->order) return 0 <= item && item < f->request->m;
  int64_t n = 0;
  while (*place + n < f->request->m && f->order[*place + n].code == item) n++;
  return n;
}

static int64_t column_at(const finder *f, int64_t place) { return f->order ? f->order[place].column : place; }

static rs_status find_positives(const finder *f, int64_t *columns) {
  const rs_columns_request *r = f->request;
  for (int64_t p = 0; p < r->starts[r->n]; p++) {
    int64_t place;
    if (holders(f, r->positives[p], &place) == 0)
      return rs_fail(RS_ERANGE, "catalogue: positive %lld is in no column of the items", (long long)r->positives[p]);
    columns[p] = column_at(f, place);
  }
  return RS_OK;
}

/* Append the columns from 'first' on that hold 'items' to 'out', when that is there; how many. */
static int64_t append(const finder *f, const int64_t *items, int64_t n, int64_t *out) {
  int64_t size = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t place, count = holders(f, items[i], &place);
    for (int64_t k = 0; k < count; k++) {
      int64_t column = column_at(f, place + k);
      if (column < f->request->first) continue;
      if (out) out[size] = column;
      size++;
    }
  }
  return size;
}

/* Sort and keep each once. */
static int64_t distinct(int64_t *columns, int64_t n) {
  if (n > 1) qsort(columns, (size_t)n, sizeof *columns, by_number);
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++)
    if (i == 0 || columns[i] != columns[kept - 1]) columns[kept++] = columns[i];
  return kept;
}

/* Take the columns of row u's positives out of its sorted list. */
static int64_t spare_positives(const finder *f, int64_t u, int64_t *columns, int64_t n) {
  const rs_columns_request *r = f->request;
  for (int64_t p = r->starts[u]; p < r->starts[u + 1] && n > 0; p++) {
    int64_t place, count = holders(f, r->positives[p], &place);
    for (int64_t k = 0; k < count; k++) {
      int64_t column = column_at(f, place + k);
      int64_t *found = bsearch(&column, columns, (size_t)n, sizeof column, by_number);
      if (!found) continue;
      memmove(found, found + 1, (size_t)(columns + n - found - 1) * sizeof *found);
      n--;
    }
  }
  return n;
}

/* Row u's columns into 'out', which may be NULL to learn the most there can be; how many. */
static int64_t row_columns(const finder *f, int64_t u, int64_t *out) {
  const rs_columns_request *r = f->request;
  int64_t n = 0;
  if (r->excluded)
    n = append(f, r->excluded + r->excluded_starts[u], r->excluded_starts[u + 1] - r->excluded_starts[u], out);
  if (r->positives_out)
    n += append(f, r->positives + r->starts[u], r->starts[u + 1] - r->starts[u], out ? out + n : NULL);
  if (!out) return n;
  n = distinct(out, n);
  return r->positives_out ? n : spare_positives(f, u, out, n);
}

static rs_status find_left_out(rs_columns *out, const finder *f) {
  int64_t n = f->request->n, most = 0;
  for (int64_t u = 0; u < n; u++) most += row_columns(f, u, NULL);
  rs_status status = rs_tensor_new(&out->left_out, RS_I64, 1, &most);
  if (status == RS_OK) status = rs_tensor_new(&out->starts, RS_I64, 1, (int64_t[]){n + 1});
  if (status != RS_OK) return status;
  int64_t *starts = rs_i64(&out->starts), *columns = rs_i64(&out->left_out);
  starts[0] = 0;
  for (int64_t u = 0; u < n; u++) starts[u + 1] = starts[u] + row_columns(f, u, columns + starts[u]);
  return RS_OK;
}

/* The columns in the order of their codes, in 'memory'. */
static rs_status order_columns(finder *f, rs_tensor *memory) {
  const rs_columns_request *r = f->request;
  if (!r->codes) return RS_OK;
  rs_status status = rs_tensor_new(memory, RS_I64, 2, (int64_t[]){r->m, 2});
  if (status != RS_OK) return status;
  f->order = rs_tensor_data(memory);
  for (int64_t j = 0; j < r->m; j++) f->order[j] = (held){r->codes[j], j};
  qsort(f->order, (size_t)r->m, sizeof *f->order, by_code);
  return RS_OK;
}

rs_status rs_columns_find(rs_columns *out, const rs_columns_request *request) {
  finder f = {request, NULL};
  rs_tensor memory = {0};
  int64_t pairs = request->starts[request->n];
  rs_status status = order_columns(&f, &memory);
  if (status == RS_OK) status = rs_tensor_new(&out->positives, RS_I64, 1, &pairs);
  if (status == RS_OK) status = find_positives(&f, rs_i64(&out->positives));
  if (status == RS_OK) status = find_left_out(out, &f);
  rs_tensor_free(&memory);
  return status;
}

void rs_columns_free(rs_columns *c) {
  rs_tensor_free(&c->positives);
  rs_tensor_free(&c->starts);
  rs_tensor_free(&c->left_out);
}
