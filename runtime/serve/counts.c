/* counts.c - see counts.h. */
#include "serve/counts.h"

#include <stdbool.h>
#include <time.h>

const double rs_bucket_seconds[RS_COUNTED_BUCKETS - 1] = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01,
                                                          0.025,   0.05,   0.1,     0.25,   0.5,   1,     2.5};

void rs_latency_add(rs_latency *latency, int64_t nanoseconds) {
  int at = 0;
  while (at < RS_COUNTED_BUCKETS - 1 && (double)nanoseconds > rs_bucket_seconds[at] * 1e9) at++;
  rs_count_add(&latency->buckets[at], 1);
  rs_count_add(&latency->nanoseconds, nanoseconds);
}

void rs_counts_request(rs_counts *counts, int route, int status, int64_t nanoseconds) {
  int at = status - RS_STATUS_FIRST;
  bool known = at >= 0 && at < RS_COUNTED_STATUSES - 1;
  rs_count_add(&counts->requests[route][known ? at : RS_COUNTED_STATUSES - 1], 1);
  rs_latency_add(&counts->latency[route], nanoseconds);
}

int rs_counted_status(int at) { return at < RS_COUNTED_STATUSES - 1 ? RS_STATUS_FIRST + at : 0; }

int64_t rs_counts_sum(const rs_counts *workers, int n, size_t offset) {
  int64_t sum = 0;
  for (int i = 0; i < n; i++) sum += rs_count_of((const rs_count *)((const char *)&workers[i] + offset));
  return sum;
}

int64_t rs_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
