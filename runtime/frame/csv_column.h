/* csv_column.h - a column that grows cell by cell while a CSV file is read.
 *
 * Private to the CSV reader. A row is first checked by every column, then appended to every column, so that a
 * malformed cell leaves no trace of its row. */
#ifndef RS_CSV_COLUMN_H
#define RS_CSV_COLUMN_H
#include "frame/csv_scan.h"

/* All-zero is a valid empty builder. */
typedef struct rs_csv_builder {
  const char *name;            /* not owned */
  const char *separator;       /* of a list */
  rs_csv_type type;            /* RS_CSV_INFER: no value seen yet */
  bool inferred;               /* the type was not declared */
  bool demoted;                /* an inferred type met a value that it does not fit: read again as strings */
  int64_t n, capacity, values; /* rows; list members */
  int64_t values_capacity;
  void *cells;      /* f64, i64 or i32 codes; of a list the i64 starts */
  int32_t *lengths; /* list only */
  int32_t *members; /* list only: codes */
  rs_dictionary *dictionary;
  int32_t last_code; /* of the string read last: neighbours are often equal */
  double number;     /* the checked cell: what is appended next */
  int64_t time;
  bool missing;
} rs_csv_builder;

/* What the columns share while one file is read. */
typedef struct rs_csv_cells {
  const rs_csv_dialect *dialect;
  const char *const *nulls;
  int n_nulls;
  rs_buffer unescaped, transcoded; /* scratch */
  rs_buffer reason;                /* why the last cell was refused, not terminated */
} rs_csv_cells;

void rs_csv_cells_free(rs_csv_cells *cells);

/* The type of one value, for inference: RS_CSV_NUMBER, RS_CSV_TIME or RS_CSV_STRING; RS_CSV_INFER when missing. */
rs_csv_type rs_csv_guess(rs_csv_cells *cells, const rs_csv_field *f);

/* Whether the cell fits the column. When not, *fits is false and cells->reason says why. RS_ENOMEM. */
rs_status rs_csv_check(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f, bool *fits);
/* Append the cell that was just checked. RS_ENOMEM, RS_ERANGE: the builder is then good for freeing alone. */
rs_status rs_csv_append(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f);
/* Make the column. The builder keeps nothing but its settings. */
rs_status rs_csv_finish(rs_csv_builder *b, rs_column *out);
/* Throw the values away; the settings stay. */
void rs_csv_builder_reset(rs_csv_builder *b);

#endif
