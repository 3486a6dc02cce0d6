/* jsonl_line.h - one line of JSON Lines as the cells of a row.
 *
 * Private to the JSON Lines reader. Strict JSON (RFC 8259): an object a line; a key twice in it, a control character
 * in a string, half a surrogate pair or bytes that are no UTF-8 make it malformed. The fields of an object in a field
 * have dotted names, "a.b". */
#ifndef RS_JSONL_LINE_H
#define RS_JSONL_LINE_H
#include "base/buffer.h"
#include "frame/csv_words.h"

typedef enum rs_json_kind {
  RS_JSON_NONE,    /* absent, or null */
  RS_JSON_TEXT,    /* 'text' is what the string means */
  RS_JSON_NUMBER,  /* its digits as they stand, as is all below */
  RS_JSON_BOOLEAN, /* true or false */
  RS_JSON_LIST,    /* an array of strings, numbers, booleans and nulls */
  RS_JSON_RAW      /* another array, or an object whose column is declared a string */
} rs_json_kind;

typedef struct rs_json_cell {
  rs_json_kind kind;
  bool seen;
  const char *text;
  size_t length;
} rs_json_cell;

/* The fields to look for. Nothing is owned. */
typedef struct rs_json_fields {
  const rs_dictionary *names; /* field i is code i + 1 */
  const bool *whole;          /* fields whose objects are taken as they stand */
  int n;
} rs_json_fields;

/* What reading lines needs. All-zero but for the fields is valid; free it. */
typedef struct rs_json_line {
  const rs_json_fields *fields;
  rs_json_cell *cells;  /* fields->n, of the line that was read last */
  rs_csv_words unknown; /* names of fields that are not among them, of all lines so far */
  int32_t *order;       /* the fields in the order of the line before: the next is most likely the same */
  int n_order, at_order;
  const char *begin, *at, *end;
  rs_buffer text, path;          /* what strings with escapes mean; the name of the field that is read */
  rs_buffer others, other_names; /* fields of the line that nobody asked for */
  const char *problem, *problem_at;
  rs_status status;
} rs_json_line;

rs_status rs_json_line_make(rs_json_line *l, const rs_json_fields *fields);
void rs_json_line_free(rs_json_line *l);
/* Read a line without its end. *sound is false for a malformed one: 'problem' says what is wrong at 'problem_at'.
 * RS_ENOMEM. */
rs_status rs_json_line_read(rs_json_line *l, const char *text, size_t length, bool *sound);

/* The members of an RS_JSON_LIST one by one, from *at = cell's text on: false at the end. Those that are null are
 * skipped; texts may lie in 'scratch', overwritten. The status of a failure is left in *status. */
bool rs_json_next_member(const char **at, const char *end, rs_buffer *scratch, const char **text, size_t *length,
                         rs_status *status);

#endif
