/* above.h - which of many scores are good: a bit each. */
#ifndef RS_ABOVE_H
#define RS_ABOVE_H
#include <stdbool.h>
#include <stdint.h>

/* A bit for each of 64 n scores that is above 'least', or is NaN or infinite: word i is of scores[64 i] on. False when
 * there is none. */
bool rs_above(const float *scores, int64_t n, float least, uint64_t *words);

#endif
