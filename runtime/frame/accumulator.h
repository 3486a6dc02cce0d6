/* accumulator.h - a history that posted events advance: the state of every feature that reads what came before.
 *
 * Training reads a history of the whole log at many moments; a service holds the same history as of its last event and
 * advances it event by event. Both read sequences in the same stable order, so a read at a moment has the same bits.
 * Users without posted events cost nothing beyond the history; the others have a sequence of their own, which keeps
 * what the longest window needs: an event leaves it once it is neither among the last keep.events before the user's
 * newest time nor within keep.span of that: reads at earlier moments are no longer served. One thread advances at a
 * time, and none reads meanwhile. */
#ifndef RS_ACCUMULATOR_H
#define RS_ACCUMULATOR_H
#include "frame/history.h"

/* What reads look at, at the most. */
typedef struct rs_keep {
  int64_t events; /* so many of the last ones; negative: all, whatever the span */
  int64_t span;   /* ms before the newest */
} rs_keep;

typedef struct rs_event {
  int64_t item, time; /* 0-based row of the catalogue; ms since 1970 UTC */
  float weight;
  int32_t marks;
} rs_event;

typedef struct rs_tail rs_tail;

/* All-zero is a valid empty accumulator without users. */
typedef struct rs_accumulator {
  rs_history base;
  rs_keep keep;
  rs_tail **tails; /* [users], NULL where the base is all there is */
  int64_t users;   /* of the base, then those that came with their events */
  int64_t capacity;
  int64_t next_order; /* above the order of every event so far */
  int64_t posted;     /* events since the base */
  bool forgotten;     /* somebody's events were forgotten */
} rs_accumulator;

/* Over a history, which it takes over ('history' becomes empty). On failure the history stays the caller's. */
rs_status rs_accumulator_new(rs_accumulator *out, rs_history *history, rs_keep keep);

/* Put an event behind the user's events of the same or an earlier time. A user row beyond the
 * users makes all up to it. RS_ERANGE for a negative row, RS_ENOMEM; the state is unharmed then. */
rs_status rs_accumulator_advance(rs_accumulator *a, int64_t user, const rs_event *event);

/* Let a user have no events: those of the base, too. RS_ENOMEM. */
rs_status rs_accumulator_forget(rs_accumulator *a, int64_t user);

/* A user's events, oldest first; valid until he is advanced. A row outside has none. */
rs_sequence rs_accumulator_of(const rs_accumulator *a, int64_t user);

/* All of it as a history, to store: as of the last event. 'out' must be empty. */
rs_status rs_accumulator_history(const rs_accumulator *a, rs_history *out);
void rs_accumulator_free(rs_accumulator *a);

#endif
