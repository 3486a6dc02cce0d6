/* profile_interactions.c - how interactions spread over users and items, and what starts cold. See profile.h. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/keys.h"
#include "frame/profile_sort.h"

enum { POINTS = sizeof((rs_skew *)0)->rank / sizeof *((rs_skew *)0)->rank, A_DECADE = 8 };

/* Skew. */

/* The share of the total that the 'n' greatest of 'all' rising counts have. */
static double share_of_greatest(const double *sorted, int64_t all, int64_t n, double total) {
  double sum = 0;
  for (int64_t i = all - n; i < all; i++) sum += sorted[i];
  return sum / total;
}

/* Of rising counts; Gini 1912 in the form that sorting gives. */
static double gini(const double *sorted, int64_t n, double total) {
  double weighted = 0;
  for (int64_t i = 0; i < n; i++) weighted += (double)(2 * i + 1 - n) * sorted[i];
  return weighted / ((double)n * total);
}

static void keep_point(rs_skew *s, const double *sorted, int64_t n, int64_t rank) {
  if (s->n_points == POINTS || (s->n_points && s->rank[s->n_points - 1] >= rank)) return;
  s->rank[s->n_points] = rank;
  s->count[s->n_points++] = (int64_t)sorted[n - rank];
}

static void describe_counts(rs_skew *s, const double *sorted, int64_t n) {
  double total = 0;
  rs_spread_of(&s->spread, sorted, n);
  for (int64_t i = 0; i < n; i++) total += sorted[i];
  for (int64_t i = 0; i < n && sorted[i] == 1; i++) s->once++;
  s->total = (int64_t)total;
  s->gini = gini(sorted, n, total);
  s->top1 = share_of_greatest(sorted, n, (n + 99) / 100, total);
  s->top10 = share_of_greatest(sorted, n, (n + 9) / 10, total);
  for (int k = 0; k < POINTS - 1; k++) {
    double rank = floor(pow(10, (double)k / A_DECADE) + 0.5);
    if (rank > (double)n) break;
    keep_point(s, sorted, n, (int64_t)rank);
  }
  keep_point(s, sorted, n, n);
}

rs_status rs_skew_of(rs_skew *out, int64_t *counts, int64_t n) {
  size_t bytes = 2 * (size_t)n * sizeof(double);
  double *values = rs_alloc(bytes);
  *out = (rs_skew){0};
  if (!values) return rs_nomem("skew", bytes);
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++)
    if (counts[i] > 0) values[kept++] = (double)counts[i];
  const double *sorted = rs_sort_numbers(values, values + n, kept);
  for (int64_t i = 0; i < n; i++) counts[i] = i < kept ? (int64_t)sorted[i] : 0;
  if (kept) describe_counts(out, sorted, kept);
  rs_free(values);
  return RS_OK;
}

/* Who and what. */

/* A column's values as codes from 0, -1 where one is missing. */
typedef struct party {
  rs_tensor codes;  /* i32 from 1 (strings), or i64 from 0 */
  int64_t n;
  int64_t *counts;  /* [n] */
  int64_t *first;   /* [n]: the earliest time; with times only */
} party;

static int64_t code_at(const party *p, int64_t row) {
  return p->codes.dtype == RS_I32 ? rs_i32(&p->codes)[row] - 1 : rs_i64(&p->codes)[row];
}

static void free_party(party *p) {
  rs_tensor_free(&p->codes);
  rs_free(p->counts);
  rs_free(p->first);
}

static rs_status make_party(party *p, const rs_frame *f, const char *name) {
  const rs_column *c = rs_frame_need(f, name);
  if (!c) return RS_EARG;
  rs_keys keys = {0};
  rs_status status = RS_OK;
  if (c->type == RS_STRING) {
    rs_tensor_share(&p->codes, &c->values);
    p->n = c->dictionary->n;
  } else
    status = rs_keys_find(&keys, f, &name, NULL, NULL, 1);
  if (status == RS_OK && c->type != RS_STRING) status = rs_keys_number(&keys, true, &p->codes, NULL, &p->n);
  rs_keys_free(&keys);
  if (status != RS_OK) return status;
  size_t bytes = (size_t)p->n * sizeof *p->counts;
  p->counts = rs_alloc_zero(bytes);
  p->first = rs_alloc(bytes);
  for (int64_t i = 0; p->first && i < p->n; i++) p->first[i] = INT64_MAX;
  return p->counts && p->first ? RS_OK : rs_nomem("interactions", bytes);
}

typedef struct events {
  int64_t rows;
  party users, items;
  const int64_t *time; /* NULL: none */
} events;

static bool complete(const events *e, int64_t row) {
  return code_at(&e->users, row) >= 0 && code_at(&e->items, row) >= 0 && (!e->time || e->time[row] != RS_TIME_MISSING);
}

static void meet(party *p, int64_t code, int64_t time) {
  p->counts[code]++;
  if (time < p->first[code]) p->first[code] = time;
}

static int64_t count_events(events *e) {
  int64_t incomplete = 0;
  for (int64_t i = 0; i < e->rows; i++) {
    if (!complete(e, i)) {
      incomplete++;
      continue;
    }
    int64_t time = e->time ? e->time[i] : 0;
    meet(&e->users, code_at(&e->users, i), time);
    meet(&e->items, code_at(&e->items, i), time);
  }
  return incomplete;
}

