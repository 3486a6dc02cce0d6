/* column.h - columns and frames: typed, named, with missing values; strings are dictionary-encoded.
 *
 * | type   | values                                                   | missing        |
 * | number | f64 [n]                                                  | NaN            |
 * | time   | i64 [n], milliseconds since 1970-01-01 UTC               | RS_TIME_MISSING|
 * | string | i32 [n], codes into the dictionary, 1-based              | 0              |
 * | list   | i32 [total] codes, row i at starts[i], lengths[i] of them| length 0       |
 */
#ifndef RS_COLUMN_H
#define RS_COLUMN_H
#include <stdatomic.h>
#include <stddef.h>

#include "tensor/tensor.h"

typedef enum rs_column_type { RS_NUMBER, RS_TIME, RS_STRING, RS_LIST } rs_column_type;

#define RS_TIME_MISSING INT64_MIN

/* Distinct byte strings in order of first appearance; code c (1-based) is bytes[offsets[c-1] .. offsets[c]).
 * Immutable once shared; shared by reference count among columns that were selected from one another. */
typedef struct rs_dictionary rs_dictionary;
struct rs_dictionary {
  atomic_int references;
  int64_t n;        /* codes 1 .. n */
  char *bytes;      /* the strings one after another */
  int64_t *offsets; /* n + 1 */
  int32_t *slots;   /* hash table of codes, 0 = free; a power of two of them */
  int64_t n_slots;
  int64_t bytes_capacity, offsets_capacity;
};

rs_status rs_dictionary_new(rs_dictionary **out);
void rs_dictionary_retain(rs_dictionary *d);
void rs_dictionary_release(rs_dictionary *d);
/* The code of a string, added when new. RS_ERANGE past 2^31-2 strings. */
rs_status rs_dictionary_add(rs_dictionary *d, const char *text, size_t length, int32_t *code);
/* For makers that know a string to be new: append it as code n + 1 without a look at the hash table; behind each text
 * 16 more bytes can be read. Once all are there, rs_dictionary_index makes the hash table. RS_ENOMEM, RS_ERANGE. */
rs_status rs_dictionary_append(rs_dictionary *d, const char *text, size_t length);
rs_status rs_dictionary_index(rs_dictionary *d);
/* The code of a string, 0 when it is not there. */
int32_t rs_dictionary_find(const rs_dictionary *d, const char *text, size_t length);
/* Take all strings out and keep the memory; nobody else may hold the dictionary. */
void rs_dictionary_clear(rs_dictionary *d);
/* The string of a code 1 .. n. */
const char *rs_dictionary_text(const rs_dictionary *d, int32_t code, size_t *length);

/* All-zero is a valid empty column. */
typedef struct rs_column {
  char *name; /* owned */
  rs_column_type type;
  rs_tensor values;
  rs_tensor starts, lengths; /* list only: i64 [n], i32 [n] */
  rs_dictionary *dictionary; /* string and list only */
} rs_column;

void rs_column_free(rs_column *c);
int64_t rs_column_rows(const rs_column *c);
const char *rs_column_type_name(rs_column_type type); /* "number", "time", "string", "list" */
/* The type called 'name' into *out; RS_EARG names the four when there is none. */
rs_status rs_column_type_named(rs_column_type *out, const char *name);
/* Another handle on the same values under 'name' (NULL: its own name). 'out' is overwritten. */
rs_status rs_column_share(rs_column *out, const rs_column *c, const char *name);
/* out row i = row rows[i] of 'c', 0-based and in range (asserted); row -1 is a missing value. The dictionary is
 * shared, a list's values too. */
rs_status rs_column_take(rs_column *out, const rs_column *c, const int64_t *rows, int64_t n);

/* All-zero is a valid empty frame. All columns have 'rows' rows; names are distinct. */
typedef struct rs_frame {
  rs_column *columns;
  int n_columns;
  int64_t rows;
} rs_frame;

const rs_column *rs_frame_column(const rs_frame *f, const char *name); /* NULL when absent */
/* Move 'column' into the frame (the caller's becomes empty). RS_EARG when the name is taken, RS_ESHAPE when
 * the row count differs from a frame that has columns; on failure the column stays the caller's. */
rs_status rs_frame_add(rs_frame *f, rs_column *column);
void rs_frame_free(rs_frame *f);

#endif
