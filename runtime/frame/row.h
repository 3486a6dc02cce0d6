/* row.h - one row again and again: the path of a request.
 *
 * A row holds the columns that one side of an encoder reads and the values of its steps, and runs the same steps as a
 * table does, over memory that it used before: what a call allocates is what lists of new lengths need. One thread at a
 * time may use a row; any number of rows share an encoder. */
#ifndef RS_ROW_H
#define RS_ROW_H
#include "frame/encoder.h"

typedef struct rs_row rs_row;

/* The encoder must outlive the row. All fields are missing. */
rs_status rs_row_new(rs_row **out, const rs_encoder *e, rs_side side);
void rs_row_free(rs_row *row); /* NULL is fine */

/* The columns that the side reads, 0 <= i < rs_row_columns(): rs_encoder_column. */
int rs_row_columns(const rs_row *row);
const char *rs_row_column(const rs_row *row, int i);

/* Let all fields be missing. */
void rs_row_clear(rs_row *row);
/* Fill field i. A number field takes numbers, a string field strings and numbers, a field of lists strings and lists of
 * them; an empty string is missing, in a list it is left out. RS_EARG for something else: "field 'age' is a string, not
 * a number". */
rs_status rs_row_number(rs_row *row, int i, double x);
rs_status rs_row_text(rs_row *row, int i, const char *text, size_t length);
/* A list of n strings: rs_row_list, then rs_row_add n times at the most. */
rs_status rs_row_list(rs_row *row, int i, int64_t n);
rs_status rs_row_add(rs_row *row, int i, const char *text, size_t length);
/* RS_EARG: field i is 'what' ("true", "an object"), which no field takes. */
rs_status rs_row_refuse(const rs_row *row, int i, const char *what);

/* Clear the row and fill it from a JSON object; null and absent are missing, unknown fields are ignored. */
rs_status rs_row_fields(rs_row *row, const json_t *fields);

/* Run the side: features of one row, the row's own and good until its next call. They have the bits that
 * rs_encoder_run gives to a table with that row. */
rs_status rs_row_run(rs_row *row, const rs_events *events, const rs_features **out);

/* Hand the filled fields over as a frame of one row; the row is cleared. */
rs_status rs_row_frame(rs_row *row, rs_frame *out);

#endif
