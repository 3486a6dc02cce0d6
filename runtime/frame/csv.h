/* csv.h - frames from CSV and TSV files and back.
 *
 * Reads RFC 4180 and its relatives: any separator up to 7 bytes, doubled quotes or backslash escapes (told apart by
 * looking at the file), separators and newlines inside quotes, LF or CRLF, a byte order mark, UTF-8 or Latin-1; plain,
 * gzip or zstd.
 * The mapped file is read in blocks by all threads, strings encoded as they come; nothing depends on how many there
 * are. A second pass is needed only when a column whose type was inferred turns out to be text, or the text Latin-1.
 *
 * A malformed row (too few or too many fields, a broken quote, a bad number in a column declared a number, bytes
 * that are no text) is left out, counted and reported. A torn quote costs its own line alone: reading resumes
 * at the next line. A quote that is not closed within 4 MiB is torn. */
#ifndef RS_CSV_H
#define RS_CSV_H
#include "base/buffer.h"
#include "frame/column.h"

typedef enum rs_csv_escape {
  RS_CSV_DETECT,
  RS_CSV_DOUBLED,   /* RFC 4180: "" inside quotes is a quote */
  RS_CSV_BACKSLASH, /* Spark: \" and \\ inside quotes; outside a backslash is itself */
  RS_CSV_MYSQL      /* SELECT INTO OUTFILE: a backslash escapes outside quotes too, \N is missing */
} rs_csv_escape;

typedef enum rs_csv_encoding { RS_CSV_ANY_ENCODING, RS_CSV_UTF8, RS_CSV_LATIN1 } rs_csv_encoding;

typedef enum rs_csv_compression { RS_CSV_PLAIN, RS_CSV_GZIP, RS_CSV_ZSTD } rs_csv_compression;

typedef enum rs_csv_type {
  RS_CSV_INFER, /* number, time or string, by the values */
  RS_CSV_NUMBER,
  RS_CSV_STRING,
  RS_CSV_LIST,
  RS_CSV_TIME,   /* ISO 8601 text */
  RS_CSV_TIME_S, /* seconds since 1970 UTC */
  RS_CSV_TIME_MS /* milliseconds since 1970 UTC */
} rs_csv_type;

typedef struct rs_csv_column_type {
  const char *name;
  rs_csv_type type;
  const char *separator; /* between the members of a list; NULL: "|" */
} rs_csv_column_type;

/* All-zero asks for everything to be detected and kept. Nothing is owned. */
typedef struct rs_csv_options {
  const char *separator; /* NULL: detect */
  rs_csv_escape escape;
  rs_csv_encoding encoding;
  bool no_quotes;           /* read quotes as ordinary characters */
  char quote;               /* 0: '"' */
  bool no_header;           /* the first row is data; needs names */
  const char *const *names; /* names of all columns, in place of the header's */
  int n_names;
  const char *const *keep; /* the columns to keep, in this order; n_keep 0: all */
  int n_keep;
  const rs_csv_column_type *types;
  int n_types;
  const char *const *nulls; /* words that mean missing, beside the empty field */
  int n_nulls;
  double bad_limit;       /* share of malformed rows above which the file is refused */
  const char *quarantine; /* a path for the malformed rows (a file with a header at least), or NULL */
  int64_t expand_limit;   /* bytes of text that a compressed file may hold; 0: 64 GiB */
  size_t block;           /* bytes of text that a thread takes at a time; 0: 256 KiB. No result depends on it */
} rs_csv_options;

/* What was found. All-zero is a valid empty report; free it whatever the reading came to. */
typedef struct rs_csv_report {
  int64_t rows, quarantined;
  int64_t first_bad_line; /* 0: none */
  rs_buffer first_bad;    /* its reason, not terminated */
  int64_t torn;           /* of the quarantined: those with a quote that is not closed, or closed too soon */
  int64_t torn_line;      /* of the first of them; reading went on at the line behind it */
  bool unterminated;      /* the last line has no line end: was the file cut off? */
  bool header;
  char separator[8];
  char quote; /* 0: none */
  rs_csv_escape escape;
  rs_csv_encoding encoding;
  rs_csv_compression compression;
} rs_csv_report;

/* Read 'n' files, 1 or more, as one table, one after another; each has a report in 'reports'. The first one gives the
 * columns, which the others must have too, in any order; a column has one type over all files. 'out' must be empty.
 * RS_EIO when a file cannot be read; RS_EFORMAT when it is no such text, lacks a column that is asked for, or has more
 * bad rows than the limit: the message names file, first line, reason and what to do. */
rs_status rs_csv_read(rs_frame *out, rs_csv_report *reports, const char *const *paths, int n,
                      const rs_csv_options *options);
void rs_csv_report_free(rs_csv_report *report);

typedef enum rs_csv_times { RS_CSV_ISO, RS_CSV_SECONDS, RS_CSV_MILLISECONDS } rs_csv_times;

/* All-zero is RFC 4180 with commas, a header and ISO times. */
typedef struct rs_csv_style {
  const char *separator;      /* NULL: "," */
  const char *list_separator; /* NULL: "|" */
  const char *null;           /* the word for missing; NULL: nothing between the separators */
  rs_csv_escape escape;       /* RS_CSV_DOUBLED unless RS_CSV_BACKSLASH */
  rs_csv_times times;
  bool no_header;
} rs_csv_style;

/* Write atomically; numbers and times read back exactly. RS_EFORMAT when a member of a list holds the separator of
 * lists, so that it would be read back as two; RS_EIO. */
rs_status rs_csv_write(const char *path, const rs_frame *f, const rs_csv_style *style);

#endif
