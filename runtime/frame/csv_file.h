/* csv_file.h - one CSV file, open: its text, dialect and the names of its columns.
 *
 * Private to the CSV reader. */
#ifndef RS_CSV_FILE_H
#define RS_CSV_FILE_H
#include "frame/csv_column.h"
#include "frame/csv_input.h"

/* All-zero is a valid closed file. */
typedef struct rs_csv_file {
  const char *path;
  const rs_csv_options *options;
  rs_csv_input input;
  const char *text, *end; /* behind the byte order mark */
  const char *body;       /* where the first data row begins */
  rs_csv_dialect dialect;
  bool any_encoding; /* nobody has said or counted what the encoding is */
  char **names;      /* owned */
  int n_names;
  rs_csv_field *fields; /* n_names */
} rs_csv_file;

/* 'encoding' is what an earlier reading found, or RS_CSV_ANY_ENCODING. RS_EIO, RS_EFORMAT, RS_EARG. */
rs_status rs_csv_file_open(rs_csv_file *f, const char *path, const rs_csv_options *options, rs_csv_encoding encoding);
void rs_csv_file_close(rs_csv_file *f);
/* The column called 'name'; -1 with a message that lists what there is. */
int rs_csv_file_column(const rs_csv_file *f, const char *name);
/* What the bytes of the whole file say. */
rs_status rs_csv_file_encoding(const rs_csv_file *f, rs_csv_encoding *encoding);
/* Go on in a compressed file, as rs_csv_input_advance. */
rs_status rs_csv_file_advance(rs_csv_file *f, const char *unread);

#endif
