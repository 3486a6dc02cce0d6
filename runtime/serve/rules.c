/* rules.c - see rules.h. Each item is counted once, under what left it out first: a rule (the window, the filter, that it
 * was withdrawn or excluded), then that it was seen. */
#include "serve/rules.h"

#include "base/alloc.h"
#include "serve/filter.h"
#include "serve/items.h"
#include "serve/moment.h"

/* The bitmap of the items that were created in the window before 'now'. */
static const uint64_t *window(const rs_server_model *m, rs_serve_scratch *s, int64_t now) {
  int64_t from = rs_window_from(m, now), n = m->vectors.size[0];
  if (s->window_known && s->window_from == from && s->window_to == now) return s->window.data;
  uint64_t *bits = rs_block_need(&s->window, (size_t)rs_bitmap_words(n) * sizeof *bits);
  const int64_t *created = rs_i64(&m->created);
  s->window_known = false;
  if (!bits) return NULL;
  rs_bitmap_fill(bits, n, false);
  for (int64_t i = 0; i < n; i++) bits[i >> 6] |= (uint64_t)(from <= created[i] && created[i] < now) << (i & 63);
  s->window_n = rs_bitmap_count(bits, n);
  s->window_from = from, s->window_to = now, s->window_known = true;
  return bits;
}

/* What the filter and the window let pass into *allow, NULL for everything, and how many items that is. */
static rs_status allowed(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request, int64_t now,
                         const uint64_t **allow, int64_t *n_allowed) {
  int64_t n = m->vectors.size[0];
  size_t bytes = (size_t)rs_bitmap_words(n) * sizeof(uint64_t);
  const uint64_t *timely = NULL;
  *allow = NULL;
  *n_allowed = n;
  if (rs_has_window(m)) {
    timely = *allow = window(m, s, now);
    if (!timely) return rs_nomem("request", bytes);
    *n_allowed = s->window_n;
  }
  if (!request->filter.text) return RS_OK;
  rs_status status = rs_filter_bitmap(m, s, request->filter, allow, n_allowed);
  if (status != RS_OK || !timely) return status;
  uint64_t *both = rs_block_need(&s->both, bytes);
  if (!both) return rs_nomem("request", bytes);
  memcpy(both, *allow, bytes);
  rs_bitmap_and(both, timely, n);
  *allow = both;
  *n_allowed = rs_bitmap_count(both, n);
  return RS_OK;
}

/* The same without the items that were withdrawn. */
static rs_status without_withdrawn(const rs_server_model *m, rs_serve_scratch *s, const uint64_t **allow,
                                   int64_t *n_allowed) {
  int64_t n = m->vectors.size[0], words = rs_bitmap_words(n);
  if (m->n_withdrawn == 0) return RS_OK;
  bool ours = *allow && *allow == s->both.data;
  uint64_t *both = ours ? s->both.data : rs_block_need(&s->both, (size_t)words * sizeof *both);
  if (!both) return rs_nomem("request", (size_t)words * sizeof *both);
  if (!*allow)
    rs_bitmap_fill(both, n, true);
  else if (!ours)
    memcpy(both, *allow, (size_t)words * sizeof *both);
  for (int64_t i = 0; i < words && i < m->withdrawn_words; i++) both[i] &= ~m->withdrawn[i];
  *allow = both;
  *n_allowed = rs_bitmap_count(both, n);
  return RS_OK;
}

/* Bar a row that may be found so far; false when it may not. */
static bool bar(const rs_rules *rules, uint64_t *bars, int32_t *gone, int64_t *n, int32_t row) {
  if (!rs_rules_allow(rules, row)) return false;
  rs_bitmap_set(bars, row);
  gone[(*n)++] = row;
  return true;
}

/* Bar the items that were withdrawn; gives how many of them could have been found. */
static int64_t bar_withdrawn(const rs_server_model *m, const rs_rules *rules, uint64_t *bars, int32_t *gone,
                             int64_t *n) {
  int64_t count = 0;
  for (int64_t w = 0; w < m->withdrawn_words; w++)
    for (uint64_t rest = m->withdrawn[w]; rest; rest &= rest - 1)
      count += bar(rules, bars, gone, n, (int32_t)(w * 64 + rs_bitmap_first(rest)));
  return count;
}

/* A bitmap of no rows: kept empty between requests, so that only new memory is cleared. */
static uint64_t *no_bars(rs_serve_scratch *s, size_t bytes) {
  if (s->barred.data && s->barred.bytes >= bytes) return s->barred.data;
  uint64_t *bits = rs_block_need(&s->barred, bytes);
  return bits ? memset(bits, 0, s->barred.bytes) : NULL;
}

/* Forget what was worked out for another model, or for this one with other items. */
static void meet(const rs_server_model *m, rs_serve_scratch *s) {
  if (s->model == m->identity) return;
  for (int i = 0; i < RS_KEPT_FILTERS; i++) s->filters[i].used = 0;
  s->window_known = false;
  s->model = m->identity;
}

rs_status rs_rules_of(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request, const int32_t *seen,
                      int64_t n_seen, rs_answer *answer, rs_rules *out) {
  int64_t n_allowed = 0, excluded = 0;
  size_t bytes = (size_t)rs_bitmap_words(m->vectors.size[0]) * sizeof(uint64_t);
  int64_t taken_back = rs_bitmap_count(m->withdrawn, 64 * m->withdrawn_words);
  size_t room = (size_t)(request->n_exclude + (seen ? n_seen : 0) + taken_back) * sizeof(int32_t);
  *out = (rs_rules){0};
  meet(m, s);
  rs_status status = allowed(m, s, request, answer->now, &out->allow, &n_allowed);
  if (status == RS_OK) status = without_withdrawn(m, s, &out->allow, &n_allowed);
  if (status != RS_OK) return status;
  uint64_t *bars = no_bars(s, bytes);
  int32_t *gone = rs_block_need(&s->gone, room + 1);
  if (!bars || !gone) return rs_nomem("request", bytes + room);
  out->bars = bars;
  out->gone = gone;
  if (taken_back > 0) excluded += bar_withdrawn(m, out, bars, gone, &out->n_gone);
  for (int64_t i = 0; i < request->n_exclude; i++) {
    int64_t row = rs_server_model_find_item(m, request->exclude[i].text, request->exclude[i].length);
    answer->unknown += row < 0;
    if (row >= 0) excluded += bar(out, bars, gone, &out->n_gone, (int32_t)row);
  }
  for (int64_t i = 0; seen && i < n_seen; i++)
    if (seen[i] >= 0) answer->seen += bar(out, bars, gone, &out->n_gone, seen[i]);
  answer->rule = m->vectors.size[0] - n_allowed + excluded;
  return RS_OK;
}

void rs_rules_end(rs_serve_scratch *s, const rs_rules *rules) {
  uint64_t *bars = s->barred.data;
  for (int64_t i = 0; i < rules->n_gone; i++) bars[rules->gone[i] >> 6] = 0;
}
