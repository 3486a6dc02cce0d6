/* catalogue_columns.h - which columns are a row's positives, and which it leaves out. For catalogue.c. */
#ifndef RS_CATALOGUE_COLUMNS_H
#define RS_CATALOGUE_COLUMNS_H
#include "tensor/tensor.h"

/* All-zero is a valid empty object. */
typedef struct rs_columns {
  rs_tensor positives; /* i64 [pairs]: the first column that holds each */
  rs_tensor starts;    /* i64 [n + 1] into 'left_out' */
  rs_tensor left_out;  /* i64: of each row rising, each once, and none before the first negative */
} rs_columns;

typedef struct rs_columns_request {
  int64_t n, m, first;
  bool positives_out;                   /* positives are left out, too; else none of them ever is */
  const int64_t *starts, *positives;    /* [n + 1] and items */
  const int64_t *excluded_starts, *excluded; /* or NULL */
  const int64_t *codes;                 /* [m] or NULL */
} rs_columns_request;

/* RS_ERANGE for a positive that no column holds. 'out' must be empty and is freed by the caller, also on failure. */
rs_status rs_columns_find(rs_columns *out, const rs_columns_request *request);
void rs_columns_free(rs_columns *c);

#endif
