/* gate.c - see gate.h.
 *
 * A worker says that it is inside, and then looks whether the gate is closed; a writer says that it is closed, and then
 * looks who is inside. In one order of all four (sequential consistency) at least one of them sees the other. */
#include "base/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/alloc.h"

/* Odd while its worker is inside: it counts how often he has come and gone. */
typedef struct seat {
  _Alignas(RS_ALIGN) atomic_uint steps;
} seat;

struct rs_gate {
  atomic_bool closed;
  pthread_mutex_t writer; /* held while it is closed */
  int n;
  seat seats[];
};

rs_status rs_gate_new(rs_gate **out, int n) {
  size_t bytes = sizeof(rs_gate) + (size_t)n * sizeof(seat);
  rs_gate *gate = *out = rs_alloc_zero(bytes);
  if (!gate) return rs_nomem("gate", bytes);
  gate->n = n;
  pthread_mutex_init(&gate->writer, NULL);
  return RS_OK;
}

void rs_gate_free(rs_gate *gate) {
  if (!gate) return;
  pthread_mutex_destroy(&gate->writer);
  rs_free(gate);
}

/* A worker alone writes his seat. */
static void step(rs_gate *gate, int worker, memory_order order) {
  atomic_uint *steps = &gate->seats[worker].steps;
  unsigned next = atomic_load_explicit(steps, memory_order_relaxed) + 1;
  atomic_store_explicit(steps, next, order);
}

void rs_gate_enter(rs_gate *gate, int worker) {
  for (;;) {
    step(gate, worker, memory_order_seq_cst);
    if (!atomic_load(&gate->closed)) return;
    step(gate, worker, memory_order_release);
    pthread_mutex_lock(&gate->writer); /* waits until it opens */
    pthread_mutex_unlock(&gate->writer);
  }
}

void rs_gate_leave(rs_gate *gate, int worker) { step(gate, worker, memory_order_release); }

void rs_gate_close(rs_gate *gate) {
  pthread_mutex_lock(&gate->writer);
  atomic_store(&gate->closed, true);
  rs_gate_pass(gate);
}

void rs_gate_open(rs_gate *gate) {
  atomic_store(&gate->closed, false);
  pthread_mutex_unlock(&gate->writer);
}

void rs_gate_pass(rs_gate *gate) {
  static const struct timespec moment = {0, 20000};
  for (int i = 0; i < gate->n; i++) {
    unsigned steps = atomic_load(&gate->seats[i].steps);
    while (steps % 2 && atomic_load(&gate->seats[i].steps) == steps) nanosleep(&moment, NULL);
  }
}
