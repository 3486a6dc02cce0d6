/* hnsw_round.c - linking rows (hnsw_round.h): first each row looks for its neighbours, in parallel, in a graph that
 * does not change; then every list that the new rows are to join is made anew, in parallel, as no two threads have the
 * same one. What comes out depends on neither the threads nor their order. */
#include "retrieval/hnsw_round.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/rng.h"

enum { TOGETHER = 4 /* rows that are compared at once */, ROW = 0xFFFFFF /* of a link back: the row of the round */ };

/* ---- Choosing ---- */

/* Whether one of the chosen is nearer to 'row' than 'score'. */
static bool covered(rs_hnsw_walker *w, int32_t row, float score, const int32_t *chosen, int64_t n) {
  rs_hnsw_aim_row(w, row);
  for (int64_t at = 0; at < n; at += TOGETHER) {
    int64_t some = n - at < TOGETHER ? n - at : TOGETHER;
    rs_hnsw_score(w, chosen + at, some);
    for (int64_t i = 0; i < some; i++)
      if (w->scores[i] > score) return true;
  }
  return false;
}

int64_t rs_hnsw_choose(rs_hnsw_walker *w, uint64_t *keys, int64_t n, int64_t most, const int32_t *rows) {
  int64_t kept = 0;
  int32_t *chosen = w->rows;
  for (int64_t i = 0; i < n && kept < most; i++) {
    int32_t id = rs_hnsw_key_id(keys[i]), row = rows ? rows[id] : id;
    if (rs_hnsw_is_dead(w->h, row)) continue;
    if (covered(w, row, rs_hnsw_key_score(keys[i]), chosen, kept)) continue;
    chosen[kept] = row;
    keys[kept++] = keys[i];
  }
  return kept;
}

/* ---- Rooms ---- */

/* Keys in a walker's pool: candidates, or a full list and all that joins it, be it another list. */
static int64_t keys_of(const rs_hnsw_round *r) {
  int64_t ef = r->h->options.ef_construction, list = 4 * r->h->options.m + r->most;
  return ef > list ? ef : list;
}

rs_hnsw_walker rs_hnsw_round_walker(const rs_hnsw_round *r) {
  rs_index_scratch *s = &r->scratches[rs_thread_index()];
  rs_hnsw_walker w;
  rs_hnsw_walker_lay(&w, r->h, s->room, keys_of(r), 0, s->marks);
  return w;
}

static rs_status make_scratch(rs_hnsw_round *r, rs_index_scratch *s) {
  size_t room = rs_hnsw_walker_bytes(r->h, keys_of(r), 0);
  size_t marks = (size_t)rs_bitmap_words(r->room) * sizeof(uint64_t);
  if (!rs_index_room(s, room) || !rs_index_marks(s, marks)) return rs_nomem("index", room + marks);
  return RS_OK;
}

rs_status rs_hnsw_round_new(rs_hnsw_round *r, rs_hnsw *h, int64_t most, int64_t lists, int64_t room) {
  int64_t m = h->options.m;
  *r = (rs_hnsw_round){.h = h, .most = most, .room = room, .threads = rs_threads()};
  size_t backs = (size_t)(lists * m);
  r->levels = rs_alloc((size_t)most);
  r->upper = rs_alloc((size_t)most * sizeof *r->upper);
  r->scratches = rs_alloc_zero((size_t)r->threads * sizeof *r->scratches);
  r->backs = rs_alloc(backs * sizeof *r->backs);
  r->groups = rs_alloc((backs + 1) * sizeof *r->groups);
  r->edits = rs_alloc(backs * sizeof *r->edits);
  r->lists = rs_alloc(backs * (size_t)(2 * m) * sizeof *r->lists);
  bool fits = r->levels && r->upper && r->scratches && r->backs && r->groups && r->edits && r->lists;
  rs_status status = fits ? RS_OK : rs_nomem("index", backs * (size_t)(2 * m) * sizeof *r->lists);
  for (int t = 0; status == RS_OK && t < r->threads; t++) status = make_scratch(r, &r->scratches[t]);
  if (status != RS_OK) rs_hnsw_round_free(r);
  return status;
}

void rs_hnsw_round_free(rs_hnsw_round *r) {
  for (int t = 0; r->scratches && t < r->threads; t++) rs_index_scratch_free(&r->scratches[t]);
  void *blocks[] = {r->levels, r->upper, r->scratches, r->backs, r->groups, r->edits, r->lists};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) rs_free(blocks[i]);
  *r = (rs_hnsw_round){0};
}

