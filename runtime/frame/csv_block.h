/* csv_block.h - the rows of one block of a CSV text.
 *
 * Private to the CSV reader. A block owns the records that begin in it; the last one may end behind it. Where the first
 * one begins is known for sure when the blocks before are read; a block that may not wait for that guesses, and is
 * read again when it guessed wrong, so that the rows do not depend on how a text is cut. */
#ifndef RS_CSV_BLOCK_H
#define RS_CSV_BLOCK_H
#include "frame/csv_column.h"

/* A record that was left out. Its reason is reasons[reason .. reason + reason_length). */
typedef struct rs_csv_bad {
  const char *record;
  size_t length, reason, reason_length;
  bool torn;
} rs_csv_bad;

typedef struct rs_csv_block rs_csv_block;
typedef struct rs_csv_layout rs_csv_layout;

/* What makes a format: where a record may begin, and reading those that begin in [begin, limit). */
typedef struct rs_csv_format {
  const char *(*guess)(rs_csv_block *b, const rs_csv_layout *layout, const char *at, const char *limit);
  void (*read)(rs_csv_block *b, const rs_csv_layout *layout, const char *begin, const char *limit);
} rs_csv_format;

extern const rs_csv_format rs_csv_rows;

/* What all blocks of a text share. Nothing is owned. */
struct rs_csv_layout {
  const rs_csv_format *format;
  const void *fields; /* what the format asks of its lines; NULL for CSV */
  const rs_csv_dialect *dialect;
  int n_fields; /* of every record */
  int n_columns;
  const int *place; /* column -> field */
  const char *text, *end;
  bool more;         /* the text goes on behind 'end' */
  bool mapped;       /* the text is a mapped file */
  bool any_encoding; /* the encoding is not known for sure: look for bytes that are no UTF-8 in all fields */
  const char *const *nulls;
  int n_nulls;
};

/* All-zero is a valid empty block. */
struct rs_csv_block {
  const char *begin, *limit; /* records that begin here belong to the block */
  const char *stop;          /* where the next record begins */
  bool starved;              /* it is not wholly there yet: 'stop' may lie before 'limit' */
  bool strays;               /* any_encoding, and there are bytes that are no UTF-8 */
  int64_t rows, row;         /* how many; what number the first one has in the table */
  rs_csv_builder *columns;   /* n_columns */
  int n_columns;
  rs_csv_field *fields;
  int n_fields;
  rs_csv_cells cells;
  rs_buffer bad, reasons; /* 'bad' holds rs_csv_bad */
  void *state;            /* of a format other than CSV, made by it when NULL; with what frees it */
  void (*free_state)(void *state);
  rs_status status;
  char message[512]; /* of a failure: the reader's thread is not the one that reports it */
};

void rs_csv_block_free(rs_csv_block *b);
/* CSV: the first of the next lines that two sound records follow. */
const char *rs_csv_block_guess(rs_csv_block *b, const rs_csv_layout *layout, const char *at, const char *limit);
/* Read the records that begin in [begin, limit). The columns must have begun. Sets 'status'. */
void rs_csv_block_read(rs_csv_block *b, const rs_csv_layout *layout, const char *begin, const char *limit);
/* Leave a record out for the reason in cells.reason. */
rs_status rs_csv_set_aside(rs_csv_block *b, const char *record, size_t length, bool torn);

#endif
