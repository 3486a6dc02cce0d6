/* jsonl_column.h - JSON values as the cells of a column, in a block of csv_column.h.
 *
 * Private to the JSON Lines reader. Inferred: numbers and booleans (1 and 0) are numbers, ISO 8601 strings times, flat
 * arrays lists, all else strings; integers beyond 2^53 are strings, as a double would change them. A column of several
 * kinds is one of strings: values as they stand, strings as they mean. */
#ifndef RS_JSONL_COLUMN_H
#define RS_JSONL_COLUMN_H
#include "frame/csv_column.h"
#include "frame/jsonl_line.h"

/* The type of one value; RS_CSV_INFER when missing. */
rs_csv_type rs_json_guess(const rs_json_cell *cell);
/* As rs_csv_check and rs_csv_append. */
rs_status rs_json_check(rs_csv_builder *b, const rs_json_cell *cell, rs_buffer *reason, bool *fits);
rs_status rs_json_append(rs_csv_builder *b, const rs_json_cell *cell, rs_buffer *scratch);

#endif
