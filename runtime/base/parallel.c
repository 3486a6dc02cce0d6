/* parallel.c - a pool whose threads take chunks.
 *
 * Who begins a loop works on its chunks at once. Workers that are looking for work join it, others are woken and come
 * when they come; in the end only those are waited for that hold a chunk. So a loop costs well under a microsecond
 * beside awake workers, and on a machine whose other cores are busy no more than its own work. OpenMP's loops wait for
 * every thread of the team, at their beginning and at their end: a training step of 2 ms took 40 beside compilers.
 *
 * OpenBLAS is the OpenMP build and asks OpenMP how many threads it may use: one, on every thread that runs a body. So
 * no second pool wakes while ours works, nor is one ever started: how long OpenMP's threads spin does not matter. */
#include "base/parallel.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { LOOKS = 4096 }; /* for work or for the end of it, a few 10 ns each, before a thread sleeps or yields */

/* The loop at hand. 'state' holds its number, whether workers may still join, and how many are inside; the other fields
 * are the loop's own from its opening until it is closed and nobody is inside. */
enum { OPEN = 1 << 16, INSIDE = OPEN - 1, LOOP_SHIFT = 17 };

static struct {
  pthread_mutex_t owner; /* held by the thread whose loop it is */
  atomic_uint_fast64_t state;
  atomic_int_fast64_t next; /* chunk */
  atomic_int wanted;        /* workers with an index below it may join */
  rs_body *body;
  void *context;
  int64_t n, grain, chunks;
} loop = {.owner = PTHREAD_MUTEX_INITIALIZER};

static pthread_mutex_t bed = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t alarm_clock = PTHREAD_COND_INITIALIZER;
static atomic_int sleepers;
static int workers; /* started; under loop.owner */

static atomic_int threads; /* 0: not asked for yet */
static _Thread_local int thread_index;
static _Thread_local bool alone;

static void breathe(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static void take_chunks(void) {
  for (int64_t c; (c = atomic_fetch_add(&loop.next, 1)) < loop.chunks;) {
    int64_t begin = c * loop.grain, end = begin + loop.grain;
    loop.body(loop.context, begin, end < loop.n ? end : loop.n);
  }
}

static uint64_t number_of(uint64_t state) { return state >> LOOP_SHIFT; }

/* The state once it is of another loop than 'seen': look for a while, then sleep. */
static uint64_t next_state(uint64_t seen) {
  uint64_t state;
  for (int i = 0; i < LOOKS; i++) {
    state = atomic_load(&loop.state);
    if (number_of(state) != seen) return state;
    breathe();
  }
  pthread_mutex_lock(&bed);
  atomic_fetch_add(&sleepers, 1);
  while (number_of(state = atomic_load(&loop.state)) == seen) pthread_cond_wait(&alarm_clock, &bed);
  atomic_fetch_sub(&sleepers, 1);
  pthread_mutex_unlock(&bed);
  return state;
}

static void *work(void *index) {
  thread_index = (int)(intptr_t)index;
  omp_set_num_threads(1);
  for (uint64_t state = 0;;) {
    state = next_state(number_of(state));
    uint64_t number = number_of(state);
    while ((state & OPEN) && number_of(state) == number && thread_index < atomic_load(&loop.wanted))
      if (atomic_compare_exchange_weak(&loop.state, &state, state + 1)) {
        take_chunks();
        atomic_fetch_sub(&loop.state, 1);
        break;
      }
    state = number << LOOP_SHIFT;
  }
  return NULL;
}

/* One thread more, which is not to see the program's signals; false when the system refuses. */
static bool start_worker(void) {
  sigset_t all, before;
  pthread_t thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = pthread_create(&thread, NULL, work, (void *)(intptr_t)(workers + 1)) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (started) pthread_detach(thread);
  workers += started;
  return started;
}

static void open_loop(int64_t n, int64_t grain, rs_body *body, void *context) {
  while (workers < rs_threads() - 1 && start_worker()) {}
  loop.n = n;
  loop.grain = grain;
  loop.chunks = (n + grain - 1) / grain;
  loop.body = body;
  loop.context = context;
  atomic_store(&loop.next, 0);
  atomic_store(&loop.wanted, rs_threads());
  uint64_t number = number_of(atomic_load(&loop.state)) + 1;
  atomic_store(&loop.state, number << LOOP_SHIFT | OPEN);
  if (atomic_load(&sleepers) == 0) return;
  pthread_mutex_lock(&bed);
  pthread_cond_broadcast(&alarm_clock);
  pthread_mutex_unlock(&bed);
}

static void close_loop(void) {
  atomic_fetch_and(&loop.state, ~(uint64_t)OPEN);
  for (int i = 0; atomic_load(&loop.state) & INSIDE; i++)
    if (i < LOOKS)
      breathe();
    else
      sched_yield();
}

static void run_here(int64_t n, int64_t grain, rs_body *body, void *context) {
  for (int64_t begin = 0; begin < n; begin += grain) body(context, begin, n - begin < grain ? n : begin + grain);
}

void rs_parallel_for(int64_t n, int64_t grain, rs_body *body, void *context) {
  if (n <= 0) return;
  int many = rs_threads(), before = omp_get_max_threads(); /* in this order: the first asks OpenMP, the first time */
  omp_set_num_threads(1);
  if (n <= grain || alone || many == 1 || pthread_mutex_trylock(&loop.owner) != 0) {
    run_here(n, grain, body, context);
  } else {
    open_loop(n, grain, body, context);
    take_chunks();
    close_loop();
    pthread_mutex_unlock(&loop.owner);
  }
  omp_set_num_threads(before);
}

int rs_threads(void) {
  int n = atomic_load_explicit(&threads, memory_order_relaxed);
  if (n > 0) return n;
  n = omp_get_max_threads();
  if (n > INSIDE) n = INSIDE;
  atomic_store(&threads, n);
  return n;
}

void rs_threads_set(int n) {
  atomic_store(&threads, n < 1 ? 1 : n > INSIDE ? INSIDE : n);
  omp_set_num_threads(rs_threads());
}

int rs_thread_index(void) { return thread_index; }

void rs_parallel_alone(void) { alone = true; }
