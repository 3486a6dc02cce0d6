/* csv_request.h - a line of text/csv as the JSON of a request: what SageMaker sends, and what a batch transform cuts a
 * file into. Within the serve folder.
 *
 * Without a line of names the first field is the user and the second, where there is one, k. With one, the columns user,
 * k, now and exclude_seen are what they are in JSON, and all others are fields of the user: a number where the model
 * takes the column as a number, a list separated by '|' where it takes lists, else text. An empty field is missing;
 * quotes say nothing of its type. A field does not go on in the next line. */
#ifndef RS_CSV_REQUEST_H
#define RS_CSV_REQUEST_H
#include "base/buffer.h"
#include "base/span.h"
#include "serve/model.h"

enum { RS_CSV_COLUMNS = 256 };

/* What becomes of a column. */
typedef enum rs_cell {
  RS_CELL_USER,
  RS_CELL_OPTION, /* k, now, exclude_seen */
  RS_CELL_TEXT,   /* fields of the user */
  RS_CELL_NUMBER,
  RS_CELL_LIST
} rs_cell;

/* By its name and what the model reads; without a model all fields of the user are text. */
rs_cell rs_cell_of(const rs_server_model *m, rs_span name);

/* Append the value of an option: bare where it is a number, true or false, else a string. */
rs_status rs_csv_option(rs_buffer *json, rs_span cell);

/* The columns; their names point into their line. */
typedef struct rs_csv_names {
  int n; /* 0: there is no line of names */
  rs_span names[RS_CSV_COLUMNS];
  rs_cell cells[RS_CSV_COLUMNS];
} rs_csv_names;

/* Read the line of names, as rs_cell_of has them. RS_EARG for one without the column user, with a name twice or none. */
rs_status rs_csv_names_read(rs_csv_names *out, const rs_server_model *m, const char *line, size_t length);

/* Append the request of a line. RS_EARG for a line that is none; RS_ENOMEM. */
rs_status rs_csv_request(rs_buffer *json, const rs_csv_names *names, const char *line, size_t length);

#endif
