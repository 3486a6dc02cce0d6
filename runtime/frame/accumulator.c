/* accumulator.c - sequences of their own for the users of posted events, copied from the history at the first one. */
#include "frame/accumulator.h"

#include <string.h>

#include "base/alloc.h"

/* One block of columns; 'room' events fit. */
struct rs_tail {
  int64_t n, room;
  int64_t *times, *orders;
  float *weights;
  int32_t *items, *marks;
};

static rs_tail *new_tail(int64_t room) {
  size_t n = (size_t)room, bytes = sizeof(rs_tail) + n * (2 * sizeof(int64_t) + 3 * sizeof(int32_t));
  rs_tail *t = rs_alloc(bytes);
  if (!t) return NULL;
  *t = (rs_tail){.room = room, .times = (int64_t *)(t + 1)};
  t->orders = t->times + n;
  t->weights = (float *)(t->orders + n);
  t->items = (int32_t *)(t->weights + n);
  t->marks = t->items + n;
  return t;
}

/* Copy a sequence into a tail's room from position 'at' on. */
static void put(rs_tail *t, int64_t at, const rs_sequence *s) {
  size_t n = (size_t)s->n;
  if (n == 0) return;
  memcpy(t->times + at, s->times, n * sizeof *s->times);
  memcpy(t->orders + at, s->orders, n * sizeof *s->orders);
  memcpy(t->items + at, s->items, n * sizeof *s->items);
  for (int64_t i = 0; i < s->n; i++) {
    t->weights[at + i] = s->weights ? s->weights[i] : 1;
    t->marks[at + i] = s->marks ? s->marks[i] : 0;
  }
}

static rs_sequence sequence_of(const rs_tail *t, int64_t first, int64_t n) {
  return (rs_sequence){n, t->items + first, t->times + first, t->orders + first, t->weights + first, t->marks + first};
}

rs_sequence rs_accumulator_of(const rs_accumulator *a, int64_t user) {
  if (user < 0 || user >= a->users) return (rs_sequence){0};
  if (a->tails && a->tails[user]) return sequence_of(a->tails[user], 0, a->tails[user]->n);
  return user < a->base.users ? rs_history_of(&a->base, user) : (rs_sequence){0};
}

rs_status rs_accumulator_new(rs_accumulator *out, rs_history *history, rs_keep keep) {
  size_t bytes = (size_t)history->users * sizeof(rs_tail *);
  *out = (rs_accumulator){.keep = keep, .users = history->users, .capacity = history->users};
  out->tails = rs_alloc_zero(bytes);
  if (!out->tails) return rs_nomem("accumulator", bytes);
  for (int64_t i = 0, n = history->users ? history->orders.size[0] : 0; i < n; i++)
    if (rs_i64(&history->orders)[i] >= out->next_order) out->next_order = rs_i64(&history->orders)[i] + 1;
  out->base = *history;
  *history = (rs_history){0};
  return RS_OK;
}

static rs_status reserve_users(rs_accumulator *a, int64_t users) {
  if (users <= a->capacity) return RS_OK;
  int64_t capacity = users + users / 2 + 16;
  rs_tail **tails = rs_realloc(a->tails, (size_t)capacity * sizeof *tails);
  if (!tails) return rs_nomem("accumulator", (size_t)capacity * sizeof *tails);
  memset(tails + a->capacity, 0, (size_t)(capacity - a->capacity) * sizeof *tails);
  a->tails = tails;
  a->capacity = capacity;
  return RS_OK;
}

/* The first of a sequence that a read at the newest time or later may still look at, once an event of time 'newest' has
 * joined; a strict read at that very time does not count the events of that time. */
static int64_t first_kept(const rs_accumulator *a, const rs_sequence *s, int64_t newest) {
  int64_t from;
  if (a->keep.events < 0) return 0;
  if (s->n && s->times[s->n - 1] > newest) newest = s->times[s->n - 1];
  if (__builtin_sub_overflow(newest, a->keep.span, &from)) from = INT64_MIN;
  int64_t first = rs_sequence_before(s, newest, -1) - a->keep.events, within = rs_sequence_before(s, from, -1);
  if (first > within) first = within;
  return first > 0 ? first : 0;
}

