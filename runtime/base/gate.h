/* gate.h - a big-reader lock: many workers that read without meeting each other, and now and then a writer who waits.
 *
 * What is read through one pointer wants no closed gate: who has put another one in its place calls rs_gate_pass, and
 * knows then that nobody uses the old one; nobody has waited for him.
 *
 * A worker enters and leaves by its own cache line. A writer closes the gate, which waits until nobody is inside, does
 * what takes a moment, and opens it again; whoever wants to enter meanwhile waits for that. Nobody enters twice without
 * having left, and no worker closes the gate from inside. */
#ifndef RS_GATE_H
#define RS_GATE_H
#include "base/status.h"

typedef struct rs_gate rs_gate;

/* A gate for workers 0 .. n - 1. RS_ENOMEM. */
rs_status rs_gate_new(rs_gate **out, int n);
void rs_gate_free(rs_gate *gate); /* NULL is fine; nobody is inside */

void rs_gate_enter(rs_gate *gate, int worker);
void rs_gate_leave(rs_gate *gate, int worker);

/* One writer at a time: others wait here. */
void rs_gate_close(rs_gate *gate);
void rs_gate_open(rs_gate *gate);

/* Wait until whoever is inside now has left; who enters meanwhile does not matter. */
void rs_gate_pass(rs_gate *gate);

#endif
