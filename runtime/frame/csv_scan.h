/* csv_scan.h - the records and fields of a CSV text whose dialect is known, and finding the dialect.
 *
 * Private to the CSV reader. */
#ifndef RS_CSV_SCAN_H
#define RS_CSV_SCAN_H
#include "frame/csv.h"

typedef struct rs_csv_dialect {
  char separator[8]; /* terminated */
  int separator_length;
  bool quotes; /* false: quotes are ordinary characters */
  char quote;
  rs_csv_escape escape;
  rs_csv_encoding encoding;
  bool clean; /* the whole text is well-formed in its encoding */
} rs_csv_dialect;

typedef struct rs_csv_field {
  const char *text; /* between the quotes, escapes untouched */
  size_t length;
  bool quoted, escaped; /* escaped: differs from what it means, see rs_csv_unescape */
} rs_csv_field;

typedef enum rs_csv_fault {
  RS_CSV_SOUND,
  RS_CSV_TORN,   /* a quote is opened and never closed */
  RS_CSV_BROKEN, /* text behind a closing quote */
  RS_CSV_FIELDS  /* not the expected number of fields */
} rs_csv_fault;

/* A position in the text and the record that was read last. */
typedef struct rs_csv_scanner {
  const rs_csv_dialect *dialect;
  const char *at, *end;
  int64_t at_line;      /* of 'at', from 1 */
  int expected;         /* fields a record should have; 0: any number */
  rs_csv_field *fields; /* room for 'capacity'; further fields are counted only */
  int capacity;

  int n_fields;
  int64_t line;                    /* where the record begins */
  const char *record, *record_end; /* its bytes without the newline */
  rs_csv_fault fault; /* when there is one, the record is one physical line and reading resumes behind it */
} rs_csv_scanner;

/* Read the next record, skipping blank lines; false at the end. */
bool rs_csv_next(rs_csv_scanner *s);

/* What the field means: its own bytes, or, when it holds escapes, 'scratch', overwritten. */
rs_status rs_csv_unescape(const rs_csv_dialect *d, const rs_csv_field *f, rs_buffer *scratch, const char **text,
                          size_t *length);

/* Fill what the options leave open: separator, escape and encoding, from the text (without byte order mark). */
rs_status rs_csv_detect(rs_csv_dialect *d, const rs_csv_options *options, const char *text, size_t size);

/* Whether the bytes are well-formed UTF-8. */
bool rs_utf8_is_valid(const char *text, size_t length);
/* Latin-1 as UTF-8 into 'out', overwritten. */
rs_status rs_latin1_to_utf8(rs_buffer *out, const char *text, size_t length);

#endif
