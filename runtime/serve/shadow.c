/* shadow.c - see shadow.h. */
#include "serve/shadow.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "serve/endpoints.h"

enum {
  PLACES = 32,       /* of a ring */
  MOST = 64 << 10,   /* bytes of a request that is copied */
  ITEMS = 1000,      /* of an answer that are compared */
  REST_US = 1000     /* between looks at rings that were empty */
};

/* A request, and the items of its answer by the hashes of their ids, as versions have other rows. */
typedef struct place {
  rs_request request; /* its texts lie in 'room' */
  rs_buffer room;
  int64_t n;
  uint64_t items[ITEMS];
} place;

typedef struct ring {
  _Alignas(64) _Atomic unsigned filled;  /* places that the worker has filled so far */
  _Alignas(64) _Atomic unsigned emptied; /* and that the thread has emptied */
  place places[PLACES];
} ring;

struct rs_shadow {
  rs_server *server;
  pthread_t thread;
  bool running;
  _Atomic bool ending;
  ring *rings; /* [workers] */
  rs_serve_scratch *scratch;
  rs_answer answer;
};

/* Copies. */

static size_t bytes_of(const rs_request *r) {
  size_t n = r->user.length + r->fields.length + r->filter.length;
  n += (size_t)r->n_history * sizeof *r->history + (size_t)r->n_exclude * sizeof *r->exclude;
  n += (size_t)r->n_caps * sizeof *r->caps;
  for (int64_t i = 0; i < r->n_history; i++) n += r->history[i].item.length + r->history[i].fields.length;
  for (int64_t i = 0; i < r->n_exclude; i++) n += r->exclude[i].length;
  for (int i = 0; i < r->n_caps; i++) n += r->caps[i].attribute.length;
  return n;
}

/* The bytes at the end of the room, which has been reserved. */
static void *keep(rs_buffer *room, const void *bytes, size_t n) {
  void *to = room->data + room->size;
  if (n > 0) memcpy(to, bytes, n);
  room->size += n;
  return to;
}

static void keep_text(rs_buffer *room, rs_span *span) {
  if (span->text) span->text = keep(room, span->text, span->length);
}

/* Copy a request; arrays first, as they want to lie evenly. */
static bool copy(place *p, const rs_request *from) {
  size_t n = bytes_of(from);
  p->room.size = 0;
  if (n > MOST || rs_buffer_reserve(&p->room, n) != RS_OK) return false;
  p->request = *from;
  rs_past_event *history = keep(&p->room, from->history, (size_t)from->n_history * sizeof *history);
  rs_span *exclude = keep(&p->room, from->exclude, (size_t)from->n_exclude * sizeof *exclude);
  rs_cap *caps = keep(&p->room, from->caps, (size_t)from->n_caps * sizeof *caps);
  for (int64_t i = 0; i < from->n_history; i++) {
    keep_text(&p->room, &history[i].item);
    keep_text(&p->room, &history[i].fields);
  }
  for (int64_t i = 0; i < from->n_exclude; i++) keep_text(&p->room, &exclude[i]);
  for (int i = 0; i < from->n_caps; i++) keep_text(&p->room, &caps[i].attribute);
  if (from->history) p->request.history = history;
  if (from->exclude) p->request.exclude = exclude;
  if (from->caps) p->request.caps = caps;
  keep_text(&p->room, &p->request.user);
  keep_text(&p->room, &p->request.fields);
  keep_text(&p->room, &p->request.filter);
  return true;
}

static uint64_t item_hash(const rs_server_model *m, int64_t row) {
  size_t length;
  const char *id = rs_server_model_item(m, row, &length);
  return XXH3_64bits(id, length);
}

void rs_shadow_offer(rs_shadow *shadow, int worker, const rs_server_model *m, const rs_request *request,
                     const rs_answer *answer) {
  ring *r = &shadow->rings[worker];
  unsigned filled = atomic_load_explicit(&r->filled, memory_order_relaxed);
  place *p = &r->places[filled % PLACES];
  if (filled - r->emptied == PLACES || answer->n > ITEMS || !copy(p, request)) {
    rs_count_add(&shadow->server->counts[worker].shadow_skipped, 1);
    return;
  }
  p->request.now = answer->now; /* the versions' own last moments differ */
  p->n = answer->n;
  for (int64_t i = 0; i < answer->n; i++) p->items[i] = item_hash(m, answer->items[i].row);
  r->filled = filled + 1;
}

