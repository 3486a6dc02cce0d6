/* negatives.c - see negatives.h.
 *
 * Weighted draws take one step in an alias table (Walker 1977; built as Vose 1991). A draw that hits a known item is
 * repeated; a user who knows so much that this fails many times gets an exact draw from what he does not know. */
#include "frame/negatives.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/partition.h"

enum { TRIES = 32, ROW_CHUNK = 4096 };

typedef struct drawing {
  const rs_negatives *n;
  rs_groups known;    /* positions in known_items of each user */
  int64_t *sorted;    /* the known items, each user's ascending */
  double *keep;       /* alias table: the chance that an item stands for itself, else its alias; NULL: uniform */
  int64_t *alias;
  int64_t *items;
} drawing;

static void drawing_free(drawing *d) {
  rs_groups_free(&d->known);
  rs_free(d->sorted);
  rs_free(d->keep);
  rs_free(d->alias);
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void sort_known(void *context, int64_t begin, int64_t end) {
  const drawing *d = context;
  for (int64_t u = begin; u < end; u++) {
    int64_t at = d->known.starts[u], n = d->known.starts[u + 1] - at;
    for (int64_t i = at; i < at + n; i++) d->sorted[i] = d->n->known_items[d->known.rows[i]];
    qsort(d->sorted + at, (size_t)n, sizeof *d->sorted, by_value);
  }
}

static rs_status list_known(drawing *d) {
  size_t bytes = (size_t)d->n->n_known * sizeof(int64_t);
  rs_status status = rs_groups_of(&d->known, d->n->known_users, d->n->n_known, d->n->n_users);
  if (status != RS_OK) return status;
  d->sorted = rs_alloc(bytes);
  if (!d->sorted) return rs_nomem("negatives", bytes);
  rs_parallel_for(d->n->n_users, rs_groups_grain(d->n->n_users), sort_known, d);
  return RS_OK;
}

static bool is_known(const drawing *d, int64_t user, int64_t item) {
  int64_t low = d->known.starts[user], high = d->known.starts[user + 1];
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (d->sorted[middle] < item)
      low = middle + 1;
    else
      high = middle;
  }
  return low < d->known.starts[user + 1] && d->sorted[low] == item;
}

/* Fill the table: 'small' and 'large' are items whose scaled weight is under or over the mean. */
static void fill_alias(drawing *d, double total, int64_t *small, int64_t *large) {
  int64_t n = d->n->n_items, n_small = 0, n_large = 0, heaviest = 0;
  for (int64_t i = 1; i < n; i++)
    if (d->n->weights[i] > d->n->weights[heaviest]) heaviest = i;
  for (int64_t i = 0; i < n; i++) {
    d->keep[i] = d->n->weights[i] * (double)n / total;
    d->alias[i] = heaviest; /* what rounding leaves over goes there, never to an item of no weight */
    if (d->keep[i] < 1)
      small[n_small++] = i;
    else
      large[n_large++] = i;
  }
  while (n_small && n_large) {
    int64_t s = small[--n_small], l = large[n_large - 1];
    d->alias[s] = l;
    d->keep[l] -= 1 - d->keep[s];
    if (d->keep[l] < 1) {
      n_large--;
      small[n_small++] = l;
    }
  }
}

static rs_status make_alias(drawing *d) {
  int64_t n = d->n->n_items;
  double total = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!(d->n->weights[i] >= 0) || isinf(d->n->weights[i]))
      return rs_fail(RS_EARG, "negatives: the weight of item row %lld is %g", (long long)i, d->n->weights[i]);
    total += d->n->weights[i];
  }
  if (!(total > 0) || isinf(total)) return rs_fail(RS_EARG, "negatives: the weights add up to %g", total);
  size_t bytes = (size_t)n * sizeof(int64_t);
  int64_t *scratch = rs_alloc(2 * bytes);
  d->keep = rs_alloc(bytes);
  d->alias = rs_alloc(bytes);
  rs_status status = scratch && d->keep && d->alias ? RS_OK : rs_nomem("negatives", bytes);
  if (status == RS_OK) fill_alias(d, total, scratch, scratch + n);
  rs_free(scratch);
  return status;
}

/* An item from all, whether the user knows it or not. */
static int64_t draw_any(const drawing *d, uint64_t position) {
  int64_t item = (int64_t)rs_stream_below(&d->n->stream, 2 * position, (uint64_t)d->n->n_items);
  if (!d->keep) return item;
  return rs_stream_f64(&d->n->stream, 2 * position + 1) < d->keep[item] ? item : d->alias[item];
}

static double weight_of(const drawing *d, int64_t item) { return d->n->weights ? d->n->weights[item] : 1; }

/* An item from those that the user does not know, by their sums; -1 when there is none. */
static int64_t draw_exactly(const drawing *d, int64_t user, uint64_t position) {
  double total = 0, sum = 0;
  int64_t last = -1;
  for (int64_t i = 0; i < d->n->n_items; i++)
    if (!is_known(d, user, i)) total += weight_of(d, i);
  double at = rs_stream_f64(&d->n->stream, 2 * position) * total;
  for (int64_t i = 0; i < d->n->n_items; i++) {
    if (weight_of(d, i) == 0 || is_known(d, user, i)) continue;
    sum += weight_of(d, last = i);
    if (sum > at) break;
  }
  return last;
}

static void draw_rows(void *context, int64_t begin, int64_t end) {
  const drawing *d = context;
  int64_t per_row = d->n->per_row;
  for (int64_t at = begin * per_row; at < end * per_row; at++) {
    int64_t user = d->n->users[at / per_row], item = -1;
    uint64_t position = (uint64_t)at * (TRIES + 1);
    int tries = 0;
    do item = draw_any(d, position + (uint64_t)tries);
    while (is_known(d, user, item) && ++tries < TRIES);
    d->items[at] = tries < TRIES ? item : draw_exactly(d, user, position + TRIES);
  }
}

static rs_status check_range(const int64_t *values, int64_t n, int64_t limit, const char *what) {
  for (int64_t i = 0; i < n; i++)
    if (values[i] < 0 || values[i] >= limit)
      return rs_fail(RS_ERANGE, "negatives: %s row %lld is outside 0 .. %lld", what, (long long)values[i],
                     (long long)limit - 1);
  return RS_OK;
}

static rs_status check(const rs_negatives *n) {
  if (n->n_items < 1) return rs_fail(RS_EARG, "negatives: there are no items");
  rs_status status = check_range(n->users, n->rows, n->n_users, "user");
  if (status == RS_OK) status = check_range(n->known_users, n->n_known, n->n_users, "user");
  return status == RS_OK ? check_range(n->known_items, n->n_known, n->n_items, "item") : status;
}

rs_status rs_negatives_draw(rs_tensor *items, const rs_negatives *n) {
  drawing d = {.n = n};
  rs_status status = check(n);
  if (status == RS_OK) status = list_known(&d);
  if (status == RS_OK && n->weights) status = make_alias(&d);
  if (status == RS_OK) status = rs_tensor_new(items, RS_I64, 2, (int64_t[]){n->rows, n->per_row});
  if (status == RS_OK) {
    d.items = rs_i64(items);
    rs_parallel_for(n->rows, ROW_CHUNK, draw_rows, &d);
  }
  drawing_free(&d);
  return status;
}