int32_t rs_hnsw_level_of(const rs_hnsw_options *options, int64_t row) {
  rs_stream s = rs_stream_at((uint64_t)options->seed, RS_RNG_HNSW, 0, 0);
  double level = -log(1 - rs_stream_f64(&s, (uint64_t)row)) / log((double)options->m);
  int32_t whole = level < RS_HNSW_LEVELS ? (int32_t)level : RS_HNSW_LEVELS;
  return row == 0 && whole == 0 ? 1 : whole; /* there is always an upper node to begin from */
}

/* The node of a row of the round on a level. */
static int32_t node_of(const rs_hnsw_round *r, int64_t mine, int32_t level) {
  return level > 0 ? r->upper[mine] : (int32_t)(r->first + mine);
}

/* ---- What a row's neighbours are ---- */

/* Put the round's earlier rows that stand on the level among the candidates. */
static void add_mates(rs_hnsw_walker *w, const rs_hnsw_round *r, int64_t mine, int32_t level, int64_t ef) {
  int32_t rows[TOGETHER], ids[TOGETHER];
  for (int64_t at = 0; at < mine;) {
    int64_t n = 0;
    for (; at < mine && n < TOGETHER; at++)
      if (r->levels[at] >= level) rows[n] = (int32_t)(r->first + at), ids[n++] = node_of(r, at, level);
    rs_hnsw_score(w, rows, n);
    for (int64_t i = 0; i < n; i++)
      rs_hnsw_insert(w->pool, &w->size, ef, rs_hnsw_key(w->scores[i], ids[i]));
  }
}

/* Take a node out of the pool: a row that was there finds itself. */
static void forget(rs_hnsw_walker *w, int32_t id) {
  int64_t n = 0;
  for (int64_t i = 0; i < w->size; i++)
    if (rs_hnsw_key_id(w->pool[i]) != id) w->pool[n++] = w->pool[i];
  w->size = n;
}

static void write_list(int32_t *list, int64_t most, const uint64_t *keys, int64_t n) {
  for (int64_t i = 0; i < most; i++) list[i] = i < n ? rs_hnsw_key_id(keys[i]) : -1;
}

/* One row's lists, from its highest level down. */
static void link_row(rs_hnsw_walker *w, const rs_hnsw_round *r, int64_t mine) {
  const rs_hnsw *h = r->h;
  int32_t row = (int32_t)(r->first + mine), level = r->levels[mine], from = h->entry, top = h->levels;
  int64_t ef = h->options.ef_construction;
  rs_hnsw_aim_row(w, row);
  if (top > level) from = rs_hnsw_descend(w, from, top, level);
  for (int32_t at = level; at >= 0; at--) {
    w->size = 0;
    if (at <= top && h->index.n > 0) {
      rs_hnsw_walk(w, from, at, ef);
      from = rs_hnsw_key_id(w->pool[0]);
      if (at == 1) from = h->upper_rows[from];
    }
    add_mates(w, r, mine, at, ef);
    forget(w, node_of(r, mine, at));
    int64_t most, n = rs_hnsw_choose(w, w->pool, w->size, h->options.m, at > 0 ? r->h->upper_rows : NULL);
    int32_t *list = rs_hnsw_links_of(r->h, at, node_of(r, mine, at), &most);
    write_list(list, most, w->pool, n);
    rs_hnsw_aim_row(w, row);
  }
}

static void link_rows(void *context, int64_t begin, int64_t end) {
  const rs_hnsw_round *r = context;
  rs_hnsw_walker w = rs_hnsw_round_walker(r);
  for (int64_t i = begin; i < end; i++) link_row(&w, r, i);
}

/* ---- What others' lists become ---- */

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* A link back as a number: level, node, row of the round. */
static uint64_t back_of(int32_t level, int32_t id, int64_t mine) {
  return (uint64_t)level << 56 | (uint64_t)id << 24 | (uint64_t)mine;
}

static void collect_backs(rs_hnsw_round *r) {
  r->n_backs = 0;
  for (int64_t i = 0; i < r->n; i++)
    for (int32_t level = 0; level <= r->levels[i]; level++) {
      int64_t most;
      const int32_t *list = rs_hnsw_links_of(r->h, level, node_of(r, i, level), &most);
      for (int64_t j = 0; j < most && list[j] >= 0; j++) r->backs[r->n_backs++] = back_of(level, list[j], i);
    }
  qsort(r->backs, (size_t)r->n_backs, sizeof *r->backs, by_number);
  r->n_edits = 0;
  for (int64_t i = 0; i < r->n_backs; i++) {
    if (i > 0 && r->backs[i] >> 24 == r->backs[i - 1] >> 24) continue;
    r->groups[r->n_edits] = i;
    r->edits[r->n_edits] = (rs_hnsw_edit){(int32_t)(r->backs[i] >> 56), (int32_t)(r->backs[i] >> 24 & 0xFFFFFFFF),
                                          r->n_edits * 2 * r->h->options.m};
    r->n_edits++;
  }
  r->groups[r->n_edits] = r->n_backs;
}

