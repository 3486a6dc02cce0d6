/* asof.c - for each row the row of another frame that stood at its time. See frame.h.
 *
 * The right rows are brought into order of 'on' once, listed by key in that order, and their 'on' values laid side by
 * side; every left row is then one binary search, and all of them are independent. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/keys.h"
#include "frame/partition.h"

typedef struct asof {
  const rs_asof *how;
  const rs_column *left_on, *right_on;
  rs_tensor left_ids, right_ids; /* of the keys; -1: missing */
  rs_tensor order;               /* right rows in order of 'on' */
  rs_groups groups;              /* positions in 'order' of each key */
  int64_t *rows;                 /* right row of each place in the groups */
  uint64_t *bits;                /* and its 'on', as bits that compare alike */
  int64_t *found;                /* a right row for each left row, or -1 */
} asof;

static void asof_free(asof *a) {
  rs_tensor_free(&a->left_ids);
  rs_tensor_free(&a->right_ids);
  rs_tensor_free(&a->order);
  rs_groups_free(&a->groups);
  rs_free(a->rows);
  rs_free(a->bits);
}

static rs_status find_on(const rs_column **on, const rs_frame *f, const char *name) {
  *on = rs_frame_need(f, name);
  if (!*on) return RS_EARG;
  if ((*on)->type != RS_TIME && (*on)->type != RS_NUMBER)
    return rs_fail(RS_EARG, "frame: an as-of join is on times or numbers, '%s' is a %s", name,
                   rs_column_type_name((*on)->type));
  return RS_OK;
}

static rs_status find_ons(asof *a, const rs_frame *left, const rs_frame *right) {
  rs_status status = find_on(&a->left_on, left, a->how->left_on);
  if (status == RS_OK) status = find_on(&a->right_on, right, a->how->right_on);
  if (status == RS_OK && a->left_on->type != a->right_on->type)
    status = rs_fail(RS_EARG, "frame: '%s' is a %s, '%s' of the other frame a %s", a->how->left_on,
                     rs_column_type_name(a->left_on->type), a->how->right_on, rs_column_type_name(a->right_on->type));
  return status;
}

static rs_status find_ids(asof *a, int64_t *n_ids, const rs_frame *left, const rs_frame *right,
                          const char *const *left_names, const char *const *right_names, int n) {
  rs_keys keys = {0};
  rs_status status;
  *n_ids = 1;
  if (n == 0) {
    status = rs_tensor_zeros(&a->left_ids, RS_I64, 1, &left->rows);
    return status == RS_OK ? rs_tensor_zeros(&a->right_ids, RS_I64, 1, &right->rows) : status;
  }
  status = rs_keys_find(&keys, left, left_names, right, right_names, n);
  if (status == RS_OK) status = rs_keys_index(&keys, true, &a->left_ids, &a->right_ids, n_ids);
  rs_keys_free(&keys);
  return status;
}

/* List the right rows by key, each list in order of 'on' and then of rows. */
static rs_status list_right(asof *a, int64_t n_ids, const rs_frame *right) {
  size_t bytes = (size_t)right->rows * sizeof(int64_t);
  rs_status status = rs_frame_sort(&a->order, right, &(rs_sort_key){a->how->right_on, false}, 1);
  if (status != RS_OK) return status;
  const int64_t *order = rs_i64(&a->order), *ids = rs_i64(&a->right_ids);
  a->rows = rs_alloc(bytes);
  a->bits = rs_alloc(bytes);
  if (!a->rows || !a->bits) return rs_nomem("frame asof", bytes);
  for (int64_t i = 0; i < right->rows; i++) /* first the ids in that order */
    a->rows[i] = rs_column_is_missing(a->right_on, order[i]) ? -1 : ids[order[i]];
  status = rs_groups_of(&a->groups, a->rows, right->rows, n_ids);
  if (status != RS_OK) return status;
  for (int64_t i = 0; i < a->groups.starts[n_ids]; i++) {
    a->rows[i] = order[a->groups.rows[i]];
    a->bits[i] = rs_sort_bits(a->right_on, a->rows[i]);
  }
  return RS_OK;
}

