/* hnsw_walk.c - walking the graph (hnsw_parts.h).
 *
 * Nearly all time goes into waiting for memory. So the rows that a node leads to are first collected, those met before
 * left out, and all asked for at once; the links of the node that is likely to be next are asked for before the
 * products are computed. Marks are a bitmap, which for millions of rows stays in the second-level cache where a number
 * for each row would not; what was marked is taken back at the end.
 *
 * The pool is a sorted list: at the usual sizes a move of some hundred bytes costs less than sifting two heaps. */
#include "base/wide.h"
#include "retrieval/hnsw_parts.h"

#include <math.h>

static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t rs_hnsw_walker_bytes(const rs_hnsw *h, int64_t ef, int64_t frontier) {
  return round_up((size_t)ef * sizeof(uint64_t)) + round_up((size_t)frontier * sizeof(uint64_t)) +
         round_up(RS_HNSW_MET * sizeof(int32_t)) + 4 * round_up((size_t)(2 * h->options.m) * sizeof(int32_t)) +
         round_up((size_t)h->index.width * sizeof(int16_t));
}

static void *take(char **room, size_t bytes) {
  void *taken = *room;
  *room += round_up(bytes);
  return taken;
}

void rs_hnsw_walker_lay(rs_hnsw_walker *w, const rs_hnsw *h, void *room, int64_t ef, int64_t frontier,
                        uint64_t *marks) {
  char *at = room;
  size_t list = (size_t)(2 * h->options.m) * sizeof(int32_t);
  *w = (rs_hnsw_walker){.h = h, .marks = marks};
  w->pool = take(&at, (size_t)ef * sizeof *w->pool);
  w->frontier = take(&at, (size_t)frontier * sizeof *w->frontier);
  w->met = take(&at, RS_HNSW_MET * sizeof *w->met);
  w->ids = take(&at, list);
  w->rows = take(&at, list);
  w->products = take(&at, list);
  w->scores = take(&at, list);
  w->coded = take(&at, (size_t)h->index.width * sizeof *w->coded);
}

/* ---- What is searched for ---- */

void rs_hnsw_aim(rs_hnsw_walker *w, const float *query) {
  int64_t width = w->h->index.width;
  w->query = query;
  w->scale = 1;
  w->extra = 0;
  if (!w->h->options.codes) return;
  float most = 0, limit = (float)rs_hnsw_query_limit(width);
  for (int64_t i = 0; i < width; i++) most = fmaxf(most, fabsf(query[i]));
  float times = most > 0 ? limit / most : 0;
  if (!isfinite(times)) times = 0; /* all is next to nothing */
  for (int64_t i = 0; i < width; i++) w->coded[i] = (int16_t)lrintf(query[i] * times);
  w->query = w->coded;
  w->scale = most / limit;
}

void rs_hnsw_aim_row(rs_hnsw_walker *w, int32_t row) {
  const rs_hnsw *h = w->h;
  int64_t width = h->index.width;
  w->extra = h->extra ? h->extra[row] : 0;
  w->scale = 1;
  w->query = (const float *)h->rows + row * width;
  if (!h->options.codes) return;
  const int8_t *codes = (const int8_t *)h->rows + row * width;
  for (int64_t i = 0; i < width; i++) w->coded[i] = codes[i];
  w->query = w->coded;
  w->scale = h->scales[row];
}

/* ---- Scores ---- */

RS_PREFETCHES void ask_for(const rs_hnsw *h, const int32_t *at, int64_t n) {
  int64_t width = h->index.width;
  size_t bytes = (size_t)width * (h->options.codes ? sizeof(int8_t) : sizeof(float));
  for (int64_t i = 0; i < n; i++) rs_prefetch_row((const char *)h->rows + (size_t)at[i] * bytes, bytes);
  if (h->scales)
    for (int64_t i = 0; i < n; i++) __builtin_prefetch(h->scales + at[i]);
}

