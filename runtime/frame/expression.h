/* expression.h - one operation of an expression over whole columns: what frame.col builds trees of.
 *
 * An operation is known by its name and by the types of its operands. Missing in, missing out, as in SQL: but "and" and
 * "or" know that 0 and anything is 0, 1 or anything is 1, and is_missing, present, fill and if_else look at what is
 * missing. A comparison gives 1 or 0. Of numbers outside a function's domain (log of -1, 0 / 0) the result is missing;
 * 1 / 0 is infinite.
 *
 * Operations on strings work on the dictionary, not on the rows: their cost is that of the distinct texts. */
#ifndef RS_EXPRESSION_H
#define RS_EXPRESSION_H
#include "frame/column.h"

/* A column, or one value for all rows. */
typedef struct rs_operand {
  const rs_column *column; /* NULL: the value below */
  rs_column_type type;     /* of the value: number, time or string */
  bool missing;
  double number;
  int64_t time;
  const char *text;
  size_t length;
} rs_operand;

typedef struct rs_call {
  const char *op;
  const rs_operand *args; /* all columns have 'rows' rows */
  int n;
  int64_t rows;
} rs_call;

rs_column_type rs_operand_type(const rs_operand *a);

/* The column that the operation makes, called "value". A text that meets a time is read as one. 'out' must be empty and
 * is to be freed after a failure. RS_EARG when there is no such operation on such types, and says which there are. */
rs_status rs_column_apply(rs_column *out, const rs_call *call);

/* The operations that need dictionaries (expression_text.c); out->name and out->type are set. */
typedef rs_status rs_make(rs_column *out, const rs_call *call);
rs_make rs_text_equal, rs_text_unequal, rs_text_in, rs_text_lower, rs_text_upper, rs_text_length, rs_text_contains,
    rs_text_starts_with, rs_text_ends_with, rs_text_concat, rs_text_fill, rs_text_if_else, rs_text_missing,
    rs_text_present, rs_text_number, rs_text_time, rs_number_text, rs_time_text, rs_list_length, rs_list_contains,
    rs_list_missing, rs_list_present;

#endif