/* Distinct pairs: rows parted by user (counting sort), and in each part the items met marked with the user. */
static rs_status count_pairs(int64_t *pairs, const events *e) {
  size_t counts = (size_t)(e->users.n + 1 + e->items.n) * sizeof(int64_t), bytes = (size_t)e->rows * sizeof(int32_t);
  int64_t *starts = rs_alloc_zero(counts), at = 0;
  int32_t *items = rs_alloc(bytes);
  rs_status status = starts && items ? RS_OK : rs_nomem("interactions", counts + bytes);
  *pairs = 0;
  if (status == RS_OK) {
    int64_t *marks = starts + e->users.n + 1;
    for (int64_t u = 0; u < e->users.n; u++) starts[u + 1] = starts[u] + e->users.counts[u];
    for (int64_t i = e->rows - 1; i >= 0; i--) /* starts[u + 1] runs down to where u begins */
      if (complete(e, i)) items[--starts[code_at(&e->users, i) + 1]] = (int32_t)code_at(&e->items, i);
    for (int64_t u = 0; u < e->users.n; u++)
      for (int64_t k = 0; k < e->users.counts[u]; k++, at++)
        if (marks[items[at]] != u + 1) {
          marks[items[at]] = u + 1;
          ++*pairs;
        }
  }
  rs_free(starts);
  rs_free(items);
  return status;
}

/* What starts cold. */

/* marks[code] = 1 for those that the part holds; counts them and the new ones among them. */
static void count_party(const party *p, const unsigned char *marks, int64_t from, int64_t *seen, int64_t *unseen) {
  for (int64_t i = 0; i < p->n; i++) {
    *seen += marks[i];
    *unseen += marks[i] && p->first[i] >= from;
  }
}

static rs_status count_cold(rs_cold *c, const events *e) {
  unsigned char *marks = rs_alloc_zero((size_t)(e->users.n + e->items.n));
  if (!marks) return rs_nomem("interactions", (size_t)(e->users.n + e->items.n));
  for (int64_t i = 0; i < e->rows; i++) {
    if (!complete(e, i) || e->time[i] < c->from) continue;
    int64_t user = code_at(&e->users, i), item = code_at(&e->items, i);
    bool new_user = e->users.first[user] >= c->from, new_item = e->items.first[item] >= c->from;
    marks[user] = marks[e->users.n + item] = 1;
    c->events++;
    c->user_events += new_user;
    c->item_events += new_item;
    c->either_events += new_user || new_item;
  }
  count_party(&e->users, marks, c->from, &c->users, &c->new_users);
  count_party(&e->items, marks + e->users.n, c->from, &c->items, &c->new_items);
  rs_free(marks);
  return RS_OK;
}

/* The times of complete rows, sorted, in one half of the new block *scratch. */
static rs_status sorted_times(double **scratch, const double **sorted, int64_t *n, const events *e) {
  size_t bytes = 2 * (size_t)e->rows * sizeof(double);
  *scratch = rs_alloc(bytes);
  *n = 0;
  if (!*scratch) return rs_nomem("interactions", bytes);
  for (int64_t i = 0; i < e->rows; i++)
    if (complete(e, i)) (*scratch)[(*n)++] = (double)e->time[i];
  *sorted = rs_sort_numbers(*scratch, *scratch + e->rows, *n);
  return RS_OK;
}

static rs_status look_for_cold(rs_cold *cold, int n_cold, const events *e) {
  double *scratch = NULL;
  const double *sorted = NULL;
  int64_t n;
  rs_status status = sorted_times(&scratch, &sorted, &n, e);
  for (int k = 0; status == RS_OK && k < n_cold; k++) {
    int64_t before = (int64_t)floor((double)n * (1 - cold[k].share) + 1e-9);
    cold[k] = (rs_cold){.share = cold[k].share, .from = before < n ? (int64_t)sorted[before] : INT64_MAX};
    status = count_cold(&cold[k], e);
  }
  rs_free(scratch);
  return status;
}

static rs_status find_events(events *e, const rs_frame *f, const char *user, const char *item, const char *time) {
  const rs_column *times = time ? rs_frame_need(f, time) : NULL;
  if (time && !times) return RS_EARG;
  if (times && times->type != RS_TIME)
    return rs_fail(RS_EARG, "interactions: column '%s' is a %s, not a time", time, rs_column_type_name(times->type));
  e->rows = f->rows;
  e->time = times ? rs_i64(&times->values) : NULL;
  rs_status status = make_party(&e->users, f, user);
  return status == RS_OK ? make_party(&e->items, f, item) : status;
}

rs_status rs_frame_interactions(rs_interactions *out, rs_cold *cold, int n_cold, const rs_frame *f, const char *user,
                                const char *item, const char *time) {
  events e = {0};
  *out = (rs_interactions){.rows = f->rows};
  rs_status status = find_events(&e, f, user, item, time);
  if (status == RS_OK) {
    out->incomplete = count_events(&e);
    status = count_pairs(&out->pairs, &e);
    out->repeated = out->rows - out->incomplete - out->pairs;
  }
  if (status == RS_OK && e.time) status = look_for_cold(cold, n_cold, &e);
  if (status == RS_OK) status = rs_skew_of(&out->users, e.users.counts, e.users.n);
  if (status == RS_OK) status = rs_skew_of(&out->items, e.items.counts, e.items.n);
  free_party(&e.users);
  free_party(&e.items);
  return status;
}
