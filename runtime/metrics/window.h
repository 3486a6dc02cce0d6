/* window.h - what was popular just before: counts per item over a trailing window that ends at a query's time.
 *
 * The counts are kept and moved from one query's time to the next one's, so queries that come in order of time cost
 * their events once; any other order works too and costs the way back and forth. */
#ifndef RS_WINDOW_H
#define RS_WINDOW_H
#include <stdint.h>

#include "base/status.h"

typedef struct rs_events {
  int64_t n;
  const int64_t *time;  /* [n] never falling */
  const int32_t *item;  /* [n] 0 .. items - 1 */
  const int32_t *group; /* [n] 0 .. groups - 1, or NULL: all are of one group */
  int64_t items, groups;
} rs_events;

typedef struct rs_window rs_window; /* for one thread at a time */

/* Counts over [t - length, t); length 0 means everything before t. What 'events' points to is borrowed. RS_EARG
 * when the times fall, RS_ERANGE for an item or a group outside. Holds 4 bytes per group and item. */
rs_status rs_window_new(rs_window **out, const rs_events *events, int64_t length);
void rs_window_free(rs_window *w);

/* scores [n, items]: how many events of group[i] (NULL: of all) each item had in the window before time[i]; exact up to
 * 2^24 events. RS_ERANGE for a group outside. */
rs_status rs_window_counts(rs_window *w, int64_t n, const int64_t *time, const int32_t *group, float *scores);

#endif
