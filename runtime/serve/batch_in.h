/* batch_in.h - the lines of a batch's users as requests. Within the serve folder. */
#ifndef RS_BATCH_IN_H
#define RS_BATCH_IN_H
#include "base/buffer.h"
#include "serve/batch.h"
#include "serve/csv_request.h"

enum { RS_BATCH_COLUMNS = 256 };

typedef struct rs_users_header {
  rs_span names[RS_BATCH_COLUMNS]; /* without quotes */
  rs_cell cells[RS_BATCH_COLUMNS];
  int n;
  rs_buffer text; /* which holds the names */
} rs_users_header;

/* The end of the record that begins at 'at': behind its newline, or the end. */
const char *rs_record_end(const char *at, const char *end, rs_users_format format);

/* The columns from the first record, by what the encoder reads. RS_EFORMAT without a column "user". */
rs_status rs_users_header_read(rs_users_header *h, const rs_server_model *m, rs_span record);
void rs_users_header_free(rs_users_header *h);

/* What one thread makes requests with. */
typedef struct rs_users_reader {
  rs_buffer id, fields; /* without quotes; as JSON */
  rs_buffer options;    /* k, now and exclude_seen as a request in JSON; of size 0 where there are none */
} rs_users_reader;

/* User and fields of a record of CSV into the request; its options are for rs_json_in_recommend. RS_EARG names the
 * column. */
rs_status rs_users_record(rs_users_reader *r, const rs_users_header *h, rs_span record, rs_request *request);

/* A record without its newline. */
rs_span rs_record_text(const char *at, const char *end);

#endif