/* The first place from 'begin' on whose 'on' is not less (or, 'after', is greater) than that of 'bits'. */
static int64_t first_from(const asof *a, int64_t begin, int64_t end, uint64_t bits, bool after) {
  while (begin < end) {
    int64_t middle = begin + (end - begin) / 2;
    if (a->bits[middle] < bits || (after && a->bits[middle] == bits))
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}

static double distance(const asof *a, int64_t left_row, int64_t place) {
  int64_t right_row = a->rows[place];
  if (a->left_on->type == RS_NUMBER)
    return fabs(rs_f64(&a->left_on->values)[left_row] - rs_f64(&a->right_on->values)[right_row]);
  int64_t x = rs_i64(&a->left_on->values)[left_row], y = rs_i64(&a->right_on->values)[right_row];
  return (double)(x > y ? (uint64_t)x - (uint64_t)y : (uint64_t)y - (uint64_t)x);
}

/* The place of the match of a left row, or -1. */
static int64_t match(const asof *a, int64_t row) {
  int64_t id = rs_i64(&a->left_ids)[row], before = -1, after = -1;
  if (id < 0 || rs_column_is_missing(a->left_on, row)) return -1;
  int64_t begin = a->groups.starts[id], end = a->groups.starts[id + 1];
  uint64_t bits = rs_sort_bits(a->left_on, row);
  if (a->how->direction != RS_FORWARD) {
    before = first_from(a, begin, end, bits, !a->how->strict) - 1;
    if (before < begin) before = -1;
  }
  if (a->how->direction != RS_BACKWARD) {
    after = first_from(a, begin, end, bits, a->how->strict);
    if (after >= end) after = -1;
  }
  int64_t place = after < 0 || (before >= 0 && distance(a, row, before) <= distance(a, row, after)) ? before : after;
  return place >= 0 && distance(a, row, place) <= a->how->tolerance ? place : -1;
}

static void match_rows(void *context, int64_t begin, int64_t end) {
  const asof *a = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t place = match(a, i);
    a->found[i] = place < 0 ? -1 : a->rows[place];
  }
}

/* Left columns, then those of the right frame but keys, and but 'on' where both are called the same. */
static rs_status put_together(rs_frame *out, const rs_frame *left, const rs_frame *right, const rs_asof *how,
                              const char *const *right_names, int n, const rs_tensor *rows) {
  size_t bytes = (size_t)(n + 1) * sizeof(char *);
  const char **dropped = rs_alloc(bytes);
  if (!dropped) return rs_nomem("frame asof", bytes);
  for (int i = 0; i < n; i++) dropped[i] = right_names[i];
  dropped[n] = how->right_on;
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < left->n_columns; i++) {
    rs_column made = {0};
    status = rs_column_share(&made, &left->columns[i], NULL);
    if (status == RS_OK) status = rs_frame_add(out, &made);
    rs_column_free(&made);
  }
  if (status == RS_OK)
    status = rs_frame_append(out, right, dropped, n + (strcmp(how->left_on, how->right_on) == 0), rows);
  rs_free(dropped);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}

rs_status rs_frame_asof(rs_frame *out, const rs_frame *left, const rs_frame *right, const char *const *left_names,
                        const char *const *right_names, int n, const rs_asof *how) {
  asof a = {.how = how};
  rs_tensor found = {0};
  int64_t n_ids = 0;
  rs_status status = find_ons(&a, left, right);
  if (status == RS_OK) status = find_ids(&a, &n_ids, left, right, left_names, right_names, n);
  if (status == RS_OK) status = list_right(&a, n_ids, right);
  if (status == RS_OK) status = rs_tensor_new(&found, RS_I64, 1, &left->rows);
  if (status == RS_OK) {
    a.found = rs_i64(&found);
    rs_parallel_for(left->rows, RS_ROW_GRAIN, match_rows, &a);
    status = put_together(out, left, right, how, right_names, n, &found);
  }
  asof_free(&a);
  rs_tensor_free(&found);
  return status;
}
