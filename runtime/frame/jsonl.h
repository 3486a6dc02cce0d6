/* jsonl.h - frames from JSON Lines: an object a line, its fields the columns.
 *
 * Read like CSV: in blocks by all threads, plain, gzip or zstd, many files as one table, malformed lines left out,
 * counted and written aside. Lines may lack fields, which are missing then. Strict JSON; jsonl_line.h and
 * jsonl_column.h say how fields become columns. */
#ifndef RS_JSONL_H
#define RS_JSONL_H
#include "frame/csv.h"

/* Of the options keep, types, bad_limit, quarantine, expand_limit and block count. Columns are in order of first
 * appearance, unless they are chosen. 'out' must be empty. RS_EIO, RS_EFORMAT as rs_csv_read; of the reports separator,
 * quote, escape, header and torn mean nothing. */
rs_status rs_jsonl_read(rs_frame *out, rs_csv_report *reports, const char *const *paths, int n,
                        const rs_csv_options *options);

#endif
