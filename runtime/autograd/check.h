/* check.h - looking for what went wrong on a tape, and how its units do.
 *
 * A step whose loss is not finite is run again, on a tape that is checked: everything that a step draws is a function
 * of its place, so that it fails again, and the first operation that made a NaN or an infinity can be named. */
#ifndef RS_CHECK_H
#define RS_CHECK_H
#include "autograd/tape.h"
#include "tensor/tensors.h"

/* Let a forward or a backward on 'tape' end with RS_ENUMERIC when it makes a number that is not finite, or is given one
 * by an input or a parameter. The message names the operation, its inputs with their shapes, and the nearest parameter
 * behind it. Takes the place of the tape's watcher. */
void rs_tape_check(rs_tape *tape);

/* How many of the t's numbers are NaN and how many infinite; both 0 for dtypes that have none. */
void rs_count_not_finite(int64_t *nan, int64_t *infinite, const rs_tensor *t);

/* For each operation so far that ends in a ReLU, by the name of its weights (of the operation and its place on the tape
 * where it has none): f32 [units], 1 where the unit was above 0 for one row or more. Adds to 'out'. */
rs_status rs_tape_active_units(rs_tensors *out, const rs_tape *tape);

#endif
