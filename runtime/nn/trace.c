/* trace.c - see trace.h. */
#include "nn/trace.h"

#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "nn/cost.h"

enum { DEEPEST = 16 };

typedef struct span {
  int row;
  double start, inside; /* inside: seconds of the spans that closed in this one */
  rs_cost cost;
} span;

struct rs_trace {
  double began;
  rs_trace_row *rows;
  int n_rows, row_room;
  rs_trace_event *events;
  int64_t n_events, event_room, most_events;
  span open[DEEPEST];
  int depth;
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

rs_status rs_trace_new(rs_trace **out, int64_t most_events) {
  rs_trace *trace = rs_alloc_zero(sizeof *trace);
  if (!trace) return rs_nomem("trace", sizeof *trace);
  trace->began = now();
  trace->most_events = most_events;
  *out = trace;
  return RS_OK;
}

void rs_trace_free(rs_trace *trace) {
  if (!trace) return;
  for (int i = 0; i < trace->n_rows; i++) rs_free(trace->rows[i].name);
  rs_free(trace->rows);
  rs_free(trace->events);
  rs_free(trace);
}

static rs_status row_new(int *out, rs_trace *trace, const char *name, rs_trace_kind kind) {
  if (trace->n_rows == trace->row_room) {
    int room = trace->row_room ? 2 * trace->row_room : 32;
    rs_trace_row *rows = rs_realloc(trace->rows, (size_t)room * sizeof *rows);
    if (!rows) return rs_nomem("trace", (size_t)room * sizeof *rows);
    trace->rows = rows;
    trace->row_room = room;
  }
  char *copy = rs_strdup(name);
  if (!copy) return rs_nomem("trace", strlen(name) + 1);
  trace->rows[trace->n_rows] = (rs_trace_row){.name = copy, .kind = kind};
  *out = trace->n_rows++;
  return RS_OK;
}

static rs_status find_row(int *out, rs_trace *trace, const char *name, rs_trace_kind kind) {
  for (int i = 0; i < trace->n_rows; i++)
    if (trace->rows[i].kind == kind && !strcmp(trace->rows[i].name, name)) return *out = i, RS_OK;
  return row_new(out, trace, name, kind);
}

static rs_status open_span(rs_trace *trace, const char *name, rs_trace_kind kind) {
  if (trace->depth == DEEPEST) return rs_fail(RS_EARG, "trace: more than %d spans are open at once", DEEPEST);
  int row = 0;
  rs_status status = find_row(&row, trace, name, kind);
  if (status == RS_OK) trace->open[trace->depth++] = (span){.row = row, .start = now()};
  return status;
}

/* Keep a span for the viewer, while there is room. */
static rs_status keep(rs_trace *trace, const span *s, double seconds) {
  if (trace->n_events == trace->most_events) return RS_OK;
  if (trace->n_events == trace->event_room) {
    int64_t room = trace->event_room ? 2 * trace->event_room : 256;
    rs_trace_event *events = rs_realloc(trace->events, (size_t)room * sizeof *events);
    if (!events) return rs_nomem("trace", (size_t)room * sizeof *events);
    trace->events = events;
    trace->event_room = room;
  }
  trace->events[trace->n_events++] = (rs_trace_event){s->row, s->start - trace->began, seconds};
  return RS_OK;
}

static rs_status close_span(rs_trace *trace, double flops, double bytes) {
  const span *s = &trace->open[--trace->depth];
  rs_trace_row *row = &trace->rows[s->row];
  double seconds = now() - s->start;
  row->calls++;
  row->seconds += seconds - s->inside;
  row->flops += flops;
  row->bytes += bytes;
  if (trace->depth > 0) trace->open[trace->depth - 1].inside += seconds;
  return keep(trace, s, seconds);
}

rs_status rs_trace_open(rs_trace *trace, const char *name) { return open_span(trace, name, RS_TRACE_SPAN); }

rs_status rs_trace_close(rs_trace *trace, double flops, double bytes) {
  if (trace->depth == 0) return rs_fail(RS_EARG, "trace: no span is open");
  return close_span(trace, flops, bytes);
}

int rs_trace_depth(const rs_trace *trace) { return trace->depth; }

/* A backward's shapes are read before it, while its gradient is there; a forward's after it, when its value is. */
static rs_status see(void *context, rs_tape_moment moment, const rs_node *node) {
  rs_trace *trace = context;
  bool forward = moment == RS_FORWARD_BEGINS || moment == RS_FORWARD_ENDS;
  if (moment == RS_FORWARD_BEGINS || moment == RS_BACKWARD_BEGINS) {
    rs_status status = open_span(trace, node->op->name, forward ? RS_TRACE_FORWARD : RS_TRACE_BACKWARD);
    if (status == RS_OK && !forward) trace->open[trace->depth - 1].cost = rs_cost_backward(node);
    return status;
  }
  if (trace->depth == 0) return rs_fail(RS_EARG, "trace: no span is open");
  rs_cost cost = forward ? rs_cost_forward(node) : trace->open[trace->depth - 1].cost;
  return close_span(trace, cost.flops, cost.bytes);
}

void rs_trace_watch(rs_trace *trace, rs_tape *tape) { rs_tape_watch(tape, see, trace); }

int rs_trace_rows(const rs_trace *trace, const rs_trace_row **rows) {
  *rows = trace->rows;
  return trace->n_rows;
}

int64_t rs_trace_events(const rs_trace *trace, const rs_trace_event **events) {
  *events = trace->events;
  return trace->n_events;
}
