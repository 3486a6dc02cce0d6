/* csv_scan.h - the records and fields of a CSV text whose dialect is known, and finding the dialect.
 *
 * Private to the CSV reader. Where a record ends depends on the text from its begin on alone, so that any number of
 * threads may start at any record. A quoted field has at most RS_CSV_QUOTED_MAX bytes, and behind the expected number
 * of fields a quoted one must end on its line: a file full of torn quotes costs a few readings of itself, not one for
 * each of them. */
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
} rs_csv_dialect;

enum { RS_CSV_QUOTED_MAX = 4 << 20 };

typedef struct rs_csv_field {
  const char *text; /* between the quotes, escapes untouched */
  size_t length;
  bool quoted, escaped; /* escaped: differs from what it means, see rs_csv_unescape */
} rs_csv_field;

typedef enum rs_csv_fault {
  RS_CSV_SOUND,
  RS_CSV_TORN,   /* a quote is opened and not closed in time */
  RS_CSV_BROKEN, /* text behind a closing quote */
  RS_CSV_FIELDS  /* not the expected number of fields */
} rs_csv_fault;

/* A position in the text and the record that was read last. */
typedef struct rs_csv_scanner {
  const rs_csv_dialect *dialect;
  const char *at, *end;
  bool more;            /* the text goes on behind 'end', which is the begin of a line */
  int expected;         /* fields a record should have; 0: any number */
  rs_csv_field *fields; /* room for 'capacity'; further fields are counted only */
  int capacity;

  int n_fields;
  const char *record, *record_end; /* its bytes without the newline */
  rs_csv_fault fault; /* when there is one, the record is one physical line and reading resumes behind it */
  const char *torn;   /* the quote that was opened last */
  bool starved;       /* 'more', and the record at 'at' may end behind 'end' */
  int64_t looked;     /* bytes looked at so far, those of given up attempts too */
} rs_csv_scanner;

/* Read the next record, skipping blank lines; false at the end, or when it is starved. */
bool rs_csv_next(rs_csv_scanner *s);
/* Move on to what is no blank line; false at the end. */
bool rs_csv_skip_blank(rs_csv_scanner *s);
/* How many lines end in the bytes. */
int64_t rs_csv_lines(const char *at, const char *end);

/* What the field means: its own bytes, or, when it holds escapes, 'scratch', overwritten. */
rs_status rs_csv_unescape(const rs_csv_dialect *d, const rs_csv_field *f, rs_buffer *scratch, const char **text,
                          size_t *length);

/* Fill what the options leave open: separator and escape, from the begin of the text (without byte order mark). The
 * encoding is taken to be UTF-8 until a stray byte turns up. */
rs_status rs_csv_detect(rs_csv_dialect *d, const rs_csv_options *options, const char *text, size_t size);
/* Add the UTF-8 sequences beyond ASCII and the bytes that belong to none: a text with more of these is Latin-1. */
void rs_csv_census(const char *text, size_t size, int64_t *sequences, int64_t *strays);

/* Whether the bytes are well-formed UTF-8. */
bool rs_utf8_is_valid(const char *text, size_t length);
/* Latin-1 as UTF-8 into 'out', overwritten. */
rs_status rs_latin1_to_utf8(rs_buffer *out, const char *text, size_t length);

#endif
