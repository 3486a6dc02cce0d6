/* panel_rate.h - how fast this machine's threads take exponentials: what the panels of a softmax are measured by. */
#ifndef RS_PANEL_RATE_H
#define RS_PANEL_RATE_H
#include "base/status.h"

#include <stdint.h>

/* Exponentials a second of f32, on all threads: of rows of 'n' that lie in the first-level cache when that is small, by
 * the panels' own kernel. The fastest of 'rounds'; RS_EARG unless both are 1 or more. */
rs_status rs_panel_exponential_rate(double *rate, int64_t n, int rounds);

#endif
