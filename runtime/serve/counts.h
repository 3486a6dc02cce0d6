/* counts.h - what the workers of a server count, each in memory of its own: no lock and no cache line that two of them
 * write. Who reads adds up; a sum is of no one moment, and no count is ever lost or seen to fall. */
#ifndef RS_SERVE_COUNTS_H
#define RS_SERVE_COUNTS_H
#include <stdatomic.h>
#include <stdint.h>

#include "base/buffer.h"

/* Statuses are 200 to 599, each with a count of its own, as a recipe's handlers answer by any of them; the last count is
 * of whatever else there were. */
enum {
  RS_STATUS_FIRST = 200,
  RS_COUNTED_STATUSES = 401,
  RS_COUNTED_ROUTES = 64,
  RS_COUNTED_BUCKETS = 16,
  RS_COUNTED_SHARES = 11
};

typedef _Atomic int64_t rs_count;

/* How long things took: numbers of those that took at most rs_bucket_seconds[i], the last bucket of all others. */
typedef struct rs_latency {
  rs_count buckets[RS_COUNTED_BUCKETS];
  rs_count nanoseconds; /* of all together */
} rs_latency;

extern const double rs_bucket_seconds[RS_COUNTED_BUCKETS - 1];
/* The status of a count; 0 of the last. */
int rs_counted_status(int at);

typedef struct rs_counts {
  _Alignas(64) rs_count requests[RS_COUNTED_ROUTES][RS_COUNTED_STATUSES];
  rs_latency latency[RS_COUNTED_ROUTES];
  rs_count answers[3];      /* recommendations given, by the slot that gave them */
  rs_count fallbacks;       /* of these: some of whose items are of last resort */
  rs_count refused_lines;   /* of /invocations, that were answered by an error in place */
  rs_count shadow_skipped;  /* requests that the shadow's queue had no room for */
  rs_count shadow_failed;   /* that the shadow refused or could not answer */
  rs_count shadow_overlap[RS_COUNTED_SHARES]; /* answers by the share of their items that the shadow gave: i / 10 */
  rs_count shadow_sum;                        /* of the shares, in millionths */
  rs_count shadow_shared;                     /* items that both gave */
  rs_latency shadow_latency;                  /* of the shadow's answers */
} rs_counts;

/* Add to a count that the calling thread alone writes. */
static inline void rs_count_add(rs_count *count, int64_t n) {
  atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline int64_t rs_count_of(const rs_count *count) { return atomic_load_explicit(count, memory_order_relaxed); }

/* Note that a request was answered, and how long one took. */
void rs_counts_request(rs_counts *counts, int route, int status, int64_t nanoseconds);
void rs_latency_add(rs_latency *latency, int64_t nanoseconds);

/* The sum of one count over all workers, by its place in rs_counts. */
int64_t rs_counts_sum(const rs_counts *workers, int n, size_t offset);

/* Nanoseconds of the monotonic clock. */
int64_t rs_clock(void);

#endif
