/* where.c - the rows where a comparison holds. See frame.h. */
#include <string.h>

#include "base/alloc.h"
#include "frame/frame.h"

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
} yardstick;

static bool holds(const yardstick *y, int64_t row) {
  bool missing = rs_column_is_missing(y->column, row);
  if (y->how == RS_IS_MISSING || y->how == RS_PRESENT) return missing == (y->how == RS_IS_MISSING);
  if (missing) return false;
  if (y->column->type == RS_NUMBER) return ORDERED(rs_f64(&y->column->values)[row], y->how, y->number);
  if (y->column->type == RS_TIME) return ORDERED(rs_i64(&y->column->values)[row], y->how, y->time);
  return y->wanted[rs_i32(&y->column->values)[row]] == (y->how == RS_EQ || y->how == RS_IN);
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
  int64_t found = 0;
  rs_tensor all = {0};
  rs_status status = prepare(&y, texts, n);
  if (status == RS_OK) status = rs_tensor_new(&all, RS_I64, 1, &f->rows);
  for (int64_t i = 0; status == RS_OK && i < f->rows; i++)
    if (holds(&y, i)) rs_i64(&all)[found++] = i;
  rs_free(y.wanted);
  if (status == RS_OK) status = rs_tensor_new(rows, RS_I64, 1, &found);
  if (status == RS_OK && found) memcpy(rs_i64(rows), rs_i64(&all), (size_t)found * sizeof(int64_t));
  rs_tensor_free(&all);
  return status;
}
