/* csv_column.h - the cells of one column in one block of a file, as they are read.
 *
 * Private to the file readers. A row is first checked by every column, then appended to every column, so that a
 * malformed cell leaves no trace of its row. Texts that the whole column knew when the block began have their code c;
 * texts new in this block are numbered as they come, -1, -2, ..., until the block's turn in file order gives them codes
 * (csv_table.h). */
#ifndef RS_CSV_COLUMN_H
#define RS_CSV_COLUMN_H
#include "frame/csv_number.h"
#include "frame/csv_words.h"

/* How a column is read. */
typedef struct rs_csv_plan {
  const char *name;      /* not owned */
  const char *separator; /* of a list */
  rs_csv_type type;      /* RS_CSV_INFER: no value seen yet */
  bool inferred;         /* the type was not declared */
} rs_csv_plan;

/* All-zero is a valid empty builder. */
typedef struct rs_csv_builder {
  rs_csv_plan plan;          /* as of the block's begin, the type as of now */
  const rs_csv_words *known; /* does not change while blocks are read */
  bool demoted;              /* an inferred type met a value that it does not fit: all is to be read again as strings */
  int64_t n, capacity;       /* rows */
  int64_t values, values_capacity; /* list only: members */
  void *cells;                     /* f64, i64 or i32 codes; of a list the i64 starts */
  int32_t *lengths, *members;      /* list only */
  rs_csv_words fresh;
  double number; /* the checked cell: what is appended next */
  int64_t time;
  bool missing;
} rs_csv_builder;

/* What the columns of a block share. */
typedef struct rs_csv_cells {
  const rs_csv_dialect *dialect;
  const char *const *nulls;
  int n_nulls;
  rs_buffer unescaped, transcoded; /* scratch */
  rs_buffer reason;                /* why the last cell was refused, not terminated */
} rs_csv_cells;

void rs_csv_cells_free(rs_csv_cells *cells);

/* The type of one value, for inference: RS_CSV_NUMBER, RS_CSV_TIME or RS_CSV_STRING; RS_CSV_INFER when missing. */
rs_csv_type rs_csv_guess(const rs_csv_cells *cells, const rs_csv_field *f);

/* Begin a block: no rows, type and known texts as of now. */
void rs_csv_builder_begin(rs_csv_builder *b, const rs_csv_plan *plan, const rs_csv_words *known);
void rs_csv_builder_free(rs_csv_builder *b);
/* Whether the cell fits the column. When not, *fits is false and cells->reason says why. RS_ENOMEM. */
rs_status rs_csv_check(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f, bool *fits);
/* Append the cell that was just checked. RS_ENOMEM, RS_ERANGE: the builder is then good for freeing alone. */
rs_status rs_csv_append(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_field *f);

/* The same for the rows of a batch at once, whose texts are well-formed UTF-8. *fits is false when a row may have to be
 * set aside, or the type is not known yet: the rows must then be read one by one. */
rs_status rs_csv_check_batch(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_batch *batch, int field, bool *fits);
rs_status rs_csv_append_batch(rs_csv_builder *b, rs_csv_cells *cells, const rs_csv_batch *batch, int field);

/* What readers of other formats check and append with. Room for 'more' rows; give rows begin .. n-1 no value. */
rs_status rs_csv_reserve(rs_csv_builder *b, int64_t more);
void rs_csv_fill_missing(rs_csv_builder *b, int64_t begin, int64_t end);
/* The code of a text; append a list member, blanks around it cut; split a text at the list's separator. */
rs_status rs_csv_encode(rs_csv_builder *b, const char *text, size_t length, int32_t *code);
rs_status rs_csv_append_member(rs_csv_builder *b, const char *text, size_t length);
rs_status rs_csv_append_members(rs_csv_builder *b, const char *text, size_t length);
/* A cell that does not fit its column: of an inferred type, the column is demoted; else *fits is false, for 'what' into
 * 'reason'. */
rs_status rs_csv_misfit(rs_csv_builder *b, rs_buffer *reason, const char *text, size_t length, bool *fits);
/* Epoch numbers to milliseconds, by the column's type. */
bool rs_csv_parse_epoch(rs_csv_type type, const char *text, size_t length, int64_t *ms);

/* Bytes of one cell of that type. */
size_t rs_csv_cell_size(rs_csv_type type);
/* Make rows begin .. end-1 missing; 'values' is where the list members of later rows begin. */
void rs_csv_put_missing(rs_csv_type type, void *cells, int32_t *lengths, int64_t begin, int64_t end, int64_t values);

#endif