void rs_hnsw_score(rs_hnsw_walker *w, const int32_t *at, int64_t n) {
  const rs_hnsw *h = w->h;
  if (h->options.codes) {
    h->kernels->codes(w->query, h->rows, h->index.width, at, n, w->products);
    for (int64_t i = 0; i < n; i++) w->scores[i] = (float)w->products[i] * (w->scale * h->scales[at[i]]);
  } else {
    h->kernels->floats(w->query, h->rows, h->index.width, at, n, w->scores);
  }
  if (w->extra != 0)
    for (int64_t i = 0; i < n; i++) w->scores[i] += w->extra * h->extra[at[i]];
}

/* ---- Marks ---- */

/* Mark a node; false: it was marked before. */
static bool mark(rs_hnsw_walker *w, int32_t id) {
  if (rs_bitmap_has(w->marks, id)) return false;
  rs_bitmap_set(w->marks, id);
  if (w->n_met < RS_HNSW_MET) w->met[w->n_met] = id;
  w->n_met++;
  return true;
}

static void take_back(rs_hnsw_walker *w, int64_t nodes) {
  if (w->n_met <= RS_HNSW_MET)
    for (int64_t i = 0; i < w->n_met; i++) w->marks[w->met[i] >> 6] = 0;
  else
    rs_bitmap_fill(w->marks, nodes, false);
  w->n_met = 0;
}

/* ---- From node to node ---- */

/* Collect the nodes that 'id' leads to and that were not met before: gives their number. What lies outside ends a
 * list as -1 does, so that a damaged file leads nowhere. */
RS_INLINE int64_t collect(rs_hnsw_walker *w, const bool upper, int32_t level, int32_t id) {
  const rs_hnsw *h = w->h;
  int64_t most, n = 0;
  const int32_t *links = rs_hnsw_links_of(h, upper ? level : 0, id, &most);
  uint32_t nodes = (uint32_t)(upper ? h->n_upper : h->index.n);
  bool listed = w->n_met + most <= RS_HNSW_MET;
  int32_t *met = w->met + w->n_met;
  for (int64_t i = 0; links && i < most; i++) {
    uint32_t to = (uint32_t)links[i];
    if (to >= nodes) break;
    uint64_t bit = UINT64_C(1) << (to & 63), *word = &w->marks[to >> 6];
    w->ids[n] = (int32_t)to;
    if (listed) met[n] = (int32_t)to;
    n += !(*word & bit);
    *word |= bit;
  }
  w->n_met = listed ? w->n_met + n : RS_HNSW_MET + 1;
  w->looked += n;
  for (int64_t i = 0; i < n; i++) w->rows[i] = upper ? h->upper_rows[w->ids[i]] : w->ids[i];
  ask_for(h, w->rows, n);
  return n;
}

RS_INLINE void ask_for_links(const rs_hnsw *h, int32_t level, int64_t id) {
  if (level > 0) return; /* few, and in the cache */
  const char *links = (const char *)(h->links + id * 2 * h->options.m);
  for (int64_t at = 0; at < 8 * h->options.m; at += 64) __builtin_prefetch(links + at);
}

static void begin(rs_hnsw_walker *w, int32_t from, int32_t level) {
  int32_t row = level > 0 ? w->h->upper_rows[from] : from;
  mark(w, from);
  rs_hnsw_score(w, &row, 1);
  w->pool[0] = rs_hnsw_key(w->scores[0], from);
  w->size = 1;
  w->looked = 1;
}

RS_INLINE void walk(rs_hnsw_walker *w, const bool upper, int32_t level, int64_t ef) {
  int64_t next = 0;
  while (next < w->size) {
    uint64_t key = w->pool[next];
    if (!(key & 1)) {
      next++;
      continue;
    }
    w->pool[next] = key & ~UINT64_C(1);
    int64_t n = collect(w, upper, level, rs_hnsw_key_id(key)), lowest = ++next;
    if (next < w->size) ask_for_links(w->h, level, rs_hnsw_key_id(w->pool[next]));
    rs_hnsw_score(w, w->rows, n);
    for (int64_t i = 0; i < n; i++) {
      int64_t place = rs_hnsw_insert(w->pool, &w->size, ef, rs_hnsw_key(w->scores[i], w->ids[i]));
      if (place < lowest) lowest = place;
    }
    next = lowest;
  }
}