/* A tail with room for one more event, holding what is kept of the user's events. */
static rs_tail *make_room(rs_accumulator *a, int64_t user, int64_t newest) {
  rs_sequence all = rs_accumulator_of(a, user);
  rs_tail *old = a->tails[user];
  if (old && old->n < old->room) return old;
  int64_t first = first_kept(a, &all, newest), n = all.n - first;
  rs_tail *t = new_tail(n + n / 2 + 8);
  if (!t) return NULL;
  rs_sequence kept = all;
  if (first > 0)
    kept = (rs_sequence){n, all.items + first, all.times + first, all.orders + first,
                         all.weights ? all.weights + first : NULL, all.marks ? all.marks + first : NULL};
  put(t, 0, &kept);
  t->n = n;
  a->tails[user] = t;
  rs_free(old);
  return t;
}

#define SHIFT(column) memmove(column + at + 1, column + at, (size_t)(t->n - at) * sizeof *(column))

rs_status rs_accumulator_advance(rs_accumulator *a, int64_t user, const rs_event *event) {
  if (user < 0 || event->item < 0 || event->item > INT32_MAX)
    return rs_fail(RS_ERANGE, "accumulator: an event of user row %lld on item row %lld", (long long)user,
                   (long long)event->item);
  rs_status status = reserve_users(a, user + 1);
  rs_tail *t = status == RS_OK ? make_room(a, user, event->time) : NULL;
  if (status == RS_OK && !t) status = rs_nomem("accumulator", sizeof *t);
  if (status != RS_OK) return status;
  rs_sequence all = sequence_of(t, 0, t->n);
  int64_t at = rs_sequence_before(&all, event->time, INT64_MAX);
  SHIFT(t->times);
  SHIFT(t->orders);
  SHIFT(t->weights);
  SHIFT(t->items);
  SHIFT(t->marks);
  put(t, at, &(rs_sequence){1, &(int32_t){(int32_t)event->item}, &event->time, &a->next_order, &event->weight,
                            &event->marks});
  t->n++;
  a->next_order++;
  a->posted++;
  if (user >= a->users) a->users = user + 1;
  return RS_OK;
}

rs_status rs_accumulator_forget(rs_accumulator *a, int64_t user) {
  if (user < 0 || user >= a->users) return RS_OK;
  rs_tail *none = new_tail(0);
  if (!none) return rs_nomem("accumulator", sizeof *none);
  rs_free(a->tails[user]);
  a->tails[user] = none;
  a->forgotten = true;
  return RS_OK;
}

/* ---- storing ---- */

static rs_status new_history(const rs_accumulator *a, rs_history *out) {
  int64_t size = a->users + 1, n = 0;
  *out = (rs_history){.users = a->users};
  rs_status status = rs_tensor_zeros(&out->starts, RS_I64, 1, &size);
  for (int64_t u = 0; status == RS_OK && u < a->users; u++)
    rs_i64(&out->starts)[u + 1] = n += rs_accumulator_of(a, u).n;
  if (status == RS_OK) status = rs_tensor_new(&out->items, RS_I32, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->times, RS_I64, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->orders, RS_I64, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->weights, RS_F32, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->marks, RS_I32, 1, &n);
  return status;
}

rs_status rs_accumulator_history(const rs_accumulator *a, rs_history *out) {
  rs_status status = new_history(a, out);
  if (status != RS_OK) {
    rs_history_free(out);
    return status;
  }
  rs_tail to = {.times = rs_i64(&out->times), .orders = rs_i64(&out->orders), .weights = rs_f32(&out->weights),
                .items = rs_i32(&out->items), .marks = rs_i32(&out->marks)};
  for (int64_t u = 0; u < a->users; u++) {
    rs_sequence mine = rs_accumulator_of(a, u);
    put(&to, rs_i64(&out->starts)[u], &mine);
  }
  return RS_OK;
}

void rs_accumulator_free(rs_accumulator *a) {
  if (!a) return;
  for (int64_t u = 0; a->tails && u < a->users; u++) rs_free(a->tails[u]);
  rs_free(a->tails);
  rs_history_free(&a->base);
  *a = (rs_accumulator){0};
}
