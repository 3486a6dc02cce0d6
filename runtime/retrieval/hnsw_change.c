/* hnsw_change.c - rows that join, change or leave (hnsw.h). */
#include "base/alloc.h"
#include "retrieval/hnsw_round.h"

enum { LEAST_ROOM = 256 }; /* rows */

/* ---- Room ---- */

/* Rows of a part that are in use. */
static int64_t used(const rs_hnsw *h, int part) {
  switch (part) {
    case RS_HNSW_UPPER_ROWS: return h->n_upper;
    case RS_HNSW_UPPER_STARTS: return h->n_upper + 1;
    case RS_HNSW_UPPER_LINKS: return h->upper_starts[h->n_upper];
    case RS_HNSW_DEAD: return rs_bitmap_words(h->index.n);
    default: return h->index.n;
  }
}

static int64_t bytes_of_row(const rs_tensor *t) {
  return (t->ndim == 2 ? t->size[1] : 1) * (int64_t)rs_dtype_size(t->dtype);
}

static void copy_parts(const rs_hnsw *h, rs_tensor next[RS_HNSW_PARTS]) {
  for (int i = 0; i < RS_HNSW_PARTS; i++) {
    if (!next[i].storage) continue;
    size_t bytes = (size_t)(used(h, i) * bytes_of_row(&next[i]));
    if (h->parts[i].storage && bytes > 0) memcpy(rs_tensor_data(&next[i]), rs_tensor_data(&h->parts[i]), bytes);
    if (i == RS_HNSW_DEAD) {
      size_t kept = h->dead ? bytes : 0;
      memset((char *)rs_tensor_data(&next[i]) + kept, 0, rs_tensor_bytes(&next[i]) - kept);
    }
    if (i == RS_HNSW_EXTRA && !h->extra)
      rs_hnsw_extra_of(h, rs_f32(&h->vectors), h->index.n, rs_f32(&next[i]));
  }
}

/* The upper nodes and lists that rows up to 'rows' need; their levels are known. */
static rs_status make_next(rs_hnsw *h, int64_t rows) {
  int64_t upper = h->n_upper, lists = h->upper_starts ? h->upper_starts[upper] : 0;
  for (int64_t i = h->index.n; i < rows; i++) {
    int32_t level = rs_hnsw_level_of(&h->options, i);
    upper += level > 0;
    lists += level;
  }
  for (int i = 0; i < RS_HNSW_PARTS; i++) rs_tensor_free(&h->next[i]);
  rs_status status = rs_hnsw_make_parts(h, h->next, rows, upper, lists);
  if (status == RS_OK) copy_parts(h, h->next);
  for (int i = 0; status != RS_OK && i < RS_HNSW_PARTS; i++) rs_tensor_free(&h->next[i]);
  return status;
}

static rs_status make_round(rs_hnsw *h, int64_t rows) {
  rs_hnsw_round *round = rs_alloc_zero(sizeof *round);
  if (!round) return rs_nomem("index", sizeof *round);
  rs_status status = rs_hnsw_round_new(round, h, 1, 1 + RS_HNSW_LEVELS, rows);
  if (status != RS_OK) {
    rs_free(round);
    return status;
  }
  if (h->round) rs_hnsw_round_free(h->round);
  rs_free(h->round);
  h->round = round;
  return RS_OK;
}

rs_status rs_hnsw_reserve(rs_hnsw *h, int64_t n) {
  if (n < h->index.n || n > INT32_MAX)
    return rs_fail(RS_EARG, "index: room for %lld rows in an index of %lld", (long long)n, (long long)h->index.n);
  for (int i = 0; !h->ready && i < RS_HNSW_PARTS; i++) rs_tensor_free(&h->next[i]);
  if (h->round && h->round->room >= n) return RS_OK;
  int64_t rows = n + n / 8 + LEAST_ROOM;
  if (rows > INT32_MAX) rows = INT32_MAX;
  rs_status status = make_next(h, rows);
  if (status == RS_OK) status = make_round(h, rows);
  h->ready = status == RS_OK;
  for (int i = 0; status != RS_OK && i < RS_HNSW_PARTS; i++) rs_tensor_free(&h->next[i]);
  return status;
}

/* Use what was reserved; what was in use is freed by the next reservation, not now. */
static void use_next(rs_hnsw *h) {
  if (!h->ready) return;
  for (int i = 0; i < RS_HNSW_PARTS; i++) {
    rs_tensor before = h->parts[i];
    h->parts[i] = h->next[i], h->next[i] = before;
  }
  h->ready = false;
  rs_hnsw_look(h);
  if (h->index.n == 0) h->upper_starts[0] = 0;
}

/* ---- Rows ---- */

