/* csv_block.c - see csv_block.h.
 *
 * Rows without quotes go by batches, column after column, over the marks of a window that stays in the first-level
 * cache; what is odd goes record by record through the scanner. */
#include "frame/csv_block.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"

enum { READABLE_BEFORE = 16, READABLE_BEHIND = 64, GUESSES = 64, PAGE = 4096 };

void rs_csv_block_free(rs_csv_block *b) {
  if (b->state) b->free_state(b->state);
  for (int i = 0; i < b->n_columns; i++) rs_csv_builder_free(&b->columns[i]);
  rs_free(b->columns);
  rs_free(b->fields);
  rs_csv_cells_free(&b->cells);
  rs_buffer_free(&b->bad);
  rs_buffer_free(&b->reasons);
  *b = (rs_csv_block){0};
}

static rs_csv_scanner scanner_at(const rs_csv_block *b, const rs_csv_layout *layout, const char *at) {
  return (rs_csv_scanner){.dialect = layout->dialect,
                          .at = at,
                          .end = layout->end,
                          .more = layout->more,
                          .expected = layout->n_fields,
                          .fields = b->fields,
                          .capacity = b->n_fields};
}

/* Whether two sound records follow, or all that is left. */
static bool begins_record(rs_csv_scanner s) {
  for (int i = 0; i < 2 && rs_csv_next(&s); i++)
    if (s.fault != RS_CSV_SOUND) return false;
  return true;
}

const char *rs_csv_block_guess(rs_csv_block *b, const rs_csv_layout *layout, const char *at, const char *limit) {
  const char *first = limit;
  if (at > layout->text) at--;
  for (int i = 0; i < GUESSES && at < limit; i++) {
    at = memchr(at, '\n', (size_t)(limit - at));
    if (!at || ++at == limit) break;
    rs_csv_scanner s = scanner_at(b, layout, at);
    rs_csv_skip_blank(&s);
    if (i == 0) first = s.at;
    if (begins_record(s)) return s.at;
  }
  return first;
}

/* The reason of a malformed record into cells.reason. */
static rs_status describe(rs_csv_block *b, const rs_csv_scanner *s) {
  rs_buffer *reason = &b->cells.reason;
  reason->size = 0;
  switch (s->fault) {
    case RS_CSV_TORN: return rs_buffer_append_text(reason, "a quote is opened and never closed");
    case RS_CSV_BROKEN: return rs_buffer_append_text(reason, "text follows a closing quote");
    default:
      return rs_buffer_printf(reason, "%d field%s instead of %d", s->n_fields, s->n_fields == 1 ? "" : "s",
                              s->expected);
  }
}

rs_status rs_csv_set_aside(rs_csv_block *b, const char *record, size_t length, bool torn) {
  rs_csv_bad bad = {record, length, b->reasons.size, b->cells.reason.size, torn};
  rs_status status = rs_buffer_append(&b->bad, &bad, sizeof bad);
  return status == RS_OK ? rs_buffer_append(&b->reasons, b->cells.reason.data, b->cells.reason.size) : status;
}

static rs_status set_aside(rs_csv_block *b, const rs_csv_scanner *s) {
  return rs_csv_set_aside(b, s->record, (size_t)(s->record_end - s->record),
                          s->fault == RS_CSV_TORN || s->fault == RS_CSV_BROKEN);
}

/* Check a sound record by all columns, then append it to all. */
static rs_status take_sound(rs_csv_block *b, const rs_csv_layout *layout, const rs_csv_scanner *s) {
  bool fits = true;
  for (int i = 0; i < b->n_columns; i++) {
    rs_status status = rs_csv_check(&b->columns[i], &b->cells, &s->fields[layout->place[i]], &fits);
    if (status != RS_OK) return status;
    if (!fits) return set_aside(b, s);
  }
  for (int i = 0; i < b->n_columns; i++) {
    rs_status status = rs_csv_append(&b->columns[i], &b->cells, &s->fields[layout->place[i]]);
    if (status != RS_OK) return status;
  }
  b->rows++;
  return RS_OK;
}

static rs_status take_record(rs_csv_block *b, const rs_csv_layout *layout, const rs_csv_scanner *s) {
  if (layout->any_encoding && !b->strays) b->strays = !rs_utf8_is_valid(s->record, (size_t)(s->record_end - s->record));
  if (s->fault == RS_CSV_SOUND) return take_sound(b, layout, s);
  rs_status status = describe(b, s);
  return status == RS_OK ? set_aside(b, s) : status;
}

/* Read the next 'n' records one by one. */
static rs_status take_records(rs_csv_block *b, const rs_csv_layout *layout, rs_csv_scanner *s, int n) {
  rs_status status = RS_OK;
  for (int i = 0; i < n && status == RS_OK && rs_csv_next(s); i++) status = take_record(b, layout, s);
  return status;
}

