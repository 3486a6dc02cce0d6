/* jsonl_column.c - see jsonl_column.h. */
#include "frame/jsonl_column.h"

#include <math.h>

#include "frame/text.h"

/* Whether a number is an integer beyond 2^53, which a double may not hold. 2^53 + 1 reads as 2^53 does: the last digit
 * tells. */
static bool is_large(const rs_json_cell *cell, double number) {
  double limit = 9007199254740992.0;
  if (fabs(number) < limit || memchr(cell->text, '.', cell->length) || memchr(cell->text, 'e', cell->length) ||
      memchr(cell->text, 'E', cell->length))
    return false;
  return fabs(number) > limit || cell->text[cell->length - 1] != '2';
}

rs_csv_type rs_json_guess(const rs_json_cell *cell) {
  double number;
  int64_t time;
  switch (cell->kind) {
    case RS_JSON_NONE: return RS_CSV_INFER;
    case RS_JSON_BOOLEAN: return RS_CSV_NUMBER;
    case RS_JSON_LIST: return RS_CSV_LIST;
    case RS_JSON_NUMBER:
      return rs_parse_number(cell->text, cell->length, &number) && !is_large(cell, number) ? RS_CSV_NUMBER
                                                                                           : RS_CSV_STRING;
    case RS_JSON_TEXT:
      if (cell->length == 0) return RS_CSV_INFER;
      return rs_parse_time(cell->text, cell->length, &time) ? RS_CSV_TIME : RS_CSV_STRING;
    default: return RS_CSV_STRING;
  }
}

static bool parse_number(rs_csv_builder *b, const rs_json_cell *cell) {
  if (cell->kind == RS_JSON_BOOLEAN) {
    b->number = *cell->text == 't';
    return true;
  }
  if (cell->kind != RS_JSON_NUMBER && (cell->kind != RS_JSON_TEXT || b->plan.inferred)) return false;
  return rs_parse_number(cell->text, cell->length, &b->number) && !(b->plan.inferred && is_large(cell, b->number));
}

/* Parse a present value as the column's type. */
static bool parse_cell(rs_csv_builder *b, const rs_json_cell *cell) {
  bool scalar = cell->kind == RS_JSON_NUMBER || cell->kind == RS_JSON_TEXT;
  switch (b->plan.type) {
    case RS_CSV_NUMBER: return parse_number(b, cell);
    case RS_CSV_TIME: return cell->kind == RS_JSON_TEXT && rs_parse_time(cell->text, cell->length, &b->time);
    case RS_CSV_TIME_S:
    case RS_CSV_TIME_MS: return scalar && rs_csv_parse_epoch(b->plan.type, cell->text, cell->length, &b->time);
    case RS_CSV_LIST: return cell->kind == RS_JSON_LIST || (cell->kind == RS_JSON_TEXT && !b->plan.inferred);
    default: return true;
  }
}

rs_status rs_json_check(rs_csv_builder *b, const rs_json_cell *cell, rs_buffer *reason, bool *fits) {
  b->missing = cell->kind == RS_JSON_NONE || (cell->kind == RS_JSON_TEXT && cell->length == 0);
  *fits = true;
  if (b->missing || b->demoted) return RS_OK;
  if (b->plan.type == RS_CSV_INFER) {
    b->plan.type = rs_json_guess(cell);
    rs_status status = rs_csv_reserve(b, 0);
    if (status != RS_OK) return status;
    rs_csv_fill_missing(b, 0, b->n); /* the rows before the first value */
  }
  *fits = parse_cell(b, cell);
  return *fits ? RS_OK : rs_csv_misfit(b, reason, cell->text, cell->length, fits);
}

static rs_status append_list(rs_csv_builder *b, const rs_json_cell *cell, rs_buffer *scratch) {
  int64_t begin = b->values;
  rs_status status = RS_OK;
  if (cell->kind == RS_JSON_LIST) {
    const char *at = cell->text, *text;
    size_t length;
    while (status == RS_OK && rs_json_next_member(&at, cell->text + cell->length, scratch, &text, &length, &status))
      status = rs_csv_append_member(b, text, length);
  } else
    status = rs_csv_append_members(b, cell->text, cell->length);
  ((int64_t *)b->cells)[b->n] = begin;
  b->lengths[b->n] = (int32_t)(b->values - begin);
  return status;
}

rs_status rs_json_append(rs_csv_builder *b, const rs_json_cell *cell, rs_buffer *scratch) {
  if (b->plan.type == RS_CSV_INFER || b->demoted) return b->n++, RS_OK;
  rs_status status = rs_csv_reserve(b, 1);
  if (status != RS_OK) return status;
  if (b->missing)
    rs_csv_fill_missing(b, b->n, b->n + 1);
  else if (b->plan.type == RS_CSV_NUMBER)
    ((double *)b->cells)[b->n] = b->number;
  else if (b->plan.type == RS_CSV_STRING)
    status = rs_csv_encode(b, cell->text, cell->length, (int32_t *)b->cells + b->n);
  else if (b->plan.type == RS_CSV_LIST)
    status = append_list(b, cell, scratch);
  else
    ((int64_t *)b->cells)[b->n] = b->time;
  b->n++;
  return status;
}
