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
  rs_tensor starts; /* i64 [users + 1] */
  rs_tensor items;  /* i32 [events]: 0-based rows of the catalogue */
  rs_tensor times;  /* i64 [events]: ms since 1970 UTC */
  rs_tensor orders; /* i64 [events]: 0-based rows of the interactions */
} rs_history;

/* From interactions (0-based user row, 0-based item row, time each; n_rows of them), of which only 'log' (n of them,
 * rows of the interactions, any order, without repeats; NULL: all) count as known. RS_ERANGE for a row outside. */
rs_status rs_history_new(rs_history *out, int64_t users, int64_t items, int64_t n_rows, const int64_t *user_rows,
                         const int64_t *item_rows, const int64_t *times, const int64_t *log, int64_t n);

/* How many of user 'u's events come before the moment (time, order): with order < 0 those with an earlier time
 * (ties excluded: "strict"); else those earlier in the stable order of the interactions (equal time, lower row). */
int64_t rs_history_before(const rs_history *h, int64_t u, int64_t time, int64_t order);

/* The events before each of n moments of users: events begin[i] .. end[i] of all events. 'orders' NULL: strict.
 * RS_ERANGE for a user row outside. */
rs_status rs_history_read(const rs_history *h, int64_t n, const int64_t *users, const int64_t *times,
                          const int64_t *orders, int64_t *begin, int64_t *end);

/* As tensors "starts", "items", "times", "orders", without copies. */
rs_status rs_history_tensors(const rs_history *h, rs_tensors *out);
/* The reverse, for a catalogue of 'n_items' rows; 'out' must be empty. RS_EFORMAT for tensors that make no history
 * (unsorted, out of range): they may come from strangers. */
rs_status rs_history_from(rs_history *out, const rs_tensors *tensors, int64_t n_items);
void rs_history_free(rs_history *h);

#endif