/* The round becomes that of a row that was there, which stands where it stood. */
static void take_row(rs_hnsw_round *r, int64_t row) {
  const rs_hnsw *h = r->h;
  r->first = row;
  r->n = 1;
  r->levels[0] = 0;
  r->upper[0] = -1;
  for (int64_t i = 0; i < h->n_upper; i++)
    if (h->upper_rows[i] == row) {
      int32_t lists = h->upper_starts[i + 1] - h->upper_starts[i];
      r->upper[0] = (int32_t)i;
      r->levels[0] = (uint8_t)(lists < RS_HNSW_LEVELS ? lists : RS_HNSW_LEVELS);
      break;
    }
  r->row_end = h->index.n;
  r->upper_end = h->n_upper;
}

void rs_hnsw_put(rs_hnsw *h, const rs_tensor *vectors, int64_t row) {
  const float *vector = rs_f32(vectors) + row * h->index.width;
  use_next(h);
  rs_tensor old = h->vectors;
  rs_tensor_share(&h->vectors, vectors);
  rs_tensor_free(&old);
  rs_hnsw_look(h);
  if (h->extra) rs_hnsw_extra_of(h, vector, 1, rs_f32(&h->parts[RS_HNSW_EXTRA]) + row);
  if (h->options.codes)
    rs_hnsw_codes_of(vector, 1, h->index.width, (int8_t *)rs_u8(&h->parts[RS_HNSW_CODES]) + row * h->index.width,
                     rs_f32(&h->parts[RS_HNSW_SCALES]) + row);
  if (rs_hnsw_is_dead(h, row)) h->n_dead--;
  rs_bitmap_clear(h->dead, row);
  if (row < h->index.n)
    take_row(h->round, row);
  else
    rs_hnsw_round_levels(h->round, row, 1);
  rs_hnsw_round_run(h->round);
  rs_hnsw_round_apply(h->round);
}

/* ---- Leaving ---- */

/* Put the nodes of a list into the pool, but for 'without' and 'own'; gives false when 'without' was not in it. */
static bool add_list(rs_hnsw_walker *w, int32_t level, int32_t of, int32_t own, int32_t without) {
  const rs_hnsw *h = w->h;
  int64_t most;
  const int32_t *list = rs_hnsw_links_of(h, level, of, &most);
  uint32_t nodes = (uint32_t)(level > 0 ? h->n_upper : h->index.n);
  bool found = false;
  for (int64_t i = 0; list && i < most && (uint32_t)list[i] < nodes; i++) {
    found |= list[i] == without;
    if (list[i] == without || list[i] == own) continue;
    bool there = false;
    for (int64_t j = 0; j < w->size; j++) there |= rs_hnsw_key_id(w->pool[j]) == list[i];
    if (there) continue;
    int32_t row = level > 0 ? h->upper_rows[list[i]] : list[i];
    rs_hnsw_score(w, &row, 1);
    rs_hnsw_insert(w->pool, &w->size, 4 * h->options.m, rs_hnsw_key(w->scores[0], list[i]));
  }
  return found;
}

/* The list of a neighbour that leads to 'gone' leads to the best of that one's neighbours instead. */
static void bridge(rs_hnsw_walker *w, int32_t level, int32_t node, int32_t gone) {
  const rs_hnsw *h = w->h;
  int64_t most;
  int32_t *list = rs_hnsw_links_of(h, level, node, &most);
  if (!list) return;
  rs_hnsw_aim_row(w, level > 0 ? h->upper_rows[node] : node);
  w->size = 0;
  if (!add_list(w, level, node, node, gone)) return;
  add_list(w, level, gone, node, gone);
  int64_t n = rs_hnsw_choose(w, w->pool, w->size, most, level > 0 ? h->upper_rows : NULL);
  for (int64_t i = 0; i < most; i++) list[i] = i < n ? rs_hnsw_key_id(w->pool[i]) : -1;
}

void rs_hnsw_delete(rs_hnsw *h, int64_t row) {
  use_next(h);
  if (rs_hnsw_is_dead(h, row)) return;
  rs_bitmap_set(h->dead, row);
  h->n_dead++;
  take_row(h->round, row);
  rs_hnsw_walker w = rs_hnsw_round_walker(h->round);
  for (int32_t level = 0; level <= h->round->levels[0]; level++) {
    int32_t gone = level > 0 ? h->round->upper[0] : (int32_t)row;
    uint32_t nodes = (uint32_t)(level > 0 ? h->n_upper : h->index.n);
    int64_t most;
    const int32_t *list = rs_hnsw_links_of(h, level, gone, &most);
    for (int64_t i = 0; list && i < most && (uint32_t)list[i] < nodes; i++)
      if (list[i] != gone) bridge(&w, level, list[i], gone);
  }
}