void rs_hnsw_walk(rs_hnsw_walker *w, int32_t from, int32_t level, int64_t ef) {
  begin(w, from, level);
  if (level > 0)
    walk(w, true, level, ef);
  else
    walk(w, false, 0, ef);
  take_back(w, level > 0 ? w->h->n_upper : w->h->index.n);
}

/* The best neighbour of a node on an upper level, or itself; *score is that of the one given. */
static int32_t step(rs_hnsw_walker *w, int32_t level, int32_t id, float *score) {
  const rs_hnsw *h = w->h;
  int64_t most, n = 0;
  const int32_t *links = rs_hnsw_links_of(h, level, id, &most);
  for (; links && n < most && (uint32_t)links[n] < (uint32_t)h->n_upper; n++) w->rows[n] = h->upper_rows[links[n]];
  ask_for(h, w->rows, n);
  rs_hnsw_score(w, w->rows, n);
  int32_t best = id;
  for (int64_t i = 0; i < n; i++)
    if (w->scores[i] > *score) *score = w->scores[i], best = links[i];
  return best;
}

int32_t rs_hnsw_descend(rs_hnsw_walker *w, int32_t from, int32_t from_level, int32_t level) {
  const rs_hnsw *h = w->h;
  rs_hnsw_score(w, &h->upper_rows[from], 1);
  float score = w->scores[0];
  int32_t id = from;
  for (int32_t at = from_level; at > level; at--)
    for (int32_t to; (to = step(w, at, id, &score)) != id;) id = to; /* the score rises, so there is an end */
  return level == 0 ? h->upper_rows[id] : id;
}

/* ---- With a filter ---- */

static void push(uint64_t *heap, int64_t size, uint64_t key) {
  int64_t at = size;
  for (int64_t up; at > 0 && heap[up = (at - 1) / 2] < key; at = up) heap[at] = heap[up];
  heap[at] = key;
}

/* Take the greatest of 'size' away. */
static uint64_t pop(uint64_t *heap, int64_t size) {
  uint64_t top = heap[0], last = heap[size - 1];
  int64_t at = 0, n = size - 1;
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && heap[child + 1] > heap[child]) child++;
    if (heap[child] <= last) break;
    heap[at] = heap[child];
  }
  heap[at] = last;
  return top;
}

bool rs_hnsw_walk_filtered(rs_hnsw_walker *w, int32_t from, int64_t ef, const rs_index_query *q,
                           const rs_index_scratch *s, int64_t limit) {
  int64_t waiting = 1;
  begin(w, from, 0);
  w->frontier[0] = w->pool[0];
  w->size = !rs_hnsw_is_dead(w->h, from) && rs_index_may(q, s, from);
  while (waiting > 0 && w->looked <= limit) {
    uint64_t key = pop(w->frontier, waiting--);
    if (w->size == ef && key < w->pool[ef - 1]) break;
    int64_t n = collect(w, false, 0, rs_hnsw_key_id(key));
    if (waiting > 0) ask_for_links(w->h, 0, rs_hnsw_key_id(w->frontier[0]));
    rs_hnsw_score(w, w->rows, n);
    for (int64_t i = 0; i < n; i++) {
      uint64_t found = rs_hnsw_key(w->scores[i], w->ids[i]);
      if (w->size == ef && found < w->pool[ef - 1]) continue;
      push(w->frontier, waiting++, found);
      if (!rs_hnsw_is_dead(w->h, w->ids[i]) && rs_index_may(q, s, w->ids[i]))
        rs_hnsw_insert(w->pool, &w->size, ef, found);
    }
  }
  take_back(w, w->h->index.n);
  return w->looked <= limit;
}
