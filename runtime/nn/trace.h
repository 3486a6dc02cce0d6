/* trace.h - where the time of training steps goes: spans, one inside another, and operations of watched tapes.
 *
 * A span is opened by name and closed; an operation is a span that the tape opens and closes. Each row of the summary,
 * one for each name and kind, has the time of its spans less that of the spans inside them, so that the rows add up to
 * the outermost spans. The first 'most_events' spans are kept one by one, for a trace viewer. */
#ifndef RS_TRACE_H
#define RS_TRACE_H
#include "autograd/tape.h"

typedef struct rs_trace rs_trace;

typedef enum rs_trace_kind { RS_TRACE_SPAN, RS_TRACE_FORWARD, RS_TRACE_BACKWARD } rs_trace_kind;

typedef struct rs_trace_row {
  char *name;
  rs_trace_kind kind;
  int64_t calls;
  double seconds; /* less the spans inside */
  double flops, bytes;
} rs_trace_row;

typedef struct rs_trace_event {
  int row;
  double start, seconds; /* from the trace's beginning; the spans inside included */
} rs_trace_event;

rs_status rs_trace_new(rs_trace **out, int64_t most_events);
void rs_trace_free(rs_trace *trace); /* NULL is fine */

/* Open a span inside the one that is open. RS_EARG at a depth of 16. */
rs_status rs_trace_open(rs_trace *trace, const char *name);
/* Close the innermost span, which did 'flops' operations on 'bytes' bytes. RS_EARG when none is open. */
rs_status rs_trace_close(rs_trace *trace, double flops, double bytes);
int rs_trace_depth(const rs_trace *trace); /* spans that are open */

/* Let the trace see the operations of a tape, which it must outlive while operations run. */
void rs_trace_watch(rs_trace *trace, rs_tape *tape);

/* Rows in order of their first span; events in order of their ends. */
int rs_trace_rows(const rs_trace *trace, const rs_trace_row **rows);
int64_t rs_trace_events(const rs_trace *trace, const rs_trace_event **events);

#endif