/* The thread. */

static int64_t shared_items(const place *p, const rs_server_model *m, const rs_answer *answer) {
  int64_t n = 0;
  for (int64_t i = 0; i < answer->n; i++) {
    uint64_t hash = item_hash(m, answer->items[i].row);
    for (int64_t k = 0; k < p->n; k++) n += p->items[k] == hash;
  }
  return n;
}

static void count_overlap(rs_counts *counts, int64_t shared, int64_t most) {
  double share = most > 0 ? (double)shared / (double)most : 1;
  rs_count_add(&counts->shadow_overlap[(int)ceil(share * 10 - 1e-9)], 1);
  rs_count_add(&counts->shadow_sum, (int64_t)(share * 1e6 + 0.5));
  rs_count_add(&counts->shadow_shared, shared);
}

static void ask(rs_shadow *shadow, const place *p) {
  rs_server *s = shadow->server;
  rs_counts *counts = &s->counts[s->workers];
  rs_gate_enter(s->gate, s->workers);
  const rs_version *v = s->versions[RS_SHADOW];
  int64_t begun = rs_clock();
  if (v && rs_recommend(v->model, shadow->scratch, &p->request, &shadow->answer) == RS_OK) {
    rs_latency_add(&counts->shadow_latency, rs_clock() - begun);
    int64_t n = shadow->answer.n;
    count_overlap(counts, shared_items(p, v->model, &shadow->answer), n > p->n ? n : p->n);
    rs_count_add(&counts->answers[RS_SHADOW], 1);
  } else if (v) {
    rs_count_add(&counts->shadow_failed, 1);
  }
  rs_gate_leave(s->gate, s->workers);
}

static void *work(void *context) {
  static const struct timespec rest = {0, REST_US * 1000};
  rs_shadow *shadow = context;
  rs_parallel_alone();
  while (!shadow->ending) {
    bool idle = true;
    for (int w = 0; w < shadow->server->workers; w++) {
      ring *r = &shadow->rings[w];
      unsigned emptied = atomic_load_explicit(&r->emptied, memory_order_relaxed);
      if (r->filled == emptied) continue;
      ask(shadow, &r->places[emptied % PLACES]);
      r->emptied = emptied + 1;
      idle = false;
    }
    if (idle) nanosleep(&rest, NULL);
  }
  return NULL;
}

rs_status rs_shadow_new(rs_shadow **out, rs_server *server) {
  rs_shadow *shadow = rs_alloc_zero(sizeof *shadow);
  size_t bytes = (size_t)server->workers * sizeof *shadow->rings;
  *out = NULL;
  if (!shadow) return rs_nomem("shadow", sizeof *shadow);
  shadow->server = server;
  shadow->rings = rs_alloc_zero(bytes);
  rs_status status = shadow->rings ? rs_serve_scratch_new(&shadow->scratch) : rs_nomem("shadow", bytes);
  if (status == RS_OK) shadow->running = pthread_create(&shadow->thread, NULL, work, shadow) == 0;
  if (status == RS_OK && !shadow->running) status = rs_fail(RS_ENOMEM, "the system refuses a thread for the shadow");
  if (status == RS_OK)
    *out = shadow;
  else
    rs_shadow_free(shadow);
  return status;
}

void rs_shadow_free(rs_shadow *shadow) {
  if (!shadow) return;
  shadow->ending = true;
  if (shadow->running) pthread_join(shadow->thread, NULL);
  for (int w = 0; shadow->rings && w < shadow->server->workers; w++)
    for (int i = 0; i < PLACES; i++) rs_buffer_free(&shadow->rings[w].places[i].room);
  rs_free(shadow->rings);
  rs_serve_scratch_free(shadow->scratch);
  rs_answer_free(&shadow->answer);
  rs_free(shadow);
}
