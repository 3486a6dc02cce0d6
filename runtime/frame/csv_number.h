/* csv_number.h - one column of many CSV rows as numbers, where SIMD pays.
 *
 * Private to the CSV reader. */
#ifndef RS_CSV_NUMBER_H
#define RS_CSV_NUMBER_H
#include "frame/csv_marks.h"

enum { RS_CSV_BATCH = 256 };

/* Sound rows without quotes, one after another in a marked window. */
typedef struct rs_csv_batch {
  const char *base; /* of the window; 16 bytes before it and 64 behind the last row can be read */
  const rs_csv_marks *marks;
  int separator, last;                               /* bytes of a separator; number of the last field */
  int n;                                             /* rows */
  uint16_t begin[RS_CSV_BATCH], first[RS_CSV_BATCH]; /* where each begins; its first mark */
} rs_csv_batch;

/* Field 'field' of row 'row'. */
static inline const char *rs_csv_batch_cell(const rs_csv_batch *b, int row, int field, size_t *length) {
  const uint16_t *at = b->marks->at + b->first[row] + field;
  const char *begin = b->base + (field ? at[-1] + b->separator : b->begin[row]), *end = b->base + *at;
  if (field == b->last && end > begin && end[-1] == '\r') end--;
  *length = (size_t)(end - begin);
  return begin;
}

/* Read the cells of rows 'from' on until one is no number that is faithful (rs_number_is_faithful), or is missing but
 * not empty; an empty one is NaN. Returns that row, b->n when there is none. */
int rs_csv_numbers(const rs_csv_batch *b, int field, int from, double *out);
/* The same in plain C: what the other must equal, where it stops sooner included. */
int rs_csv_numbers_plain(const rs_csv_batch *b, int field, int from, double *out);

#endif
