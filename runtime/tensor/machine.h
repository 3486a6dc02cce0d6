/* machine.h - what this machine's threads reach: the rates that shares of peak are shares of.
 *
 * Each runs its work 'rounds' times and gives the rate of the fastest, in units a second, on all rs_threads() threads.
 * They are ceilings to compare with, not promises: on a machine that others share, measure beside what is compared. */
#ifndef RS_MACHINE_H
#define RS_MACHINE_H
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Floating-point operations (2 m n k a product) of a product of f32 matrices [m, k] and [k, n], the second transposed
 * in memory where 'tb'. Each thread multiplies a run of whole rows by one single-threaded BLAS call, which gives OpenBLAS
 * its largest tiles. RS_EARG unless all sizes are 1 or more. */
rs_status rs_machine_sgemm(double *rate, int64_t m, int64_t n, int64_t k, bool tb, int rounds);

/* Bytes moved by copying: those read and those written, so a copied byte counts as two. 'bytes' should be many times
 * the cache; RS_EARG unless 64 or more. */
rs_status rs_machine_copy(double *rate, int64_t bytes, int rounds);

#endif
