/* csv_notes.h - what readers note of malformed rows: lines, reports, the quarantine file, and whether there are too
 * many.
 *
 * Private to the file readers. */
#ifndef RS_CSV_NOTES_H
#define RS_CSV_NOTES_H
#include "base/file.h"
#include "frame/csv_block.h"

/* All-zero is a valid empty set of notes. */
typedef struct rs_csv_notes {
  const char *path_of_quarantine; /* NULL: the rows are counted alone */
  rs_buffer quarantine;           /* what is to be written there, of all files */
  const char *path;               /* the file that is read now */
  rs_csv_report *report;          /* and what is found in it */
  const char *counted;            /* lines are counted up to here, when somebody asks for one */
  int64_t line;                   /* of that place, from 1 */
} rs_csv_notes;

void rs_csv_notes_free(rs_csv_notes *n);
/* Begin the file whose text begins there; 'report' is set already. */
void rs_csv_notes_begin(rs_csv_notes *n, const char *path, const char *text);
/* The line of a place at or behind the last one that was asked for. */
int64_t rs_csv_notes_line(rs_csv_notes *n, const char *at);
/* Count a block's rows and note what it left out; blocks come in file order. */
rs_status rs_csv_notes_take(rs_csv_notes *n, const rs_csv_block *b);
/* Write the quarantine, if there is to be one. */
rs_status rs_csv_notes_write(const rs_csv_notes *n);
/* RS_EFORMAT when more than that share of a file's rows is malformed; 'advice' says what to check. */
rs_status rs_csv_notes_judge(const rs_csv_notes *n, const rs_csv_report *report, const char *path, double bad_limit,
                             const char *advice);
/* Whether the malformed rows would replace one of the very files they are read from; RS_EARG's message then. */
bool rs_csv_notes_overwrite(const char *quarantine, const char *const *paths, int n);

#endif
