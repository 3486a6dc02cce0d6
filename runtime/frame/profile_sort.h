/* profile_sort.h - sorting numbers and taking their spread. Private to the profile. */
#ifndef RS_PROFILE_SORT_H
#define RS_PROFILE_SORT_H
#include "frame/profile.h"

/* Sort n numbers without NaN, rising; 'spare' has room for as many. Gives where the result is: 'values' or 'spare'. */
double *rs_sort_numbers(double *values, double *spare, int64_t n);

/* The spread of n sorted numbers. */
void rs_spread_of(rs_spread *out, const double *sorted, int64_t n);

#endif
