/* csv_marks.h - where the separators and line ends of a stretch of CSV text are, found 64 bytes at a time.
 *
 * Private to the CSV reader. Exists in plain C, for AVX2 and for AVX-512 (VBMI2), chosen by the CPU; all give the same
 * marks. A row whose marks are just the expected separators and a newline needs no scanner: its fields lie between
 * them. */
#ifndef RS_CSV_MARKS_H
#define RS_CSV_MARKS_H
#include "frame/csv_scan.h"

enum { RS_CSV_WINDOW = 1 << 14, RS_CSV_MARKS_SLACK = 64 };

typedef struct rs_csv_marks {
  int n;                                             /* marks: separators, newlines and odd bytes */
  int n_ends;                                        /* those that are no separators */
  bool high;                                         /* a byte beyond ASCII was seen */
  uint16_t at[RS_CSV_WINDOW + RS_CSV_MARKS_SLACK];   /* their offsets */
  uint16_t ends[RS_CSV_WINDOW + RS_CSV_MARKS_SLACK]; /* positions in 'at' */
} rs_csv_marks;

/* Whether rows of this dialect can be told by marks at all: separators of 1 or 2 bytes, no backslashes outside quotes.
 */
bool rs_csv_markable(const rs_csv_dialect *d);
/* Mark the first 'size' bytes, at most RS_CSV_WINDOW, of which one more than 'size' must be readable. Odd bytes are
 * quotes, and separators of 2 bytes that overlap. */
void rs_csv_mark(rs_csv_marks *m, const rs_csv_dialect *d, const char *text, int size);
/* The same in plain C: what the others must equal. */
void rs_csv_mark_plain(rs_csv_marks *m, const rs_csv_dialect *d, const char *text, int size);

#endif
