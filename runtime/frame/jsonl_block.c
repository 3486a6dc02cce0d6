/* jsonl_block.c - see jsonl_block.h. */
#include "frame/jsonl_block.h"

#include "base/alloc.h"
#include "frame/jsonl_column.h"

bool rs_jsonl_next(const char **at, const char *end, const char **line, size_t *length) {
  const char *begin = *at, *newline = memchr(begin, '\n', (size_t)(end - begin)), *stop = newline ? newline : end;
  if (begin == end) return false;
  *at = newline ? newline + 1 : end;
  while (begin < stop && (*begin == ' ' || *begin == '\t' || *begin == '\r')) begin++;
  while (begin < stop && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t')) stop--;
  *line = begin;
  *length = (size_t)(stop - begin);
  return true;
}

/* Lines begin behind newlines, for sure. */
static const char *first_line(rs_csv_block *b, const rs_csv_layout *layout, const char *at, const char *limit) {
  (void)b;
  if (at == layout->text) return at;
  const char *newline = memchr(at - 1, '\n', (size_t)(limit - at) + 1);
  if (!newline) newline = memchr(limit, '\n', (size_t)(layout->end - limit));
  return newline ? newline + 1 : layout->end;
}

static void free_state(void *state) {
  rs_json_block *j = state;
  rs_json_line_free(&j->line);
  rs_free(j->had);
  rs_free(j);
}

/* The block's state, made at its first use. */
static rs_status open_state(rs_csv_block *b, const rs_json_fields *fields) {
  if (b->state) {
    rs_csv_words_clear(&((rs_json_block *)b->state)->line.unknown);
    return RS_OK;
  }
  rs_json_block *j = rs_alloc_zero(sizeof *j);
  if (!j) return rs_nomem("jsonl", sizeof *j);
  b->state = j;
  b->free_state = free_state;
  j->had = rs_alloc_zero((size_t)fields->n * sizeof *j->had);
  rs_status status = rs_json_line_make(&j->line, fields);
  return j->had ? status : rs_nomem("jsonl", (size_t)fields->n * sizeof *j->had);
}

/* Check a sound line by all columns, then append it to all. */
static rs_status take_line(rs_csv_block *b, const char *line, size_t length) {
  rs_json_block *j = b->state;
  bool fits = true;
  rs_status status = RS_OK;
  for (int i = 0; i < b->n_columns && status == RS_OK && fits; i++)
    status = rs_json_check(&b->columns[i], &j->line.cells[i], &b->cells.reason, &fits);
  if (status != RS_OK) return status;
  if (!fits) return rs_csv_set_aside(b, line, length, false);
  for (int i = 0; i < b->n_columns && status == RS_OK; i++) {
    j->had[i] |= j->line.cells[i].seen;
    status = rs_json_append(&b->columns[i], &j->line.cells[i], &b->cells.unescaped);
  }
  b->rows++;
  return status;
}

static rs_status read_line(rs_csv_block *b, const char *line, size_t length) {
  rs_json_line *l = &((rs_json_block *)b->state)->line;
  bool sound;
  rs_status status = rs_json_line_read(l, line, length, &sound);
  if (status != RS_OK || sound) return status == RS_OK ? take_line(b, line, length) : status;
  b->cells.reason.size = 0;
  status = rs_buffer_printf(&b->cells.reason, "%s, at byte %lld", l->problem, (long long)(l->problem_at - line) + 1);
  return status == RS_OK ? rs_csv_set_aside(b, line, length, false) : status;
}

static void read_lines(rs_csv_block *b, const rs_csv_layout *layout, const char *begin, const char *limit) {
  const char *at = begin, *line;
  size_t length;
  b->status = open_state(b, layout->fields);
  while (b->status == RS_OK && at < limit && rs_jsonl_next(&at, layout->end, &line, &length))
    if (length) b->status = read_line(b, line, length);
  b->stop = at;
}

const rs_csv_format rs_jsonl_rows = {first_line, read_lines};
