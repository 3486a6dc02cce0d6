/* csv_table.h - the columns of a table, put together from blocks in file order.
 *
 * Private to the file readers. Blocks are read in waves, all of a wave at once. Between two waves, on one thread and in
 * file order, each block gets its place and the codes of its new texts; the copying of its cells goes along with the
 * reading of the next wave. So codes are by first appearance in the files, however the blocks are cut and whoever read
 * them. */
#ifndef RS_CSV_TABLE_H
#define RS_CSV_TABLE_H
#include "frame/csv_column.h"

typedef struct rs_csv_target {
  rs_csv_plan plan; /* the type: as of now */
  bool demoted;     /* not one type fits all: read everything again, this column as strings */
  rs_csv_words words;
  void *cells;                /* of 'capacity' rows; NULL until there is a type */
  int32_t *lengths, *members; /* list only */
  int64_t values, values_capacity;
} rs_csv_target;

/* All-zero is a valid empty table. */
typedef struct rs_csv_table {
  rs_csv_target *columns;
  int n_columns;
  int64_t rows, capacity;
} rs_csv_table;

/* The rows of a block: where they go, and what the negative codes of a column mean. */
typedef struct rs_csv_placement {
  int64_t row, rows;
  int32_t **codes; /* a column each: codes[i] is what -1 - i means; NULL: there are none */
  int64_t *values; /* a column each: where its list members go */
  bool *typeless;  /* a column each: all cells are missing, and the block did not know their type */
} rs_csv_placement;

rs_status rs_csv_table_make(rs_csv_table *t, const rs_csv_plan *plans, int n);
void rs_csv_table_free(rs_csv_table *t);
/* Throw the rows away; the columns that were demoted become strings. */
void rs_csv_table_restart(rs_csv_table *t);
/* Whether a column was demoted. */
bool rs_csv_table_is_spoilt(const rs_csv_table *t);
/* Room for that many rows in all, so that they need not move. */
rs_status rs_csv_table_expect(rs_csv_table *t, int64_t rows);

rs_status rs_csv_placement_make(rs_csv_placement *p, int n_columns);
void rs_csv_placement_free(rs_csv_placement *p, int n_columns);
/* Take the next 'rows' rows, in file order, one block after another: RS_ENOMEM, RS_ERANGE. */
rs_status rs_csv_table_commit(rs_csv_table *t, const rs_csv_builder *columns, int64_t rows, rs_csv_placement *p);
/* Copy the cells of a committed block; different blocks on different threads. */
void rs_csv_table_place(rs_csv_table *t, const rs_csv_builder *columns, const rs_csv_placement *p);
/* Move the columns into the frame. The table is then empty. */
rs_status rs_csv_table_finish(rs_csv_table *t, rs_frame *out);

#endif
