/* popular.c - see popular.h. */
#include "serve/popular.h"

#include <math.h>

#include "serve/json_read.h"
#include "serve/rerank.h"

/* ---- segments ---- */

/* The segment of a column's value; -1: there is none. */
static int segment_of(const rs_popular *p, int column, rs_span value) {
  for (int i = 0; i < p->n_segments; i++)
    if (rs_i32(&p->column)[i] == column && rs_span_equal(rs_texts_at(&p->values, i), value)) return i;
  return -1;
}

static int column_named(const rs_popular *p, rs_span name) {
  for (int c = 0; c < p->n_columns; c++)
    if (rs_span_equal(rs_texts_at(&p->columns, c), name)) return c;
  return -1;
}

/* Of the fields that name a segment the one of the first column. */
static int segment_of_fields(const rs_popular *p, rs_span fields, rs_buffer *room) {
  rs_json_reader reader;
  rs_span key, value;
  int found = -1, of = p->n_columns;
  if (rs_read_begin(&reader, fields.text, fields.length, room, "fields") != RS_OK || !rs_read_object(&reader)) return -1;
  while (rs_read_key(&reader, &key)) {
    int column = column_named(p, key);
    bool text = column >= 0 && rs_read_next(&reader) == RS_READ_STRING;
    if (text ? !rs_read_text(&reader, &value) : !rs_read_any(&reader, &value)) break;
    int segment = column >= 0 && column < of ? segment_of(p, column, value) : -1;
    if (segment >= 0) found = segment, of = column;
  }
  return found;
}

int rs_popular_segment(const rs_server_model *m, rs_serve_scratch *s, int64_t row, rs_span fields) {
  const rs_popular *p = &m->popular;
  if (!rs_has_popular(m) || p->n_segments == 0) return -1;
  if (row >= 0) return row < p->users.size[0] ? rs_i32(&p->users)[row] : -1;
  return fields.text ? segment_of_fields(p, fields, &s->room) : -1;
}

void rs_server_model_segment(const rs_server_model *m, int segment, rs_span *column, rs_span *value) {
  const rs_popular *p = &m->popular;
  *column = rs_texts_at(&p->columns, rs_i32(&p->column)[segment]);
  *value = rs_texts_at(&p->values, segment);
}

const int32_t *rs_popular_rows(const rs_server_model *m, int segment, int64_t *n, const float **scores) {
  const rs_popular *p = &m->popular;
  *n = rs_has_popular(m) ? p->rows.size[0] : 0;
  *scores = *n > 0 ? rs_f32(&p->scores) : NULL;
  if (segment < 0) return *n > 0 ? rs_i32(&p->rows) : NULL;
  const int64_t *starts = rs_i64(&p->starts);
  *n = starts[segment + 1] - starts[segment];
  *scores = rs_f32(&p->segment_scores) + starts[segment];
  return rs_i32(&p->segment_rows) + starts[segment];
}

/* ---- filling ---- */

static bool has(const rs_answer *answer, int64_t n, int64_t row) {
  for (int64_t i = 0; i < n; i++)
    if (answer->items[i].row == row) return true;
  return false;
}

/* Append from one list. That of all users holds an item once. */
static void append(const rs_server_model *m, const rs_rules *rules, rs_caps *caps, int segment, int64_t k,
                   rs_answer *answer) {
  const float *scores;
  int64_t n, before = answer->n;
  const int32_t *rows = rs_popular_rows(m, segment, &n, &scores);
  for (int64_t i = 0; i < n && answer->n < k; i++) {
    if (segment >= 0) before = answer->n;
    if (!rs_rules_allow(rules, rows[i]) || has(answer, before, rows[i]) || !rs_caps_take(caps, rows[i])) continue;
    answer->items[answer->n++] = (rs_found){.row = rows[i],
                                            .score = scores[i],
                                            .model = NAN,
                                            .source = RS_BY_POPULARITY,
                                            .n_reasons = 1,
                                            .reasons = {{RS_POPULAR, (float)(i + 1), segment}}};
  }
}

/* Items that came later, of which nobody counted an event yet: the youngest first. */
static void append_new(const rs_server_model *m, const rs_rules *rules, rs_caps *caps, int64_t k, rs_answer *answer) {
  for (int64_t row = m->vectors.size[0]; row-- > m->popular.rows.size[0] && answer->n < k;)
    if (rs_rules_allow(rules, row) && rs_caps_take(caps, row))
      answer->items[answer->n++] = (rs_found){.row = row, .score = 0, .model = NAN, .source = RS_BY_POPULARITY};
}

rs_status rs_popular_fill(const rs_server_model *m, rs_serve_scratch *s, const rs_request *request,
                          const rs_rules *rules, int segment, rs_answer *answer) {
  int64_t items = m->vectors.size[0], k = request->k < items ? request->k : items;
  rs_caps caps;
  answer->n = 0;
  answer->segment = segment;
  rs_status status = rs_answer_room(answer, k);
  if (status == RS_OK) status = rs_caps_begin(&caps, m, s, request);
  if (status != RS_OK) return status;
  if (segment >= 0) append(m, rules, &caps, segment, k, answer);
  append(m, rules, &caps, -1, k, answer);
  append_new(m, rules, &caps, k, answer);
  bool capped = request->n_caps > 0 && answer->n < items - answer->seen - answer->rule;
  answer->missing = answer->n == request->k ? RS_NONE_MISSING : capped ? RS_CAPPED : RS_FEW_CANDIDATES;
  return RS_OK;
}
