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

typedef struct seat {
  _Alignas(RS_ALIGN) atomic_bool inside;
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

void rs_gate_enter(rs_gate *gate, int worker) {
  atomic_bool *inside = &gate->seats[worker].inside;
  for (;;) {
    atomic_store(inside, true);
    if (!atomic_load(&gate->closed)) return;
    atomic_store(inside, false);
    pthread_mutex_lock(&gate->writer); /* waits until it opens */
    pthread_mutex_unlock(&gate->writer);
  }
}

void rs_gate_leave(rs_gate *gate, int worker) {
  atomic_store_explicit(&gate->seats[worker].inside, false, memory_order_release);
}

void rs_gate_close(rs_gate *gate) {
  static const struct timespec moment = {0, 20000};
  pthread_mutex_lock(&gate->writer);
  atomic_store(&gate->closed, true);
  for (int i = 0; i < gate->n; i++)
    while (atomic_load(&gate->seats[i].inside)) nanosleep(&moment, NULL);
}

void rs_gate_open(rs_gate *gate) {
  atomic_store(&gate->closed, false);
  pthread_mutex_unlock(&gate->writer);
}
