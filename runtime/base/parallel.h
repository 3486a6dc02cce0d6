/* parallel.h - the one pool of threads, which BLAS uses with us.
 *
 * Work is cut into chunks of a fixed size, whatever the number of threads; a result that is combined
 * chunk by chunk in order therefore has the same bits on one thread and on many. */
#ifndef RS_PARALLEL_H
#define RS_PARALLEL_H
#include <stdbool.h>
#include <stdint.h>

/* Work on rows begin .. end-1. May not fail: allocate before, note trouble in 'context'. */
typedef void rs_body(void *context, int64_t begin, int64_t end);

/* Call 'body' on [0, grain), [grain, 2 grain), ... up to n, in any order, on any thread.
 * A BLAS call inside a body is single-threaded whatever the thread count, so its bits do not depend on it.
 * A single chunk runs on the calling thread, and so do all of a loop inside a body, or of one that another thread begins
 * while the pool is at work. */
void rs_parallel_for(int64_t n, int64_t grain, rs_body *body, void *context);

/* How many threads a parallel loop uses; at the start OMP_NUM_THREADS or the cores. */
int rs_threads(void);
/* Use 'n' threads, 1 or more, from now on. */
void rs_threads_set(int n);
/* Index of the calling thread inside a body, 0 .. rs_threads()-1: for scratch memory. */
int rs_thread_index(void);

/* From now on the loops of the calling thread run on it alone: for a thread beside the one that trains. */
void rs_parallel_alone(void);

#endif
