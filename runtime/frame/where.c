/* where.c - the rows where a comparison holds. See frame.h. */
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/frame.h"
#include "frame/partition.h"

#define ORDERED(a, how, b)       \
  ((how) == RS_EQ   ? (a) == (b) \
   : (how) == RS_NE ? (a) != (b) \
   : (how) == RS_LT ? (a) < (b)  \
   : (how) == RS_LE ? (a) <= (b) \
   : (how) == RS_GT ? (a) > (b)  \
                    : (a) >= (b))

/* What a row is held against. */
typedef struct yardstick {
  const rs_column *column;
  rs_comparison how;
  double number;
  int64_t time;
  uint8_t *wanted; /* string: a flag a code */
  uint8_t *mask;   /* what is found: a flag a row */
} yardstick;

static bool holds(const yardstick *y, int64_t row) {
  bool missing = rs_column_is_missing(y->column, row);
  if (y->how == RS_IS_MISSING || y->how == RS_PRESENT) return missing == (y->how == RS_IS_MISSING);
  if (missing) return false;
  if (y->column->type == RS_NUMBER) return ORDERED(rs_f64(&y->column->values)[row], y->how, y->number);
  return ORDERED(rs_i64(&y->column->values)[row], y->how, y->time);
}

static void measure(void *context, int64_t begin, int64_t end) {
  const yardstick *y = context;
  if (y->wanted) { /* the commonest: strings */
    const int32_t *codes = rs_i32(&y->column->values);
    const bool equal = y->how == RS_EQ || y->how == RS_IN;
    for (int64_t i = begin; i < end; i++) y->mask[i] = codes[i] && y->wanted[codes[i]] == equal;
  } else
    for (int64_t i = begin; i < end; i++) y->mask[i] = holds(y, i);
}

static rs_status prepare(yardstick *y, const char *const *texts, int n) {
  const rs_column *c = y->column;
  if (y->how == RS_IS_MISSING || y->how == RS_PRESENT) return RS_OK;
  bool set = y->how == RS_IN || y->how == RS_NOT_IN, equality = set || y->how == RS_EQ || y->how == RS_NE;
  if (c->type == RS_LIST || (c->type == RS_STRING ? !equality : set))
    return rs_fail(RS_EARG, "frame: this comparison is not for the %s column '%s'", rs_column_type_name(c->type),
                   c->name);
  if (c->type != RS_STRING) return RS_OK;
  y->wanted = rs_alloc_zero((size_t)c->dictionary->n + 1);
  if (!y->wanted) return rs_nomem("frame where", (size_t)c->dictionary->n + 1);
  for (int i = 0; i < n; i++) {
    int32_t code = rs_dictionary_find(c->dictionary, texts[i], strlen(texts[i]));
    if (code) y->wanted[code] = 1;
  }
  return RS_OK;
}

rs_status rs_frame_where(rs_tensor *rows, const rs_frame *f, const char *name, rs_comparison how, double number,
                         int64_t time, const char *const *texts, int n) {
  yardstick y = {.column = rs_frame_need(f, name), .how = how, .number = number, .time = time};
  if (!y.column) return RS_EARG;
  rs_status status = prepare(&y, texts, n);
  if (status == RS_OK && !(y.mask = rs_alloc((size_t)f->rows))) status = rs_nomem("frame where", (size_t)f->rows);
  if (status == RS_OK) {
    rs_parallel_for(f->rows, RS_ROW_GRAIN, measure, &y);
    status = rs_rows_of_mask(rows, y.mask, f->rows);
  }
  rs_free(y.wanted);
  rs_free(y.mask);
  return status;
}