/* Take the rows of a batch, by columns if all of them are sound. Empties it. */
static rs_status take_batch(rs_csv_block *b, const rs_csv_layout *layout, rs_csv_batch *batch) {
  bool fits = true;
  rs_status status = RS_OK;
  int n = batch->n;
  for (int i = 0; n && i < b->n_columns && fits && status == RS_OK; i++)
    status = rs_csv_check_batch(&b->columns[i], &b->cells, batch, layout->place[i], &fits);
  if (status == RS_OK && !fits) {
    rs_csv_scanner s = scanner_at(b, layout, batch->base + batch->begin[0]);
    status = take_records(b, layout, &s, n);
  } else {
    for (int i = 0; n && i < b->n_columns && status == RS_OK; i++)
      status = rs_csv_append_batch(&b->columns[i], &b->cells, batch, layout->place[i]);
    b->rows += n;
  }
  batch->n = 0;
  return status;
}

static bool is_blank(const char *begin, const char *newline) {
  return newline == begin || (newline == begin + 1 && *begin == '\r');
}

/* Take the rows that end in a marked window of 'size' bytes at s->at, which moves on. */
static rs_status take_rows(rs_csv_block *b, const rs_csv_layout *layout, rs_csv_scanner *s, const rs_csv_marks *m,
                           int size) {
  rs_csv_batch batch;
  batch.base = s->at;
  batch.marks = m;
  batch.separator = layout->dialect->separator_length;
  batch.last = layout->n_fields - 1;
  batch.n = 0;
  rs_status status = RS_OK;
  int first = 0, begin = 0;
  for (int e = 0; e < m->n_ends && status == RS_OK && batch.base + begin < b->limit && begin < size; e++) {
    int mark = m->ends[e], at = m->at[mark];
    if (mark < first) continue; /* in a record that the scanner took */
    bool newline = batch.base[at] == '\n', blank = newline && is_blank(batch.base + begin, batch.base + at);
    if (newline && mark - first == batch.last && !blank) {
      batch.begin[batch.n] = (uint16_t)begin;
      batch.first[batch.n++] = (uint16_t)first;
      if (batch.n == RS_CSV_BATCH) status = take_batch(b, layout, &batch);
    } else if (!blank) {
      status = take_batch(b, layout, &batch);
      s->at = batch.base + begin;
      if (status == RS_OK) status = take_records(b, layout, s, 1);
      if (s->starved) return status;
      begin = s->at - batch.base < size ? (int)(s->at - batch.base) : size;
      while (first < m->n && m->at[first] < begin) first++;
      continue;
    }
    first = mark + 1;
    begin = at + 1;
  }
  if (status == RS_OK) status = take_batch(b, layout, &batch);
  if (s->at < batch.base + begin) s->at = batch.base + begin;
  return status;
}

/* Whether the marked window must be read record by record: its bytes beyond ASCII are not all well-formed UTF-8. */
static bool is_strange(const rs_csv_layout *layout, const rs_csv_marks *m, const char *text) {
  if (!m->high) return false;
  if (layout->dialect->encoding == RS_CSV_LATIN1 || m->n_ends == 0) return true;
  return !rs_utf8_is_valid(text, (size_t)m->at[m->ends[m->n_ends - 1]]);
}

static rs_status read_records(rs_csv_block *b, const rs_csv_layout *layout, rs_csv_scanner *s) {
  rs_csv_marks marks;
  const char *slow = layout->text + READABLE_BEFORE; /* up to here record by record */
  bool markable = rs_csv_markable(layout->dialect);
  rs_status status = RS_OK;
  while (status == RS_OK && rs_csv_skip_blank(s) && s->at < b->limit && !s->starved) {
    const char *before = s->at;
    int64_t size = layout->end - READABLE_BEHIND - s->at;
    if (size > RS_CSV_WINDOW) size = RS_CSV_WINDOW;
    if (markable && s->at >= slow && size > 0) {
      rs_csv_mark(&marks, layout->dialect, s->at, (int)size);
      if (is_strange(layout, &marks, s->at))
        slow = s->at + size;
      else
        status = take_rows(b, layout, s, &marks, (int)size);
    }
    if (s->at == before && status == RS_OK && !s->starved) status = take_records(b, layout, s, 1);
  }
  return status;
}

static void read_rows(rs_csv_block *b, const rs_csv_layout *layout, const char *begin, const char *limit) {
  (void)limit; /* is b->limit */
  rs_csv_scanner s = scanner_at(b, layout, begin);
  b->status = read_records(b, layout, &s);
  b->stop = s.at;
  b->starved = s.starved;
}

const rs_csv_format rs_csv_rows = {rs_csv_block_guess, read_rows};

/* Have the pages of a mapped text entered at once: one call instead of a fault for every few of them. */
static void enter_pages(const char *begin, const char *limit) {
#ifdef MADV_POPULATE_READ
  uintptr_t from = (uintptr_t)begin & ~(uintptr_t)(PAGE - 1);
  if (limit - begin >= PAGE) madvise((void *)from, (size_t)((uintptr_t)limit - from), MADV_POPULATE_READ);
#else
  (void)begin, (void)limit;
#endif
}

void rs_csv_block_read(rs_csv_block *b, const rs_csv_layout *layout, const char *begin, const char *limit) {
  b->begin = begin;
  b->limit = limit;
  b->rows = 0;
  b->strays = b->starved = false;
  b->bad.size = b->reasons.size = 0;
  if (layout->mapped) enter_pages(begin, limit);
  layout->format->read(b, layout, begin, limit);
  if (b->status != RS_OK) snprintf(b->message, sizeof b->message, "%s", rs_message());
}
