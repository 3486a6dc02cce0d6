/* history.h - per-user sequences of what users interacted with, and pure reads of them at a given moment.
 *
 * User u's events are items[starts[u] .. starts[u+1]), oldest first; events of equal time keep their order in the
 * interactions. What precedes a moment is a prefix of that slice: a history never sees its own row or a later one. */
#ifndef RS_HISTORY_H
#define RS_HISTORY_H
#include "tensor/tensors.h"

/* All-zero is a valid empty history without users. */
typedef struct rs_history {
  int64_t users;
  rs_tensor starts;  /* i64 [users + 1] */
  rs_tensor items;   /* i32 [events]: 0-based rows of the catalogue */
  rs_tensor times;   /* i64 [events]: ms since 1970 UTC */
  rs_tensor orders;  /* i64 [events]: 0-based rows of the interactions */
  rs_tensor weights; /* f32 [events]: how much each says, finite; empty: no weights */
  rs_tensor marks;   /* i32 [events]: bit k is set where filter k of the encoder holds; empty: no marks */
} rs_history;

/* What happened: interaction i, of n_rows, is of user row user_rows[i] on item row item_rows[i] at times[i]. */
typedef struct rs_interactions {
  int64_t n_rows;
  const int64_t *user_rows, *item_rows, *times;
  const float *weights; /* one that is not finite becomes 1; NULL: none */
  const int32_t *marks; /* NULL: none */
  const int64_t *log;   /* the rows that count as known, n of them, any order, without repeats; NULL: all */
  int64_t n;
} rs_interactions;

/* RS_ERANGE for a row outside the users, the items or the interactions. */
rs_status rs_history_new(rs_history *out, int64_t users, int64_t items, const rs_interactions *x);

/* The events of one user, oldest first. */
typedef struct rs_sequence {
  int64_t n;
  const int32_t *items;
  const int64_t *times, *orders;
  const float *weights; /* NULL: none */
  const int32_t *marks; /* NULL: none */
} rs_sequence;
rs_sequence rs_history_of(const rs_history *h, int64_t user);

/* How many events come before the moment (time, order): with order < 0 those with an earlier time (ties excluded:
 * "strict"); else those earlier in the stable order of the interactions (equal time, lower row). */
int64_t rs_sequence_before(const rs_sequence *s, int64_t time, int64_t order);

/* The same of user u's events. */
int64_t rs_history_before(const rs_history *h, int64_t u, int64_t time, int64_t order);

/* The events before each of n moments of users: events begin[i] .. end[i] of all events. 'orders' NULL: strict.
 * RS_ERANGE for a user row outside. */
rs_status rs_history_read(const rs_history *h, int64_t n, const int64_t *users, const int64_t *times,
                          const int64_t *orders, int64_t *begin, int64_t *end);

/* As tensors "starts", "items", "times", "orders" and, where there are any, "weights" and "marks", without copies. */
rs_status rs_history_tensors(const rs_history *h, rs_tensors *out);
/* The reverse, for a catalogue of 'n_items' rows; 'out' must be empty. RS_EFORMAT for tensors that make no history
 * (unsorted, out of range): they may come from strangers. */
rs_status rs_history_from(rs_history *out, const rs_tensors *tensors, int64_t n_items);
void rs_history_free(rs_history *h);

#endif
