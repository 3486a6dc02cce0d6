/* rate.h - token buckets by key, in a table of a fixed size that many threads take from without a lock.
 *
 * A bucket is one number, the time at which it is full again (the generic cell rate algorithm), moved by compare and
 * swap. Keys are hashed with a seed of the process; four share a place of the table, and the fullest gives way to a new
 * one: with more than some 10,000 busy keys at once some are forgotten early, and granted more. */
#ifndef RS_HTTP_RATE_H
#define RS_HTTP_RATE_H
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct rs_rate rs_rate;

/* 'rate' requests a second, and 'burst', 1 or more, at once. RS_EARG, RS_ENOMEM. */
rs_status rs_rate_new(rs_rate **out, double rate, double burst);
void rs_rate_free(rs_rate *r); /* NULL is fine */

/* Take one of the key's: 0, or the ns after which there is one. 'now' is of the monotonic clock, ns. */
int64_t rs_rate_take(rs_rate *r, const void *key, size_t n, int64_t now);

#endif