/* Whether a node is among those that join an edit's list: a row that was there may be in it already. */
static bool joins(const rs_hnsw_round *r, int64_t edit, int32_t level, int32_t id) {
  if (r->first >= r->h->index.n) return false; /* a new one is not */
  for (int64_t i = r->groups[edit]; i < r->groups[edit + 1]; i++)
    if (node_of(r, (int64_t)(r->backs[i] & ROW), level) == id) return true;
  return false;
}

/* The list that an edit is of, with the rows that join it: as it is where there is room, else the best of all. */
static void merge_list(rs_hnsw_walker *w, const rs_hnsw_round *r, int64_t edit) {
  const rs_hnsw *h = r->h;
  int32_t level = r->edits[edit].level, id = r->edits[edit].id, *out = r->lists + r->edits[edit].at;
  const uint64_t *backs = r->backs + r->groups[edit];
  const int32_t *rows = level > 0 ? h->upper_rows : NULL;
  int64_t most, n = 0, more = r->groups[edit + 1] - r->groups[edit];
  const int32_t *list = rs_hnsw_links_of(h, level, id, &most);
  uint32_t nodes = (uint32_t)(level > 0 ? r->upper_end : r->row_end);
  if (!list) return; /* a file said that the node stands here, and lied */
  for (int64_t i = 0; i < most && (uint32_t)list[i] < nodes; i++)
    if (!joins(r, edit, level, list[i])) out[n++] = list[i];
  if (n + more <= most) {
    for (int64_t i = n; i < most; i++) out[i] = i < n + more ? node_of(r, (int64_t)(backs[i - n] & ROW), level) : -1;
    return;
  }
  rs_hnsw_aim_row(w, rows ? rows[id] : id);
  w->size = 0;
  for (int64_t i = 0; i < n + more; i++) {
    int32_t other = i < n ? out[i] : node_of(r, (int64_t)(backs[i - n] & ROW), level);
    int32_t row = rows ? rows[other] : other;
    rs_hnsw_score(w, &row, 1);
    rs_hnsw_insert(w->pool, &w->size, n + more, rs_hnsw_key(w->scores[0], other));
  }
  write_list(out, most, w->pool, rs_hnsw_choose(w, w->pool, w->size, most, rows));
}

static void merge_lists(void *context, int64_t begin, int64_t end) {
  const rs_hnsw_round *r = context;
  rs_hnsw_walker w = rs_hnsw_round_walker(r);
  for (int64_t i = begin; i < end; i++) merge_list(&w, r, i);
}

void rs_hnsw_round_levels(rs_hnsw_round *r, int64_t first, int64_t n) {
  rs_hnsw *h = r->h;
  int64_t node = h->n_upper;
  r->first = first;
  r->n = n;
  for (int64_t i = 0; i < n; i++) {
    int32_t level = rs_hnsw_level_of(&h->options, first + i);
    r->levels[i] = (uint8_t)level;
    r->upper[i] = -1;
    if (level == 0) continue;
    r->upper[i] = (int32_t)node;
    h->upper_rows[node] = (int32_t)(first + i);
    h->upper_starts[node + 1] = h->upper_starts[node] + level;
    node++;
  }
  r->row_end = first + n;
  r->upper_end = node;
}

void rs_hnsw_round_run(rs_hnsw_round *r) {
  rs_parallel_for(r->n, 4, link_rows, r);
  collect_backs(r);
  rs_parallel_for(r->n_edits, r->n > 1 ? 32 : r->n_edits, merge_lists, r); /* those of a row alone: on this thread */
}

void rs_hnsw_round_apply(rs_hnsw_round *r) {
  rs_hnsw *h = r->h;
  for (int64_t i = 0; i < r->n_edits; i++) {
    int64_t most;
    int32_t *list = rs_hnsw_links_of(h, r->edits[i].level, r->edits[i].id, &most);
    if (list) memcpy(list, r->lists + r->edits[i].at, (size_t)most * sizeof *list);
  }
  if (r->first < h->index.n) return; /* a row that was there */
  h->index.n = r->first + r->n;
  for (int64_t i = 0; i < r->n; i++) {
    h->n_upper += r->levels[i] > 0;
    if (r->levels[i] > h->levels) h->levels = r->levels[i], h->entry = r->upper[i];
  }
}
